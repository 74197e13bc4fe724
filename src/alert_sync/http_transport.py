"""The only module that knows urllib3: one request, its time limits, its repetition, and what its failures mean.

urllib3's timeouts bound one socket operation each, so a server that trickles bytes is never too late for them. Here a
deadline bounds the whole call: the body is read piece by piece with a look at the clock, and a watchdog shuts the
socket if connecting, sending or the headers take longer.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, TypeVar

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ReadTimeoutError,
    SSLError,
)

from alert_sync.call import Call
from alert_sync.deadline import Deadline
from alert_sync.errors import (
    ConfigurationError,
    ContractError,
    PermanentUpstreamError,
    PostponedError,
    ReconcilerError,
    TransientUpstreamError,
    UnsentError,
    UpstreamError,
)
from alert_sync.retry_after import wait_asked_for
from alert_sync.watchdog import POOLS, Watch, watched
from alert_sync.wording import one_line

T = TypeVar("T")

CONNECT_TIMEOUT_SECONDS = 5.0
# Alertmanager was measured to need 11 s for 50,000 alerts before the first byte, under load.
SILENT_TIMEOUT_SECONDS = 30.0
GET_ATTEMPTS = 3
BACKOFF_SECONDS = 0.5
MOST_WAITS = 5
# A 429 stops all threads, as the server counts them together; but no longer than its own window, whatever it says.
LONGEST_PAUSE_SECONDS = 60.0
CHUNK_BYTES = 65_536
# Far more than any answer that is not streamed: a page of 100 alert groups was measured at 165 kB.
BODY_LIMIT_BYTES = 64 * 1024 * 1024
_DETAIL_LENGTH = 200


def _is_transient(error: UpstreamError) -> bool:
    return isinstance(error, TransientUpstreamError)


class HttpTransport:
    """One pool of connections, shared by all threads and runs."""

    def __init__(self, *, connections: int = 8, backoff_seconds: float = BACKOFF_SECONDS) -> None:
        self._backoff_seconds = backoff_seconds
        self._pool = urllib3.PoolManager(num_pools=20, maxsize=connections, block=True, retries=False)
        self._pool.pool_classes_by_scheme = dict(POOLS)

    def get_json(
        self, call: Call, *, attempts: int = GET_ATTEMPTS, may_heal: Callable[[UpstreamError], bool] = _is_transient
    ) -> Any:
        """The parsed JSON body of an answer; see `get`."""
        return self.get(call, partial(_read_json, call), attempts=attempts, may_heal=may_heal)

    def get(
        self,
        call: Call,
        consume: Callable[[Iterator[bytes]], T],
        *,
        attempts: int = GET_ATTEMPTS,
        may_heal: Callable[[UpstreamError], bool] = _is_transient,
    ) -> T:
        """Send what may be sent again, by GET or otherwise, and again after failures that may heal.

        The body is handed to `consume` piece by piece, which begins anew with each attempt.

        Raises:
            UpstreamError: of the kind that errors.py describes.
        """
        attempt = 1
        while True:
            try:
                return self._with_renewal(call, consume)
            except UpstreamError as error:
                wait = self._backoff_seconds * 2 ** (attempt - 1) * random.uniform(0.8, 1.2)  # noqa: S311 - spreads load
                if not may_heal(error) or attempt == attempts or not call.deadline.allows(wait):
                    raise
            attempt += 1
            time.sleep(wait)

    def post(self, call: Call) -> None:
        """POST once, ignoring the body of a 2xx answer.

        A 429 was turned away unseen, so it may be sent again, and so may what a stale credential was refused for.
        Anything else may have happened.
        """
        self._with_renewal(call, lambda chunks: sum(len(chunk) for chunk in _bounded(call, chunks)))

    def _with_renewal(self, call: Call, consume: Callable[[Iterator[bytes]], T]) -> T:
        version = call.upstream.authorizer.version
        try:
            return self._with_waiting(call, consume)
        except PermanentUpstreamError as error:
            if not error.is_refused_credential or not _renewed(call, version, error):
                raise
        return self._with_waiting(call, consume)

    def _with_waiting(self, call: Call, consume: Callable[[Iterator[bytes]], T]) -> T:
        """Send, and send again as long as the answer is 429 and the time that it names fits into the deadline."""
        waits = 0
        while True:
            try:
                return self._send(call, consume)
            except _TooManyRequests as refusal:
                for budget in call.upstream.budgets:
                    budget.pause(min(refusal.wait_seconds, LONGEST_PAUSE_SECONDS))
                waits += 1
                if waits > MOST_WAITS or not call.deadline.allows(refusal.wait_seconds):
                    raise _postponed(call, refusal) from None
                time.sleep(refusal.wait_seconds)

    def _send(self, call: Call, consume: Callable[[Iterator[bytes]], T]) -> T:
        with _place(call) as placed:
            if not placed:
                cause = "not sent: the request budget leaves no place before this run's deadline"
                raise PostponedError(call.upstream.name, call.operation, cause)
            if call.confirm is not None:
                call.confirm()
            if not call.deadline.remaining():
                raise PostponedError(call.upstream.name, call.operation, "not sent: this run's deadline has passed")
            with watched(call.deadline) as watch, _translated(call, watch):
                result = self._exchange(call, consume)
                if watch.has_cut:
                    # Headers that end too early read like complete ones, with an empty body after them.
                    raise TimeoutError
                return result

    def _exchange(self, call: Call, consume: Callable[[Iterator[bytes]], T]) -> T:
        content = call.json_body() if callable(call.json_body) else call.json_body
        body = b"" if content is None else json.dumps(content).encode()
        credential = _credential(call, body)
        response = self._open(call, body, credential)
        is_complete = False
        try:
            _check_status(call, response, credential)
            _check_framing(call, response)
            result = consume(_chunks(response, call.deadline))
            is_complete = True
        finally:
            if not is_complete:
                # Half a body may still be on its way: the connection must not serve another request.
                response.close()
            # Its place in the pool is given back either way: requests wait for one.
            response.release_conn()
        return result

    def _open(self, call: Call, body: bytes, credential: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
        remaining = max(0.001, call.deadline.remaining())
        headers = {"Accept": "application/json", "User-Agent": "alertmanager-alert-sync", **call.upstream.headers}
        if body:
            headers["Content-Type"] = "application/json"
        headers.update(credential)
        timeout = urllib3.Timeout(
            connect=min(CONNECT_TIMEOUT_SECONDS, remaining), read=min(SILENT_TIMEOUT_SECONDS, remaining)
        )
        # Redirects are not followed: the token would go wherever they point.
        return self._pool.request(
            call.method,
            call.url,
            body=body,
            headers=headers,
            timeout=timeout,
            pool_timeout=remaining,
            redirect=False,
            preload_content=False,
        )


def _credential(call: Call, body: bytes) -> Mapping[str, str]:
    """The headers that prove who we are. A secret may have become unusable since the run began: no crash, a refusal."""
    try:
        return call.upstream.authorizer.headers(call.method, call.url, body)
    except ConfigurationError as error:
        raise UnsentError(call.upstream.name, call.operation, str(error)) from None


def _renewed(call: Call, version: int, refusal: PermanentUpstreamError) -> bool:
    """Whether there is a newer credential now; if that cannot be found out, the refusal stands, and says so."""
    try:
        return call.upstream.authorizer.renew(version)
    except ReconcilerError as error:
        cause = f"{refusal.cause}; and the credential cannot be read again: {error}"
        raise PermanentUpstreamError(call.upstream.name, call.operation, cause, status=refusal.status) from None


def _postponed(call: Call, refusal: _TooManyRequests) -> PostponedError:
    asked = f"HTTP 429, and the wait it asks for ({refusal.wait_seconds:.0f} s) is longer than this run has"
    return PostponedError(call.upstream.name, call.operation, asked + refusal.detail, status=429)


class _TooManyRequests(Exception):  # noqa: N818 - never leaves this module; it is an answer, not an error
    def __init__(self, wait_seconds: float, detail: str) -> None:
        super().__init__(wait_seconds)
        self.wait_seconds = wait_seconds
        self.detail = detail


@contextmanager
def _place(call: Call) -> Iterator[bool]:
    with ExitStack() as places:
        yield all(places.enter_context(budget.place(call.deadline)) for budget in call.upstream.budgets)


@contextmanager
def _translated(call: Call, watch: Watch) -> Iterator[None]:
    """urllib3's errors become ours. Not chained: their text holds the URL, and an integration's URL is a secret."""
    try:
        yield
    except (HTTPError, OSError, ContractError) as error:
        is_late = watch.has_cut or not call.deadline.remaining()
        if isinstance(error, ContractError) and not is_late:
            raise
        cause = "no complete answer in the time that this run has for it" if is_late else _cause(error)
        raise TransientUpstreamError(call.upstream.name, call.operation, cause) from None


def _cause(error: Exception) -> str:
    if isinstance(error, NameResolutionError):
        return "the host name cannot be resolved"
    if isinstance(error, ConnectTimeoutError) and not isinstance(error, NewConnectionError):
        return f"no connection within {CONNECT_TIMEOUT_SECONDS:.0f} s"
    if isinstance(error, NewConnectionError):
        return "the connection was refused or the host cannot be reached"
    if isinstance(error, ReadTimeoutError):
        return "the server stopped answering"
    if isinstance(error, SSLError):
        return "TLS failed (is the certificate valid for this host?)"
    return "the connection broke off before the answer was complete"


def _check_status(call: Call, response: urllib3.BaseHTTPResponse, credential: Mapping[str, str]) -> None:
    status = response.status
    if 200 <= status < 300:
        return
    body = _error_body(call, response)
    detail = _detail(body, credential)
    if status == 429:
        raise _TooManyRequests(wait_asked_for(response.headers), detail)
    kind = TransientUpstreamError if status >= 500 or status == 408 else PermanentUpstreamError
    hint = ", a redirect, which is not followed (check the URL)" if 300 <= status < 400 else ""
    headers = {name.lower(): value for name, value in response.headers.items()}
    cause = f"HTTP {status}{hint}{detail}"
    raise kind(call.upstream.name, call.operation, cause, status=status, answer=body, headers=headers)


def _check_framing(call: Call, response: urllib3.BaseHTTPResponse) -> None:
    """An answer to a write that does not say where it ends may have been cut off, even among its headers."""
    if call.method == "POST" and response.length_remaining is None and not response.chunked:
        raise TransientUpstreamError(call.upstream.name, call.operation, "the answer does not say where it ends")


def _error_body(call: Call, response: urllib3.BaseHTTPResponse) -> Mapping[str, Any]:
    """The JSON object that an error answer holds; empty if it holds anything else."""
    try:
        body = json.loads(b"".join(_bounded(call, _chunks(response, call.deadline))))
    except (HTTPError, OSError, UpstreamError, ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _detail(body: Mapping[str, Any], credential: Mapping[str, str]) -> str:
    """What the server says in `{"detail": "…"}`, bounded and without our credential; nothing else of its body."""
    detail = body.get("detail")
    if not isinstance(detail, str):
        return ""
    for header in credential.values():
        for part in header.split():
            detail = detail.replace(part, "<secret>")
    return f": {one_line(detail, _DETAIL_LENGTH)}"


def _chunks(response: urllib3.BaseHTTPResponse, deadline: Deadline) -> Iterator[bytes]:
    while chunk := response.read1(CHUNK_BYTES, decode_content=True):
        if not deadline.remaining():
            raise TimeoutError
        yield chunk


def _bounded(call: Call, chunks: Iterable[bytes]) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > BODY_LIMIT_BYTES:
            raise ContractError(call.upstream.name, call.operation, f"the answer is larger than {BODY_LIMIT_BYTES} B")
        yield chunk


def _read_json(call: Call, chunks: Iterable[bytes]) -> Any:
    try:
        return json.loads(b"".join(_bounded(call, chunks)))
    except (ValueError, RecursionError):
        raise ContractError(call.upstream.name, call.operation, "the answer is not JSON") from None
