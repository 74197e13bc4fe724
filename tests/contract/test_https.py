"""HTTPS as it is used for real: certificates are checked, connections are kept, a handshake cannot outlast the run."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme

from alert_sync.call import Call, Upstream
from alert_sync.credentials import NoAuth
from alert_sync.deadline import Deadline
from alert_sync.errors import TransientUpstreamError
from alert_sync.http_transport import HttpTransport

BODY = {"status": "ok"}


class _Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = json.dumps(BODY).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


class Server(ThreadingHTTPServer):
    """Speaks TLS with the certificate given, and counts connections."""

    daemon_threads = True

    def __init__(self, certificate: trustme.LeafCert) -> None:
        self.connections = 0
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(self._context)
        super().__init__(("127.0.0.1", 0), _Answering)

    def get_request(self) -> tuple[socket.socket, object]:
        accepted, address = super().get_request()
        self.connections += 1
        return self._context.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False), address

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that refuses our certificate is no error here."""

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.server_port}"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusted(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The authority is one that this machine trusts."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))


def serving(certificate: trustme.LeafCert) -> Iterator[Server]:
    server = Server(certificate)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def server(authority: trustme.CA) -> Iterator[Server]:
    yield from serving(authority.issue_cert("127.0.0.1"))


@pytest.fixture
def other_host(authority: trustme.CA) -> Iterator[Server]:
    yield from serving(authority.issue_cert("alertmanager.example.com"))


def call(url: str, *, seconds: float = 5) -> Call:
    upstream = Upstream(name="Sys", base_url=url, authorizer=NoAuth())
    return Call(upstream=upstream, operation="try it", path="/x", deadline=Deadline(seconds))


@pytest.mark.usefixtures("trusted")
def test_trusted_server_is_read_and_its_connection_kept(server: Server) -> None:
    transport = HttpTransport()

    answers = [transport.get_json(call(server.url)) for _ in range(3)]

    assert answers == [BODY] * 3
    assert server.connections == 1


def test_certificate_of_an_unknown_authority_is_refused(server: Server) -> None:
    with pytest.raises(TransientUpstreamError, match="TLS failed"):
        HttpTransport(backoff_seconds=0.01).get_json(call(server.url))


@pytest.mark.usefixtures("trusted")
def test_certificate_of_another_host_is_refused(other_host: Server) -> None:
    with pytest.raises(TransientUpstreamError, match="TLS failed"):
        HttpTransport(backoff_seconds=0.01).get_json(call(other_host.url))


def test_handshake_that_never_comes_ends_with_the_run() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        begun = time.monotonic()

        with pytest.raises(TransientUpstreamError):
            HttpTransport().get_json(call(f"https://127.0.0.1:{silent.getsockname()[1]}", seconds=0.5))

    assert time.monotonic() - begun < 3
