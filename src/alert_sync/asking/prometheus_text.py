"""The text that Prometheus scrapes. The only module that knows Prometheus's library: load it when somebody asks.

| metric (all begin with `alertmanager_sync_`)   | what                                                               |
| ---------------------------------------------- | ------------------------------------------------------------------ |
| `reconciliation_total`                         | runs                                                               |
| `reconciliation_failures_total`                | of these, failed, refused, or died                                 |
| `reconciliation_duration_seconds`              | histogram; a run that died is not in it                            |
| `inconsistencies_found`                        | in the last run that read both systems                             |
| `inconsistencies_resolved_total`               | alert groups made as Alertmanager calls for, each once             |
| `inconsistencies_failed_resolve_total`         | changes that failed                                                |
| `last_reconciliation_timestamp_seconds`        | when the last *successful* run began; 0 before the first           |
| `last_reconciliation_success`                  | whether the last run was successful: 1 or 0                        |
| `last_attempt_timestamp_seconds`               | when the last run began, however it ended                          |
| `handed_back_total`                            | alert groups that were made to page again                          |
| `inconsistencies{type,resolution_status}`      | open ones, as the runs remember them                               |
| `oldest_inconsistency_age_seconds{type}`       | of those that nobody ignores; 0 if there is none                   |
| `condition{type,status}`                       | 1 for the status that holds, 0 for the others                      |
| `alert_state{...}`                             | behind a setting; alert_states.py lists its labels                 |
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import accumulate

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from alert_sync.asking.alert_states import AlertStateSample
from alert_sync.asking.parameters import MISMATCH_TYPES
from alert_sync.conditions import STATUSES, TYPES, UNKNOWN
from alert_sync.recall import DURATION_BUCKETS, Condition, Counters, Head, Mismatch, ResolutionStatus

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
PREFIX = "alertmanager_sync"

_OPEN_STATUSES = (ResolutionStatus.PENDING, ResolutionStatus.IGNORED)


def exposition(
    head: Head, mismatches: Sequence[Mismatch], *, now: datetime, alert_states: Iterable[AlertStateSample] = ()
) -> str:
    """Everything about the service, in Prometheus's text format 0.0.4. Closed mismatches do not count."""
    metrics = [
        *_about_runs(head.counters),
        *_about_mismatches([mismatch for mismatch in mismatches if mismatch.is_open], now),
        _about_conditions(head.conditions),
        *_about_alerts(alert_states),
    ]
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Ready(metrics))
    return generate_latest(registry).decode()


class _Ready(Collector):
    """Hands the library what is known already: nothing is counted in this process."""

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._metrics = metrics

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def _about_runs(counters: Counters) -> Iterator[Metric]:
    yield _counter("reconciliation", "Runs.", counters.reconciliations)
    yield _counter("reconciliation_failures", "Runs that failed, were refused, or died.", counters.failures)
    yield _durations(counters)
    yield _gauge(
        "inconsistencies_found",
        "Inconsistencies that the last run which could read both systems found.",
        counters.inconsistencies_found,
    )
    yield _counter(
        "inconsistencies_resolved", "Inconsistencies after which the alert group is as wanted.", counters.resolved
    )
    yield _counter(
        "inconsistencies_failed_resolve", "Inconsistencies that could not be resolved.", counters.failed_resolves
    )
    yield _gauge(
        "last_reconciliation_timestamp_seconds",
        "When the last successful run began, in Unix seconds; 0 if there was none.",
        counters.last_success_timestamp,
    )
    yield _gauge(
        "last_reconciliation_success", "Whether the last run was successful: 1 or 0.", int(counters.last_success)
    )
    yield _gauge(
        "last_attempt_timestamp_seconds",
        "When the last run began, however it ended, in Unix seconds; 0 if there was none.",
        counters.last_timestamp,
    )
    yield _counter("handed_back", "Alert groups that were made to page again.", counters.handed_back)


def _durations(counters: Counters) -> Metric:
    """Prometheus's buckets are cumulative; the last one has no bound and is the count."""
    bounds = [*(str(bound) for bound in DURATION_BUCKETS), "+Inf"]
    buckets = list(zip(bounds, accumulate(counters.duration_counts), strict=True))
    return HistogramMetricFamily(
        f"{PREFIX}_reconciliation_duration_seconds",
        "How long runs took.",
        buckets=buckets,
        sum_value=counters.duration_sum,
    )


def _about_mismatches(mismatches: Sequence[Mismatch], now: datetime) -> Iterator[Metric]:
    counts = GaugeMetricFamily(
        f"{PREFIX}_inconsistencies", "Open inconsistencies.", labels=["type", "resolution_status"]
    )
    ages = GaugeMetricFamily(
        f"{PREFIX}_oldest_inconsistency_age_seconds",
        "Age of the oldest inconsistency that nobody ignores; 0 if there is none.",
        labels=["type"],
    )
    # All of them always, so that a query for none gives 0 and not nothing.
    for type_ in dict.fromkeys([*MISMATCH_TYPES, *(mismatch.type for mismatch in mismatches)]):
        of_type = [mismatch for mismatch in mismatches if mismatch.type is type_]
        for status in _OPEN_STATUSES:
            count = sum(mismatch.resolution_status is status for mismatch in of_type)
            counts.add_metric([type_.value, status.value], count)
        pending = [each.detected_at for each in of_type if each.resolution_status is ResolutionStatus.PENDING]
        # A clock that was set back makes no negative age.
        ages.add_metric([type_.value], max(0.0, (now - min(pending, default=now)).total_seconds()))
    yield counts
    yield ages


def _about_conditions(conditions: Sequence[Condition]) -> Metric:
    """Before the first run nothing is known of any."""
    family = GaugeMetricFamily(
        f"{PREFIX}_condition", "1 for the status that the condition has, 0 for the others.", labels=["type", "status"]
    )
    known = {condition.type: condition.status for condition in conditions}
    for type_ in TYPES:
        for status in STATUSES:
            family.add_metric([type_, status], int(known.get(type_, UNKNOWN) == status))
    return family


def _about_alerts(samples: Iterable[AlertStateSample]) -> Iterator[Metric]:
    """Nothing at all where there are no alerts, or nobody wants to see them."""
    family = Metric(f"{PREFIX}_alert_state", "1 for an alert that is active in Alertmanager, else 0.", "gauge")
    for sample in samples:
        family.add_sample(family.name, dict(sample.labels), sample.value)
    if family.samples:
        yield family


def _counter(name: str, documentation: str, value: float) -> Metric:
    """Exposed with `_total` behind its name."""
    return CounterMetricFamily(f"{PREFIX}_{name}", documentation, value=value)


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{PREFIX}_{name}", documentation, value=value)
