"""The life of a mismatch: found, attempted, changed, resolved. Pure.

A mismatch is open as long as runs see it. What a run repaired, and what it does not see any more, is resolved
automatically; a person resolves or ignores by hand. What a run could not see for want of trust stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from alert_sync.model import Action, ChangeResult, Finding, Outcome, Plan, Verdict
from alert_sync.recall import (
    HistoryEntry,
    Mismatch,
    Recall,
    ResolutionStatus,
    new_id,
    signature_of,
    subject_of,
    subject_of_group,
)
from alert_sync.wording import title_line

SERVICE = "alertmanager-alert-sync"
"""Who resolves automatically."""

_REPAIRED = (Outcome.APPLIED, Outcome.ALREADY)
_ATTEMPTED = (*_REPAIRED, Outcome.FAILED, Outcome.DEFERRED)
# The first entry, and the newest: an item must not grow without end.
_MOST_HISTORY = 50

Identity = tuple[Verdict, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sighting:
    """An inconsistency as this run saw it."""

    finding: Finding
    action: Action
    result: ChangeResult | None = None


def followed_mismatches(
    recall: Recall, plan: Plan, results: Sequence[ChangeResult], *, job_id: str, now: datetime
) -> tuple[Mismatch, ...]:
    """Every mismatch that is not as it was before this run, with the version that was read (None: it is new)."""
    sightings = _sightings(plan, results)
    followed = [_followed(recall.mismatches.get(each), sightings[each], job_id, now) for each in sightings]
    undecided = _undecided(plan)
    over = [
        _resolved(mismatch, "not seen any more", job_id, now)
        for identity, mismatch in recall.mismatches.items()
        if identity not in sightings and mismatch.subject not in undecided and not _proves_nothing(mismatch, plan)
    ]
    return (*(mismatch for mismatch in followed if mismatch is not None), *over)


def _sightings(plan: Plan, results: Sequence[ChangeResult]) -> Mapping[Identity, _Sighting]:
    return {(each.finding.verdict, subject_of(each.finding)): each for each in _all_sightings(plan, results)}


def _all_sightings(plan: Plan, results: Sequence[ChangeResult]) -> Iterator[_Sighting]:
    for finding in plan.kept:
        if finding.verdict is Verdict.GONE:
            yield _Sighting(finding=finding, action=Action.REPORT)
    for change in plan.ignored:
        yield _Sighting(finding=change.finding, action=change.action)
    for result in results:
        yield _Sighting(finding=result.change.finding, action=result.change.action, result=result)


def _undecided(plan: Plan) -> frozenset[str]:
    """Subjects that this run could say nothing about."""
    unknown = (finding for finding in plan.kept if finding.verdict is Verdict.UNKNOWN)
    asked = (question.alert_group for question in plan.questions)
    return frozenset((*(subject_of(finding) for finding in unknown), *map(subject_of_group, asked)))


def _proves_nothing(mismatch: Mismatch, plan: Plan) -> bool:
    """Whether its alerts may fire still, although Alertmanager does not list them in this run."""
    return bool(plan.distrust) and mismatch.type in (Verdict.FIRING, Verdict.MISSING)


def _followed(known: Mismatch | None, sighting: _Sighting, job_id: str, now: datetime) -> Mismatch | None:
    mismatch = known or _found(sighting.finding, job_id, now)
    if mismatch.signature != signature_of(sighting.finding):
        mismatch = _changed(mismatch, sighting.finding, job_id, now)
    mismatch = replace(mismatch, action=sighting.action)
    if sighting.result is not None:
        mismatch = _attempted(mismatch, sighting.result, job_id, now)
    return None if mismatch == known else mismatch


def _found(finding: Finding, job_id: str, now: datetime) -> Mismatch:
    group = finding.alert_group
    return Mismatch(
        id=new_id(now, finding.verdict, subject_of(finding)),
        type=finding.verdict,
        subject=subject_of(finding),
        signature=signature_of(finding),
        alert_group_id=group.id,
        title=title_line(group.title),
        url=group.url,
        integration_id=group.integration_id,
        action=Action.REPORT,
        reason=finding.reason,
        detected_at=now,
        job_id=job_id,
        history=(HistoryEntry(at=now, event="found", message=finding.reason, job_id=job_id),),
    )


def _changed(mismatch: Mismatch, finding: Finding, job_id: str, now: datetime) -> Mismatch:
    """The facts are others: what a person decided about the old ones does not hold for these."""
    changed = replace(
        mismatch,
        signature=signature_of(finding),
        reason=finding.reason,
        resolution_status=ResolutionStatus.PENDING,
        resolution_notes="",
        resolved_by="",
        detected_at=now if finding.verdict is Verdict.GONE else mismatch.detected_at,
    )
    return _with(changed, HistoryEntry(at=now, event="changed", message=finding.reason, job_id=job_id))


def _attempted(mismatch: Mismatch, result: ChangeResult, job_id: str, now: datetime) -> Mismatch:
    if result.outcome not in _ATTEMPTED:
        return mismatch
    message = "; ".join(text for text in (result.change.action.value, result.remark, result.error) if text)
    last = mismatch.history[-1]
    if (last.event, last.message) != (result.outcome.value, message):
        entry = HistoryEntry(at=now, event=result.outcome.value, message=message, job_id=job_id)
        mismatch = _with(mismatch, entry)
    return _resolved(mismatch, "repaired", job_id, now) if result.outcome in _REPAIRED else mismatch


def _resolved(mismatch: Mismatch, why: str, job_id: str, now: datetime) -> Mismatch:
    resolved = replace(
        mismatch,
        resolution_status=ResolutionStatus.AUTO_RESOLVED,
        resolved_at=now,
        resolved_by=SERVICE,
        resolution_notes=mismatch.resolution_notes or why,
    )
    return _with(resolved, HistoryEntry(at=now, event="auto-resolved", message=why, job_id=job_id, who=SERVICE))


def _with(mismatch: Mismatch, entry: HistoryEntry) -> Mismatch:
    first, *others = (*mismatch.history, entry)
    return replace(mismatch, history=(first, *others[-(_MOST_HISTORY - 1) :]))
