"""Alertmanager as its experiments show it: one server with its Prometheus, so small that it can be believed.

What matters here: webhooks are decided at flushes only, from what is not muted, against a log of what was delivered; a
resolved alert is forgotten by the flush that found it, muted or not; alerts live in memory, log and silences on disk.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from tests.model.clock import NEVER, Clock, text

GROUP_WAIT = timedelta(seconds=30)
GROUP_INTERVAL = timedelta(minutes=5)
REPEAT_INTERVAL = timedelta(hours=4)
RESEND = timedelta(minutes=1)
RESENDS_RESOLVED_FOR = timedelta(minutes=15)
LOG_LIFE = min(2 * REPEAT_INTERVAL, timedelta(hours=120))
RECEIVER = "oncall"


class Listener(Protocol):
    """Where webhooks go."""

    def receive(self, webhook: dict[str, Any], sender: str) -> None:
        """Take one in."""


@dataclass(frozen=True)
class Target:
    """An alert, or with an empty `instance` all of one name: what is fired, silenced, and grouped."""

    name: str
    instance: str = ""

    @property
    def labels(self) -> dict[str, str]:
        return {"alertname": self.name, "instance": self.instance}

    @property
    def fingerprint(self) -> str:
        return f"{self.name}-{self.instance}"

    def covers(self, alert: Target) -> bool:
        return self.name == alert.name and self.instance in ("", alert.instance)


@dataclass
class SilenceRecord:
    """One silence; deleting it early makes it end now."""

    id: str
    target: Target
    ends_at: datetime


@dataclass(frozen=True)
class LogEntry:
    """What the last delivered webhook of a group said."""

    firing: frozenset[Target]
    resolved: frozenset[Target]
    at: datetime


@dataclass
class Group:
    """An aggregation group: its alerts, True for those that fire, and its next flush."""

    next_flush: datetime
    alerts: dict[Target, bool] = field(default_factory=dict)


@dataclass
class Server:
    """One Alertmanager, and the Prometheus that feeds it. `firing` is the truth, `held` what Alertmanager knows."""

    name: str
    clock: Clock
    listener: Listener
    started_at: datetime
    cluster_status: str = "ready"
    is_reachable: bool = True
    firing: dict[Target, datetime] = field(default_factory=dict)
    ended: dict[Target, datetime] = field(default_factory=dict)
    held: dict[Target, datetime] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    log: dict[str, LogEntry] = field(default_factory=dict)
    silences: list[SilenceRecord] = field(default_factory=list)
    next_resend: datetime = NEVER
    silences_made: int = 0

    def fire(self, alert: Target) -> None:
        if alert not in self.firing:
            self.firing[alert] = self.clock.now
            self.ended.pop(alert, None)
            self._hold(alert)

    def end(self, alert: Target) -> None:
        if self.firing.pop(alert, None) is not None:
            self.ended[alert] = self.clock.now
            self.held.pop(alert, None)
            self._insert(alert, is_firing=False)
            self._plan_resend()

    def silence(self, target: Target, length: timedelta) -> None:
        self.silences_made += 1
        silence_id = f"{self.name}-s{self.silences_made}"
        self.silences.append(SilenceRecord(silence_id, target, self.clock.now + length))

    def delete_silence(self, silence: SilenceRecord) -> None:
        silence.ends_at = self.clock.now

    def restart(self, *, keeps_data: bool) -> None:
        """Alerts and groups are gone until Prometheus repeats what fires."""
        self.started_at = self.clock.now
        self.held, self.groups = {}, {}
        if not keeps_data:
            self.log, self.silences = {}, []
        self._plan_resend()

    def active_silences(self) -> list[SilenceRecord]:
        return [silence for silence in self.silences if silence.ends_at > self.clock.now]

    def silences_on(self, alert: Target) -> list[SilenceRecord]:
        return [silence for silence in self.active_silences() if silence.target.covers(alert)]

    def alerts_named(self, name: str) -> Iterator[Target]:
        """What Alertmanager holds of one aggregation group."""
        return (alert for alert in self.held if alert.name == name)

    def pages_for(self, alert: Target) -> bool:
        """The truth: it fires, and nobody silenced it."""
        return alert in self.firing and not self.silences_on(alert)

    def next_due(self) -> datetime:
        return min([self.next_resend, *(group.next_flush for group in self.groups.values())])

    def step(self) -> None:
        """Do what is due now."""
        if self.next_resend <= self.clock.now:
            self._resend()
        for name in [name for name, group in self.groups.items() if group.next_flush <= self.clock.now]:
            self._flush(name)

    def _hold(self, alert: Target) -> None:
        self.held[alert] = self.firing[alert]
        self._insert(alert, is_firing=True)

    def _insert(self, alert: Target, *, is_firing: bool) -> None:
        now = self.clock.now
        began = self.firing.get(alert, now)
        first_flush = now if began + GROUP_WAIT < now else now + GROUP_WAIT
        group = self.groups.setdefault(alert.name, Group(next_flush=first_flush))
        group.alerts[alert] = is_firing

    def _resend(self) -> None:
        self.next_resend = NEVER
        # Prometheus repeats each rule's alerts at a time of their own.
        for alert in [alert for alert in self.firing if alert not in self.held][:1]:
            self._hold(alert)
        recently = self.clock.now - RESENDS_RESOLVED_FOR
        self.ended = {alert: at for alert, at in self.ended.items() if at >= recently}
        for alert in self.ended:
            self._insert(alert, is_firing=False)
        self._plan_resend()

    def _plan_resend(self) -> None:
        """Repeating what Alertmanager holds anyway changes nothing, so it is left out."""
        if self.next_resend == NEVER and (self.ended or self.firing.keys() != self.held.keys()):
            self.next_resend = self.clock.now + (RESEND if self.firing.keys() == self.held.keys() else RESEND / 3)

    def _flush(self, name: str) -> None:
        group = self.groups[name]
        heard = {alert: is_firing for alert, is_firing in group.alerts.items() if not self.silences_on(alert)}
        firing = frozenset(alert for alert, is_firing in heard.items() if is_firing)
        resolved = frozenset(heard) - firing
        if heard and self._has_news(self._log_entry(name), firing, resolved):
            self.listener.receive(self.webhook(name, firing, resolved), self.name)
            self.log[name] = LogEntry(firing, resolved, self.clock.now)
        group.alerts = {alert: True for alert, is_firing in group.alerts.items() if is_firing}
        group.next_flush = self.clock.now + GROUP_INTERVAL
        if not group.alerts:
            del self.groups[name]

    def _log_entry(self, name: str) -> LogEntry | None:
        entry = self.log.get(name)
        return entry if entry and entry.at + LOG_LIFE > self.clock.now else None

    def _has_news(self, entry: LogEntry | None, firing: frozenset[Target], resolved: frozenset[Target]) -> bool:
        if entry is None:
            return bool(firing)
        if not firing <= entry.firing:
            return True
        if not firing:
            return bool(entry.firing)
        return not resolved <= entry.resolved or entry.at + REPEAT_INTERVAL < self.clock.now

    def webhook(self, name: str, firing: frozenset[Target], resolved: frozenset[Target]) -> dict[str, Any]:
        """Version 4, as recorded."""
        alerts = [self._alert(alert, "firing") for alert in sorted(firing, key=_order)]
        alerts += [self._alert(alert, "resolved") for alert in sorted(resolved, key=_order)]
        return {
            "receiver": RECEIVER,
            "status": "firing" if firing else "resolved",
            "alerts": alerts,
            "groupLabels": {"alertname": name},
            "commonLabels": {"alertname": name},
            "commonAnnotations": {},
            "externalURL": f"http://{self.name}",
            "version": "4",
            "groupKey": f'{{}}:{{alertname="{name}"}}',
            "truncatedAlerts": 0,
        }

    def _alert(self, alert: Target, status: str) -> dict[str, Any]:
        now = text(self.clock.now)
        return {
            "status": status,
            "labels": alert.labels,
            "annotations": {},
            "startsAt": text(self.firing.get(alert, self.clock.now)),
            "endsAt": "0001-01-01T00:00:00Z" if status == "firing" else now,
            "generatorURL": "",
            "fingerprint": alert.fingerprint,
        }


def _order(alert: Target) -> str:
    return alert.fingerprint
