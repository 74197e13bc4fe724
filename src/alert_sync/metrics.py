"""The CloudWatch metrics: every name, unit and meaning. Nothing else emits any.

All are emitted by every run, 0 included, as one EMF document on standard output. The only dimension is `service`,
whose value is the stack's name, so that two stacks in one account never mix.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from aws_lambda_powertools import Metrics
from aws_lambda_powertools.metrics import MetricUnit

from alert_sync.model import Outcome
from alert_sync.report import Report, Status

NAMESPACE = "AlertmanagerAlertSync"
DEFAULT_SERVICE = "alertmanager-alert-sync"

METRICS: Mapping[str, MetricUnit] = MappingProxyType(
    {
        # 1 per run.
        "ReconciliationTotal": MetricUnit.Count,
        # 1 if the run failed or was refused.
        "ReconciliationFailures": MetricUnit.Count,
        "ReconciliationDuration": MetricUnit.Milliseconds,
        # Silenced alert groups in the states that are touched, lost resolves, missing ones, and those to page again.
        "InconsistenciesFound": MetricUnit.Count,
        "InconsistenciesResolved": MetricUnit.Count,
        "InconsistenciesFailedResolve": MetricUnit.Count,
        # Put off to the next run: no time or no request budget was left.
        "InconsistenciesDeferred": MetricUnit.Count,
        # When the run began, in Unix seconds.
        "LastReconciliationTimestamp": MetricUnit.Seconds,
        # 1 for success and partial, else 0.
        "LastReconciliationSuccess": MetricUnit.Count,
        # 1 if the guards refused the plan.
        "PlansRefused": MetricUnit.Count,
        "AlertsFetched": MetricUnit.Count,
        "AlertGroupsExamined": MetricUnit.Count,
        # Alert groups whose alerts are all gone from Alertmanager; part of InconsistenciesFound.
        "LostResolves": MetricUnit.Count,
        # Alert groups that IRM pages for again because of this run: their silences have ended.
        "HandBacks": MetricUnit.Count,
        # Aggregation groups that fire and have no alert group in IRM; part of InconsistenciesFound.
        "MissingAlertGroups": MetricUnit.Count,
        # 1 if another run was in progress; then all others but IrmRequests and ColdStart are left out.
        "RunsSkipped": MetricUnit.Count,
        "IrmRequests": MetricUnit.Count,
        # 1 if this run was the first of its execution environment.
        "ColdStart": MetricUnit.Count,
    }
)


def emit(report: Report, *, irm_requests: int, is_cold_start: bool) -> None:
    """Write one run's metrics."""
    metrics = Metrics(namespace=NAMESPACE)
    if not metrics.service:
        metrics.service = DEFAULT_SERVICE
    for name, value in _values(report, irm_requests=irm_requests, is_cold_start=is_cold_start).items():
        metrics.add_metric(name=name, unit=METRICS[name], value=value)
    metrics.add_metadata(key="run_id", value=report.run_id)
    metrics.flush_metrics()


def _values(report: Report, *, irm_requests: int, is_cold_start: bool) -> dict[str, float]:
    if report.status is Status.SKIPPED:
        # A run that was none must not look like a success, nor like a failure.
        return {"RunsSkipped": 1, "IrmRequests": irm_requests, "ColdStart": int(is_cold_start)}
    has_failed = report.has_failed
    return {
        "ReconciliationTotal": 1,
        "ReconciliationFailures": int(has_failed),
        "ReconciliationDuration": round(report.duration_seconds * 1000),
        "InconsistenciesFound": report.inconsistencies_found,
        "InconsistenciesResolved": report.inconsistencies_resolved,
        "InconsistenciesFailedResolve": report.count(Outcome.FAILED),
        "InconsistenciesDeferred": report.inconsistencies_deferred,
        "LastReconciliationTimestamp": round(report.started_at.timestamp()),
        "LastReconciliationSuccess": int(not has_failed),
        "PlansRefused": int(report.status is Status.REFUSED),
        "AlertsFetched": report.alerts_fetched,
        "AlertGroupsExamined": report.alert_groups_examined,
        "LostResolves": report.lost_resolves,
        "HandBacks": report.handed_back,
        "MissingAlertGroups": report.missing,
        "RunsSkipped": 0,
        "IrmRequests": irm_requests,
        "ColdStart": int(is_cold_start),
    }
