"""Grafana IRM (OnCall) as its experiments show it: alert groups of one integration, who did what to them, and when.

What matters here: a webhook is processed after it was answered; an alert group that was resolved once takes no firing
webhook any more, unresolved or not; a resolved webhook closes what it finds, whoever silenced or acknowledged it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tests.model.clock import NEVER, Clock, text

US, PERSON = "us", "a person"
INTEGRATION = "CINT1"


class RefusedError(Exception):
    """IRM answers 400 with this sentence."""


@dataclass
class AlertGroupRecord:
    """One alert group. `closed_by` and `silenced_by` say who did it last, which IRM itself tells in part only."""

    id: str
    key: str
    created_at: datetime
    webhooks: list[tuple[datetime, str, dict[str, Any]]]
    resolved_at: datetime | None = None
    closed_by: str = ""
    was_resolved: bool = False
    is_acknowledged: bool = False
    silenced_at: datetime | None = None
    silenced_until: datetime = NEVER
    silenced_by: str = ""
    silenced_by_us_at: datetime | None = None

    @property
    def state(self) -> str:
        if self.resolved_at is not None:
            return "resolved"
        if self.is_acknowledged:
            return "acknowledged"
        return "firing" if self.silenced_at is None else "silenced"

    @property
    def is_open(self) -> bool:
        return self.resolved_at is None

    @property
    def is_heard(self) -> bool:
        """It pages, or a person has decided that it need not."""
        return self.state in ("firing", "acknowledged") or (self.state == "silenced" and self.silenced_by == PERSON)

    @property
    def last_sender(self) -> str:
        """Whose alerts the last webhook named; a page by this service names those of its own Alertmanager."""
        named = (by for _, by, webhook in reversed(self.webhooks) if by != US or webhook["status"] == "firing")
        return next(named, US)

    def as_json(self) -> dict[str, Any]:
        at, _, webhook = self.webhooks[-1]
        return {
            "id": self.id,
            "integration_id": INTEGRATION,
            "team_id": None,
            "title": self.key,
            "permalinks": {"web": f"http://irm/{self.id}"},
            "state": self.state,
            "created_at": text(self.created_at),
            "resolved_at": None if self.resolved_at is None else text(self.resolved_at),
            "resolved_by": {US: "U_SERVICE", PERSON: "U_PERSON"}.get(self.closed_by),
            "silenced_at": None if self.silenced_at is None else text(self.silenced_at),
            "last_alert": {"created_at": text(at), "payload": webhook},
        }


@dataclass
class Organization:
    """All alert groups, and the webhooks that are taken in and not processed yet."""

    clock: Clock
    alert_groups: list[AlertGroupRecord] = field(default_factory=list)
    taken_in: list[tuple[datetime, str, dict[str, Any]]] = field(default_factory=list)
    processing: timedelta = timedelta(0)
    quietened_by: dict[str, tuple[str, datetime, AlertGroupRecord]] = field(default_factory=dict)
    """Who last closed or silenced an alert group of this key, when, and which."""

    def receive(self, webhook: dict[str, Any], sender: str) -> None:
        self.taken_in.append((self.clock.now + self.processing, sender, webhook))
        self.step()

    def next_due(self) -> datetime:
        waiting = [self.taken_in[0][0]] if self.taken_in else []
        ends = [group.silenced_until for group in self.alert_groups if group.state == "silenced"]
        return min([NEVER, *waiting, *ends])

    def step(self) -> None:
        """Do what is due now."""
        while self.taken_in and self.taken_in[0][0] <= self.clock.now:
            _, sender, webhook = self.taken_in.pop(0)
            self._process(webhook, sender)
        for group in self.alert_groups:
            if group.state == "silenced" and group.silenced_until <= self.clock.now:
                self._end_silence(group)

    def of_key(self, key: str) -> list[AlertGroupRecord]:
        """In the order in which they began."""
        return [group for group in self.alert_groups if group.key == key]

    def of(self, key: str) -> list[AlertGroupRecord]:
        """The open ones."""
        return [group for group in self.of_key(key) if group.is_open]

    def named(self, group_id: str) -> AlertGroupRecord | None:
        return next((group for group in self.alert_groups if group.id == group_id), None)

    def taking(self, key: str) -> AlertGroupRecord | None:
        """The one that takes the next webhook of this key."""
        return next((group for group in self.of(key) if not group.was_resolved), None)

    def resolve(self, group: AlertGroupRecord, by: str) -> None:
        if not group.is_open:
            raise RefusedError("Can't resolve a resolved alert group")
        self._close(group, by)

    def unresolve(self, group: AlertGroupRecord) -> None:
        if group.is_open:
            raise RefusedError("Can't unresolve an unresolved alert group")
        group.resolved_at, group.closed_by, group.is_acknowledged = None, "", False
        self._end_silence(group)

    def acknowledge(self, group: AlertGroupRecord) -> None:
        if not group.is_open or group.is_acknowledged:
            raise RefusedError(f"Can't acknowledge a {group.state} alert group")
        self._end_silence(group)
        group.is_acknowledged = True

    def unacknowledge(self, group: AlertGroupRecord) -> None:
        if group.state != "acknowledged":
            raise RefusedError(f"Can't unacknowledge a {group.state} alert group")
        group.is_acknowledged = False

    def silence(self, group: AlertGroupRecord, length: timedelta, by: str) -> None:
        if group.state in ("resolved", "acknowledged"):
            raise RefusedError(f"Can't silence a {group.state} alert group")
        group.silenced_at, group.silenced_until = self.clock.now, self.clock.now + length
        group.silenced_by = by
        if by == US:
            group.silenced_by_us_at = self.clock.now
        self.quietened_by[group.key] = (by, self.clock.now, group)

    def unsilence(self, group: AlertGroupRecord) -> None:
        if group.state != "silenced":
            raise RefusedError("Can't unsilence an unsilenced alert group")
        self._end_silence(group)

    def _process(self, webhook: dict[str, Any], sender: str) -> None:
        key = webhook["groupLabels"]["alertname"]
        taking, is_resolved = self.taking(key), webhook["status"] == "resolved"
        if taking is None and is_resolved:
            closed = [group for group in self.of_key(key) if not group.is_open]
            taking = max(closed, key=lambda group: group.created_at, default=None)
        if taking is None:
            taking = AlertGroupRecord(f"I{len(self.alert_groups) + 1}", key, self.clock.now, [])
            self.alert_groups.append(taking)
        taking.webhooks.append((self.clock.now, sender, webhook))
        if is_resolved and taking.is_open:
            self._close(taking, sender)
            taking.closed_by = "" if sender != US else "us, by webhook"

    def _close(self, group: AlertGroupRecord, by: str) -> None:
        self._end_silence(group)
        group.resolved_at, group.closed_by, group.was_resolved = self.clock.now, by, True
        group.is_acknowledged = False
        self.quietened_by[group.key] = (by, self.clock.now, group)

    def _end_silence(self, group: AlertGroupRecord) -> None:
        group.silenced_at, group.silenced_until, group.silenced_by = None, NEVER, ""
