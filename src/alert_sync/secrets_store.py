"""Reads secrets from AWS Secrets Manager, over the same transport as everything else.

Without an AWS client: to import and make botocore's takes longer than all else that this service does while it starts,
and one call of one service needs nothing of what a client can do.
"""

from __future__ import annotations

import os
from typing import Any

from alert_sync.aws_identity import aws_region
from alert_sync.call import Call, Upstream
from alert_sync.deadline import Deadline
from alert_sync.errors import (
    ConfigurationError,
    PermanentUpstreamError,
    ReconcilerError,
    TransientUpstreamError,
    UnsentError,
)
from alert_sync.http_transport import HttpTransport
from alert_sync.sigv4 import SigV4Auth

_NAME = "AWS Secrets Manager"
_SERVICE = "secretsmanager"
# An HTTP answer that needs a secret at its very end must still be out before API Gateway gives up.
_SECONDS = 4.0
_HEADERS = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "secretsmanager.GetSecretValue"}
_DENIED_CODES = frozenset({"AccessDeniedException", "DecryptionFailure"})
_HINT = ": may this function's role read it (secretsmanager:GetSecretValue, kms:Decrypt)?"
_HEALING_CODES = frozenset({"InternalServiceError", "ThrottlingException", "RequestTimeout", "ServiceUnavailable"})


class SecretStore:
    """Secrets by name or ARN."""

    def __init__(self, transport: HttpTransport | None = None) -> None:
        self._transport = transport or HttpTransport(connections=1)
        self._authorizer = SigV4Auth(_SERVICE, _HEADERS)

    def read(self, secret_id: str) -> str:
        """The secret's current text.

        Raises:
            ConfigurationError: it does not exist, has no value yet, is binary, or AWS is not set up here.
            UpstreamError: it could not be read.
        """
        try:
            answer = self._get_secret_value(secret_id)
        except ConfigurationError as error:
            raise ConfigurationError(f"secret {secret_id} cannot be read: {error}") from error
        except UnsentError as error:
            raise ConfigurationError(f"secret {secret_id} cannot be read: {error.cause}") from error
        except PermanentUpstreamError as error:
            raise _translated(secret_id, error) from error
        text = answer.get("SecretString") if isinstance(answer, dict) else None
        if not isinstance(text, str) or not text.strip():
            raise ConfigurationError(f"secret {secret_id} has no text value: put one in with put-secret-value")
        return text

    def _get_secret_value(self, secret_id: str) -> Any:
        """Sent by POST, as AWS wants it, but a read, which may be repeated."""
        call = Call(
            upstream=Upstream(name=_NAME, base_url=_endpoint(), authorizer=self._authorizer),
            operation=f"read secret {secret_id}",
            path="/",
            deadline=Deadline(_SECONDS),
            method="POST",
            json_body={"SecretId": secret_id},
        )
        return self._transport.get_json(call)


def _endpoint() -> str:
    """Where AWS's own tools would look: at the endpoint that is set, or in the region."""
    for variable in ("AWS_ENDPOINT_URL_SECRETS_MANAGER", "AWS_ENDPOINT_URL"):
        if url := os.environ.get(variable):
            return url.rstrip("/")
    region = aws_region()
    return f"https://{_SERVICE}.{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}"


def _translated(secret_id: str, error: PermanentUpstreamError) -> ReconcilerError:
    if error.code == "ResourceNotFoundException":
        return ConfigurationError(
            f"secret {secret_id} does not exist or has no value yet: "
            f"aws secretsmanager put-secret-value --secret-id {secret_id} --secret-string file://token.txt"
        )
    if error.code == "InvalidRequestException":
        return ConfigurationError(
            f"secret {secret_id} is scheduled for deletion: aws secretsmanager restore-secret --secret-id {secret_id}"
        )
    kind = TransientUpstreamError if error.code in _HEALING_CODES else PermanentUpstreamError
    cause = f"{error.code or error.cause}{_HINT if error.code in _DENIED_CODES else ''}"
    return kind(_NAME, error.operation, cause, status=error.status, code=error.code)
