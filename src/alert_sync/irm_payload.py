"""Understands what IRM says about an alert group, and what Alertmanager's webhook inside it said. Pure.

An alert group that can be named but not understood becomes one with a `fault`, and is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from alert_sync.fingerprint import fingerprint
from alert_sync.json_fields import FIELD_FAULTS, text_field, time_field
from alert_sync.model import AlertGroup, AlertGroupState, Notification

_WEBHOOK_VERSION = "4"
# An id becomes part of a path: "..", for one, would lead to another.
_ID = re.compile(r"[A-Za-z0-9_-]+")


class UnreadableError(ValueError):
    """An object without even an id: nothing can be said or done about it."""


def parse_alert_group(item: Any) -> AlertGroup:
    """One alert group as the list or the single read gives it.

    Raises:
        UnreadableError: it has no id.
    """
    if not isinstance(item, dict) or not isinstance(item.get("id"), str) or not _ID.fullmatch(item["id"]):
        raise UnreadableError("an alert group without id")
    known = {
        "id": item["id"],
        "title": _text_or_empty(item.get("title")),
        "url": _text_or_empty(_field(item, "permalinks", "web")),
        "integration_id": _text_or_empty(item.get("integration_id")),
        "team_id": _text_or_empty(item.get("team_id")),
        "resolved_by": _text_or_empty(item.get("resolved_by")),
    }
    try:
        state = AlertGroupState(item["state"])
        created_at = time_field(item["created_at"])
        notification = _parse_notification(
            item["last_alert"]["payload"], _time_or_none(item["last_alert"], "created_at")
        )
        resolved_at, silenced_at = (_time_or_none(item, name) for name in ("resolved_at", "silenced_at"))
    except FIELD_FAULTS as error:
        oldest = datetime.min.replace(tzinfo=UTC)
        fault = f"IRM's answer about it could not be understood: {_described(error)}"
        return AlertGroup(**known, state=None, created_at=oldest, notification=None, fault=fault)
    return AlertGroup(
        **known,
        state=state,
        created_at=created_at,
        notification=notification,
        resolved_at=resolved_at,
        silenced_at=silenced_at,
    )


def _parse_notification(payload: Any, sent_at: datetime | None) -> Notification | None:
    """What Alertmanager sent, or None if this is not Alertmanager's: wiped, maintenance, Grafana alerting, others."""
    if not isinstance(payload, dict):
        return None
    if "alerts" in payload and "groupLabels" in payload and "receiver" in payload:
        # Grafana's own alerting sends the same shape with orgId and another version; its alerts are nowhere else.
        is_ours = payload.get("version", _WEBHOOK_VERSION) == _WEBHOOK_VERSION and "orgId" not in payload
        return _parse_webhook(payload, sent_at) if is_ours else None
    if "labels" in payload and "startsAt" in payload and "alerts" not in payload:
        return _parse_legacy(payload, sent_at)
    return None


def _parse_webhook(payload: Mapping[str, Any], sent_at: datetime | None) -> Notification:
    firing = [alert for alert in payload["alerts"] if _is_firing(alert)]
    return Notification(
        receiver=text_field(payload["receiver"]),
        group_labels=frozenset(_labels(payload["groupLabels"]).items()),
        firing={_fingerprint_of(alert): _labels(alert["labels"]) for alert in firing},
        truncated_alerts=_count(payload.get("truncatedAlerts") or 0),
        webhook=payload,
        sent_at=sent_at,
    )


def _parse_legacy(payload: Mapping[str, Any], sent_at: datetime | None) -> Notification:
    firing = {_fingerprint_of(payload): _labels(payload["labels"])} if _is_firing(payload) else {}
    return Notification(
        receiver="", group_labels=frozenset(), firing=firing, legacy=True, webhook=payload, sent_at=sent_at
    )


def _is_firing(alert: Mapping[str, Any]) -> bool:
    if alert["status"] not in ("firing", "resolved"):
        raise ValueError("status of an alert is neither firing nor resolved")
    return bool(alert["status"] == "firing")


def _fingerprint_of(alert: Mapping[str, Any]) -> str:
    given = alert.get("fingerprint")
    return given if isinstance(given, str) and given else fingerprint(_labels(alert["labels"]))


def _labels(value: Any) -> dict[str, str]:
    """The same object, once it is known to hold texts only: the webhook is kept anyway, so a copy would be waste."""
    if not all(isinstance(name, str) and isinstance(each, str) for name, each in value.items()):
        raise TypeError("a label is not a text")
    labels: dict[str, str] = value
    return labels


def _count(value: Any) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError("truncatedAlerts is not a count")
    return value


def _time_or_none(item: Mapping[str, Any], name: str) -> datetime | None:
    value = item.get(name)
    return None if value is None else time_field(value)


def _text_or_empty(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _field(item: Mapping[str, Any], outer: str, inner: str) -> Any:
    value = item.get(outer)
    return value.get(inner) if isinstance(value, dict) else None


def _described(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"{error} is missing"
    return str(error) if isinstance(error, (ValueError, OverflowError)) else "a field is missing or of another type"
