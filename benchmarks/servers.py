"""What is measured against: a stand-in for Alertmanager that serves a world, and a fake Grafana IRM filled with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from benchmarks.world import World
from tests.support.fake_irm import FakeIrm
from tests.support.loopback_http import Answer, Connection, LoopbackHttpServer, Request, Serving

_JSON = (("Content-Type", "application/json"),)


class AlertmanagerStandIn(Serving):
    """Serves a world's JSON, made beforehand, and counts what it is asked. A real one would need the CPU itself."""

    def __init__(self, world: World, *, latency_seconds: float = 0.0) -> None:
        self.asked: Counter[str] = Counter()
        self._latency_seconds = latency_seconds
        self._bodies = {
            "/api/v2/alerts/groups": world.aggregation_groups_json,
            "/api/v2/status": world.status_json,
            "/api/v2/silences": world.silences_json,
        }
        self._server = LoopbackHttpServer(self._serve)

    @property
    def url(self) -> str:
        return self._server.url

    def _serve(self, request: Request, connection: Connection) -> None:
        self.asked[request.path] += 1
        connection.wait(self._latency_seconds)
        connection.send(Answer(status=200, headers=_JSON, body=self._bodies[request.path]))


def irm_with(
    world: World, *, states: Sequence[str] = (), integrations: int = 1, latency_seconds: float = 0.0
) -> FakeIrm:
    """A Grafana IRM with an alert group for each aggregation group: firing, but the last ones in `states`."""
    irm = FakeIrm(latency_seconds=latency_seconds)
    ways_in = [irm.add_alertmanager_integration(f"alertmanager {number}") for number in range(integrations)]
    firing = ["firing"] * (world.groups - len(states))
    for number, (webhook, state) in enumerate(zip(world.webhooks, [*firing, *states], strict=True)):
        group = irm.add_alert_group(webhook, integration=ways_in[number % integrations], state=state)
        irm.serialised(group)  # once, before anything is measured
    return irm
