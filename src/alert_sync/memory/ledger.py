"""What a run reads and writes of the table: the lease, what is remembered, its intentions, and the end of the run.

Every write is conditional on the version that was read. Two runs never write at once, because each write of a run also
needs the head as this run left it; what a person has changed meanwhile is left to the person, and looked at again by
the next run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from alert_sync.bookkeeping import Bookkeeping, target_of
from alert_sync.deadline import Deadline
from alert_sync.errors import ConflictError, ContractError, LeaseLostError, RunInProgressError
from alert_sync.memory.items import (
    HEAD_KEY,
    INTERVENTION_PREFIX,
    MISMATCH_PREFIX,
    OPEN,
    SEEN_KEY,
    audit_item,
    head_item,
    head_of,
    intervention_item,
    intervention_of,
    job_item,
    mismatch_item,
    mismatch_of,
    seen_item,
    seen_of,
)
from alert_sync.memory.table import Check, Delete, Item, Put, Table, Write
from alert_sync.model import Verdict
from alert_sync.recall import AuditEntry, Head, Intervention, JobRecord, Lease, Mismatch, Recall, new_id

# DynamoDB takes 100 in one transaction; the head is one of them.
_MOST_WRITES = 99


@dataclass(frozen=True, slots=True)
class Step:
    """Writes that only make sense together, and the entry of the audit trail that tells of them."""

    writes: tuple[Write, ...]
    entry: AuditEntry | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A run that holds the lease. `died` is the lease of a run that never ended, if there was one."""

    head: Head
    lease: Lease
    died: Lease | None = None


class Memory(Protocol):
    """What a run needs of its memory."""

    def begin(self, lease: Lease, deadline: Deadline, *, now: datetime) -> Begun:
        """Take the lease.

        Raises:
            RunInProgressError: another run holds it.
            UpstreamError: the table cannot be used.
        """

    def skip(self, job: JobRecord, deadline: Deadline) -> None:
        """Write down that a job which was queued found another one running."""

    def recall(self, deadline: Deadline) -> Recall:
        """Everything that is open."""

    def intend(
        self, begun: Begun, intended: Sequence[Intervention], deadline: Deadline, *, recall: Recall
    ) -> dict[str, Intervention]:
        """Write down what is about to be done; returns it by key, with its new versions.

        Without what somebody has changed, or a person has decided about, since it was read.
        """

    def finish(
        self,
        begun: Begun,
        head: Head,
        jobs: Sequence[JobRecord],
        books: Bookkeeping,
        deadline: Deadline,
        *,
        recall: Recall,
    ) -> None:
        """Write down what became of the run, and give the lease back."""


class NoMemory:
    """Where there is no table: every run is the first."""

    def begin(self, lease: Lease, deadline: Deadline, *, now: datetime) -> Begun:  # noqa: ARG002
        return Begun(head=Head(), lease=lease)

    def skip(self, job: JobRecord, deadline: Deadline) -> None:
        """Nothing is kept."""

    def recall(self, deadline: Deadline) -> Recall:  # noqa: ARG002
        return Recall()

    def intend(
        self,
        begun: Begun,  # noqa: ARG002
        intended: Sequence[Intervention],
        deadline: Deadline,  # noqa: ARG002
        *,
        recall: Recall,  # noqa: ARG002
    ) -> dict[str, Intervention]:
        return {each.key: each for each in intended}

    def finish(
        self,
        begun: Begun,
        head: Head,
        jobs: Sequence[JobRecord],
        books: Bookkeeping,
        deadline: Deadline,
        *,
        recall: Recall,
    ) -> None:
        """Nothing is kept."""


class Ledger:
    """The table, as a run uses it."""

    def __init__(self, table: Table, *, retention: timedelta, source: str = "") -> None:
        """`source` names the Alertmanager that is read: what was seen in another one proves nothing about this."""
        self._table = table
        self._retention = retention
        self._source = source

    def begin(self, lease: Lease, deadline: Deadline, *, now: datetime) -> Begun:
        """Take the lease; see Memory."""
        head = head_of(self._table.get([HEAD_KEY], deadline).get(HEAD_KEY))
        if head.lease is not None and head.lease.run_id != lease.run_id and head.lease.expires_at > now:
            raise RunInProgressError(head.lease.job_id, head.lease.started_at)
        taken = replace(head, lease=lease)
        try:
            self._table.transact([Put(head_item(taken), head.version)], deadline)
        except ConflictError:
            return self._overtaken(lease, deadline, now=now)
        is_other = head.lease is not None and head.lease.job_id != lease.job_id
        version = (head.version or 0) + 1
        return Begun(head=replace(taken, version=version), lease=lease, died=head.lease if is_other else None)

    def skip(self, job: JobRecord, deadline: Deadline) -> None:
        """Write down that a job found another one running; a run that nobody queued has no record to change."""
        if job.version is not None:
            self._table.transact([self._job(job)], deadline)

    def recall(self, deadline: Deadline) -> Recall:
        """Everything that is open."""
        recalling = _Recalling(self._source)
        for item in self._table.query(OPEN, deadline).items:
            try:
                recalling.take(item)
            except ContractError as error:
                recalling.skip(item, error)
        return recalling.recall()

    def intend(
        self, begun: Begun, intended: Sequence[Intervention], deadline: Deadline, *, recall: Recall
    ) -> dict[str, Intervention]:
        """Write down what is about to be done; see Memory."""
        steps = {
            each.key: Step((Put(intervention_item(each), each.version), *_undecided(each, recall))) for each in intended
        }
        chunks = _chunks(list(steps.values()), _MOST_WRITES)
        written = {id(step) for chunk in chunks for step in self._write(begun, chunk, deadline)}
        known = (each for each in intended if id(steps[each.key]) in written)
        return {each.key: replace(each, version=(each.version or 0) + 1) for each in known}

    def finish(
        self,
        begun: Begun,
        head: Head,
        jobs: Sequence[JobRecord],
        books: Bookkeeping,
        deadline: Deadline,
        *,
        recall: Recall,
    ) -> None:
        """Write down what became of the run, and give the lease back; see Memory."""
        # This run's own job with the last of them: it has ended when everything is written, and not before.
        ended = [Step((self._job(job),)) for job in reversed(jobs)]
        steps = _numbered([*self._steps(books, recall), *ended], begun.lease.run_id)
        *earlier, last = _chunks(steps, _MOST_WRITES)
        for chunk in earlier:
            self._write(begun, chunk, deadline)
        self._settle(Put(head_item(replace(head, lease=None)), begun.head.version), last, deadline)

    def _overtaken(self, lease: Lease, deadline: Deadline, *, now: datetime) -> Begun:
        """Somebody else wrote the head between our read and our write: whoever that is, is running."""
        other = head_of(self._table.get([HEAD_KEY], deadline).get(HEAD_KEY)).lease
        if other is None:
            return self.begin(lease, deadline, now=now)
        raise RunInProgressError(other.job_id, other.started_at)

    def _job(self, job: JobRecord) -> Write:
        """The job's record; one that was queued is there already."""
        return Put(job_item(job, keep_for=self._retention), job.version)

    def _steps(self, books: Bookkeeping, recall: Recall) -> Iterator[Step]:
        entries = {entry.id: entry for entry in books.audit}
        of_target = {entry.target: entry.id for entry in books.audit}

        def entry_of(intervention: Intervention) -> AuditEntry | None:
            """In one step, as a run that dies between the two would leave a change that is nowhere written down."""
            return entries.pop(of_target.get(target_of(intervention.alert_group), ""), None)

        for standing in books.standing:
            yield Step((Put(intervention_item(standing), standing.version),), entry_of(standing))
        for over in books.forgotten:
            yield Step((Delete((OPEN, INTERVENTION_PREFIX + over.key), over.version or 0),), entry_of(over))
        for mismatch in books.mismatches:
            yield Step(self._mismatch_writes(mismatch))
        for entry in entries.values():
            yield Step((), entry)
        if books.seen is not None:
            item = seen_item(books.seen, books.receivers, self._source)
            yield Step((Put(item, recall.seen_version),))

    def _mismatch_writes(self, mismatch: Mismatch) -> tuple[Write, ...]:
        item = mismatch_item(mismatch, keep_for=self._retention)
        if mismatch.is_open:
            return (Put(item, mismatch.version),)
        if mismatch.version is None:
            return (Put(item, None),)
        return (Delete((OPEN, MISMATCH_PREFIX + mismatch.id), mismatch.version), Put(item, None))

    def _write(self, begun: Begun, steps: Sequence[Step], deadline: Deadline) -> Sequence[Step]:
        return self._settle(Check(HEAD_KEY, begun.head.version or 0), steps, deadline)

    def _settle(self, head: Write, steps: Sequence[Step], deadline: Deadline) -> Sequence[Step]:
        """Write all steps whose items nobody else has changed meanwhile; returns them.

        What was done is told in the audit trail, whoever has changed the rest of its step.

        Raises:
            LeaseLostError: another run has taken over.
        """
        wanted = list(steps)
        while True:
            writes = [write for step in wanted for write in step.writes]
            try:
                self._table.transact([head, *writes, *self._audit(wanted)], deadline)
            except ConflictError as error:
                if 0 in error.positions:
                    raise LeaseLostError from None
                wanted = _without_changed(wanted, error)
            else:
                return wanted

    def _audit(self, steps: Sequence[Step]) -> list[Write]:
        """One item for all entries of a transaction: each costs as much as a write of its own."""
        entries = [step.entry for step in steps if step.entry is not None]
        return [Put(audit_item(entries, keep_for=self._retention), None)] if entries else []


class _Recalling:
    """Puts together what the open items say. One that cannot be read must not stop the hand-back of all others."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._interventions: dict[str, Intervention] = {}
        self._mismatches: dict[tuple[Verdict, str], Mismatch] = {}
        self._recall = Recall(is_on=True)

    def take(self, item: Item) -> None:
        if item["sk"].startswith(INTERVENTION_PREFIX):
            intervention = intervention_of(item)
            self._interventions[intervention.key] = intervention
        elif item["sk"].startswith(MISMATCH_PREFIX):
            mismatch = mismatch_of(item)
            self._mismatches[mismatch.type, mismatch.subject] = mismatch
        elif item["sk"] == SEEN_KEY[1]:
            self._take_seen(item)

    def skip(self, item: Item, error: ContractError) -> None:
        """Leave its alert group alone, and say so."""
        unreadable = self._recall.unreadable | {item["sk"].removeprefix(INTERVENTION_PREFIX)}
        self._recall = replace(self._recall, unreadable=unreadable, warnings=(*self._recall.warnings, str(error)))

    def recall(self) -> Recall:
        return replace(self._recall, interventions=self._interventions, mismatches=self._mismatches)

    def _take_seen(self, item: Item) -> None:
        seen, receivers, source = seen_of(item)
        version = item["version"]
        if source == self._source:
            self._recall = replace(self._recall, seen=seen, receivers=receivers, seen_version=version)
            return
        warning = "another Alertmanager is read than before (ALERTMANAGER_URL): what was seen there counts no more"
        self._recall = replace(self._recall, seen_version=version, warnings=(*self._recall.warnings, warning))


def _without_changed(steps: Sequence[Step], error: ConflictError) -> list[Step]:
    """What is left to write, if this error's positions (0 is the head) are items that others have changed."""
    owners = [number for number, step in enumerate(steps) for _ in step.writes]
    changed = {owners[position - 1] for position in error.positions if position <= len(owners)}
    if not changed:
        raise error  # the item of the audit trail alone: its id is taken, which nothing here can explain
    told = (replace(step, writes=()) if number in changed else step for number, step in enumerate(steps))
    return [step for step in told if step.writes or step.entry]


def _undecided(intervention: Intervention, recall: Recall) -> tuple[Write, ...]:
    """Nothing is done about what a person decides while the run goes on: to ignore it, say."""
    mismatch = recall.mismatch_of(intervention.verdict, intervention.alert_group)
    return () if mismatch is None else (Check((OPEN, MISMATCH_PREFIX + mismatch.id), mismatch.version or 0),)


def _numbered(steps: Sequence[Step], run_id: str) -> list[Step]:
    """The steps with ids of their entries that follow on one another, so that no list has them out of order.

    All by this run's id, also what is told of one that died.
    """
    return [
        step
        if step.entry is None
        else replace(step, entry=replace(step.entry, id=f"{new_id(step.entry.at, run_id)[:-4]}{number:04x}"))
        for number, step in enumerate(steps)
    ]


def _chunks(steps: Sequence[Step], most_writes: int) -> Iterator[list[Step]]:
    """The steps in their order, so many that their writes and one item of the audit trail fit into one transaction."""
    chunk: list[Step] = []
    for step in steps:
        if sum(map(_weight, chunk)) + _weight(step) + 1 > most_writes:
            yield chunk
            chunk = []
        chunk.append(step)
    if chunk:
        yield chunk


def _weight(step: Step) -> int:
    """An entry without a write counts too: an item that held thousands would be too large for the table."""
    return max(1, len(step.writes))
