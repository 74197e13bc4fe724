"""How one finished run changes the numbers that are kept over all runs. Pure.

Each run is counted once, by what its report says, and counts the same in CloudWatch (metrics.py): failed and refused
runs are failures, a dry run is a run. A run that was skipped is none.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace

from alert_sync.model import Outcome
from alert_sync.recall import DURATION_BUCKETS, Counters, Lease
from alert_sync.report import Report, Status


def counted(counters: Counters, report: Report) -> Counters:
    """The counters with this run in them.

    A run that could not read both systems found nothing out, so the number of inconsistencies stays that of the run
    before. Moments are those when a run began: what it knows is no younger.
    """
    if report.status is Status.SKIPPED:
        return counters
    has_failed, began = report.has_failed, report.started_at.timestamp()
    return replace(
        _with_duration(counters, report.duration_seconds),
        reconciliations=counters.reconciliations + 1,
        failures=counters.failures + has_failed,
        resolved=counters.resolved + report.inconsistencies_resolved,
        failed_resolves=counters.failed_resolves + report.count(Outcome.FAILED),
        handed_back=counters.handed_back + report.handed_back,
        inconsistencies_found=counters.inconsistencies_found if report.plan is None else report.inconsistencies_found,
        last_timestamp=began,
        last_success=not has_failed,
        last_success_timestamp=counters.last_success_timestamp if has_failed else began,
        failures_in_a_row=counters.failures_in_a_row + 1 if has_failed else 0,
    )


def counted_dead(counters: Counters, lease: Lease) -> Counters:
    """The counters with a run in them that died holding this lease: a failure, of which nobody knows how long it took.

    Its place is before the run that finds its lease, so it is counted before that one is.
    """
    return replace(
        counters,
        reconciliations=counters.reconciliations + 1,
        failures=counters.failures + 1,
        last_timestamp=lease.started_at.timestamp(),
        last_success=False,
        failures_in_a_row=counters.failures_in_a_row + 1,
    )


def _with_duration(counters: Counters, seconds: float) -> Counters:
    """A duration equal to a bound belongs below it, as Prometheus's `le` says."""
    counts = list(counters.duration_counts)
    counts[bisect_left(DURATION_BUCKETS, seconds)] += 1
    return replace(counters, duration_counts=tuple(counts), duration_sum=counters.duration_sum + seconds)
