"""SILENCED_ACTION=silence: what we silenced in IRM follows Alertmanager's silences; what a person did stands."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from alert_sync.report import Report
from tests.integration.world import World, outcomes
from tests.support.fake_irm_model import AlertGroup
from tests.support.faults import FaultyProxy, Instead, LoseAnswer, status
from tests.support.loopback_http import Answer

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
SILENCE = r"/silence/"


@pytest.fixture
def world(lasting_world: World) -> World:
    lasting_world.environ["SILENCED_ACTION"] = "silence"
    return lasting_world


def silenced_by_us(world: World) -> AlertGroup:
    """For an hour and an interval, because Alertmanager's silence lasts an hour."""
    group = world.fire()
    world.silence(group)
    report = world.run()
    assert outcomes(report) == {group.id: "applied"}
    return group


def extend(world: World, group: AlertGroup, by: timedelta = HOUR) -> None:
    """Alertmanager keeps the longest of them."""
    world.alertmanager.silence({"alertname": str(group.labels["alertname"])}, ends_in=HOUR + by)


def actions(report: Report) -> list[tuple[str, str]]:
    return [(result.change.action.value, result.outcome.value) for result in report.results]


def left(world: World, group: AlertGroup) -> timedelta:
    """Until IRM pages again."""
    until = world.irm.alert_group(group.id).silenced_until
    assert until is not None
    return until - world.irm.clock.now()


def test_silence_that_still_fits_is_left_as_it_is(world: World) -> None:
    silenced_by_us(world)

    assert world.run().results == ()


def test_silence_is_prolonged_when_alertmanagers_is_extended(world: World) -> None:
    group = silenced_by_us(world)
    extend(world, group)

    report = world.run()
    again = world.run()

    assert (actions(report), again.results) == ([("silence", "applied")], ())
    assert abs(left(world, group) - (2 * HOUR + 5 * MINUTE)) < MINUTE


def test_silence_is_cut_short_when_alertmanagers_is(world: World) -> None:
    group = world.fire()
    long = world.alertmanager.silence({"alertname": str(group.labels["alertname"])}, ends_in=3 * HOUR)
    world.run()
    world.silence(group)
    world.alertmanager.expire_silence(long)

    report = world.run()

    assert actions(report) == [("silence", "applied")]
    assert abs(left(world, group) - (HOUR + 5 * MINUTE)) < MINUTE


def test_silence_is_lifted_when_alertmanagers_is_deleted_and_the_alert_fires(world: World) -> None:
    group = silenced_by_us(world)
    world.expire_silences()

    report = world.run()
    again = world.run()

    assert (actions(report), world.state(group)) == ([("unsilence", "applied")], "firing")
    assert (again.results, world.interventions()) == ((), [])
    assert report.handed_back == 1


def test_silence_stays_when_alertmanagers_is_deleted_and_the_alert_is_gone(world: World) -> None:
    """Lifting it would page for nothing: the lost resolve is repaired in its time."""
    group = silenced_by_us(world)
    world.end(group)
    world.expire_silences()

    report = world.run()

    assert (actions(report), world.state(group)) == ([], "silenced")


def test_silence_that_has_run_out_in_irm_is_made_anew(world: World) -> None:
    """For whatever reason IRM pages while Alertmanager is silent."""
    group = silenced_by_us(world)
    world.pass_time(2 * HOUR)
    before = world.state(group)

    report = world.run()

    assert (before, actions(report), world.state(group)) == ("firing", [("silence", "applied")], "silenced")


# --- only what we did


def test_group_that_a_person_silenced_is_neither_prolonged_nor_lifted(world: World) -> None:
    group = world.fire()
    world.irm.silence(group.id, delay_seconds=600)
    world.silence(group)

    silenced = world.run()
    world.expire_silences()
    ended = world.run()

    assert (silenced.results, ended.results) == ((), ())
    assert (world.state(group), left(world, group) < 11 * MINUTE) == ("silenced", True)


def test_group_that_a_person_silenced_after_us_is_theirs(world: World) -> None:
    group = silenced_by_us(world)
    world.pass_time(10 * MINUTE)
    world.irm.silence(group.id, delay_seconds=86_400)

    extend(world, group)
    extended = world.run()
    world.expire_silences()
    ended = world.run()

    assert (extended.results, ended.results) == ((), ())
    assert left(world, group) > 23 * HOUR


def test_group_that_a_person_unsilenced_is_left_alone_until_its_silences_change(world: World) -> None:
    group = silenced_by_us(world)
    world.irm.unsilence(group.id)

    left_alone = world.run()
    state = world.state(group)
    extend(world, group)
    changed = world.run()

    assert (left_alone.results, state) == ((), "firing")
    assert left_alone.plan is not None
    assert "a person ended the silence in IRM" in left_alone.plan.kept[0].reason
    assert (actions(changed), world.state(group)) == ([("silence", "applied")], "silenced")


@pytest.mark.parametrize("act", ["acknowledge", "resolve"])
def test_group_that_a_person_took_is_theirs(world: World, act: str) -> None:
    group = silenced_by_us(world)
    world.irm.acknowledge(group.id) if act == "acknowledge" else world.irm.resolve(group.id)
    state = world.state(group)
    extend(world, group)

    extended = world.run()
    world.expire_silences()
    ended = world.run()

    assert (extended.results, ended.results) == ((), ())
    assert (world.state(group), world.posted()) == (state, [])


def test_without_memory_a_silenced_group_is_nobodys(world: World) -> None:
    world.state_table = ""
    group = silenced_by_us(world)
    extend(world, group)

    assert world.run().results == ()
    world.expire_silences()
    assert world.run().results == ()
    assert world.state(group) == "silenced"


# --- faults


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        pytest.param(status(429, retry_after="300"), "deferred", id="429"),
        pytest.param(status(500), "failed", id="500"),
        pytest.param(status(400), "failed", id="400"),
    ],
)
@pytest.mark.parametrize("between", ["nothing", "dry run", "SILENCED_ACTION=report"])
def test_prolonging_that_irm_did_not_take_is_done_by_the_next_run(
    *, world: World, fault: Any, outcome: str, between: str
) -> None:
    group = silenced_by_us(world)
    extend(world, group)
    with FaultyProxy(world.irm.url) as proxy:
        proxy.inject(fault, path=SILENCE)
        report = world.run({"GRAFANA_IRM_URL": proxy.url})
    if between != "nothing":
        world.run({"SILENCED_ACTION": "report"} if "=" in between else {}, dry_run=between == "dry run")

    again = world.run()

    assert (actions(report), actions(again)) == ([("silence", outcome)], [("silence", "applied")])
    assert left(world, group) > 2 * HOUR


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(LoseAnswer(), id="reset"),
        pytest.param(Instead(Answer(status=502), is_forwarded=True), id="502 after it was done"),
    ],
)
def test_prolonging_whose_answer_was_lost_is_not_repeated(world: World, fault: Any) -> None:
    group = silenced_by_us(world)
    extend(world, group)
    with FaultyProxy(world.irm.url) as proxy:
        sent = proxy.inject(fault, path=SILENCE)

        report = world.run({"GRAFANA_IRM_URL": proxy.url})

    assert (actions(report), sent.played) == ([("silence", "applied")], 1)
    assert left(world, group) > 2 * HOUR
    assert world.run().results == ()


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        pytest.param(status(429, retry_after="300"), "deferred", id="429"),
        pytest.param(status(500), "failed", id="500"),
    ],
)
def test_lifting_that_irm_did_not_take_is_done_by_the_next_run(world: World, fault: Any, outcome: str) -> None:
    group = silenced_by_us(world)
    world.expire_silences()
    with FaultyProxy(world.irm.url) as proxy:
        proxy.inject(fault, path=r"/unsilence/")
        report = world.run({"GRAFANA_IRM_URL": proxy.url})

    again = world.run()

    assert (actions(report), actions(again)) == ([("unsilence", outcome)], [("unsilence", "applied")])
    assert world.state(group) == "firing"


def test_lifting_that_failed_and_is_no_longer_called_for_leaves_the_silence_to_be_followed(world: World) -> None:
    """Alertmanager is silent again, and for longer: IRM must not begin to page meanwhile."""
    group = silenced_by_us(world)
    world.expire_silences()
    with FaultyProxy(world.irm.url) as proxy:
        proxy.inject(status(500), path=r"/unsilence/")
        world.run({"GRAFANA_IRM_URL": proxy.url})
    extend(world, group)

    world.run()

    assert left(world, group) > 2 * HOUR


def test_change_to_resolving_takes_over_what_was_silenced(world: World) -> None:
    """A person changes the setting: what we silenced is still lifted, and not resolved in a state that is theirs."""
    group = silenced_by_us(world)
    world.environ["SILENCED_ACTION"] = "resolve"
    kept = world.run()
    world.expire_silences()

    report = world.run()

    assert kept.results == ()
    assert (actions(report), world.state(group)) == ([("unsilence", "applied")], "firing")
