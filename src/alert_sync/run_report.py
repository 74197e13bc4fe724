"""How the report of a run comes about: its status, its message and its error. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from alert_sync.errors import ReconcilerError
from alert_sync.model import ChangeResult, Outcome, Plan, SilencedAction, Verdict
from alert_sync.plan import Refusal
from alert_sync.report import Report, Status
from alert_sync.settings import Settings


def with_refusals(report: Report, refusals: Sequence[Refusal]) -> Report:
    """The report, with what the guards refused."""
    if not refusals:
        return report
    reasons = {id(change): refusal.reason for refusal in refusals for change in refusal.changes}
    results = tuple(replace(each, error=reasons.get(id(each.change), "")) for each in report.results)
    error = " ".join(refusal.reason for refusal in refusals)
    return replace(report, results=results, status=Status.REFUSED, error=error)


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


def unapplied_message(report: Report, settings: Settings, plan: Plan, refusals: Sequence[Refusal]) -> str:
    if refusals:
        return "nothing was changed: the plan is refused"
    only_reports = settings.policy.silenced_action is SilencedAction.REPORT
    if not report.dry_run and not plan.changes and not only_reports:
        return applied_message(report)
    why = "dry run" if report.dry_run else "SILENCED_ACTION=report" if only_reports else "only reported"
    return f"inconsistencies: {report.inconsistencies_found} found; nothing was changed ({why})"


def applied_message(report: Report) -> str:
    counts = {
        "found": report.inconsistencies_found,
        "resolved": report.inconsistencies_resolved - report.handed_back,
        "paged again": report.handed_back,
        "failed": report.count(Outcome.FAILED),
        "deferred": report.inconsistencies_deferred,
        "lost resolves (left open)": report.kept[Verdict.GONE],
    }
    return "inconsistencies: " + ", ".join(f"{n} {name}" for name, n in counts.items() if n or name == "found")


def first_error(report: Report) -> str:
    errors = [result.error for result in report.results if result.outcome is Outcome.FAILED]
    return errors[0] if errors and report.status is Status.FAILED else ""
