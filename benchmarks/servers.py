"""What is measured against: a stand-in for Alertmanager that serves a world, and a fake Grafana IRM filled with it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from benchmarks.world import World
from tests.support.fake_irm import FakeIrm
from tests.support.loopback_http import Answer, Connection, LoopbackHttpServer, Request, Serving

_AGE = timedelta(hours=1)
"""Of every alert group: old enough for whatever waits."""
_JSON = (("Content-Type", "application/json"),)


class AlertmanagerStandIn(Serving):
    """Serves a world's JSON, made beforehand, and counts what it is asked. A real one would need the CPU itself."""

    def __init__(self, world: World, *, latency_seconds: float = 0.0) -> None:
        self.asked: Counter[str] = Counter()
        self._latency_seconds = latency_seconds
        self.show(world)
        self._server = LoopbackHttpServer(self._serve)

    def show(self, world: World) -> None:
        """Serve this world from now on."""
        self._world = world
        self._bodies = {
            "/api/v2/alerts/groups": world.aggregation_groups_json,
            "/api/v2/status": world.status_json,
            "/api/v2/silences": world.silences_json,
        }

    @property
    def url(self) -> str:
        return self._server.url

    def _serve(self, request: Request, connection: Connection) -> None:
        self.asked[request.path] += 1
        connection.wait(self._latency_seconds)
        connection.send(Answer(status=200, headers=_JSON, body=self._body(request)))

    def _body(self, request: Request) -> bytes:
        if request.path != "/api/v2/alerts":
            return self._bodies[request.path]
        matchers = (value.partition("=") for name, value in request.query if name == "filter")
        return self._world.firing_alerts_json({name: json.loads(value) for name, _, value in matchers})


class Irm(FakeIrm):
    """A Grafana IRM with a world's alert groups."""

    def __init__(self, *, integrations: int = 1, latency_seconds: float = 0.0) -> None:
        super().__init__(latency_seconds=latency_seconds)
        self._ways_in = [self.add_alertmanager_integration(f"alertmanager {number}") for number in range(integrations)]

    def fill(self, world: World, numbers: Iterable[int], states: Sequence[str]) -> None:
        """Add an alert group in its state for each of these groups."""
        created_at = datetime.now(UTC) - _AGE
        for number, state in zip(numbers, states, strict=True):
            way_in = self._ways_in[number % len(self._ways_in)]
            webhook = world.webhook(number)
            group = self.add_alert_group(webhook, integration=way_in, state=state, created_at=created_at)
            self.serialised(group)  # once, before anything is measured


def irm_with(world: World, *, states: Sequence[str] = (), integrations: int = 1, latency_seconds: float = 0.0) -> Irm:
    """A Grafana IRM as this world has it, but of the open alert groups the last ones in `states`."""
    irm = Irm(integrations=integrations, latency_seconds=latency_seconds)
    opened = world.open_numbers
    irm.fill(world, opened, [*["firing"] * (len(opened) - len(states)), *states])
    irm.fill(world, world.resolved_numbers, ["resolved"] * world.remembered)
    irm.resolved_ids.clear()  # counts what the run under measurement resolves
    return irm
