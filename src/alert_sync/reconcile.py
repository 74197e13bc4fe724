"""One run: gather, plan, check, apply, report. Everything is read before anything is written."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from alert_sync.alertmanager import AlertmanagerClient
from alert_sync.apply import FRESH_SECONDS, Applier, Freshness
from alert_sync.deadline import Deadline
from alert_sync.errors import EventError, ReconcilerError, UnsafePlanError
from alert_sync.inbound import InboundClient
from alert_sync.irm import IrmClient
from alert_sync.model import (
    AlertGroupState,
    AlertmanagerSnapshot,
    Change,
    ChangeResult,
    Finding,
    IrmSnapshot,
    Outcome,
    Plan,
    SilencedAction,
    Verdict,
)
from alert_sync.plan import check_plan, make_plan
from alert_sync.report import Report, Status, Trigger
from alert_sync.settings import Settings
from alert_sync.writers import ApiWriter, IntegrationWriter, Writer


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What one invocation asks for. `force` lifts the guards for this run only."""

    run_id: str
    trigger: Trigger
    dry_run: bool = False
    force: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciler:
    """Both systems and the settings. Without `inbound`, resolves go through IRM's API.

    `fresh_seconds` is how old the look at Alertmanager may be when a change is sent.
    """

    alertmanager: AlertmanagerClient
    irm: IrmClient
    inbound: InboundClient | None
    settings: Settings
    writers: int
    fresh_seconds: float = FRESH_SECONDS

    def run(self, request: RunRequest, deadline: Deadline) -> Report:
        """Carry out one run. Foreseen failures are reported, not raised."""
        begun = time.monotonic()
        report = empty_report(request, self.settings)
        try:
            report = self._run(request, report, deadline)
        except ReconcilerError as error:
            report = failed_report(report, error)
        return replace(report, duration_seconds=time.monotonic() - begun)

    def explain(self, alert_group_id: str, deadline: Deadline) -> tuple[Finding, Change | None]:
        """The verdict on one alert group, and the change that a run would make.

        Raises:
            EventError: the alert group is resolved already.
            UpstreamError: one of the systems could not be read.
        """
        group = self.irm.read_alert_group(alert_group_id, deadline)
        if group.state is AlertGroupState.RESOLVED:
            raise EventError(f"alert group {group.id} is resolved: a run looks at open ones only")
        plan = self._plan(IrmSnapshot(alert_groups=(group,)), self.alertmanager.read(deadline))
        if plan.changes:
            return plan.changes[0].finding, plan.changes[0]
        return plan.kept[0], None

    def _run(self, request: RunRequest, report: Report, deadline: Deadline) -> Report:
        # IRM first: the look at Alertmanager, which decides, is then as fresh as can be.
        irm = self.irm.read(deadline, now=datetime.now(UTC))
        looked_at = time.monotonic()
        alertmanager = self.alertmanager.read(deadline)
        plan = self._plan(irm, alertmanager)
        report = replace(
            report,
            plan=plan,
            alerts_fetched=_count_alerts(alertmanager),
            alert_groups_examined=len(irm.alert_groups) + irm.unreadable,
            results=tuple(ChangeResult(change=change, outcome=Outcome.PLANNED) for change in plan.changes),
            warnings=plan.distrust,
        )
        try:
            if not request.force:
                check_plan(plan, self.settings.policy)
        except UnsafePlanError as error:
            return replace(
                report, status=Status.REFUSED, message="nothing was changed: the plan is refused", error=str(error)
            )
        if report.dry_run or self.settings.policy.silenced_action is SilencedAction.REPORT:
            return replace(report, message=_planned_message(report))
        return self._applied(report, plan, irm, deadline, looked_at=looked_at)

    def _plan(self, irm: IrmSnapshot, alertmanager: AlertmanagerSnapshot) -> Plan:
        return make_plan(alertmanager, irm, self.settings.policy, now=datetime.now(UTC))

    def _writer(self, irm: IrmSnapshot) -> Writer:
        """Silencing is the API's alone: no webhook of Alertmanager's means it."""
        resolves = self.settings.policy.silenced_action is SilencedAction.RESOLVE
        return IntegrationWriter(self.inbound, irm) if self.inbound and resolves else ApiWriter(self.irm)

    def _applied(self, report: Report, plan: Plan, irm: IrmSnapshot, deadline: Deadline, *, looked_at: float) -> Report:
        if not plan.changes:
            return replace(report, message=_applied_message(report))
        applier = Applier(
            irm=self.irm,
            writer=self._writer(irm),
            freshness=Freshness(
                plan,
                lambda: self._plan(irm, self.alertmanager.read(deadline)),
                looked_at=looked_at,
                fresh_seconds=self.fresh_seconds,
            ),
            deadline=deadline,
            threads=min(self.writers, len(plan.changes)),
        )
        results = applier.apply(plan.changes)
        warnings = applier.add_notes(results, report.run_id) if self.settings.resolution_notes else ()
        status = Status.FAILED if applier.was_refused else status_of(results)
        report = replace(report, results=results, status=status, warnings=(*report.warnings, *warnings))
        return replace(report, message=_applied_message(report), error=_first_error(report))


def empty_report(request: RunRequest, settings: Settings | None) -> Report:
    """A report of which everything that happens later is still missing."""
    return Report(
        run_id=request.run_id,
        trigger=request.trigger,
        status=Status.SUCCESS,
        message="",
        dry_run=request.dry_run or (settings is not None and settings.dry_run),
        started_at=datetime.now(UTC),
    )


def failed_report(report: Report, error: ReconcilerError) -> Report:
    """The report of a run that ended before anything was written."""
    return replace(report, status=Status.FAILED, message="nothing was changed: the run failed", error=str(error))


def status_of(results: Sequence[ChangeResult]) -> Status:
    """Success if nothing failed or was put off; failed if every attempted change failed; partial between them."""
    counts = Counter(result.outcome for result in results)
    if not counts[Outcome.FAILED] and not counts[Outcome.DEFERRED]:
        return Status.SUCCESS
    worked = counts[Outcome.APPLIED] + counts[Outcome.ALREADY]
    return Status.FAILED if counts[Outcome.FAILED] and not worked else Status.PARTIAL


def _count_alerts(alertmanager: AlertmanagerSnapshot) -> int:
    groups = (group for peer in alertmanager.peers for group in peer.aggregation_groups)
    return len({alert.fingerprint for group in groups for alert in group.alerts})


def _planned_message(report: Report) -> str:
    why = "dry run" if report.dry_run else "SILENCED_ACTION=report"
    return f"inconsistencies: {report.inconsistencies_found} found; nothing was changed ({why})"


def _applied_message(report: Report) -> str:
    counts = {
        "found": report.inconsistencies_found,
        "resolved": report.inconsistencies_resolved,
        "failed": report.count(Outcome.FAILED),
        "deferred": report.count(Outcome.DEFERRED),
        "lost resolves (reported only)": report.kept[Verdict.GONE],
    }
    return "inconsistencies: " + ", ".join(f"{n} {name}" for name, n in counts.items() if n or name == "found")


def _first_error(report: Report) -> str:
    errors = [result.error for result in report.results if result.outcome is Outcome.FAILED]
    return errors[0] if errors and report.status is Status.FAILED else ""
