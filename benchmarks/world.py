"""Worlds of any size in which Alertmanager and Grafana IRM disagree about some alert groups. Made before measuring.

Each alert is like a real one: about 1.1 kB in Alertmanager's API, 12 labels, 3 annotations. Each alert group of IRM
holds the webhook that Alertmanager sent when all of its alerts were firing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

Payload = dict[str, Any]

_RECEIVER = "oncall"
_STARTED = "2025-01-01T08:00:00.000Z"
_ENDS = "2099-01-01T00:00:00.000Z"
_SILENCES = 30
_REGIONS = ("eu-west-1", "eu-central-1", "us-east-1", "ap-south-1")


@dataclass(frozen=True, kw_only=True)
class World:
    """So many groups of so many alerts, by number.

    The first `silenced` are silenced in Alertmanager; of the next `remembered` too, and those were resolved in IRM for
    it. The last `gone` are open in IRM and lost in Alertmanager; the `missing` before them the other way round. All
    others fire in both.
    """

    groups: int
    alerts_per_group: int
    silenced: int = 0
    remembered: int = 0
    missing: int = 0
    gone: int = 0

    @property
    def alerts(self) -> int:
        return self.groups * self.alerts_per_group

    @property
    def resolved_numbers(self) -> range:
        """The groups that IRM has as resolved."""
        return range(self.silenced, self.silenced + self.remembered)

    @property
    def gone_numbers(self) -> range:
        return range(self.groups - self.gone, self.groups)

    @property
    def open_numbers(self) -> Sequence[int]:
        """The groups that IRM has as open."""
        firing = range(self.resolved_numbers.stop, self.groups - self.gone - self.missing)
        return [*range(self.silenced), *firing, *self.gone_numbers]

    @cached_property
    def aggregation_groups_json(self) -> bytes:
        return _dumped([self._aggregation_group(number) for number in range(self.groups - self.gone)])

    @cached_property
    def silences_json(self) -> bytes:
        is_any_silenced = self.resolved_numbers.stop > 0
        return _dumped([_silence(number) for number in range(_SILENCES)] if is_any_silenced else [])

    def firing_alerts_json(self, group_labels: Mapping[str, str]) -> bytes:
        """The alerts of one aggregation group that nothing suppresses."""
        number = next(each for each in range(self.groups) if _group_labels(each) == group_labels)
        alerts = self._aggregation_group(number)["alerts"] if number < self.groups - self.gone else []
        return _dumped([alert for alert in alerts if alert["status"]["state"] == "active"])

    @property
    def status_json(self) -> bytes:
        return _dumped({"cluster": {"status": "ready", "peers": []}, "uptime": _STARTED, "versionInfo": {}})

    def _aggregation_group(self, number: int) -> Payload:
        receivers = [{"name": _RECEIVER}]
        silenced_by = [_silence_id(number)] if number < self.resolved_numbers.stop else []
        state = "suppressed" if silenced_by else "active"
        status = {"inhibitedBy": [], "mutedBy": [], "silencedBy": silenced_by, "state": state}
        alerts = [
            {**_alert(number, each), "receivers": receivers, "status": status, "updatedAt": _STARTED}
            for each in range(self.alerts_per_group)
        ]
        return {"receiver": receivers[0], "labels": _group_labels(number), "alerts": alerts}

    def webhook(self, number: int) -> Payload:
        """The payload that IRM keeps for this group's alert group."""
        labels = _group_labels(number)
        alerts = [{"status": "firing", **_alert(number, each)} for each in range(self.alerts_per_group)]
        return {
            "receiver": _RECEIVER,
            "status": "firing",
            "alerts": alerts,
            "groupLabels": labels,
            "commonLabels": labels,
            "commonAnnotations": {},
            "externalURL": "http://alertmanager.example",
            "version": "4",
            "groupKey": "{}:{" + ", ".join(f'{name}="{value}"' for name, value in labels.items()) + "}",
            "truncatedAlerts": 0,
        }


def _group_labels(number: int) -> Mapping[str, str]:
    return {"alertname": f"ServiceErrorBudgetBurn{number // 20:04d}", "cluster": f"production-{number % 20:02d}"}


def _alert(group: int, number: int) -> Payload:
    service = f"payments-gateway-{group % 50:02d}"
    labels = {
        **_group_labels(group),
        "container": "application",
        "endpoint": "http-metrics",
        "environment": "production",
        "instance": f"10.{group % 250}.{number % 250}.17:9100",
        "job": f"kubernetes-pods/{service}",
        "namespace": f"team-{group % 40:02d}-production",
        "pod": f"{service}-7d9f8b6c5d-{group * 100 + number:06d}",
        "region": _REGIONS[group % len(_REGIONS)],
        "severity": "critical" if group % 3 else "warning",
        "team": f"team-{group % 40:02d}",
    }
    return {
        "labels": labels,
        "annotations": {
            "description": f"Pod {labels['pod']} of {service} has answered more than 5 % of its requests with an error "
            "for 15 minutes, which spends the error budget of 30 days in less than two.",
            "runbook_url": f"https://runbooks.example.com/services/{service}/error-budget-burn",
            "summary": f"{service} burns its error budget too quickly",
        },
        "startsAt": _STARTED,
        "endsAt": _ENDS,
        "generatorURL": f"http://prometheus.example/graph?g0.expr=burn_rate%7Bservice%3D%22{service}%22%7D+%3E+14.4",
        "fingerprint": f"{group * 1_000_003 + number:016x}",
    }


def _silence(number: int) -> Payload:
    matchers = [{"name": "team", "value": f"team-{number:02d}", "isRegex": False, "isEqual": True}]
    return {
        "id": _silence_id(number),
        "matchers": matchers,
        "startsAt": _STARTED,
        "endsAt": _ENDS,
        "updatedAt": _STARTED,
        "createdBy": "ann",
        "comment": "planned maintenance",
        "status": {"state": "active"},
    }


def _silence_id(number: int) -> str:
    return f"5f0c5e2a-0000-4000-8000-{number % _SILENCES:012d}"


def _dumped(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
