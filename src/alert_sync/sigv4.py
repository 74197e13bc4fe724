"""AWS Signature Version 4, for Amazon Managed Prometheus. botocore's signer; it is loaded for the secrets anyway."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

import botocore.session
from botocore.auth import SigV4Auth as Signer
from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError

from alert_sync.errors import ConfigurationError

_SERVICE = "aps"


class SigV4Auth:
    """Signs with the role of the function, or with a person's AWS credentials."""

    version = 0

    def __init__(self) -> None:
        self._session = botocore.session.Session()

    def headers(self, method: str, url: str, body: bytes) -> Mapping[str, str]:
        """The headers of the signed request. Credentials are asked for each time: they expire.

        Raises:
            ConfigurationError: there are no AWS credentials, they cannot be had, or the region cannot be told.
        """
        try:
            return self._signed(AWSRequest(method=method, url=url, data=body))
        except BotoCoreError as error:
            raise ConfigurationError(f"ALERTMANAGER_AUTH=sigv4: the request cannot be signed: {error}") from error

    def renew(self, refused: int) -> bool:  # noqa: ARG002 - the protocol's
        """Credentials renew themselves."""
        return False

    def _signed(self, request: AWSRequest) -> Mapping[str, str]:
        credentials = self._session.get_credentials()
        region = _region_of(str(request.url)) or self._session.get_config_variable("region")
        if credentials is None or not region:
            raise ConfigurationError("ALERTMANAGER_AUTH=sigv4 needs AWS credentials and a region (AWS_DEFAULT_REGION)")
        Signer(credentials.get_frozen_credentials(), _SERVICE, region).add_auth(request)
        return dict(request.headers.items())


def _region_of(url: str) -> str:
    """The region in `aps-workspaces.eu-west-1.amazonaws.com`, VPC endpoints included; empty for any other host."""
    found = re.search(r"(?:^|\.)aps-workspaces\.([^.]+)\.", urlsplit(url).hostname or "")
    return found[1] if found else ""
