"""Aggregation groups that fire in Alertmanager and have no alert group in IRM. Pure.

Only receivers that are known to lead to IRM count, because an alert group came from them; and only alerts that IRM
should long have heard of.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cached_property

from alert_sync.membership import quote_receiver
from alert_sync.model import (
    Action,
    AlertGroup,
    AlertGroupState,
    AlertmanagerSnapshot,
    Change,
    Finding,
    IrmSnapshot,
    Member,
    MissingAction,
    Notification,
    Policy,
    Question,
    Verdict,
)
from alert_sync.recall import Recall, Receiver, key_of, place_of, sighting_of
from alert_sync.verdicts import Judge, active_members
from alert_sync.wording import missing_group_reason

_NO_ROUTE = ""
# A receiver from which nothing has come for so long may lead elsewhere now.
_KNOWN_FOR = timedelta(days=30)
_LONGEST_LOOK_BACK = timedelta(days=30)
_MOST_ROUTES = 50


def known_receivers(recall: Recall, irm: IrmSnapshot, seen: frozenset[str], *, now: datetime) -> Mapping[str, Receiver]:
    """The receivers from which IRM has had alert groups, by their name as webhooks write it.

    `seen` are the sightings that are this Alertmanager's: another one's receiver of that name may lead elsewhere.
    """
    known = dict(recall.receivers)
    for group in sorted(irm.alert_groups, key=lambda each: (each.created_at, each.id)):
        notification = group.notification
        if notification is not None and not notification.legacy and sighting_of(group) in seen:
            learnt = _learnt(known.get(notification.receiver), group, notification)
            known[notification.receiver] = replace(learnt, seen_on=f"{now:%Y-%m-%d}")
    oldest = f"{now - _KNOWN_FOR:%Y-%m-%d}"
    return {name: receiver for name, receiver in known.items() if receiver.seen_on >= oldest}


def missing_groups(
    alertmanager: AlertmanagerSnapshot,
    irm: IrmSnapshot,
    recall: Recall,
    judge: Judge,
    policy: Policy,
    *,
    now: datetime,
    seen: frozenset[str],
    told: Mapping[str, str] | None,
) -> tuple[tuple[Change, ...], tuple[Question, ...]]:
    """What IRM should have and has not, and what has to be asked before that is certain."""
    if not recall.is_on:
        return (), ()
    search = _Search(irm, recall, judge, policy, now=now, seen=seen)
    candidates = list(search.candidates(alertmanager))
    questions = tuple(_question(finding) for finding in candidates)
    if told is None:
        return (), questions
    untold = [finding for finding in candidates if told.get(place_of(finding.alert_group)) == ""]
    changes = tuple(Change(finding=finding, action=_action(finding, policy)) for finding in untold)
    return changes, tuple(question for question in questions if question.key not in told)


class _Search:
    def __init__(
        self,
        irm: IrmSnapshot,
        recall: Recall,
        judge: Judge,
        policy: Policy,
        *,
        now: datetime,
        seen: frozenset[str],
    ) -> None:
        self._receivers = known_receivers(recall, irm, seen, now=now)
        self._long_ago = now - _LONGEST_LOOK_BACK
        self._judge = judge
        self._oldest_allowed = now - policy.group_wait - policy.interval
        notified = [group.notification for group in irm.alert_groups if group.notification is not None]
        ours = (each.alert_group for each in recall.interventions.values() if each.verdict is not Verdict.MISSING)
        self._groups = (*irm.alert_groups, *ours)
        self._paged_for = {fingerprint for notification in notified for fingerprint in notification.firing}

    @cached_property
    def _known(self) -> frozenset[str]:
        """Names of what IRM has or had from us. Most runs have no candidate, and need none."""
        return frozenset(name for group in self._groups for name in (key_of(group), place_of(group)))

    def candidates(self, alertmanager: AlertmanagerSnapshot) -> Iterator[Finding]:
        """Each aggregation group once, over all peers."""
        merged = _merged(alertmanager, self._receivers).items()
        unheard = (item for item in merged if self._paged_for.isdisjoint(item[1]))
        for (receiver, labels), fingerprints in sorted(unheard, key=_order):
            alerts = (self._judge.standing(fingerprint) for fingerprint in sorted(fingerprints))
            members = tuple(self._judge.member(alert) for alert in alerts)
            if (finding := self._finding(self._receivers[receiver], receiver, labels, members)) is not None:
                yield finding

    def _finding(
        self, known: Receiver, receiver: str, labels: frozenset[tuple[str, str]], members: tuple[Member, ...]
    ) -> Finding | None:
        late = [member for member in active_members(members) if self._is_late(member)]
        if not late:
            return None
        began = max(_began(late), self._long_ago)
        group = _alert_group(known, receiver, labels, members, began)
        notification = group.notification
        is_out = notification is None or not self._judge.is_in_scope(notification, members)
        if is_out or self._judge.is_elsewhere(group) or not self._known.isdisjoint({key_of(group), place_of(group)}):
            return None
        reason = missing_group_reason(late, _began(late))
        return Finding(alert_group=group, verdict=Verdict.MISSING, reason=reason, members=members)

    def _is_late(self, member: Member) -> bool:
        starts_at = member.alert.starts_at
        return starts_at is not None and starts_at < self._oldest_allowed


def _merged(
    alertmanager: AlertmanagerSnapshot, receivers: Mapping[str, Receiver]
) -> Mapping[tuple[str, frozenset[tuple[str, str]]], set[str]]:
    merged: dict[tuple[str, frozenset[tuple[str, str]]], set[str]] = defaultdict(set)
    for peer in alertmanager.peers:
        for group in peer.aggregation_groups:
            receiver = quote_receiver(group.receiver)
            if receiver in receivers:
                merged[receiver, group.group_labels] |= {alert.fingerprint for alert in group.alerts}
    return merged


def _order(item: tuple[tuple[str, frozenset[tuple[str, str]]], set[str]]) -> tuple[str, list[tuple[str, str]]]:
    (receiver, labels), _ = item
    return receiver, sorted(labels)


def _alert_group(
    known: Receiver, receiver: str, labels: frozenset[tuple[str, str]], members: tuple[Member, ...], began: datetime
) -> AlertGroup:
    """What IRM would have: without an id, as it has none."""
    group_key = _group_key(known, labels)
    webhook = {"groupKey": group_key, "externalURL": known.external_url, "version": "4"} if group_key else {}
    return AlertGroup(
        id="",
        title=", ".join(f"{name}={value}" for name, value in sorted(labels)) or f"receiver {receiver}",
        url="",
        state=AlertGroupState.RESOLVED,
        created_at=began,
        integration_id=known.integration_id,
        team_id=known.team_id,
        notification=Notification(
            receiver=receiver,
            group_labels=labels,
            firing={member.alert.fingerprint: member.alert.labels for member in members},
            webhook=webhook,
        ),
    )


def _began(members: Iterable[Member]) -> datetime:
    return min(member.alert.starts_at or member.alert.updated_at for member in members)


def _question(finding: Finding) -> Question:
    """By its place: where the group key is not certain, many share an empty one."""
    return Question(
        key=place_of(finding.alert_group), alert_group=finding.alert_group, since=finding.alert_group.created_at
    )


def _action(finding: Finding, policy: Policy) -> Action:
    """Paging needs the group key that Alertmanager would send; where that is not certain, a person is told."""
    notification = finding.alert_group.notification
    can_notify = notification is not None and bool(notification.webhook)
    return Action.NOTIFY if can_notify and policy.missing_action is MissingAction.NOTIFY else Action.REPORT


def _learnt(known: Receiver | None, group: AlertGroup, notification: Notification) -> Receiver:
    routes = dict(list(known.routes.items())[-_MOST_ROUTES:]) if known else {}
    names, route = _label_names(notification.group_labels), _route_of(notification)
    routes[names] = route if routes.get(names, route) == route else _NO_ROUTE
    return Receiver(
        integration_id=group.integration_id,
        team_id=group.team_id,
        external_url=str(notification.webhook.get("externalURL", "")),
        routes=routes,
    )


def _route_of(notification: Notification) -> str:
    """The part of the group key before the labels; empty if the key is not written as we would write it."""
    key = str(notification.webhook.get("groupKey", ""))
    ending = f":{_labels_text(notification.group_labels)}"
    return key.removesuffix(ending) if key.endswith(ending) else _NO_ROUTE


def _group_key(known: Receiver, labels: frozenset[tuple[str, str]]) -> str:
    route = known.routes.get(_label_names(labels), _NO_ROUTE)
    is_certain = route and all(value.isprintable() for _, value in labels)
    return f"{route}:{_labels_text(labels)}" if is_certain else ""


def _label_names(labels: frozenset[tuple[str, str]]) -> str:
    return ",".join(sorted(name for name, _ in labels))


def _labels_text(labels: frozenset[tuple[str, str]]) -> str:
    """As Alertmanager writes a label set; json's quoting is Go's for all that can be printed."""
    pairs = (f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in sorted(labels))
    return "{" + ", ".join(pairs) + "}"
