"""What a run leaves in memory: intentions before it writes to IRM, and afterwards what became of them. Pure.

An intention is written before the request it is about is sent. A run that dies leaves it behind, and the next one finds
out from IRM what happened: it is recognised, never trusted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from alert_sync.hand_back import silences_of
from alert_sync.mismatches import SERVICE, followed_mismatches
from alert_sync.model import Action, AlertGroup, AlertGroupState, Change, ChangeResult, IrmSnapshot, Outcome, Plan
from alert_sync.recall import (
    AuditEntry,
    Intervention,
    JobRecord,
    JobStatus,
    Lease,
    Mismatch,
    Recall,
    Receiver,
    key_of,
    new_id,
    sighting_of,
    subject_of,
)
from alert_sync.report import Report
from alert_sync.verdicts import silence_end
from alert_sync.wording import title_line

_WRITTEN = (Outcome.APPLIED, Outcome.ALREADY, Outcome.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bookkeeping:
    """What is to be written when a run ends, beside the head and the job. Versions are those that were read."""

    standing: tuple[Intervention, ...] = ()
    forgotten: tuple[Intervention, ...] = ()
    mismatches: tuple[Mismatch, ...] = ()
    audit: tuple[AuditEntry, ...] = ()
    seen: frozenset[str] | None = None
    receivers: Mapping[str, Receiver] = field(default_factory=dict)


def intentions(recall: Recall, changes: Sequence[Change], lease: Lease, *, now: datetime) -> tuple[Intervention, ...]:
    """What this run is about to do to IRM, one for each group key."""
    intended = {}
    for change in sorted(changes, key=lambda each: each.finding.alert_group.created_at):
        if change.action is not Action.REPORT:
            intention = _intention(recall, change, lease, now)
            intended[intention.key] = intention
    return tuple(intended.values())


def books_of(
    recall: Recall,
    plan: Plan,
    intended: Mapping[str, Intervention],
    report: Report,
    *,
    irm: IrmSnapshot,
    receivers: Mapping[str, Receiver],
    job_id: str,
    forced_by: str = "",
    dead_run_id: str = "",
    now: datetime,
) -> Bookkeeping:
    """What a run that has read both systems leaves behind.

    `intended` are the intentions by key, with the versions that they were written with. `forced_by` is who lifted the
    guards for this run, if anybody did; `dead_run_id` is the run that never ended, if this one found its lease.
    """
    standing, done = _settled(recall, report.results, intended, now)
    over = [recall.interventions[key] for key in plan.forgotten if key not in intended]
    died = _of_dead_runs(recall, plan, intended, irm)
    paged = [each for each in over if each.run_id == dead_run_id and not each.is_done and each.action.makes_irm_page]
    mismatches = followed_mismatches(recall, plan, report.results, job_id=job_id, now=now)
    return Bookkeeping(
        standing=(*standing, *(replace(each, is_done=True) for each in died), *_undone(recall, plan, intended)),
        forgotten=(*done, *over),
        mismatches=mismatches,
        audit=(
            *_audit(report, mismatches, forced_by, job_id, now),
            *(_audit_of_the_dead(each, now) for each in (*died, *paged)),
            *_audit_of_leaving_alone(recall, plan, intended, report, now),
        ),
        seen=_seen(recall, plan, irm, receivers),
        receivers=receivers,
    )


def job_of_report(report: Report, lease: Lease, *, now: datetime) -> JobRecord:
    """A run that has ended, as it can be asked about."""
    document = report.as_dict(most_changes=0)
    for name in ("changes", "changes_left_out"):
        document.pop(name, None)
    return JobRecord(
        id=lease.job_id,
        run_id=lease.run_id,
        status=JobStatus.FAILED if report.has_failed else JobStatus.COMPLETED,
        trigger=lease.trigger,
        dry_run=report.dry_run,
        started_at=lease.started_at,
        completed_at=now,
        mismatch_count=report.inconsistencies_found,
        message=report.message,
        error=report.error,
        document=document,
        version=1 if lease.was_queued else None,
    )


def job_of_skipped(report: Report, lease: Lease, *, now: datetime) -> JobRecord:
    """A job that was queued and found another one running."""
    return replace(job_of_report(report, lease, now=now), status=JobStatus.SKIPPED)


def job_of_dead(lease: Lease, *, now: datetime) -> JobRecord:
    """A run that never ended, noticed now."""
    return JobRecord(
        id=lease.job_id,
        run_id=lease.run_id,
        status=JobStatus.FAILED,
        trigger=lease.trigger,
        dry_run=lease.dry_run,
        started_at=lease.started_at,
        completed_at=now,
        message="the run died; what it had changed is found out from IRM",
        error="the run did not end before its lease did",
        version=1 if lease.was_queued else None,
    )


def target_of(group: AlertGroup) -> str:
    """What the audit trail calls an alert group; one that IRM does not have has no id."""
    return group.id or group.title


def _intention(recall: Recall, change: Change, lease: Lease, now: datetime) -> Intervention:
    group = change.finding.alert_group
    known = recall.interventions.get(key_of(group))
    members = change.finding.members
    return Intervention(
        key=key_of(group),
        alert_group=replace(group, title=title_line(group.title)),
        action=change.action,
        verdict=change.finding.verdict,
        silences=silences_of(members),
        acted_at=_acted_at(change, known, lease, now),
        intended_at=known.intended_at if known and change.action.makes_irm_page else now,
        run_id=lease.run_id,
        covered_until=silence_end(members),
        silenced_until=_silenced_until(change, now),
        version=known.version if known else None,
    )


def _acted_at(change: Change, known: Intervention | None, lease: Lease, now: datetime) -> datetime:
    """When IRM became quiet. A run that dies may have written until its lease ended."""
    if change.action.makes_irm_page:
        return known.acted_at if known else now
    return lease.expires_at


def _silenced_until(change: Change, now: datetime) -> datetime | None:
    return None if change.silence_seconds is None else now + timedelta(seconds=change.silence_seconds)


def _settled(
    recall: Recall, results: Sequence[ChangeResult], intended: Mapping[str, Intervention], now: datetime
) -> tuple[list[Intervention], list[Intervention]]:
    """Which intentions stand, and which are over. Of those that did not work, or so it seems, IRM will tell."""
    standing: list[Intervention] = []
    over: list[Intervention] = []
    for result in results:
        group = result.change.finding.alert_group
        intention = intended.get(key_of(group))
        if intention is None or intention.alert_group.id != group.id:
            continue
        if not result.is_sent:
            # Nothing was done: what was remembered before holds.
            before = recall.interventions.get(intention.key)
            (standing if before else over).append(replace(before or intention, version=intention.version))
            continue
        if result.outcome is Outcome.APPLIED and result.change.action.quietens:
            standing.append(replace(intention, is_done=True, acted_at=now))
        elif result.outcome in (Outcome.APPLIED, Outcome.ALREADY):
            over.append(intention)
        elif result.change.action.quietens:
            # If it was made after all, then before this run ended: what happens later is somebody else's doing.
            standing.append(replace(intention, acted_at=now))
    return standing, over


def _undone(recall: Recall, plan: Plan, intended: Mapping[str, Intervention]) -> list[Intervention]:
    """What a person has undone since: it stays so until the silences are others than now."""
    return [
        replace(recall.interventions[key], is_undone=True, silences=silences)
        for key, silences in plan.undone.items()
        if key not in intended
    ]


def _of_dead_runs(
    recall: Recall, plan: Plan, intended: Mapping[str, Intervention], irm: IrmSnapshot
) -> list[Intervention]:
    """Intended resolves of runs that died, or could not tell what became of them: IRM shows that they were made.

    A silence in IRM does not tell until when it lasts, so that an intended one stays uncertain until it is made anew.
    """
    undecided = {*intended, *plan.forgotten, *(question.key for question in plan.questions)}
    shown = {group.id for group in irm.alert_groups}
    return [
        each
        for each in recall.interventions.values()
        if each.action is Action.RESOLVE
        and not each.is_done
        and each.key not in undecided
        and each.alert_group.id not in shown
    ]


def _audit(
    report: Report, mismatches: Sequence[Mismatch], forced_by: str, job_id: str, now: datetime
) -> list[AuditEntry]:
    """Every write to IRM that this run tried; in a dry run what it would have, once for each new mismatch."""
    by_subject = {(mismatch.type, mismatch.subject): mismatch for mismatch in mismatches}
    entries = [_audit_of_force(forced_by, report, job_id, now)] if forced_by else []
    for position, result in enumerate(report.results):
        finding = result.change.finding
        mismatch = by_subject.get((finding.verdict, subject_of(finding)))
        is_new = mismatch is not None and mismatch.version is None
        is_planned = result.outcome is Outcome.PLANNED and report.dry_run and is_new
        if result.change.action is not Action.REPORT and (result.outcome in _WRITTEN or is_planned):
            entries.append(_entry(result, report, mismatch.id if mismatch else "", position, now))
    return entries


def _entry(result: ChangeResult, report: Report, mismatch_id: str, position: int, now: datetime) -> AuditEntry:
    group, action = result.change.finding.alert_group, result.change.action
    is_made = result.outcome in (Outcome.APPLIED, Outcome.ALREADY)
    before = group.state.value if group.state else ""
    return AuditEntry(
        id=new_id(now, report.run_id, str(position)),
        at=now,
        who=SERVICE,
        action=action.value,
        target=target_of(group),
        before=before,
        after=_AFTER[action] if is_made else before,
        run_id=report.run_id,
        mismatch_id=mismatch_id,
        answer="; ".join(text for text in (result.outcome.value, result.remark, result.error) if text),
        dry_run=report.dry_run,
    )


def _audit_of_force(who: str, report: Report, job_id: str, now: datetime) -> AuditEntry:
    return AuditEntry(
        id=new_id(now, report.run_id, "force"),
        at=now,
        who=who,
        action="lift the guards",
        target=job_id,
        before="",
        after=report.status.value,
        run_id=report.run_id,
        dry_run=report.dry_run,
    )


def _audit_of_the_dead(intervention: Intervention, now: datetime) -> AuditEntry:
    group = intervention.alert_group
    return AuditEntry(
        id=new_id(now, intervention.run_id, intervention.key),
        at=now,
        who=SERVICE,
        action=intervention.action.value,
        target=target_of(group),
        before=group.state.value if group.state else "",
        after=_AFTER[intervention.action],
        run_id=intervention.run_id,
        answer="not recorded by the run that intended it; IRM shows it as done",
    )


def _audit_of_leaving_alone(
    recall: Recall, plan: Plan, intended: Mapping[str, Intervention], report: Report, now: datetime
) -> list[AuditEntry]:
    """Why an alert group that we made quiet is given back no more, or is not made quiet again."""
    kept = {finding.alert_group.id: finding.reason for finding in plan.kept} if plan.undone else {}
    undone = {key: kept.get(recall.interventions[key].alert_group.id, "") for key in plan.undone}
    return [
        AuditEntry(
            id=new_id(now, report.run_id, "leave alone", key),
            at=now,
            who=SERVICE,
            action="leave alone",
            target=target_of(recall.interventions[key].alert_group),
            before="",
            after="",
            run_id=report.run_id,
            answer=reason,
            dry_run=report.dry_run,
        )
        for key, reason in {**plan.forgotten, **undone}.items()
        if reason and key not in intended
    ]


_AFTER = {
    Action.NOTIFY: AlertGroupState.FIRING.value,
    Action.UNRESOLVE: AlertGroupState.FIRING.value,
    Action.UNSILENCE: AlertGroupState.FIRING.value,
    Action.RESOLVE: AlertGroupState.RESOLVED.value,
    Action.SILENCE: AlertGroupState.SILENCED.value,
}


def _seen(recall: Recall, plan: Plan, irm: IrmSnapshot, receivers: Mapping[str, Receiver]) -> frozenset[str] | None:
    """The alert groups known to be this Alertmanager's, if that has to be written anew."""
    if plan.seen <= recall.seen and receivers == recall.receivers:
        return None
    return (recall.seen | plan.seen) & frozenset(map(sighting_of, irm.alert_groups))
