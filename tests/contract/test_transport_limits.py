"""What one call may never do: wait for ever, send after the deadline, or tell a secret, whatever else goes on."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from alert_sync.call import Authorizer, Call, Upstream
from alert_sync.credentials import NoAuth, Secret, TokenAuth
from alert_sync.deadline import Deadline
from alert_sync.errors import (
    ContractError,
    PermanentUpstreamError,
    PostponedError,
    TransientUpstreamError,
    UnsentError,
    UpstreamError,
)
from alert_sync.http_transport import HttpTransport
from alert_sync.request_budget import RequestBudget
from tests.support.loopback_http import Answer, Connection, LoopbackHttpServer, Request


def a_call(
    url: str,
    *,
    method: str = "POST",
    seconds: float = 5.0,
    authorizer: Authorizer | None = None,
    budgets: tuple[RequestBudget, ...] = (),
) -> Call:
    upstream = Upstream(name="Sys", base_url=url, authorizer=authorizer or NoAuth(), budgets=budgets)
    return Call(upstream=upstream, operation="try it", path="/x", deadline=Deadline(seconds), method=method)


class Recorder:
    """A server that counts requests and answers as it is told."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.requests: list[Request] = []

    def __call__(self, request: Request, connection: Connection) -> None:
        self.requests.append(request)
        connection.send(self.answer)


def test_answers_that_were_not_read_to_their_end_use_up_no_connections() -> None:
    """A login page with status 200 is given up at its first byte, in every run of the same environment."""
    page = Recorder(Answer(status=200, body=b"<html>" + b"x" * 3_000_000))
    transport = HttpTransport(connections=2)

    def give_up(chunks: Iterator[bytes]) -> None:
        next(chunks)
        raise ContractError("Sys", "try it", "not JSON")

    with LoopbackHttpServer(page) as server:
        for _ in range(5):
            with pytest.raises(ContractError):
                transport.get(a_call(server.url, method="GET", seconds=3), give_up)

    assert len(page.requests) == 5


def test_connection_that_does_not_come_free_is_waited_for_until_the_deadline_only() -> None:
    arrived = threading.Event()

    def hold(_: Request, connection: Connection) -> None:
        arrived.set()
        connection.wait(None)

    transport = HttpTransport(connections=1)
    with LoopbackHttpServer(hold) as server, ThreadPoolExecutor(1) as pool:
        holding = pool.submit(transport.post, a_call(server.url, seconds=3))
        arrived.wait(10)
        with pytest.raises(TransientUpstreamError, match="no complete answer in the time"):
            transport.post(a_call(server.url, seconds=0.3))
        is_still_held = not holding.done()
        holding.exception()

    assert is_still_held


def test_write_is_not_sent_once_the_deadline_has_passed() -> None:
    recorder = Recorder(Answer(status=200))

    with LoopbackHttpServer(recorder) as server, pytest.raises(PostponedError, match="deadline has passed"):
        HttpTransport().post(a_call(server.url, seconds=0))

    assert recorder.requests == []


def test_write_is_not_sent_when_finding_the_host_took_until_after_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(Answer(status=200))
    look_up = socket.getaddrinfo

    def look_up_slowly(*arguments: Any, **options: Any) -> Any:
        time.sleep(0.8)
        return look_up(*arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up_slowly)

    with LoopbackHttpServer(recorder) as server, pytest.raises(TransientUpstreamError, match="no complete answer"):
        HttpTransport().post(a_call(server.url, seconds=0.3))

    assert recorder.requests == []


def test_token_that_another_thread_renewed_meanwhile_stands_in_no_error() -> None:
    texts = iter(["first-token", "second-token"])
    secret = Secret("name", lambda: next(texts))

    def refuse(request: Request, connection: Connection) -> None:
        secret.renew(0)
        body = f'{{"detail": "not {request.header("Authorization")}"}}'.encode()
        connection.send(Answer(status=400, body=body))

    with LoopbackHttpServer(refuse) as server, pytest.raises(PermanentUpstreamError) as caught:
        HttpTransport().post(a_call(server.url, authorizer=TokenAuth(secret)))

    assert str(caught.value) == "Sys: try it: HTTP 400: not <secret>"


def test_unusable_secret_is_an_error_of_the_call_and_nothing_is_sent() -> None:
    recorder = Recorder(Answer(status=200))
    authorizer = TokenAuth(Secret("irm-token", lambda: "two words"))

    with LoopbackHttpServer(recorder) as server, pytest.raises(UnsentError, match="Sys: try it: secret irm-token does"):
        HttpTransport().post(a_call(server.url, authorizer=authorizer))

    assert recorder.requests == []


def test_call_does_not_print_its_url_which_may_be_an_integrations() -> None:
    call = a_call("http://irm.example/integrations/v1/alertmanager/k3y/")

    assert "k3y" not in repr(call)


class AsksElsewhereFirst(NoAuth):
    """As a credential does whose secret has to be read first."""

    def __init__(self, url: str) -> None:
        self._url = url

    def headers(self, method: str, url: str, body: bytes) -> Mapping[str, str]:  # noqa: ARG002 - the protocol's
        HttpTransport().post(a_call(self._url))
        return {}


def test_deadline_holds_for_a_call_whose_credential_had_to_be_fetched_first() -> None:
    def trickle(_: Request, connection: Connection) -> None:
        for byte in b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 15:
            connection.send_bytes(bytes([byte]))
            connection.wait(0.1)

    elsewhere = Recorder(Answer(status=200))
    with LoopbackHttpServer(elsewhere) as vault, LoopbackHttpServer(trickle) as server:
        begun = time.monotonic()
        with pytest.raises(TransientUpstreamError, match="no complete answer in the time"):
            HttpTransport().post(a_call(server.url, seconds=0.5, authorizer=AsksElsewhereFirst(vault.url)))
        lasted = time.monotonic() - begun

    assert (len(elsewhere.requests), lasted < 2) == (1, True)


@pytest.mark.parametrize("code", [400, 404, 429, 500])
def test_secret_is_read_again_only_when_the_credential_was_refused(code: int) -> None:
    reads = []

    def read() -> str:
        reads.append(1)
        return "a-token"

    recorder = Recorder(Answer(status=code, headers=(("Retry-After", "999"),)))
    with LoopbackHttpServer(recorder) as server, pytest.raises(UpstreamError):
        HttpTransport().post(a_call(server.url, authorizer=TokenAuth(Secret("name", read))))

    assert (len(reads), len(recorder.requests)) == (1, 1)


class PausedBudget(RequestBudget):
    """Remembers how long it was to pause."""

    def __init__(self) -> None:
        super().__init__(10)
        self.pauses: list[float] = []

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)


def test_absurd_wait_of_one_answer_does_not_stop_the_runs_after_it() -> None:
    budget = PausedBudget()
    recorder = Recorder(Answer(status=429, headers=(("Retry-After", "999999"),)))

    with LoopbackHttpServer(recorder) as server, pytest.raises(PostponedError):
        HttpTransport().post(a_call(server.url, budgets=(budget,)))

    assert budget.pauses == [60.0], "as long as IRM counts"


def test_answer_that_was_cut_among_its_headers_is_no_success_even_if_it_said_how_long_it_is() -> None:
    def hold(_: Request, connection: Connection) -> None:
        connection.send_bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Not-The-Last: ")
        connection.wait(None)

    with LoopbackHttpServer(hold) as server, pytest.raises(TransientUpstreamError, match="no complete answer"):
        HttpTransport().post(a_call(server.url, seconds=0.3))


def test_answer_without_end_is_given_up_long_before_it_fills_the_memory() -> None:
    megabyte = b"x" * 1_048_576

    def flood(_: Request, connection: Connection) -> None:
        connection.send_bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n")
        while not connection.broken and not connection.stopping.is_set():
            connection.send_bytes(megabyte)

    with (
        LoopbackHttpServer(flood) as server,
        pytest.raises(ContractError, match="the answer is larger than 67108864 B"),
    ):
        HttpTransport().post(a_call(server.url, seconds=30))


def test_read_may_be_answered_by_a_server_that_tells_the_end_by_closing() -> None:
    def answer_and_close(_: Request, connection: Connection) -> None:
        connection.send_bytes(b'HTTP/1.0 200 OK\r\n\r\n{"a": 1}')
        connection.close()

    with LoopbackHttpServer(answer_and_close) as server:
        body = HttpTransport().get_json(a_call(server.url, method="GET"))

    assert body == {"a": 1}


def test_deadline_holds_on_a_connection_that_served_another_call_before() -> None:
    calls = []

    def trickle_the_second(request: Request, connection: Connection) -> None:
        calls.append(request)
        if len(calls) == 1:
            connection.send(Answer(status=200))
            return
        for byte in b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 15:
            connection.send_bytes(bytes([byte]))
            connection.wait(0.1)

    transport = HttpTransport(connections=1)
    with LoopbackHttpServer(trickle_the_second) as server:
        transport.post(a_call(server.url))
        begun = time.monotonic()
        with pytest.raises(TransientUpstreamError, match="no complete answer in the time"):
            transport.post(a_call(server.url, seconds=0.5))
        lasted = time.monotonic() - begun

    assert (len(calls), lasted < 2) == (2, True)


def test_deadline_of_a_call_that_is_over_cuts_no_later_one_on_its_connection() -> None:
    calls = []

    def answer_the_second_late(request: Request, connection: Connection) -> None:
        calls.append(request)
        connection.wait(0.0 if len(calls) == 1 else 0.8)
        connection.send(Answer(status=200))

    transport = HttpTransport(connections=1)
    with LoopbackHttpServer(answer_the_second_late) as server:
        transport.post(a_call(server.url, seconds=0.5))
        transport.post(a_call(server.url, seconds=10))

    assert len(calls) == 2
