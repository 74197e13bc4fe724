"""docs/prometheus-rules.yml: the queries and rules that the first version documented, on metrics that there are."""

from __future__ import annotations

import importlib
import re
from functools import cache
from typing import Any

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from alert_sync.asking.prometheus_text import exposition
from alert_sync.recall import Head
from tests.builders import NOW
from tests.support.tools import PROJECT

DOCUMENTED_QUERIES = {
    "rate(alertmanager_sync_reconciliation_total[5m]) - rate(alertmanager_sync_reconciliation_failures_total[5m])",
    (
        "rate(alertmanager_sync_reconciliation_duration_seconds_sum[5m])"
        " / rate(alertmanager_sync_reconciliation_duration_seconds_count[5m])"
    ),
    "alertmanager_sync_inconsistencies_found",
    "time() - alertmanager_sync_last_reconciliation_timestamp_seconds",
}

DOCUMENTED_ALERTS = {
    "ReconciliationFailing": (
        "alertmanager_sync_last_reconciliation_success == 0",
        "10m",
        "Alert reconciliation is failing",
    ),
    "HighInconsistencyRate": (
        "alertmanager_sync_inconsistencies_found > 10",
        "5m",
        "High number of inconsistencies detected",
    ),
    "ReconciliationStale": (
        "(time() - alertmanager_sync_last_reconciliation_timestamp_seconds) > 600",
        "5m",
        "No reconciliation in the last 10 minutes",
    ),
}

_SUFFIXES = re.compile(r"_(total|bucket|sum|count)$")


@cache
def rules() -> list[dict[str, Any]]:
    yaml = importlib.import_module("yaml")
    document = yaml.safe_load((PROJECT / "docs" / "prometheus-rules.yml").read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


@cache
def families() -> dict[str, Metric]:
    """What is exposed before the first run, by the name of each sample: all that ever is, but the alerts."""
    exposed = text_string_to_metric_families(exposition(Head(), [], now=NOW))
    return {sample.name: family for family in exposed for sample in family.samples}


def expressions() -> list[Any]:
    return [pytest.param(rule["expr"], id=rule.get("alert") or rule.get("record")) for rule in rules()]


def metrics_in(expression: str) -> list[str]:
    return re.findall(r"\balertmanager_sync_\w+", expression)


def test_documented_queries_are_recorded() -> None:
    assert {rule["expr"] for rule in rules() if "record" in rule} == DOCUMENTED_QUERIES


def test_documented_alerts_are_unchanged() -> None:
    alerts = {rule["alert"]: rule for rule in rules() if "alert" in rule}

    found = {
        name: (alerts[name]["expr"], alerts[name]["for"], alerts[name]["annotations"]["summary"])
        for name in alerts
        if name in DOCUMENTED_ALERTS
    }

    assert found == DOCUMENTED_ALERTS


def test_every_alert_says_how_bad_it_is_and_what_it_means() -> None:
    alerts = [rule for rule in rules() if "alert" in rule]

    assert len({rule["alert"] for rule in alerts}) == len(alerts)
    assert {rule["labels"]["severity"] for rule in alerts} == {"critical", "warning"}
    assert [set(rule["annotations"]) for rule in alerts] == [{"summary", "description"}] * len(alerts)


def test_every_recorded_name_is_of_this_service() -> None:
    recorded = [rule["record"] for rule in rules() if "record" in rule]

    assert len(set(recorded)) == len(recorded)
    assert all(re.fullmatch(r"alertmanager_sync:[a-z_]+:[a-z0-9_]+", name) for name in recorded)


@pytest.mark.parametrize("expression", expressions())
def test_every_metric_of_a_rule_is_exposed(expression: str) -> None:
    named = metrics_in(expression)

    assert named
    assert [name for name in named if name not in families()] == []


@pytest.mark.parametrize("expression", expressions())
def test_rates_are_taken_of_what_only_grows(expression: str) -> None:
    rated = re.findall(r"rate\((\w+)\[\d+m\]\)", expression)

    assert [name for name in metrics_in(expression) if _SUFFIXES.search(name)] == rated
    assert all(families()[name].type in {"counter", "histogram"} for name in rated)


@pytest.mark.parametrize("expression", expressions())
def test_every_series_that_a_rule_selects_is_there(expression: str) -> None:
    for name, selector in re.findall(r"\b(alertmanager_sync_\w+)\{([^}]*)\}", expression):
        wanted = dict(re.findall(r'(\w+)="([^"]*)"', selector)).items()

        assert [sample for sample in families()[name].samples if wanted <= sample.labels.items()]
