"""Each fault of the proxy is what it says it is, seen from a client that knows nothing but sockets."""

import gzip
import http.client
import json
import socket
import threading
import urllib.parse
from collections.abc import Iterator

import pytest

from tests.support.faults import (
    ABSURD_RETRY_AFTER,
    AnswerLate,
    Fault,
    FaultyProxy,
    LoseAnswer,
    NeverAnswer,
    Refuse,
    ResetInBody,
    SendRaw,
    Trickle,
    closed_port,
    duplicate_content_length,
    gzipped,
    html_instead,
    json_instead,
    redirect,
    status,
    truncated_json,
)
from tests.support.loopback_http import Answer, Connection, LoopbackHttpServer, Request
from tests.support.waiting import wait_for

BODY = json.dumps({"alerts": ["a", "b", "c"]}).encode()


class Upstream(LoopbackHttpServer):
    """Answers everything with the same JSON and counts."""

    def __init__(self) -> None:
        super().__init__(self._answer)
        self.asked: list[str] = []

    def _answer(self, request: Request, connection: Connection) -> None:
        self.asked.append(f"{request.method} {request.target}")
        connection.send(Answer(status=200, headers=(("Content-Type", "application/json"),), body=BODY))


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as server:
        yield server


@pytest.fixture
def proxy(upstream: Upstream) -> Iterator[FaultyProxy]:
    with FaultyProxy(f"{upstream.url}/prefix") as proxy:
        yield proxy


def connect(proxy: FaultyProxy, *, timeout: float = 5.0) -> socket.socket:
    """Send a GET over a fresh connection and return it."""
    address = urllib.parse.urlsplit(proxy.url)
    client = socket.create_connection((str(address.hostname), address.port or 0), timeout=timeout)
    client.sendall(b"GET /prefix/thing HTTP/1.1\r\nHost: upstream\r\nConnection: close\r\n\r\n")
    return client


def received(proxy: FaultyProxy) -> bytes:
    """Return everything that comes back until the connection ends."""
    with connect(proxy) as client:
        return b"".join(iter(lambda: client.recv(4096), b""))


def get(proxy: FaultyProxy, method: str = "GET", path: str = "/prefix/thing") -> http.client.HTTPResponse:
    """Ask like a proper client, on a connection of its own; the body has been read."""
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(proxy.url).netloc, timeout=5)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        response.read()
        return response
    finally:
        connection.close()


def body_of(raw: bytes) -> bytes:
    return raw.partition(b"\r\n\r\n")[2]


def test_without_a_fault_the_upstream_answers(proxy: FaultyProxy, upstream: Upstream) -> None:
    raw = received(proxy)

    assert raw.startswith(b"HTTP/1.1 200 OK\r\n")
    assert body_of(raw) == BODY
    assert upstream.asked == ["GET /prefix/thing"]


def test_connection_is_kept_alive_between_requests(proxy: FaultyProxy) -> None:
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(proxy.url).netloc, timeout=5)
    connection.request("GET", "/prefix/1")
    connection.getresponse().read()
    port = connection.sock.getsockname()

    connection.request("GET", "/prefix/2")
    connection.getresponse().read()

    assert connection.sock.getsockname() == port
    connection.close()


def test_closed_port_refuses() -> None:
    with closed_port() as url, pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", urllib.parse.urlsplit(url).port or 0), timeout=5)


def test_refusing_strikes_every_later_connection(proxy: FaultyProxy, upstream: Upstream) -> None:
    proxy.inject(Refuse())
    with pytest.raises((ConnectionError, http.client.BadStatusLine)):
        get(proxy)

    with pytest.raises(ConnectionRefusedError):
        connect(proxy)

    assert upstream.asked == []


def test_proxy_that_came_up_again_serves_on_the_same_port(proxy: FaultyProxy) -> None:
    url = proxy.url
    proxy.go_down()

    proxy.come_up()

    assert (proxy.url, get(proxy).status) == (url, 200)


def test_never_answering_keeps_the_connection_open(proxy: FaultyProxy, upstream: Upstream) -> None:
    proxy.inject(NeverAnswer())

    with connect(proxy, timeout=0.1) as client, pytest.raises(TimeoutError):
        client.recv(1)

    assert upstream.asked == []


def test_lost_answer_is_a_reset_after_the_upstream_was_asked(proxy: FaultyProxy, upstream: Upstream) -> None:
    proxy.inject(LoseAnswer())

    with connect(proxy) as client, pytest.raises(ConnectionResetError):
        client.recv(1)

    assert upstream.asked == ["GET /prefix/thing"]


def test_reset_in_body_comes_after_its_first_bytes(proxy: FaultyProxy) -> None:
    proxy.inject(ResetInBody(after_bytes=7))
    pieces: list[bytes] = []

    with connect(proxy) as client, pytest.raises(ConnectionResetError):
        pieces.extend(iter(lambda: client.recv(4096), b""))

    assert body_of(b"".join(pieces)) == BODY[:7]


def test_closing_in_body_leaves_it_incomplete(proxy: FaultyProxy) -> None:
    proxy.inject(ResetInBody(after_bytes=7, is_reset=False))

    with pytest.raises(http.client.IncompleteRead):
        get(proxy)


def test_late_answer_is_whole(proxy: FaultyProxy) -> None:
    proxy.inject(AnswerLate(0.1))

    with connect(proxy, timeout=0.03) as client:
        with pytest.raises(TimeoutError):
            client.recv(1)
        client.settimeout(5)
        raw = b"".join(iter(lambda: client.recv(4096), b""))

    assert body_of(raw) == BODY


@pytest.mark.parametrize("fault", [Trickle(interval_seconds=0.001), Trickle(interval_seconds=0.001, is_head_too=True)])
def test_trickled_answer_comes_in_single_bytes(proxy: FaultyProxy, fault: Trickle) -> None:
    proxy.inject(fault)
    pieces = []

    with connect(proxy) as client:
        while piece := client.recv(4096):
            pieces.append(piece)

    assert body_of(b"".join(pieces)) == BODY
    assert pieces[0].startswith(b"HTTP/1.1") is not fault.is_head_too


@pytest.mark.parametrize("fault", [NeverAnswer(), AnswerLate(10**6), Trickle(interval_seconds=10**6)])
def test_leaving_ends_what_waits(upstream: Upstream, fault: Fault) -> None:
    with FaultyProxy(upstream.url) as proxy:
        rule = proxy.inject(fault)
        client = connect(proxy)
        wait_for(lambda: rule.played == 1, what="the fault to be played")

    wait_for(lambda: threads_with_connections() == [], what="the threads of the connections to end", seconds=3)
    client.close()


def threads_with_connections() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if "process_request" in thread.name]


@pytest.mark.parametrize(
    ("fault", "expected_status", "content_type", "body"),
    [
        pytest.param(html_instead(), 200, "text/html; charset=utf-8", b"<!doctype html>", id="a page with 200"),
        pytest.param(json_instead([]), 200, "application/json", b"[]", id="a list instead of an object"),
        pytest.param(json_instead(None), 200, None, b"", id="nothing"),
        pytest.param(truncated_json(), 200, "application/json", BODY[: len(BODY) // 2], id="half of the JSON"),
        pytest.param(status(503), 503, None, b"", id="unavailable"),
        pytest.param(status(422, body={"detail": "no"}), 422, "application/json", b'{"detail": "no"}', id="a refusal"),
    ],
)
def test_other_answer_is_sent_instead(
    proxy: FaultyProxy, fault: Fault, expected_status: int, content_type: str | None, body: bytes
) -> None:
    proxy.inject(fault)

    response, raw = get(proxy), received(proxy)

    assert (response.status, response.headers["Content-Type"]) == (expected_status, content_type)
    assert body_of(raw).startswith(body)


@pytest.mark.parametrize("code", [400, 401, 403, 404, 409, 422, 429, 500, 502, 503])
def test_any_status_can_be_answered(proxy: FaultyProxy, code: int) -> None:
    proxy.inject(status(code))

    assert get(proxy).status == code


@pytest.mark.parametrize("value", ABSURD_RETRY_AFTER)
def test_absurd_wait_is_announced(proxy: FaultyProxy, value: str) -> None:
    proxy.inject(status(429, retry_after=value, ratelimit_reset=value))

    headers = get(proxy).headers

    assert (headers["Retry-After"], headers["RateLimit-Reset"]) == (value, value)


def test_redirect_names_the_other_host(proxy: FaultyProxy, upstream: Upstream) -> None:
    proxy.inject(redirect("http://localhost:1/elsewhere"))

    response = get(proxy)

    assert (response.status, response.headers["Location"]) == (302, "http://localhost:1/elsewhere")
    assert upstream.asked == []


def test_error_may_come_after_the_write_happened(proxy: FaultyProxy, upstream: Upstream) -> None:
    proxy.inject(status(502).after_processing(), method="POST")

    response = get(proxy, "POST")

    assert response.status == 502
    assert upstream.asked == ["POST /prefix/thing"]


def test_gzipped_answer_says_so(proxy: FaultyProxy) -> None:
    proxy.inject(gzipped())

    raw = received(proxy)

    assert b"\r\nContent-Encoding: gzip\r\n" in raw
    assert gzip.decompress(body_of(raw)) == BODY


def test_contradicting_lengths_are_both_sent(proxy: FaultyProxy) -> None:
    proxy.inject(duplicate_content_length())

    raw = received(proxy)

    assert raw.lower().count(b"\r\ncontent-length: ") == 2


def test_raw_bytes_need_not_be_http(proxy: FaultyProxy) -> None:
    proxy.inject(SendRaw(b"SSH-2.0-OpenSSH\r\n"))

    assert received(proxy) == b"SSH-2.0-OpenSSH\r\n"


def test_fault_strikes_only_the_requests_it_is_meant_for(proxy: FaultyProxy) -> None:
    rule = proxy.inject(status(503), method="POST", path=r"/resolve/?$", nth=range(2, 4))
    asked = [("POST", "/resolve"), ("GET", "/resolve"), ("POST", "/silence")] + 3 * [("POST", "/resolve/")]

    statuses = [get(proxy, method, path).status for method, path in asked]

    assert statuses == [200, 200, 200, 503, 503, 200]
    assert (rule.matched, rule.played) == (4, 2)


def test_first_of_two_matching_faults_wins(proxy: FaultyProxy) -> None:
    first, second = proxy.inject(status(500), nth=1), proxy.inject(status(503))

    statuses = [get(proxy).status for _ in range(2)]

    assert statuses == [500, 503]
    assert (first.played, second.played) == (1, 1)


def test_healed_proxy_passes_everything_on(proxy: FaultyProxy) -> None:
    proxy.inject(status(500))

    proxy.heal()

    assert get(proxy).status == 200
