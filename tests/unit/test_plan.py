"""Each row of the decision table, each setting that decides, both sides of each limit."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from alert_sync.errors import UnsafePlanError
from alert_sync.model import (
    AlertGroupState,
    AlertmanagerSnapshot,
    AlertState,
    Finding,
    IrmSnapshot,
    Matcher,
    Plan,
    Policy,
    SilencedAction,
    SilenceState,
    Verdict,
)
from alert_sync.plan import check_plan, make_plan
from tests.builders import (
    GROUP_LABELS,
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
    irm_with,
    peers_with,
)

EMPTY = alertmanager_with()
YOUNG = {"started_at": NOW - timedelta(seconds=599)}
ANY_OPEN_STATE = frozenset({AlertGroupState.FIRING, AlertGroupState.ACKNOWLEDGED, AlertGroupState.SILENCED})


def plan_of(alertmanager: AlertmanagerSnapshot, irm: IrmSnapshot, policy: Policy | None = None) -> Plan:
    return make_plan(alertmanager, irm, policy or Policy(), now=NOW)


def finding_of(alertmanager: AlertmanagerSnapshot, irm: IrmSnapshot | None = None) -> Finding:
    """The finding on the one alert group."""
    plan = plan_of(alertmanager, irm or irm_with(an_alert_group()))
    (finding,) = [*(change.finding for change in plan.changes), *plan.kept]
    return finding


def actions(plan: Plan) -> dict[str, SilencedAction]:
    return {change.finding.alert_group.id: change.action for change in plan.changes}


def kept(plan: Plan) -> dict[str, Verdict]:
    return {finding.alert_group.id: finding.verdict for finding in plan.kept}


# --- verdicts


def test_group_whose_only_alert_is_silenced_is_resolved() -> None:
    plan = plan_of(alertmanager_with(a_silenced_alert()), irm_with(an_alert_group()))

    assert actions(plan) == {"I1": SilencedAction.RESOLVE}
    assert plan.changes[0].finding.reason == (
        "its only alert is silenced in Alertmanager by ann (deploy) until 2026-11-21 04:00 UTC"
    )
    assert [silence.id for silence in plan.changes[0].finding.members[0].silences] == ["s1"]


def test_group_with_all_alerts_silenced_is_resolved_once() -> None:
    alerts = alertmanager_with(a_silenced_alert("f1"), a_silenced_alert("f2"))

    plan = plan_of(alerts, irm_with(an_alert_group(notification=a_notification("f1", "f2"))))

    assert actions(plan) == {"I1": SilencedAction.RESOLVE}


@pytest.mark.parametrize(
    ("alerts", "verdict"),
    [
        pytest.param([an_alert()], Verdict.FIRING, id="active"),
        pytest.param([an_alert(state=AlertState.UNPROCESSED)], Verdict.FIRING, id="unprocessed"),
        pytest.param([a_silenced_alert(), an_alert("f2")], Verdict.FIRING, id="one of two active"),
        pytest.param(
            [an_alert(silenced_by=("s1",))], Verdict.FIRING, id="active although a silence is named: contradictory"
        ),
        pytest.param([an_alert(state=AlertState.UNKNOWN)], Verdict.UNKNOWN, id="record not understood"),
        pytest.param([a_silenced_alert(), an_alert("f2", state=AlertState.UNKNOWN)], Verdict.UNKNOWN, id="one of two"),
        pytest.param([an_inhibited_alert()], Verdict.SUPPRESSED, id="inhibited"),
        pytest.param(
            [a_silenced_alert(), an_inhibited_alert("f2")], Verdict.SUPPRESSED, id="silenced, other inhibited"
        ),
        pytest.param(
            [an_alert(state=AlertState.SUPPRESSED)], Verdict.SUPPRESSED, id="time-muted: nothing says by what"
        ),
        pytest.param(
            [a_silenced_alert(inhibited_by=("f9",))], Verdict.SILENCED, id="silenced and inhibited counts as silenced"
        ),
        pytest.param([], Verdict.GONE, id="no alert left"),
    ],
)
def test_verdict_follows_the_members(alerts: list[object], verdict: Verdict) -> None:
    finding = finding_of(alertmanager_with(*alerts))  # type: ignore[arg-type] # a table of alerts

    assert finding.verdict is verdict


def test_alert_that_joined_after_the_last_webhook_keeps_the_page() -> None:
    """The payload lists f1 only; Alertmanager's group holds f2 too. (Truth table rows 11, 16.)"""
    finding = finding_of(alertmanager_with(a_silenced_alert("f1"), an_alert("f2")))

    assert finding.verdict is Verdict.FIRING


def test_alert_regrouped_elsewhere_still_counts_by_its_fingerprint() -> None:
    """After a change of group_by the old group's labels exist no more; its alert does. (Truth table row 38.)"""
    regrouped = an_aggregation_group(an_alert("f1"), group_labels={"alertname": "HighLatency"})

    finding = finding_of(peers_with(a_peer(regrouped)))

    assert finding.verdict is Verdict.FIRING


def test_active_alert_of_a_sibling_route_with_equal_labels_keeps_the_page() -> None:
    sibling = an_aggregation_group(an_alert("f2"))

    finding = finding_of(peers_with(a_peer(an_aggregation_group(a_silenced_alert()), sibling)))

    assert finding.verdict is Verdict.FIRING


@pytest.mark.parametrize("order", [1, -1], ids=["active listed first", "active listed last"])
def test_alerts_of_all_groups_with_the_same_receiver_and_labels_count(order: int) -> None:
    """Sibling routes. The webhook listed the silenced alert only."""
    groups = [an_aggregation_group(an_alert("f2")), an_aggregation_group(a_silenced_alert("f1"))][::order]

    plan = plan_of(peers_with(a_peer(*groups)), irm_with(an_alert_group()))

    assert kept(plan) == {"I1": Verdict.FIRING}


def test_alert_of_another_receiver_does_not_count() -> None:
    other = an_aggregation_group(an_alert("f2"), receiver="other")

    finding = finding_of(peers_with(a_peer(an_aggregation_group(a_silenced_alert()), other)))

    assert finding.verdict is Verdict.SILENCED


def test_payload_alerts_that_have_resolved_do_not_stop_a_resolve_when_trusted() -> None:
    group = an_alert_group(notification=a_notification("f1", "f2"))

    plan = plan_of(alertmanager_with(a_silenced_alert("f1")), irm_with(group))

    assert actions(plan) == {"I1": SilencedAction.RESOLVE}


def test_group_of_which_alertmanager_holds_no_listed_alert_may_be_anothers() -> None:
    """Two Alertmanagers feed one IRM: equal receiver, equal labels, and here only the silenced twin."""
    finding = finding_of(alertmanager_with(a_silenced_alert("twin")))

    assert finding.verdict is Verdict.UNKNOWN


def test_group_whose_webhook_listed_nothing_as_firing_is_judged_by_its_members() -> None:
    notification = replace(a_notification(), firing={})

    plan = plan_of(alertmanager_with(a_silenced_alert()), irm_with(an_alert_group(notification=notification)))

    assert actions(plan) == {"I1": SilencedAction.RESOLVE}


# --- trust


UNTRUSTED_PEERS = [
    pytest.param({"started_at": NOW - timedelta(seconds=599)}, "up for 599 s only", id="young"),
    pytest.param({"cluster_status": "settling"}, "its cluster is settling", id="settling"),
    pytest.param({"cluster_status": "lost"}, "its cluster is lost", id="a word that is not known"),
    pytest.param({"unreadable": 1}, "1 objects of its answer", id="unreadable objects"),
]
TRUSTED_PEERS = [
    pytest.param({"started_at": NOW - timedelta(seconds=600)}, id="just old enough"),
    pytest.param({"started_at": None}, id="uptime null, as on Amazon Managed Prometheus"),
    pytest.param({"cluster_status": None}, id="cluster null"),
    pytest.param({"cluster_status": "disabled"}, id="no cluster"),
]


@pytest.mark.parametrize(("peer", "why"), UNTRUSTED_PEERS)
def test_absence_proves_nothing_when_not_trusted(peer: dict[str, object], why: str) -> None:
    finding = finding_of(peers_with(a_peer(**peer)))  # type: ignore[arg-type] # a table

    assert finding.verdict is Verdict.UNKNOWN
    assert why in finding.reason


@pytest.mark.parametrize("peer", TRUSTED_PEERS)
def test_absence_is_a_lost_resolve_when_trusted(peer: dict[str, object]) -> None:
    finding = finding_of(peers_with(a_peer(**peer)))  # type: ignore[arg-type] # a table

    assert finding.verdict is Verdict.GONE


def test_one_peer_that_did_not_answer_takes_the_trust() -> None:
    plan = plan_of(peers_with(a_peer(), a_peer(url="http://b:9093", fault="b is down")), irm_with(an_alert_group()))

    assert kept(plan) == {"I1": Verdict.UNKNOWN}
    assert plan.distrust == ("b is down",)


def test_reasons_for_distrust_do_not_follow_the_order_of_peers() -> None:
    peers = [a_peer(url="http://b:9093", fault="b is down"), a_peer(fault="a is down"), a_peer(url="http://c:9093")]

    plans = [plan_of(peers_with(*each), irm_with(an_alert_group())) for each in (peers, peers[::-1])]

    assert plans[0] == plans[1]
    assert plans[0].distrust == ("a is down", "b is down")


def test_missing_alert_of_a_young_alertmanager_keeps_the_page_although_the_rest_is_silenced() -> None:
    peer = a_peer(an_aggregation_group(a_silenced_alert("f1")), started_at=YOUNG["started_at"])
    group = an_alert_group(notification=a_notification("f1", "f2"))

    plan = plan_of(peers_with(peer), irm_with(group))

    assert kept(plan) == {"I1": Verdict.UNKNOWN}


def test_young_alertmanager_that_holds_every_listed_alert_silenced_is_enough() -> None:
    peer = a_peer(an_aggregation_group(a_silenced_alert("f1")), started_at=YOUNG["started_at"])

    plan = plan_of(peers_with(peer), irm_with(an_alert_group()))

    assert actions(plan) == {"I1": SilencedAction.RESOLVE}


def test_cut_off_webhook_of_a_young_alertmanager_keeps_the_page() -> None:
    peer = a_peer(an_aggregation_group(a_silenced_alert("f1")), started_at=YOUNG["started_at"])
    group = an_alert_group(notification=a_notification("f1", truncated_alerts=3))

    plan = plan_of(peers_with(peer), irm_with(group))

    assert kept(plan) == {"I1": Verdict.UNKNOWN}


def test_cut_off_webhook_with_every_member_silenced_is_resolved_when_trusted() -> None:
    """Alertmanager's group has the members that the webhook left out."""
    alerts = alertmanager_with(a_silenced_alert("f1"), a_silenced_alert("f2"))

    plan = plan_of(alerts, irm_with(an_alert_group(notification=a_notification("f1", truncated_alerts=1))))

    assert actions(plan) == {"I1": SilencedAction.RESOLVE}


def test_absence_behind_a_cut_off_webhook_is_unknown() -> None:
    finding = finding_of(EMPTY, irm_with(an_alert_group(notification=a_notification("f1", truncated_alerts=1))))

    assert finding.verdict is Verdict.UNKNOWN


def test_object_that_could_not_be_placed_keeps_every_silenced_group() -> None:
    """It might be an active alert of any of them."""
    peer = a_peer(an_aggregation_group(a_silenced_alert()), unreadable=1)

    finding = finding_of(peers_with(peer))

    assert finding.verdict is Verdict.UNKNOWN


# --- several peers


def test_alert_active_on_one_peer_is_active() -> None:
    silenced = a_peer(an_aggregation_group(a_silenced_alert(updated_at=NOW)))
    active = a_peer(an_aggregation_group(an_alert(updated_at=NOW - timedelta(hours=1))), url="http://b:9093")

    finding = finding_of(peers_with(silenced, active))

    assert finding.verdict is Verdict.FIRING


def test_newest_record_stands_when_no_peer_says_active() -> None:
    older = a_peer(an_aggregation_group(an_inhibited_alert()))
    newer = a_peer(an_aggregation_group(a_silenced_alert(updated_at=NOW)), url="http://b:9093")

    finding = finding_of(peers_with(older, newer))

    assert finding.verdict is Verdict.SILENCED


def test_active_alert_of_a_peer_whose_status_failed_still_keeps_the_page() -> None:
    half = a_peer(an_aggregation_group(an_alert("f2")), url="http://b:9093", fault="b: read status: HTTP 500")

    finding = finding_of(peers_with(a_peer(an_aggregation_group(a_silenced_alert())), half))

    assert finding.verdict is Verdict.FIRING


# --- silences that do not hold


@pytest.mark.parametrize(
    "silences",
    [
        pytest.param([], id="not known yet"),
        pytest.param([a_silence(state=SilenceState.EXPIRED)], id="expired meanwhile"),
        pytest.param([a_silence(ends_in=timedelta(0))], id="ends now"),
        pytest.param([a_silence(state=SilenceState.PENDING)], id="not begun"),
    ],
)
def test_silence_that_does_not_hold_any_more_keeps_the_page(silences: list[object]) -> None:
    finding = finding_of(alertmanager_with(a_silenced_alert(), silences=silences))  # type: ignore[arg-type] # a table

    assert finding.verdict is Verdict.UNKNOWN


def test_one_of_two_silences_that_holds_is_enough() -> None:
    silences = [a_silence("s1", state=SilenceState.EXPIRED), a_silence("s2")]

    finding = finding_of(alertmanager_with(a_silenced_alert(by=("s1", "s2")), silences=silences))

    assert finding.verdict is Verdict.SILENCED


# --- what is not ours


def test_one_alert_whose_silence_holds_no_more_keeps_the_page_of_all() -> None:
    alerts = alertmanager_with(
        a_silenced_alert("f1", by=("s1",)),
        a_silenced_alert("f2", by=("s2",)),
        silences=[a_silence("s1"), a_silence("s2", state=SilenceState.EXPIRED, ends_in=timedelta(seconds=-1))],
    )

    plan = plan_of(alerts, irm_with(an_alert_group()))

    assert kept(plan) == {"I1": Verdict.UNKNOWN}


def test_group_that_alertmanager_did_not_make_is_unmanaged() -> None:
    finding = finding_of(alertmanager_with(a_silenced_alert()), irm_with(an_alert_group(managed=False)))

    assert finding.verdict is Verdict.UNMANAGED


def test_group_that_cannot_be_understood_is_kept_with_its_fault() -> None:
    broken = an_alert_group(state=None, managed=False, fault="'flapping' is not a state")

    plan = plan_of(alertmanager_with(a_silenced_alert()), irm_with(broken, unreadable=2))

    assert [(each.verdict, each.reason) for each in plan.kept] == [(Verdict.UNKNOWN, "'flapping' is not a state")]
    assert plan.unreadable == 2


def test_resolved_group_that_slipped_into_the_list_is_nobodys_business() -> None:
    plan = plan_of(alertmanager_with(a_silenced_alert()), irm_with(an_alert_group(state=AlertGroupState.RESOLVED)))

    assert (plan.changes, plan.kept) == ((), ())


@pytest.mark.parametrize(
    ("policy", "verdict"),
    [
        pytest.param(Policy(integration_ids=frozenset({"C1"})), Verdict.SILENCED, id="its integration"),
        pytest.param(Policy(integration_ids=frozenset({"C2", "C3"})), Verdict.OUT_OF_SCOPE, id="other integrations"),
        pytest.param(Policy(team_id="T1"), Verdict.SILENCED, id="its team"),
        pytest.param(Policy(team_id="T2"), Verdict.OUT_OF_SCOPE, id="another team"),
    ],
)
def test_scope_follows_integration_and_team(policy: Policy, verdict: Verdict) -> None:
    plan = plan_of(alertmanager_with(a_silenced_alert()), irm_with(an_alert_group(team_id="T1")), policy)

    assert [*(change.finding.verdict for change in plan.changes), *kept(plan).values()] == [verdict]


def severity(value: str) -> Policy:
    return Policy(matchers=(Matcher(name="severity", value=value, is_regex=False, is_equal=True),))


def test_group_is_in_scope_when_one_member_matches() -> None:
    alerts = alertmanager_with(
        a_silenced_alert("f1", labels={"severity": "critical"}), a_silenced_alert("f2", labels={"severity": "info"})
    )

    plan = plan_of(alerts, irm_with(an_alert_group()), severity("critical"))

    assert actions(plan) == {"I1": SilencedAction.RESOLVE}


def test_active_member_that_does_not_match_still_keeps_the_page() -> None:
    alerts = alertmanager_with(
        a_silenced_alert("f1", labels={"severity": "critical"}), an_alert("f2", labels={"severity": "info"})
    )

    plan = plan_of(alerts, irm_with(an_alert_group()), severity("critical"))

    assert kept(plan) == {"I1": Verdict.FIRING}


def test_group_without_matching_member_is_out_of_scope() -> None:
    alerts = alertmanager_with(a_silenced_alert("f1", labels={"severity": "info"}))

    plan = plan_of(alerts, irm_with(an_alert_group()), severity("critical"))

    assert kept(plan) == {"I1": Verdict.OUT_OF_SCOPE}


@pytest.mark.parametrize(
    ("severities", "verdict"), [("critical", Verdict.GONE), ("info", Verdict.OUT_OF_SCOPE)], ids=["matches", "differs"]
)
def test_scope_of_a_group_without_members_follows_its_webhook(severities: str, verdict: Verdict) -> None:
    notification = replace(a_notification(), firing={"f1": {"severity": severities}})

    plan = plan_of(EMPTY, irm_with(an_alert_group(notification=notification)), severity("critical"))

    assert kept(plan) == {"I1": verdict}


def test_legacy_group_is_judged_by_its_one_alert() -> None:
    legacy = an_alert_group(notification=a_notification("f1", receiver="", group_labels={}, legacy=True))
    ungrouped = an_aggregation_group(an_alert("f2"), receiver="", group_labels={})

    plan = plan_of(peers_with(a_peer(an_aggregation_group(a_silenced_alert()), ungrouped)), irm_with(legacy))

    assert actions(plan) == {"I1": SilencedAction.RESOLVE}


# --- what is done, and in which states


@pytest.mark.parametrize("state", [AlertGroupState.ACKNOWLEDGED, AlertGroupState.SILENCED])
def test_group_in_a_state_that_is_not_listed_is_kept_as_silenced(state: AlertGroupState) -> None:
    plan = plan_of(alertmanager_with(a_silenced_alert()), irm_with(an_alert_group(state=state)))

    assert kept(plan) == {"I1": Verdict.SILENCED}


@pytest.mark.parametrize(
    ("action", "state", "changes"),
    [
        (SilencedAction.RESOLVE, AlertGroupState.FIRING, 1),
        (SilencedAction.RESOLVE, AlertGroupState.ACKNOWLEDGED, 1),
        (SilencedAction.RESOLVE, AlertGroupState.SILENCED, 1),
        (SilencedAction.REPORT, AlertGroupState.FIRING, 1),
        (SilencedAction.REPORT, AlertGroupState.ACKNOWLEDGED, 1),
        (SilencedAction.REPORT, AlertGroupState.SILENCED, 1),
        (SilencedAction.SILENCE, AlertGroupState.FIRING, 1),
        # IRM refuses to silence it.
        (SilencedAction.SILENCE, AlertGroupState.ACKNOWLEDGED, 0),
        # It is silenced already, and would be again in every run.
        (SilencedAction.SILENCE, AlertGroupState.SILENCED, 0),
    ],
)
def test_action_is_taken_in_the_states_in_which_it_makes_sense(
    action: SilencedAction, state: AlertGroupState, changes: int
) -> None:
    policy = Policy(silenced_action=action, alert_group_states=ANY_OPEN_STATE)

    plan = plan_of(alertmanager_with(a_silenced_alert()), irm_with(an_alert_group(state=state)), policy)

    assert [change.action for change in plan.changes] == [action] * changes


@pytest.mark.parametrize(
    ("silences", "seconds"),
    [
        pytest.param([a_silence(ends_in=timedelta(hours=1))], 3900, id="what is left and one interval"),
        pytest.param(
            [a_silence(ends_in=timedelta(hours=1)), a_silence("s2", ends_in=timedelta(hours=2))], 7500, id="longest"
        ),
        pytest.param([a_silence(ends_in=timedelta(seconds=0.2))], 301, id="rounded up"),
    ],
)
def test_irm_silence_lasts_as_long_as_the_alert_is_silenced(silences: list[object], seconds: int) -> None:
    alerts = alertmanager_with(a_silenced_alert(by=("s1", "s2")), silences=silences)  # type: ignore[arg-type] # a table

    plan = plan_of(alerts, irm_with(an_alert_group()), Policy(silenced_action=SilencedAction.SILENCE))

    assert [change.silence_seconds for change in plan.changes] == [seconds]


def test_irm_silence_ends_with_the_first_member_that_is_silenced_no_more() -> None:
    """Its page must not wait for the other's silence, which lasts ten hours."""
    alerts = alertmanager_with(
        a_silenced_alert("f1", by=("s1",)),
        a_silenced_alert("f2", by=("s2",)),
        silences=[a_silence("s1", ends_in=timedelta(hours=1)), a_silence("s2", ends_in=timedelta(hours=10))],
    )

    plan = plan_of(alerts, irm_with(an_alert_group()), Policy(silenced_action=SilencedAction.SILENCE))

    assert [change.silence_seconds for change in plan.changes] == [3900]


def test_irm_silence_is_never_for_ever_even_without_interval() -> None:
    alerts = alertmanager_with(a_silenced_alert(), silences=[a_silence(ends_in=timedelta(microseconds=1))])
    policy = Policy(silenced_action=SilencedAction.SILENCE, interval=timedelta(0))

    plan = plan_of(alerts, irm_with(an_alert_group()), policy)

    assert [change.silence_seconds for change in plan.changes] == [1]


def test_irm_silence_never_lasts_longer_than_a_year() -> None:
    """A silence until the year 9999, which means for ever: IRM answers 500 to such a delay."""
    for_ever = alertmanager_with(a_silenced_alert(), silences=[a_silence(ends_in=timedelta(days=2_900_000))])

    plan = plan_of(for_ever, irm_with(an_alert_group()), Policy(silenced_action=SilencedAction.SILENCE))

    assert [change.silence_seconds for change in plan.changes] == [365 * 86_400]


def test_changes_come_oldest_first() -> None:
    groups = [an_alert_group(f"I{age}", created_at=NOW - timedelta(hours=age)) for age in (1, 3, 2)]

    plan = plan_of(alertmanager_with(a_silenced_alert()), irm_with(*groups))

    assert list(actions(plan)) == ["I3", "I2", "I1"]


# --- guards


def world(silenced: int, firing: int, *, unmanaged: int = 0) -> Plan:
    """A plan over so many managed alert groups, and some that are not ours."""
    labels = [GROUP_LABELS | {"n": str(number)} for number in range(silenced + firing)]
    groups = [
        an_aggregation_group(a_silenced_alert(f"f{n}") if n < silenced else an_alert(f"f{n}"), group_labels=each)
        for n, each in enumerate(labels)
    ]
    ours = [
        an_alert_group(f"I{n}", notification=a_notification(f"f{n}", group_labels=each))
        for n, each in enumerate(labels)
    ]
    others = [an_alert_group(f"U{n}", managed=False) for n in range(unmanaged)]
    return plan_of(peers_with(a_peer(*groups)), irm_with(*ours, *others))


@pytest.mark.parametrize(
    ("silenced", "firing", "policy"),
    [
        pytest.param(20, 0, Policy(), id="all, but no more than the minimum"),
        pytest.param(21, 21, Policy(), id="exactly half"),
        pytest.param(1, 0, Policy(max_changes_minimum=0, max_changes_percent=100), id="all, and all are allowed"),
        pytest.param(0, 5, Policy(max_changes_minimum=0, max_changes_percent=0), id="nothing, and nothing is allowed"),
    ],
)
def test_plan_within_the_guards_passes(silenced: int, firing: int, policy: Policy) -> None:
    check_plan(world(silenced, firing), policy)


@pytest.mark.parametrize(
    ("silenced", "firing", "policy"),
    [
        pytest.param(21, 20, Policy(), id="just over half"),
        pytest.param(21, 0, Policy(max_changes_percent=99), id="all"),
        pytest.param(1, 99, Policy(max_changes_minimum=0, max_changes_percent=0), id="one, and nothing is allowed"),
    ],
)
def test_plan_beyond_the_guards_is_refused(silenced: int, firing: int, policy: Policy) -> None:
    with pytest.raises(UnsafePlanError, match=f"{silenced} of {silenced + firing} managed alert groups"):
        check_plan(world(silenced, firing), policy)


def test_groups_that_are_not_ours_do_not_widen_the_guards() -> None:
    with pytest.raises(UnsafePlanError, match="21 of 22"):
        check_plan(world(21, 1, unmanaged=100), Policy())


def test_groups_that_cannot_be_understood_do_not_widen_the_guards() -> None:
    odd = [an_alert_group(f"odd{number}", state=None, managed=False, fault="no state") for number in range(5)]

    plan = plan_of(alertmanager_with(a_silenced_alert()), irm_with(an_alert_group(), *odd))

    assert plan.managed == 1


def test_reporting_is_never_refused() -> None:
    plan = world(21, 0)
    reports = tuple(replace(change, action=SilencedAction.REPORT) for change in plan.changes)

    check_plan(replace(plan, changes=reports), Policy())
