"""A small threaded HTTP/1.1 server on 127.0.0.1 for test doubles; it knows nothing about what it serves.

Used by the fake Grafana IRM, the fault proxy and the replay server. It hands each request and the connection it came on
to one function, because a fault must be able to break a connection and not only to answer.
"""

import contextlib
import http.client
import socket
import struct
import threading
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.life_cycle import Running


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request as it arrived."""

    method: str
    target: str
    """Path and query exactly as asked, path prefix included."""
    headers: tuple[tuple[str, str], ...]
    body: bytes
    arrived_at: float
    """`time.monotonic()` when the whole request had been read."""

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> tuple[tuple[str, str], ...]:
        return tuple(urllib.parse.parse_qsl(self.target.partition("?")[2], keep_blank_values=True))

    def header(self, name: str) -> str | None:
        """Return the first header of that name in any spelling, or None."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What to send back. Content-Length is added when `headers` has none."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    reason: str = ""
    """Empty means the usual phrase of the status."""

    def head(self, *, length: int | None = None) -> bytes:
        """Return status line and headers, announcing `length` bytes of body (the real length unless told otherwise)."""
        reason = self.reason or http.client.responses.get(self.status, "Unknown")
        lines = [f"HTTP/1.1 {self.status} {reason}", *(f"{name}: {value}" for name, value in self.headers)]
        if not any(name.lower() == "content-length" for name, _ in self.headers):
            lines.append(f"Content-Length: {len(self.body) if length is None else length}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


@dataclass(slots=True)
class Connection:
    """The client's connection, for one request: send an answer, send raw bytes, or break it."""

    raw: socket.socket
    is_head: bool
    stopping: threading.Event
    """Set when the server is being stopped: whatever waits must wait on this."""
    broken: bool = field(default=False)

    def send(self, answer: Answer) -> None:
        """Send the answer in one piece: two writes would meet Nagle's algorithm and cost 40 ms."""
        self.send_bytes(answer.head() + (b"" if self.is_head else answer.body))

    def send_bytes(self, data: bytes) -> None:
        """Send raw bytes; a client that has gone away is no error of the server."""
        try:
            self.raw.sendall(data)
        except OSError:
            self.broken = True

    def close(self) -> None:
        """End the connection after what was sent so far (FIN)."""
        self.broken = True

    def reset(self) -> None:
        """Break the connection at once (RST): the client may lose what it has not read yet."""
        self.raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.broken = True

    def wait(self, seconds: float | None) -> None:
        """Wait without sending; None waits until the server is stopped."""
        self.stopping.wait(seconds)


Handler = Callable[[Request, Connection], None]

_Accepted = socket.socket | tuple[bytes, socket.socket]
_SECONDS_TO_END_A_CONNECTION = 5.0


class LoopbackHttpServer(Running):
    """Serve `handle(request, connection)` on a free port of 127.0.0.1, one thread per connection, with keep-alive.

    Example:
        with LoopbackHttpServer(lambda request, connection: connection.send(Answer(status=204))) as server:
            urllib3.request("GET", server.url)
    """

    def __init__(self, handle: Handler) -> None:
        self._handle = handle
        self._server: _Server | None = None
        self._port = 0

    @property
    def port(self) -> int:
        """The port in use; it stays the same when the server is stopped and started again."""
        return self._port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def is_listening(self) -> bool:
        return self._server is not None

    def start(self) -> None:
        """Listen. Raises OSError if the port of an earlier start has been taken meanwhile."""
        server = _Server(("127.0.0.1", self._port), self._handle)
        self._port = server.server_address[1]
        server.start_accepting()
        self._server = server

    def stop(self) -> None:
        """Stop listening, break every connection and wait for their threads. Not to be called from a handler."""
        server, self._server = self._server, None
        if server is not None:
            server.stop_accepting()
            server.end_connections()

    def stop_accepting(self) -> None:
        """Refuse new connections and break the open ones without waiting; a handler may call this."""
        server, self._server = self._server, None
        if server is not None:
            server.stop_accepting()
            threading.Thread(target=server.end_connections, daemon=True).start()


class Serving(Running):
    """What has such a server and nothing else to start."""

    __slots__ = ()

    _server: LoopbackHttpServer

    def start(self) -> None:
        """Open the port."""
        self._server.start()

    def stop(self) -> None:
        """Close the port and break what is open."""
        self._server.stop()


class _Server(ThreadingHTTPServer):
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], handle: Handler) -> None:
        self.handle_exchange = handle
        self.stopping = threading.Event()
        self._open: dict[socket.socket, threading.Thread] = {}
        self._lock = threading.Lock()
        self._is_closing = False
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        super().__init__(address, _RequestReader)

    def server_bind(self) -> None:
        # HTTPServer's own server_bind looks up the host's name, which may take seconds without DNS.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]

    def process_request(self, request: _Accepted, client_address: Any) -> None:
        assert isinstance(request, socket.socket)
        thread = threading.Thread(target=self.process_request_thread, args=(request, client_address), daemon=True)
        with self._lock:
            self._open[request] = thread
        thread.start()

    def shutdown_request(self, request: _Accepted) -> None:
        assert isinstance(request, socket.socket)
        # Not the inherited one: its orderly shutdown() would send a FIN before the RST that a fault asked for.
        request.close()
        with self._lock:
            self._open.pop(request, None)

    def start_accepting(self) -> None:
        self._acceptor.start()

    def _accept(self) -> None:
        # Not serve_forever(), which would look only every so often whether it is to stop.
        while True:
            connection, address = self.socket.accept()
            if self._is_closing:
                connection.close()
                return
            self.process_request(connection, address)

    def stop_accepting(self) -> None:
        self._is_closing = True
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.server_port), timeout=1.0).close()
        self._acceptor.join()
        self.socket.close()

    def end_connections(self) -> None:
        """Wake whoever waits, break what is open and join the threads, so that none outlives its test."""
        self.stopping.set()
        with self._lock:
            still_open = dict(self._open)
        for open_socket, thread in still_open.items():
            with contextlib.suppress(OSError):
                open_socket.shutdown(socket.SHUT_RDWR)
            thread.join(_SECONDS_TO_END_A_CONNECTION)
        self.server_close()


class _RequestReader(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):
            super().handle()

    def handle_one_request(self) -> None:
        self.close_connection = True
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or not self.parse_request():
            return
        connection = Connection(self.connection, is_head=self.command == "HEAD", stopping=self.server.stopping)
        self.server.handle_exchange(self._read_request(), connection)
        self.close_connection = self.close_connection or connection.broken

    def _read_request(self) -> Request:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return Request(
            method=self.command,
            target=self.path,
            headers=tuple(self.headers.items()),
            body=body,
            arrived_at=time.monotonic(),
        )

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet: tests ask the request log instead."""
