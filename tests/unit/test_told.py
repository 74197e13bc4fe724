"""Whether IRM has been told of an alert group's alerts since: what says so, and what is left unanswered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from alert_sync.call import Upstream
from alert_sync.credentials import NoAuth
from alert_sync.deadline import Deadline
from alert_sync.errors import PermanentUpstreamError, TransientUpstreamError, UpstreamError
from alert_sync.hand_back import CLOCK_TOLERANCE
from alert_sync.http_transport import HttpTransport
from alert_sync.irm import IrmClient
from alert_sync.model import AlertGroup, AlertGroupState, Question
from alert_sync.recall import key_of, place_of
from alert_sync.told import read_told
from tests.builders import GROUP_KEY, NOW, RECEIVER, a_keyed_group, a_notification, an_alert_group

SECOND, MINUTE, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)
ACTED = NOW - 10 * MINUTE
LONG_BEFORE = ACTED - 50 * MINUTE
BEGAN = NOW - 20 * MINUTE
"""When alerts began to fire of which IRM has nothing."""
OTHER_KEY = '{}/{team="db"}:{alertname="HighLatency", cluster="eu"}'
UNKNOWN = "whether IRM should page again could not be found out"
NOT_TOLD = ""
TOLD_BY_I2 = "IRM was told of it since: alert group I2"

Told = tuple[dict[str, str], tuple[str, ...]]


class Irm(IrmClient):
    """Holds these alert groups.

    `unlisted` and `unread` are what reading the list of an integration, or one alert group, fails with. A list from
    further back than `longest` fails as well: it would be too long. `lists` is what was asked for.
    """

    def __init__(
        self,
        *groups: AlertGroup,
        unlisted: Mapping[str, UpstreamError] | None = None,
        unread: Mapping[str, UpstreamError] | None = None,
        longest: timedelta = 30 * DAY,
    ) -> None:
        upstream = Upstream(name="Grafana IRM", base_url="http://irm.example", authorizer=NoAuth())
        super().__init__(HttpTransport(), upstream)
        self._groups = {group.id: group for group in groups}
        self._unlisted = unlisted or {}
        self._unread = unread or {}
        self._longest = longest
        self.lists: list[tuple[str, datetime]] = []

    def read_resolved(
        self,
        integration_id: str,
        deadline: Deadline,  # noqa: ARG002 - the interface's
        *,
        since: datetime,
        now: datetime,
    ) -> tuple[AlertGroup, ...]:
        self.lists.append((integration_id, since))
        if integration_id in self._unlisted:
            raise self._unlisted[integration_id]
        if now - since > self._longest:
            raise slow("list resolved alert groups")
        resolved = [
            each for each in self._groups.values() if each.integration_id == integration_id and not each.is_open
        ]
        return tuple(group for group in resolved if group.created_at >= since)

    def read_alert_group(self, alert_group_id: str, deadline: Deadline) -> AlertGroup:  # noqa: ARG002
        if alert_group_id in self._unread:
            raise self._unread[alert_group_id]
        if alert_group_id not in self._groups:
            raise refused(404)
        return self._groups[alert_group_id]


def refused(status: int, operation: str = "read alert group") -> PermanentUpstreamError:
    return PermanentUpstreamError("Grafana IRM", operation, f"status {status}", status=status)


def slow(operation: str) -> TransientUpstreamError:
    return TransientUpstreamError("Grafana IRM", operation, "no answer in time")


def resolved(group: AlertGroup, at: datetime | None = ACTED, by: str = "") -> AlertGroup:
    """By Alertmanager, unless somebody is named."""
    return replace(group, state=AlertGroupState.RESOLVED, resolved_at=at, resolved_by=by)


def ours(group_id: str = "I1", *, created_at: datetime = LONG_BEFORE, **more: Any) -> AlertGroup:
    """An alert group that we resolved, ten minutes ago."""
    return resolved(a_keyed_group(group_id, created_at=created_at, **more), by="us")


def another(
    group_id: str = "I2",
    *firing: str,
    receiver: str = RECEIVER,
    group_key: str = GROUP_KEY,
    created_at: datetime = ACTED + MINUTE,
    integration_id: str = "C1",
) -> AlertGroup:
    """One of the same group key, which began after that and is resolved by now."""
    notification = a_notification(*firing, receiver=receiver, group_key=group_key)
    group = an_alert_group(group_id, notification=notification, created_at=created_at, integration_id=integration_id)
    return resolved(group, at=NOW)


def of_ours(group: AlertGroup | None = None, *alerts: str, acted_at: datetime = ACTED) -> Question:
    """Whether IRM was told of an alert group since we resolved it, of which these alerts fire."""
    group = group or ours()
    return Question(
        key=key_of(group), alert_group=group, since=acted_at, acted_at=acted_at, alerts=frozenset(alerts or {"f1"})
    )


def of_missing(integration_id: str = "C1", *, group_key: str = GROUP_KEY) -> Question:
    """Whether a person has closed what IRM has no alert group of. It has no id: there is none."""
    group = a_keyed_group("", created_at=BEGAN, integration_id=integration_id, group_key=group_key)
    return Question(key=place_of(group), alert_group=group, since=BEGAN)


def ask(irm: Irm, *questions: Question) -> Told:
    return read_told(irm, questions, Deadline(10), now=NOW)


def answer(irm: Irm, question: Question | None = None) -> str:
    """To the only question, which has one."""
    question = question or of_ours()
    told, faults = ask(irm, question)
    assert (list(told), faults) == ([question.key], ())
    return told[question.key]


def test_irm_is_not_asked_without_a_question() -> None:
    irm = Irm(unlisted={"C1": slow("list resolved alert groups")})

    told = ask(irm)

    assert (told, irm.lists) == (({}, ()), [])


# --- alert groups that say that IRM was told


def test_nothing_but_our_own_alert_group_does_not_say_that_irm_was_told() -> None:
    assert answer(Irm(ours())) == NOT_TOLD


@pytest.mark.parametrize("alerts", [("f1",), ("f1", "f2")], ids=["all of them", "some of them"])
def test_younger_alert_group_of_the_same_key_says_so_whichever_alerts_it_lists(alerts: tuple[str, ...]) -> None:
    assert answer(Irm(ours(), another("I2", "f1")), of_ours(None, *alerts)) == TOLD_BY_I2


def test_alert_group_of_the_same_receiver_and_labels_that_lists_all_alerts_says_so() -> None:
    irm = Irm(ours(), another("I2", "f1", "f2", "f3", group_key=OTHER_KEY))

    assert answer(irm, of_ours(None, "f1", "f2")) == TOLD_BY_I2


def test_alert_group_of_the_same_receiver_and_labels_that_lists_only_some_alerts_does_not_say_so() -> None:
    irm = Irm(ours(), another("I2", "f1", group_key=OTHER_KEY))

    assert answer(irm, of_ours(None, "f1", "f2")) == NOT_TOLD


def test_alert_group_of_the_same_receiver_and_labels_does_not_say_so_where_no_alert_is_known_to_fire() -> None:
    irm = Irm(ours(), another("I2", "f1", group_key=OTHER_KEY))

    assert answer(irm, replace(of_ours(), alerts=frozenset())) == NOT_TOLD


def test_alert_group_of_another_receiver_that_lists_all_alerts_does_not_say_so() -> None:
    irm = Irm(ours(), another("I2", "f1", receiver="database", group_key=OTHER_KEY))

    assert answer(irm) == NOT_TOLD


def test_alert_group_of_another_integration_does_not_say_so() -> None:
    assert answer(Irm(ours(), another(integration_id="C2"))) == NOT_TOLD


# --- since when


@pytest.mark.parametrize(
    ("began", "reason"),
    [
        pytest.param(ACTED, TOLD_BY_I2, id="when ours was resolved"),
        pytest.param(ACTED - SECOND, NOT_TOLD, id="before"),
    ],
)
def test_alert_group_must_have_begun_since_irm_resolved_ours(began: datetime, reason: str) -> None:
    assert answer(Irm(ours(), another(created_at=began))) == reason


@pytest.mark.parametrize("own", [[], [resolved(ours(), at=None)]], ids=["deleted", "without a time"])
@pytest.mark.parametrize(
    ("began", "reason"),
    [
        pytest.param(ACTED - CLOCK_TOLERANCE, TOLD_BY_I2, id="as far back as the clocks may differ"),
        pytest.param(ACTED - CLOCK_TOLERANCE - SECOND, NOT_TOLD, id="further back"),
    ],
)
def test_where_irm_does_not_say_when_ours_was_resolved_its_clock_may_differ(
    own: list[AlertGroup], began: datetime, reason: str
) -> None:
    # Its list is read together with ours, and goes further back.
    older = of_ours(ours("I9", group_key=OTHER_KEY), "f9", acted_at=ACTED - DAY)

    told = ask(Irm(*own, another(created_at=began)), of_ours(), older)

    assert told == ({of_ours().key: reason, older.key: NOT_TOLD}, ())


def test_alert_group_that_began_before_ours_does_not_say_so_however_soon_ours_followed() -> None:
    question = of_ours(ours(created_at=ACTED - 5 * SECOND))

    assert answer(Irm(another(created_at=ACTED - 10 * SECOND)), question) == NOT_TOLD


def test_what_was_resolved_without_an_alert_group_is_answered_by_a_younger_one() -> None:
    question = of_ours(replace(ours(), id=""))

    assert answer(Irm(another(), unread={"": refused(400)}), question) == TOLD_BY_I2


# --- what people did to ours


@pytest.mark.parametrize(
    "state", [AlertGroupState.FIRING, AlertGroupState.ACKNOWLEDGED, AlertGroupState.SILENCED], ids=str
)
def test_ours_was_opened_again_by_a_person(state: AlertGroupState) -> None:
    opened = replace(ours(), state=state, resolved_at=None)

    assert answer(Irm(opened)) == "a person opened it again"


@pytest.mark.parametrize(
    ("after", "by", "reason"),
    [
        pytest.param(CLOCK_TOLERANCE + SECOND, "ann", "a person resolved it after this service did", id="later"),
        pytest.param(CLOCK_TOLERANCE, "ann", NOT_TOLD, id="as much later as the clocks may differ"),
        pytest.param(CLOCK_TOLERANCE + SECOND, "", NOT_TOLD, id="later, by nobody"),
    ],
)
def test_ours_was_resolved_by_a_person_if_that_was_later_than_by_us(after: timedelta, by: str, reason: str) -> None:
    assert answer(Irm(resolved(ours(), at=ACTED + after, by=by))) == reason


def test_what_a_person_did_to_ours_counts_more_than_a_younger_alert_group() -> None:
    opened = replace(ours(), state=AlertGroupState.FIRING, resolved_at=None)

    assert answer(Irm(opened, another())) == "a person opened it again"


# --- what cannot be found out


def test_ours_that_was_deleted_is_handed_back() -> None:
    assert answer(Irm()) == NOT_TOLD


@pytest.mark.parametrize("error", [slow("read alert group"), refused(403)], ids=["transient", "permanent"])
def test_only_the_question_whose_alert_group_cannot_be_read_is_left_out(error: UpstreamError) -> None:
    readable = of_ours(ours("I3", group_key=OTHER_KEY), "f3")
    irm = Irm(ours(), ours("I3", group_key=OTHER_KEY), another(), unread={"I1": error})

    told = ask(irm, of_ours(), readable)

    assert told == ({readable.key: NOT_TOLD}, (f"{UNKNOWN}: {error}",))


def test_faults_are_told_once_each_and_those_of_older_questions_first() -> None:
    refusal, timeout = refused(403), slow("read alert group")
    questions = [
        of_ours(ours(group_id, group_key=group_id), acted_at=acted_at)
        for group_id, acted_at in {"I1": ACTED, "I2": ACTED - MINUTE, "I3": ACTED - 2 * MINUTE}.items()
    ]
    irm = Irm(unread={"I1": timeout, "I2": refusal, "I3": refusal})

    told = ask(irm, *questions)

    assert told == ({}, (f"{UNKNOWN}: {refusal}", f"{UNKNOWN}: {timeout}"))


def test_list_that_cannot_be_read_leaves_out_the_questions_of_its_integration_only() -> None:
    timeout = slow("list resolved alert groups")
    elsewhere = of_ours(ours("I5", integration_id="C2"))
    irm = Irm(
        ours(), ours("I5", integration_id="C2"), another("I6", integration_id="C2"), another(), unlisted={"C1": timeout}
    )

    told = ask(irm, of_ours(), of_ours(ours("I3", group_key=OTHER_KEY)), elsewhere)

    assert told == ({elsewhere.key: "IRM was told of it since: alert group I6"}, (f"{UNKNOWN}: {timeout}",))


# --- of what IRM has nothing


@pytest.mark.parametrize(
    ("at", "by", "reason"),
    [
        pytest.param(BEGAN + MINUTE, "ann", "alert group I2 was resolved by a person", id="since"),
        pytest.param(None, "ann", "alert group I2 was resolved by a person", id="at an unknown time"),
        pytest.param(
            BEGAN - CLOCK_TOLERANCE, "ann", "alert group I2 was resolved by a person", id="as the clocks may differ"
        ),
        pytest.param(BEGAN - CLOCK_TOLERANCE - SECOND, "ann", NOT_TOLD, id="before"),
        pytest.param(BEGAN + MINUTE, "", NOT_TOLD, id="by nobody"),
    ],
)
def test_missing_one_needs_no_page_if_a_person_resolved_it_since_it_fires(
    at: datetime | None, by: str, reason: str
) -> None:
    group = resolved(another(created_at=BEGAN - DAY), at=at, by=by)

    assert answer(Irm(group), of_missing()) == reason


def test_missing_one_is_found_by_receiver_and_labels_too_whatever_alerts_were_listed() -> None:
    group = resolved(another("I2", "f7", group_key=OTHER_KEY), at=NOW, by="ann")

    assert answer(Irm(group), of_missing()) == "alert group I2 was resolved by a person"


def test_missing_one_is_not_found_by_labels_under_another_receiver() -> None:
    group = resolved(another("I2", receiver="database", group_key=OTHER_KEY), at=NOW, by="ann")

    assert answer(Irm(group), of_missing()) == NOT_TOLD


@pytest.mark.parametrize(
    ("open_for", "reason"),
    [
        pytest.param(7 * DAY, "alert group I2 was resolved by a person", id="a week"),
        pytest.param(7 * DAY + SECOND, NOT_TOLD, id="longer"),
    ],
)
def test_alert_group_that_a_person_resolved_may_have_begun_a_week_before(open_for: timedelta, reason: str) -> None:
    group = resolved(another(created_at=BEGAN - open_for), at=NOW, by="ann")

    assert answer(Irm(group), of_missing()) == reason


def test_missing_one_has_a_list_of_its_own_which_keeps_no_hand_back_from_being_answered() -> None:
    irm = Irm(ours(), another(), longest=DAY)

    told = ask(irm, of_missing(), of_ours())

    timeout = slow("list resolved alert groups")
    assert told == ({of_ours().key: TOLD_BY_I2}, (f"{UNKNOWN}: {timeout}",))
    assert irm.lists == [("C1", BEGAN - 7 * DAY), ("C1", ACTED - CLOCK_TOLERANCE)]


def test_questions_of_one_kind_share_a_list_that_begins_with_the_oldest() -> None:
    older = of_ours(ours("I3", group_key=OTHER_KEY), acted_at=ACTED - MINUTE)
    irm = Irm(ours())

    ask(irm, of_ours(), older, of_missing(), of_missing("C2"))

    assert irm.lists == [
        ("C1", ACTED - MINUTE - CLOCK_TOLERANCE),
        ("C1", BEGAN - 7 * DAY),
        ("C2", BEGAN - 7 * DAY),
    ]
