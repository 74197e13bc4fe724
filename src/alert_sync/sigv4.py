"""AWS Signature Version 4, for Amazon Managed Prometheus. botocore's signer; it is loaded for the secrets anyway."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

import botocore.session
from botocore.auth import SigV4Auth as Signer
from botocore.awsrequest import AWSRequest

from alert_sync.errors import ConfigurationError

_SERVICE = "aps"


class SigV4Auth:
    """Signs with the role of the function, or with a person's AWS credentials."""

    def __init__(self) -> None:
        self._session = botocore.session.Session()

    def headers(self, method: str, url: str, body: bytes) -> Mapping[str, str]:
        """The headers of the signed request. Credentials are asked for each time: they expire.

        Raises:
            ConfigurationError: there are no AWS credentials, or the region cannot be told.
        """
        credentials = self._session.get_credentials()
        region = _region_of(url) or self._session.get_config_variable("region")
        if credentials is None or not region:
            raise ConfigurationError("ALERTMANAGER_AUTH=sigv4 needs AWS credentials and a region")
        request = AWSRequest(method=method, url=url, data=body)
        Signer(credentials.get_frozen_credentials(), _SERVICE, region).add_auth(request)
        return dict(request.headers.items())

    def renew(self) -> bool:
        """Credentials renew themselves."""
        return False


def _region_of(url: str) -> str:
    """The region in `aps-workspaces.eu-west-1.amazonaws.com`; empty for any other host."""
    parts = (urlsplit(url).hostname or "").split(".")
    return parts[1] if parts[0] == "aps-workspaces" and len(parts) > 2 else ""
