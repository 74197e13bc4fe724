"""When an alert group whose alerts are all gone is resolved: each doubt by itself, and both sides of each limit."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from alert_sync.lost_resolves import LostResolves
from alert_sync.model import Action, AlertGroup, Change, Finding, GoneAction, Policy, Verdict
from alert_sync.recall import Mismatch, Recall, ResolutionStatus
from tests.builders import (
    LONG_AGO,
    NOW,
    a_finding,
    a_keyed_group,
    a_mismatch,
    a_notification,
    a_peer,
    a_recall,
    an_alert_group,
    peers_with,
)

WAIT = timedelta(minutes=15)
JUST_LONG_ENOUGH, JUST_TOO_SHORT = WAIT, WAIT - timedelta(seconds=1)
NOTHING_HELD = "Alertmanager holds none of its alerts any more: their resolve was lost, or is on its way"
ANOTHERS = "no run has seen its alerts in this Alertmanager: it may be another's, so a person has to resolve it"
FIRST = "seen for the first time: looked at again in later runs"


def gone(group: AlertGroup | None = None) -> Finding:
    return a_finding(group or a_keyed_group(), verdict=Verdict.GONE, members=(), reason=NOTHING_HELD)


def seen_gone(ago: timedelta = JUST_LONG_ENOUGH, finding: Finding | None = None) -> Mismatch:
    return a_mismatch(finding or gone(), detected_at=NOW - ago)


def remembered(*mismatches: Mismatch, group: AlertGroup | None = None) -> Recall:
    """Earlier runs saw the alerts of the alert group here, and that they are gone."""
    return a_recall(*mismatches, seen=[group or a_keyed_group()])


def lost(recall: Recall, *started: datetime | None, policy: Policy | None = None) -> LostResolves:
    peers = [a_peer(url=f"http://{number}", started_at=each) for number, each in enumerate(started or [LONG_AGO])]
    return LostResolves(recall, peers_with(*peers), policy or Policy(), NOW)


def test_group_that_stayed_gone_is_resolved() -> None:
    change = lost(remembered(seen_gone())).change(gone())

    reason = (
        "Alertmanager holds none of its alerts, in each look that counts since 2026-11-21 02:45 UTC: "
        "their resolve was lost"
    )
    why = Finding(alert_group=a_keyed_group(), verdict=Verdict.GONE, reason=reason)
    assert change == Change(finding=why, action=Action.RESOLVE)


def test_group_that_a_person_said_to_ignore_is_judged_like_any_other() -> None:
    """What is ignored is decided in plan.py, for all verdicts alike."""
    ignored = replace(seen_gone(), resolution_status=ResolutionStatus.IGNORED)

    assert lost(remembered(ignored)).change(gone()) is not None


def test_group_seen_gone_for_the_first_time_waits() -> None:
    lost_resolves = lost(remembered())

    assert (lost_resolves.change(gone()), lost_resolves.doubt(gone())) == (None, FIRST)


def test_group_that_was_seen_with_another_verdict_only_waits() -> None:
    silenced = a_mismatch(a_finding(), detected_at=NOW - timedelta(days=1))

    assert lost(remembered(silenced)).doubt(gone()) == FIRST


def test_group_whose_webhook_lists_other_alerts_since_waits_anew() -> None:
    told_since = a_keyed_group()
    other = replace(told_since, notification=a_notification("f1", "f2", group_key="k"))

    assert lost(remembered(seen_gone())).doubt(gone(other)) == FIRST


def test_group_that_was_first_seen_gone_too_recently_waits() -> None:
    doubt = lost(remembered(seen_gone(JUST_TOO_SHORT))).doubt(gone())

    assert doubt == "seen so since 2026-11-21 02:45 UTC: resolved after 2026-11-21 03:00 UTC if it stays so"


@pytest.mark.parametrize(
    ("ago", "is_resolved"),
    [(timedelta(minutes=30), True), (timedelta(minutes=30) - timedelta(seconds=1), False)],
    ids=["one interval", "just less"],
)
def test_long_interval_is_waited_for(ago: timedelta, *, is_resolved: bool) -> None:
    slow = Policy(interval=timedelta(minutes=30))

    assert (lost(remembered(seen_gone(ago)), policy=slow).change(gone()) is not None) is is_resolved


@pytest.mark.parametrize(
    ("started", "is_resolved"),
    [
        pytest.param([NOW - timedelta(minutes=25)], True, id="trusted for 15 minutes"),
        pytest.param([NOW - timedelta(minutes=25) + timedelta(seconds=1)], False, id="just less"),
        pytest.param([LONG_AGO, NOW - timedelta(minutes=24)], False, id="one peer started since"),
        pytest.param([None], True, id="uptime null, as on Amazon Managed Prometheus"),
        pytest.param([None, NOW - timedelta(minutes=24)], False, id="null and young"),
    ],
)
def test_alertmanager_that_started_since_must_be_trusted_long_enough(
    started: list[datetime | None], *, is_resolved: bool
) -> None:
    long_gone = remembered(seen_gone(timedelta(hours=5)))

    assert (lost(long_gone, *started).change(gone()) is not None) is is_resolved


def test_group_of_which_no_run_saw_an_alert_here_is_left_to_a_person() -> None:
    unseen = a_recall(seen_gone(timedelta(days=4)))

    assert lost(unseen).doubt(gone()) == ANOTHERS


@pytest.mark.parametrize(
    ("sent", "doubt"),
    [
        pytest.param(timedelta(hours=120, minutes=15, seconds=1), "", id="longer than any Alertmanager keeps quiet"),
        pytest.param(timedelta(hours=120, minutes=15), ANOTHERS, id="exactly so long"),
    ],
)
def test_last_webhook_tells_whether_another_alertmanager_may_still_have_it(sent: timedelta, doubt: str) -> None:
    group = an_alert_group(notification=a_notification(group_key="k", sent_at=NOW - sent))

    assert lost(a_recall(seen_gone(finding=gone(group)))).doubt(gone(group)) == doubt


@pytest.mark.parametrize(
    ("sent", "is_resolved"), [(JUST_LONG_ENOUGH, True), (JUST_TOO_SHORT, False)], ids=["long ago", "just now"]
)
def test_webhook_that_came_since_starts_the_wait_anew(sent: timedelta, *, is_resolved: bool) -> None:
    """Whoever sent it still had the alerts firing then: an Alertmanager that we do not look at, perhaps."""
    group = an_alert_group(notification=a_notification(group_key="k", sent_at=NOW - sent))
    long_gone = remembered(seen_gone(timedelta(hours=5), gone(group)), group=group)

    assert (lost(long_gone).change(gone(group)) is not None) is is_resolved


def test_group_whose_last_webhook_was_the_resolve_is_left_to_a_person() -> None:
    """Nothing was lost: IRM was told, and a person opened the alert group again."""
    reopened = an_alert_group(notification=replace(a_notification(group_key="k"), firing={}))
    recall = remembered(seen_gone(timedelta(hours=5), gone(reopened)), group=reopened)

    lost_resolves = lost(recall)

    assert (lost_resolves.change(gone(reopened)), lost_resolves.doubt(gone(reopened))) == (
        None,
        "its last webhook said that all alerts are resolved: a person opened it again, and has to resolve it",
    )


@pytest.mark.parametrize(
    ("recall", "policy"),
    [
        pytest.param(replace(remembered(seen_gone()), is_on=False), Policy(), id="without memory"),
        pytest.param(remembered(seen_gone()), Policy(gone_action=GoneAction.REPORT), id="GONE_ACTION=report"),
    ],
)
def test_group_is_only_reported(recall: Recall, policy: Policy) -> None:
    assert lost(recall, policy=policy).change(gone()) is None


@pytest.mark.parametrize("verdict", [verdict for verdict in Verdict if verdict is not Verdict.GONE], ids=str)
def test_no_other_verdict_is_a_lost_resolve(verdict: Verdict) -> None:
    assert lost(remembered(seen_gone())).change(replace(gone(), verdict=verdict)) is None


def test_group_whose_last_webhook_is_of_alerts_that_no_run_saw_here_may_be_anothers() -> None:
    """Two Alertmanagers take turns in an alert group when their group keys are equal; an earlier webhook was ours."""
    group = an_alert_group(notification=a_notification("f9", group_key="k"))

    assert lost(remembered(seen_gone(timedelta(hours=5), gone(group)))).doubt(gone(group)) == ANOTHERS
