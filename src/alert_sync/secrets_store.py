"""Reads secrets from AWS Secrets Manager. The only module that opens an AWS client.

botocore alone, without boto3: the same library and credential chain, and a fifth less start-up time.
"""

from __future__ import annotations

from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
)

from alert_sync.errors import ConfigurationError, PermanentUpstreamError, TransientUpstreamError, UpstreamError

_NAME = "AWS Secrets Manager"
_CONFIG = Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 2, "mode": "standard"})
_DENIED_CODES = frozenset({"AccessDeniedException", "DecryptionFailure"})
_HINT = ": may this function's role read it (secretsmanager:GetSecretValue, kms:Decrypt)?"
_HEALING_CODES = frozenset({"InternalServiceError", "ThrottlingException", "RequestTimeout", "ServiceUnavailable"})


class SecretStore:
    """Secrets by name or ARN. Opens its client on the first use, or earlier by `open`."""

    def __init__(self) -> None:
        self._client: Any = None

    def open(self) -> Any:
        """The client; making it costs about 60 ms of CPU, which Lambda gives away for free while it starts."""
        if self._client is None:
            self._client = botocore.session.Session().create_client("secretsmanager", config=_CONFIG)
        return self._client

    def read(self, secret_id: str) -> str:
        """The secret's current text.

        Raises:
            ConfigurationError: it does not exist, has no value yet, is binary, or AWS is not set up here.
            UpstreamError: it could not be read.
        """
        try:
            answer = self.open().get_secret_value(SecretId=secret_id)
        except ClientError as error:
            raise _translated(secret_id, error) from error
        except NoRegionError as error:
            raise ConfigurationError(f"secret {secret_id} cannot be read without AWS_DEFAULT_REGION") from error
        except (NoCredentialsError, PartialCredentialsError, ProfileNotFound) as error:
            raise ConfigurationError(f"secret {secret_id} cannot be read: {error}") from error
        except BotoCoreError as error:
            cause = f"{secret_id}: {type(error).__name__}"
            raise TransientUpstreamError(_NAME, "read secret", cause) from error
        text = answer.get("SecretString")
        if not text or not text.strip():
            raise ConfigurationError(f"secret {secret_id} has no text value: put one in with put-secret-value")
        return str(text)


def _translated(secret_id: str, error: ClientError) -> ConfigurationError | UpstreamError:
    code = str(error.response.get("Error", {}).get("Code", "unknown error"))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    if code == "ResourceNotFoundException":
        return ConfigurationError(
            f"secret {secret_id} does not exist or has no value yet: "
            f"aws secretsmanager put-secret-value --secret-id {secret_id} --secret-string file://token.txt"
        )
    if code in _HEALING_CODES or (status or 0) >= 500:
        return TransientUpstreamError(_NAME, "read secret", f"{secret_id}: {code}", status=status)
    if code == "InvalidRequestException":
        return ConfigurationError(
            f"secret {secret_id} is scheduled for deletion: aws secretsmanager restore-secret --secret-id {secret_id}"
        )
    cause = f"{secret_id}: {code}{_HINT if code in _DENIED_CODES else ''}"
    return PermanentUpstreamError(_NAME, "read secret", cause, status=status)
