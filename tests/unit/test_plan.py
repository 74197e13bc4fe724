"""Each row of the decision table, each setting that decides, both sides of each limit."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from alert_sync.model import (
    Action,
    AlertGroup,
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
from alert_sync.recall import Intervention, Mismatch, Recall, ResolutionStatus, key_of, place_of
from tests.builders import (
    GROUP_LABELS,
    NOW,
    RECEIVERS,
    a_finding,
    a_keyed_group,
    a_mismatch,
    a_notification,
    a_peer,
    a_recall,
    a_silence,
    a_silenced_alert,
    alertmanager_with,
    an_aggregation_group,
    an_alert,
    an_alert_group,
    an_inhibited_alert,
    an_intervention,
    an_irm_silence,
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


def actions(plan: Plan) -> dict[str, Action]:
    return {change.finding.alert_group.id: change.action for change in plan.changes}


def kept(plan: Plan) -> dict[str, Verdict]:
    return {finding.alert_group.id: finding.verdict for finding in plan.kept}


# --- verdicts


def test_group_whose_only_alert_is_silenced_is_resolved() -> None:
    plan = plan_of(alertmanager_with(a_silenced_alert()), irm_with(an_alert_group()))

    assert actions(plan) == {"I1": Action.RESOLVE}
    assert plan.changes[0].finding.reason == (
        "its only alert is silenced in Alertmanager by ann (deploy) until 2026-11-21 04:00 UTC"
    )
    assert [silence.id for silence in plan.changes[0].finding.members[0].silences] == ["s1"]


def test_group_with_all_alerts_silenced_is_resolved_once() -> None:
    alerts = alertmanager_with(a_silenced_alert("f1"), a_silenced_alert("f2"))

    plan = plan_of(alerts, irm_with(an_alert_group(notification=a_notification("f1", "f2"))))

    assert actions(plan) == {"I1": Action.RESOLVE}


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

    assert actions(plan) == {"I1": Action.RESOLVE}


def test_group_of_which_alertmanager_holds_no_listed_alert_may_be_anothers() -> None:
    """Two Alertmanagers feed one IRM: equal receiver, equal labels, and here only the silenced twin."""
    finding = finding_of(alertmanager_with(a_silenced_alert("twin")))

    assert finding.verdict is Verdict.UNKNOWN


def test_open_group_whose_webhook_listed_nothing_as_firing_was_opened_again_by_a_person_and_is_kept() -> None:
    notification = replace(a_notification(), firing={})

    plan = plan_of(alertmanager_with(a_silenced_alert()), irm_with(an_alert_group(notification=notification)))

    assert [(finding.verdict, finding.reason) for finding in plan.kept] == [
        (Verdict.UNKNOWN, "its last webhook said that all its alerts are resolved: a person opened it again")
    ]


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

    assert actions(plan) == {"I1": Action.RESOLVE}


def test_cut_off_webhook_of_a_young_alertmanager_keeps_the_page() -> None:
    peer = a_peer(an_aggregation_group(a_silenced_alert("f1")), started_at=YOUNG["started_at"])
    group = an_alert_group(notification=a_notification("f1", truncated_alerts=3))

    plan = plan_of(peers_with(peer), irm_with(group))

    assert kept(plan) == {"I1": Verdict.UNKNOWN}


def test_cut_off_webhook_with_every_member_silenced_is_resolved_when_trusted() -> None:
    """Alertmanager's group has the members that the webhook left out."""
    alerts = alertmanager_with(a_silenced_alert("f1"), a_silenced_alert("f2"))

    plan = plan_of(alerts, irm_with(an_alert_group(notification=a_notification("f1", truncated_alerts=1))))

    assert actions(plan) == {"I1": Action.RESOLVE}


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

    assert actions(plan) == {"I1": Action.RESOLVE}


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

    assert actions(plan) == {"I1": Action.RESOLVE}


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

    assert [change.action for change in plan.changes] == [Action(action.value)] * changes


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
    assert check_plan(world(silenced, firing), policy) == ()


@pytest.mark.parametrize(
    ("silenced", "firing", "policy"),
    [
        pytest.param(21, 20, Policy(), id="just over half"),
        pytest.param(21, 0, Policy(max_changes_percent=99), id="all"),
        pytest.param(1, 99, Policy(max_changes_minimum=0, max_changes_percent=0), id="one, and nothing is allowed"),
    ],
)
def test_plan_beyond_the_guards_is_refused(silenced: int, firing: int, policy: Policy) -> None:
    plan = world(silenced, firing)

    (refusal,) = check_plan(plan, policy)

    assert refusal.changes == plan.changes
    assert f"{silenced} of {silenced + firing} managed alert groups" in refusal.reason


def test_groups_that_are_not_ours_do_not_widen_the_guards() -> None:
    (refusal,) = check_plan(world(21, 1, unmanaged=100), Policy())

    assert "21 of 22" in refusal.reason


def test_groups_that_cannot_be_understood_do_not_widen_the_guards() -> None:
    odd = [an_alert_group(f"odd{number}", state=None, managed=False, fault="no state") for number in range(5)]

    plan = plan_of(alertmanager_with(a_silenced_alert()), irm_with(an_alert_group(), *odd))

    assert plan.managed == 1


def test_reporting_is_never_refused() -> None:
    plan = world(21, 0)
    reports = tuple(replace(change, action=Action.REPORT) for change in plan.changes)

    assert check_plan(replace(plan, changes=reports), Policy()) == ()


# --- with memory


ACTIVE = alertmanager_with(an_alert())
SILENCED = alertmanager_with(a_silenced_alert())
GONE = a_finding(verdict=Verdict.GONE, members=())


def recalled(
    alertmanager: AlertmanagerSnapshot,
    irm: IrmSnapshot,
    recall: Recall,
    policy: Policy | None = None,
    *,
    told: dict[str, str] | None = None,
) -> Plan:
    return make_plan(alertmanager, irm, policy or Policy(), now=NOW, recall=recall, told=told)


def numbered_groups(*names: str) -> AlertmanagerSnapshot:
    """One aggregation group for each: active, or silenced if its name says so."""
    groups = [
        an_aggregation_group(
            a_silenced_alert(name) if name.startswith("silenced") else an_alert(name),
            group_labels=GROUP_LABELS | {"n": name},
        )
        for name in names
    ]
    return peers_with(a_peer(*groups))


def numbered(name: str, *, age: timedelta = timedelta(hours=1), **more: object) -> AlertGroup:
    notification = a_notification(name, group_labels=GROUP_LABELS | {"n": name}, group_key=f"key of {name}")
    return an_alert_group(name, notification=notification, created_at=NOW - age, **more)  # type: ignore[arg-type] # passed on


def lost(name: str, *, detected: timedelta = timedelta(minutes=15)) -> tuple[AlertGroup, Mismatch]:
    """An alert group whose alerts are gone, and what earlier runs wrote down about it."""
    group = numbered(name)
    return group, a_mismatch(a_finding(group, verdict=Verdict.GONE, members=()), detected_at=NOW - detected)


def test_group_that_stayed_gone_is_resolved() -> None:
    recall = a_recall(a_mismatch(GONE), seen=[a_keyed_group()])

    plan = recalled(EMPTY, irm_with(a_keyed_group()), recall)

    assert [(change.finding.verdict, change.action) for change in plan.changes] == [(Verdict.GONE, Action.RESOLVE)]


@pytest.mark.parametrize("state", sorted(ANY_OPEN_STATE), ids=str)
def test_lost_resolve_is_made_good_in_any_state_as_alertmanager_would(state: AlertGroupState) -> None:
    """ALERT_GROUP_STATES is about SILENCED_ACTION."""
    group = a_keyed_group(state=state)

    plan = recalled(EMPTY, irm_with(group), a_recall(a_mismatch(GONE), seen=[group]))

    assert actions(plan) == {"I1": Action.RESOLVE}


def test_group_that_is_gone_says_what_it_waits_for() -> None:
    plan = recalled(EMPTY, irm_with(a_keyed_group()), a_recall())

    (finding,) = plan.kept
    assert finding.reason == (
        "Alertmanager holds none of its alerts any more: their resolve was lost, or is on its way; "
        "seen for the first time: looked at again in later runs"
    )


def test_group_that_is_gone_promises_nothing_without_memory() -> None:
    (finding,) = plan_of(EMPTY, irm_with(a_keyed_group())).kept

    assert finding.reason == (
        "Alertmanager holds none of its alerts any more: their resolve was lost, or is on its way"
    )


def test_group_that_we_resolved_pages_again() -> None:
    told = {key_of(a_keyed_group()): ""}

    plan = recalled(ACTIVE, irm_with(), a_recall(an_intervention()), told=told)

    assert [(change.finding.alert_group.id, change.action) for change in plan.changes] == [("I1", Action.NOTIFY)]


def test_group_that_irm_never_had_is_reported() -> None:
    group = numbered("f1")
    recall = a_recall(receivers=RECEIVERS)
    asked = recalled(numbered_groups("f1"), irm_with(), recall)

    plan = recalled(numbered_groups("f1"), irm_with(), recall, told={each.key: "" for each in asked.questions})

    assert [question.key for question in asked.questions] == [place_of(group)]
    assert [(change.finding.verdict, change.action) for change in plan.changes] == [(Verdict.MISSING, Action.REPORT)]


def test_group_whose_silence_in_irm_is_lifted_is_not_quietened_in_the_same_run() -> None:
    group = a_keyed_group(state=AlertGroupState.SILENCED)

    plan = recalled(ACTIVE, irm_with(group), a_recall(an_irm_silence()))

    assert (actions(plan), plan.kept) == ({"I1": Action.UNSILENCE}, ())


def test_group_that_a_person_opened_again_is_kept_and_says_so() -> None:
    plan = recalled(SILENCED, irm_with(a_keyed_group()), a_recall(an_intervention()))

    assert plan.changes == ()
    (finding,) = plan.kept
    assert finding.reason == (
        "a person opened it again after this service resolved it (2026-11-21 02:50 UTC); "
        "left alone until its silences change"
    )


def test_lost_resolve_of_a_group_that_a_person_opened_again_is_left_to_the_person() -> None:
    """We resolved it as lost; the person knows better."""
    ours = an_intervention(verdict=Verdict.GONE, silences=())
    recall = a_recall(ours, a_mismatch(GONE, detected_at=NOW - timedelta(days=1)), seen=[a_keyed_group()])

    assert recalled(EMPTY, irm_with(a_keyed_group()), recall).changes == ()


def test_group_whose_resolve_never_happened_is_resolved_now() -> None:
    intended = an_intervention(is_done=False, acted_at=NOW - timedelta(minutes=15))

    plan = recalled(SILENCED, irm_with(a_keyed_group()), a_recall(intended))

    assert (actions(plan), plan.forgotten) == ({"I1": Action.RESOLVE}, {key_of(a_keyed_group()): ""})


# --- silences in IRM that are ours


def silence_policy(interval: timedelta = timedelta(minutes=5)) -> Policy:
    return Policy(silenced_action=SilencedAction.SILENCE, interval=interval)


IN_IRM = a_keyed_group(state=AlertGroupState.SILENCED)


@pytest.mark.parametrize(
    ("until", "seconds"),
    [
        pytest.param(timedelta(minutes=65), [], id="as it should be"),
        pytest.param(timedelta(minutes=64), [], id="a minute early"),
        pytest.param(timedelta(minutes=66), [], id="a minute late"),
        pytest.param(timedelta(minutes=64, seconds=-1), [3900], id="extended in Alertmanager"),
        pytest.param(timedelta(minutes=66, seconds=1), [3900], id="shortened in Alertmanager"),
    ],
)
def test_silence_of_ours_follows_alertmanagers(until: timedelta, seconds: list[int]) -> None:
    plan = recalled(SILENCED, irm_with(IN_IRM), a_recall(an_irm_silence(ends_in=until)), silence_policy())

    assert [change.silence_seconds for change in plan.changes] == seconds


def test_silence_of_which_nobody_knows_the_end_is_set_anew() -> None:
    ours = replace(an_irm_silence(), silenced_until=None)

    plan = recalled(SILENCED, irm_with(IN_IRM), a_recall(ours), silence_policy())

    assert actions(plan) == {"I1": Action.SILENCE}


@pytest.mark.parametrize(("days", "changes"), [(200, 0), (182, 1)], ids=["more than half left", "less"])
def test_silence_for_ever_is_prolonged_halfway(days: int, changes: int) -> None:
    for_ever = alertmanager_with(a_silenced_alert(), silences=[a_silence(ends_in=timedelta(days=36_500))])
    ours = an_irm_silence(ends_in=timedelta(days=days))

    plan = recalled(for_ever, irm_with(IN_IRM), a_recall(ours), silence_policy())

    assert len(plan.changes) == changes


@pytest.mark.parametrize(
    "recall",
    [
        pytest.param(a_recall(), id="a person's"),
        pytest.param(
            a_recall(an_irm_silence(a_keyed_group("I0", state=AlertGroupState.SILENCED))), id="its forerunner's"
        ),
    ],
)
def test_silence_of_another_is_not_touched(recall: Recall) -> None:
    plan = recalled(SILENCED, irm_with(IN_IRM), recall, silence_policy())

    assert kept(plan) == {"I1": Verdict.SILENCED}


# --- what a person said to ignore


def ignored(finding: Finding, **more: object) -> Mismatch:
    return a_mismatch(finding, resolution_status=ResolutionStatus.IGNORED, **more)  # type: ignore[arg-type] # passed on


def test_ignored_group_is_kept_and_says_so() -> None:
    irm = irm_with(a_keyed_group())
    (change,) = recalled(SILENCED, irm, a_recall()).changes

    plan = recalled(SILENCED, irm, a_recall(ignored(change.finding)))

    assert (plan.changes, plan.ignored) == ((), (change,))
    assert [finding.reason for finding in plan.kept] == [
        f"{change.finding.reason}; a person said to ignore it until that changes"
    ]


def test_ignored_hand_back_does_not_page_and_is_not_forgotten() -> None:
    told = {key_of(a_keyed_group()): ""}
    recall = a_recall(an_intervention())
    (change,) = recalled(ACTIVE, irm_with(), recall, told=told).changes

    plan = recalled(ACTIVE, irm_with(), a_recall(an_intervention(), ignored(change.finding)), told=told)

    assert (plan.changes, plan.ignored, plan.forgotten) == ((), (change,), {})


def test_ignored_lost_resolve_is_not_resolved_however_long_it_lasts() -> None:
    recall = a_recall(ignored(GONE, detected_at=NOW - timedelta(days=9)), seen=[a_keyed_group()])

    plan = recalled(EMPTY, irm_with(a_keyed_group()), recall)

    assert (plan.changes, kept(plan)) == ((), {"I1": Verdict.GONE})


@pytest.mark.parametrize(
    "alertmanager",
    [
        pytest.param(alertmanager_with(a_silenced_alert(by=("s2",)), silences=[a_silence("s2")]), id="another silence"),
        pytest.param(alertmanager_with(a_silenced_alert(), a_silenced_alert("f2")), id="another alert"),
    ],
)
def test_ignored_group_is_acted_on_once_its_facts_change(alertmanager: AlertmanagerSnapshot) -> None:
    irm = irm_with(a_keyed_group())
    (change,) = recalled(SILENCED, irm, a_recall()).changes

    plan = recalled(alertmanager, irm, a_recall(ignored(change.finding)))

    assert actions(plan) == {"I1": Action.RESOLVE}


@pytest.mark.parametrize("status", [each for each in ResolutionStatus if each is not ResolutionStatus.IGNORED], ids=str)
def test_only_what_is_ignored_is_left(status: ResolutionStatus) -> None:
    irm = irm_with(a_keyed_group())
    (change,) = recalled(SILENCED, irm, a_recall()).changes

    plan = recalled(SILENCED, irm, a_recall(a_mismatch(change.finding, resolution_status=status)))

    assert actions(plan) == {"I1": Action.RESOLVE}


# --- the order


def test_what_pages_again_comes_before_everything_else() -> None:
    """A run that ends early has at least done that."""
    alertmanager = numbered_groups("old", "new", "silenced-older", "silenced-oldest")
    ours: list[Intervention] = [
        an_intervention(numbered("new", age=timedelta(minutes=1))),
        an_intervention(numbered("old", age=timedelta(hours=2))),
    ]
    irm = irm_with(
        numbered("silenced-older", age=timedelta(days=1)), numbered("silenced-oldest", age=timedelta(days=2))
    )

    plan = recalled(alertmanager, irm, a_recall(*ours), told={each.key: "" for each in ours})

    assert [(change.finding.alert_group.id, change.action) for change in plan.changes] == [
        ("old", Action.NOTIFY),
        ("new", Action.NOTIFY),
        ("silenced-oldest", Action.RESOLVE),
        ("silenced-older", Action.RESOLVE),
    ]


# --- guards, with lost resolves


def gone_world(gone: int, silenced: int, firing: int, *, handed_back: int = 0) -> Plan:
    """A plan over so many alert groups of each kind, all of the gone ones due."""
    due = [lost(f"gone{number}") for number in range(gone)]
    names = [f"silenced{number}" for number in range(silenced)] + [f"firing{number}" for number in range(firing)]
    ours = [an_intervention(numbered(f"again{number}")) for number in range(handed_back)]
    again = [each.alert_group.id for each in ours]
    irm = irm_with(*(group for group, _ in due), *(numbered(name) for name in names))
    recall = a_recall(*(mismatch for _, mismatch in due), *ours, seen=[group for group, _ in due])
    return recalled(numbered_groups(*names, *again), irm, recall, told={each.key: "" for each in ours})


@pytest.mark.parametrize(
    ("gone", "firing"),
    [
        pytest.param(10, 0, id="all, but no more than ten"),
        pytest.param(12, 28, id="exactly 30 percent"),
    ],
)
def test_lost_resolves_within_their_limit_pass(gone: int, firing: int) -> None:
    plan = gone_world(gone, 0, firing)

    assert len(plan.changes) == gone
    assert check_plan(plan, Policy()) == ()


@pytest.mark.parametrize(
    ("gone", "firing"),
    [pytest.param(11, 0, id="all of eleven"), pytest.param(12, 27, id="just over 30 percent")],
)
def test_lost_resolves_beyond_their_limit_are_refused(gone: int, firing: int) -> None:
    """An empty Alertmanager never empties IRM."""
    plan = gone_world(gone, 0, firing)

    (refusal,) = check_plan(plan, Policy())

    assert refusal.changes == plan.changes
    assert refusal.reason == (
        f"{gone} of {gone + firing} managed alert groups have lost all their alerts in Alertmanager: more than "
        "MAX_GONE_PERCENT=30 allows. If Alertmanager has really not lost them, run once with force=true."
    )


def test_refused_lost_resolves_do_not_hold_back_silenced_ones() -> None:
    plan = gone_world(20, 10, 10)

    (refusal,) = check_plan(plan, Policy())

    assert {change.finding.verdict for change in refusal.changes} == {Verdict.GONE}


def test_lost_resolves_and_silenced_ones_count_together_against_max_changes() -> None:
    plan = gone_world(10, 15, 15)

    (refusal,) = check_plan(plan, Policy())

    assert refusal.changes == plan.changes
    assert "25 of 40 managed alert groups would be quietened: more than MAX_CHANGES_PERCENT=50" in refusal.reason


def test_both_limits_may_be_exceeded_at_once() -> None:
    plan = gone_world(20, 30, 0)

    refusals = check_plan(plan, Policy())

    assert [len(refusal.changes) for refusal in refusals] == [20, 30]
    assert {id(change) for refusal in refusals for change in refusal.changes} == {id(each) for each in plan.changes}


def test_what_makes_irm_page_is_never_refused() -> None:
    plan = gone_world(0, 0, 0, handed_back=30)

    assert {change.action for change in plan.changes} == {Action.NOTIFY}
    assert check_plan(plan, Policy(max_changes_minimum=0, max_changes_percent=0, max_gone_percent=0)) == ()


def test_what_makes_irm_page_does_not_count_against_the_others() -> None:
    plan = gone_world(0, 20, 0, handed_back=30)

    assert check_plan(plan, Policy()) == ()


# --- what is seen


@pytest.mark.parametrize(
    ("alertmanager", "is_seen"),
    [
        pytest.param(ACTIVE, True, id="active"),
        pytest.param(SILENCED, True, id="silenced"),
        pytest.param(EMPTY, False, id="gone"),
        pytest.param(alertmanager_with(an_alert("twin")), False, id="another Alertmanager's, of equal labels"),
    ],
)
def test_group_is_seen_when_an_alert_of_its_webhook_is_here(
    alertmanager: AlertmanagerSnapshot, *, is_seen: bool
) -> None:
    plan = plan_of(alertmanager, irm_with(a_keyed_group()))

    assert plan.seen == (a_recall(seen=[a_keyed_group()]).seen if is_seen else frozenset())


def test_ends_of_silences_are_told() -> None:
    plan = recalled(SILENCED, irm_with(), a_recall(an_intervention()))

    assert plan.silence_ends == (a_silence().ends_at,)
