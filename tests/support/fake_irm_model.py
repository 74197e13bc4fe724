"""What the fake Grafana IRM holds: users, integrations, alert groups and notes, and how the API shows them.

Facts and their JSON only. What may happen to them is in `fake_irm_state`.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

GRAFANA_URL = "http://grafana.example"


class Clock:
    """The time the fake lives in: the real one, or one that stands still, plus what a test adds with `advance`."""

    def __init__(self, start: datetime | None = None) -> None:
        """With `start` the clock stands still there; without it follows the real time."""
        self._start = start
        self._added = timedelta()

    def now(self) -> datetime:
        base = datetime.fromtimestamp(time.time(), tz=UTC) if self._start is None else self._start
        return base + self._added

    def advance(self, seconds: float) -> None:
        self._added += timedelta(seconds=seconds)


class Role(StrEnum):
    """Grafana's basic roles, as `GET /users/ID` spells them."""

    ADMIN = "admin"
    EDITOR = "editor"
    VIEWER = "viewer"
    NONE = "none"


@dataclass(slots=True, kw_only=True)
class User:
    """Somebody with API tokens: a person, or a service account (whose id is None in what the API says)."""

    id: str
    name: str
    role: Role = Role.ADMIN
    is_active: bool = True
    is_service_account: bool = False
    permissions: frozenset[str] | None = None
    """With RBAC, names such as `grafana-oncall-app.alert-groups:read`; None leaves it to the role."""
    tokens: set[str] = field(default_factory=set)

    @property
    def token(self) -> str:
        """One of the tokens, for a test that needs any."""
        return min(self.tokens)

    def may(self, permission: str, *, plugin: str) -> bool:
        """Whether the user has a permission such as `alert-groups:write` for that plugin."""
        if self.permissions is not None:
            return f"{plugin}.{permission}" in self.permissions
        if self.role is Role.VIEWER:
            return permission.endswith(":read")
        return self.role is not Role.NONE

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "grafana_id": 1,
            "email": f"{self.name}@example.com",
            "slack": None,
            "username": self.name,
            "role": str(self.role),
            "is_phone_number_verified": False,
            "timezone": None,
            "teams": [],
        }


class IntegrationType(StrEnum):
    """The kinds of integration the fake knows; the value is the word in the inbound URL."""

    ALERTMANAGER = "alertmanager"
    GRAFANA_ALERTING = "grafana_alerting"
    WEBHOOK = "webhook"

    @property
    def verbose_name(self) -> str:
        """What IRM calls it in messages."""
        return {"alertmanager": "Alertmanager", "grafana_alerting": "Grafana Alerting"}.get(self.value, "Webhook")


Payload = dict[str, Any]


@dataclass(slots=True, kw_only=True)
class Integration:
    """An endpoint that takes webhooks. Its key is what authorizes posting there."""

    id: str
    key: str
    name: str
    route_id: str
    type: IntegrationType = IntegrationType.ALERTMANAGER
    is_legacy: bool = False
    """Takes each alert of a notification for itself; the API calls it `alertmanager` all the same."""
    team_id: str | None = None
    escalation_chain_id: str | None = None
    grouping_key: str | None = None
    resolve_signal: str | None = None
    acknowledge_signal: str | None = None
    group_by: Callable[[Payload], str] | None = None
    """What a customized `grouping_key` makes of a payload; without it every different payload is its own group."""
    is_resolved: Callable[[Payload], bool] | None = None
    """What a customized `resolve_signal` makes of a payload; without it nothing counts as resolved any more."""
    has_labels: bool = True
    """Whether its alert groups get labels (the group labels of the notification)."""
    is_deleted: bool = False
    maintenance_started_at: datetime | None = None
    maintenance_end_at: datetime | None = None

    def group_key_of(self, payload: Payload) -> str:
        if self.group_by is not None:
            return self.group_by(payload)
        if self.grouping_key is not None:
            return repr(payload)
        return str(payload.get("groupKey", ""))

    def says_resolved(self, payload: Payload) -> bool:
        if self.is_resolved is not None:
            return self.is_resolved(payload)
        return self.resolve_signal is None and payload.get("status") == "resolved"

    def as_json(self, *, links_base_url: str) -> dict[str, Any]:
        link = f"{links_base_url}/integrations/v1/{self.type}/{self.key}/"
        in_maintenance = self.maintenance_started_at is not None
        return {
            "maintenance_mode": "maintenance" if in_maintenance else None,
            "maintenance_started_at": _in_seconds(self.maintenance_started_at),
            "maintenance_end_at": _in_seconds(self.maintenance_end_at),
            "id": self.id,
            "name": self.name,
            "description_short": None,
            "team_id": self.team_id,
            "link": link,
            "inbound_email": None,
            "type": str(self.type),
            "templates": self._templates(),
            "heartbeat": {"link": f"{link}heartbeat/"} if self.type is IntegrationType.ALERTMANAGER else None,
            "default_route": {
                "id": self.route_id,
                "escalation_chain_id": self.escalation_chain_id,
                **_ROUTE_CHANNELS,
            },
        }

    def _templates(self) -> dict[str, Any]:
        own = {
            "grouping_key": self.grouping_key,
            "resolve_signal": self.resolve_signal,
            "acknowledge_signal": self.acknowledge_signal,
        }
        return {**own, **_MESSAGE_TEMPLATES}


_ROUTE_CHANNELS: dict[str, Any] = {
    "slack": {"channel_id": None, "enabled": True},
    **{name: {"id": None, "enabled": False} for name in ("telegram", "mobile_app", "mobile_app_critical", "webhook")},
}
_MESSAGE = dict.fromkeys(("title", "message", "image_url"))
_MESSAGE_TEMPLATES: dict[str, Any] = {
    "source_link": None,
    **dict.fromkeys(("slack", "web", "telegram", "webhook"), _MESSAGE),
    **{name: {"title": None} for name in ("sms", "phone_call")},
    "mobile_app": {"title": None, "message": None},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedAlert:
    """One notification as an alert group keeps it (IRM calls it an alert)."""

    id: str
    created_at: datetime
    payload: Payload


@dataclass(slots=True, kw_only=True)
class AlertGroup:
    """What a person is paged for. Change it through the state only: the listing keeps serialised copies."""

    id: str
    number: int
    integration_id: str
    route_id: str
    team_id: str | None
    created_at: datetime
    title: str | None
    group_key: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    alerts: list[ReceivedAlert] = field(default_factory=list)
    is_open_for_grouping: bool = True
    """Whether a further notification of the same group key joins it. Never true again once it was resolved."""
    resolved_at: datetime | None = None
    resolved_by: str | None = None
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None
    silenced_at: datetime | None = None
    silenced_until: datetime | None = None
    """When the silence ends by itself; None while silenced means never."""
    attached_to: str | None = None
    is_wiped: bool = False
    maintained_integration_id: str | None = None
    """Set on the alert group that stands for the maintenance of an integration."""

    @property
    def state(self) -> str:
        """The word in the JSON; resolved wins over acknowledged, that over silenced."""
        if self.resolved_at is not None:
            return "resolved"
        if self.acknowledged_at is not None:
            return "acknowledged"
        return "firing" if self.silenced_at is None else "silenced"

    def mark_acknowledged(self, moment: datetime | None, by: str | None) -> None:
        """Acknowledge, which ends a silence too; None takes it back."""
        self.acknowledged_at, self.acknowledged_by = moment, None if moment is None else by
        if moment is not None:
            self.silenced_at = self.silenced_until = None

    def mark_unresolved(self) -> None:
        """Take the resolve back; the acknowledgement is forgotten with it. A wiped group stays as it is."""
        if not self.is_wiped:
            self.resolved_at = self.resolved_by = self.acknowledged_at = self.acknowledged_by = None

    @property
    def alerts_count(self) -> int:
        """Notifications received, not alerts firing."""
        return len(self.alerts)

    @property
    def last_payload(self) -> Payload:
        return self.alerts[-1].payload if self.alerts else {}

    def as_json(self, *, plugin: str, with_number: bool) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "id": self.id,
            "integration_id": self.integration_id,
            "team_id": self.team_id,
            "route_id": self.route_id,
            "alerts_count": self.alerts_count,
            "state": self.state,
            "created_at": timestamp(self.created_at),
            "resolved_at": timestamp(self.resolved_at),
            "resolved_by": self.resolved_by,
            "acknowledged_at": timestamp(self.acknowledged_at),
            "acknowledged_by": self.acknowledged_by,
            "labels": [_label(key, self.labels[key]) for key in sorted(self.labels)],
            "title": self.title,
            "permalinks": self._permalinks(plugin),
            "silenced_at": timestamp(self.silenced_at),
            "last_alert": self._last_alert(),
        }
        return {**shown, "alert_group_number": self.number} if with_number else shown

    def _permalinks(self, plugin: str) -> dict[str, str | None]:
        web = f"{GRAFANA_URL}/a/{plugin}/alert-groups/{self.id}"
        return {"slack": None, "slack_app": None, "telegram": None, "web": web}

    def _last_alert(self) -> dict[str, Any] | None:
        if not self.alerts:
            return None
        last = self.alerts[-1]
        created_at = timestamp(last.created_at)
        return {"id": last.id, "alert_group_id": self.id, "created_at": created_at, "payload": last.payload}


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolutionNote:
    """A note in an alert group's timeline."""

    id: str
    alert_group_id: str
    author: str | None
    """None when a service account wrote it."""
    created_at: datetime
    text: str

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "alert_group_id": self.alert_group_id,
            "author": self.author,
            "source": "Web",
            "created_at": timestamp(self.created_at),
            "text": self.text,
        }


def timestamp(moment: datetime | None) -> str | None:
    """Return the time as IRM writes it, or None."""
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")


def _in_seconds(moment: datetime | None) -> str | None:
    return timestamp(None if moment is None else moment.replace(microsecond=0))


def _label(key: str, value: str) -> dict[str, dict[str, str]]:
    return {"key": {"id": key, "name": key}, "value": {"id": value, "name": value}}
