"""What may happen to the alert groups of the fake Grafana IRM: grouping, actions, silences that end, maintenance.

Behaves as a real OnCall engine was measured to behave; the contract tests hold it to the recordings. No HTTP here.
"""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Literal

from tests.support.fake_irm_model import AlertGroup, Clock, Integration, Payload, ReceivedAlert, ResolutionNote, User
from tests.support.fake_irm_organization import IrmOrganization

Action = Literal["acknowledge", "unacknowledge", "resolve", "unresolve", "silence", "unsilence"]


class ActionRefusedError(Exception):
    """An action that the state of the alert group does not allow; the text is what the API says."""


class IrmState(IrmOrganization):
    """The organization's alert groups and notes. Every method is safe to call from any thread."""

    def __init__(self, *, clock: Clock, is_hosted: bool, has_irm_plugin: bool) -> None:
        super().__init__(clock=clock, is_hosted=is_hosted, has_irm_plugin=has_irm_plugin)
        self.notes: list[ResolutionNote] = []
        self.resolved_ids: list[str] = []
        """Ids of the alert groups that were resolved, by whatever way, in the order it happened."""
        self._groups: dict[str, AlertGroup] = {}
        self._of_key: dict[tuple[str, str], list[AlertGroup]] = {}
        self._followers: dict[str, list[AlertGroup]] = {}
        self._maintenances: list[AlertGroup] = []
        self._silenced_for_a_time: dict[str, AlertGroup] = {}
        self._newest_first: list[AlertGroup] | None = None
        self._serialised: dict[str, bytes] = {}

    # Alert groups: reading

    def alert_group(self, alert_group_id: str) -> AlertGroup:
        """Return one alert group as it is now. Raises KeyError if there is none."""
        with self.lock:
            self._end_silences()
            return self._groups[alert_group_id]

    def alert_groups(self) -> list[AlertGroup]:
        """Return all alert groups, newest first."""
        with self.lock:
            self._end_silences()
            if self._newest_first is None:
                self._newest_first = sorted(self._groups.values(), key=_age, reverse=True)
            return list(self._newest_first)

    def serialised(self, group: AlertGroup) -> bytes:
        """Return the group's JSON. It is kept until the group changes, so that listing thousands stays quick."""
        with self.lock:
            if group.id not in self._serialised:
                shown = group.as_json(plugin=self.plugin, with_number=self.is_hosted)
                self._serialised[group.id] = json.dumps(shown, separators=(",", ":")).encode()
            return self._serialised[group.id]

    # Alert groups: arranging

    def add_alert_group(
        self,
        payload: Payload | None = None,
        *,
        integration: Integration | None = None,
        state: str = "firing",
        id: str | None = None,
        title: str | None = None,
        created_at: datetime | None = None,
        silenced_until: datetime | None = None,
        by: User | None = None,
    ) -> AlertGroup:
        """Add an alert group by hand, in any state, without going through the integration's grouping.

        The payload is kept as it is (no `numFiring` is added). Without an integration it belongs to one that the API
        does not know. A further notification of the payload's `groupKey` joins it unless it is resolved.
        """
        with self.lock:
            moment = created_at or self.clock.now()
            integration = integration or self._unlisted_integration("nameless")
            group = self._open_group(integration, payload or {}, moment, id=id)
            group.title = title if title is not None else group.title
            if payload is not None:
                group.alerts.append(ReceivedAlert(id=self._new_id("A"), created_at=moment, payload=payload))
            self._put_into(group, state, moment, silenced_until, None if by is None else by.id)
            return group

    def receive_webhook(self, payload: Payload, integration: Integration) -> tuple[AlertGroup, ...]:
        """Take a notification as the integration's inbound URL would; return the groups it went to.

        One group, by the payload's group key; from a legacy integration one for each alert. Nothing if it is deleted.
        """
        with self.lock:
            self._end_silences()
            if integration.is_deleted:
                return ()
            if integration.is_legacy:
                return tuple(self._receive_single(alert, integration) for alert in payload["alerts"])
            return (self._receive(_counted(payload), integration, integration.group_key_of(payload)),)

    def attach(self, child: AlertGroup, root: AlertGroup) -> None:
        """Attach one alert group to another: it then follows that one and refuses actions of its own."""
        with self.lock:
            child.attached_to = root.id
            self._followers.setdefault(root.id, []).append(child)

    def wipe(self, group: AlertGroup) -> None:
        """Delete a group's content: title null, payload empty, resolved, and no action brings it back."""
        with self.lock:
            group.title, group.is_wiped = None, True
            group.alerts = [
                ReceivedAlert(id=alert.id, created_at=alert.created_at, payload={}) for alert in group.alerts
            ]
            self._resolve(group, by=None)

    def delete_alert_group(self, group: AlertGroup) -> None:
        with self.lock:
            del self._groups[group.id]
            self._of_key[group.integration_id, group.group_key].remove(group)
            self._newest_first = None

    def start_maintenance(
        self, integration: Integration, *, seconds: int = 3600, id: str | None = None, by: str = "admin"
    ) -> AlertGroup:
        """Start maintenance: an alert group of an unlisted integration stands for it, and new groups attach to that."""
        with self.lock:
            integration.maintenance_started_at = self.clock.now()
            integration.maintenance_end_at = self.clock.now() + timedelta(seconds=seconds)
            gathers = "all alerts from integration will be collected here without escalations"
            payload = {
                "title": f"Maintenance of {integration.name} for {seconds} seconds",
                "message": f"Initiated by {by}. During this time {gathers}",
            }
            unlisted = self._unlisted_integration("maintenance")
            unlisted.team_id, unlisted.has_labels = integration.team_id, False
            title = f"Maintenance of {integration.name} for {seconds}"
            group = self.add_alert_group(payload, integration=unlisted, id=id, title=title)
            group.maintained_integration_id = integration.id
            self._maintenances.append(group)
            return group

    def age(self, by: timedelta) -> None:
        """Let everything so far have happened earlier, as if so much time had passed since."""
        with self.lock:
            for group in self._groups.values():
                for name in _MOMENTS:
                    moment = getattr(group, name)
                    setattr(group, name, None if moment is None else moment - by)
                group.alerts = [replace(alert, created_at=alert.created_at - by) for alert in group.alerts]
            self._serialised.clear()

    # Actions, by a person or over the API

    def act(
        self, action: Action, alert_group_id: str, *, by: User | None = None, delay_seconds: int | None = None
    ) -> None:
        """Do what a person does in IRM; a silence without a delay, or with 0 or -1, is for ever.

        Raises:
            KeyError: there is no such alert group.
            ActionRefusedError: its state does not allow it.
        """
        with self.lock:
            group = self.alert_group(alert_group_id)
            refusal = _refusal(action, group)
            if refusal is not None:
                raise ActionRefusedError(refusal)
            until = self.clock.now() + timedelta(seconds=delay_seconds) if delay_seconds and delay_seconds > 0 else None
            self._do(action, group, by=None if by is None else by.id, until=until)

    def acknowledge(self, alert_group_id: str, *, by: User | None = None) -> None:
        self.act("acknowledge", alert_group_id, by=by)

    def unacknowledge(self, alert_group_id: str, *, by: User | None = None) -> None:
        self.act("unacknowledge", alert_group_id, by=by)

    def resolve(self, alert_group_id: str, *, by: User | None = None) -> None:
        self.act("resolve", alert_group_id, by=by)

    def unresolve(self, alert_group_id: str, *, by: User | None = None) -> None:
        self.act("unresolve", alert_group_id, by=by)

    def silence(self, alert_group_id: str, *, delay_seconds: int | None = None, by: User | None = None) -> None:
        self.act("silence", alert_group_id, by=by, delay_seconds=delay_seconds)

    def unsilence(self, alert_group_id: str, *, by: User | None = None) -> None:
        self.act("unsilence", alert_group_id, by=by)

    def add_note(self, group: AlertGroup, text: str, *, by: User | None = None) -> ResolutionNote:
        author = None if by is None or by.is_service_account else by.id
        note = ResolutionNote(
            id=self._new_id("M"), alert_group_id=group.id, author=author, created_at=self.clock.now(), text=text
        )
        self.notes.append(note)
        return note

    # Inside

    def _open_group(
        self, integration: Integration, payload: Payload, moment: datetime, *, id: str | None = None, key: str = ""
    ) -> AlertGroup:
        labels = dict(payload.get("groupLabels") or {}) if integration.has_labels else {}
        group = AlertGroup(
            id=id or self._new_id("I"),
            number=next(self._numbers),
            integration_id=integration.id,
            route_id=integration.route_id,
            team_id=integration.team_id,
            created_at=moment,
            title=_title(payload),
            group_key=key or integration.group_key_of(payload),
            labels=labels,
        )
        self._groups[group.id] = group
        self._of_key.setdefault((group.integration_id, group.group_key), []).append(group)
        self._newest_first = None
        return group

    def _receive_single(self, alert: Payload, integration: Integration) -> AlertGroup:
        return self._receive(alert, integration, repr(sorted(alert["labels"].items())))

    def _receive(self, payload: Payload, integration: Integration, key: str) -> AlertGroup:
        says_resolved = integration.says_resolved(payload)
        group = self._group_to_join(integration, key, or_resolved=says_resolved)
        if group is None:
            group = self._open_group(integration, payload, self.clock.now(), key=key)
            self._attach_to_maintenance(group)
        group.alerts.append(ReceivedAlert(id=self._new_id("A"), created_at=self.clock.now(), payload=payload))
        if says_resolved and group.resolved_at is None:
            self._resolve(group, by=None)
        self._serialised.pop(group.id, None)
        return group

    def _group_to_join(self, integration: Integration, key: str, *, or_resolved: bool) -> AlertGroup | None:
        same = sorted(self._of_key.get((integration.id, key), ()), key=_age, reverse=True)
        still_open = next((group for group in same if group.is_open_for_grouping), None)
        if still_open is not None or not or_resolved:
            return still_open
        return next((group for group in same if group.resolved_at is not None), None)

    def _attach_to_maintenance(self, group: AlertGroup) -> None:
        for maintenance in self._maintenances:
            if maintenance.maintained_integration_id == group.integration_id and maintenance.resolved_at is None:
                self.attach(group, maintenance)

    def _put_into(
        self, group: AlertGroup, state: str, moment: datetime, until: datetime | None, by: str | None
    ) -> None:
        if state == "resolved":
            self._resolve(group, by=by)
            group.resolved_at = moment
        elif state == "acknowledged":
            group.mark_acknowledged(moment, by)
        elif state == "silenced":
            self._mark_silenced(group, moment, until)
        elif state != "firing":
            raise ValueError(f"no state of an alert group: {state}")

    def _do(self, action: Action, group: AlertGroup, *, by: str | None, until: datetime | None) -> None:
        now = self.clock.now()
        if action == "resolve":
            self._resolve_or_end_maintenance(group, by=by)
        elif action == "unresolve":
            group.mark_unresolved()
        elif action in ("acknowledge", "unacknowledge"):
            group.mark_acknowledged(now if action == "acknowledge" else None, by)
        else:
            self._mark_silenced(group, now if action == "silence" else None, until)
        self._serialised.pop(group.id, None)
        for follower in self._followers.get(group.id, ()):
            self._do(action, follower, by=by, until=until)

    def _resolve_or_end_maintenance(self, group: AlertGroup, *, by: str | None) -> None:
        if group.maintained_integration_id is None:
            self._resolve(group, by=by)
            return
        integration = self._integrations[group.maintained_integration_id]
        integration.maintenance_started_at = integration.maintenance_end_at = None
        for ended in (group, *self._followers.get(group.id, ())):
            self._resolve(ended, by=None)

    def _resolve(self, group: AlertGroup, *, by: str | None) -> None:
        if group.resolved_at is None:
            group.resolved_at, group.resolved_by = self.clock.now(), by
            self.resolved_ids.append(group.id)
        group.silenced_at = group.silenced_until = None
        group.is_open_for_grouping = False
        self._serialised.pop(group.id, None)

    def _mark_silenced(self, group: AlertGroup, moment: datetime | None, until: datetime | None) -> None:
        group.silenced_at, group.silenced_until = moment, until
        if until is not None:
            self._silenced_for_a_time[group.id] = group

    def _end_silences(self) -> None:
        now = self.clock.now()
        for group in list(self._silenced_for_a_time.values()):
            if group.silenced_until is None:
                del self._silenced_for_a_time[group.id]
            elif group.silenced_until <= now:
                group.silenced_at = group.silenced_until = None
                self._serialised.pop(group.id, None)


_MOMENTS = ("created_at", "resolved_at", "acknowledged_at", "silenced_at", "silenced_until")

# Which states refuse which action, in the order the engine asks. Own state first, attached after it.
_REFUSED_WHEN: dict[Action, tuple[str, ...]] = {
    "resolve": ("a resolved", "an attached"),
    "unresolve": ("an unresolved", "an attached", "a maintenance"),
    "acknowledge": ("an acknowledged", "a resolved", "an attached", "a maintenance"),
    "unacknowledge": ("an unacknowledged", "a resolved", "an attached", "a maintenance"),
    "silence": ("a resolved", "an acknowledged", "an attached"),
    "unsilence": ("an unsilenced", "a resolved", "an acknowledged", "an attached"),
}


def _refusal(action: Action, group: AlertGroup) -> str | None:
    # The engine keeps "acknowledged" when a group is resolved, so an acknowledged and resolved one is both.
    is_a = {
        "a resolved": group.resolved_at is not None,
        "an unresolved": group.resolved_at is None,
        "an acknowledged": group.acknowledged_at is not None,
        "an unacknowledged": group.acknowledged_at is None,
        "an unsilenced": group.silenced_at is None,
        "an attached": group.attached_to is not None,
        "a maintenance": group.maintained_integration_id is not None,
    }
    found = next((words for words in _REFUSED_WHEN[action] if is_a[words]), None)
    return None if found is None else f"Can't {action} {found} alert group"


def _age(group: AlertGroup) -> tuple[datetime, int]:
    return group.created_at, group.number


def _counted(payload: Payload) -> Payload:
    """Add the counts that IRM computes itself, from the alerts that were not truncated."""
    statuses = [alert.get("status") for alert in payload.get("alerts") or ()]
    return {**payload, "numFiring": statuses.count("firing"), "numResolved": statuses.count("resolved")}


def _title(payload: Payload) -> str:
    labels: dict[str, Any] = dict(payload.get("groupLabels") or payload.get("labels") or {})
    name = labels.pop("alertname", None) or payload.get("title") or "Alert"
    return f"{name} ({', '.join(labels.values())})" if labels else str(name)
