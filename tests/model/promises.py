"""What the service promises, said of the modelled world: each broken promise is noted down as a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tests.model.alertmanager import Server, Target
from tests.model.clock import BEGINNING, NEVER
from tests.model.irm import PERSON, US, AlertGroupRecord, Organization
from tests.model.table import Items

CANNOT_TELL = timedelta(minutes=2)
"""Clocks differ: what a person does so soon after the service may be taken for the service's own act."""


@dataclass
class Promises:
    """Watches the writes of the service, and remembers what people decided.

    `under` maps alert groups that the service made quiet to the silences of then; `reopened` has those of them that a
    person opened again while the silences were still the same, until IRM's own silence would have ended anyway.
    """

    own: Server
    other: Server
    irm: Organization
    items: Items
    notifies_missing: bool
    reopened: dict[str, tuple[frozenset[str], datetime]] = field(default_factory=dict)
    under: dict[str, frozenset[str]] = field(default_factory=dict)
    quietened: dict[str, tuple[datetime, str]] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    in_doubt_until: datetime = BEGINNING
    """A run died or lost an answer: what people did until a run has looked may as well have been done by it."""
    world_moved: bool = False
    """Something happened between the looks of the run and its writes, which no look at IRM could tell it."""

    def active(self, key: str) -> list[Target]:
        """Alerts of the own Alertmanager that fire and that nobody silenced."""
        return [alert for alert in self.own.firing if alert.name == key and self.own.pages_for(alert)]

    def silences_of(self, key: str) -> frozenset[str]:
        return frozenset(silence.id for alert in self.own.alerts_named(key) for silence in self.own.silences_on(alert))

    def quietens(self, group: AlertGroupRecord | None, action: str, key: str) -> None:
        """The service resolves or silences: before it takes effect."""
        what = f"{action} of {group.id if group else 'nothing'} ({key})"
        self._check_intention(key, what)
        self.quietened[key] = self.own.clock.now, group.id if group else ""
        if group is None or not group.is_open:
            return
        webhook = group.webhooks[-1][2]
        told = {alert["fingerprint"] for alert in webhook["alerts"] if alert["status"] == "firing"}
        if any(alert in self.own.held or alert.fingerprint in told for alert in self.active(key)):
            self.broken.append(f"{what}: one of its alerts is active")
        if group.last_sender == self.other.name and any(alert.name == key for alert in self.other.firing):
            self.broken.append(f"{what}: it is the other Alertmanager's, where it fires")
        reopened, until = self.reopened.get(group.id, (None, NEVER))
        if reopened == self.silences_of(key) and until > self.own.clock.now:
            self.broken.append(f"{what}: a person opened it again, and its silences are the same")
        self.under[group.id] = self.silences_of(key)

    def opens(self, group: AlertGroupRecord, action: str) -> None:
        """The service unresolves or unsilences: before it takes effect."""
        what = f"{action} of {group.id} ({group.key})"
        self._check_intention(group.key, what)
        if action == "unsilence" and group.state == "silenced" and not self._is_ours(group):
            self.broken.append(f"{what}: a person silenced it")
        if action == "unresolve" and not group.is_open:
            self._check_page(group.key, what, self.active(group.key))

    def pages(self, webhook: Mapping[str, Any]) -> None:
        """The service posts a firing webhook: before it is taken in."""
        key = webhook["groupLabels"]["alertname"]
        what = f"page for {key}"
        self._check_intention(key, what)
        named = {alert["fingerprint"] for alert in webhook["alerts"]}
        if not named <= {alert.fingerprint for alert in self.active(key)}:
            self.broken.append(f"{what}: not all of {sorted(named)} are active")
        self._check_page(key, what, [alert for alert in self.active(key) if alert.fingerprint in named])

    def is_owed(self, key: str) -> bool:
        """Whether IRM is quiet by an act of the service's although an alert is active that Alertmanager knows of."""
        is_active = any(alert in self.own.held for alert in self.active(key))
        by, *_ = self.irm.quietened_by.get(key, ("",))
        return is_active and not self._is_heard(key) and by == US

    def person_opens(self, group: AlertGroupRecord) -> None:
        """A person unresolves or unsilences: before it takes effect."""
        is_ours = US in (group.closed_by[: len(US)], group.silenced_by)
        others = [each for each in self.irm.of_key(group.key) if each.created_at > group.created_at or each.is_open]
        # There is one memory for each key.
        is_only_one = all(each.closed_by.startswith(US) for each in others if each is not group)
        can_tell = self.own.clock.now > self.in_doubt_until
        if is_ours and is_only_one and can_tell and self.under.get(group.id) == self.silences_of(group.key):
            self.reopened[group.id] = self.under[group.id], group.silenced_until

    def look(self) -> None:
        """Forget decisions that silences have overtaken."""
        ids = {group.id: group.key for group in self.irm.alert_groups}
        self.reopened = {each: was for each, was in self.reopened.items() if was[0] == self.silences_of(ids[each])}

    def _is_ours(self, group: AlertGroupRecord) -> bool:
        """IRM does not say who silenced: that a person did it shortly after the service, the service cannot know."""
        ours, silenced_at = group.silenced_by_us_at, group.silenced_at or self.own.clock.now
        is_shortly_after = ours is not None and silenced_at <= ours + CANNOT_TELL
        return group.silenced_by == US or is_shortly_after or silenced_at <= self.in_doubt_until

    def _check_page(self, key: str, what: str, alerts: Sequence[Target]) -> None:
        if self.irm.of(key) and not self.world_moved:
            self.broken.append(f"{what}: {self.irm.of(key)[0].id} is open")
        by, at, group = self.irm.quietened_by.get(key, ("", self.own.clock.now, None))
        ours, our_id = self.quietened.get(key, (BEGINNING - CANNOT_TELL, ""))
        # IRM is asked about the one that we closed, and about those that began since.
        is_asked_about = group is None or group.id == our_id or group.created_at >= ours
        # What a person closed before these alerts began was about others.
        is_by_a_person = by == PERSON and at >= min((self.own.firing[each] for each in alerts), default=at)
        may_be_missing = not is_by_a_person and (self.notifies_missing or by == PERSON)
        cannot_tell = at <= max(self.in_doubt_until, ours + CANNOT_TELL)
        if by == US or cannot_tell or may_be_missing or not is_asked_about:
            return
        self.broken.append(f"{what}: quiet by {by or 'nobody'}, not by the service")

    def _check_intention(self, key: str, what: str) -> None:
        """Whatever is done to IRM stands in the table before."""
        items = [item for (pk, sk), item in self.items.by_key.items() if pk == "open" and sk.startswith("intervention")]
        titles = {
            item["alert_group"]["notification"]["group_labels"]["alertname"] for item in items if not item["is_done"]
        }
        if key not in titles:
            self.broken.append(f"{what}: without an intention")

    def _is_heard(self, key: str) -> bool:
        is_on_its_way = any(webhook["groupLabels"]["alertname"] == key for _, _, webhook in self.irm.taken_in)
        return is_on_its_way or any(group.is_heard for group in self.irm.of(key))
