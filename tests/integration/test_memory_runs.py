"""Runs that meet, die, lose their lease or cannot use their table: nothing is done twice, and nothing is forgotten.

A run that dies here is a process of its own, which is killed while a request of its is on the way.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from alert_sync.deadline import Deadline
from alert_sync.memory.archive import Archive, Decision
from alert_sync.memory.listing import Wanted
from alert_sync.memory.table import Put
from alert_sync.model import Verdict
from alert_sync.recall import AuditEntry, JobRecord, JobStatus, ResolutionStatus, new_id
from alert_sync.report import Report, Status
from tests.integration.world import Uptime, World, outcomes, verdicts
from tests.support import tools
from tests.support.aws_answers import refusal
from tests.support.child_process import ChildProcess
from tests.support.dynamodb import DynamoDb
from tests.support.fake_irm_model import AlertGroup
from tests.support.faults import (
    ActFirst,
    AnswerLate,
    Exchange,
    Fault,
    FaultyProxy,
    Instead,
    LoseAnswer,
    Rewrite,
    closed_port,
    status,
)
from tests.support.loopback_http import Request
from tests.support.waiting import wait_for
from tests.support.webhook_recorder import Payload

MINUTE = timedelta(minutes=1)
RETENTION = timedelta(days=90)
LIST, INBOUND, ANY_RESOLVE = r"/alert_groups/\?", r"/integrations/v1/", r"/resolve/"
SOURCE = str(tools.PROJECT / "src")
NO_NOTES = {"RESOLUTION_NOTES": "false"}


@pytest.fixture
def world(lasting_world: World) -> World:
    return lasting_world


@pytest.fixture
def irm_proxy(world: World) -> Iterator[FaultyProxy]:
    """Before IRM, for its API and for the integrations' own URLs."""
    with FaultyProxy(world.irm.url) as proxy:
        world.irm.links_base_url = proxy.url
        yield proxy


@pytest.fixture
def table_proxy(dynamodb: DynamoDb) -> Iterator[FaultyProxy]:
    """Before DynamoDB, for those who are pointed there."""
    with FaultyProxy(dynamodb.url) as proxy:
        yield proxy


@dataclass(frozen=True, slots=True)
class To:
    """A fault that strikes one operation of DynamoDB only: all of them have one path."""

    operation: str
    fault: Fault

    def play(self, exchange: Exchange) -> None:
        if operation_of(exchange.request) == self.operation:
            self.fault.play(exchange)
        else:
            exchange.connection.send(exchange.forward())


def operation_of(request: Request) -> str:
    return (request.header("X-Amz-Target") or "").partition(".")[2]


def quiet_although_it_fires(world: World) -> AlertGroup:
    """An alert group that we resolved, and that has to page: its silence has ended."""
    group = world.fire()
    world.silence(group)
    assert outcomes(world.run()) == {group.id: "applied"}
    world.expire_silences()
    return group


def actions(report: Report) -> list[tuple[str, str]]:
    return [(result.change.action.value, result.outcome.value) for result in report.results]


def archive(world: World) -> Archive:
    return Archive(world.table(), retention=RETENTION)


def jobs(world: World) -> list[JobRecord]:
    """Newest first."""
    return list(archive(world).jobs(Wanted(limit=100), now=datetime.now(UTC), deadline=Deadline(10)).records)


def audit(world: World) -> list[AuditEntry]:
    """Oldest first."""
    return list(reversed(archive(world).audit(Wanted(limit=100), deadline=Deadline(10)).records))


# --- the lease


def test_second_run_is_skipped_while_the_first_is_under_way(world: World, irm_proxy: FaultyProxy) -> None:
    group = quiet_although_it_fires(world)
    second: list[Report] = []
    irm_proxy.inject(ActFirst(lambda: second.append(world.run())), path=LIST, nth=1)

    first = world.run({"GRAFANA_IRM_URL": irm_proxy.url})

    assert (actions(first), first.status) == ([("notify", "applied")], Status.SUCCESS)
    assert [(report.status, report.running_job_id, report.results) for report in second] == [
        (Status.SKIPPED, first.job_id, ())
    ]
    assert len(world.pages(group)) == 1
    assert [job.status for job in jobs(world)] == [JobStatus.COMPLETED] * 2, "a schedule's skipped run leaves no record"


def test_eight_runs_at_once_page_once(world: World) -> None:
    group = quiet_although_it_fires(world)

    with ThreadPoolExecutor(8) as pool:
        reports = list(pool.map(lambda _: world.run(), range(8)))

    counts = Counter(report.status for report in reports)
    assert counts[Status.SUCCESS] + counts[Status.SKIPPED] == 8
    assert sum(report.handed_back for report in reports) == 1
    assert [page.alerts_count for page in world.pages(group)] == [1]
    assert world.lease() is None


def test_queued_job_that_finds_another_run_is_recorded_as_skipped(world: World, irm_proxy: FaultyProxy) -> None:
    now = datetime.now(UTC)
    queued = JobRecord(
        id=new_id(now, "queued"), run_id="", status=JobStatus.QUEUED, trigger="http", dry_run=False, started_at=now
    )
    archive(world).queue_job(queued, who="ann", force=False, deadline=Deadline(10))
    irm_proxy.inject(ActFirst(lambda: world.run(job_id=queued.id)), path=LIST, nth=1)

    world.run({"GRAFANA_IRM_URL": irm_proxy.url})

    assert {job.id: job.status for job in jobs(world)}[queued.id] is JobStatus.SKIPPED


def test_run_that_lost_its_lease_sends_nothing_any_more(world: World, irm_proxy: FaultyProxy) -> None:
    """It was frozen for longer than it may run, and another one has done its work."""
    group = quiet_although_it_fires(world)
    other: list[Report] = []

    def take_over() -> None:
        world.end_lease()
        other.append(world.run())

    irm_proxy.inject(ActFirst(take_over), path=LIST, nth=1)

    report = world.run({"GRAFANA_IRM_URL": irm_proxy.url})

    assert [each.handed_back for each in other] == [1]
    assert (report.status, [page.alerts_count for page in world.pages(group)]) == (Status.FAILED, [1])
    assert world.run().results == ()


def test_lease_of_a_dead_run_counts_until_it_expires(world: World, irm_proxy: FaultyProxy, tmp_path: Path) -> None:
    group = quiet_although_it_fires(world)
    process = DyingRun(world, tmp_path, {"GRAFANA_IRM_URL": irm_proxy.url})
    irm_proxy.inject(ActFirst(process.kill), path=LIST, nth=1)
    process.run()

    while_it_lasts = world.run()
    world.end_lease()
    afterwards = world.run()

    assert (while_it_lasts.status, actions(afterwards)) == (Status.SKIPPED, [("notify", "applied")])
    assert len(world.pages(group)) == 1
    newest, dead = jobs(world)[:2]
    assert (newest.status, dead.status) == (JobStatus.COMPLETED, JobStatus.FAILED)
    assert dead.error == "the run did not end before its lease did"


# --- a run that dies


@dataclass
class DyingRun:
    """A run in a process of its own, as a person starts it, and which can be killed at any moment."""

    world: World
    folder: Path
    environ: dict[str, str]
    seconds: int = 20
    process: ChildProcess | None = None
    _started: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Start it, and wait until it has ended or been killed."""
        environment = {**os.environ, "PYTHONPATH": SOURCE, **self.world.settings(self.environ)}
        command: list[str | Path] = [sys.executable, "-m", "alert_sync", "reconcile", "--timeout", str(self.seconds)]
        self.process = ChildProcess(command, output=self.folder / "run.log", environment=environment)
        self._started.set()
        process = self.process
        wait_for(lambda: process.has_ended, what="the run to end")
        process.kill()

    def kill(self) -> None:
        """End it without a chance to tidy up. Called from the proxy's thread."""
        self._started.wait()
        assert self.process is not None
        os.kill(self.process.pid, 9)


@dataclass
class KillAtWrite:
    """Pass everything on, but kill the run when it sends its nth write: before it is made, or after."""

    nth: int
    is_made: bool
    kill: Callable[[], None]
    writes: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def play(self, exchange: Exchange) -> None:
        with self.lock:
            name = name_of_write(exchange.request)
            if name:
                self.writes.append(name)
            is_struck = bool(name) and len(self.writes) == self.nth
            is_dead = len(self.writes) > self.nth
            if is_struck and not self.is_made:
                self.kill()
        if is_dead or (is_struck and not self.is_made):
            exchange.connection.reset()
            return
        answer = exchange.forward()
        if is_struck:
            self.kill()
        exchange.connection.send(answer)


def name_of_write(request: Request) -> str:
    """Empty if it is none."""
    operation = operation_of(request)
    if operation:
        return operation if operation in ("PutItem", "DeleteItem", "TransactWriteItems") else ""
    if request.method != "POST":
        return ""
    # The last part of an integration's own URL is its key.
    return "webhook" if "/integrations/v1/" in request.path else request.path.split("/")[-2]


@dataclass(frozen=True, kw_only=True)
class Everything:
    """A world in which one run resolves, hands back, repairs a lost resolve and pages for what IRM has not heard of."""

    silenced: AlertGroup
    handed_back: AlertGroup
    lost: AlertGroup
    missing: Payload

    def missing_groups(self, world: World) -> list[AlertGroup]:
        return [group for group in world.irm.alert_groups() if group.group_key == self.missing["groupKey"]]


WRITES = 7
"""The lease, the intentions, two webhooks, two resolves, the end."""


@pytest.fixture
def everything(world: World) -> Iterator[Everything]:
    world.environ |= {"MISSING_ACTION": "notify", **NO_NOTES}
    with FaultyProxy(world.alertmanager.url) as long_up:
        long_up.inject(Rewrite(Uptime()), path=r"/v2/status")
        world.environ["ALERTMANAGER_URL"] = long_up.url
        handed_back, lost = world.fire(), world.fire()
        first = world.silence(handed_back)
        world.run()
        world.silence(lost)
        world.end(lost)
        world.run()
        world.pass_time(16 * MINUTE)
        world.alertmanager.expire_silence(first)
        silenced = world.fire()
        world.silence(silenced)
        missing = world.fire_unheard(started_ago=20 * MINUTE)
        world.irm.forget_requests()
        yield Everything(silenced=silenced, handed_back=handed_back, lost=lost, missing=missing)


def assert_converged(world: World, everything: Everything) -> None:
    """Quiet where Alertmanager is, one page where it is not, and a memory that another run has nothing to add to."""
    assert (world.state(everything.silenced), world.state(everything.lost)) == ("resolved", "resolved")
    assert [(page.state, page.alerts_count) for page in world.pages(everything.handed_back)] == [("firing", 1)]
    assert [(page.state, page.alerts_count) for page in everything.missing_groups(world)] == [("firing", 1)]
    assert world.run().results == ()
    assert {each.alert_group.id for each in world.interventions()} == {everything.silenced.id, everything.lost.id}
    assert {each.is_done for each in world.interventions()} == {True}
    assert (world.mismatches(), world.lease()) == ([], None)


def assert_remembered(world: World, everything: Everything) -> None:
    """What was made quiet pages when its time comes, once."""
    world.expire_silences()
    world.fire_again(everything.lost)
    report = world.run()
    again = world.run()
    assert actions(report) == [("notify", "applied")] * 2
    assert [len(world.pages(group)) for group in (everything.silenced, everything.lost)] == [1, 1]
    assert again.results == ()


def test_run_that_lives_does_all_of_it(
    world: World, everything: Everything, irm_proxy: FaultyProxy, table_proxy: FaultyProxy, tmp_path: Path
) -> None:
    process = DyingRun(world, tmp_path, {"GRAFANA_IRM_URL": irm_proxy.url, "AWS_ENDPOINT_URL": table_proxy.url})
    counting = KillAtWrite(nth=1_000, is_made=True, kill=process.kill)
    for proxy in (irm_proxy, table_proxy):
        proxy.inject(counting)

    process.run()

    assert Counter(counting.writes) == {"PutItem": 1, "TransactWriteItems": 2, "resolve": 2, "webhook": 2}
    assert len(counting.writes) == WRITES
    assert_converged(world, everything)
    assert_remembered(world, everything)


@pytest.mark.parametrize("is_made", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("nth", range(1, WRITES + 1))
def test_run_that_is_killed_at_any_of_its_writes_is_taken_up_by_the_next(
    *,
    world: World,
    everything: Everything,
    irm_proxy: FaultyProxy,
    table_proxy: FaultyProxy,
    tmp_path: Path,
    nth: int,
    is_made: bool,
) -> None:
    process = DyingRun(world, tmp_path, {"GRAFANA_IRM_URL": irm_proxy.url, "AWS_ENDPOINT_URL": table_proxy.url})
    killing = KillAtWrite(nth=nth, is_made=is_made, kill=process.kill)
    for proxy in (irm_proxy, table_proxy):
        proxy.inject(killing)
    process.run()
    for proxy in (irm_proxy, table_proxy):
        proxy.heal()
    assert len(killing.writes) >= nth
    world.end_lease()

    world.run()

    assert_converged(world, everything)
    assert audited_writes(world) >= {
        ("notify", ""),
        ("resolve", everything.silenced.id),
        ("resolve", everything.lost.id),
    }
    assert_remembered(world, everything)


def audited_writes(world: World) -> set[tuple[str, str]]:
    """What the audit trail says was made: a page by its action only."""
    made = [entry for entry in audit(world) if entry.before != entry.after]
    return {(entry.action, entry.target if entry.action == "resolve" else "") for entry in made}


@pytest.mark.parametrize("is_made", [False, True], ids=["before", "after"])
def test_run_that_is_killed_at_its_resolve_hands_back_although_the_silence_ends_meanwhile(
    *, world: World, irm_proxy: FaultyProxy, tmp_path: Path, is_made: bool
) -> None:
    group = world.fire()
    world.silence(group)
    process = DyingRun(world, tmp_path, {"GRAFANA_IRM_URL": irm_proxy.url})
    irm_proxy.inject(KillAtWrite(nth=1, is_made=is_made, kill=process.kill))
    process.run()
    irm_proxy.heal()
    world.expire_silences()
    world.end_lease()

    world.run()

    assert (world.state(group), len(world.pages(group))) == (("resolved", 1) if is_made else ("firing", 0))
    assert world.run().results == ()


def test_page_of_alertmanagers_own_while_a_dead_runs_lease_lasted_and_which_a_person_closed_is_not_repeated(
    world: World, irm_proxy: FaultyProxy, tmp_path: Path
) -> None:
    group = world.fire()
    world.silence(group)
    process = DyingRun(world, tmp_path, {"GRAFANA_IRM_URL": irm_proxy.url}, seconds=600)
    irm_proxy.inject(KillAtWrite(nth=1, is_made=True, kill=process.kill))
    process.run()
    irm_proxy.heal()
    world.expire_silences()
    (told,) = world.irm.receive_webhook(group.alerts[-1].payload, world.integration)
    world.irm.resolve(told.id, by=world.irm.add_user("ann"))
    world.pass_time(11 * MINUTE)
    world.end_lease()

    report = world.run()

    assert (report.results, world.pages(group)) == ((), [world.irm.alert_group(told.id)])


def test_page_of_a_run_that_died_and_which_a_person_closed_is_not_repeated(
    world: World, irm_proxy: FaultyProxy, tmp_path: Path
) -> None:
    group = quiet_although_it_fires(world)
    process = DyingRun(world, tmp_path, {"GRAFANA_IRM_URL": irm_proxy.url})
    irm_proxy.inject(KillAtWrite(nth=1, is_made=True, kill=process.kill))
    process.run()
    irm_proxy.heal()
    (page,) = world.pages(group)
    world.irm.resolve(page.id, by=world.irm.add_user("ann"))
    world.end_lease()

    report = world.run()

    assert (report.results, len(world.pages(group))) == ((), 1)


def test_webhook_of_a_run_that_died_and_that_irm_has_not_processed_yet_is_joined(
    world: World, irm_proxy: FaultyProxy, tmp_path: Path
) -> None:
    """It cannot be known; a second webhook of the same key joins the same alert group, and pages nobody again."""
    group = quiet_although_it_fires(world)
    world.irm.inbound_delay_seconds = None
    process = DyingRun(world, tmp_path, {"GRAFANA_IRM_URL": irm_proxy.url})
    irm_proxy.inject(KillAtWrite(nth=1, is_made=True, kill=process.kill))
    process.run()
    irm_proxy.heal()
    world.end_lease()
    world.irm.process_inbound()
    world.irm.inbound_delay_seconds = 0.0

    world.run()

    assert len(world.pages(group)) == 1


@pytest.mark.parametrize("is_made", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("act", ["silence", "prolong", "lift"])
def test_run_that_is_killed_at_a_silence_is_taken_up_by_the_next(
    *, world: World, irm_proxy: FaultyProxy, tmp_path: Path, act: str, is_made: bool
) -> None:
    world.environ |= {"SILENCED_ACTION": "silence", **NO_NOTES}
    group = world.fire()
    world.silence(group)
    if act != "silence":
        world.run()
    if act == "prolong":
        world.alertmanager.silence({"alertname": str(group.labels["alertname"])}, ends_in=timedelta(hours=3))
    elif act == "lift":
        world.expire_silences()
    process = DyingRun(world, tmp_path, {"GRAFANA_IRM_URL": irm_proxy.url})
    irm_proxy.inject(KillAtWrite(nth=1, is_made=is_made, kill=process.kill))
    process.run()
    irm_proxy.heal()
    world.end_lease()

    world.run()

    until = world.irm.alert_group(group.id).silenced_until
    left = until - world.irm.clock.now() if until else timedelta(0)
    hours = {"silence": 1, "prolong": 3, "lift": 0}[act]
    assert world.state(group) == ("firing" if act == "lift" else "silenced")
    assert abs(left - timedelta(hours=hours, minutes=5 if hours else 0)) < MINUTE
    assert world.run().results == ()
    assert [each.is_done for each in world.interventions()] == ([] if act == "lift" else [True])


# --- a table that cannot be used

REFUSALS = [
    pytest.param(Instead(refusal("ProvisionedThroughputExceededException")), id="throttled"),
    pytest.param(Instead(refusal("AccessDeniedException", Message="no")), id="denied"),
    pytest.param(Instead(refusal("ResourceNotFoundException")), id="no table"),
    pytest.param(Instead(refusal("InternalServerError", status=500)), id="500"),
]


@pytest.mark.parametrize("fault", REFUSALS)
@pytest.mark.parametrize("operation", ["GetItem", "PutItem", "Query", "TransactWriteItems"])
def test_nothing_is_changed_in_irm_if_it_cannot_be_remembered(
    *,
    world: World,
    table_proxy: FaultyProxy,
    monkeypatch: pytest.MonkeyPatch,
    operation: str,
    fault: Fault,
) -> None:
    page, silenced = quiet_although_it_fires(world), world.fire()
    world.silence(silenced)
    world.irm.forget_requests()
    monkeypatch.setenv("AWS_ENDPOINT_URL", table_proxy.url)
    struck = table_proxy.inject(To(operation, fault))

    report = world.run(seconds=6)
    writes = world.irm.writes

    assert (report.status, writes) == (Status.FAILED, ())
    assert "DynamoDB" in report.error or "STATE_TABLE" in report.error
    assert report.message.startswith("nothing was changed")
    assert struck.played
    table_proxy.heal()
    assert (world.lease() is None) == (operation != "TransactWriteItems"), "given back, if that can be written"
    world.end_lease()
    world.run()
    assert (len(world.pages(page)), world.state(silenced)) == (1, "resolved")


def test_table_that_is_gone_fails_the_run_and_changes_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    group = world.fire()
    world.silence(group)
    with closed_port() as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        report = world.run(seconds=6)

    assert (report.status, world.irm.writes, world.state(group)) == (Status.FAILED, (), "firing")
    assert "DynamoDB" in report.error


@pytest.mark.parametrize("fault", REFUSALS)
def test_resolve_that_could_not_be_recorded_is_handed_back_all_the_same(
    *, world: World, table_proxy: FaultyProxy, irm_proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    group = world.fire()
    world.silence(group)
    monkeypatch.setenv("AWS_ENDPOINT_URL", table_proxy.url)
    irm_proxy.inject(ActFirst(lambda: table_proxy.inject(To("TransactWriteItems", fault))), path=ANY_RESOLVE)

    report = world.run({"GRAFANA_IRM_URL": irm_proxy.url}, seconds=8)
    table_proxy.heal()
    world.end_lease()
    world.expire_silences()
    again = world.run()

    assert (report.status, outcomes(report)) == (Status.FAILED, {group.id: "applied"})
    assert "could not be recorded" in report.message
    assert (actions(again), len(world.pages(group))) == ([("notify", "applied")], 1)
    assert world.run().results == ()


def test_page_that_could_not_be_recorded_is_not_repeated(
    world: World, table_proxy: FaultyProxy, irm_proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = quiet_although_it_fires(world)
    monkeypatch.setenv("AWS_ENDPOINT_URL", table_proxy.url)
    denied = Instead(refusal("AccessDeniedException"))
    irm_proxy.inject(ActFirst(lambda: table_proxy.inject(To("TransactWriteItems", denied))), path=INBOUND)
    failed = world.run(seconds=8)
    table_proxy.heal()
    world.end_lease()

    report = world.run()

    assert (failed.status, actions(failed)) == (Status.FAILED, [("notify", "applied")])
    assert (report.results, [page.alerts_count for page in world.pages(group)]) == ((), [1])


@pytest.mark.parametrize("operation", ["GetItem", "PutItem", "Query", "TransactWriteItems"])
@pytest.mark.parametrize(
    "fault", [pytest.param(LoseAnswer(), id="answer lost"), pytest.param(AnswerLate(1), id="late")]
)
def test_answer_of_the_table_that_is_lost_or_late_is_no_failure(
    *, world: World, table_proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch, operation: str, fault: Fault
) -> None:
    group = quiet_although_it_fires(world)
    monkeypatch.setenv("AWS_ENDPOINT_URL", table_proxy.url)
    table_proxy.inject(Nth(operation, 1, fault))

    report = world.run()

    assert (report.status, actions(report)) == (Status.SUCCESS, [("notify", "applied")])
    assert ([page.alerts_count for page in world.pages(group)], world.lease()) == ([1], None)
    assert world.run().results == ()


def test_item_that_another_version_wrote_is_neither_forgotten_nor_keeps_others_waiting(world: World) -> None:
    group, other = world.fire(), world.fire()
    world.silence(group)
    world.silence(other)
    assert outcomes(world.run()) == {group.id: "applied", other.id: "applied"}
    world.expire_silences()
    (item,) = [item for item in world.open_items() if item.get("alert_group", {}).get("id") == group.id]
    world.table().transact([Put({**item, "action": "teleport"}, item["version"])], Deadline(10))

    report = world.run()

    assert (report.status, world.pages(group), len(world.pages(other))) == (Status.PARTIAL, [], 1)
    assert "not as this version writes it" in report.warnings[0]
    assert item["sk"] in {each["sk"] for each in world.open_items()}


def test_many_groups_are_intended_in_several_batches_and_none_is_lost_or_paged_for_twice(
    world: World, table_proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than a transaction takes; and more pages than this service's share of what an integration may receive."""
    world.environ |= NO_NOTES
    world.irm.limits.requests_per_minute = 10_000
    groups = world.fire_many(110)
    world.alertmanager.silence({"instance": "a"})
    monkeypatch.setenv("AWS_ENDPOINT_URL", table_proxy.url)
    table_proxy.inject(Nth("TransactWriteItems", 2, Instead(refusal("AccessDeniedException"))))

    failed = world.run(force=True)
    states = {world.state(group) for group in groups}
    table_proxy.heal()
    resolved = world.run(force=True)
    world.expire_silences()
    reports = [world.run() for _ in range(3)]

    assert (failed.status, states) == (Status.FAILED, {"firing"})
    assert (resolved.status, {world.state(group) for group in groups}) == (Status.SUCCESS, {"resolved"})
    assert [report.handed_back for report in reports] == [60, 50, 0]
    assert [len(world.pages(group)) for group in groups] == [1] * 110
    assert len(world.posted()) == 110


@dataclass
class Nth:
    """A fault that strikes the nth request of an operation only."""

    operation: str
    nth: int
    fault: Fault
    seen: int = 0

    def play(self, exchange: Exchange) -> None:
        self.seen += operation_of(exchange.request) == self.operation
        if self.seen == self.nth and operation_of(exchange.request) == self.operation:
            self.fault.play(exchange)
        else:
            exchange.connection.send(exchange.forward())


# --- those who are told


@pytest.mark.parametrize("fault", [*REFUSALS[1:2], *REFUSALS[3:], pytest.param(LoseAnswer(), id="lost")])
def test_event_bus_and_scheduler_that_fail_are_warnings(
    *, world: World, dynamodb: DynamoDb, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    group, ending = quiet_although_it_fires(world), world.fire()
    world.alertmanager.silence({"alertname": str(ending.labels["alertname"])}, ends_in=2 * MINUTE)
    told = {
        "EVENT_BUS": "default",
        "WAKE_UP_GROUP": "alert-sync",
        "WAKE_UP_ROLE_ARN": "arn:aws:iam::123456789012:role/wake-up",
    }
    with FaultyProxy(dynamodb.url) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_EVENTBRIDGE", proxy.url)
        monkeypatch.setenv("AWS_ENDPOINT_URL_SCHEDULER", proxy.url)
        proxy.inject(fault)
        report = world.run(told, function_arn="arn:aws:lambda:eu-west-1:123456789012:function:f", seconds=12)

    assert (report.status, outcomes(report)) == (Status.SUCCESS, {group.id: "applied", ending.id: "applied"})
    assert [("event" in warning, "wake-up" in warning) for warning in report.warnings] == [(False, True), (True, False)]
    assert world.lease() is None
    assert world.run().results == ()


def test_run_that_quietens_is_followed_by_a_wake_up_at_the_silences_end(
    world: World, dynamodb: DynamoDb, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = world.fire()
    world.alertmanager.silence({"alertname": str(group.labels["alertname"])}, ends_in=2 * MINUTE)
    told = {"WAKE_UP_GROUP": "alert-sync", "WAKE_UP_ROLE_ARN": "arn:aws:iam::123456789012:role/wake-up"}
    with FaultyProxy(dynamodb.url) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SCHEDULER", proxy.url)
        proxy.inject(Instead(refusal("ConflictException", status=409)))
        arn = "arn:aws:lambda:eu-west-1:123456789012:function:f"
        reports = [world.run(told, function_arn=arn) for _ in range(2)]
        asked = [(request.method, request.path) for request in proxy.requests]

    assert [report.warnings for report in reports] == [(), ()], "it is there already"
    assert len(asked) == 2
    assert len(set(asked)) == 1, "the second run asks for the same one"
    assert asked[0][1].startswith("/schedules/wake-up-")


# --- a person's word


def ignore(world: World, verdict: Verdict) -> None:
    (mismatch,) = [mismatch for mismatch in world.mismatches() if mismatch.type is verdict]
    decision = Decision(status=ResolutionStatus.IGNORED, notes="leave it", who="ann", at=datetime.now(UTC))
    archive(world).resolve_mismatch(mismatch.id, decision, deadline=Deadline(10))


def test_ignored_silenced_group_is_left_alone_until_its_silences_change(world: World) -> None:
    group = world.fire()
    world.silence(group)
    world.run({"SILENCED_ACTION": "report"})
    ignore(world, Verdict.SILENCED)

    ignored = world.run()
    state = world.state(group)
    world.silence(group, instance="a")
    changed = world.run()

    assert (ignored.results, verdicts(ignored), state) == ((), {group.id: "silenced"}, "firing")
    assert ignored.plan is not None
    assert "a person said to ignore it" in ignored.plan.kept[0].reason
    assert outcomes(changed) == {group.id: "applied"}


def test_ignored_hand_back_is_not_made_until_another_alert_fires(world: World) -> None:
    group = quiet_although_it_fires(world)
    world.run(dry_run=True)
    ignore(world, Verdict.FIRING)

    ignored = world.run()
    before = list(world.pages(group))
    world.fire_again(group, "b")
    changed = world.run()

    assert (ignored.results, before) == ((), [])
    assert (actions(changed), len(world.pages(group))) == ([("notify", "applied")], 1)


def test_ignored_lost_resolve_is_left_open(world: World) -> None:
    with FaultyProxy(world.alertmanager.url) as long_up:
        long_up.inject(Rewrite(Uptime()), path=r"/v2/status")
        world.environ["ALERTMANAGER_URL"] = long_up.url
        group = world.fire()
        world.run()
        world.silence(group)
        world.end(group)
        world.run()
        ignore(world, Verdict.GONE)
        world.pass_time(16 * MINUTE)

        report = world.run()

    assert (verdicts(report), world.state(group)) == ({group.id: "gone"}, "firing")


def test_ignored_missing_group_is_not_paged_for_even_after_a_run_that_could_not_ask(
    world: World, irm_proxy: FaultyProxy
) -> None:
    world.fire()
    webhook = world.fire_unheard(started_ago=20 * MINUTE)
    world.run()
    ignore(world, Verdict.MISSING)
    notify = {"MISSING_ACTION": "notify"}
    rule = irm_proxy.inject(status(500), path=r"state=resolved")
    world.run({**notify, "GRAFANA_IRM_URL": irm_proxy.url})
    irm_proxy.heal()

    ignored = world.run(notify)
    before = list(world.posted())
    labels = webhook["alerts"][0]["labels"]
    world.alertmanager.post_alerts({**labels, "instance": "b"}, started_ago=20 * MINUTE)
    wait_for(
        lambda: any(
            len(each["alerts"]) == 2
            for each in world.alertmanager.groups()
            if each["labels"]["alertname"] == labels["alertname"]
        ),
        what="both alerts in one aggregation group",
    )
    changed = world.run(notify)

    assert rule.played
    assert (ignored.results, before) == ((), [])
    assert actions(changed) == [("notify", "applied")]


def test_decision_of_a_person_during_a_run_is_not_overwritten(world: World, irm_proxy: FaultyProxy) -> None:
    group = world.fire()
    world.silence(group)
    world.run({"SILENCED_ACTION": "report"})
    irm_proxy.inject(ActFirst(lambda: ignore(world, Verdict.SILENCED)), path=LIST, nth=1)

    world.run({"GRAFANA_IRM_URL": irm_proxy.url, "SILENCED_ACTION": "report"})

    assert [mismatch.resolution_status for mismatch in world.mismatches()] == [ResolutionStatus.IGNORED]
    assert world.lease() is None
