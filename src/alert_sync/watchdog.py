"""Shuts the socket of a request that takes longer than it may: while connecting, sending or waiting for headers.

No timeout of urllib3 or of the socket does that: each bounds one operation, and a server that trickles bytes is never
late for it.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from alert_sync.deadline import Deadline


class Watch:
    """Shuts the socket of the request that this thread is making once the deadline has passed."""

    def __init__(self) -> None:
        self.connection: HTTPConnection | None = None
        self.has_cut = False

    def take(self, connection: HTTPConnection) -> None:
        """Watch this connection from now on.

        Raises:
            TimeoutError: it is too late already: nothing more may be sent.
        """
        self.connection = connection
        if self.has_cut:
            raise TimeoutError

    def cut(self) -> None:
        self.has_cut = True
        sock = self.connection.sock if self.connection is not None else None
        if sock is not None:
            # An error means that it was closed in the same moment: nothing is left to cut.
            with suppress(OSError):
                # The plain socket's method: an SSLSocket's own would disturb a read in the other thread.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)


_current = threading.local()


class _HttpConnection(HTTPConnection):
    def connect(self) -> None:
        _current.watch.take(self)
        super().connect()
        # Until now there was no socket to shut: looking up the name, connecting and the TLS handshake took their time.
        _current.watch.take(self)

    def request(self, *args: Any, **kwargs: Any) -> None:
        _current.watch.take(self)
        super().request(*args, **kwargs)


class _HttpsConnection(_HttpConnection, HTTPSConnection):
    pass


class _WatchedHttpPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _HttpConnection


class _WatchedHttpsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _HttpsConnection


@contextmanager
def watched(deadline: Deadline) -> Iterator[Watch]:
    # Another request of this thread may be under way: its credential is being read from the secret store.
    outer = getattr(_current, "watch", None)
    watch = _current.watch = Watch()
    timer = threading.Timer(deadline.remaining(), watch.cut)
    timer.daemon = True
    timer.start()
    try:
        yield watch
    finally:
        timer.cancel()
        _current.watch = outer


POOLS = {"http": _WatchedHttpPool, "https": _WatchedHttpsPool}
"""Classes of connection pools for urllib3's PoolManager; requests on them must be made inside `watched`."""
