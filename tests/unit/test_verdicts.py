"""What is shared by every decision: who is trusted, who is active, until when alerts are covered, what is in scope.

Each verdict is tried through the plan, in test_plan.py.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from alert_sync.model import AlertState, Finding, Member, Peer, Policy, SilenceState, Verdict
from alert_sync.verdicts import Judge, active_members, covered_until, distrust_of
from tests.builders import (
    NOW,
    a_notification,
    a_peer,
    a_silence,
    a_silenced_alert,
    alertmanager_with,
    an_aggregation_group,
    an_alert,
    an_alert_group,
    an_inhibited_alert,
    peers_with,
)

SOON, LATER, LAST = (timedelta(hours=hours) for hours in (1, 2, 3))


@pytest.mark.parametrize(
    ("peer", "reason"),
    [
        pytest.param(a_peer(), "", id="nothing against it"),
        pytest.param(a_peer(fault="a: timed out"), "a: timed out", id="did not answer"),
        pytest.param(
            a_peer(fault="a: timed out", unreadable=1, cluster_status="settling"), "a: timed out", id="its fault first"
        ),
        pytest.param(
            a_peer(unreadable=2),
            "Alertmanager http://a:9093: 2 objects of its answer could not be understood",
            id="unreadable",
        ),
        pytest.param(
            a_peer(cluster_status="settling"),
            "Alertmanager http://a:9093: its cluster is settling, not ready",
            id="settling",
        ),
        pytest.param(
            a_peer(started_at=NOW - timedelta(seconds=599.9)),
            "Alertmanager http://a:9093: up for 599 s only, and needs 600 s to hear from every Prometheus",
            id="young",
        ),
        pytest.param(
            a_peer(started_at=NOW + timedelta(seconds=5)),
            "Alertmanager http://a:9093: up for -5 s only, and needs 600 s to hear from every Prometheus",
            id="its clock is ahead",
        ),
        pytest.param(a_peer(started_at=NOW - timedelta(seconds=600)), "", id="just old enough"),
        pytest.param(a_peer(started_at=None, cluster_status=None), "", id="both null"),
    ],
)
def test_peer_is_distrusted_for_one_reason(peer: Peer, reason: str) -> None:
    assert distrust_of(peer, Policy(), NOW) == reason


def member(fingerprint: str, *ends: timedelta) -> Member:
    silences = tuple(a_silence(f"s{number}", ends_in=each) for number, each in enumerate(ends))
    return Member(alert=a_silenced_alert(fingerprint), silences=silences)


@pytest.mark.parametrize(
    ("members", "until"),
    [
        pytest.param([member("f1", SOON)], SOON, id="one"),
        pytest.param([member("f1", SOON, LAST)], LAST, id="the longest of one alert's"),
        pytest.param([member("f1", SOON, LAST), member("f2", LATER)], LATER, id="the first alert to be free"),
    ],
)
def test_alerts_are_covered_until_the_first_is_free(members: list[Member], until: timedelta) -> None:
    assert covered_until(members) == NOW + until


def test_alerts_that_are_neither_suppressed_nor_unreadable_are_active() -> None:
    members = [Member(alert=an_alert(state.value, state=state)) for state in AlertState]

    assert [each.alert.state for each in active_members(members)] == [AlertState.UNPROCESSED, AlertState.ACTIVE]


@pytest.mark.parametrize(
    ("state", "ends_at", "holds"),
    [
        (SilenceState.ACTIVE, timedelta(seconds=1), True),
        (SilenceState.ACTIVE, timedelta(0), False),
        (SilenceState.PENDING, SOON, False),
        (SilenceState.EXPIRED, SOON, False),
    ],
)
def test_member_has_only_the_silences_that_hold(state: SilenceState, ends_at: timedelta, *, holds: bool) -> None:
    silence = a_silence(state=state, ends_in=ends_at)
    alert = a_silenced_alert(by=("s1", "not known"))

    judged = Judge(alertmanager_with(alert, silences=[silence]), Policy(), NOW).member(alert)

    assert judged == Member(alert=alert, silences=(silence,) if holds else ())


def test_finding_holds_members_in_their_order() -> None:
    group = an_alert_group(notification=a_notification("f2"))
    alertmanager = alertmanager_with(an_inhibited_alert("f3"), a_silenced_alert("f2"), an_alert("f1"))

    finding = Judge(alertmanager, Policy(), NOW).finding(group)

    assert finding == Finding(
        alert_group=group,
        verdict=Verdict.FIRING,
        reason="1 of 3 alerts fire in Alertmanager: HighLatency f1",
        members=(
            Member(alert=an_alert("f1")),
            Member(alert=a_silenced_alert("f2"), silences=(a_silence(),)),
            Member(alert=an_inhibited_alert("f3")),
        ),
    )


@pytest.mark.parametrize(("started", "trusted"), [(NOW - timedelta(days=1), ()), (NOW, 1)], ids=["old", "young"])
def test_distrust_is_that_of_every_peer(started: datetime, trusted: object) -> None:
    judge = Judge(peers_with(a_peer(), a_peer(started_at=started, url="http://b")), Policy(), NOW)

    assert len(judge.distrust) == (trusted or 0)


def test_standing_record_of_an_alert_is_the_one_that_keeps_the_page() -> None:
    silenced = a_peer(an_aggregation_group(a_silenced_alert(updated_at=NOW)))
    active = a_peer(an_aggregation_group(an_alert()), url="http://b")

    assert Judge(peers_with(silenced, active), Policy(), NOW).standing("f1") == an_alert()
