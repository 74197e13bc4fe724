"""The webhooks that Alertmanager would send to IRM, and that we send in its place. Pure.

Shape and order are those of webhook version 4, as recorded from Alertmanager 0.25 to 0.33.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from alert_sync.model import Notification

# Go's zero time: what Alertmanager sends as the end of an alert that fires.
_NO_END = "0001-01-01T00:00:00Z"


def resolved_webhook(notification: Notification, *, now: datetime) -> dict[str, Any]:
    """The webhook that Alertmanager would have sent for the end of this alert group: same group key, all resolved."""
    moment = now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    webhook: dict[str, Any] = dict(notification.webhook)
    alerts = [
        {
            **alert,
            "status": "resolved",
            "endsAt": moment if alert["status"] == "firing" else alert.get("endsAt", moment),
        }
        for alert in webhook["alerts"]
    ]
    # IRM counts these two itself when a webhook comes in.
    for counted in ("numFiring", "numResolved"):
        webhook.pop(counted, None)
    return {**webhook, "status": "resolved", "alerts": alerts}


def firing_webhook(notification: Notification, alerts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The webhook that Alertmanager would send for these alerts of this alert group, all of them firing.

    `alerts` are as Alertmanager's API gives them. Group key and receiver are those of the alert group's last webhook,
    so that IRM's grouping stays right and Alertmanager's own webhook resolves what this one opens.
    """
    shown = [_firing_alert(alert) for alert in sorted(alerts, key=_order)]
    return {
        "receiver": notification.receiver,
        "status": "firing",
        "alerts": shown,
        "groupLabels": dict(sorted(notification.group_labels)),
        "commonLabels": _common(alert["labels"] for alert in shown),
        "commonAnnotations": _common(alert["annotations"] for alert in shown),
        "externalURL": notification.webhook.get("externalURL", ""),
        "version": notification.webhook.get("version", "4"),
        "groupKey": notification.webhook["groupKey"],
        "truncatedAlerts": 0,
    }


def _firing_alert(alert: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "status": "firing",
        "labels": dict(alert["labels"]),
        "annotations": dict(alert.get("annotations") or {}),
        "startsAt": alert["startsAt"],
        "endsAt": _NO_END,
        "generatorURL": alert.get("generatorURL", ""),
        "fingerprint": alert["fingerprint"],
    }


def _order(alert: Mapping[str, Any]) -> tuple[str, str, list[tuple[str, str]]]:
    """By job, instance, then all labels, as Alertmanager orders them."""
    labels = alert["labels"]
    return labels.get("job", ""), labels.get("instance", ""), sorted(labels.items())


def _common(label_sets: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """What all of them have, with the same value."""
    first, *others = [set(labels.items()) for labels in label_sets]
    return dict(sorted(first.intersection(*others)))
