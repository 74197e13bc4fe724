"""What Alertmanager says of one alert group: its verdict, and the sentence that says why. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from alert_sync.matchers import matches
from alert_sync.membership import Membership
from alert_sync.model import (
    Alert,
    AlertGroup,
    AlertmanagerSnapshot,
    AlertState,
    Finding,
    Member,
    Notification,
    Peer,
    Policy,
    Silence,
    SilenceState,
    Verdict,
)
from alert_sync.wording import active_reason, missing_reason, silenced_reason, suppressed_reason

_TRUSTED_CLUSTER_STATES = (None, "ready", "disabled")


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


def covered_until(members: Sequence[Member]) -> datetime:
    """When the first member is no longer silenced. Its page must not wait for the silences of the others."""
    return min(max(silence.ends_at for silence in member.silences) for member in members)


def silence_end(members: Sequence[Member]) -> datetime | None:
    """The same, where every one of them is silenced now; None elsewhere."""
    is_covered = bool(members) and all(member.silences for member in members)
    return covered_until(members) if is_covered else None


def active_members(members: Sequence[Member]) -> tuple[Member, ...]:
    """Those that Alertmanager would page for."""
    return tuple(_in_state(members, AlertState.ACTIVE, AlertState.UNPROCESSED))


class Judge:
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
        """The verdict on one alert group."""
        if self.is_elsewhere(group):
            return Finding(alert_group=group, verdict=Verdict.OUT_OF_SCOPE, reason="of another integration or team")
        if group.fault:
            return Finding(alert_group=group, verdict=Verdict.UNKNOWN, reason=group.fault)
        if group.notification is None:
            reason = "its last payload is not Alertmanager's"
            return Finding(alert_group=group, verdict=Verdict.UNMANAGED, reason=reason)
        members = self.members(group.notification)
        if not self.is_in_scope(group.notification, members):
            reason = "none of its alerts matches ALERT_MATCHERS"
            return Finding(alert_group=group, verdict=Verdict.OUT_OF_SCOPE, reason=reason, members=members)
        verdict, reason = self._verdict(group.notification, members)
        return Finding(alert_group=group, verdict=verdict, reason=reason, members=members)

    def members(self, notification: Notification) -> tuple[Member, ...]:
        """The alerts that Alertmanager holds of this alert group, each with the silences that cover it now."""
        return tuple(self.member(alert) for alert in self._membership.of(notification))

    def in_place(self, notification: Notification) -> frozenset[str]:
        """Alerts that Alertmanager would send under this receiver and these group labels."""
        return self._membership.in_place(notification)

    def member(self, alert: Alert) -> Member:
        """One alert with the silences that cover it now."""
        found = (self._silences.get(silence_id) for silence_id in alert.silenced_by)
        return Member(alert=alert, silences=tuple(silence for silence in found if silence and self._holds(silence)))

    def standing(self, fingerprint: str) -> Alert:
        """The record of an alert that stands, over all peers."""
        return self._membership.alerts[fingerprint]

    def is_elsewhere(self, group: AlertGroup) -> bool:
        """Whether it is of an integration or team that is left out."""
        wanted = self._policy.integration_ids
        return bool(
            (wanted and group.integration_id not in wanted)
            or (self._policy.team_id and group.team_id != self._policy.team_id)
        )

    def is_in_scope(self, notification: Notification, members: Sequence[Member]) -> bool:
        """Whether one of its alerts matches ALERT_MATCHERS."""
        labels = [member.alert.labels for member in members] or list(notification.firing.values())
        matchers = self._policy.matchers
        return not matchers or any(matches(matchers, each) for each in labels)

    def _holds(self, silence: Silence) -> bool:
        return silence.state is SilenceState.ACTIVE and silence.ends_at > self._now

    def _verdict(self, notification: Notification, members: Sequence[Member]) -> tuple[Verdict, str]:
        if active := active_members(members):
            return Verdict.FIRING, active_reason(active, members)
        if _in_state(members, AlertState.UNKNOWN):
            return Verdict.UNKNOWN, "Alertmanager's record of one of its alerts could not be understood"
        if not members:
            return self._verdict_without_members(notification)
        if not all(member.alert.silenced_by for member in members):
            return Verdict.SUPPRESSED, suppressed_reason(members)
        return self._verdict_all_silenced(notification, members)

    def _verdict_all_silenced(self, notification: Notification, members: Sequence[Member]) -> tuple[Verdict, str]:
        doubt = self._doubt_of_owner(notification) or self._doubt_of_silences(notification, members)
        if doubt:
            return Verdict.UNKNOWN, doubt
        return Verdict.SILENCED, silenced_reason(members, until=covered_until(members))

    def _doubt_of_owner(self, notification: Notification) -> str:
        """Why it may not be Alertmanager that wants this alert group to be open."""
        if not notification.firing:
            return "its last webhook said that all its alerts are resolved: a person opened it again"
        if len(self._membership.missing(notification)) == len(notification.firing):
            return "Alertmanager holds none of the alerts that its webhook listed: another's group?"
        return ""

    def _doubt_of_silences(self, notification: Notification, members: Sequence[Member]) -> str:
        """Why one of its alerts may not be silenced after all."""
        if self._unreadable:
            return "Alertmanager's answer holds objects that could not be understood"
        if not all(member.silences for member in members):
            return "a silence that covered one of its alerts has just ended or is not known yet"
        if self.distrust and (missing := self._membership.missing(notification)):
            return missing_reason(len(missing), self.distrust)
        if self.distrust and notification.truncated_alerts:
            return f"its webhook was cut off (max_alerts), and {self.distrust[0]}"
        return ""

    def _verdict_without_members(self, notification: Notification) -> tuple[Verdict, str]:
        if self.distrust:
            return Verdict.UNKNOWN, f"Alertmanager holds none of its alerts, which proves nothing: {self.distrust[0]}"
        if notification.truncated_alerts:
            return Verdict.UNKNOWN, "Alertmanager holds none of its alerts, but its webhook was cut off (max_alerts)"
        return Verdict.GONE, "Alertmanager holds none of its alerts any more: their resolve was lost, or is on its way"


def _in_state(members: Sequence[Member], *states: AlertState) -> list[Member]:
    return [member for member in members if member.alert.state in states]
