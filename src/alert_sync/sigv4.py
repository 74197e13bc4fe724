"""AWS Signature Version 4, as an Authorizer for any AWS service but S3, whose paths are signed otherwise.

For paths as AWS writes them: without empty segments and without dots.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, urlsplit

from alert_sync.aws_identity import aws_credentials, aws_region

_ALGORITHM = "AWS4-HMAC-SHA256"
_DEFAULT_PORTS = {"https": 443, "http": 80}
_REGION_IN_HOST = re.compile(r"(?:^|\.)aps-workspaces\.([^.]+)\.")


class SigV4Auth:
    """Signs with the role of the function, or with a person's AWS credentials.

    Args:
        service: the name that AWS signs for, such as `aps`.
        headers: sent and signed with every request, beside those that the signature itself needs.
    """

    version = 0

    def __init__(self, service: str = "aps", headers: Mapping[str, str] | None = None) -> None:
        self._service = service
        self._headers = dict(headers or {})

    def headers(self, method: str, url: str, body: bytes) -> Mapping[str, str]:
        """The headers of the signed request.

        Raises:
            ConfigurationError: there are no AWS credentials, or the region cannot be told.
        """
        credentials, moment = aws_credentials(), f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        sent = {**self._headers, "X-Amz-Date": moment}
        if credentials.token:
            sent["X-Amz-Security-Token"] = credentials.token
        signed = {name.lower(): value for name, value in {**sent, "Host": _host(url)}.items()}
        scope = f"{moment[:8]}/{_region_of(url) or aws_region()}/{self._service}/aws4_request"
        request = hashlib.sha256(_canonical(method, url, signed, body).encode()).hexdigest()
        signature = _signature(credentials.secret_key, scope, f"{_ALGORITHM}\n{moment}\n{scope}\n{request}")
        proof = f"Credential={credentials.key_id}/{scope}, SignedHeaders={_names(signed)}, Signature={signature}"
        return {**sent, "Authorization": f"{_ALGORITHM} {proof}"}

    def renew(self, refused: int) -> bool:  # noqa: ARG002 - the protocol's
        """Credentials renew themselves."""
        return False


def _canonical(method: str, url: str, signed: Mapping[str, str], body: bytes) -> str:
    parts = urlsplit(url)
    pairs = sorted((_quoted(name), _quoted(value)) for name, value in parse_qsl(parts.query, keep_blank_values=True))
    query = "&".join(f"{name}={value}" for name, value in pairs)
    lines = [f"{name}:{' '.join(signed[name].split())}" for name in sorted(signed)]
    # The path is quoted once more than it is sent.
    path = quote(parts.path or "/", safe="/-_.~")
    return "\n".join([method, path, query, *lines, "", _names(signed), hashlib.sha256(body).hexdigest()])


def _quoted(text: str) -> str:
    return quote(text, safe="-_.~")


def _signature(secret_key: str, scope: str, text: str) -> str:
    key = f"AWS4{secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text.encode(), "sha256").hex()


def _names(signed: Mapping[str, str]) -> str:
    return ";".join(sorted(signed))


def _host(url: str) -> str:
    parts = urlsplit(url)
    host = parts.hostname or ""
    return host if parts.port in (None, _DEFAULT_PORTS.get(parts.scheme)) else f"{host}:{parts.port}"


def _region_of(url: str) -> str:
    """The region in `aps-workspaces.eu-west-1.amazonaws.com`, VPC endpoints included; empty for any other host."""
    found = _REGION_IN_HOST.search(urlsplit(url).hostname or "")
    return found[1] if found else ""
