"""One run: gather, plan, check, apply, report.

Everything is read before anything is written, and what is about to be written to IRM is remembered first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from alert_sync.alertmanager import AlertmanagerClient
from alert_sync.apply import FRESH_SECONDS, Applier, Freshness, not_sent
from alert_sync.bookkeeping import Bookkeeping, books_of, intentions, job_of_dead, job_of_report, job_of_skipped
from alert_sync.conditions import changed_conditions, conditions_after
from alert_sync.counters import counted, counted_dead
from alert_sync.deadline import Deadline
from alert_sync.errors import EventError, ReconcilerError, RunInProgressError
from alert_sync.event_bus import EventBus
from alert_sync.inbound import InboundClient
from alert_sync.irm import IrmClient
from alert_sync.memory.ledger import Begun, Memory
from alert_sync.missing import known_receivers
from alert_sync.model import (
    Action,
    AlertmanagerSnapshot,
    Change,
    ChangeResult,
    Finding,
    IrmSnapshot,
    Outcome,
    Plan,
)
from alert_sync.plan import Refusal, check_plan, make_plan
from alert_sync.recall import Intervention, Lease, Recall, key_of, new_id
from alert_sync.report import Report, Status, Trigger
from alert_sync.run_report import (
    applied_message,
    failed_report,
    first_error,
    status_of,
    unapplied_message,
    with_refusals,
)
from alert_sync.settings import Settings
from alert_sync.told import read_told
from alert_sync.wake_up import WakeUp, next_wake_up
from alert_sync.writers import ApiWriter, IntegrationWriter, PagingWriter, Writer, WriterOfEach

# For writing down what became of a run, telling it, and the next wake-up.
FINISH_SECONDS = 4.0
TELL_SECONDS = 5.0
# The table answers in milliseconds; without it a run must not use up the time of its answer.
RECALL_SECONDS = 10.0
_ROUNDS_OF_QUESTIONS = 2
_DECIDED = "somebody has decided about it since this run began: the next run looks again"
# A run that is still writing when its lease ends would not be alone.
_LEASE_GRACE = timedelta(seconds=30)


def wall_clock() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What one invocation asks for. `force` lifts the guards for this run only.

    `job_id`: a job that was queued. `who`: the ARN of whoever asked, if that is known.
    """

    run_id: str
    trigger: Trigger
    dry_run: bool = False
    force: bool = False
    job_id: str = ""
    who: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciler:
    """Both systems, the settings and the memory. Without `inbound`, resolves go through IRM's API.

    `pager` is the way in which IRM is made to page again. `fresh_seconds` is how old the look at Alertmanager may be
    when a change is sent. `clock` and `pause` are the world's time, and a wait in it.
    """

    alertmanager: AlertmanagerClient
    irm: IrmClient
    inbound: InboundClient | None
    pager: InboundClient
    settings: Settings
    memory: Memory
    event_bus: EventBus
    wake_up: WakeUp
    writers: int
    fresh_seconds: float = FRESH_SECONDS
    clock: Callable[[], datetime] = wall_clock
    pause: Callable[[float], None] = time.sleep

    def run(self, request: RunRequest, deadline: Deadline) -> Report:
        """Carry out one run. Foreseen failures are reported, not raised."""
        begun_at, now = time.monotonic(), self.clock()
        report = empty_report(request, self.settings, now=now)
        lease = _lease(report, request, deadline, now)
        report = replace(report, has_memory=bool(self.settings.state_table))
        try:
            begun = self.memory.begin(lease, deadline.within(RECALL_SECONDS), now=now)
        except RunInProgressError as error:
            return self._skipped(report, lease, error, deadline)
        except ReconcilerError as error:
            return replace(failed_report(report, error), duration_seconds=time.monotonic() - begun_at)
        course = _Course(self, request, begun, deadline)
        report, failure = course.report(replace(report, job_id=lease.job_id if report.has_memory else ""))
        report = replace(report, duration_seconds=time.monotonic() - begun_at)
        return course.finished(report, failure)

    def explain(self, alert_group_id: str, deadline: Deadline) -> tuple[Finding, Change | None]:
        """The verdict on one alert group, and the change that a run would make.

        Raises:
            EventError: the alert group is resolved already.
            UpstreamError: one of the systems could not be read.
        """
        group = self.irm.read_alert_group(alert_group_id, deadline)
        if not group.is_open:
            raise EventError(f"alert group {group.id} is resolved: a run looks at open ones only")
        plan = make_plan(
            self.alertmanager.read(deadline),
            IrmSnapshot(alert_groups=(group,)),
            self.settings.policy,
            now=self.clock(),
            recall=replace(self.memory.recall(deadline), receivers={}),
        )
        own = [change for change in plan.changes if change.finding.alert_group.id == group.id]
        return (own[0].finding, own[0]) if own else (plan.kept[0], None)

    def _skipped(self, report: Report, lease: Lease, error: RunInProgressError, deadline: Deadline) -> Report:
        report = replace(report, status=Status.SKIPPED, message=f"skipped: {error}", running_job_id=error.job_id)
        try:
            self.memory.skip(job_of_skipped(report, lease, now=self.clock()), deadline)
        except ReconcilerError as failure:
            return replace(report, warnings=(f"the skipped job could not be recorded: {failure}",))
        return report


@dataclass
class _Course:
    """One run that holds the lease, from its first read to its last write."""

    service: Reconciler
    request: RunRequest
    begun: Begun
    deadline: Deadline
    recall: Recall = field(default_factory=Recall)
    irm: IrmSnapshot = field(default_factory=lambda: IrmSnapshot(alert_groups=()))
    told: Mapping[str, str] = field(default_factory=dict)
    intended: Mapping[str, Intervention] = field(default_factory=dict)

    def __post_init__(self) -> None:
        reserve = FINISH_SECONDS if self.service.settings.state_table else 0.0
        self.work = self.deadline.within(max(0.0, self.deadline.remaining() - reserve))

    def report(self, report: Report) -> tuple[Report, ReconcilerError | None]:
        """What this run does, and what ended it early if something did."""
        try:
            return self._run(report), None
        except ReconcilerError as error:
            return failed_report(report, error), error

    def finished(self, report: Report, failure: ReconcilerError | None) -> Report:
        """The report, once the run is written down and told."""
        now, head, died = self.service.clock(), self.begun.head, self.begun.died
        counters = counted_dead(head.counters, died) if died else head.counters
        counters = counted(counters, report)
        conditions = conditions_after(head.conditions, report, failure, counters, now=now)
        jobs = [job_of_report(report, self.begun.lease, now=now), *([job_of_dead(died, now=now)] if died else [])]
        ended = replace(head, counters=counters, conditions=conditions)
        try:
            books = self._books(report, now)
            self.service.memory.finish(self.begun, ended, jobs, books, self.deadline, recall=self.recall)
        except ReconcilerError as error:
            self.service.event_bus.publish(report, (), self.deadline.within(TELL_SECONDS))
            message = f"{report.message}; it could not be recorded, so the next run finds out from IRM"
            return replace(report, status=Status.FAILED, message=message, error=report.error or str(error))
        # Without memory nobody knows what they were before.
        changed = changed_conditions(head.conditions, conditions) if report.has_memory else ()
        woken = self._wake_up(report, now)
        told = self.service.event_bus.publish(report, changed, self.deadline.within(TELL_SECONDS))
        warnings = (*woken, *told)
        return replace(report, warnings=(*report.warnings, *warnings))

    def _books(self, report: Report, now: datetime) -> Bookkeeping:
        if report.plan is None or not self.recall.is_on:
            return Bookkeeping()
        receivers = known_receivers(self.recall, self.irm, report.plan.seen | self.recall.seen, now=now)
        return books_of(
            self.recall,
            report.plan,
            self.intended,
            report,
            irm=self.irm,
            receivers=receivers,
            job_id=self.begun.lease.job_id,
            forced_by=(self.request.who or self.request.trigger.value) if self.request.force else "",
            dead_run_id=self.begun.died.run_id if self.begun.died else "",
            now=now,
        )

    def _wake_up(self, report: Report, now: datetime) -> tuple[str, ...]:
        """One run more, at the first end of a silence before the next scheduled run."""
        own = (each.covered_until for each in self.intended.values() if each.covered_until is not None)
        ends = [*own, *(report.plan.silence_ends if report.plan else ())]
        moment = next_wake_up(ends, now=now, interval=self.service.settings.policy.interval)
        warning = self.service.wake_up.at(moment, self.deadline) if moment and not report.dry_run else ""
        return (warning,) if warning else ()

    def _run(self, report: Report) -> Report:
        self.recall = self.service.memory.recall(self.work.within(RECALL_SECONDS))
        # IRM before Alertmanager: the look at Alertmanager, which decides, is then as fresh as can be.
        self.irm = self.service.irm.read(self.work, now=self.service.clock())
        looked_at = time.monotonic()
        alertmanager = self.service.alertmanager.read(self.work)
        plan, faults = self._plan(alertmanager)
        report = replace(
            report,
            plan=plan,
            alerts_fetched=_count_alerts(alertmanager),
            alert_groups_examined=len(self.irm.alert_groups) + self.irm.unreadable,
            results=tuple(ChangeResult(change=change, outcome=Outcome.PLANNED) for change in plan.changes),
            warnings=(*plan.distrust, *self.recall.warnings, *faults),
        )
        report = replace(report, status=self._status(Status.SUCCESS, report))
        refusals = () if self.request.force else check_plan(plan, self.service.settings.policy)
        report = with_refusals(report, refusals)
        refused = {id(change) for refusal in refusals for change in refusal.changes}
        wanted = [each for each in plan.changes if each.action is not Action.REPORT and id(each) not in refused]
        if report.dry_run or not wanted:
            return replace(report, message=unapplied_message(report, self.service.settings, plan, refusals))
        return self._applied(report, plan, wanted, refusals, looked_at=looked_at)

    def _plan(self, alertmanager: AlertmanagerSnapshot) -> tuple[Plan, tuple[str, ...]]:
        """The plan, after IRM was asked what it needs to know; and what could not be found out."""
        plan = self._planned(alertmanager, told=None)
        faults: tuple[str, ...] = ()
        # Half of the time: what is answered must still be done.
        asking = self.work.within(self.work.remaining() / 2)
        # An answer may end our concern for an alert group, which is then one that IRM may be missing: another question.
        for _ in range(_ROUNDS_OF_QUESTIONS if plan.questions else 0):
            told, faults = read_told(self.service.irm, plan.questions, asking, now=self.service.clock())
            self.told = {**self.told, **told}
            plan = self._planned(alertmanager, told=self.told)
            if not plan.questions or faults:
                break
        return plan, faults

    def _planned(self, alertmanager: AlertmanagerSnapshot, *, told: Mapping[str, str] | None) -> Plan:
        policy = self.service.settings.policy
        return make_plan(alertmanager, self.irm, policy, now=self.service.clock(), recall=self.recall, told=told)

    def _writer(self) -> Writer:
        """Silencing is the API's alone: no webhook of Alertmanager's means it."""
        service, api = self.service, ApiWriter(self.service.irm)
        return WriterOfEach(
            paging=PagingWriter(service.pager, service.irm, service.alertmanager.read_firing),
            resolving=IntegrationWriter(service.inbound, self.irm) if service.inbound else api,
            silencing=api,
        )

    def _status(self, status: Status, report: Report) -> Status:
        """No success as long as something that is owed could not be found out or read."""
        is_in_doubt = report.undecided or self.recall.unreadable
        return Status.PARTIAL if status is Status.SUCCESS and is_in_doubt else status

    def _applied(
        self, report: Report, plan: Plan, wanted: Sequence[Change], refusals: Sequence[Refusal], *, looked_at: float
    ) -> Report:
        service, now = self.service, self.service.clock()
        intended = intentions(self.recall, wanted, self.begun.lease, now=now)
        self.intended = service.memory.intend(self.begun, intended, self.work, recall=self.recall)
        unwritten = [change for change in wanted if key_of(change.finding.alert_group) not in self.intended]
        applied = {id(change): not_sent(change, _DECIDED) for change in unwritten}
        wanted = [change for change in wanted if id(change) not in applied]
        applier = Applier(
            irm=service.irm,
            writer=self._writer(),
            freshness=Freshness(
                plan,
                lambda: self._planned(service.alertmanager.read(self.work), told=self.told),
                looked_at=looked_at,
                fresh_seconds=service.fresh_seconds,
            ),
            deadline=self.work,
            threads=max(1, min(service.writers, len(wanted))),
            pause=service.pause,
        )
        applied |= zip(map(id, wanted), applier.apply(wanted), strict=True)
        results = tuple(applied.get(id(result.change), result) for result in report.results)
        notes = service.settings.resolution_notes
        warnings = applier.add_notes(list(applied.values()), report.run_id) if notes else ()
        status = Status.FAILED if applier.was_refused else status_of(results)
        status = Status.REFUSED if refusals else self._status(status, report)
        report = replace(report, results=results, status=status, warnings=(*report.warnings, *warnings))
        return replace(report, message=applied_message(report), error=report.error or first_error(report))


def _lease(report: Report, request: RunRequest, deadline: Deadline, now: datetime) -> Lease:
    return Lease(
        job_id=request.job_id or new_id(now, request.run_id),
        run_id=request.run_id,
        trigger=request.trigger.value,
        started_at=now,
        expires_at=now + timedelta(seconds=deadline.remaining()) + _LEASE_GRACE,
        dry_run=report.dry_run,
        was_queued=bool(request.job_id),
    )


def empty_report(request: RunRequest, settings: Settings | None, *, now: datetime | None = None) -> Report:
    """A report of which everything that happens later is still missing."""
    return Report(
        run_id=request.run_id,
        trigger=request.trigger,
        status=Status.SUCCESS,
        message="",
        dry_run=request.dry_run or (settings is not None and settings.dry_run),
        started_at=now or wall_clock(),
    )


def _count_alerts(alertmanager: AlertmanagerSnapshot) -> int:
    groups = (group for peer in alertmanager.peers for group in peer.aggregation_groups)
    return len({alert.fingerprint for group in groups for alert in group.alerts})
