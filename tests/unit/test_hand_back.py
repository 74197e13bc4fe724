"""What becomes of the alert groups that this service made quiet: handed back, remembered, forgotten, or a person's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from alert_sync.hand_back import Afterwards, follow_up, is_ours
from alert_sync.model import (
    Action,
    AlertGroup,
    AlertGroupState,
    AlertmanagerSnapshot,
    Change,
    Finding,
    IrmSnapshot,
    Policy,
    Question,
    SilenceState,
    Verdict,
)
from alert_sync.recall import Intervention, key_of
from alert_sync.verdicts import Judge
from tests.builders import (
    NOW,
    a_keyed_group,
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

KEY = key_of(a_keyed_group())
SILENCED = alertmanager_with(a_silenced_alert())
ACTIVE = alertmanager_with(an_alert(), silences=[])
EMPTY = alertmanager_with()
NOTHING_OPEN = irm_with()
UNTOLD = {KEY: ""}
OVER = Afterwards(forgotten={KEY: ""})
PAGED_FOR_BY_I2 = Afterwards(forgotten={KEY: "alert group I2 is open for it"})
REMEMBERED = Afterwards()
LONG_LOG_LIFE = timedelta(hours=120)


def after(
    intervention: Intervention,
    alertmanager: AlertmanagerSnapshot,
    irm: IrmSnapshot = NOTHING_OPEN,
    *,
    told: Mapping[str, str] | None = None,
) -> Afterwards:
    judge = Judge(alertmanager, Policy(), NOW)
    return follow_up(a_recall(intervention), judge, irm, now=NOW, told=told)


def page_again(intervention: Intervention, alertmanager: AlertmanagerSnapshot, *, reason: str) -> Afterwards:
    """The alert group of the intervention, which is resolved by now, is handed back with all its alerts."""
    group = replace(intervention.alert_group, state=AlertGroupState.RESOLVED)
    assert group.notification is not None
    members = Judge(alertmanager, Policy(), NOW).members(group.notification)
    finding = Finding(alert_group=group, verdict=Verdict.FIRING, reason=reason, members=members)
    return Afterwards(changes=(Change(finding=finding, action=Action.NOTIFY),))


# --- a group that we resolved


def test_silenced_group_stays_resolved_until_its_silence_ends() -> None:
    assert after(an_intervention(), SILENCED) == Afterwards(silence_ends=(a_silence().ends_at,))


def test_first_silence_that_ends_is_when_to_look_again() -> None:
    silences = [a_silence("s1", ends_in=timedelta(hours=2)), a_silence("s2", ends_in=timedelta(hours=1))]
    alertmanager = alertmanager_with(
        a_silenced_alert("f1", by=("s1",)), a_silenced_alert("f2", by=("s2",)), silences=silences
    )

    assert after(an_intervention(), alertmanager) == Afterwards(silence_ends=(NOW + timedelta(hours=1),))


def test_group_of_which_one_alert_is_inhibited_has_no_end_to_wait_for() -> None:
    alertmanager = alertmanager_with(a_silenced_alert(), an_inhibited_alert("f2"))

    assert after(an_intervention(), alertmanager) == REMEMBERED


def test_alert_that_is_active_again_is_asked_about_first() -> None:
    resolved = an_intervention()

    since = resolved.acted_at
    asked = Question(key=KEY, alert_group=resolved.alert_group, since=since, acted_at=since, alerts=frozenset({"f1"}))
    assert after(resolved, ACTIVE) == Afterwards(questions=(asked,))


def test_irm_is_asked_about_the_time_since_the_run_that_made_it_quiet_began_to() -> None:
    """That run may have been slow, or have died."""
    intended_at = NOW - timedelta(minutes=12)

    (question,) = after(an_intervention(intended_at=intended_at), ACTIVE).questions

    assert (question.since, question.acted_at) == (intended_at, NOW - timedelta(minutes=10))


def test_question_that_could_not_be_answered_is_asked_again() -> None:
    resolved = an_intervention()

    assert after(resolved, ACTIVE, told={}) == after(resolved, ACTIVE, told=None)


def test_alert_that_is_active_again_pages_again() -> None:
    resolved = an_intervention()

    reason = (
        "1 of 1 alerts fire in Alertmanager: HighLatency f1, and IRM is quiet since this service resolved it "
        "(2026-11-21 02:50 UTC)"
    )
    assert after(resolved, ACTIVE, told=UNTOLD) == page_again(resolved, ACTIVE, reason=reason)


def test_one_active_alert_is_enough_to_page_again() -> None:
    alertmanager = alertmanager_with(a_silenced_alert("f1"), an_alert("f2"))

    handed_back = after(an_intervention(), alertmanager, told=UNTOLD)

    assert [change.action for change in handed_back.changes] == [Action.NOTIFY]


def test_group_that_irm_was_told_of_meanwhile_is_forgotten() -> None:
    told = {KEY: "IRM was told of it since: alert group I2"}

    assert after(an_intervention(), ACTIVE, told=told) == Afterwards(forgotten=told)


@pytest.mark.parametrize(
    "state", [AlertGroupState.FIRING, AlertGroupState.ACKNOWLEDGED, AlertGroupState.SILENCED], ids=str
)
def test_newer_open_group_of_the_same_key_ends_our_concern(state: AlertGroupState) -> None:
    newer = a_keyed_group("I2", state=state)

    assert after(an_intervention(), ACTIVE, irm_with(newer), told=UNTOLD) == PAGED_FOR_BY_I2


def test_newer_open_group_that_lists_the_alerts_ends_our_concern() -> None:
    """The routes were edited: the same alerts come under another group key."""
    newer = a_keyed_group("I2", group_key='{}/{team="a"}:{alertname="HighLatency", cluster="eu"}')

    assert after(an_intervention(), ACTIVE, irm_with(newer), told=UNTOLD) == PAGED_FOR_BY_I2


def test_newer_open_group_that_lists_only_some_of_the_alerts_does_not_end_our_concern() -> None:
    newer = a_keyed_group("I2", group_key="after the edit")

    handed_back = after(an_intervention(), alertmanager_with(an_alert(), an_alert("f2")), irm_with(newer), told=UNTOLD)

    assert [change.finding.alert_group.id for change in handed_back.changes] == ["I1"]


def test_alert_that_alertmanager_sends_for_another_group_now_is_not_ours_to_hand_back() -> None:
    """Alertmanager announces it itself, under the new group key; it may come back, so it is remembered."""
    regrouped = peers_with(a_peer(an_aggregation_group(an_alert(), group_labels={"alertname": "HighLatency"})))

    assert after(an_intervention(), regrouped, told=UNTOLD) == REMEMBERED


def test_page_for_what_irm_never_had_is_looked_for_anew() -> None:
    missing = an_intervention(action=Action.NOTIFY, verdict=Verdict.MISSING, is_done=False)

    assert after(missing, ACTIVE, told=UNTOLD) == OVER


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(a_keyed_group("I2", integration_id="C2"), id="another integration"),
        pytest.param(
            an_alert_group("I2", notification=a_notification(receiver="team-b", group_key="another route's")),
            id="another route, by continue",
        ),
    ],
)
def test_newer_open_group_that_pages_somebody_else_does_not_end_our_concern(other: AlertGroup) -> None:
    handed_back = after(an_intervention(), ACTIVE, irm_with(other), told=UNTOLD)

    assert [change.finding.alert_group.id for change in handed_back.changes] == ["I1"]


def test_newer_group_that_is_resolved_already_does_not_end_our_concern_by_itself() -> None:
    closed = a_keyed_group("I2", state=AlertGroupState.RESOLVED)

    handed_back = after(an_intervention(), ACTIVE, irm_with(closed), told=UNTOLD)

    assert [change.finding.alert_group.id for change in handed_back.changes] == ["I1"]


def test_group_that_nobody_opened_and_whose_alerts_are_gone_is_remembered() -> None:
    """It may fire again within repeat_interval, and Alertmanager would not announce that. (Truth table row 7.)"""
    assert after(an_intervention(acted_at=NOW - LONG_LOG_LIFE), EMPTY) == REMEMBERED


def test_group_whose_alerts_are_gone_for_longer_than_the_notification_log_lives_is_forgotten() -> None:
    old = an_intervention(acted_at=NOW - LONG_LOG_LIFE - timedelta(seconds=1))

    assert after(old, EMPTY) == OVER


def test_absence_in_an_alertmanager_that_is_not_trusted_forgets_nothing() -> None:
    old = an_intervention(acted_at=NOW - 2 * LONG_LOG_LIFE)

    assert after(old, peers_with(a_peer(started_at=NOW))) == REMEMBERED


def test_group_that_is_still_silenced_is_remembered_however_long_ago() -> None:
    old = an_intervention(acted_at=NOW - 2 * LONG_LOG_LIFE)

    assert after(old, SILENCED).forgotten == {}


def test_group_without_a_notification_has_no_alerts() -> None:
    odd = an_intervention(an_alert_group(managed=False))

    assert after(odd, ACTIVE) == REMEMBERED


def test_group_that_a_person_opened_again_is_left_alone() -> None:
    alone = {
        "I1": "a person opened it again after this service resolved it (2026-11-21 02:50 UTC); "
        "left alone until its silences change"
    }

    undone = {KEY: an_intervention().silences}
    assert after(an_intervention(), SILENCED, irm_with(a_keyed_group())) == Afterwards(left_alone=alone, undone=undone)


def test_older_group_of_the_same_key_that_a_person_opened_again_is_left_alone_too() -> None:
    older = replace(a_keyed_group("I0"), created_at=a_keyed_group().created_at - timedelta(hours=1))

    afterwards = after(an_intervention(), SILENCED, irm_with(older))

    assert (list(afterwards.left_alone), afterwards.forgotten) == (["I1"], {})


def test_group_that_followed_the_older_one_that_a_person_opened_again_ends_our_concern() -> None:
    older = replace(a_keyed_group("I0"), created_at=a_keyed_group().created_at - timedelta(hours=1))
    newer = replace(a_keyed_group("I2"), created_at=a_keyed_group().created_at + timedelta(hours=1))

    assert list(after(an_intervention(), SILENCED, irm_with(older, newer)).forgotten) == [KEY]


def test_group_that_was_seen_to_be_opened_again_is_left_alone_as_long_as_nothing_changes() -> None:
    undone = replace(an_intervention(), is_undone=True)

    afterwards = after(undone, SILENCED, irm_with(a_keyed_group()))

    assert (list(afterwards.left_alone), afterwards.undone) == (["I1"], {})


def test_person_who_opened_the_group_under_a_newer_silence_is_not_overruled_by_it() -> None:
    newer = alertmanager_with(a_silenced_alert(by=("s2",)), silences=[a_silence("s2")])

    afterwards = after(an_intervention(), newer, irm_with(a_keyed_group()))

    assert (list(afterwards.left_alone), list(afterwards.undone)) == (["I1"], [KEY])


@pytest.mark.parametrize(
    "alertmanager",
    [
        pytest.param(EMPTY, id="it holds none of its alerts"),
        pytest.param(peers_with(a_peer(an_aggregation_group(an_inhibited_alert()), started_at=NOW)), id="restarted"),
    ],
)
def test_alertmanager_that_says_nothing_of_the_silences_does_not_overrule_the_person(
    alertmanager: AlertmanagerSnapshot,
) -> None:
    assert list(after(an_intervention(), alertmanager, irm_with(a_keyed_group())).left_alone) == ["I1"]


def test_extended_silence_does_not_overrule_the_person_who_opened_the_group() -> None:
    extended = alertmanager_with(a_silenced_alert(), silences=[a_silence(ends_in=timedelta(days=1))])

    assert list(after(an_intervention(), extended, irm_with(a_keyed_group())).left_alone) == ["I1"]


@pytest.mark.parametrize(
    "alertmanager",
    [
        pytest.param(ACTIVE, id="the silence ended"),
        pytest.param(alertmanager_with(a_silenced_alert(by=("s2",)), silences=[a_silence("s2")]), id="another silence"),
        pytest.param(
            alertmanager_with(a_silenced_alert(), silences=[a_silence(state=SilenceState.EXPIRED)]), id="it expired"
        ),
    ],
)
def test_group_that_a_person_opened_again_is_looked_at_anew_once_its_silences_change(
    alertmanager: AlertmanagerSnapshot,
) -> None:
    undone = replace(an_intervention(), is_undone=True)

    assert after(undone, alertmanager, irm_with(a_keyed_group())) == OVER


# --- an intention of a run that died, or that did not work


LONG_ENOUGH = NOW - timedelta(minutes=15)


def test_resolve_that_never_happened_is_forgotten() -> None:
    intended = an_intervention(is_done=False, acted_at=LONG_ENOUGH)

    assert after(intended, SILENCED, irm_with(a_keyed_group())) == OVER


@pytest.mark.parametrize("action", [Action.RESOLVE, Action.NOTIFY], ids=str)
def test_what_irm_may_still_be_processing_is_remembered(action: Action) -> None:
    intended = an_intervention(action=action, is_done=False, acted_at=LONG_ENOUGH + timedelta(seconds=1))

    assert after(intended, ACTIVE, irm_with(a_keyed_group())) == REMEMBERED


def test_resolve_that_did_happen_is_handed_back_although_nobody_recorded_it() -> None:
    intended = an_intervention(is_done=False)

    handed_back = after(intended, ACTIVE, told=UNTOLD)

    assert [change.finding.alert_group.id for change in handed_back.changes] == ["I1"]


@pytest.mark.parametrize("action", [Action.NOTIFY, Action.UNRESOLVE], ids=str)
def test_page_that_did_not_arrive_is_tried_again(action: Action) -> None:
    intended = an_intervention(action=action, is_done=False)

    handed_back = after(intended, ACTIVE, told=UNTOLD)

    assert [change.finding.alert_group.id for change in handed_back.changes] == ["I1"]


def test_page_that_opened_the_old_group_again_is_not_taken_for_a_persons() -> None:
    """Unresolved by a run that died."""
    intended = an_intervention(action=Action.NOTIFY, is_done=False, acted_at=LONG_ENOUGH)

    assert after(intended, ACTIVE, irm_with(a_keyed_group())) == OVER


# --- a group that we silenced in IRM

IN_IRM = irm_with(a_keyed_group(state=AlertGroupState.SILENCED, silenced_at=NOW - timedelta(minutes=10)))


def test_silence_of_ours_stays_while_the_alert_is_silenced() -> None:
    assert after(an_irm_silence(), SILENCED, IN_IRM) == Afterwards(silence_ends=(a_silence().ends_at,))


def test_silence_of_ours_is_lifted_when_an_alert_is_active() -> None:
    finding = Judge(ACTIVE, Policy(), NOW).finding(IN_IRM.alert_groups[0])

    lifted = Afterwards(changes=(Change(finding=finding, action=Action.UNSILENCE),))
    assert after(an_irm_silence(), ACTIVE, IN_IRM) == lifted


def test_silence_that_was_to_be_lifted_by_a_run_that_died_is_lifted_now() -> None:
    intended = an_irm_silence(is_done=False)

    lifted = after(replace(intended, action=Action.UNSILENCE), ACTIVE, IN_IRM)

    assert [change.action for change in lifted.changes] == [Action.UNSILENCE]


@pytest.mark.parametrize(
    ("irm", "why"),
    [
        pytest.param(
            irm_with(a_keyed_group(state=AlertGroupState.ACKNOWLEDGED)),
            "a person acknowledged it after this service silenced it",
            id="acknowledged",
        ),
        pytest.param(
            irm_with(a_keyed_group(state=AlertGroupState.SILENCED, silenced_at=NOW - timedelta(minutes=7))),
            "a person silenced it anew after this service did",
            id="silenced by somebody since",
        ),
    ],
)
@pytest.mark.parametrize("alertmanager", [ACTIVE, SILENCED], ids=["active", "silenced"])
def test_group_that_a_person_has_taken_over_is_the_persons(
    irm: IrmSnapshot, why: str, alertmanager: AlertmanagerSnapshot
) -> None:
    assert after(an_irm_silence(), alertmanager, irm) == Afterwards(forgotten={KEY: why})


def test_silenced_group_that_irm_does_not_list_is_remembered_until_its_silence_ends() -> None:
    """It may be resolved; or it changed while the lists were read, and is in none of them."""
    listed_nowhere = [after(an_irm_silence(ends_in=timedelta(seconds=left)), ACTIVE) for left in (1, 0)]

    assert listed_nowhere == [REMEMBERED, OVER]


@pytest.mark.parametrize("silenced_at", [None, NOW - timedelta(minutes=9)], ids=["not told", "the clocks differ"])
def test_silence_is_ours_if_nothing_speaks_for_another(silenced_at: object) -> None:
    group = a_keyed_group(state=AlertGroupState.SILENCED, silenced_at=silenced_at)

    lifted = after(an_irm_silence(), ACTIVE, irm_with(group))

    assert [change.action for change in lifted.changes] == [Action.UNSILENCE]


def test_group_whose_silence_a_person_ended_is_left_alone() -> None:
    alone = {
        "I1": "a person ended the silence in IRM that this service had set (2026-11-21 02:50 UTC); "
        "left alone until its silences change"
    }

    undone = {KEY: an_irm_silence().silences}
    assert after(an_irm_silence(), SILENCED, irm_with(a_keyed_group())) == Afterwards(left_alone=alone, undone=undone)


@pytest.mark.parametrize(
    "silence",
    [
        pytest.param(an_irm_silence(ends_in=timedelta(0)), id="its time is over"),
        pytest.param(replace(an_irm_silence(), silenced_until=None), id="nobody knows until when"),
        pytest.param(an_irm_silence(is_done=False), id="it never happened"),
        pytest.param(replace(an_irm_silence(), action=Action.UNSILENCE), id="we were about to end it"),
    ],
)
def test_group_that_pages_for_another_reason_is_forgotten(silence: Intervention) -> None:
    assert after(silence, SILENCED, irm_with(a_keyed_group())) == OVER


def test_person_who_ended_the_silence_wins_up_to_its_last_second() -> None:
    silence = an_irm_silence(ends_in=timedelta(seconds=1))

    assert list(after(silence, SILENCED, irm_with(a_keyed_group())).left_alone) == ["I1"]


# --- what is ours


OURS = a_keyed_group(state=AlertGroupState.SILENCED)


@pytest.mark.parametrize(
    ("intervention", "group", "expected"),
    [
        pytest.param(an_irm_silence(), OURS, True, id="silenced by us"),
        pytest.param(None, OURS, False, id="nothing remembered"),
        pytest.param(an_intervention(), OURS, False, id="resolved by us"),
        pytest.param(an_irm_silence(), replace(OURS, id="I2"), False, id="the one that followed"),
        pytest.param(an_irm_silence(), replace(OURS, state=AlertGroupState.FIRING), False, id="fires"),
        pytest.param(an_irm_silence(), replace(OURS, silenced_at=NOW), False, id="silenced by another since"),
    ],
)
def test_only_what_we_silenced_and_nobody_since_is_ours(
    intervention: Intervention | None, group: object, expected: object
) -> None:
    assert is_ours(intervention, group) is expected  # type: ignore[arg-type] # a table


# --- several interventions


def test_interventions_are_followed_up_in_an_order_of_their_own() -> None:
    other = an_intervention(
        an_alert_group("I2", notification=a_notification("f2", group_key="other", group_labels={"alertname": "Other"}))
    )
    alertmanager = peers_with(
        a_peer(
            an_aggregation_group(an_alert()), an_aggregation_group(an_alert("f2"), group_labels={"alertname": "Other"})
        )
    )
    judge = Judge(alertmanager, Policy(), NOW)
    orders = [(an_intervention(), other), (other, an_intervention())]

    plans = [
        follow_up(a_recall(*order), judge, NOTHING_OPEN, now=NOW, told={KEY: "", other.key: ""}) for order in orders
    ]

    assert plans[0] == plans[1]
    assert {change.finding.alert_group.id for change in plans[0].changes} == {"I1", "I2"}


def test_each_of_two_group_keys_with_the_same_receiver_and_labels_is_handed_back() -> None:
    """Sibling routes look so, and each has a page of its own in Alertmanager; one too many is better than one less."""
    sibling = a_keyed_group("I2", group_key='{}/{team="b"}:{alertname="HighLatency", cluster="eu"}')
    both = an_intervention(), an_intervention(sibling)
    judge = Judge(ACTIVE, Policy(), NOW)

    handed_back = follow_up(a_recall(*both), judge, NOTHING_OPEN, now=NOW, told={each.key: "" for each in both})

    assert {change.finding.alert_group.id for change in handed_back.changes} == {"I1", "I2"}
