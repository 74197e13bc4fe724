"""Reads secrets from AWS Secrets Manager, over the same transport as everything else.

It knows what each refusal means to the person who set the secret up; how AWS is called is aws_api's business.
"""

from __future__ import annotations

from typing import Any

from alert_sync.aws_api import AwsApi, aws_code
from alert_sync.deadline import Deadline
from alert_sync.errors import (
    ConfigurationError,
    PermanentUpstreamError,
    ReconcilerError,
    UnsentError,
)
from alert_sync.http_transport import HttpTransport

# An HTTP answer that needs a secret at its very end must still be out before API Gateway gives up.
_SECONDS = 4.0
_DENIED_CODES = frozenset({"AccessDeniedException", "DecryptionFailure"})
_HINT = ": may this function's role read it (secretsmanager:GetSecretValue, kms:Decrypt)?"


class SecretStore:
    """Secrets by name or ARN."""

    def __init__(self, transport: HttpTransport | None = None) -> None:
        self._api = AwsApi(
            "secretsmanager",
            transport or HttpTransport(connections=1),
            name="AWS Secrets Manager",
            target="secretsmanager",
            json_version="1.1",
        )

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
        text = answer.get("SecretString")
        if not isinstance(text, str) or not text.strip():
            raise ConfigurationError(f"secret {secret_id} has no text value: put one in with put-secret-value")
        return text

    def _get_secret_value(self, secret_id: str) -> dict[str, Any]:
        what = f"read secret {secret_id}"
        return self._api.call("GetSecretValue", {"SecretId": secret_id}, Deadline(_SECONDS), what=what)


def _translated(secret_id: str, error: PermanentUpstreamError) -> ReconcilerError:
    code = aws_code(error)
    if code == "ResourceNotFoundException":
        return ConfigurationError(
            f"secret {secret_id} does not exist or has no value yet: "
            f"aws secretsmanager put-secret-value --secret-id {secret_id} --secret-string file://token.txt"
        )
    if code == "InvalidRequestException":
        return ConfigurationError(
            f"secret {secret_id} is scheduled for deletion: aws secretsmanager restore-secret --secret-id {secret_id}"
        )
    if code in _DENIED_CODES:
        return PermanentUpstreamError(error.upstream, error.operation, f"{code}{_HINT}", status=error.status)
    return error
