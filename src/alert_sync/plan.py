"""Every decision of this service: two snapshots, a policy and the time in, a Plan out.

Pure: no network, no clock, no logging, no environment. The same facts give an equal plan, whatever their order.
The rule behind every rule: a wrong resolve hides a page from a person; a missed one is only noise. In doubt, keep.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta

from alert_sync.errors import UnsafePlanError
from alert_sync.matchers import matches
from alert_sync.membership import Membership
from alert_sync.model import (
    Alert,
    AlertGroup,
    AlertGroupState,
    AlertmanagerSnapshot,
    AlertState,
    Change,
    Finding,
    IrmSnapshot,
    Member,
    Notification,
    Peer,
    Plan,
    Policy,
    Silence,
    SilencedAction,
    SilenceState,
    Verdict,
)
from alert_sync.wording import active_reason, missing_reason, silenced_reason, suppressed_reason

# IRM answers 500 to a delay that leads beyond its calendar, as one from a silence "for ever" does.
_LONGEST_SILENCE = timedelta(days=365)

_TRUSTED_CLUSTER_STATES = (None, "ready", "disabled")

# What IRM can do from which state: it refuses to silence an acknowledged alert group, and for one that is silenced
# already it does not tell until when, so silencing it again in every run would never come to rest.
_STATES_FOR = {
    SilencedAction.RESOLVE: frozenset({AlertGroupState.FIRING, AlertGroupState.ACKNOWLEDGED, AlertGroupState.SILENCED}),
    SilencedAction.REPORT: frozenset({AlertGroupState.FIRING, AlertGroupState.ACKNOWLEDGED, AlertGroupState.SILENCED}),
    SilencedAction.SILENCE: frozenset({AlertGroupState.FIRING}),
}


def make_plan(alertmanager: AlertmanagerSnapshot, irm: IrmSnapshot, policy: Policy, *, now: datetime) -> Plan:
    """Decide what to do with every open alert group.

    | members in Alertmanager                                   | verdict      | we do                              |
    | --------------------------------------------------------- | ------------ | ---------------------------------- |
    | any active, unprocessed                                    | firing       | keep                               |
    | any that cannot be understood                              | unknown      | keep                               |
    | some, each under a silence that still holds                | silenced     | SILENCED_ACTION, in listed states  |
    | the same, but none that the payload lists is among them    | unknown      | keep: another Alertmanager's group |
    | the same, but one is missing or cut off and AM not trusted | unknown      | keep                               |
    | some, none active, not all silenced                        | suppressed   | keep                               |
    | none, Alertmanager trusted, payload complete               | gone         | keep, counted as a lost resolve    |
    | none otherwise                                             | unknown      | keep                               |
    | the payload is not Alertmanager's                          | unmanaged    | keep                               |
    | other integration or team, or no member matches            | out_of_scope | keep                               |
    """
    judge = _Judge(alertmanager, policy, now)
    findings = [judge.finding(alert_group) for alert_group in irm.alert_groups if _is_open(alert_group)]
    findings.sort(key=lambda finding: (finding.alert_group.created_at, finding.alert_group.id))
    changes = [change for finding in findings if (change := _change(finding, policy, now)) is not None]
    changed = {change.finding.alert_group.id for change in changes}
    unmanaged = (Verdict.UNMANAGED, Verdict.OUT_OF_SCOPE)
    return Plan(
        changes=tuple(changes),
        kept=tuple(finding for finding in findings if finding.alert_group.id not in changed),
        managed=sum(finding.verdict not in unmanaged and not finding.alert_group.fault for finding in findings),
        unreadable=irm.unreadable,
        distrust=judge.distrust,
    )


def check_plan(plan: Plan, policy: Policy) -> None:
    """Refuse a plan that is too large to be true.

    Raises:
        UnsafePlanError: more alert groups would be quietened than MAX_CHANGES_MINIMUM, and also a larger share of
            the managed ones than MAX_CHANGES_PERCENT.
    """
    quietened = sum(change.action is not SilencedAction.REPORT for change in plan.changes)
    within_share = quietened * 100 <= policy.max_changes_percent * plan.managed
    if quietened > policy.max_changes_minimum and not within_share:
        raise UnsafePlanError(
            f"{quietened} of {plan.managed} managed alert groups would be quietened: more than "
            f"MAX_CHANGES_PERCENT={policy.max_changes_percent} and MAX_CHANGES_MINIMUM={policy.max_changes_minimum} "
            "allow. If Alertmanager's silences are really that wide, run once with force=true."
        )


def distrust_of(peer: Peer, policy: Policy, now: datetime) -> str:
    """Why this peer's silence about an alert proves nothing; empty if it does."""
    if peer.fault:
        return peer.fault
    if peer.unreadable:
        return f"Alertmanager {peer.url}: {peer.unreadable} objects of its answer could not be understood"
    if peer.cluster_status not in _TRUSTED_CLUSTER_STATES:
        return f"Alertmanager {peer.url}: its cluster is {peer.cluster_status}, not ready"
    if peer.started_at is not None and now - peer.started_at < policy.min_uptime:
        wanted = int(policy.min_uptime.total_seconds())
        up = int((now - peer.started_at).total_seconds())
        return f"Alertmanager {peer.url}: up for {up} s only, and needs {wanted} s to hear from every Prometheus"
    return ""


class _Judge:
    """One Alertmanager snapshot, prepared so that the verdict on an alert group is a look-up."""

    def __init__(self, alertmanager: AlertmanagerSnapshot, policy: Policy, now: datetime) -> None:
        self._membership = Membership(alertmanager)
        self._silences = alertmanager.silences
        self._policy = policy
        self._now = now
        self._unreadable = sum(peer.unreadable for peer in alertmanager.peers)
        reasons = (distrust_of(peer, policy, now) for peer in alertmanager.peers)
        self.distrust = tuple(sorted(reason for reason in reasons if reason))

    def finding(self, group: AlertGroup) -> Finding:
        if self._is_elsewhere(group):
            return Finding(alert_group=group, verdict=Verdict.OUT_OF_SCOPE, reason="of another integration or team")
        if group.fault:
            return Finding(alert_group=group, verdict=Verdict.UNKNOWN, reason=group.fault)
        if group.notification is None:
            reason = "its last payload is not Alertmanager's"
            return Finding(alert_group=group, verdict=Verdict.UNMANAGED, reason=reason)
        members = tuple(self._member(alert) for alert in self._membership.of(group.notification))
        if not self._is_in_scope(group.notification, members):
            reason = "none of its alerts matches ALERT_MATCHERS"
            return Finding(alert_group=group, verdict=Verdict.OUT_OF_SCOPE, reason=reason, members=members)
        verdict, reason = self._verdict(group.notification, members)
        return Finding(alert_group=group, verdict=verdict, reason=reason, members=members)

    def _is_elsewhere(self, group: AlertGroup) -> bool:
        wanted = self._policy.integration_ids
        return bool(
            (wanted and group.integration_id not in wanted)
            or (self._policy.team_id and group.team_id != self._policy.team_id)
        )

    def _is_in_scope(self, notification: Notification, members: Sequence[Member]) -> bool:
        labels = [member.alert.labels for member in members] or list(notification.firing.values())
        matchers = self._policy.matchers
        return not matchers or any(matches(matchers, each) for each in labels)

    def _member(self, alert: Alert) -> Member:
        found = (self._silences.get(silence_id) for silence_id in alert.silenced_by)
        return Member(alert=alert, silences=tuple(silence for silence in found if silence and self._holds(silence)))

    def _holds(self, silence: Silence) -> bool:
        return silence.state is SilenceState.ACTIVE and silence.ends_at > self._now

    def _verdict(self, notification: Notification, members: Sequence[Member]) -> tuple[Verdict, str]:
        if active := _in_state(members, AlertState.ACTIVE, AlertState.UNPROCESSED):
            return Verdict.FIRING, active_reason(active, members)
        if _in_state(members, AlertState.UNKNOWN):
            return Verdict.UNKNOWN, "Alertmanager's record of one of its alerts could not be understood"
        if not members:
            return self._verdict_without_members(notification)
        if not all(member.alert.silenced_by for member in members):
            return Verdict.SUPPRESSED, suppressed_reason(members)
        return self._verdict_all_silenced(notification, members)

    def _verdict_all_silenced(self, notification: Notification, members: Sequence[Member]) -> tuple[Verdict, str]:
        if self._unreadable:
            return Verdict.UNKNOWN, "Alertmanager's answer holds objects that could not be understood"
        if not all(member.silences for member in members):
            return Verdict.UNKNOWN, "a silence that covered one of its alerts has just ended or is not known yet"
        missing = self._membership.missing(notification)
        if notification.firing and len(missing) == len(notification.firing):
            return Verdict.UNKNOWN, "Alertmanager holds none of the alerts that its webhook listed: another's group?"
        if self.distrust and missing:
            return Verdict.UNKNOWN, missing_reason(len(missing), self.distrust)
        if self.distrust and notification.truncated_alerts:
            return Verdict.UNKNOWN, f"its webhook was cut off (max_alerts), and {self.distrust[0]}"
        return Verdict.SILENCED, silenced_reason(members, until=_covered_until(members))

    def _verdict_without_members(self, notification: Notification) -> tuple[Verdict, str]:
        if self.distrust:
            return Verdict.UNKNOWN, f"Alertmanager holds none of its alerts, which proves nothing: {self.distrust[0]}"
        if notification.truncated_alerts:
            return Verdict.UNKNOWN, "Alertmanager holds none of its alerts, but its webhook was cut off (max_alerts)"
        return Verdict.GONE, "Alertmanager holds none of its alerts any more: their resolve was lost, or is on its way"


def _is_open(group: AlertGroup) -> bool:
    return group.state is not AlertGroupState.RESOLVED


def _in_state(members: Sequence[Member], *states: AlertState) -> list[Member]:
    return [member for member in members if member.alert.state in states]


def _change(finding: Finding, policy: Policy, now: datetime) -> Change | None:
    action = policy.silenced_action
    state = finding.alert_group.state
    if finding.verdict is not Verdict.SILENCED or state is None:
        return None
    if state not in policy.alert_group_states & _STATES_FOR[action]:
        return None
    seconds = _silence_seconds(finding.members, policy.interval, now) if action is SilencedAction.SILENCE else None
    return Change(finding=finding, action=action, silence_seconds=seconds)


def _silence_seconds(members: Sequence[Member], interval: timedelta, now: datetime) -> int:
    """The time that is left, and one interval more, so that a lost resolve is seen before IRM pages again.

    Never 0 or negative, which IRM takes for ever.
    """
    left = min(_covered_until(members) - now + interval, _LONGEST_SILENCE)
    return max(1, math.ceil(left.total_seconds()))


def _covered_until(members: Sequence[Member]) -> datetime:
    """When the first member is no longer silenced. Its page must not wait for the silences of the others."""
    return min(max(silence.ends_at for silence in member.silences) for member in members)
