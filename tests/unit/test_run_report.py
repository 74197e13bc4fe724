"""How a run ended, from what became of its changes."""

from __future__ import annotations

import pytest

from alert_sync.model import Action, Change, ChangeResult, Finding, Outcome, Verdict
from alert_sync.report import Status
from alert_sync.run_report import status_of
from tests.builders import an_alert_group

CHANGE = Change(
    finding=Finding(alert_group=an_alert_group(), verdict=Verdict.SILENCED, reason="silenced"),
    action=Action.RESOLVE,
)


@pytest.mark.parametrize(
    ("outcomes", "status"),
    [
        ([], Status.SUCCESS),
        ([Outcome.APPLIED, Outcome.ALREADY], Status.SUCCESS),
        ([Outcome.APPLIED, Outcome.FAILED], Status.PARTIAL),
        ([Outcome.ALREADY, Outcome.FAILED], Status.PARTIAL),
        ([Outcome.APPLIED, Outcome.DEFERRED], Status.PARTIAL),
        ([Outcome.DEFERRED], Status.PARTIAL),
        ([Outcome.FAILED], Status.FAILED),
        ([Outcome.FAILED, Outcome.DEFERRED], Status.FAILED),
    ],
)
def test_status_tells_whether_all_some_or_none_of_the_tried_changes_worked(
    outcomes: list[Outcome], status: Status
) -> None:
    assert status_of([ChangeResult(change=CHANGE, outcome=outcome) for outcome in outcomes]) is status
