"""Who this process is to AWS, and in which region. Everybody who signs a request asks here.

Lambda puts both into the environment, and reading them costs nothing. botocore, which knows every other way and which
takes 50 ms to import, is asked only where there is none: on a person's machine.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from alert_sync.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsCredentials:
    """A key, and the session token of a role."""

    key_id: str
    secret_key: str = field(repr=False)
    token: str = field(repr=False)


def aws_credentials() -> AwsCredentials:
    """The credentials of now: a role's expire.

    Raises:
        ConfigurationError: there are none, or they are set up wrongly.
    """
    key_id, secret_key = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
    if key_id and secret_key:
        return AwsCredentials(key_id=key_id, secret_key=secret_key, token=os.environ.get("AWS_SESSION_TOKEN", ""))
    return _found_by_botocore()


def aws_region() -> str:
    """The region that is set.

    Raises:
        ConfigurationError: none is.
    """
    region = os.environ.get("AWS_DEFAULT_REGION") or os.environ.get("AWS_REGION")
    if not region:
        raise ConfigurationError("AWS_DEFAULT_REGION is not set")
    return region


def _found_by_botocore() -> AwsCredentials:
    try:
        import botocore.session  # noqa: PLC0415 - see above; the bundle does without
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415
    except ImportError:
        message = "there are no AWS credentials in the environment, and botocore, which knows other places, is missing"
        raise ConfigurationError(message) from None
    try:
        found = botocore.session.Session().get_credentials()
        frozen = found.get_frozen_credentials() if found is not None else None
    except BotoCoreError as error:
        raise ConfigurationError(f"AWS credentials cannot be had: {error}") from error
    if frozen is None:
        raise ConfigurationError("there are no AWS credentials")
    return AwsCredentials(key_id=str(frozen.access_key), secret_key=str(frozen.secret_key), token=frozen.token or "")
