"""Faults over real sockets: a proxy on a loopback port that stands before any HTTP upstream and spoils chosen answers.

Faults that only replace an answer could be played by the upstream itself; those that break a connection could not, and
one mechanism for both keeps the upstreams honest.

Example:
    with FakeIrm() as irm, FaultyProxy(irm.url) as proxy:
        lost = proxy.inject(LoseAnswer(), method="POST", path=r"/resolve", nth=1)
        run(irm_url=proxy.url)
        assert lost.played == 1
"""

import contextlib
import gzip
import http.client
import json
import re
import socket
import threading
import urllib.parse
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

from tests.support.loopback_http import Answer, Connection, LoopbackHttpServer, Request, Serving

ABSURD_RETRY_AFTER = ("999999999", "-1", "1.5", "soon", "", "nan", "inf", "Wed, 21 Oct 2015 07:28:00 GMT")
"""Values of Retry-After and RateLimit-Reset that a client must survive."""

_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "host"})
_SECONDS_FOR_UPSTREAM = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """What a fault may do with: the request, the client's connection, the upstream, the port."""

    request: Request
    connection: Connection
    forward: Callable[[], Answer]
    """Have the upstream process the request; at most once."""
    go_down: Callable[[], None]


class Fault(Protocol):
    def play(self, exchange: Exchange) -> None:
        """Answer, or fail to."""


# Connections


@dataclass(frozen=True, slots=True)
class Refuse:
    """Break the connection unanswered and close the port: this and every later attempt fails until `come_up()`."""

    def play(self, exchange: Exchange) -> None:
        exchange.connection.reset()
        exchange.go_down()


@dataclass(frozen=True, slots=True)
class NeverAnswer:
    """Take the request and keep silent, with the connection open."""

    def play(self, exchange: Exchange) -> None:
        exchange.connection.wait(None)
        exchange.connection.close()


@dataclass(frozen=True, slots=True)
class LoseAnswer:
    """Let the upstream process the request, then reset the connection: the write happened, nobody says so."""

    def play(self, exchange: Exchange) -> None:
        exchange.forward()
        exchange.connection.reset()


@dataclass(frozen=True, slots=True)
class ActFirst:
    """Let the test change the world in the moment of the request, then let the upstream answer."""

    act: Callable[[], object]

    def play(self, exchange: Exchange) -> None:
        self.act()
        exchange.connection.send(exchange.forward())


@dataclass(frozen=True, slots=True)
class ResetInBody:
    """Send the head and the first bytes of the body, then reset (RST), or only close (FIN) the connection."""

    after_bytes: int = 10
    is_reset: bool = True

    def play(self, exchange: Exchange) -> None:
        answer = exchange.forward()
        exchange.connection.send_bytes(answer.head() + answer.body[: self.after_bytes])
        # A reset overtakes what was just sent unless the client gets the time to read it.
        exchange.connection.wait(0.02)
        if self.is_reset:
            exchange.connection.reset()
        else:
            exchange.connection.close()


@dataclass(frozen=True, slots=True)
class AnswerLate:
    """Let the upstream process the request at once and answer after a while."""

    seconds: float

    def play(self, exchange: Exchange) -> None:
        answer = exchange.forward()
        exchange.connection.wait(self.seconds)
        exchange.connection.send(answer)


@dataclass(frozen=True, slots=True)
class Trickle:
    """Send the body a byte at a time, so that no single read ever times out; with `is_head_too` the head as well."""

    interval_seconds: float = 0.05
    is_head_too: bool = False

    def play(self, exchange: Exchange) -> None:
        answer, connection = exchange.forward(), exchange.connection
        head = answer.head()
        if not self.is_head_too:
            connection.send_bytes(head)
        for byte in head + answer.body if self.is_head_too else answer.body:
            connection.wait(self.interval_seconds)
            if connection.broken or connection.stopping.is_set():
                return
            connection.send_bytes(bytes([byte]))


# Answers


@dataclass(frozen=True, slots=True)
class Instead:
    """Answer something else; the upstream does not hear of the request unless `is_forwarded`."""

    answer: Answer
    is_forwarded: bool = False

    def after_processing(self) -> "Instead":
        """Return the same fault, for which the upstream processes the request first."""
        return replace(self, is_forwarded=True)

    def play(self, exchange: Exchange) -> None:
        if self.is_forwarded:
            exchange.forward()
        exchange.connection.send(self.answer)


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Answer what the upstream answers, changed."""

    change: Callable[[Answer], Answer]

    def play(self, exchange: Exchange) -> None:
        exchange.connection.send(self.change(exchange.forward()))


@dataclass(frozen=True, slots=True)
class SendRaw:
    """Send these bytes, HTTP or not, and close the connection."""

    data: bytes

    def play(self, exchange: Exchange) -> None:
        exchange.connection.send_bytes(self.data)
        exchange.connection.close()


def status(code: int, *, body: object = None, **headers: str) -> Instead:
    """Answer with a status; `retry_after="soon"` becomes the header Retry-After, a body other than bytes JSON."""
    named = tuple((name.replace("_", "-").title().replace("Ratelimit", "RateLimit"), headers[name]) for name in headers)
    raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    kind = () if body is None else (("Content-Type", "application/json"),)
    return Instead(Answer(status=code, headers=(*kind, *named), body=raw))


def json_instead(value: object) -> Instead:
    """Answer 200 with JSON of another type than the one asked for."""
    return status(200, body=value)


def html_instead(code: int = 200) -> Instead:
    """Answer with the page of a login form or a proxy."""
    page = b"<!doctype html><html><head><title>Sign in</title></head><body><h1>Sign in</h1></body></html>"
    return Instead(Answer(status=code, headers=(("Content-Type", "text/html; charset=utf-8"),), body=page))


def redirect(to: str, *, code: int = 302) -> Instead:
    """Send the client somewhere else; a client that follows may carry its token there."""
    return status(code, location=to)


def truncated_json() -> Rewrite:
    """Answer the first half of the body, with a Content-Length that agrees."""
    return Rewrite(lambda answer: replace(answer, body=answer.body[: len(answer.body) // 2]))


def gzipped() -> Rewrite:
    """Answer compressed, whatever was asked for."""
    encoding = ("Content-Encoding", "gzip")
    return Rewrite(lambda answer: replace(answer, headers=(*answer.headers, encoding), body=gzip.compress(answer.body)))


def duplicate_content_length() -> Rewrite:
    """Answer with two lengths that contradict each other, the right one last."""
    return Rewrite(lambda answer: replace(answer, headers=(*answer.headers, *_two_lengths(len(answer.body)))))


def _two_lengths(length: int) -> tuple[tuple[str, str], ...]:
    return ("Content-Length", str(length // 2)), ("Content-Length", str(length))


# The proxy


@dataclass(slots=True)
class Rule:
    """Which requests a fault strikes, and how often it has."""

    fault: Fault
    method: str | None
    path: re.Pattern[str]
    nth: Collection[int] | None
    matched: int = 0
    """Requests of that method and path so far."""
    played: int = 0
    """How many of them were spoiled."""

    def strikes(self, request: Request) -> bool:
        """Count the request; whether it is to be spoiled."""
        if self.method not in (None, request.method) or not self.path.search(request.target):
            return False
        self.matched += 1
        return self.nth is None or self.matched in self.nth


@dataclass(slots=True)
class FaultyProxy(Serving):
    """Pass requests on to `upstream_url`, except those that an injected fault strikes."""

    upstream_url: str
    requests: list[Request] = field(default_factory=list, init=False)
    """Every request that reached the proxy, in order."""
    _rules: list[Rule] = field(default_factory=list, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _server: LoopbackHttpServer = field(init=False)

    def __post_init__(self) -> None:
        self._server = LoopbackHttpServer(self._serve)

    @property
    def url(self) -> str:
        """Where to send requests instead of to the upstream, with the same path prefix."""
        return self._server.url + urllib.parse.urlsplit(self.upstream_url).path

    def inject(
        self, fault: Fault, *, method: str | None = None, path: str = "", nth: int | Collection[int] | None = None
    ) -> Rule:
        """Spoil the requests of a method whose path and query match the regular expression, until `heal()`.

        `nth` says which of them, counted from 1: one, several (`range(1, 4)`), or None for all. Of several rules the
        one injected first wins.
        """
        rule = Rule(fault, method, re.compile(path), (nth,) if isinstance(nth, int) else nth)
        with self._lock:
            self._rules.append(rule)
        return rule

    def heal(self) -> None:
        """Forget all faults."""
        with self._lock:
            self._rules.clear()

    def go_down(self) -> None:
        """Close the port and break what is open: connections are refused."""
        self._server.stop_accepting()

    def come_up(self) -> None:
        """Listen again, on the same port."""
        self._server.start()

    def _serve(self, request: Request, connection: Connection) -> None:
        with self._lock:
            self.requests.append(request)
            struck = [rule for rule in self._rules if rule.strikes(request)]
            for rule in struck[:1]:
                rule.played += 1

        def forward() -> Answer:
            return _forwarded(self.upstream_url, request)

        if struck:
            exchange = Exchange(request=request, connection=connection, forward=forward, go_down=self.go_down)
            struck[0].fault.play(exchange)
        else:
            connection.send(forward())


@contextlib.contextmanager
def closed_port() -> Iterator[str]:
    """Yield a URL whose port refuses connections and, being held, cannot be taken by anybody else meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


def _forwarded(upstream_url: str, request: Request) -> Answer:
    upstream = http.client.HTTPConnection(urllib.parse.urlsplit(upstream_url).netloc, timeout=_SECONDS_FOR_UPSTREAM)
    headers = {name: value for name, value in request.headers if name.lower() not in _HOP_BY_HOP}
    with contextlib.closing(upstream):
        try:
            upstream.request(request.method, request.target, body=request.body or None, headers=headers)
            response = upstream.getresponse()
            body = response.read()
        except OSError:
            return Answer(status=502, body=b"the upstream of the fault proxy did not answer")
    kept = tuple((name, value) for name, value in response.getheaders() if name.lower() not in _HOP_BY_HOP)
    return Answer(status=response.status, reason=response.reason, headers=kept, body=body)
