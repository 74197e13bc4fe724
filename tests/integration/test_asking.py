"""The archive against a DynamoDB that keeps its promises: what people find in it, and what they decide at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

import pytest

from alert_sync.asking.context import Remembered
from alert_sync.aws_api import AwsApi
from alert_sync.deadline import Deadline
from alert_sync.errors import ConfigurationError, ConflictError, ContractError, ReconcilerError
from alert_sync.http_transport import HttpTransport
from alert_sync.memory.archive import Archive, Decision, InvalidTransitionError, UnknownRecordError
from alert_sync.memory.items import (
    HEAD_KEY,
    MISMATCH_PREFIX,
    OPEN,
    audit_item,
    head_item,
    job_item,
    mismatch_item,
)
from alert_sync.memory.listing import Listed, Record, Wanted
from alert_sync.memory.table import Delete, Item, Put, Table, Write
from alert_sync.model import Verdict
from alert_sync.recall import (
    AuditEntry,
    Counters,
    Head,
    HistoryEntry,
    JobRecord,
    JobStatus,
    Lease,
    Mismatch,
    ResolutionStatus,
)
from tests.builders import NOW
from tests.support.asking import ALICE, ALL, a_job, a_mismatch, an_audit_entry, an_id
from tests.support.dynamodb import table_named

T = TypeVar("T")
R = TypeVar("R", bound=Record)

PEOPLE = 8
SECONDS = 60.0
RETENTION = timedelta(days=90)
PENDING, AUTO_RESOLVED, MANUAL_RESOLVED, IGNORED = (
    ResolutionStatus.PENDING,
    ResolutionStatus.AUTO_RESOLVED,
    ResolutionStatus.MANUAL_RESOLVED,
    ResolutionStatus.IGNORED,
)


class CountingTable(Table):
    """The table, which counts how often it is queried."""

    queries = 0

    def query(self, *arguments: object, **more: object) -> object:  # type: ignore[override]  # passed on
        self.queries += 1
        return super().query(*arguments, **more)  # type: ignore[arg-type]  # passed on


def an_api() -> AwsApi:
    """A way to every table, for those that do more than the project's own."""
    return AwsApi("dynamodb", HttpTransport(), name="Amazon DynamoDB", target="DynamoDB_20120810")


class World:
    """One table, and as many ways to it as there are people."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.table = table_named(name)
        self.archive = self.somebody()

    def somebody(self) -> Archive:
        """An archive with connections of its own."""
        return Archive(table_named(self.name), retention=RETENTION)

    def keep(self, *records: JobRecord | Mismatch | AuditEntry) -> None:
        self.write([Put(item_of(record), expected=None) for record in records])

    def write(self, writes: Sequence[Write]) -> None:
        for start in range(0, len(writes), 100):
            self.table.transact(writes[start : start + 100], Deadline(SECONDS))

    def keep_head(self, head: Head) -> None:
        self.write([Put(head_item(head), expected=None)])

    def jobs(self, wanted: Wanted = ALL) -> Listed[JobRecord]:
        return self.archive.jobs(wanted, now=NOW, deadline=Deadline(SECONDS))

    def job(self, job_id: str) -> JobRecord:
        return self.archive.job(job_id, now=NOW, deadline=Deadline(SECONDS))

    def mismatches(self, wanted: Wanted = ALL) -> Listed[Mismatch]:
        return self.archive.mismatches(wanted, deadline=Deadline(SECONDS))

    def mismatch(self, mismatch_id: str) -> Mismatch:
        return self.archive.mismatch(mismatch_id, deadline=Deadline(SECONDS))

    def audit(self, wanted: Wanted = ALL) -> tuple[AuditEntry, ...]:
        return self.archive.audit(wanted, deadline=Deadline(SECONDS)).records

    def resolve(self, mismatch_id: str, decision: Decision) -> Mismatch:
        return self.archive.resolve_mismatch(mismatch_id, decision, deadline=Deadline(SECONDS))

    def item_keys(self, pk: str) -> list[str]:
        return [item["sk"] for item in self.table.query(pk, Deadline(SECONDS)).items]


@pytest.fixture
def world(state_table: str) -> World:
    return World(state_table)


def item_of(record: JobRecord | Mismatch | AuditEntry) -> Item:
    match record:
        case JobRecord():
            return job_item(record, keep_for=RETENTION)
        case Mismatch():
            return mismatch_item(record, keep_for=RETENTION)
        case AuditEntry():
            return audit_item([record], keep_for=RETENTION)


def ids(records: Iterable[Record]) -> list[str]:
    return [record.id for record in records]


def all_pages(read: Callable[[Wanted], Listed[R]], wanted: Wanted) -> list[tuple[R, ...]]:
    pages = [read(wanted)]
    while pages[-1].next_before:
        pages.append(read(replace(wanted, before=pages[-1].next_before)))
    return [page.records for page in pages]


def a_decision(status: ResolutionStatus = MANUAL_RESOLVED, *, who: str = ALICE, minutes: float = 1) -> Decision:
    return Decision(status=status, notes="known", who=who, at=NOW + timedelta(minutes=minutes))


def a_closed_mismatch(mismatch_id: str, **more: object) -> Mismatch:
    return a_mismatch(mismatch_id, resolution_status=AUTO_RESOLVED, resolved_at=NOW, **more)


def a_lease(*, minutes_left: float, job_id: str = "") -> Lease:
    return Lease(
        job_id=job_id or an_id(),
        run_id="r1",
        trigger="schedule",
        started_at=NOW - timedelta(minutes=1),
        expires_at=NOW + timedelta(minutes=minutes_left),
    )


def of_lease(lease: Lease, status: JobStatus, message: str) -> JobRecord:
    return JobRecord(
        id=lease.job_id,
        run_id=lease.run_id,
        status=status,
        trigger=lease.trigger,
        dry_run=False,
        started_at=lease.started_at,
        message=message,
    )


def test_archive_is_what_the_routes_ask_for(world: World) -> None:
    remembered: Remembered = world.archive

    assert remembered.head(Deadline(SECONDS)) == Head()


# --- head


def test_head_is_what_the_runs_left(world: World) -> None:
    head = Head(lease=a_lease(minutes_left=1), counters=Counters(reconciliations=3))
    world.keep_head(head)

    assert world.archive.head(Deadline(SECONDS)) == replace(head, version=1)


# --- jobs


def test_jobs_are_listed_from_the_newest_on(world: World) -> None:
    jobs = [a_job(an_id(minutes), version=1) for minutes in range(5)]
    world.keep(*jobs)

    assert all_pages(world.jobs, Wanted(limit=2)) == [(jobs[4], jobs[3]), (jobs[2], jobs[1]), (jobs[0],)]


def test_page_that_ends_with_the_last_job_has_no_next_one(world: World) -> None:
    world.keep(*[a_job(an_id(minutes)) for minutes in range(4)])

    assert [len(page) for page in all_pages(world.jobs, Wanted(limit=2))] == [2, 2]


def test_page_of_everything_costs_one_query(world: World) -> None:
    world.keep(*[a_job(an_id(minutes)) for minutes in range(5)])
    table = CountingTable(world.name, an_api())

    Archive(table, retention=RETENTION).jobs(Wanted(limit=2), now=NOW, deadline=Deadline(SECONDS))

    assert table.queries == 1


def test_jobs_are_filtered(world: World) -> None:
    statuses = [JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.SKIPPED] * 3
    jobs = [a_job(an_id(minutes), status=status, version=1) for minutes, status in enumerate(statuses)]
    world.keep(*jobs)

    wanted = Wanted(limit=2, filters={"status": "FAILED", "kind": "alert-sync"})
    assert all_pages(world.jobs, wanted) == [(jobs[7], jobs[4]), (jobs[1],)]


def test_jobs_of_a_span_of_time_are_listed(world: World) -> None:
    jobs = [a_job(an_id(minutes), version=1) for minutes in range(5)]
    world.keep(*jobs)

    wanted = Wanted(limit=50, oldest=an_id(1), before=an_id(4)[:20])
    assert world.jobs(wanted) == Listed(records=(jobs[3], jobs[2], jobs[1]))


def test_no_job_is_an_empty_list(world: World) -> None:
    assert world.jobs() == Listed()


@pytest.mark.parametrize("is_queued", [True, False], ids=["queued", "scheduled"])
def test_job_that_holds_the_lease_runs(world: World, is_queued: bool) -> None:  # noqa: FBT001
    lease = a_lease(minutes_left=1)
    world.keep_head(Head(lease=lease))
    older, newer = a_job(an_id(-9), version=1), a_job(an_id(9), status=JobStatus.SKIPPED, version=1)
    world.keep(older, newer, *([a_job(status=JobStatus.QUEUED)] if is_queued else []))

    running = of_lease(lease, JobStatus.RUNNING, "it runs")
    assert world.jobs() == Listed(records=(newer, running, older))
    assert world.job(lease.job_id) == running


def test_running_job_is_on_one_page_only(world: World) -> None:
    lease = a_lease(minutes_left=1)
    world.keep_head(Head(lease=lease))
    world.keep(*[a_job(an_id(minutes)) for minutes in (-3, -2, -1, 1, 2, 3)])

    for limit in range(1, 9):
        listed = [job for page in all_pages(world.jobs, Wanted(limit=limit)) for job in page]
        assert ids(listed) == [an_id(minutes) for minutes in (3, 2, 1, 0, -1, -2, -3)]


def test_running_job_is_found_by_its_status(world: World) -> None:
    """Once, however many newer ones there are."""
    world.keep_head(Head(lease=a_lease(minutes_left=1)))
    world.keep(*[a_job(an_id(minutes)) for minutes in (*range(1, 151), -1)])

    assert ids(world.jobs(Wanted(limit=50, filters={"status": "RUNNING"})).records) == [an_id()]


def test_run_that_left_its_lease_behind_has_failed(world: World) -> None:
    lease = a_lease(minutes_left=0)
    world.keep_head(Head(lease=lease))

    dead = of_lease(lease, JobStatus.FAILED, "the run died: its time is over and it left no report")
    assert (world.jobs(), world.job(lease.job_id)) == (Listed(records=(dead,)), dead)


def test_report_of_a_run_counts_more_than_the_lease_that_was_read_before_it(world: World) -> None:
    world.keep_head(Head(lease=a_lease(minutes_left=1)))
    world.keep(a_job())

    ended = a_job(version=1)
    assert (world.jobs().records, world.job(an_id())) == ((ended,), ended)


@pytest.mark.parametrize(
    ("minutes", "status", "message"),
    [(5, JobStatus.QUEUED, "m"), (5.1, JobStatus.FAILED, "it did not start within 5 minutes")],
)
def test_queued_job_that_never_starts_has_failed(world: World, minutes: float, status: JobStatus, message: str) -> None:
    job = a_job(status=JobStatus.QUEUED, started_at=NOW - timedelta(minutes=minutes), completed_at=None, message="m")
    world.archive.queue_job(job, who="", force=False, deadline=Deadline(SECONDS))

    assert world.job(job.id) == replace(job, status=status, message=message, version=1)


def test_whoever_asked_for_a_job_is_in_the_audit_trail(world: World) -> None:
    job = a_job(status=JobStatus.QUEUED)
    world.archive.queue_job(job, who=ALICE, force=True, deadline=Deadline(SECONDS))

    (entry,) = world.archive.audit(Wanted(limit=10), deadline=Deadline(SECONDS)).records

    assert (entry.who, entry.action, entry.target) == (ALICE, "trigger with force", job.id)


def test_no_job_is_queued_twice(world: World) -> None:
    world.archive.queue_job(a_job(), who="", force=False, deadline=Deadline(SECONDS))

    with pytest.raises(ConflictError):
        world.archive.queue_job(a_job(), who="", force=False, deadline=Deadline(SECONDS))


def test_unknown_job_is_an_error(world: World) -> None:
    with pytest.raises(UnknownRecordError, match=f"^there is no job {an_id()}$"):
        world.job(an_id())


# --- mismatches


def test_open_and_closed_mismatches_are_listed_together(world: World) -> None:
    mismatches = [(a_mismatch if minutes % 3 else a_closed_mismatch)(an_id(minutes)) for minutes in range(10)]
    world.keep(*mismatches)

    for limit in range(1, 12):
        pages = all_pages(world.mismatches, Wanted(limit=limit))
        assert [each.id for page in pages for each in page] == [an_id(minutes) for minutes in range(9, -1, -1)]
        assert {len(page) for page in pages[:-1]} <= {limit}


@pytest.mark.parametrize(
    ("filters", "minutes"),
    [
        ({"resolution_status": "PENDING"}, [3, 1]),
        ({"resolution_status": "AUTO_RESOLVED"}, [2]),
        ({"type": "gone"}, [3]),
        ({"alert_group_id": "I2"}, [1]),
        ({"job_id": an_id(7)}, [0]),
        ({"kind": "alert-sync", "type": "silenced"}, [2, 1, 0]),
        ({"resolution_status": "PENDING", "alert_group_id": "I2", "type": "gone"}, []),
    ],
)
def test_mismatches_are_filtered(world: World, filters: dict[str, str], minutes: list[float]) -> None:
    world.keep(
        a_mismatch(an_id(0), resolution_status=IGNORED, job_id=an_id(7)),
        a_mismatch(an_id(1), alert_group_id="I2"),
        a_closed_mismatch(an_id(2)),
        a_mismatch(an_id(3), type=Verdict.GONE),
    )

    assert ids(world.mismatches(Wanted(limit=50, filters=filters)).records) == [an_id(each) for each in minutes]


def test_what_else_runs_remember_is_no_mismatch(world: World) -> None:
    others: list[Item] = [{"pk": OPEN, "sk": sk} for sk in ("intervention#x", "seen", "mismatch")]
    world.write([Put(item, expected=None) for item in others])
    world.keep(a_mismatch())

    assert world.mismatches() == Listed(records=(a_mismatch(version=1),))


@pytest.mark.parametrize("make", [a_mismatch, a_closed_mismatch], ids=["open", "closed"])
def test_mismatch_is_found_wherever_it_is(world: World, make: Callable[[str], Mismatch]) -> None:
    world.keep(make(an_id()))

    assert world.mismatch(an_id()) == replace(make(an_id()), version=1)


def test_unknown_mismatch_is_an_error(world: World) -> None:
    with pytest.raises(UnknownRecordError, match=f"^there is no mismatch {an_id()}$"):
        world.mismatch(an_id())


def test_sparse_filter_ends_short_with_the_place_to_go_on(world: World) -> None:
    """550 mismatches of which the oldest is wanted: that would be more queries than one request may cost."""
    table = CountingTable(world.name, an_api())
    archive = Archive(table, retention=RETENTION)
    world.keep(a_mismatch(an_id(0), alert_group_id="I2"), *[a_closed_mismatch(an_id(n)) for n in range(1, 550)])
    wanted = Wanted(limit=1, filters={"alert_group_id": "I2"})

    first = archive.mismatches(wanted, deadline=Deadline(SECONDS))
    queries = table.queries
    second = archive.mismatches(replace(wanted, before=first.next_before), deadline=Deadline(SECONDS))

    assert (first, queries) == (Listed(next_before=an_id(50)), 10)
    assert (ids(second.records), second.next_before) == ([an_id()], "")


def test_mismatch_that_is_closed_while_it_is_listed_is_listed_once(world: World) -> None:
    """Between the two queries of a list, as DynamoDB has no moment in common for them."""
    mismatches = [a_mismatch(an_id(minutes)) for minutes in range(3)]
    world.keep(*mismatches)

    class ClosingTable(Table):
        def query(self, pk: str, *arguments: object, **more: object) -> object:  # type: ignore[override]  # passed on
            page = super().query(pk, *arguments, **more)  # type: ignore[arg-type]  # passed on
            if pk == OPEN:
                close(world, mismatches[1], expected=1)
            return page

    archive = Archive(ClosingTable(world.name, an_api()), retention=RETENTION)
    listed = archive.mismatches(ALL, deadline=Deadline(SECONDS)).records

    assert [(each.id, each.resolution_status) for each in listed] == [
        (an_id(2), PENDING),
        (an_id(1), AUTO_RESOLVED),
        (an_id(0), PENDING),
    ]


def close(world: World, mismatch: Mismatch, *, expected: int) -> None:
    """What a run does that does not see it any more."""
    closed = replace(mismatch, resolution_status=AUTO_RESOLVED, resolved_at=NOW)
    world.write([Delete((OPEN, MISMATCH_PREFIX + mismatch.id), expected), Put(item_of(closed), expected=None)])


# --- decisions


def test_resolved_mismatch_is_closed_with_its_history(world: World) -> None:
    mismatch = a_mismatch()
    world.keep(mismatch)

    resolved = world.resolve(mismatch.id, a_decision())

    at = NOW + timedelta(minutes=1)
    expected = replace(
        mismatch,
        resolution_status=MANUAL_RESOLVED,
        resolution_notes="known",
        resolved_at=at,
        resolved_by=ALICE,
        history=(
            *mismatch.history,
            HistoryEntry(at=at, event="manually resolved", message="known", who=ALICE),
        ),
        version=1,
    )
    assert (resolved, world.mismatch(mismatch.id)) == (expected, expected)
    assert (world.item_keys("open"), world.item_keys("closed")) == ([], [mismatch.id])


def test_ignored_mismatch_stays_open(world: World) -> None:
    mismatch = a_mismatch()
    world.keep(mismatch)

    ignored = world.resolve(mismatch.id, a_decision(IGNORED))

    stored = world.mismatch(mismatch.id)
    assert stored == replace(ignored, version=2)
    assert (stored.resolution_status, stored.resolved_at, stored.resolved_by, len(stored.history)) == (
        IGNORED,
        None,
        ALICE,
        2,
    )
    assert (world.item_keys("open"), world.item_keys("closed")) == ([f"mismatch#{mismatch.id}"], [])


def test_decision_is_in_the_audit_trail(world: World) -> None:
    world.keep(a_mismatch())

    world.resolve(an_id(), a_decision(IGNORED))
    world.resolve(an_id(), a_decision(MANUAL_RESOLVED, minutes=2, who="bob"))

    entries = world.audit()
    assert [replace(entry, id="") for entry in entries] == [
        AuditEntry(
            id="",
            at=NOW + timedelta(minutes=minutes),
            who=who,
            action=f"mark {after}",
            target="I1",
            before=before,
            after=after,
            mismatch_id=an_id(),
            answer="known",
        )
        for minutes, who, before, after in [(2, "bob", IGNORED, MANUAL_RESOLVED), (1, ALICE, PENDING, IGNORED)]
    ]


@pytest.mark.parametrize(
    ("status", "wanted", "following"),
    [
        (PENDING, PENDING, "it is PENDING, only MANUAL_RESOLVED or IGNORED can follow"),
        (PENDING, AUTO_RESOLVED, "it is PENDING, only MANUAL_RESOLVED or IGNORED can follow"),
        (IGNORED, IGNORED, "it is IGNORED, only MANUAL_RESOLVED can follow"),
        (IGNORED, PENDING, "it is IGNORED, only MANUAL_RESOLVED can follow"),
        (MANUAL_RESOLVED, PENDING, "it is MANUAL_RESOLVED, which is final"),
        (MANUAL_RESOLVED, IGNORED, "it is MANUAL_RESOLVED, which is final"),
        (MANUAL_RESOLVED, MANUAL_RESOLVED, "it is MANUAL_RESOLVED, which is final"),
        (AUTO_RESOLVED, MANUAL_RESOLVED, "it is AUTO_RESOLVED, which is final"),
    ],
)
def test_decision_that_cannot_follow_changes_nothing(
    world: World, status: ResolutionStatus, wanted: ResolutionStatus, following: str
) -> None:
    mismatch = a_mismatch(resolution_status=status)
    world.keep(mismatch)

    with pytest.raises(InvalidTransitionError, match=f"^mismatch {an_id()} cannot become {wanted}: {following}$"):
        world.resolve(mismatch.id, a_decision(wanted))

    assert (world.mismatch(mismatch.id), world.audit()) == (replace(mismatch, version=1), ())


def test_decision_about_an_unknown_mismatch_changes_nothing(world: World) -> None:
    with pytest.raises(UnknownRecordError):
        world.resolve(an_id(), a_decision())

    assert world.audit() == ()


# --- at once


def at_once(acts: Sequence[Callable[[], T]]) -> list[T]:
    """What each returned; all begin together."""
    barrier = threading.Barrier(len(acts))

    def begin(act: Callable[[], T]) -> T:
        barrier.wait()
        return act()

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(begin, acts))


def attempt(act: Callable[[], object]) -> str:
    try:
        act()
    except (InvalidTransitionError, ConflictError) as error:
        return type(error).__name__
    return "decided"


@pytest.mark.parametrize("status", [MANUAL_RESOLVED, IGNORED])
@pytest.mark.parametrize("attempt_number", range(5))
def test_of_many_people_who_decide_at_once_one_does(
    world: World, status: ResolutionStatus, attempt_number: int
) -> None:
    world.keep(a_mismatch())

    def decide(archive: Archive, number: int) -> str:
        decision = a_decision(status, who=f"person {number} of {attempt_number}")
        return attempt(lambda: archive.resolve_mismatch(an_id(), decision, deadline=Deadline(SECONDS)))

    people = [(world.somebody(), number) for number in range(PEOPLE)]
    outcomes = at_once([lambda each=each: decide(*each) for each in people])  # type: ignore[misc]  # a default

    (entry,) = world.audit()
    mismatch = world.mismatch(an_id())
    assert sorted(outcomes) == sorted(["decided", *["InvalidTransitionError"] * (PEOPLE - 1)])
    assert (mismatch.resolution_status, mismatch.resolved_by, len(mismatch.history)) == (status, entry.who, 2)


@pytest.mark.parametrize("attempt_number", range(5))
def test_a_person_and_a_run_at_once_lose_nothing(world: World, attempt_number: int) -> None:
    """The run appends to the history of what stays open, and goes by what it finds if a person was faster."""
    world.keep(a_mismatch())
    run_entry = HistoryEntry(at=NOW, event="failed", message=f"m {attempt_number}", job_id=an_id())
    run, person = table_named(world.name), world.somebody()

    def write_as_a_run() -> str:
        mismatch = world.mismatch(an_id())
        changed = replace(mismatch, history=(*mismatch.history, run_entry))
        return attempt(lambda: run.transact([Put(item_of(changed), expected=mismatch.version)], Deadline(SECONDS)))

    def decide() -> str:
        return attempt(lambda: person.resolve_mismatch(an_id(), a_decision(IGNORED), deadline=Deadline(SECONDS)))

    of_run, of_person = at_once([write_as_a_run, decide])

    mismatch = world.mismatch(an_id())
    events = {entry.event for entry in mismatch.history}
    assert (of_person, mismatch.resolution_status, len(world.audit())) == ("decided", IGNORED, 1)
    assert events == {"found", "ignored", *(["failed"] if of_run == "decided" else [])}
    assert mismatch.version == len(events)


def test_a_person_and_a_run_that_closes_it_at_once_leave_one_mismatch(world: World) -> None:
    world.keep(*[a_mismatch(an_id(minutes)) for minutes in range(PEOPLE)])
    person = world.somebody()

    def close_all() -> list[str]:
        open_ones = [a_mismatch(an_id(minutes)) for minutes in range(PEOPLE)]
        return [attempt(lambda each=each: close(world, each, expected=1)) for each in open_ones]  # type: ignore[misc]

    def resolve_all() -> list[str]:
        deadline = Deadline(SECONDS)
        return [
            attempt(lambda each=each: person.resolve_mismatch(each, a_decision(), deadline=deadline))  # type: ignore[misc]
            for each in (an_id(minutes) for minutes in reversed(range(PEOPLE)))
        ]

    by_run, by_person = at_once([close_all, resolve_all])

    decided = [mismatch.resolved_by for mismatch in world.mismatches().records].count(ALICE)
    assert [one != other for one, other in zip(by_run, reversed(by_person), strict=True)] == [True] * PEOPLE
    assert (decided, len(world.audit()), world.item_keys("open")) == (by_person.count("decided"), decided, [])


def test_decision_that_meets_a_change_each_time_says_so(world: World) -> None:
    world.keep(a_mismatch())

    class BusyTable(Table):
        def transact(self, writes: Sequence[Write], deadline: Deadline) -> None:
            mismatch = world.mismatch(an_id())
            super().transact([Put(item_of(mismatch), expected=mismatch.version)], deadline)
            super().transact(writes, deadline)

    archive = Archive(BusyTable(world.name, an_api()), retention=RETENTION)

    with pytest.raises(ConflictError):
        archive.resolve_mismatch(an_id(), a_decision(), deadline=Deadline(SECONDS))

    assert (world.mismatch(an_id()).version, world.audit()) == (4, ())


# --- audit trail


def test_audit_trail_is_filtered(world: World) -> None:
    entries = [
        an_audit_entry(an_id(0)),
        an_audit_entry(an_id(1), who=ALICE, action="mark IGNORED"),
        an_audit_entry(an_id(2), target="I2", run_id="r2"),
        an_audit_entry(an_id(3), mismatch_id=an_id(9)),
    ]
    world.keep(*entries)

    def found(**filters: str) -> list[str]:
        return ids(world.audit(Wanted(limit=50, filters=filters)))

    assert [
        found(),
        found(action="resolve"),
        found(who=ALICE),
        found(target="I2", run_id="r2"),
        found(mismatch_id=an_id(9)),
    ] == [
        [an_id(3), an_id(2), an_id(1), an_id(0)],
        [an_id(3), an_id(2), an_id(0)],
        [an_id(1)],
        [an_id(2)],
        [an_id(3)],
    ]


# --- what cannot be read


def test_item_that_cannot_be_read_is_an_error(world: World) -> None:
    pk, sk = HEAD_KEY
    world.write([Put({"pk": pk, "sk": sk, "lease": 1}, expected=None)])

    with pytest.raises(ContractError):
        world.jobs()


@pytest.mark.usefixtures("state_table")
def test_table_that_does_not_exist_is_named() -> None:
    archive = Archive(table_named("state-none"), retention=RETENTION)

    with pytest.raises(ConfigurationError, match="there is no table state-none"):
        archive.head(Deadline(SECONDS))


def test_deadline_that_has_passed_ends_every_read(world: World) -> None:
    for read in (
        lambda: world.archive.jobs(ALL, now=NOW, deadline=Deadline(0)),
        lambda: world.archive.mismatches(ALL, deadline=Deadline(0)),
        lambda: world.archive.audit(ALL, deadline=Deadline(0)),
    ):
        with pytest.raises(ReconcilerError):
            read()
