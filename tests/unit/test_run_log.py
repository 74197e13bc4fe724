"""The log lines of one run: one per change, one for each alert group worth a look, one summary."""

from __future__ import annotations

import io
import itertools
import json
from dataclasses import replace
from typing import Any

import pytest
from aws_lambda_powertools import Logger

from alert_sync.model import Action, Change, ChangeResult, Finding, Outcome, Plan, Verdict
from alert_sync.report import Report, Status, Trigger
from alert_sync.run_log import log_run
from tests.builders import NOW, an_alert_group

EMPTY = Report(run_id="r1", trigger=Trigger.CLI, status=Status.SUCCESS, message="m", dry_run=False, started_at=NOW)

_ADDED_BY_POWERTOOLS = ("timestamp", "location", "service")
_names = (f"log-of-test-{number}" for number in itertools.count())


def lines_of(report: Report) -> list[dict[str, Any]]:
    """What was written, without what Powertools adds to each line."""
    stream = io.StringIO()
    log_run(Logger(service=next(_names), stream=stream), report)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    return [{name: line[name] for name in line if name not in _ADDED_BY_POWERTOOLS} for line in lines]


def a_finding(group_id: str, verdict: Verdict) -> Finding:
    return Finding(alert_group=an_alert_group(group_id), verdict=verdict, reason=f"reason of {group_id}")


def a_report(*outcomes: Outcome, kept: tuple[Finding, ...] = ()) -> Report:
    findings = [a_finding(f"I{number}", Verdict.SILENCED) for number in range(len(outcomes))]
    changes = tuple(Change(finding=finding, action=Action.RESOLVE) for finding in findings)
    results = tuple(ChangeResult(change=change, outcome=each) for change, each in zip(changes, outcomes, strict=True))
    return replace(EMPTY, plan=Plan(changes=changes, kept=kept, managed=len(changes)), results=results)


def kept_line(group_id: str, verdict: str) -> dict[str, str]:
    return {
        "level": "INFO",
        "message": "Alert group kept",
        "run_id": "r1",
        "alert_group_id": group_id,
        "title": f"title of {group_id}",
        "url": f"http://grafana.example/{group_id}",
        "verdict": verdict,
        "reason": f"reason of {group_id}",
    }


def test_run_that_changed_nothing_leaves_its_summary_only() -> None:
    assert lines_of(EMPTY) == [
        {"level": "INFO", "message": "Reconciliation finished", "report": EMPTY.as_dict()},
    ]


@pytest.mark.parametrize(
    ("outcome", "level"),
    [
        (Outcome.APPLIED, "INFO"),
        (Outcome.ALREADY, "INFO"),
        (Outcome.PLANNED, "INFO"),
        (Outcome.FAILED, "WARNING"),
        (Outcome.DEFERRED, "WARNING"),
    ],
)
def test_each_change_has_a_line_of_its_own(outcome: Outcome, level: str) -> None:
    report = a_report(outcome)

    assert lines_of(report) == [
        {
            "level": level,
            "message": "Alert group change",
            "run_id": "r1",
            "dry_run": False,
            "alert_group_id": "I0",
            "title": "title of I0",
            "url": "http://grafana.example/I0",
            "verdict": "silenced",
            "change": "resolve",
            "reason": "reason of I0",
            "outcome": outcome.value,
        },
        {"level": "INFO", "message": "Reconciliation finished", "report": report.as_dict()},
    ]


def test_alert_groups_worth_a_look_have_a_line_each() -> None:
    kept = tuple(a_finding(f"K-{verdict}", verdict) for verdict in Verdict)

    assert lines_of(a_report(kept=kept))[:-1] == [kept_line("K-gone", "gone"), kept_line("K-unknown", "unknown")]


def test_title_in_a_line_is_one_line_of_bounded_length() -> None:
    finding = a_finding("K1", Verdict.GONE)
    titled = replace(finding, alert_group=replace(finding.alert_group, title="two\nlines " + "x" * 300))

    line, _ = lines_of(a_report(kept=(titled,)))

    assert line == {**kept_line("K1", "gone"), "title": "two lines " + "x" * 189 + "…"}


@pytest.mark.parametrize(("count", "left_out"), [(50, []), (51, [1]), (80, [30])])
def test_alert_groups_beyond_fifty_are_counted(count: int, left_out: list[int]) -> None:
    kept = tuple(a_finding(f"K{number}", Verdict.GONE) for number in range(count))

    lines = lines_of(a_report(kept=kept))[:-1]

    assert lines == [
        *(kept_line(f"K{number}", "gone") for number in range(50)),
        *({"level": "INFO", "message": "More alert groups kept", "run_id": "r1", "count": each} for each in left_out),
    ]


@pytest.mark.parametrize(
    ("status", "level"),
    [
        (Status.SUCCESS, "INFO"),
        (Status.PARTIAL, "INFO"),
        (Status.FAILED, "ERROR"),
        (Status.REFUSED, "ERROR"),
    ],
)
def test_level_of_the_summary_says_whether_somebody_should_look(status: Status, level: str) -> None:
    assert [line["level"] for line in lines_of(replace(EMPTY, status=status))] == [level]


def test_summary_lists_so_many_changes_as_fit_into_a_log_event() -> None:
    *changes, summary = lines_of(a_report(*[Outcome.APPLIED] * 201))

    assert len(changes) == 201
    assert (len(summary["report"]["changes"]), summary["report"]["changes_left_out"]) == (200, 1)
    assert len(json.dumps(summary)) < 256 * 1024
