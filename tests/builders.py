"""Facts for tests: valid by default, so that a test names only what it is about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from alert_sync.hand_back import silences_of
from alert_sync.membership import quote_receiver
from alert_sync.model import (
    Action,
    AggregationGroup,
    Alert,
    AlertGroup,
    AlertGroupState,
    AlertmanagerSnapshot,
    AlertState,
    Change,
    ChangeResult,
    Finding,
    IrmSnapshot,
    Member,
    Notification,
    Outcome,
    Peer,
    Silence,
    SilenceState,
    Verdict,
)
from alert_sync.recall import (
    HistoryEntry,
    Intervention,
    Lease,
    Mismatch,
    Recall,
    Receiver,
    ResolutionStatus,
    key_of,
    new_id,
    sighting_of,
    signature_of,
    subject_of,
)

NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=3)
RECEIVER = "oncall"
GROUP_LABELS = {"alertname": "HighLatency", "cluster": "eu"}
GROUP_KEY = '{}:{alertname="HighLatency", cluster="eu"}'
EXTERNAL_URL = "http://alertmanager.example"


def an_alert(
    fingerprint: str = "f1",
    *,
    state: AlertState = AlertState.ACTIVE,
    silenced_by: tuple[str, ...] = (),
    inhibited_by: tuple[str, ...] = (),
    updated_at: datetime = NOW - timedelta(minutes=1),
    labels: Mapping[str, str] | None = None,
    starts_at: datetime | None = NOW - timedelta(hours=2),
) -> Alert:
    """An active alert."""
    return Alert(
        fingerprint=fingerprint,
        state=state,
        updated_at=updated_at,
        silenced_by=silenced_by,
        inhibited_by=inhibited_by,
        labels=labels or {"alertname": "HighLatency"},
        starts_at=starts_at,
    )


def a_silenced_alert(fingerprint: str = "f1", *, by: tuple[str, ...] = ("s1",), **more: object) -> Alert:
    """A suppressed alert that silence s1 covers."""
    return an_alert(fingerprint, state=AlertState.SUPPRESSED, silenced_by=by, **more)  # type: ignore[arg-type] # passed on


def an_inhibited_alert(fingerprint: str = "f1") -> Alert:
    """A suppressed alert that no silence covers."""
    return an_alert(fingerprint, state=AlertState.SUPPRESSED, inhibited_by=("f9",))


def a_silence(
    silence_id: str = "s1",
    *,
    state: SilenceState = SilenceState.ACTIVE,
    ends_in: timedelta = timedelta(hours=1),
    author: str = "ann",
    comment: str = "deploy",
) -> Silence:
    """A silence that holds for another hour."""
    return Silence(id=silence_id, state=state, ends_at=NOW + ends_in, author=author, comment=comment)


def an_aggregation_group(
    *alerts: Alert, receiver: str = RECEIVER, group_labels: Mapping[str, str] | None = None
) -> AggregationGroup:
    """Alerts that Alertmanager groups for our receiver."""
    labels = GROUP_LABELS if group_labels is None else group_labels
    return AggregationGroup(receiver=receiver, group_labels=frozenset(labels.items()), alerts=alerts)


def a_peer(
    *groups: AggregationGroup,
    url: str = "http://a:9093",
    fault: str = "",
    cluster_status: str | None = "ready",
    started_at: datetime | None = LONG_AGO,
    unreadable: int = 0,
) -> Peer:
    """A peer that answered in full and has been up for days."""
    return Peer(
        url=url,
        fault=fault,
        cluster_status=cluster_status,
        started_at=started_at,
        aggregation_groups=groups,
        unreadable=unreadable,
    )


def alertmanager_with(*alerts: Alert, silences: Iterable[Silence] | None = None) -> AlertmanagerSnapshot:
    """One trusted peer whose only aggregation group is our alert group's; silence s1 holds."""
    return peers_with(a_peer(an_aggregation_group(*alerts)), silences=silences)


def peers_with(*peers: Peer, silences: Iterable[Silence] | None = None) -> AlertmanagerSnapshot:
    """These peers; silence s1 holds."""
    known = [a_silence()] if silences is None else silences
    return AlertmanagerSnapshot(peers=peers, silences={silence.id: silence for silence in known})


def a_notification(
    *firing: str,
    receiver: str = RECEIVER,
    group_labels: Mapping[str, str] | None = None,
    truncated_alerts: int = 0,
    legacy: bool = False,
    group_key: str = "",
    sent_at: datetime | None = None,
) -> Notification:
    """The webhook that listed these fingerprints as firing; with a group key, one that can be sent again."""
    labels = GROUP_LABELS if group_labels is None else group_labels
    return Notification(
        receiver=quote_receiver(receiver),
        group_labels=frozenset(labels.items()),
        firing={fingerprint: {"alertname": "HighLatency"} for fingerprint in firing or ("f1",)},
        truncated_alerts=truncated_alerts,
        legacy=legacy,
        sent_at=sent_at,
        webhook={"groupKey": group_key, "externalURL": EXTERNAL_URL, "version": "4"} if group_key else {},
    )


def an_alert_group(
    group_id: str = "I1",
    *,
    state: AlertGroupState | None = AlertGroupState.FIRING,
    notification: Notification | None = None,
    managed: bool = True,
    created_at: datetime = NOW - timedelta(hours=1),
    integration_id: str = "C1",
    team_id: str = "",
    fault: str = "",
    silenced_at: datetime | None = None,
) -> AlertGroup:
    """A firing alert group whose last webhook listed f1 as firing. `managed=False`: not Alertmanager's."""
    return AlertGroup(
        id=group_id,
        title=f"title of {group_id}",
        url=f"http://grafana.example/{group_id}",
        state=state,
        created_at=created_at,
        integration_id=integration_id,
        team_id=team_id,
        notification=(notification or a_notification()) if managed else None,
        fault=fault,
        silenced_at=silenced_at,
    )


def irm_with(*groups: AlertGroup, unreadable: int = 0) -> IrmSnapshot:
    """IRM lists these."""
    return IrmSnapshot(alert_groups=groups, unreadable=unreadable)


# --- what is remembered

UNDER_S1 = (a_silence(),)
RECEIVERS = {
    RECEIVER: Receiver(
        integration_id="C1", external_url=EXTERNAL_URL, seen_on=f"{NOW:%Y-%m-%d}", routes={"alertname,cluster": "{}"}
    )
}


def a_keyed_group(
    group_id: str = "I1",
    *,
    state: AlertGroupState | None = AlertGroupState.FIRING,
    group_key: str = GROUP_KEY,
    **more: object,
) -> AlertGroup:
    """An alert group whose webhook has the group key that Alertmanager sends, so that it can be sent again."""
    return an_alert_group(group_id, state=state, notification=a_notification(group_key=group_key), **more)  # type: ignore[arg-type] # passed on


def an_intervention(
    alert_group: AlertGroup | None = None,
    *,
    action: Action = Action.RESOLVE,
    verdict: Verdict = Verdict.SILENCED,
    silences: Iterable[Silence] = UNDER_S1,
    acted_at: datetime = NOW - timedelta(minutes=10),
    intended_at: datetime | None = None,
    run_id: str = "an earlier run",
    is_done: bool = True,
    covered_until: datetime | None = None,
    silenced_until: datetime | None = None,
    version: int | None = 1,
) -> Intervention:
    """A resolve of alert group I1 under silence s1, ten minutes ago."""
    group = alert_group or a_keyed_group()
    return Intervention(
        key=key_of(group),
        alert_group=group,
        action=action,
        verdict=verdict,
        silences=silences_of([Member(alert=a_silenced_alert(), silences=tuple(silences))]),
        acted_at=acted_at,
        intended_at=intended_at,
        run_id=run_id,
        is_done=is_done,
        covered_until=covered_until,
        silenced_until=silenced_until,
        version=version,
    )


def an_irm_silence(
    alert_group: AlertGroup | None = None, *, ends_in: timedelta = timedelta(minutes=65), **more: object
) -> Intervention:
    """A silence that this service set in IRM, until an interval after s1 ends."""
    return an_intervention(alert_group, action=Action.SILENCE, silenced_until=NOW + ends_in, **more)  # type: ignore[arg-type] # passed on


def a_finding(
    alert_group: AlertGroup | None = None,
    *,
    verdict: Verdict = Verdict.SILENCED,
    members: tuple[Member, ...] | None = None,
    reason: str = "its only alert is silenced",
) -> Finding:
    """Alert group I1, whose only alert silence s1 covers."""
    found = (Member(alert=a_silenced_alert(), silences=UNDER_S1),) if members is None else members
    return Finding(alert_group=alert_group or a_keyed_group(), verdict=verdict, reason=reason, members=found)


def a_change(
    finding: Finding | None = None, action: Action = Action.RESOLVE, *, silence_seconds: int | None = None
) -> Change:
    """The resolve of alert group I1."""
    return Change(finding=finding or a_finding(), action=action, silence_seconds=silence_seconds)


def a_result(
    change: Change | None = None, outcome: Outcome = Outcome.APPLIED, *, error: str = "", remark: str = ""
) -> ChangeResult:
    """A change that was made."""
    return ChangeResult(change=change or a_change(), outcome=outcome, error=error, remark=remark)


def a_mismatch(
    finding: Finding | None = None,
    *,
    action: Action = Action.RESOLVE,
    resolution_status: ResolutionStatus = ResolutionStatus.PENDING,
    detected_at: datetime = NOW - timedelta(minutes=20),
    version: int | None = 1,
    **more: object,
) -> Mismatch:
    """What an earlier run wrote down about this finding, twenty minutes ago."""
    finding = finding or a_finding()
    group = finding.alert_group
    mismatch = Mismatch(
        id=new_id(detected_at, finding.verdict, subject_of(finding)),
        type=finding.verdict,
        subject=subject_of(finding),
        signature=signature_of(finding),
        alert_group_id=group.id,
        title=group.title,
        url=group.url,
        integration_id=group.integration_id,
        action=action,
        reason=finding.reason,
        detected_at=detected_at,
        job_id="an earlier job",
        resolution_status=resolution_status,
        history=(HistoryEntry(at=detected_at, event="found", message=finding.reason, job_id="an earlier job"),),
        version=version,
    )
    return replace(mismatch, **more)  # type: ignore[arg-type] # passed on


def a_recall(
    *remembered: Intervention | Mismatch,
    seen: Iterable[AlertGroup] = (),
    receivers: Mapping[str, Receiver] | None = None,
    seen_version: int | None = None,
) -> Recall:
    """A memory that holds these, and nothing else."""
    interventions = [each for each in remembered if isinstance(each, Intervention)]
    mismatches = [each for each in remembered if isinstance(each, Mismatch)]
    return Recall(
        is_on=True,
        interventions={each.key: each for each in interventions},
        mismatches={(each.type, each.subject): each for each in mismatches},
        seen=frozenset(map(sighting_of, seen)),
        receivers=receivers or {},
        seen_version=seen_version,
    )


def a_lease(
    run_id: str = "r1",
    *,
    job_id: str = "",
    started_at: datetime = NOW,
    lasts: timedelta = timedelta(minutes=5),
    was_queued: bool = False,
    dry_run: bool = False,
) -> Lease:
    """That of a run which begins now and has five minutes."""
    return Lease(
        job_id=job_id or new_id(started_at, run_id),
        run_id=run_id,
        trigger="schedule",
        started_at=started_at,
        expires_at=started_at + lasts,
        was_queued=was_queued,
        dry_run=dry_run,
    )
