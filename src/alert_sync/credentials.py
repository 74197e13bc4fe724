"""What proves who we are to each upstream. A secret is kept between runs and read again after it was refused."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Mapping

from alert_sync.errors import ConfigurationError

_SERVICE_ACCOUNT_PREFIX = "glsa_"


class Secret:
    """A secret's text, read when it is first needed.

    Args:
        name: for error messages; never the value.
        read: fetches the current text.
    """

    def __init__(self, name: str, read: Callable[[], str]) -> None:
        self.name = name
        self._read = read
        self._text: str | None = None
        self._lock = threading.Lock()
        self._looks = 0
        self.version = 0
        """Counts how often another text was found."""

    def text(self) -> str:
        """The text as it was read last."""
        with self._lock:
            if self._text is None:
                self._text = self._read()
            return self._text

    def renew(self, refused: int) -> bool:
        """Read it again, unless another thread just has; True if there is a newer version than the one refused."""
        looks = self._looks
        with self._lock:
            # Not once more for each thread that waited here: the store may be slow, and all would wait for all.
            if self.version == refused and self._looks == looks:
                self._look_again()
            return self.version != refused

    def _look_again(self) -> None:
        try:
            text = self._read()
            self.version += text != self._text
            self._text = text
        finally:
            self._looks += 1


class NoAuth:
    """Nothing to prove."""

    version = 0

    def headers(self, method: str, url: str, body: bytes) -> Mapping[str, str]:  # noqa: ARG002 - the protocol's
        """No headers."""
        return {}

    def renew(self, refused: int) -> bool:  # noqa: ARG002 - the protocol's
        """Nothing to renew."""
        return False


class TokenAuth:
    """A token in the Authorization header: bare for IRM, after a scheme for others."""

    def __init__(self, secret: Secret, *, scheme: str = "") -> None:
        self._secret = secret
        self._scheme = scheme

    def headers(self, method: str, url: str, body: bytes) -> Mapping[str, str]:  # noqa: ARG002 - the protocol's
        """The Authorization header."""
        return {"Authorization": f"{self._scheme} {self.token()}".lstrip()}

    @property
    def version(self) -> int:
        """The secret's."""
        return self._secret.version

    def renew(self, refused: int) -> bool:
        """Whether the secret has another value now."""
        return self._secret.renew(refused)

    def token(self) -> str:
        """The bare token.

        Raises:
            ConfigurationError: the secret holds something else.
        """
        text = self._secret.text().strip()
        token = _field(self._secret.name, text, "token") if text.startswith("{") else text
        return _sendable(self._secret.name, token)

    @property
    def is_service_account(self) -> bool:
        """A Grafana service account's token: it may read and leave notes, but not act on alert groups."""
        return self.token().startswith(_SERVICE_ACCOUNT_PREFIX)


class BasicAuth:
    """User and password, from a secret that holds both as JSON."""

    def __init__(self, secret: Secret) -> None:
        self._secret = secret

    def headers(self, method: str, url: str, body: bytes) -> Mapping[str, str]:  # noqa: ARG002 - the protocol's
        """The Authorization header."""
        name, text = self._secret.name, self._secret.text()
        pair = f"{_field(name, text, 'username')}:{_field(name, text, 'password')}"
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}

    @property
    def version(self) -> int:
        """The secret's."""
        return self._secret.version

    def renew(self, refused: int) -> bool:
        """Whether the secret has another value now."""
        return self._secret.renew(refused)


def _field(secret_name: str, text: str, field: str) -> str:
    try:
        value = json.loads(text)[field]
    except (ValueError, KeyError, TypeError):
        value = None
    if not isinstance(value, str) or not value:
        raise ConfigurationError(f"secret {secret_name} must be JSON with a text under {field!r}")
    return value


def _sendable(secret_name: str, token: str) -> str:
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigurationError(
            f"secret {secret_name} does not hold a token: it is empty or has characters no token has"
        )
    return token
