"""A tiny Alertmanager on a loopback port: it lists the aggregation groups, silences and status that a test gives it.

For tests of what is done with its answers. Whether a real one answers so is for the integration tests.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from alert_sync.fingerprint import fingerprint
from tests.support.loopback_http import Answer, Connection, LoopbackHttpServer, Request, Serving

RECEIVER = "oncall"

_JSON = ("Content-Type", "application/json")


def status_json(*, cluster: str = "ready", up_for: timedelta = timedelta(days=1)) -> dict[str, Any]:
    """The status of a server that has been up for a while."""
    return {"cluster": {"status": cluster, "peers": []}, "uptime": _ago(up_for), "config": {"original": ""}}


def alert_json(
    name: str, *, silenced_by: list[str] | None = None, inhibited_by: list[str] | None = None
) -> dict[str, Any]:
    """One alert as the API lists it, active unless something holds it."""
    labels = {"alertname": name, "severity": "critical"}
    return {
        "labels": labels,
        "annotations": {},
        "fingerprint": fingerprint(labels),
        "startsAt": _ago(timedelta(hours=1)),
        "endsAt": _ago(timedelta(minutes=-4)),
        "updatedAt": _ago(timedelta(minutes=1)),
        "receivers": [{"name": RECEIVER}],
        "status": {
            "state": "suppressed" if silenced_by or inhibited_by else "active",
            "silencedBy": silenced_by or [],
            "inhibitedBy": inhibited_by or [],
            "mutedBy": [],
        },
    }


def silence_json(silence_id: str, *, ends_in: timedelta = timedelta(hours=1), state: str = "active") -> dict[str, Any]:
    """One silence as the API lists it; its matchers play no part here."""
    return {
        "id": silence_id,
        "status": {"state": state},
        "startsAt": _ago(timedelta(hours=1)),
        "endsAt": _ago(-ends_in),
        "updatedAt": _ago(timedelta(hours=1)),
        "createdBy": "ann",
        "comment": "deploy",
        "matchers": [{"name": "alertname", "value": ".+", "isRegex": True, "isEqual": True}],
    }


def webhook_json(group_labels: dict[str, str], *alerts: dict[str, Any]) -> dict[str, Any]:
    """What Alertmanager posts when these alerts begin to fire."""
    return {
        "version": "4",
        "receiver": RECEIVER,
        "status": "firing",
        "groupKey": f"{{}}:{json.dumps(group_labels)}",
        "groupLabels": group_labels,
        "truncatedAlerts": 0,
        "alerts": [
            {
                "status": "firing",
                "labels": alert["labels"],
                "annotations": {},
                "startsAt": alert["startsAt"],
                "endsAt": "0001-01-01T00:00:00Z",
                "fingerprint": alert["fingerprint"],
            }
            for alert in alerts
        ],
    }


def _ago(time: timedelta) -> str:
    return (datetime.now(UTC) - time).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(slots=True, kw_only=True)
class StubAlertmanager(Serving):
    """Serve `groups`, `silences` and `status`; all may be changed at any time.

    Example:
        with StubAlertmanager() as alertmanager, FakeIrm() as irm:
            group = irm.add_alert_group(alertmanager.silenced("HighLatency"))
            ...
            assert irm.resolved_ids == [group.id]
    """

    path_prefix: str = ""
    groups: Any = field(default_factory=list)
    silences: Any = field(default_factory=list)
    status: Any = field(default_factory=status_json)
    instead: Answer | None = None
    """Sent whatever is asked."""
    requests: list[Request] = field(default_factory=list, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _server: LoopbackHttpServer = field(init=False)

    def __post_init__(self) -> None:
        self._server = LoopbackHttpServer(self._serve)

    @property
    def url(self) -> str:
        return self._server.url + self.path_prefix

    @property
    def paths(self) -> list[str]:
        """What was asked for, in order."""
        return [request.path for request in self.requests]

    def silenced(self, *names: str) -> dict[str, Any]:
        """Hold one aggregation group of alerts with these names, all silenced; return the webhook sent before that."""
        silence = silence_json(f"silence-of-{names[0]}")
        self.silences.append(silence)
        return self._hold(*(alert_json(name, silenced_by=[silence["id"]]) for name in names))

    def active(self, *names: str) -> dict[str, Any]:
        """Hold one aggregation group of active alerts; return the webhook that was sent for it."""
        return self._hold(*(alert_json(name) for name in names))

    def inhibited(self, *names: str) -> dict[str, Any]:
        """Hold one aggregation group of alerts that others inhibit; return the webhook that was sent before that."""
        return self._hold(*(alert_json(name, inhibited_by=["0123456789abcdef"]) for name in names))

    def _hold(self, *alerts: dict[str, Any]) -> dict[str, Any]:
        group_labels = {"group": alerts[0]["labels"]["alertname"]}
        self.groups.append({"labels": group_labels, "receiver": {"name": RECEIVER}, "alerts": list(alerts)})
        return webhook_json(group_labels, *alerts)

    def _serve(self, request: Request, connection: Connection) -> None:
        with self._lock:
            self.requests.append(request)
        connection.send(self.instead or self._answer(request))

    def _answer(self, request: Request) -> Answer:
        bodies = {"alerts/groups": self.groups, "silences": self.silences, "status": self.status}
        for name, body in bodies.items():
            if request.path == f"{self.path_prefix}/api/v2/{name}":
                allowed = Answer(status=200, headers=(_JSON,), body=json.dumps(body).encode())
                return allowed if request.method == "GET" else replace(allowed, status=405, body=b"")
        return Answer(status=404, headers=(_JSON,), body=b'{"code":404,"message":"path was not found"}')
