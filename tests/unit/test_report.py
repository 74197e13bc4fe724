"""The report of a run: what is counted as what, and the documented JSON."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta, timezone
from typing import Any

import pytest

from alert_sync.model import Action, Change, ChangeResult, Finding, Outcome, Plan, Verdict
from alert_sync.report import Report, Status, Trigger, change_row
from tests.builders import NOW, an_alert_group

NOTHING_KEPT = {
    "firing": 0,
    "suppressed": 0,
    "gone": 0,
    "unknown": 0,
    "unmanaged": 0,
    "out_of_scope": 0,
    "silenced": 0,
}

EMPTY = Report(
    run_id="r1",
    trigger=Trigger.SCHEDULE,
    status=Status.SUCCESS,
    message="nothing to do",
    dry_run=False,
    started_at=NOW,
)


def a_finding(group_id: str, verdict: Verdict) -> Finding:
    return Finding(alert_group=an_alert_group(group_id), verdict=verdict, reason=f"reason of {group_id}")


def a_change(group_id: str = "I1") -> Change:
    return Change(finding=a_finding(group_id, Verdict.SILENCED), action=Action.RESOLVE)


def a_result(group_id: str, outcome: Outcome, error: str = "") -> ChangeResult:
    return ChangeResult(change=a_change(group_id), outcome=outcome, error=error)


def a_row(group_id: str, outcome: str, **more: str) -> dict[str, str]:
    return {
        "alert_group_id": group_id,
        "title": f"title of {group_id}",
        "url": f"http://grafana.example/{group_id}",
        "verdict": "silenced",
        "change": "resolve",
        "reason": f"reason of {group_id}",
        "outcome": outcome,
        **more,
    }


def a_report(*results: ChangeResult, kept: tuple[Finding, ...] = (), unreadable: int = 0) -> Report:
    changes = tuple(result.change for result in results)
    plan = Plan(changes=changes, kept=kept, managed=len(changes), unreadable=unreadable)
    return replace(EMPTY, plan=plan, results=results)


# --- the JSON


def test_report_of_a_run_that_ended_before_its_plan() -> None:
    assert EMPTY.as_dict() == {
        "run_id": "r1",
        "trigger": "schedule",
        "status": "success",
        "message": "nothing to do",
        "dry_run": False,
        "started_at": "2026-11-21T03:00:00.000Z",
        "duration_seconds": 0.0,
        "alerts_fetched": 0,
        "alert_groups_examined": 0,
        "inconsistencies_found": 0,
        "inconsistencies_resolved": 0,
        "inconsistencies_failed": 0,
        "inconsistencies_deferred": 0,
        "changes": [],
        "kept": NOTHING_KEPT,
        "memory": "off",
    }


def test_report_of_a_run_in_which_everything_happened() -> None:
    kept = tuple(a_finding(f"K{number}", verdict) for number, verdict in enumerate(Verdict))
    results = (
        a_result("I1", Outcome.APPLIED),
        a_result("I2", Outcome.ALREADY),
        a_result("I3", Outcome.FAILED, "Grafana IRM: resolve alert group: HTTP 500"),
        a_result("I4", Outcome.DEFERRED, "no time"),
    )
    report = replace(
        a_report(*results, kept=kept, unreadable=2),
        trigger=Trigger.HTTP,
        status=Status.PARTIAL,
        message="some",
        dry_run=True,
        duration_seconds=1.23456,
        alerts_fetched=70,
        alert_groups_examined=13,
        error="an error",
        warnings=("a warning", "another"),
    )

    assert report.as_dict() == {
        "run_id": "r1",
        "trigger": "http",
        "status": "partial",
        "message": "some",
        "dry_run": True,
        "started_at": "2026-11-21T03:00:00.000Z",
        "duration_seconds": 1.235,
        "alerts_fetched": 70,
        "alert_groups_examined": 13,
        "inconsistencies_found": 5,
        "inconsistencies_resolved": 2,
        "inconsistencies_failed": 1,
        "inconsistencies_deferred": 1,
        "changes": [
            a_row("I1", "applied"),
            a_row("I2", "already"),
            a_row("I3", "failed", error="Grafana IRM: resolve alert group: HTTP 500"),
            a_row("I4", "deferred", error="no time"),
        ],
        "kept": {**dict.fromkeys(NOTHING_KEPT, 1), "unknown": 3},
        "memory": "off",
        "error": "an error",
        "warnings": ["a warning", "another"],
    }


def test_changes_beyond_the_limit_are_counted_instead_of_listed() -> None:
    report = a_report(*(a_result(f"I{number}", Outcome.APPLIED) for number in range(5)))

    document = report.as_dict(most_changes=3)

    assert document["changes"] == [a_row(f"I{number}", "applied") for number in range(3)]
    assert (document["changes_left_out"], document["inconsistencies_resolved"]) == (2, 5)


@pytest.mark.parametrize("most_changes", [2, 3])
def test_changes_up_to_the_limit_are_all_listed(most_changes: int) -> None:
    report = a_report(a_result("I1", Outcome.APPLIED), a_result("I2", Outcome.APPLIED))

    document = report.as_dict(most_changes=most_changes)

    assert (len(document["changes"]), "changes_left_out" in document) == (2, False)


def test_time_is_told_in_milliseconds() -> None:
    report = replace(EMPTY, started_at=NOW + timedelta(microseconds=123_456))

    assert report.as_dict()["started_at"] == "2026-11-21T03:00:00.123Z"


# --- what counts as what


@pytest.mark.parametrize(
    ("report", "found"),
    [
        pytest.param(EMPTY, 0, id="no plan"),
        pytest.param(a_report(), 0, id="empty plan"),
        pytest.param(a_report(a_result("I1", Outcome.PLANNED)), 1, id="planned change"),
        pytest.param(a_report(kept=(a_finding("I1", Verdict.GONE),)), 1, id="lost resolve"),
        pytest.param(a_report(kept=(a_finding("I1", Verdict.SILENCED),)), 0, id="silenced in a state not touched"),
        pytest.param(
            a_report(a_result("I1", Outcome.FAILED), kept=(a_finding("I2", Verdict.GONE),)), 2, id="one of each"
        ),
    ],
)
def test_changes_and_lost_resolves_are_what_was_found(report: Report, found: int) -> None:
    assert report.inconsistencies_found == found


@pytest.mark.parametrize(
    ("outcome", "resolved"),
    [
        (Outcome.APPLIED, 1),
        (Outcome.ALREADY, 1),
        (Outcome.FAILED, 0),
        (Outcome.DEFERRED, 0),
        (Outcome.PLANNED, 0),
    ],
)
def test_change_that_somebody_else_made_first_is_resolved_too(outcome: Outcome, resolved: int) -> None:
    assert a_report(a_result("I1", outcome)).inconsistencies_resolved == resolved


def test_objects_without_an_id_are_kept_as_unknown() -> None:
    report = a_report(kept=(a_finding("I1", Verdict.UNKNOWN), a_finding("I2", Verdict.FIRING)), unreadable=4)

    assert report.kept == {**NOTHING_KEPT, "unknown": 5, "firing": 1}


@pytest.mark.parametrize("outcome", Outcome)
def test_each_outcome_is_counted_for_itself(outcome: Outcome) -> None:
    report = a_report(*(a_result(f"I{number}", each) for number, each in enumerate(Outcome)))

    assert report.count(outcome) == 1


@pytest.mark.parametrize(("error", "more"), [("", {}), ("why", {"error": "why"})], ids=["without error", "with error"])
def test_row_of_a_change_has_an_error_only_if_there_is_one(error: str, more: dict[str, Any]) -> None:
    assert change_row(a_result("I1", Outcome.FAILED, error)) == a_row("I1", "failed", **more)


def test_title_in_a_row_is_one_line_of_bounded_length() -> None:
    result = a_result("I1", Outcome.APPLIED)
    group = replace(result.change.finding.alert_group, title="two\nlines " + "x" * 300)
    change = replace(result.change, finding=replace(result.change.finding, alert_group=group))

    row = change_row(replace(result, change=change))

    assert row["title"] == "two lines " + "x" * 189 + "…"


def test_report_does_not_print_its_plan() -> None:
    assert "title of I1" not in repr(replace(a_report(a_result("I1", Outcome.PLANNED)), results=()))


def test_time_of_another_zone_would_show_its_zone() -> None:
    local = replace(EMPTY, started_at=NOW.astimezone(timezone(timedelta(hours=1))))

    assert local.as_dict()["started_at"] == "2026-11-21T04:00:00.000+01:00"
