"""When an alert group whose alerts are all gone may be resolved: Alertmanager lost their resolve. Pure.

One look cannot tell a lost resolve from an Alertmanager that has just started, that lost its data, or that never had
the alert because it is another one's. So it takes several: see docs/decisions/0009-lost-resolves.md.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from alert_sync.hand_back import NOTIFICATION_LOG_LIFE
from alert_sync.model import (
    Action,
    AlertmanagerSnapshot,
    Change,
    Finding,
    GoneAction,
    Notification,
    Policy,
    Verdict,
)
from alert_sync.recall import Mismatch, Recall, sighting_of, signature_of
from alert_sync.wording import gone_reason, moment

# Prometheus repeats a resolved alert for 15 minutes: until then Alertmanager may still tell IRM itself.
_LEAST_AGE = timedelta(minutes=15)


class LostResolves:
    """What earlier runs and this one know about alert groups whose alerts are gone."""

    def __init__(self, recall: Recall, alertmanager: AlertmanagerSnapshot, policy: Policy, now: datetime) -> None:
        self._recall = recall
        self._policy = policy
        self._now = now
        started = [peer.started_at for peer in alertmanager.peers if peer.started_at is not None]
        self._trusted_since = max(started) + policy.min_uptime if started else None

    def change(self, finding: Finding) -> Change | None:
        """Resolve it, if every doubt is gone; None: not (yet)."""
        is_wanted = self._recall.is_on and self._policy.gone_action is GoneAction.RESOLVE
        if not is_wanted or finding.verdict is not Verdict.GONE or self.doubt(finding):
            return None
        mismatch = self._mismatch(finding)
        since = mismatch.detected_at if mismatch else self._now
        why = Finding(
            alert_group=finding.alert_group, verdict=Verdict.GONE, reason=gone_reason(since), members=finding.members
        )
        return Change(finding=why, action=Action.RESOLVE)

    def doubt(self, finding: Finding) -> str:
        """Why this one is left open; empty if nothing speaks for that any more."""
        mismatch = self._mismatch(finding)
        if mismatch is None or mismatch.signature != signature_of(finding):
            return "seen for the first time: looked at again in later runs"
        notification = finding.alert_group.notification
        if notification is not None and not notification.firing:
            return "its last webhook said that all alerts are resolved: a person opened it again, and has to resolve it"
        # Whoever sent a webhook since still had the alerts then, if it was not this Alertmanager.
        since = max(filter(None, (mismatch.detected_at, self._trusted_since, _sent_at(notification))))
        due = since + max(self._policy.interval, _LEAST_AGE)
        if self._now < due:
            return f"seen so since {moment(since)}: resolved after {moment(due)} if it stays so"
        if not self._is_known_to_be_ours(finding):
            return "no run has seen its alerts in this Alertmanager: it may be another's, so a person has to resolve it"
        return ""

    def _mismatch(self, finding: Finding) -> Mismatch | None:
        return self._recall.mismatch_of(Verdict.GONE, finding.alert_group)

    def _is_known_to_be_ours(self, finding: Finding) -> bool:
        """An earlier run saw its alerts here; or no Alertmanager that still had them would have kept quiet so long."""
        if sighting_of(finding.alert_group) in self._recall.seen:
            return True
        sent_at = _sent_at(finding.alert_group.notification)
        return sent_at is not None and self._now - sent_at > NOTIFICATION_LOG_LIFE + _LEAST_AGE


def _sent_at(notification: Notification | None) -> datetime | None:
    return notification.sent_at if notification else None
