"""A stand-in for Alertmanager, for machines that cannot have the real one: one route, one receiver, three answers.

It knows what the scenario needs and no more. What Alertmanager really does is for the tests with the real program.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import urllib3

from alert_sync.fingerprint import fingerprint
from tests.support.loopback_http import Answer, Connection, LoopbackHttpServer, Request, Serving

_RECEIVER = "oncall"
_GROUP_BY = ("alertname", "cluster")

Labels = Mapping[str, str]
Json = dict[str, Any]


class StandInAlertmanager(Serving):
    """Serves aggregation groups, silences and status; tells of new alerts by webhook at once, of nothing else."""

    def __init__(self, webhook_url: str) -> None:
        self._webhook_url = webhook_url
        self._started_at = _text(datetime.now(UTC))
        self._alerts: dict[str, Labels] = {}
        self._silences: list[Json] = []
        self._server = LoopbackHttpServer(self._serve)

    @property
    def url(self) -> str:
        return self._server.url

    def post_alerts(self, *label_sets: Labels, resolved: bool = False) -> None:
        """Fire, or resolve. A resolve is told to nobody, which is right only for alerts that are silenced."""
        for labels in label_sets:
            if resolved:
                self._alerts.pop(fingerprint(labels), None)
            else:
                self._alerts[fingerprint(labels)] = labels
        if not resolved:
            for group_labels in _distinct(_group_labels(labels) for labels in label_sets):
                self._notify(group_labels)

    def silence(self, matchers: Labels, *, ends_in: timedelta, author: str, comment: str) -> str:
        now = datetime.now(UTC)
        equal = [{"name": name, "value": value, "isRegex": False, "isEqual": True} for name, value in matchers.items()]
        times = {"startsAt": _text(now), "endsAt": _text(now + ends_in), "updatedAt": _text(now)}
        people = {"createdBy": author, "comment": comment, "status": {"state": "active"}}
        self._silences.append({"id": str(uuid4()), "matchers": equal, **times, **people})
        return str(self._silences[-1]["id"])

    def groups(self) -> list[Json]:
        """The aggregation groups, as API v2 lists them."""
        every = _distinct(_group_labels(labels) for labels in self._alerts.values())
        return [
            {
                "labels": labels,
                "receiver": {"name": _RECEIVER},
                "alerts": [self._listed(key) for key in self._of(labels)],
            }
            for labels in every
        ]

    def _serve(self, request: Request, connection: Connection) -> None:
        answers: dict[str, object] = {
            "/api/v2/alerts/groups": self.groups(),
            "/api/v2/silences": self._silences,
            "/api/v2/status": {"cluster": {"status": "disabled", "peers": []}, "uptime": self._started_at},
        }
        status = 200 if request.method == "GET" and request.path in answers else 404
        body = json.dumps(answers.get(request.path)).encode()
        connection.send(Answer(status=status, headers=(("Content-Type", "application/json"),), body=body))

    def _notify(self, group_labels: Labels) -> None:
        labels = ", ".join(f'{name}="{value}"' for name, value in group_labels.items())
        webhook = {
            "receiver": _RECEIVER,
            "status": "firing",
            "alerts": [self._told(key) for key in self._of(group_labels)],
            "groupLabels": group_labels,
            "commonLabels": group_labels,
            "commonAnnotations": {},
            "externalURL": self.url,
            "version": "4",
            "groupKey": f"{{}}:{{{labels}}}",
            "truncatedAlerts": 0,
        }
        urllib3.request("POST", self._webhook_url, json=webhook, timeout=10.0, retries=False)

    def _of(self, group_labels: Labels) -> list[str]:
        return sorted(key for key, labels in self._alerts.items() if _group_labels(labels) == group_labels)

    def _told(self, key: str) -> Json:
        times = {"startsAt": self._started_at, "endsAt": "0001-01-01T00:00:00Z"}
        return {"status": "firing", "labels": self._alerts[key], "annotations": {}, "fingerprint": key, **times}

    def _listed(self, key: str) -> Json:
        silenced_by = [silence["id"] for silence in self._silences if _covers(silence, self._alerts[key])]
        inhibited_by = self._inhibitors_of(self._alerts[key])
        state = "suppressed" if silenced_by or inhibited_by else "active"
        return {
            "fingerprint": key,
            "labels": self._alerts[key],
            "annotations": {},
            "receivers": [{"name": _RECEIVER}],
            "startsAt": self._started_at,
            "updatedAt": self._started_at,
            "endsAt": _text(datetime.now(UTC) + timedelta(minutes=5)),
            "status": {"state": state, "silencedBy": silenced_by, "inhibitedBy": inhibited_by},
        }

    def _inhibitors_of(self, target: Labels) -> list[str]:
        """A critical alert inhibits the warnings of its cluster."""
        if target.get("severity") != "warning":
            return []
        wanted = ("critical", target.get("cluster"))
        return [
            key for key, labels in self._alerts.items() if (labels.get("severity"), labels.get("cluster")) == wanted
        ]


def _covers(silence: Json, labels: Labels) -> bool:
    return all(labels.get(matcher["name"], "") == matcher["value"] for matcher in silence["matchers"])


def _group_labels(labels: Labels) -> Labels:
    return {name: labels[name] for name in _GROUP_BY if name in labels}


def _distinct(every: Iterable[Labels]) -> list[Labels]:
    return list({tuple(labels.items()): labels for labels in every}.values())


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
