"""Alert groups whose resolve Alertmanager has lost: resolved after several looks, and never on one doubt.

The looks of these tests are a quarter of an hour apart because what is remembered is made older, not because of a
clock; Alertmanager has been up for as long as the proxy before it says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from alert_sync.model import Verdict
from alert_sync.report import Report, Status
from tests.integration.world import Uptime, World, outcomes, verdicts
from tests.support import tools
from tests.support.alertmanager import Alertmanager, routing_config
from tests.support.fake_irm import FakeIrm
from tests.support.fake_irm_model import AlertGroup
from tests.support.faults import FaultyProxy, Rewrite
from tests.support.webhook_recorder import WebhookRecorder

MINUTE = timedelta(minutes=1)
SOON, LONG_ENOUGH = timedelta(minutes=14), timedelta(minutes=16)
STATUS = r"/v2/status"


@pytest.fixture
def uptime() -> Uptime:
    return Uptime()


@pytest.fixture
def world(lasting_world: World, uptime: Uptime) -> Iterator[World]:
    with FaultyProxy(lasting_world.alertmanager.url) as proxy:
        proxy.inject(Rewrite(uptime), path=STATUS)
        lasting_world.environ["ALERTMANAGER_URL"] = proxy.url
        yield lasting_world


def lost(world: World, *instances: str) -> AlertGroup:
    """An alert group that a run has seen firing here, and whose alerts then resolved under a silence."""
    group = world.fire(*instances)
    world.run()
    world.silence(group)
    for instance in instances or ("a",):
        world.end(group, instance)
    return group


def reasons(report: Report) -> dict[str, str]:
    assert report.plan is not None
    return {finding.alert_group.id: finding.reason for finding in report.plan.kept}


def gone(world: World) -> int:
    """How many open mismatches say so."""
    return sum(mismatch.type is Verdict.GONE for mismatch in world.mismatches())


# --- the promise


def test_lost_resolve_is_repaired_at_the_second_trusted_look_in_time(world: World) -> None:
    group = lost(world)

    first = world.run()
    world.pass_time(LONG_ENOUGH)
    second = world.run()
    third = world.run()

    assert (verdicts(first), outcomes(first)) == ({group.id: "gone"}, {})
    assert "seen for the first time" in reasons(first)[group.id]
    assert (outcomes(second), second.lost_resolves, world.state(group)) == ({group.id: "applied"}, 1, "resolved")
    (note,) = world.notes(group)
    assert "Alertmanager holds none of its alerts, in each look that counts since" in note
    assert (third.results, gone(world)) == ((), 0)


def test_lost_resolve_that_was_seen_a_shorter_time_ago_is_left_open(world: World) -> None:
    group = lost(world)
    world.run()
    world.pass_time(SOON)

    report = world.run()

    assert (verdicts(report), world.state(group)) == ({group.id: "gone"}, "firing")
    assert "resolved after" in reasons(report)[group.id]


def test_looks_are_at_least_an_interval_apart(world: World) -> None:
    group = lost(world)
    world.environ["RECONCILE_INTERVAL"] = "3600"
    world.run()
    world.pass_time(50 * MINUTE)

    early = world.run()
    world.pass_time(15 * MINUTE)
    late = world.run()

    assert (verdicts(early), outcomes(late)) == ({group.id: "gone"}, {group.id: "applied"})


def test_lost_resolve_is_repaired_through_the_integration_too(world: World) -> None:
    world.environ["GRAFANA_IRM_TOKEN"] = world.irm.add_service_account().token
    group = lost(world)
    world.run()
    world.pass_time(LONG_ENOUGH)

    report = world.run()

    assert (outcomes(report), world.state(group)) == ({group.id: "applied"}, "resolved")
    assert [payload["status"] for payload in world.posted()] == ["resolved"]


def test_alert_that_fires_again_after_its_lost_resolve_was_repaired_pages(world: World) -> None:
    """Truth table row 7: Alertmanager's log still says that IRM knows, and the repair is ours."""
    group = lost(world)
    world.run()
    world.pass_time(LONG_ENOUGH)
    world.run()
    world.expire_silences()
    world.fire_again(group)

    report = world.run()

    assert [result.change.action.value for result in report.results] == ["notify"]
    assert len(world.pages(group)) == 1
    assert world.run().results == ()


# --- doubts


def test_looks_while_alertmanager_is_young_do_not_count(world: World, uptime: Uptime) -> None:
    world.environ["MIN_ALERTMANAGER_UPTIME_SECONDS"] = "600"
    group = lost(world)
    uptime.length = 5 * MINUTE
    untrusted = world.run()
    uptime.length = timedelta(days=1)
    world.pass_time(LONG_ENOUGH)

    report = world.run()

    assert (verdicts(untrusted), verdicts(report)) == ({group.id: "unknown"}, {group.id: "gone"})
    assert world.state(group) == "firing"


def test_untrusted_look_between_two_trusted_ones_forgets_nothing(world: World, uptime: Uptime) -> None:
    """That it was restarted is what its uptime says; here only one answer was doubtful."""
    world.environ["MIN_ALERTMANAGER_UPTIME_SECONDS"] = "600"
    group = lost(world)
    world.run()
    uptime.length = MINUTE
    world.run()
    uptime.length = timedelta(days=1)
    world.pass_time(LONG_ENOUGH)

    assert outcomes(world.run()) == {group.id: "applied"}


def test_alertmanager_that_was_restarted_in_between_begins_anew(world: World, uptime: Uptime) -> None:
    world.environ["MIN_ALERTMANAGER_UPTIME_SECONDS"] = "600"
    group = lost(world)
    world.run()
    world.pass_time(timedelta(hours=1))
    uptime.length = 20 * MINUTE

    after_the_restart = world.run()
    uptime.length = 26 * MINUTE
    later = world.run()

    assert verdicts(after_the_restart) == {group.id: "gone"}, "ten minutes of trust are too few"
    assert outcomes(later) == {group.id: "applied"}


def test_alert_that_fired_again_in_between_begins_anew(world: World) -> None:
    group = lost(world)
    world.run()
    world.fire_again(group)
    world.expire_silences()
    firing = world.run()
    world.silence(group)
    world.end(group)
    world.pass_time(LONG_ENOUGH)

    report = world.run()

    assert (verdicts(firing), verdicts(report)) == ({group.id: "firing"}, {group.id: "gone"})
    assert world.state(group) == "firing"


def test_webhook_that_listed_other_alerts_begins_anew(world: World) -> None:
    group = lost(world, "a", "b")
    world.run()
    payload = group.alerts[-1].payload
    world.irm.receive_webhook({**payload, "alerts": payload["alerts"][:1]}, world.integration)
    world.pass_time(LONG_ENOUGH)

    report = world.run()

    assert (verdicts(report), world.state(group)) == ({group.id: "gone"}, "firing")


def test_webhook_that_came_in_between_begins_anew(world: World) -> None:
    """Whoever sent it still had the alerts: another peer, or another Alertmanager of the same routes."""
    group = lost(world)
    world.run()
    world.pass_time(LONG_ENOUGH)
    world.irm.receive_webhook(group.alerts[-1].payload, world.integration)

    report = world.run()

    assert (verdicts(report), world.state(group)) == ({group.id: "gone"}, "firing")


def test_group_that_a_person_opened_again_after_its_alerts_had_ended_is_theirs(world: World) -> None:
    group = world.fire()
    world.run()
    world.end(group)
    world.irm.receive_webhook(world.resolved_webhook(group), world.integration)
    world.irm.unresolve(group.id)
    world.run()
    world.pass_time(LONG_ENOUGH)

    report = world.run()

    assert (verdicts(report), world.state(group)) == ({group.id: "gone"}, "firing")
    assert "a person opened it again" in reasons(report)[group.id]


def test_group_that_no_run_has_seen_alive_here_is_another_alertmanagers(world: World) -> None:
    """Both share IRM: what this one never had, it cannot have lost."""
    group = world.fire()
    world.silence(group)
    world.end(group)
    world.run()
    world.pass_time(LONG_ENOUGH)

    report = world.run()

    assert (verdicts(report), world.state(group)) == ({group.id: "gone"}, "firing")
    assert "no run has seen its alerts in this Alertmanager" in reasons(report)[group.id]


def test_group_that_nobody_spoke_of_for_longer_than_any_log_is_lost_wherever_it_came_from(world: World) -> None:
    world.irm.clock.advance(-timedelta(hours=121).total_seconds())
    group = world.fire()
    world.irm.clock.advance(timedelta(hours=121).total_seconds())
    world.silence(group)
    world.end(group)
    world.run()
    world.pass_time(LONG_ENOUGH)

    assert outcomes(world.run()) == {group.id: "applied"}


@pytest.mark.parametrize("how", ["GONE_ACTION=report", "dry run", "no memory"])
def test_lost_resolve_is_only_reported(world: World, how: str) -> None:
    group = lost(world)
    if how == "no memory":
        world.state_table = ""
    elif how == "GONE_ACTION=report":
        world.environ["GONE_ACTION"] = "report"
    world.run()
    if world.state_table:
        world.pass_time(LONG_ENOUGH)

    report = world.run(dry_run=how == "dry run")

    assert (report.lost_resolves, world.state(group)) == (1, "firing")
    assert outcomes(report) == ({group.id: "planned"} if how == "dry run" else {})


def test_person_who_took_the_group_keeps_it_until_it_is_known_to_be_lost(world: World) -> None:
    """Acknowledged or silenced in IRM, it is lost all the same: Alertmanager's own resolve would close it too."""
    group = lost(world)
    world.irm.acknowledge(group.id)
    world.run()
    world.pass_time(LONG_ENOUGH)

    assert outcomes(world.run()) == {group.id: "applied"}


# --- many at once


def lose_many(world: World, count: int) -> list[AlertGroup]:
    groups = [world.fire() for _ in range(count)]
    world.run()
    for group in groups:
        world.silence(group)
        world.end(group)
    return groups


def test_too_many_at_once_are_refused_and_everything_else_goes_on(world: World) -> None:
    groups = lose_many(world, 11)
    silenced = world.fire()
    world.silence(silenced)
    world.run({"SILENCED_ACTION": "report"})
    world.pass_time(LONG_ENOUGH)

    report = world.run()
    forced = world.run(force=True)

    assert report.status is Status.REFUSED
    assert "MAX_GONE_PERCENT=30" in report.error
    assert outcomes(report) == {silenced.id: "applied", **{group.id: "planned" for group in groups}}
    assert outcomes(forced) == {group.id: "applied" for group in groups}


def test_few_are_resolved_whatever_their_share(world: World) -> None:
    groups = lose_many(world, 10)
    world.run()
    world.pass_time(LONG_ENOUGH)

    assert outcomes(world.run()) == {group.id: "applied" for group in groups}


def with_own_alertmanager(check: Callable[[World, Alertmanager], None], state_table: str) -> None:
    with (
        FakeIrm() as irm,
        WebhookRecorder() as webhooks,
        Alertmanager(tools.alertmanager(), config=routing_config(webhooks.url)) as alertmanager,
    ):
        check(World(alertmanager=alertmanager, webhooks=webhooks, irm=irm, state_table=state_table), alertmanager)


@pytest.mark.parametrize("minimum", [0, 600])
def test_emptied_alertmanager_never_empties_irm(state_table: str, minimum: int) -> None:
    """It was restarted and hears of nothing: its own uptime keeps it from being believed, however old the looks."""

    def check(world: World, alertmanager: Alertmanager) -> None:
        world.environ["MIN_ALERTMANAGER_UPTIME_SECONDS"] = str(minimum)
        groups = [world.fire() for _ in range(5)]
        world.run()
        world.pass_time(timedelta(hours=2))
        alertmanager.restart(keep_storage=False)

        reports = [world.run()]
        world.pass_time(timedelta(hours=2))
        reports.append(world.run())

        assert [outcomes(report) for report in reports] == [{}, {}]
        assert {world.state(group) for group in groups} == {"firing"}

    with_own_alertmanager(check, state_table)
