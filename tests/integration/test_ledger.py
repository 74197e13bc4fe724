"""What a run leaves in DynamoDB: one run at a time, nothing lost, nothing doubled, and every death survived."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest

from alert_sync.bookkeeping import Bookkeeping, books_of, intentions, job_of_dead, job_of_report
from alert_sync.deadline import Deadline
from alert_sync.errors import LeaseLostError, RunInProgressError
from alert_sync.memory.archive import Archive, Decision
from alert_sync.memory.items import (
    AUDIT,
    CLOSED,
    JOB,
    audit_of,
    intervention_item,
    job_item,
    job_of,
    mismatch_item,
    mismatch_of,
)
from alert_sync.memory.ledger import Begun, Ledger, NoMemory
from alert_sync.memory.listing import Wanted
from alert_sync.memory.table import Delete, Item, Key, Page, Put, Table, Write
from alert_sync.missing import known_receivers
from alert_sync.model import (
    Action,
    AlertGroup,
    AlertGroupState,
    AlertmanagerSnapshot,
    ChangeResult,
    Finding,
    IrmSnapshot,
    Outcome,
    Policy,
    Verdict,
)
from alert_sync.plan import make_plan
from alert_sync.recall import (
    AuditEntry,
    Counters,
    Head,
    Intervention,
    JobRecord,
    JobStatus,
    Lease,
    Mismatch,
    Recall,
    ResolutionStatus,
    key_of,
)
from alert_sync.report import Report, Status, Trigger
from tests.builders import (
    GROUP_LABELS,
    NOW,
    RECEIVERS,
    a_finding,
    a_keyed_group,
    a_lease,
    a_mismatch,
    a_notification,
    a_peer,
    a_silenced_alert,
    an_aggregation_group,
    an_alert,
    an_alert_group,
    an_intervention,
    irm_with,
    peers_with,
)
from tests.support.dynamodb import table_named

KEEP_FOR = timedelta(days=90)
RUNNERS = 8
NOTHING = Bookkeeping()
INTERVAL = timedelta(minutes=10)


def deadline() -> Deadline:
    return Deadline(30.0)


class Killed(BaseException):
    """Ends a run as SIGKILL would: nothing catches it."""


class WatchedTable(Table):
    """Counts what is asked of the table, and dies before or after its n-th write."""

    def __init__(self, table: Table, *, dies_at: int = 0, after_writing: bool = False) -> None:
        self._table = table
        self._dies_at = dies_at
        self._after_writing = after_writing
        self.reads = self.writes = 0

    def get(self, keys: Sequence[Key], deadline: Deadline) -> dict[Key, Item]:
        self.reads += 1
        return self._table.get(keys, deadline)

    def query(
        self,
        pk: str,
        deadline: Deadline,
        *,
        prefix: str = "",
        before: str = "",
        newest_first: bool = False,
        limit: int = 0,
    ) -> Page:
        self.reads += 1
        return self._table.query(pk, deadline, prefix=prefix, before=before, newest_first=newest_first, limit=limit)

    def transact(self, writes: Sequence[Write], deadline: Deadline) -> None:
        self.writes += 1
        if self.writes == self._dies_at and not self._after_writing:
            raise Killed
        self._table.transact(writes, deadline)
        if self.writes == self._dies_at:
            raise Killed


@pytest.fixture
def table(state_table: str) -> Table:
    return table_named(state_table)


@pytest.fixture
def ledger(table: Table) -> Ledger:
    return Ledger(table, retention=KEEP_FOR)


def job(lease: Lease, *, version: int | None = None, status: JobStatus = JobStatus.COMPLETED) -> JobRecord:
    return JobRecord(
        id=lease.job_id,
        run_id=lease.run_id,
        status=status,
        trigger=lease.trigger,
        dry_run=lease.dry_run,
        started_at=lease.started_at,
        completed_at=NOW,
        version=version,
    )


def begin(ledger: Ledger, lease: Lease | None = None) -> Begun:
    lease = lease or a_lease()
    return ledger.begin(lease, deadline(), now=lease.started_at)


def finish(
    ledger: Ledger,
    begun: Begun,
    books: Bookkeeping = NOTHING,
    *,
    jobs: Sequence[JobRecord] | None = None,
    recall: Recall | None = None,
) -> None:
    jobs = [job(begun.lease)] if jobs is None else jobs
    ledger.finish(begun, begun.head, jobs, books, deadline(), recall=recall or Recall(is_on=True))


def run_with(ledger: Ledger, books: Bookkeeping, run_id: str = "r1") -> None:
    """One whole run that leaves these books."""
    begun = begin(ledger, a_lease(run_id))
    finish(ledger, begun, books, recall=ledger.recall(deadline()))


def later(run_id: str, minutes: float) -> Lease:
    return a_lease(run_id, started_at=NOW + timedelta(minutes=minutes))


def jobs_in(table: Table) -> list[JobRecord]:
    return [job_of(item) for item in table.query(JOB, deadline()).items]


def audit_in(table: Table) -> list[AuditEntry]:
    return [entry for item in table.query(AUDIT, deadline()).items for entry in reversed(audit_of(item))]


def closed_in(table: Table) -> list[Mismatch]:
    return [mismatch_of(item) for item in table.query(CLOSED, deadline()).items]


def an_entry(number: int = 0) -> AuditEntry:
    return AuditEntry(
        id=f"20261121T030000.000Z-{number:04}",
        at=NOW,
        who="us",
        action="resolve",
        target=f"I{number}",
        before="firing",
        after="resolved",
    )


def a_numbered_group(number: int) -> AlertGroup:
    labels = GROUP_LABELS | {"n": f"{number:03}"}
    key = f'{{}}:{{alertname="HighLatency", cluster="eu", n="{number:03}"}}'
    return an_alert_group(f"I{number}", notification=a_notification(f"f{number}", group_labels=labels, group_key=key))


def new_interventions(count: int) -> list[Intervention]:
    return [an_intervention(a_numbered_group(number), is_done=False, version=None) for number in range(count)]


# --- lease


def test_first_run_of_a_table_takes_the_lease(ledger: Ledger) -> None:
    lease = a_lease()

    assert begin(ledger, lease) == Begun(head=Head(version=1, lease=lease), lease=lease)


def test_lease_is_taken_by_exactly_one_of_many(state_table: str) -> None:
    ledgers = [Ledger(table_named(state_table), retention=KEEP_FOR) for _ in range(RUNNERS)]
    together = threading.Barrier(RUNNERS)

    def run(number: int) -> str:
        together.wait()
        try:
            return begin(ledgers[number], a_lease(f"r{number}")).lease.run_id
        except RunInProgressError as error:
            return f"job {error.job_id}"

    with ThreadPoolExecutor(RUNNERS) as pool:
        answers = list(pool.map(run, range(RUNNERS)))

    (winner,) = [answer for answer in answers if not answer.startswith("job ")]
    assert Counter(answers) == {winner: 1, f"job {a_lease(winner).job_id}": RUNNERS - 1}


def test_runs_that_come_one_after_the_other_all_run(ledger: Ledger, table: Table) -> None:
    for number in range(3):
        run_with(ledger, NOTHING, f"r{number}")

    assert {each.run_id for each in jobs_in(table)} == {"r0", "r1", "r2"}
    assert begin(ledger, a_lease("next")).died is None


def test_run_that_finds_another_one_running_says_which(ledger: Ledger) -> None:
    begin(ledger, a_lease("r1"))

    with pytest.raises(RunInProgressError) as caught:
        begin(ledger, later("r2", 4.9))

    assert caught.value.job_id == a_lease("r1").job_id


def test_lease_of_a_dead_run_counts_for_nothing_once_it_has_expired(ledger: Ledger) -> None:
    dead, lease = a_lease("dead"), later("r2", 5)
    begin(ledger, dead)

    assert begin(ledger, lease) == Begun(head=Head(version=2, lease=lease), lease=lease, died=dead)


def test_dead_run_is_written_down_as_failed(ledger: Ledger, table: Table) -> None:
    dead = a_lease("dead")
    begin(ledger, dead)
    begun = begin(ledger, later("r2", 6))
    assert begun.died is not None

    finish(ledger, begun, jobs=[job(begun.lease), job_of_dead(begun.died, now=NOW)])

    assert {each.run_id: each.status for each in jobs_in(table)} == {
        "dead": JobStatus.FAILED,
        "r2": JobStatus.COMPLETED,
    }


def test_run_that_is_started_twice_under_one_name_goes_on(ledger: Ledger, table: Table) -> None:
    """Lambda may deliver an invocation twice: it is no run that died, and has one record."""
    begin(ledger, a_lease())

    begun = begin(ledger, a_lease())
    finish(ledger, begun)

    assert begun.died is None
    assert jobs_in(table) == [job(a_lease(), version=1)]


def test_run_that_lost_its_lease_writes_nothing_more(ledger: Ledger, table: Table) -> None:
    slow = begin(ledger, a_lease("slow"))
    begin(ledger, later("r2", 6))
    before = table.query("open", deadline())

    with pytest.raises(LeaseLostError):
        ledger.intend(slow, new_interventions(3), deadline(), recall=Recall())
    with pytest.raises(LeaseLostError):
        finish(ledger, slow, Bookkeeping(audit=(an_entry(),)))

    assert table.query("open", deadline()) == before
    assert (jobs_in(table), audit_in(table)) == ([], [])


def test_run_that_lost_its_lease_and_everything_else_writes_nothing_more(ledger: Ledger, table: Table) -> None:
    """More than one condition fails at once."""
    slow = begin(ledger, a_lease("slow"))
    table.transact([Put(job_item(job(a_lease("slow")), keep_for=KEEP_FOR), None)], deadline())
    begin(ledger, later("r2", 6))

    with pytest.raises(LeaseLostError):
        finish(ledger, slow)


def test_head_is_as_the_run_left_it_without_its_lease(ledger: Ledger) -> None:
    begun = begin(ledger)
    counted = replace(begun.head, counters=Counters(reconciliations=1))

    ledger.finish(begun, counted, [job(begun.lease)], NOTHING, deadline(), recall=Recall(is_on=True))

    lease = later("r2", 1)
    assert begin(ledger, lease).head == replace(counted, lease=lease, version=3)


class Overtaking(WatchedTable):
    """Another run begins, and perhaps ends, between this one's read and its write."""

    def __init__(self, table: Table, other: Ledger, *, ends: bool) -> None:
        super().__init__(table)
        self._other = other
        self._ends = ends

    def transact(self, writes: Sequence[Write], deadline: Deadline) -> None:
        if self.writes == 0:
            begun = begin(self._other, a_lease("faster"))
            if self._ends:
                finish(self._other, begun)
        super().transact(writes, deadline)


def test_run_that_is_overtaken_is_told_who_runs(table: Table, ledger: Ledger) -> None:
    overtaken = Ledger(Overtaking(table, ledger, ends=False), retention=KEEP_FOR)

    with pytest.raises(RunInProgressError) as caught:
        begin(overtaken, a_lease("slower"))

    assert caught.value.job_id == a_lease("faster").job_id


def test_run_that_is_overtaken_by_one_that_has_ended_runs_next(table: Table, ledger: Ledger) -> None:
    overtaken = Ledger(Overtaking(table, ledger, ends=True), retention=KEEP_FOR)
    lease = a_lease("slower")

    assert begin(overtaken, lease) == Begun(head=Head(version=3, lease=lease), lease=lease)


# --- jobs that were queued


def test_queued_job_is_ended_under_its_record(ledger: Ledger, table: Table) -> None:
    lease = a_lease(was_queued=True)
    table.transact([Put(job_item(job(lease, status=JobStatus.QUEUED), keep_for=KEEP_FOR), None)], deadline())

    finish(ledger, begin(ledger, lease), jobs=[job(lease, version=1)])

    assert jobs_in(table) == [job(lease, version=2)]


def test_queued_job_that_finds_another_one_running_is_skipped(ledger: Ledger, table: Table) -> None:
    lease = a_lease(was_queued=True)
    table.transact([Put(job_item(job(lease, status=JobStatus.QUEUED), keep_for=KEEP_FOR), None)], deadline())

    ledger.skip(job(lease, version=1, status=JobStatus.SKIPPED), deadline())

    assert jobs_in(table) == [job(lease, version=2, status=JobStatus.SKIPPED)]


def test_run_that_nobody_queued_is_skipped_without_a_record(ledger: Ledger, table: Table) -> None:
    ledger.skip(job(a_lease(), status=JobStatus.SKIPPED), deadline())

    assert jobs_in(table) == []


# --- recall


def test_empty_table_recalls_nothing(ledger: Ledger) -> None:
    assert ledger.recall(deadline()) == Recall(is_on=True)


def test_everything_that_is_open_is_recalled(ledger: Ledger) -> None:
    books = Bookkeeping(
        standing=(an_intervention(a_numbered_group(1), version=None),),
        mismatches=(
            a_mismatch(version=None),
            a_mismatch(a_finding(a_numbered_group(2)), resolution_status=ResolutionStatus.IGNORED, version=None),
        ),
        audit=(an_entry(),),
        seen=frozenset({"I1#x"}),
        receivers=RECEIVERS,
    )

    run_with(ledger, books)

    kept = an_intervention(stored(a_numbered_group(1)), version=1)
    mismatches = [replace(each, version=1) for each in books.mismatches]
    assert ledger.recall(deadline()) == Recall(
        is_on=True,
        interventions={kept.key: kept},
        mismatches={(each.type, each.subject): each for each in mismatches},
        seen=frozenset({"I1#x"}),
        receivers=RECEIVERS,
        seen_version=1,
    )


def stored(group: AlertGroup) -> AlertGroup:
    """As the table keeps it: without the labels of single alerts."""
    notification = group.notification
    assert notification is not None
    return replace(group, notification=replace(notification, firing={each: {} for each in notification.firing}))


def test_item_that_a_later_version_wrote_does_not_disturb(ledger: Ledger, table: Table) -> None:
    table.transact([Put({"pk": "open", "sk": "notes#1", "text": "?"}, None)], deadline())

    assert ledger.recall(deadline()) == Recall(is_on=True)


def test_item_that_is_not_understood_does_not_hold_back_the_others(ledger: Ledger, table: Table) -> None:
    """Its alert group is left alone, and people are told."""
    odd, good = an_intervention(), an_intervention(a_numbered_group(1))
    table.transact([Put({**intervention_item(odd), "action": "mute"}, None)], deadline())
    table.transact([Put(intervention_item(good), None)], deadline())

    recall = ledger.recall(deadline())

    assert (set(recall.interventions), recall.unreadable) == ({good.key}, frozenset({odd.key}))
    (warning,) = recall.warnings
    assert "not as this version writes it" in warning


def test_what_was_seen_in_another_alertmanager_counts_no_more(table: Table, ledger: Ledger) -> None:
    """Its version is known all the same, so that it can be written anew."""
    run_with(ledger, Bookkeeping(seen=frozenset({"I1#x"}), receivers=RECEIVERS))

    recall = Ledger(table, retention=KEEP_FOR, source="http://another").recall(deadline())

    warning = "another Alertmanager is read than before (ALERTMANAGER_URL): what was seen there counts no more"
    assert recall == Recall(is_on=True, seen_version=1, warnings=(warning,))


# --- intentions


def test_intentions_are_recalled_as_not_done(ledger: Ledger) -> None:
    wanted = new_interventions(3)

    intended = ledger.intend(begin(ledger), wanted, deadline(), recall=Recall())

    assert intended == {each.key: replace(each, version=1) for each in wanted}
    recalled = ledger.recall(deadline()).interventions
    assert recalled == {each.key: replace(each, alert_group=stored(each.alert_group), version=1) for each in wanted}


def test_intention_replaces_what_was_remembered(ledger: Ledger) -> None:
    run_with(ledger, Bookkeeping(standing=(an_intervention(version=None),)))
    begun = begin(ledger, a_lease("r2"))
    paging = an_intervention(action=Action.NOTIFY, is_done=False, version=1)

    ledger.intend(begun, [paging], deadline(), recall=Recall())

    assert ledger.recall(deadline()).interventions[paging.key].action is Action.NOTIFY


def decide(table: Table, mismatch: Mismatch, status: ResolutionStatus) -> None:
    """As a person does who is asked what is to become of it."""
    decision = Decision(status=status, notes="known", who="ann", at=NOW)
    Archive(table, retention=KEEP_FOR).resolve_mismatch(mismatch.id, decision, deadline=deadline())


def a_mismatch_about(intervention: Intervention) -> Mismatch:
    return a_mismatch(a_finding(intervention.alert_group, verdict=intervention.verdict), version=None)


@pytest.mark.parametrize("by_person", [ResolutionStatus.MANUAL_RESOLVED, ResolutionStatus.IGNORED], ids=str)
def test_nothing_is_intended_about_what_a_person_decides_during_a_run(
    ledger: Ledger, table: Table, by_person: ResolutionStatus
) -> None:
    """But about what nobody has touched, and about what is new."""
    decided, untouched, new = new_interventions(3)
    run_with(ledger, Bookkeeping(mismatches=(a_mismatch_about(decided), a_mismatch_about(untouched))))
    begun, recall = begin(ledger, a_lease("r2")), ledger.recall(deadline())
    decide(table, a_mismatch_about(decided), by_person)

    intended = ledger.intend(begun, [decided, untouched, new], deadline(), recall=recall)

    assert intended == {each.key: replace(each, version=1) for each in (untouched, new)}
    assert set(ledger.recall(deadline()).interventions) == {untouched.key, new.key}


def test_no_page_is_intended_about_a_missing_alert_group_that_a_person_ignores_during_a_run(
    ledger: Ledger, table: Table
) -> None:
    """It has no id by which the two could be told to belong together."""
    decided, untouched = (
        replace(each, alert_group=replace(each.alert_group, id=""), action=Action.NOTIFY, verdict=Verdict.MISSING)
        for each in new_interventions(2)
    )
    run_with(ledger, Bookkeeping(mismatches=(a_mismatch_about(decided), a_mismatch_about(untouched))))
    begun, recall = begin(ledger, a_lease("r2")), ledger.recall(deadline())
    decide(table, a_mismatch_about(decided), ResolutionStatus.IGNORED)

    intended = ledger.intend(begun, [decided, untouched], deadline(), recall=recall)

    assert intended == {untouched.key: replace(untouched, version=1)}
    assert set(ledger.recall(deadline()).interventions) == {untouched.key}


def test_decisions_hinder_only_what_they_are_about_however_much_is_intended(ledger: Ledger, table: Table) -> None:
    """Each intention then costs two of the hundred writes of a transaction."""
    wanted = new_interventions(120)
    run_with(ledger, Bookkeeping(mismatches=tuple(map(a_mismatch_about, wanted))))
    begun, recall = begin(ledger, a_lease("r2")), ledger.recall(deadline())
    decided = {wanted[number].key for number in (0, 60, 119)}
    for number in (0, 60, 119):
        decide(table, a_mismatch_about(wanted[number]), ResolutionStatus.IGNORED)

    intended = ledger.intend(begun, wanted, deadline(), recall=recall)

    assert set(intended) == {each.key for each in wanted} - decided
    assert set(ledger.recall(deadline()).interventions) == set(intended)


def test_intention_is_given_up_where_somebody_else_has_written_meanwhile(ledger: Ledger, table: Table) -> None:
    """Whether they made the item, changed it or deleted it. The others are written."""
    made, changed, deleted, free = new_interventions(4)
    run_with(ledger, Bookkeeping(standing=(changed,)))
    begun = begin(ledger, a_lease("r2"))
    theirs = {None: replace(made, run_id="theirs"), 1: replace(changed, run_id="theirs")}
    table.transact([Put(intervention_item(each), version) for version, each in theirs.items()], deadline())

    wanted = [made, replace(changed, version=1), replace(deleted, version=1), free]
    intended = ledger.intend(begun, wanted, deadline(), recall=Recall())

    assert intended == {free.key: replace(free, version=1)}
    assert {each.key: each.run_id for each in ledger.recall(deadline()).interventions.values()} == {
        made.key: "theirs",
        changed.key: "theirs",
        free.key: free.run_id,
    }


def test_nothing_to_intend_costs_nothing(table: Table) -> None:
    watched = WatchedTable(table)
    ledger = Ledger(watched, retention=KEEP_FOR)
    begun = begin(ledger)

    assert ledger.intend(begun, [], deadline(), recall=Recall()) == {}
    assert watched.writes == 1


# --- the end of a run


def test_what_is_over_is_gone(ledger: Ledger) -> None:
    run_with(ledger, Bookkeeping(standing=(an_intervention(version=None),)))

    run_with(ledger, Bookkeeping(forgotten=(an_intervention(version=1),)), "r2")

    assert ledger.recall(deadline()).interventions == {}


def test_mismatch_that_is_resolved_moves_to_the_closed_ones(ledger: Ledger, table: Table) -> None:
    known = a_mismatch(version=None)
    run_with(ledger, Bookkeeping(mismatches=(known,)))
    resolved = replace(known, resolution_status=ResolutionStatus.AUTO_RESOLVED, resolved_at=NOW, version=1)

    run_with(ledger, Bookkeeping(mismatches=(resolved,)), "r2")

    assert ledger.recall(deadline()).mismatches == {}
    assert closed_in(table) == [resolved]


def by_hand(table: Table, mismatch: Mismatch, status: ResolutionStatus) -> Mismatch:
    """What a person does to an open mismatch, as the asking side writes it."""
    decided = replace(
        mismatch, resolution_status=status, resolution_notes="by hand", resolved_by="ann", resolved_at=NOW
    )
    item = mismatch_item(decided, keep_for=KEEP_FOR)
    if decided.is_open:
        table.transact([Put(item, 1)], deadline())
        return replace(decided, version=2)
    table.transact([Delete(("open", f"mismatch#{mismatch.id}"), 1), Put(item, None)], deadline())
    return replace(decided, version=1)


@pytest.mark.parametrize("by_run", [ResolutionStatus.PENDING, ResolutionStatus.AUTO_RESOLVED], ids=str)
@pytest.mark.parametrize("by_person", [ResolutionStatus.MANUAL_RESOLVED, ResolutionStatus.IGNORED], ids=str)
def test_persons_decision_during_a_run_wins(
    ledger: Ledger, table: Table, by_person: ResolutionStatus, by_run: ResolutionStatus
) -> None:
    """And everything else of the run is still written."""
    mine, other = a_mismatch(version=None), a_mismatch(a_finding(a_numbered_group(2)), version=None)
    run_with(ledger, Bookkeeping(mismatches=(mine, other)))
    begun = begin(ledger, a_lease("r2"))
    recall = ledger.recall(deadline())
    decided = by_hand(table, recall.mismatches[mine.type, mine.subject], by_person)

    seen_by_run = [
        replace(each, resolution_status=by_run, reason="seen again", resolved_at=NOW)
        for each in recall.mismatches.values()
    ]
    books = Bookkeeping(standing=(an_intervention(version=None),), mismatches=tuple(seen_by_run), audit=(an_entry(),))
    finish(ledger, begun, books, recall=recall)

    after = ledger.recall(deadline())
    mismatches = {each.id: each for each in (*after.mismatches.values(), *closed_in(table))}
    assert mismatches[mine.id] == decided
    assert mismatches[other.id].reason == "seen again"
    assert list(after.interventions) == [an_intervention().key]
    assert [entry.target for entry in audit_in(table)] == ["I0"]
    assert {each.run_id for each in jobs_in(table)} == {"r1", "r2"}


MANY = tuple(a_mismatch(a_finding(a_numbered_group(number)), version=None) for number in range(250))


def test_many_writes_are_split(table: Table) -> None:
    watched = WatchedTable(table)
    ledger = Ledger(watched, retention=KEEP_FOR)
    begun = begin(ledger)

    finish(ledger, begun, Bookkeeping(mismatches=MANY))

    assert len(ledger.recall(deadline()).mismatches) == 250
    assert watched.writes == 1 + 3


def test_audit_trail_is_in_the_order_of_what_was_done(ledger: Ledger, table: Table) -> None:
    """Entries that are written together share an item, so that they cost one write."""
    entries = tuple(an_entry(number) for number in range(250))

    finish(ledger, begin(ledger), Bookkeeping(audit=entries))

    audit = audit_in(table)
    assert [entry.target for entry in audit] == [entry.target for entry in entries]
    assert [entry.id for entry in audit] == sorted({entry.id for entry in audit})
    assert len(table.query(AUDIT, deadline()).items) == 3


def audit_by_single_entries(archive: Archive) -> list[AuditEntry]:
    page = archive.audit(Wanted(limit=1), deadline=deadline())
    found = [*page.records]
    while page.next_before:
        page = archive.audit(Wanted(limit=1, before=page.next_before), deadline=deadline())
        found += page.records
    return found


def test_audit_trail_that_tells_of_a_dead_run_is_complete_page_by_page(ledger: Ledger, table: Table) -> None:
    """A page may end within an item, and the next one goes on from the id that it ended with."""
    about = ["r1", "dead", "r1", "dead", "r1"]
    entries = tuple(replace(an_entry(number), run_id=run_id) for number, run_id in enumerate(about))

    finish(ledger, begin(ledger), Bookkeeping(audit=entries))

    archive = Archive(table, retention=KEEP_FOR)
    whole = [*archive.audit(Wanted(limit=50), deadline=deadline()).records]
    assert [replace(entry, id="") for entry in whole] == [replace(entry, id="") for entry in reversed(entries)]
    assert [entry.id for entry in whole] == sorted({entry.id for entry in whole}, reverse=True)
    assert audit_by_single_entries(archive) == whole


def test_dry_run_that_finds_thousands_can_be_written_down(ledger: Ledger, table: Table) -> None:
    """An item has its limit of 400 KB."""
    entries = tuple(replace(an_entry(number), answer="x" * 500) for number in range(2000))

    finish(ledger, begin(ledger), Bookkeeping(audit=entries))

    assert len(audit_in(table)) == 2000


def test_write_and_its_audit_entry_are_written_together(table: Table) -> None:
    """Or a run that dies between the two leaves a change that is nowhere written down."""
    groups = [a_numbered_group(number) for number in range(150)]
    books = Bookkeeping(
        standing=tuple(an_intervention(group, version=None) for group in groups),
        audit=tuple(an_entry(number) for number in range(150)),
    )
    killed = Ledger(WatchedTable(table, dies_at=2, after_writing=True), retention=KEEP_FOR)
    begun = begin(killed)

    with pytest.raises(Killed):
        finish(killed, begun, books)

    remembered = {each.alert_group.id for each in killed.recall(deadline()).interventions.values()}
    assert 0 < len(remembered) < 150
    assert {entry.target for entry in audit_in(table)} == remembered


def test_what_was_done_is_in_the_audit_trail_though_somebody_else_has_changed_the_rest(
    ledger: Ledger, table: Table
) -> None:
    """IRM was changed, whatever has become of what is remembered of it, which is left to them."""
    standing, free, forgotten = (an_intervention(a_numbered_group(number), version=None) for number in range(3))
    run_with(ledger, Bookkeeping(standing=(standing, free, forgotten)))
    begun, recall = begin(ledger, a_lease("r2")), ledger.recall(deadline())
    theirs = [intervention_item(replace(each, run_id="theirs")) for each in (standing, forgotten)]
    table.transact([Put(item, 1) for item in theirs], deadline())

    books = Bookkeeping(
        standing=tuple(replace(each, run_id="r2", version=1) for each in (standing, free)),
        forgotten=(replace(forgotten, version=1),),
        audit=tuple(an_entry(number) for number in range(3)),
    )
    finish(ledger, begun, books, recall=recall)

    assert {each.key: each.run_id for each in ledger.recall(deadline()).interventions.values()} == {
        standing.key: "theirs",
        free.key: "r2",
        forgotten.key: "theirs",
    }
    assert [entry.target for entry in audit_in(table)] == ["I0", "I1", "I2"]
    assert {each.run_id for each in jobs_in(table)} == {"r1", "r2"}


def test_what_was_done_is_in_the_audit_trail_though_it_is_all_that_is_left_to_write(
    ledger: Ledger, table: Table
) -> None:
    """The item that stood in the way may be a later version's, which this one cannot read."""
    odd = an_intervention(version=None)
    table.transact([Put({**intervention_item(odd), "action": "a later version's"}, None)], deadline())
    begun, recall = begin(ledger), ledger.recall(deadline())

    finish(
        ledger, begun, Bookkeeping(standing=(odd,), audit=(replace(an_entry(), target="I1"),)), recall=recall, jobs=[]
    )

    assert recall.unreadable == frozenset({odd.key})
    assert ledger.recall(deadline()) == recall
    assert [entry.target for entry in audit_in(table)] == ["I1"]


class TakenOverAt(WatchedTable):
    """Another run takes over right before the n-th write."""

    def __init__(self, table: Table, other: Ledger, *, at: int) -> None:
        super().__init__(table)
        self._other = other
        self._at = at

    def transact(self, writes: Sequence[Write], deadline: Deadline) -> None:
        if self.writes + 1 == self._at:
            begin(self._other, later("other", 6))
        super().transact(writes, deadline)


@pytest.mark.parametrize("written", [0, 1, 2])
def test_run_that_loses_its_lease_in_the_middle_of_many_writes_stops_there(
    table: Table, ledger: Ledger, written: int
) -> None:
    losing = Ledger(TakenOverAt(table, ledger, at=2 + written), retention=KEEP_FOR)
    begun = begin(losing)

    with pytest.raises(LeaseLostError):
        finish(losing, begun, Bookkeeping(mismatches=MANY))

    assert len(ledger.recall(deadline()).mismatches) == written * 98
    assert jobs_in(table) == []


def test_conflict_in_every_part_of_many_writes_costs_only_what_conflicts(ledger: Ledger, table: Table) -> None:
    mismatches = [a_mismatch(a_finding(a_numbered_group(number)), version=None) for number in range(120)]
    run_with(ledger, Bookkeeping(mismatches=tuple(mismatches)))
    begun, recall = begin(ledger, a_lease("r2")), ledger.recall(deadline())
    known = sorted(recall.mismatches.values(), key=lambda each: each.id)
    for number in (0, 50, 119):
        by_hand(table, known[number], ResolutionStatus.IGNORED)

    again = tuple(replace(each, reason="seen again") for each in known)
    finish(ledger, begun, Bookkeeping(mismatches=again), recall=recall)

    reasons = Counter(each.reason for each in ledger.recall(deadline()).mismatches.values())
    assert reasons == {"seen again": 117, "its only alert is silenced": 3}


def test_without_a_table_every_run_is_the_first() -> None:
    memory, lease = NoMemory(), a_lease()
    begun = memory.begin(lease, deadline(), now=NOW)
    wanted = an_intervention(version=None)

    intended = memory.intend(begun, [wanted], deadline(), recall=Recall())
    memory.finish(begun, begun.head, [], NOTHING, deadline(), recall=Recall())
    memory.skip(job(lease), deadline())

    assert begun == Begun(head=Head(), lease=lease)
    assert (memory.recall(deadline()), intended) == (Recall(), {wanted.key: wanted})


# --- whole runs, against a world that is as simple as can be


@dataclass(kw_only=True)
class SmallWorld:
    """Alert groups in IRM, and whether their alerts are silenced or active. Each alert group has one alert."""

    count: int
    now: datetime = NOW
    is_silenced: bool = True
    groups: dict[str, AlertGroup] = field(default_factory=dict)
    pages: Counter[str] = field(default_factory=Counter)
    writes: int = 0
    dies_at: int = 0

    def __post_init__(self) -> None:
        self.groups = {f"I{number}": a_numbered_group(number) for number in range(self.count)}

    def alertmanager(self) -> AlertmanagerSnapshot:
        alert = a_silenced_alert if self.is_silenced else an_alert
        return peers_with(
            a_peer(
                *(
                    an_aggregation_group(
                        alert(f"f{number}"),
                        group_labels=GROUP_LABELS | {"n": f"{number:03}"},
                    )
                    for number in range(self.count)
                )
            )
        )

    def irm(self) -> IrmSnapshot:
        return irm_with(*(group for group in self.groups.values() if group.state is not AlertGroupState.RESOLVED))

    def told(self, intervention: Intervention) -> str:
        """Whether IRM has had another alert group of that key since."""
        return next(
            (
                "told"
                for group in self.groups.values()
                if key_of(group) == intervention.key and group.id != intervention.alert_group.id
            ),
            "",
        )

    def write(self, finding: Finding, action: Action) -> None:
        self.writes += 1
        if self.writes == self.dies_at:
            raise Killed
        group = finding.alert_group
        if action is Action.RESOLVE:
            self.groups[group.id] = replace(self.groups[group.id], state=AlertGroupState.RESOLVED)
        elif action is Action.NOTIFY:
            self.pages[key_of(group)] += 1
            new_id = f"{group.id}-again"
            self.groups[new_id] = replace(group, id=new_id, state=AlertGroupState.FIRING, created_at=self.now)


def run(world: SmallWorld, table: Table, run_id: str) -> Report:
    """One run of the core, with the real memory."""
    ledger = Ledger(table, retention=KEEP_FOR)
    lease = a_lease(run_id, started_at=world.now)
    begun = ledger.begin(lease, deadline(), now=world.now)
    recall, irm = ledger.recall(deadline()), world.irm()
    told = {each.key: world.told(each) for each in recall.interventions.values()}
    plan = make_plan(world.alertmanager(), irm, Policy(), now=world.now, recall=recall, told=told)
    intended: Mapping[str, Intervention] = {}
    if plan.changes:
        wanted = intentions(recall, plan.changes, lease, now=world.now)
        intended = ledger.intend(begun, wanted, deadline(), recall=recall)
    for change in plan.changes:
        world.write(change.finding, change.action)
    report = Report(
        run_id=run_id,
        trigger=Trigger.SCHEDULE,
        status=Status.SUCCESS,
        message="",
        dry_run=False,
        started_at=world.now,
        plan=plan,
        results=tuple(ChangeResult(change=change, outcome=Outcome.APPLIED) for change in plan.changes),
    )
    receivers = known_receivers(recall, irm, plan.seen | recall.seen, now=world.now)
    books = books_of(recall, plan, intended, report, irm=irm, receivers=receivers, job_id=lease.job_id, now=world.now)
    jobs = [job_of_report(report, lease, now=world.now)]
    jobs += [job_of_dead(begun.died, now=world.now)] if begun.died else []
    ledger.finish(begun, begun.head, jobs, books, deadline(), recall=recall)
    return report


GROUPS = 60
# Begin, intend, and two parts of the end.
WRITES = 4


def killed_run(world: SmallWorld, table: Table) -> None:
    with pytest.raises(Killed):
        run(world, table, "killed")
    world.now += INTERVAL
    world.dies_at = 0


def converged(world: SmallWorld, table: Table) -> dict[str, object]:
    """What can be seen of the world and the memory, once runs have nothing more to do."""
    for number in range(3):
        run(world, table, f"after {number}")
        world.now += INTERVAL
    recall = Ledger(table, retention=KEEP_FOR).recall(deadline())
    return {
        "states": Counter(group.state for group in world.groups.values()),
        "pages": set(world.pages.values()),
        "remembered": Counter((each.action, each.is_done) for each in recall.interventions.values()),
        "open": len(recall.mismatches),
        "audited": {(each.action, each.target) for each in audit_in(table)},
        "statuses": Counter(each.status for each in jobs_in(table)),
    }


@pytest.mark.parametrize("after_writing", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("write", range(1, WRITES + 1))
def test_run_killed_at_any_write_to_the_table_is_made_good(table: Table, write: int, *, after_writing: bool) -> None:
    world = SmallWorld(count=GROUPS)

    killed_run(world, WatchedTable(table, dies_at=write, after_writing=after_writing))

    has_begun = (write, after_writing) != (1, False)
    has_ended = (write, after_writing) == (WRITES, True)
    failed = {JobStatus.FAILED: 1} if has_begun and not has_ended else {}
    assert converged(world, table) == {
        "states": {AlertGroupState.RESOLVED: GROUPS},
        "pages": set(),
        "remembered": {(Action.RESOLVE, True): GROUPS},
        "open": 0,
        "audited": {("resolve", f"I{number}") for number in range(GROUPS)},
        "statuses": {JobStatus.COMPLETED: 3 + has_ended, **failed},
    }


@pytest.mark.parametrize("write", [1, 2, GROUPS // 2, GROUPS])
def test_run_killed_at_any_write_to_irm_is_made_good(table: Table, write: int) -> None:
    world = SmallWorld(count=GROUPS, dies_at=write)

    killed_run(world, table)

    assert converged(world, table) == {
        "states": {AlertGroupState.RESOLVED: GROUPS},
        "pages": set(),
        "remembered": {(Action.RESOLVE, True): GROUPS},
        "open": 0,
        "audited": {("resolve", f"I{number}") for number in range(GROUPS)},
        "statuses": {JobStatus.COMPLETED: 3, JobStatus.FAILED: 1},
    }


@pytest.mark.parametrize("after_writing", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("write", range(1, WRITES + 1))
def test_hand_back_killed_at_any_write_to_the_table_pages_once(
    table: Table, write: int, *, after_writing: bool
) -> None:
    world = SmallWorld(count=GROUPS)
    run(world, table, "resolves")
    world.now += INTERVAL
    world.is_silenced = False

    killed_run(world, WatchedTable(table, dies_at=write, after_writing=after_writing))

    found = converged(world, table)
    assert (found["states"], found["pages"], found["remembered"], found["open"]) == (
        {AlertGroupState.RESOLVED: GROUPS, AlertGroupState.FIRING: GROUPS},
        {1},
        {},
        0,
    )


@pytest.mark.parametrize("write", [1, 2, GROUPS // 2, GROUPS])
def test_hand_back_killed_at_any_write_to_irm_pages_once(table: Table, write: int) -> None:
    world = SmallWorld(count=GROUPS)
    run(world, table, "resolves")
    world.now += INTERVAL
    world.is_silenced, world.writes, world.dies_at = False, 0, write

    killed_run(world, table)

    found = converged(world, table)
    assert (found["states"], found["pages"], found["remembered"]) == (
        {AlertGroupState.RESOLVED: GROUPS, AlertGroupState.FIRING: GROUPS},
        {1},
        {},
    )


# --- the number of requests


def test_quiet_run_makes_two_reads_and_two_writes(table: Table) -> None:
    world = SmallWorld(count=10)
    run(world, table, "resolves")
    world.now += INTERVAL
    watched = WatchedTable(table)

    run(world, watched, "quiet")

    assert (watched.reads, watched.writes) == (2, 2)


@pytest.mark.parametrize(
    ("changed", "writes"),
    [
        pytest.param(25, 2 + 1, id="25"),
        pytest.param(50, 2 + 2, id="50"),
        pytest.param(75, 2 + 2, id="75"),
        pytest.param(100, 2 + 4, id="100"),
    ],
)
def test_run_that_changes_much_makes_few_requests(table: Table, changed: int, writes: int) -> None:
    """No more than one for each 25, beside what a quiet run makes."""
    watched = WatchedTable(table)

    run(SmallWorld(count=changed), watched, "resolves")

    assert (watched.reads, watched.writes) == (2, writes)


def test_verdicts_of_the_small_world_are_what_it_is_about() -> None:
    """Or the runs above would prove nothing."""
    world = SmallWorld(count=1)
    silenced = make_plan(world.alertmanager(), world.irm(), Policy(), now=NOW)
    world.is_silenced = False
    firing = make_plan(world.alertmanager(), world.irm(), Policy(), now=NOW)

    assert [change.finding.verdict for change in silenced.changes] == [Verdict.SILENCED]
    assert [finding.verdict for finding in firing.kept] == [Verdict.FIRING]
    assert a_keyed_group().state is AlertGroupState.FIRING
