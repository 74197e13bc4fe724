"""What people may ask of the memory, and the one thing they may change in it: what becomes of a mismatch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Generic

from alert_sync.deadline import Deadline
from alert_sync.errors import ConflictError, ReconcilerError
from alert_sync.memory.items import (
    AUDIT,
    CLOSED,
    HEAD_KEY,
    JOB,
    MISMATCH_PREFIX,
    OPEN,
    audit_item,
    audit_of,
    head_of,
    job_item,
    job_of,
    mismatch_item,
    mismatch_of,
)
from alert_sync.memory.listing import Listed, Stretch, T, Wanted, collected
from alert_sync.memory.table import Delete, Item, Put, Table, Write
from alert_sync.recall import (
    AuditEntry,
    Head,
    HistoryEntry,
    JobRecord,
    JobStatus,
    Lease,
    Mismatch,
    ResolutionStatus,
    new_id,
)

START_TIMEOUT = timedelta(minutes=5)
"""A job that has not begun by then is taken for one that never will."""

_ATTEMPTS = 3
_TRANSITIONS: Mapping[ResolutionStatus, tuple[ResolutionStatus, ...]] = {
    ResolutionStatus.PENDING: (ResolutionStatus.MANUAL_RESOLVED, ResolutionStatus.IGNORED),
    ResolutionStatus.IGNORED: (ResolutionStatus.MANUAL_RESOLVED,),
}
_EVENTS = {ResolutionStatus.MANUAL_RESOLVED: "manually resolved", ResolutionStatus.IGNORED: "ignored"}


class InvalidTransitionError(ReconcilerError):
    """What a person wants of a mismatch cannot follow on what it is now."""

    def __init__(self, mismatch: Mismatch, wanted: ResolutionStatus) -> None:
        now, allowed = mismatch.resolution_status, _TRANSITIONS.get(mismatch.resolution_status, ())
        next_ones = f"only {' or '.join(allowed)} can follow" if allowed else "which is final"
        super().__init__(f"mismatch {mismatch.id} cannot become {wanted}: it is {now}, {next_ones}")


class UnknownRecordError(ReconcilerError):
    """Nothing has this id, or it was kept for its time and is gone. `kind` is what was looked for."""

    def __init__(self, kind: str, record_id: str) -> None:
        super().__init__(f"there is no {kind} {record_id}")
        self.kind = kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a person wants to become of a mismatch."""

    status: ResolutionStatus
    notes: str
    who: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place(Generic[T]):
    """Where records of one sort are kept, and how an item is read: the newest first, if it holds several."""

    pk: str
    records_of: Callable[[Item], Sequence[T]]
    prefix: str = ""


_JOBS = _Place(pk=JOB, records_of=lambda item: (job_of(item),))
_OPEN_MISMATCHES = _Place(pk=OPEN, records_of=lambda item: (mismatch_of(item),), prefix=MISMATCH_PREFIX)
_CLOSED_MISMATCHES = _Place(pk=CLOSED, records_of=lambda item: (mismatch_of(item),))
_AUDIT_TRAIL = _Place(pk=AUDIT, records_of=audit_of)


class Archive:
    """Reads and decisions of people. Shared by threads.

    Every method raises what table.Table raises, and ContractError for an item that this version cannot read.
    """

    def __init__(self, table: Table, *, retention: timedelta) -> None:
        self._table = table
        self._retention = retention

    def head(self, deadline: Deadline) -> Head:
        """Lease, counters and conditions, as they are now."""
        return head_of(self._table.get([HEAD_KEY], deadline).get(HEAD_KEY))

    def jobs(self, wanted: Wanted, *, now: datetime, deadline: Deadline) -> Listed[JobRecord]:
        """Jobs, the running one and the one that died with its lease among them."""
        # In this order, a run that ends between the two reads is found as ended, and never not at all.
        lease = self.head(deadline).lease

        def read(before: str) -> Stretch[JobRecord]:
            stretch = self._stretch(_JOBS, wanted, before, deadline)
            return Stretch(records=_as_they_stand(stretch, lease, before, now), reached=stretch.reached)

        return collected(read, wanted, queries_each=1)

    def job(self, job_id: str, *, now: datetime, deadline: Deadline) -> JobRecord:
        """One job.

        Raises:
            UnknownRecordError: there is none of this id.
        """
        lease = self.head(deadline).lease
        item = self._table.get([(JOB, job_id)], deadline).get((JOB, job_id))
        if item is not None:
            return _as_it_stands(job_of(item), lease, now)
        if lease is not None and lease.job_id == job_id:
            return _job_of_lease(lease, now)
        raise UnknownRecordError("job", job_id)

    def mismatches(self, wanted: Wanted, *, deadline: Deadline) -> Listed[Mismatch]:
        """Mismatches, open and closed ones together."""

        def read(before: str) -> Stretch[Mismatch]:
            # In this order, one that is closed between the two reads is found twice, and never not at all.
            still_open = self._stretch(_OPEN_MISMATCHES, wanted, before, deadline)
            closed = self._stretch(_CLOSED_MISMATCHES, wanted, before, deadline)
            return _merged(still_open, closed)

        return collected(read, wanted, queries_each=2)

    def mismatch(self, mismatch_id: str, *, deadline: Deadline) -> Mismatch:
        """One mismatch, open or closed.

        Raises:
            UnknownRecordError: there is none of this id.
        """
        open_key, closed_key = (OPEN, MISMATCH_PREFIX + mismatch_id), (CLOSED, mismatch_id)
        found = self._table.get([open_key, closed_key], deadline)
        if not found:
            # One batch is not one moment: it may have been closed after the closed ones were looked at.
            found = self._table.get([closed_key], deadline)
        item = found.get(closed_key) or found.get(open_key)
        if item is None:
            raise UnknownRecordError("mismatch", mismatch_id)
        return mismatch_of(item)

    def audit(self, wanted: Wanted, *, deadline: Deadline) -> Listed[AuditEntry]:
        """The audit trail."""
        return collected(lambda before: self._stretch(_AUDIT_TRAIL, wanted, before, deadline), wanted, queries_each=1)

    def resolve_mismatch(self, mismatch_id: str, decision: Decision, *, deadline: Deadline) -> Mismatch:
        """Note what a person has decided, and return the mismatch as it is then.

        Raises:
            UnknownRecordError: there is none of this id.
            InvalidTransitionError: it cannot become so from what it is now.
            ConflictError: others changed it each time that this was tried.
        """
        for _ in range(_ATTEMPTS - 1):
            with suppress(ConflictError):
                return self._resolve_as_read(mismatch_id, decision, deadline)
        return self._resolve_as_read(mismatch_id, decision, deadline)

    def queue_job(self, job: JobRecord, *, who: str, force: bool, deadline: Deadline) -> None:
        """Note a job that is about to be started, and who asked for it."""
        asked_for = AuditEntry(
            id=new_id(job.started_at, job.id, who),
            at=job.started_at,
            who=who,
            action="trigger with force" if force else "trigger",
            target=job.id,
            before="",
            after=job.status,
            dry_run=job.dry_run,
        )
        entry = audit_item([asked_for], keep_for=self._retention)
        self._table.transact(
            [Put(job_item(job, keep_for=self._retention), expected=None), Put(entry, expected=None)], deadline
        )

    def _resolve_as_read(self, mismatch_id: str, decision: Decision, deadline: Deadline) -> Mismatch:
        mismatch = self.mismatch(mismatch_id, deadline=deadline)
        if decision.status not in _TRANSITIONS.get(mismatch.resolution_status, ()):
            raise InvalidTransitionError(mismatch, decision.status)
        decided = _decided(mismatch, decision)
        entry = audit_item([_audit_entry(mismatch, decision)], keep_for=self._retention)
        self._table.transact([*self._writes(decided), Put(entry, expected=None)], deadline)
        return decided

    def _writes(self, decided: Mismatch) -> Iterator[Write]:
        """An open mismatch is always stored, so that it has a version."""
        version = decided.version or 0
        item = mismatch_item(decided, keep_for=self._retention)
        if decided.is_open:
            yield Put(item, expected=version)
        else:
            yield Delete((OPEN, MISMATCH_PREFIX + decided.id), expected=version)
            yield Put(item, expected=None)

    def _stretch(self, place: _Place[T], wanted: Wanted, before: str, deadline: Deadline) -> Stretch[T]:
        page = self._table.query(
            place.pk,
            deadline,
            prefix=place.prefix,
            before=place.prefix + before if before else "",
            newest_first=True,
            limit=wanted.query_items,
        )
        records = [record for item in page.items for record in place.records_of(item)]
        listed = [record for record in records if not before or record.id < before]
        return Stretch(records=listed, reached=records[-1].id if page.has_more else "")


def _merged(still_open: Stretch[Mismatch], closed: Stretch[Mismatch]) -> Stretch[Mismatch]:
    """Only as far down as both were read."""
    reached = max(still_open.reached, closed.reached)
    found = {mismatch.id: mismatch for mismatch in (*still_open.records, *closed.records) if mismatch.id >= reached}
    return Stretch(records=[found[each] for each in sorted(found, reverse=True)], reached=reached)


def _as_they_stand(stretch: Stretch[JobRecord], lease: Lease | None, before: str, now: datetime) -> Sequence[JobRecord]:
    jobs = [_as_it_stands(job, lease, now) for job in stretch.records]
    if lease is None or any(job.id == lease.job_id for job in jobs):
        return jobs
    if lease.job_id < stretch.reached or (before and lease.job_id >= before):
        return jobs
    return _newest_first([*jobs, _job_of_lease(lease, now)])


def _newest_first(jobs: Iterable[JobRecord]) -> Sequence[JobRecord]:
    return sorted(jobs, key=lambda job: job.id, reverse=True)


def _as_it_stands(job: JobRecord, lease: Lease | None, now: datetime) -> JobRecord:
    """What is stored of a job is its beginning or its end; between them it holds the lease."""
    if job.status is not JobStatus.QUEUED:
        return job
    if lease is not None and lease.job_id == job.id:
        return _job_of_lease(lease, now)
    if now - job.started_at > START_TIMEOUT:
        minutes = START_TIMEOUT // timedelta(minutes=1)
        return replace(job, status=JobStatus.FAILED, message=f"it did not start within {minutes} minutes")
    return job


def _job_of_lease(lease: Lease, now: datetime) -> JobRecord:
    running = JobRecord(
        id=lease.job_id,
        run_id=lease.run_id,
        status=JobStatus.RUNNING,
        trigger=lease.trigger,
        dry_run=lease.dry_run,
        started_at=lease.started_at,
        message="it runs",
    )
    if now < lease.expires_at:
        return running
    return replace(running, status=JobStatus.FAILED, message="the run died: its time is over and it left no report")


def _decided(mismatch: Mismatch, decision: Decision) -> Mismatch:
    event = HistoryEntry(at=decision.at, event=_EVENTS[decision.status], message=decision.notes, who=decision.who)
    decided = replace(
        mismatch,
        resolution_status=decision.status,
        resolution_notes=decision.notes,
        resolved_by=decision.who,
        history=(*mismatch.history, event),
    )
    return decided if decided.is_open else replace(decided, resolved_at=decision.at)


def _audit_entry(mismatch: Mismatch, decision: Decision) -> AuditEntry:
    """The answer of a person who was asked what is to become of it are the notes."""
    return AuditEntry(
        id=new_id(decision.at, mismatch.id, decision.status, decision.who),
        at=decision.at,
        who=decision.who,
        action=f"mark {decision.status}",
        target=mismatch.alert_group_id or mismatch.subject,
        before=mismatch.resolution_status,
        after=decision.status,
        mismatch_id=mismatch.id,
        answer=decision.notes,
    )
