"""Aggregation groups that fire and have no alert group: which count, what is asked, what is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from alert_sync.missing import known_receivers, missing_groups
from alert_sync.model import (
    Action,
    Alert,
    AlertGroup,
    AlertGroupState,
    AlertmanagerSnapshot,
    Change,
    Finding,
    IrmSnapshot,
    Matcher,
    Member,
    MissingAction,
    Notification,
    Policy,
    Question,
    Verdict,
)
from alert_sync.recall import Recall, Receiver, place_of, sighting_of
from alert_sync.verdicts import Judge
from tests.builders import (
    EXTERNAL_URL,
    GROUP_KEY,
    GROUP_LABELS,
    NOW,
    RECEIVER,
    RECEIVERS,
    a_keyed_group,
    a_notification,
    a_peer,
    a_recall,
    a_silenced_alert,
    alertmanager_with,
    an_aggregation_group,
    an_alert,
    an_alert_group,
    an_intervention,
    irm_with,
    peers_with,
)

ACTIVE = alertmanager_with(an_alert())
NO_GROUPS = irm_with()
NOTIFY = Policy(missing_action=MissingAction.NOTIFY)
BEGAN = NOW - timedelta(hours=2)
REMEMBERED = a_recall(receivers=RECEIVERS)
SEEN = ("I1", "I2")
Found = tuple[tuple[Change, ...], tuple[Question, ...]]


def sightings(irm: IrmSnapshot) -> frozenset[str]:
    return frozenset(sighting_of(group) for group in irm.alert_groups if group.id in SEEN)


def seen_of(irm: IrmSnapshot) -> frozenset[str]:
    """All but I3, which is another Alertmanager's."""
    return frozenset(sighting_of(group) for group in irm.alert_groups if group.id != "I3")


def found(
    alertmanager: AlertmanagerSnapshot = ACTIVE,
    irm: IrmSnapshot = NO_GROUPS,
    recall: Recall = REMEMBERED,
    policy: Policy | None = None,
    *,
    told: Mapping[str, str] | None = None,
) -> Found:
    policy = policy or Policy()
    judge = Judge(alertmanager, policy, NOW)
    return missing_groups(alertmanager, irm, recall, judge, policy, now=NOW, seen=sightings(irm), told=told)


def questions(
    alertmanager: AlertmanagerSnapshot = ACTIVE,
    irm: IrmSnapshot = NO_GROUPS,
    recall: Recall = REMEMBERED,
    policy: Policy | None = None,
) -> tuple[Question, ...]:
    """What would be asked about, if it is certain that it is missing so far."""
    changes, asked = found(alertmanager, irm, recall, policy)
    assert changes == ()
    return asked


def untold(*asked: Question) -> dict[str, str]:
    return {question.key: "" for question in asked}


def the_missing_group(*alerts: Alert, group_key: str = GROUP_KEY) -> AlertGroup:
    """What IRM would have for these alerts."""
    members = alerts or (an_alert(),)
    webhook = {"groupKey": group_key, "externalURL": EXTERNAL_URL, "version": "4"} if group_key else {}
    return AlertGroup(
        id="",
        title="alertname=HighLatency, cluster=eu",
        url="",
        state=AlertGroupState.RESOLVED,
        created_at=BEGAN,
        integration_id="C1",
        team_id="",
        notification=Notification(
            receiver=RECEIVER,
            group_labels=frozenset(GROUP_LABELS.items()),
            firing={alert.fingerprint: alert.labels for alert in members},
            webhook=webhook,
        ),
    )


def finding_of(group: AlertGroup, *members: Member, late: int = 1) -> Finding:
    reason = (
        f"{late} alerts fire in Alertmanager since 2026-11-21 01:00 UTC, and IRM has no alert group: HighLatency f1"
    )
    return Finding(
        alert_group=group, verdict=Verdict.MISSING, reason=reason, members=members or (Member(alert=an_alert()),)
    )


# --- what is missing


def test_group_that_fires_and_that_irm_does_not_have_is_asked_about_first() -> None:
    group = the_missing_group()

    assert found() == ((), (Question(key=place_of(group), alert_group=group, since=BEGAN),))


@pytest.mark.parametrize(
    ("policy", "action"), [(Policy(), Action.REPORT), (NOTIFY, Action.NOTIFY)], ids=["report", "notify"]
)
def test_missing_group_is_dealt_with_as_the_setting_says(policy: Policy, action: Action) -> None:
    group = the_missing_group()

    result = found(policy=policy, told={place_of(group): ""})

    assert result == ((Change(finding=finding_of(group), action=action),), ())


def test_group_that_a_person_resolved_is_not_missing() -> None:
    told = {place_of(the_missing_group()): "alert group I1 was resolved by a person"}

    assert found(told=told) == ((), ())


def test_question_that_could_not_be_answered_stays_one() -> None:
    """So that what is known of the mismatch, and what a person said about it, is not taken for over."""
    assert found(told={}) == found(told=None)


def test_nothing_is_missing_without_memory() -> None:
    """Receivers would be known, but not what this service itself has resolved."""
    assert found(recall=Recall(receivers=RECEIVERS)) == ((), ())


def test_group_of_an_unknown_receiver_is_not_missing() -> None:
    assert questions(recall=a_recall()) == ()


def test_receiver_is_known_from_any_alert_group_that_is_open_now() -> None:
    other = an_alert_group(notification=a_notification("f9", group_labels={"alertname": "Other", "cluster": "us"}))

    assert [each.alert_group.integration_id for each in questions(irm=irm_with(other), recall=a_recall())] == ["C1"]


def test_receiver_is_compared_as_webhooks_write_it() -> None:
    alertmanager = peers_with(a_peer(an_aggregation_group(an_alert(), receiver="team (a)")))
    recall = a_recall(receivers={r"team \(a\)": RECEIVERS[RECEIVER]})

    (question,) = questions(alertmanager, recall=recall)

    assert question.alert_group.notification is not None
    assert question.alert_group.notification.receiver == r"team \(a\)"


@pytest.mark.parametrize(
    ("starts_at", "is_missing"),
    [
        pytest.param(NOW - timedelta(minutes=10), False, id="group wait and interval have just passed"),
        pytest.param(NOW - timedelta(minutes=10, seconds=1), True, id="a second longer"),
        pytest.param(None, False, id="nobody knows since when"),
    ],
)
def test_alert_must_fire_long_enough_to_have_reached_irm(starts_at: datetime | None, *, is_missing: bool) -> None:
    alertmanager = alertmanager_with(an_alert(starts_at=starts_at))

    assert bool(questions(alertmanager)) is is_missing


def test_alert_that_does_not_say_since_when_says_nothing_about_when_it_all_began() -> None:
    """Its record may not even be understood, and its time be the beginning of the calendar."""
    alertmanager = alertmanager_with(an_alert(), an_alert("f2", starts_at=None, updated_at=NOW - timedelta(days=1)))

    assert [question.since for question in questions(alertmanager)] == [BEGAN]


def test_what_has_fired_for_years_is_asked_about_for_a_month_only() -> None:
    began = datetime(1, 1, 1, tzinfo=UTC)

    assert [each.since for each in questions(alertmanager_with(an_alert(starts_at=began)))] == [
        NOW - timedelta(days=30)
    ]


def test_receiver_that_nothing_came_from_for_a_month_may_lead_elsewhere_now() -> None:
    recall = a_recall(receivers={RECEIVER: Receiver(integration_id="C1", seen_on="2026-10-21")})

    assert questions(alertmanager_with(an_alert()), recall=recall) == ()


def test_group_whose_alerts_are_silenced_is_not_missing() -> None:
    assert questions(alertmanager_with(a_silenced_alert())) == ()


def test_silenced_member_does_not_hide_the_active_one() -> None:
    (question,) = questions(alertmanager_with(a_silenced_alert("f2"), an_alert("f1")))

    assert question.alert_group == the_missing_group(an_alert("f1"), an_alert("f2"))


@pytest.mark.parametrize(
    "group",
    [
        pytest.param(a_keyed_group(), id="its own"),
        pytest.param(
            an_alert_group(notification=a_notification("f9", group_key="another key")), id="same receiver and labels"
        ),
        pytest.param(
            an_alert_group(notification=a_notification("f1", group_labels={"cluster": "eu"})), id="lists the alert"
        ),
        pytest.param(
            an_alert_group(notification=a_notification("f9", receiver="renamed", group_key=GROUP_KEY)),
            id="same group key from a receiver of another name",
        ),
    ],
)
@pytest.mark.parametrize("state", [AlertGroupState.FIRING, AlertGroupState.ACKNOWLEDGED], ids=str)
def test_group_that_has_an_open_alert_group_is_not_missing(group: AlertGroup, state: AlertGroupState) -> None:
    assert questions(irm=irm_with(replace(group, state=state))) == ()


@pytest.mark.parametrize(
    "group",
    [
        pytest.param(a_keyed_group(), id="its own"),
        pytest.param(
            an_alert_group(notification=a_notification("f1", receiver="renamed", group_key=GROUP_KEY)),
            id="same group key from a receiver of another name",
        ),
    ],
)
def test_group_that_we_made_quiet_is_handed_back_and_not_missing(group: AlertGroup) -> None:
    assert questions(recall=a_recall(an_intervention(group), receivers=RECEIVERS)) == ()


def test_group_is_looked_for_once_over_all_peers() -> None:
    peers = [a_peer(an_aggregation_group(an_alert()), url=f"http://{name}") for name in "ab"]

    assert len(questions(peers_with(*peers))) == 1


def test_alert_that_another_peer_calls_active_counts_with_its_standing_record() -> None:
    young = an_alert(starts_at=NOW)
    peers = [
        a_peer(an_aggregation_group(replace(young, updated_at=NOW)), url="http://a"),
        a_peer(an_aggregation_group(an_alert()), url="http://b"),
    ]

    assert questions(peers_with(*peers)) == ()


@pytest.mark.parametrize(
    "policy",
    [
        pytest.param(Policy(integration_ids=frozenset({"C2"})), id="another integration"),
        pytest.param(Policy(team_id="T2"), id="another team"),
        pytest.param(
            Policy(matchers=(Matcher(name="severity", value="critical", is_regex=False, is_equal=True),)),
            id="no alert matches",
        ),
    ],
)
def test_group_out_of_scope_is_not_missing(policy: Policy) -> None:
    assert questions(policy=policy) == ()


def test_groups_come_in_an_order_of_their_own() -> None:
    groups = [
        an_aggregation_group(an_alert(f"f{n}"), group_labels=GROUP_LABELS | {"cluster": str(n)}) for n in range(3)
    ]

    plans = [found(peers_with(a_peer(*order))) for order in (groups, groups[::-1])]

    assert plans[0] == plans[1]
    assert [question.alert_group.title for question in plans[0][1]] == [
        f"alertname=HighLatency, cluster={n}" for n in range(3)
    ]


def test_group_without_labels_is_named_after_its_receiver() -> None:
    alertmanager = peers_with(a_peer(an_aggregation_group(an_alert(), group_labels={})))

    assert [question.alert_group.title for question in questions(alertmanager)] == ["receiver oncall"]


# --- whether it can be paged for


@pytest.mark.parametrize(
    "routes",
    [
        pytest.param({}, id="never seen such group labels"),
        pytest.param({"alertname,cluster": ""}, id="several routes have them"),
    ],
)
def test_group_whose_key_is_not_certain_is_only_reported(routes: Mapping[str, str]) -> None:
    recall = a_recall(receivers={RECEIVER: Receiver(integration_id="C1", seen_on="2026-11-21", routes=routes)})
    group = the_missing_group(group_key="")

    changes, _ = found(recall=recall, policy=NOTIFY, told={place_of(group): ""})

    assert changes == (Change(finding=finding_of(group), action=Action.REPORT),)


@pytest.mark.parametrize(
    ("value", "action"),
    [
        pytest.param("eu west", Action.NOTIFY, id="a space"),
        pytest.param("日本 äöü", Action.NOTIFY, id="letters of others"),
        pytest.param("eu\u00a0west", Action.REPORT, id="a space that does not break"),
        pytest.param("eu\twest", Action.REPORT, id="tab"),
        pytest.param("eu\x7fwest", Action.REPORT, id="delete"),
        pytest.param("eu\u200bwest", Action.REPORT, id="no width"),
    ],
)
def test_group_whose_label_cannot_be_printed_is_only_reported(value: str, action: Action) -> None:
    """Alertmanager writes it into the group key in a way of its own: the page would be another alert group."""
    labels = GROUP_LABELS | {"cluster": value}
    alertmanager = peers_with(a_peer(an_aggregation_group(an_alert(), group_labels=labels)))
    (question,) = questions(alertmanager)

    changes, _ = found(alertmanager, policy=NOTIFY, told=untold(question))

    group_key = f'{{}}:{{alertname="HighLatency", cluster="{value}"}}'
    (change,) = changes
    assert change.finding.alert_group.notification is not None
    assert (change.action, change.finding.alert_group.notification.webhook.get("groupKey")) == (
        action,
        group_key if action is Action.NOTIFY else None,
    )


def test_groups_whose_key_is_not_certain_are_told_apart() -> None:
    recall = a_recall(receivers={RECEIVER: Receiver(integration_id="C1", seen_on="2026-11-21")})
    alertmanager = peers_with(
        a_peer(
            an_aggregation_group(an_alert("f1")),
            an_aggregation_group(an_alert("f2"), group_labels={"alertname": "Other"}),
        )
    )
    own, other = questions(alertmanager, recall=recall)

    changes, _ = found(alertmanager, recall=recall, told={own.key: "", other.key: "resolved by a person"})

    assert [change.finding.alert_group.title for change in changes] == ["alertname=HighLatency, cluster=eu"]


# --- what is known of receivers


@pytest.mark.parametrize(
    ("seen_on", "is_known"), [("2026-10-22", True), ("2026-10-21", False), ("", False)], ids=["30 days", "31", "never"]
)
def test_receiver_that_has_not_been_seen_for_a_month_may_lead_elsewhere(seen_on: str, *, is_known: bool) -> None:
    recall = a_recall(receivers={RECEIVER: replace(RECEIVERS[RECEIVER], seen_on=seen_on)})

    assert bool(learnt(recall=recall)) is is_known


def test_receiver_that_is_seen_today_is_known_from_today() -> None:
    old = a_recall(receivers={RECEIVER: replace(RECEIVERS[RECEIVER], seen_on="2026-11-01")})

    assert learnt(a_keyed_group(), recall=old) == RECEIVERS


def test_routes_that_are_remembered_are_bounded() -> None:
    """The oldest of them go first: an item has its limit."""
    many = {f"label{number}": "{}" for number in range(100)}
    recall = a_recall(receivers={RECEIVER: replace(RECEIVERS[RECEIVER], routes=many)})

    routes = learnt(a_keyed_group(), recall=recall)[RECEIVER].routes

    assert list(routes) == [f"label{number}" for number in range(50, 100)] + ["alertname,cluster"]


def test_alert_group_that_we_told_irm_of_without_success_is_still_missing() -> None:
    told = an_intervention(a_keyed_group(), action=Action.NOTIFY, verdict=Verdict.MISSING, is_done=False)

    assert len(questions(recall=a_recall(told, receivers=RECEIVERS))) == 1


def learnt(*groups: AlertGroup, recall: Recall | None = None) -> Mapping[str, Receiver]:
    irm = irm_with(*groups)
    return known_receivers(recall or a_recall(), irm, sightings(irm), now=NOW)


def test_receiver_is_learnt_from_an_alert_group() -> None:
    assert learnt(a_keyed_group()) == RECEIVERS


def test_receiver_that_has_no_open_group_now_stays_known() -> None:
    assert learnt(recall=REMEMBERED) == RECEIVERS


def test_route_that_is_not_written_as_we_would_write_it_is_not_certain() -> None:
    group = a_keyed_group(group_key='{}:{alertname="High\\x00Latency", cluster="eu"}')

    assert learnt(group)[RECEIVER].routes == {"alertname,cluster": ""}


@pytest.mark.parametrize(
    "value", ['with "quotes"', "back\\slash", "new\nline", "äöü", "日本", "<&>", "{}", "a=b, c"], ids=repr
)
def test_route_is_found_whatever_the_labels_hold(value: str) -> None:
    """Quoted as Go does, which for these is as JSON does."""
    quoted = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    notification = a_notification(group_labels={"a": value}, group_key=f'{{}}/{{r="x"}}:{{a="{quoted}"}}')

    assert learnt(an_alert_group(notification=notification))[RECEIVER].routes == {"a": '{}/{r="x"}'}


def test_two_routes_with_the_same_group_labels_are_not_certain() -> None:
    other = a_keyed_group("I2", group_key=GROUP_KEY.replace("{}", '{}/{team="a"}', 1))

    known = [learnt(*order)[RECEIVER].routes for order in ((a_keyed_group(), other), (other, a_keyed_group()))]

    assert known == [{"alertname,cluster": ""}] * 2


def test_what_is_not_certain_stays_so() -> None:
    uncertain = {RECEIVER: replace(RECEIVERS[RECEIVER], routes={"alertname,cluster": ""})}

    assert learnt(a_keyed_group(), recall=a_recall(receivers=uncertain)) == uncertain


def test_receiver_that_leads_to_two_integrations_is_known_by_its_newest_group() -> None:
    groups = [
        a_keyed_group("I1", integration_id="C1", created_at=NOW - timedelta(hours=2)),
        a_keyed_group("I2", integration_id="C2", created_at=NOW - timedelta(hours=1)),
    ]

    known = [learnt(*order)[RECEIVER].integration_id for order in (groups, groups[::-1])]

    assert known == ["C2", "C2"]


@pytest.mark.parametrize(
    "group",
    [
        pytest.param(an_alert_group(managed=False), id="not Alertmanager's"),
        pytest.param(an_alert_group(notification=a_notification(legacy=True)), id="legacy: no receiver"),
        pytest.param(an_alert_group("I3"), id="another Alertmanager's"),
    ],
)
def test_receiver_is_not_learnt_from_what_names_none(group: AlertGroup) -> None:
    assert learnt(group) == {}
