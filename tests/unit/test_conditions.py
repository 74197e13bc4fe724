"""The four conditions: what each kind of run says of them, and when they move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from alert_sync.conditions import changed_conditions, conditions_after
from alert_sync.errors import (
    ConfigurationError,
    ContractError,
    PermanentUpstreamError,
    PostponedError,
    ReconcilerError,
    TransientUpstreamError,
)
from alert_sync.model import Action, Change, ChangeResult, Finding, Outcome, Plan, Verdict
from alert_sync.recall import Condition, Counters
from alert_sync.report import Report, Status, Trigger
from tests.builders import NOW, an_alert_group

LATER = NOW + timedelta(minutes=5)
AT_LAST = LATER + timedelta(minutes=5)

UNREAD = Report(
    run_id="r1", trigger=Trigger.SCHEDULE, status=Status.FAILED, message="", dry_run=False, started_at=NOW, error="why"
)
QUIET = replace(UNREAD, status=Status.SUCCESS, error="", plan=Plan(changes=(), kept=(), managed=3))

IRM_DOWN = TransientUpstreamError("Grafana IRM", "list new alert groups, page 1", "the connection was refused")
ALERTMANAGER_DOWN = TransientUpstreamError("Alertmanager http://a:9093", "read status", "HTTP 502", status=502)

Row = tuple[str, str, str]
"""Status, reason and message of one condition."""

READ: Row = ("True", "Read", "read in full")


def a_report(*outcomes: Outcome, status: Status = Status.SUCCESS, dry_run: bool = False) -> Report:
    finding = Finding(alert_group=an_alert_group(), verdict=Verdict.SILENCED, reason="")
    results = tuple(
        ChangeResult(change=Change(finding=finding, action=Action.RESOLVE), outcome=outcome) for outcome in outcomes
    )
    plan = Plan(changes=tuple(result.change for result in results), kept=(), managed=len(results))
    return replace(QUIET, plan=plan, results=results, status=status, dry_run=dry_run)


def after(
    report: Report,
    failure: ReconcilerError | None = None,
    *,
    previous: Sequence[Condition] = (),
    failures: int = 0,
    now: datetime = NOW,
) -> tuple[Condition, ...]:
    return conditions_after(previous, report, failure, Counters(failures_in_a_row=failures), now=now)


def rows(conditions: Sequence[Condition]) -> dict[str, Row]:
    return {each.type: (each.status, each.reason, each.message) for each in conditions}


# --- each kind of run


def test_quiet_run_states_all_four() -> None:
    conditions = after(QUIET)

    message = "inconsistencies: 0 found, 0 resolved, 0 failed, 0 deferred"
    no_failures = "failed or refused runs in a row: 0; 3 count as stalled"
    assert conditions == (
        Condition(type="InSync", status="True", reason="NothingFound", message=message, changed_at=NOW),
        Condition(type="AlertmanagerReachable", status="True", reason="Read", message="read in full", changed_at=NOW),
        Condition(type="IrmReachable", status="True", reason="Read", message="read in full", changed_at=NOW),
        Condition(type="Stalled", status="False", reason="RunsWork", message=no_failures, changed_at=NOW),
    )


@pytest.mark.parametrize(
    ("report", "status", "reason"),
    [
        pytest.param(a_report(Outcome.APPLIED, Outcome.ALREADY), "True", "AllResolved", id="all resolved"),
        pytest.param(a_report(Outcome.APPLIED, Outcome.FAILED), "False", "ChangesFailed", id="one failed"),
        pytest.param(a_report(Outcome.DEFERRED), "False", "ChangesDeferred", id="one deferred"),
        pytest.param(a_report(Outcome.PLANNED), "False", "NotResolved", id="only reported"),
        pytest.param(a_report(Outcome.PLANNED, dry_run=True), "False", "DryRun", id="dry run"),
        pytest.param(a_report(Outcome.PLANNED, status=Status.REFUSED), "False", "PlanRefused", id="refused"),
        pytest.param(UNREAD, "Unknown", "NotRead", id="not read"),
    ],
)
def test_in_sync_says_whether_anything_is_left(report: Report, status: str, reason: str) -> None:
    assert rows(after(report))["InSync"][:2] == (status, reason)


def test_in_sync_says_what_became_of_what_was_found() -> None:
    report = a_report(Outcome.APPLIED, Outcome.ALREADY, Outcome.FAILED, Outcome.DEFERRED)

    message = rows(after(report))["InSync"][2]

    assert message == "inconsistencies: 4 found, 2 resolved, 1 failed, 1 deferred"


def test_alertmanager_that_cannot_be_trusted_is_reachable_all_the_same() -> None:
    plan = Plan(changes=(), kept=(), managed=0, distrust=("Alertmanager http://a: up for 5 s only",))

    conditions = rows(after(replace(QUIET, plan=plan)))

    message = "read, but what it does not list proves nothing: Alertmanager http://a: up for 5 s only"
    assert conditions["AlertmanagerReachable"] == ("True", "ReadInPart", message)


def test_failure_of_alertmanager_means_that_irm_had_been_read() -> None:
    conditions = rows(after(UNREAD, ALERTMANAGER_DOWN))

    assert conditions["AlertmanagerReachable"] == ("False", "ServerFailed", str(ALERTMANAGER_DOWN))
    assert conditions["IrmReachable"] == READ
    assert conditions["InSync"] == ("Unknown", "NotRead", str(ALERTMANAGER_DOWN))


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (IRM_DOWN, "NoAnswer"),
        (TransientUpstreamError("Grafana IRM", "list", "HTTP 503", status=503), "ServerFailed"),
        (PermanentUpstreamError("Grafana IRM", "list", "HTTP 403", status=403), "CredentialRefused"),
        (PermanentUpstreamError("Grafana IRM", "list", "HTTP 404", status=404), "RequestRefused"),
        (ContractError("Grafana IRM", "list", "the answer is not JSON"), "AnswerNotUnderstood"),
        (PostponedError("Grafana IRM", "list", "HTTP 429", status=429), "RateLimited"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_reason_tells_what_to_look_at(failure: ReconcilerError, reason: str) -> None:
    assert rows(after(UNREAD, failure))["IrmReachable"] == ("False", reason, str(failure))


# --- what a run did not look at


def test_alertmanager_keeps_its_status_while_irm_cannot_be_read() -> None:
    conditions = rows(after(UNREAD, IRM_DOWN, previous=after(QUIET), now=LATER))

    message = "not looked at since 2026-11-21 03:05 UTC; before that: read in full"
    assert conditions["AlertmanagerReachable"] == ("True", "NotLookedAt", message)


def test_moment_since_which_nobody_looked_stays_that_of_the_first_run() -> None:
    first = after(UNREAD, IRM_DOWN, previous=after(UNREAD, ALERTMANAGER_DOWN), now=LATER)

    second = after(UNREAD, IRM_DOWN, previous=first, now=AT_LAST)

    message = f"not looked at since 2026-11-21 03:05 UTC; before that: {ALERTMANAGER_DOWN}"
    assert rows(second)["AlertmanagerReachable"] == ("False", "NotLookedAt", message)


def test_what_was_never_looked_at_is_unknown() -> None:
    conditions = rows(after(UNREAD, IRM_DOWN))

    message = "not looked at since 2026-11-21 03:00 UTC"
    assert conditions["AlertmanagerReachable"] == ("Unknown", "NotLookedAt", message)


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(ConfigurationError("secret irm does not exist"), id="settings"),
        pytest.param(TransientUpstreamError("AWS Secrets Manager", "read", "HTTP 500", status=500), id="other system"),
        pytest.param(PostponedError("Grafana IRM", "list", "not sent: no budget"), id="never sent"),
        pytest.param(None, id="nobody knows"),
    ],
)
def test_failure_elsewhere_says_nothing_of_either_system(failure: ReconcilerError | None) -> None:
    conditions = after(UNREAD, failure, previous=after(QUIET), now=LATER)

    message = "not looked at since 2026-11-21 03:05 UTC; before that: read in full"
    assert rows(conditions)["AlertmanagerReachable"] == ("True", "NotLookedAt", message)
    assert rows(conditions)["IrmReachable"] == ("True", "NotLookedAt", message)


def test_next_look_replaces_the_last_known() -> None:
    unseen = after(UNREAD, IRM_DOWN, previous=after(QUIET), now=LATER)

    conditions = after(QUIET, previous=unseen, now=AT_LAST)

    assert rows(conditions)["AlertmanagerReachable"] == READ


def test_skipped_run_changes_nothing() -> None:
    previous = after(UNREAD, IRM_DOWN)

    conditions = after(replace(UNREAD, status=Status.SKIPPED), previous=previous, now=LATER)

    assert conditions == previous


# --- stalled


@pytest.mark.parametrize(
    ("failures", "status", "reason"),
    [(0, "False", "RunsWork"), (2, "False", "RunFailed"), (3, "True", "RunsFail"), (400, "True", "RunsFail")],
)
def test_third_failure_in_a_row_counts_as_stalled(failures: int, status: str, reason: str) -> None:
    assert rows(after(UNREAD, failures=failures))["Stalled"][:2] == (status, reason)


def test_stalled_says_why_the_last_run_failed() -> None:
    message = rows(after(UNREAD, failures=3))["Stalled"][2]

    assert message == "3 runs in a row failed or were refused: why"


def test_refused_plans_are_named() -> None:
    conditions = rows(after(a_report(Outcome.PLANNED, status=Status.REFUSED), failures=3))

    assert conditions["Stalled"][:2] == ("True", "PlansRefused")


# --- when they move


def test_time_of_change_moves_only_with_the_status() -> None:
    first = after(UNREAD, IRM_DOWN)

    second = after(UNREAD, PermanentUpstreamError("Grafana IRM", "list", "HTTP 403", status=403), previous=first)
    third = after(QUIET, previous=second, now=AT_LAST)

    moved = {each.type: each.changed_at for each in third}
    assert {each.type: each.changed_at for each in second} == {each.type: NOW for each in second}
    assert moved == {"InSync": AT_LAST, "AlertmanagerReachable": AT_LAST, "IrmReachable": AT_LAST, "Stalled": NOW}


def test_message_of_another_system_is_one_line_and_bounded() -> None:
    failure = TransientUpstreamError("Grafana IRM", "list", "bad\nnews " + 1000 * "x")

    message = rows(after(UNREAD, failure))["IrmReachable"][2]

    assert (len(message), message.startswith("Grafana IRM: list: bad news xxx"), message[-1]) == (500, True, "…")


def test_changed_conditions_are_those_with_another_status() -> None:
    before = after(QUIET)
    now = after(UNREAD, IRM_DOWN, previous=before, failures=1, now=LATER)

    changed = changed_conditions(before, now)

    assert [(each.type, each.status) for each in changed] == [("InSync", "Unknown"), ("IrmReachable", "False")]


def test_what_was_never_stated_before_has_changed_unless_it_is_unknown() -> None:
    changed = changed_conditions((), after(UNREAD, IRM_DOWN))

    assert [each.type for each in changed] == ["IrmReachable", "Stalled"]


def test_two_equal_runs_change_nothing() -> None:
    first = after(QUIET)

    assert changed_conditions(first, after(QUIET, previous=first, now=LATER)) == ()
