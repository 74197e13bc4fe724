"""Headers made of secrets: what a secret may hold, when it is read again, and that no error repeats it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from alert_sync.credentials import BasicAuth, NoAuth, Secret, TokenAuth
from alert_sync.errors import ConfigurationError, TransientUpstreamError

ANY_REQUEST = ("GET", "http://a", b"")


class Vault:
    """Hands out its value and counts how often."""

    def __init__(self, value: str) -> None:
        self.value = value
        self.reads = 0

    def read(self) -> str:
        self.reads += 1
        return self.value


def secret(value: str) -> Secret:
    return Secret("irm-token", Vault(value).read)


def fault_of(act: Callable[[], object]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        act()
    return str(caught.value)


# --- a secret


def test_secret_is_not_read_before_it_is_needed() -> None:
    vault = Vault("one")

    Secret("name", vault.read)

    assert vault.reads == 0


def test_secret_is_read_once() -> None:
    vault = Vault("one")
    kept = Secret("name", vault.read)

    assert ([kept.text(), kept.text()], vault.reads) == (["one", "one"], 1)


def test_secret_that_could_not_be_read_is_read_again() -> None:
    values = iter(["one"])
    failures = iter([TransientUpstreamError("AWS Secrets Manager", "read secret", "HTTP 500")])

    def read() -> str:
        for failure in failures:
            raise failure
        return next(values)

    kept = Secret("name", read)
    with pytest.raises(TransientUpstreamError):
        kept.text()

    assert kept.text() == "one"


def test_rotated_secret_is_found_by_renewing() -> None:
    vault = Vault("one")
    kept = Secret("name", vault.read)
    kept.text()
    vault.value = "two"

    assert (kept.text(), kept.renew(kept.version), kept.text()) == ("one", True, "two")


def test_renewing_an_unchanged_secret_says_so() -> None:
    vault = Vault("one")
    kept = Secret("name", vault.read)
    kept.text()

    assert (kept.renew(kept.version), kept.text(), vault.reads) == (False, "one", 2)


def test_secret_that_many_threads_find_refused_is_read_again_once() -> None:
    vault = Vault("one")
    together = threading.Barrier(4)
    kept = Secret("name", vault.read)
    kept.text()
    vault.value = "two"

    def after_a_refusal(_: int) -> bool:
        refused = kept.version
        together.wait(timeout=10)
        return kept.renew(refused)

    with ThreadPoolExecutor(max_workers=4) as threads:
        renewed = list(threads.map(after_a_refusal, range(4)))

    assert (renewed, vault.reads) == ([True] * 4, 2)


class Queue:
    """A lock that tells when a second thread has come to wait for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.is_waited_for = threading.Event()

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            self.is_waited_for.set()
            self._lock.acquire(timeout=10)

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def test_secret_that_cannot_be_read_again_is_tried_once_for_all_threads_that_wait() -> None:
    """The store may be slow: each thread would wait for all the others before it."""
    queue, is_reading = Queue(), threading.Event()
    reads = []

    def read() -> str:
        reads.append(1)
        if len(reads) == 1:
            return "one"
        is_reading.set()
        queue.is_waited_for.wait(timeout=10)
        raise TransientUpstreamError("AWS Secrets Manager", "read secret", "no answer")

    kept = Secret("name", read)
    kept.text()
    kept._lock = queue  # type: ignore[assignment] # noqa: SLF001 - no other way to see that a thread waits

    with ThreadPoolExecutor(max_workers=2) as threads:
        first = threads.submit(kept.renew, 0)
        is_reading.wait(timeout=10)
        second = threads.submit(kept.renew, 0)
        failure, found = first.exception(timeout=20), second.result(timeout=20)

    assert (type(failure), found, len(reads)) == (TransientUpstreamError, False, 2)


def test_secret_that_could_not_be_read_again_is_tried_again_after_the_next_refusal() -> None:
    texts = iter(["one", None, "two"])

    def read() -> str:
        text = next(texts)
        if text is None:
            raise TransientUpstreamError("AWS Secrets Manager", "read secret", "no answer")
        return text

    kept = Secret("name", read)
    kept.text()
    with pytest.raises(TransientUpstreamError):
        kept.renew(0)

    assert (kept.renew(0), kept.text()) == (True, "two")


# --- nothing, a token, a user


def test_nothing_to_prove_needs_no_headers() -> None:
    assert (NoAuth().headers(*ANY_REQUEST), NoAuth().renew(NoAuth().version)) == ({}, False)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("t0k3n", id="plain"),
        pytest.param("t0k3n\n", id="line break at the end"),
        pytest.param("  t0k3n\t", id="blanks around it"),
        pytest.param('{"token": "t0k3n"}', id="JSON"),
        pytest.param('\n{"token": "t0k3n", "owner": "ann"}\n', id="JSON with more in it"),
    ],
)
def test_token_is_sent_bare(text: str) -> None:
    assert TokenAuth(secret(text)).headers(*ANY_REQUEST) == {"Authorization": "t0k3n"}


def test_token_may_follow_a_scheme() -> None:
    assert TokenAuth(secret("t0k3n"), scheme="Bearer").headers(*ANY_REQUEST) == {"Authorization": "Bearer t0k3n"}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("s3cret t0k3n", id="blank"),
        pytest.param("s3cret\r\nX-Evil: 1", id="header in it"),
        pytest.param("s3cret\x00", id="control character"),
        pytest.param("s3crét", id="not ASCII"),
        pytest.param("\ufeffs3cret", id="byte order mark"),
        pytest.param('{"token": "s3cret "}', id="blank inside JSON"),
    ],
)
def test_text_that_cannot_be_a_token_is_refused_without_repeating_it(text: str) -> None:
    fault = fault_of(lambda: TokenAuth(secret(text)).headers(*ANY_REQUEST))

    assert fault == "secret irm-token does not hold a token: it is empty or has characters no token has"


@pytest.mark.parametrize("text", ["", " \n"], ids=["nothing", "blanks"])
def test_empty_token_is_refused(text: str) -> None:
    fault = fault_of(TokenAuth(secret(text)).token)

    assert fault == "secret irm-token does not hold a token: it is empty or has characters no token has"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("{}", id="empty object"),
        pytest.param('{"Token": "s3cret"}', id="other name"),
        pytest.param('{"token": 5}', id="number"),
        pytest.param('{"token": ""}', id="empty text"),
        pytest.param('{"token": "s3cret"', id="broken"),
        pytest.param("{s3cret}", id="no JSON"),
    ],
)
def test_json_without_the_token_is_refused_without_repeating_it(text: str) -> None:
    assert fault_of(TokenAuth(secret(text)).token) == "secret irm-token must be JSON with a text under 'token'"


@pytest.mark.parametrize(
    ("text", "is_service_account"),
    [("glsa_abc", True), ('{"token": "glsa_abc"}', True), ("abc_glsa_", False), ("GLSA_abc", False)],
)
def test_token_of_a_service_account_is_known_by_its_prefix(text: str, is_service_account: bool) -> None:  # noqa: FBT001
    assert TokenAuth(secret(text)).is_service_account is is_service_account


def test_user_and_password_are_sent_encoded() -> None:
    text = json.dumps({"username": "ann", "password": "pä:ß"})

    assert BasicAuth(secret(text)).headers(*ANY_REQUEST) == {"Authorization": "Basic YW5uOnDDpDrDnw=="}


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        pytest.param("ann:s3cret", "username", id="not JSON"),
        pytest.param('["ann", "s3cret"]', "username", id="list"),
        pytest.param('"s3cret"', "username", id="text"),
        pytest.param("null", "username", id="null"),
        pytest.param('{"password": "s3cret"}', "username", id="no user"),
        pytest.param('{"username": "ann", "password": ""}', "password", id="empty password"),
        pytest.param('{"username": "ann", "pass": "s3cret"}', "password", id="no password"),
    ],
)
def test_secret_without_user_and_password_is_refused_without_repeating_it(text: str, missing: str) -> None:
    fault = fault_of(lambda: BasicAuth(secret(text)).headers(*ANY_REQUEST))

    assert fault == f"secret irm-token must be JSON with a text under {missing!r}"


@pytest.mark.parametrize("kind", [TokenAuth, BasicAuth])
def test_renewed_secret_makes_other_headers(kind: type[TokenAuth | BasicAuth]) -> None:
    vault = Vault(json.dumps({"username": "ann", "password": "one", "token": "one"}))
    auth = kind(Secret("name", vault.read))
    before = auth.headers(*ANY_REQUEST)
    vault.value = vault.value.replace("one", "two")

    assert (auth.renew(auth.version), auth.renew(auth.version)) == (True, False)
    assert auth.headers(*ANY_REQUEST) != before
