"""What a run leaves in the log: one line per change, one for each alert group worth a look, one summary."""

from __future__ import annotations

from aws_lambda_powertools import Logger

from alert_sync.model import Finding, Outcome, Verdict
from alert_sync.report import Report, change_row, group_row

# A log event may be 256 kB; the lines before the summary name every change.
_CHANGES_IN_SUMMARY = 200
_KEPT_LINES = 50
_WORTH_A_LOOK = (Verdict.GONE, Verdict.UNKNOWN)


def log_run(logger: Logger, report: Report) -> None:
    """Write the lines. Fields are named as in the report."""
    for result in report.results:
        write = logger.warning if result.outcome in (Outcome.FAILED, Outcome.DEFERRED) else logger.info
        write("Alert group change", extra={"run_id": report.run_id, "dry_run": report.dry_run, **change_row(result)})
    kept = [finding for finding in report.plan.kept if finding.verdict in _WORTH_A_LOOK] if report.plan else []
    for finding in kept[:_KEPT_LINES]:
        logger.info("Alert group kept", extra={"run_id": report.run_id, **_kept_row(finding)})
    if len(kept) > _KEPT_LINES:
        logger.info("More alert groups kept", run_id=report.run_id, count=len(kept) - _KEPT_LINES)
    summarize = logger.error if report.has_failed else logger.info
    summarize("Reconciliation finished", report=report.as_dict(most_changes=_CHANGES_IN_SUMMARY))


def _kept_row(finding: Finding) -> dict[str, str]:
    return {**group_row(finding.alert_group), "verdict": finding.verdict.value, "reason": finding.reason}
