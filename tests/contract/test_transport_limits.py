"""What one call may never do: wait for ever, send after the deadline, or tell a secret, whatever else goes on."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from alert_sync.credentials import NoAuth, Secret, TokenAuth
from alert_sync.deadline import Deadline
from alert_sync.errors import (
    ContractError,
    PermanentUpstreamError,
    PostponedError,
    TransientUpstreamError,
    UnsentError,
)
from alert_sync.http_transport import Authorizer, Call, HttpTransport, Upstream
from tests.support.loopback_http import Answer, Connection, LoopbackHttpServer, Request


def a_call(url: str, *, method: str = "POST", seconds: float = 5.0, authorizer: Authorizer | None = None) -> Call:
    upstream = Upstream(name="Sys", base_url=url, authorizer=authorizer or NoAuth())
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
