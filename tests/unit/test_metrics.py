"""The metrics of one run, read as strictly as CloudWatch reads them: what is malformed there is silently lost."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from alert_sync import metrics
from alert_sync.model import Action, Change, ChangeResult, Finding, Outcome, Plan, Verdict
from alert_sync.report import Report, Status, Trigger
from tests.builders import NOW, an_alert_group
from tests.support.emf import read_emf

EMPTY = Report(run_id="r1", trigger=Trigger.SCHEDULE, status=Status.SUCCESS, message="", dry_run=False, started_at=NOW)

NO_RUN_YET = {
    "ReconciliationTotal": 1,
    "ReconciliationFailures": 0,
    "ReconciliationDuration": 0,
    "InconsistenciesFound": 0,
    "InconsistenciesResolved": 0,
    "InconsistenciesFailedResolve": 0,
    "InconsistenciesDeferred": 0,
    "LastReconciliationTimestamp": NOW.timestamp(),
    "LastReconciliationSuccess": 1,
    "PlansRefused": 0,
    "AlertsFetched": 0,
    "AlertGroupsExamined": 0,
    "LostResolves": 0,
    "HandBacks": 0,
    "MissingAlertGroups": 0,
    "RunsSkipped": 0,
    "IrmRequests": 0,
    "ColdStart": 0,
}


@pytest.fixture(autouse=True)
def stack_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "my-stack")


@dataclass(frozen=True)
class Emitted:
    """What was printed for one run."""

    text: str

    @property
    def document(self) -> dict[str, Any]:
        return read_emf(self.text)

    @property
    def values(self) -> dict[str, float]:
        return {name: self.document[name][0] for name in metrics.METRICS}


def emitted(
    capsys: pytest.CaptureFixture[str], report: Report, *, irm_requests: int = 0, is_cold_start: bool = False
) -> Emitted:
    capsys.readouterr()
    metrics.emit(report, irm_requests=irm_requests, is_cold_start=is_cold_start)
    return Emitted(capsys.readouterr().out)


def a_full_report() -> Report:
    """One change of each outcome, and two lost resolves."""
    finding = Finding(alert_group=an_alert_group(), verdict=Verdict.SILENCED, reason="r")
    change = Change(finding=finding, action=Action.RESOLVE)
    outcomes = (Outcome.APPLIED, Outcome.ALREADY, Outcome.FAILED, Outcome.DEFERRED, Outcome.DEFERRED)
    gone = replace(finding, verdict=Verdict.GONE)
    return replace(
        EMPTY,
        status=Status.PARTIAL,
        duration_seconds=1.2345,
        alerts_fetched=70,
        alert_groups_examined=13,
        plan=Plan(changes=(change,) * len(outcomes), kept=(gone, gone), managed=7),
        results=tuple(ChangeResult(change=change, outcome=outcome) for outcome in outcomes),
    )


# --- the document


def test_document_is_what_cloudwatch_takes(capsys: pytest.CaptureFixture[str]) -> None:
    document = emitted(capsys, EMPTY).document

    assert document.pop("_aws")["CloudWatchMetrics"] == [
        {
            "Namespace": "AlertmanagerAlertSync",
            "Dimensions": [["service"]],
            "Metrics": [{"Name": name, "Unit": unit.value} for name, unit in metrics.METRICS.items()],
        }
    ]
    assert document == {
        "service": "my-stack",
        "run_id": "r1",
        **{name: [value] for name, value in NO_RUN_YET.items()},
    }


def test_units_are_those_of_the_dashboard() -> None:
    others = {
        "ReconciliationDuration": "Milliseconds",
        "LastReconciliationTimestamp": "Seconds",
    }

    assert {name: unit.value for name, unit in metrics.METRICS.items()} == {
        **dict.fromkeys(NO_RUN_YET, "Count"),
        **others,
    }


def test_all_is_one_line_so_that_the_log_keeps_it_together(capsys: pytest.CaptureFixture[str]) -> None:
    assert emitted(capsys, a_full_report()).text.count("\n") == 1


@pytest.mark.parametrize("name", [None, ""], ids=["not set", "empty"])
def test_without_a_stack_name_the_dimension_has_its_default(
    name: str | None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("POWERTOOLS_SERVICE_NAME")
    if name is not None:
        monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", name)

    assert emitted(capsys, EMPTY).document["service"] == "alertmanager-alert-sync"


def test_namespace_is_not_taken_from_the_environment(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "SomethingElse")

    directives = emitted(capsys, EMPTY).document["_aws"]["CloudWatchMetrics"]

    assert [directive["Namespace"] for directive in directives] == ["AlertmanagerAlertSync"]


def test_second_run_says_nothing_of_the_first(capsys: pytest.CaptureFixture[str]) -> None:
    emitted(capsys, a_full_report(), irm_requests=9, is_cold_start=True)

    assert emitted(capsys, replace(EMPTY, run_id="r2")).document["run_id"] == "r2"
    assert emitted(capsys, EMPTY).values == NO_RUN_YET


# --- the values


def test_values_of_a_run_in_which_everything_happened(capsys: pytest.CaptureFixture[str]) -> None:
    assert emitted(capsys, a_full_report(), irm_requests=9, is_cold_start=True).values == {
        "ReconciliationTotal": 1,
        "ReconciliationFailures": 0,
        "ReconciliationDuration": 1234,
        "InconsistenciesFound": 7,
        "InconsistenciesResolved": 2,
        "InconsistenciesFailedResolve": 1,
        "InconsistenciesDeferred": 2,
        "LastReconciliationTimestamp": NOW.timestamp(),
        "LastReconciliationSuccess": 1,
        "PlansRefused": 0,
        "AlertsFetched": 70,
        "AlertGroupsExamined": 13,
        "LostResolves": 2,
        "HandBacks": 0,
        "MissingAlertGroups": 0,
        "RunsSkipped": 0,
        "IrmRequests": 9,
        "ColdStart": 1,
    }


def test_skipped_run_counts_neither_as_success_nor_as_failure(capsys: pytest.CaptureFixture[str]) -> None:
    document = emitted(capsys, replace(EMPTY, status=Status.SKIPPED), irm_requests=2).document

    assert {name: document[name] for name in metrics.METRICS if name in document} == {
        "RunsSkipped": [1],
        "IrmRequests": [2],
        "ColdStart": [0],
    }


@pytest.mark.parametrize(
    ("status", "changed"),
    [
        pytest.param(Status.SUCCESS, {}, id="success"),
        pytest.param(Status.PARTIAL, {}, id="partial"),
        pytest.param(Status.FAILED, {"ReconciliationFailures": 1, "LastReconciliationSuccess": 0}, id="failed"),
        pytest.param(
            Status.REFUSED,
            {"ReconciliationFailures": 1, "LastReconciliationSuccess": 0, "PlansRefused": 1},
            id="refused",
        ),
    ],
)
def test_failure_is_the_opposite_of_success(
    status: Status, changed: Mapping[str, float], capsys: pytest.CaptureFixture[str]
) -> None:
    assert emitted(capsys, replace(EMPTY, status=status)).values == {**NO_RUN_YET, **changed}


def test_timestamp_is_when_the_run_began_in_whole_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    report = replace(EMPTY, started_at=NOW + timedelta(milliseconds=1400), duration_seconds=30.0)

    assert emitted(capsys, report).values["LastReconciliationTimestamp"] == NOW.timestamp() + 1


# --- the check itself


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        pytest.param(lambda text: text.replace("[1.0]", "[NaN]", 1), "NaN is not JSON", id="NaN"),
        pytest.param(lambda text: text.replace("[1.0]", "[-Infinity]", 1), "-Infinity is not JSON", id="infinite"),
        pytest.param(lambda text: text * 2, "2 documents", id="two documents"),
        pytest.param(lambda text: text.replace('"my-stack"', "1", 1), "dimension service", id="dimension not a text"),
        pytest.param(lambda text: text.replace('"my-stack"', '""', 1), "dimension service", id="empty dimension"),
        pytest.param(lambda text: text.replace('"ColdStart":[', '"x":[', 1), "ColdStart", id="metric without value"),
        pytest.param(lambda text: text.replace('"ColdStart":[0.0]', '"ColdStart":[]', 1), "ColdStart", id="no values"),
        pytest.param(lambda text: text.replace('"Unit":"Count"', '"Unit":"Pieces"', 1), "Pieces", id="unknown unit"),
        pytest.param(lambda text: text.replace('[["service"]]', "[[]]", 1), "no dimension", id="no dimension"),
        pytest.param(lambda text: text.replace('"run_id"', '"service"', 1), "twice", id="name given twice"),
    ],
)
def test_check_sees_what_cloudwatch_would_drop(spoil: Any, complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    spoiled = spoil(emitted(capsys, EMPTY).text)

    with pytest.raises(ValueError, match=complaint):
        read_emf(spoiled)


def test_check_takes_what_is_right(capsys: pytest.CaptureFixture[str]) -> None:
    text = emitted(capsys, EMPTY).text

    assert read_emf(text) == json.loads(text)
