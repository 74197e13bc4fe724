"""How runs are counted: each once, by what its report says."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from alert_sync.counters import counted, counted_dead
from alert_sync.model import Action, Change, ChangeResult, Finding, Outcome, Plan, Verdict
from alert_sync.recall import DURATION_BUCKETS, Counters, Lease
from alert_sync.report import Report, Status, Trigger
from tests.builders import NOW, an_alert_group

BEFORE = NOW - timedelta(minutes=5)

EMPTY = Report(
    run_id="r1",
    trigger=Trigger.SCHEDULE,
    status=Status.SUCCESS,
    message="",
    dry_run=False,
    started_at=NOW,
    duration_seconds=0.2,
)
"""A run that ended before it had a plan."""

SOME = Counters(
    reconciliations=7,
    failures=2,
    resolved=3,
    failed_resolves=1,
    handed_back=1,
    inconsistencies_found=4,
    duration_counts=(0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0),
    duration_sum=1.5,
    last_timestamp=BEFORE.timestamp(),
    last_success=True,
    last_success_timestamp=BEFORE.timestamp(),
)

LEASE = Lease(job_id="j1", run_id="r0", trigger="schedule", started_at=NOW, expires_at=NOW + timedelta(minutes=2))


def a_result(outcome: Outcome, action: Action = Action.RESOLVE) -> ChangeResult:
    finding = Finding(alert_group=an_alert_group(), verdict=Verdict.SILENCED, reason="")
    return ChangeResult(change=Change(finding=finding, action=action), outcome=outcome)


def a_report(*results: ChangeResult, status: Status = Status.SUCCESS) -> Report:
    plan = Plan(changes=tuple(result.change for result in results), kept=(), managed=len(results))
    return replace(EMPTY, plan=plan, results=results, status=status)


def test_first_run_that_resolves_one_alert_group_is_counted_once() -> None:
    counters = counted(Counters(), a_report(a_result(Outcome.APPLIED)))

    assert counters == Counters(
        reconciliations=1,
        resolved=1,
        inconsistencies_found=1,
        duration_counts=(0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0),
        duration_sum=0.2,
        last_timestamp=NOW.timestamp(),
        last_success=True,
        last_success_timestamp=NOW.timestamp(),
    )


def test_run_that_could_not_read_leaves_what_was_found_and_when_it_last_worked() -> None:
    counters = counted(SOME, replace(EMPTY, status=Status.FAILED))

    assert counters == replace(
        SOME,
        reconciliations=8,
        failures=3,
        duration_counts=(0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0),
        duration_sum=1.7,
        last_timestamp=NOW.timestamp(),
        last_success=False,
        failures_in_a_row=1,
    )


def test_refused_run_is_a_failure_that_knows_what_it_found() -> None:
    planned = [a_result(Outcome.PLANNED) for _ in range(30)]

    counters = counted(SOME, a_report(*planned, status=Status.REFUSED))

    assert (counters.failures, counters.failures_in_a_row, counters.inconsistencies_found) == (3, 1, 30)


def test_run_of_which_a_part_worked_is_a_success_that_ends_the_row_of_failures() -> None:
    results = (a_result(Outcome.APPLIED), a_result(Outcome.FAILED), a_result(Outcome.DEFERRED))

    counters = counted(replace(SOME, failures_in_a_row=2), a_report(*results, status=Status.PARTIAL))

    assert (counters.failures, counters.failures_in_a_row, counters.last_success) == (2, 0, True)
    assert (counters.resolved, counters.failed_resolves) == (4, 2)


def test_run_of_which_every_change_failed_is_no_success() -> None:
    counters = counted(SOME, a_report(a_result(Outcome.FAILED), status=Status.FAILED))

    assert (counters.last_success, counters.last_success_timestamp) == (False, BEFORE.timestamp())


def test_dry_run_is_a_run_that_resolves_nothing() -> None:
    counters = counted(SOME, replace(a_report(a_result(Outcome.PLANNED)), dry_run=True))

    assert (counters.reconciliations, counters.inconsistencies_found, counters.resolved) == (8, 1, 3)


def test_run_that_found_nothing_any_more_says_so() -> None:
    assert counted(SOME, a_report()).inconsistencies_found == 0


def test_skipped_run_is_not_counted() -> None:
    assert counted(SOME, replace(EMPTY, status=Status.SKIPPED)) == SOME


@pytest.mark.parametrize("action", [Action.NOTIFY, Action.UNRESOLVE, Action.UNSILENCE])
def test_alert_group_that_pages_again_is_counted_as_handed_back(action: Action) -> None:
    assert counted(SOME, a_report(a_result(Outcome.APPLIED, action))).handed_back == 2


@pytest.mark.parametrize(
    "result",
    [
        a_result(Outcome.APPLIED, Action.RESOLVE),
        a_result(Outcome.APPLIED, Action.SILENCE),
        a_result(Outcome.ALREADY, Action.NOTIFY),
        a_result(Outcome.FAILED, Action.NOTIFY),
        a_result(Outcome.DEFERRED, Action.NOTIFY),
        a_result(Outcome.PLANNED, Action.NOTIFY),
    ],
    ids=lambda result: f"{result.change.action} {result.outcome}",
)
def test_nothing_else_is_counted_as_handed_back(result: ChangeResult) -> None:
    assert counted(SOME, a_report(result)).handed_back == 1


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [
        pytest.param(0.0, 0, id="no time at all"),
        pytest.param(0.1, 0, id="just the first bound"),
        pytest.param(0.1001, 1, id="just over the first bound"),
        pytest.param(30.0, 7, id="a bound in the middle"),
        pytest.param(120.0, 9, id="just the last bound"),
        pytest.param(120.1, 10, id="longer than every bound"),
    ],
)
def test_duration_belongs_to_the_first_bucket_that_holds_it(seconds: float, bucket: int) -> None:
    counters = counted(Counters(), replace(EMPTY, duration_seconds=seconds))

    assert counters.duration_counts == tuple(int(place == bucket) for place in range(len(DURATION_BUCKETS) + 1))
    assert counters.duration_sum == seconds


def test_run_that_died_is_a_failure_without_a_duration() -> None:
    counters = counted_dead(SOME, LEASE)

    assert counters == replace(
        SOME,
        reconciliations=8,
        failures=3,
        last_timestamp=NOW.timestamp(),
        last_success=False,
        failures_in_a_row=1,
    )
