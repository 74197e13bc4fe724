"""Receives the webhooks of an Alertmanager, keeps them, and hands each on, for example to a fake IRM."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.support.loopback_http import Answer, Connection, LoopbackHttpServer, Request, Serving
from tests.support.waiting import wait_for

Payload = dict[str, Any]


class WebhookRecorder(Serving):
    """A receiver on a loopback port. `payloads` are those that it accepted, in order of arrival.

    Example:
        with WebhookRecorder(on_payload=fake_irm.receive) as webhooks:
            config = routing_config(webhooks.url)
    """

    def __init__(self, on_payload: Callable[[Payload], object] | None = None) -> None:
        """`on_payload` runs on the server's thread, before Alertmanager has its answer."""
        self.payloads: list[Payload] = []
        self.status = 200
        """What to answer from now on; a payload that is answered with an error counts as not delivered."""
        self._on_payload = on_payload
        self._server = LoopbackHttpServer(self._receive)

    @property
    def url(self) -> str:
        return f"{self._server.url}/webhook"

    def wait_for(self, condition: Callable[[Payload], bool], *, what: str) -> Payload:
        """Return the first payload, of those here or to come, of which the condition is true."""
        return wait_for(lambda: next(filter(condition, self.payloads), None), what=what) or {}

    def _receive(self, request: Request, connection: Connection) -> None:
        if self.status < 300:
            payload = json.loads(request.body)
            if self._on_payload is not None:
                self._on_payload(payload)
            self.payloads.append(payload)
        connection.send(Answer(status=self.status))
