"""The life of an alert, row by row, where one run can tell: what Alertmanager never says, and what is then right.

The rows are those of a table that was measured on three versions of Alertmanager: an alert that changes while it is
silenced, inhibited or forgotten, and what its receiver ends up with. Each is lived through here by a real one, up to
the moment of the run. Which rows stand elsewhere: 2-4 and 12-14 end as an active alert (test_runs.py), 5 and 27 stand
there too, 23 is in test_plan.py (a webhook that was cut off), 38 and 39 as well (an alert that was regrouped); the
others are about notifications, which this service neither sends nor waits for.
"""

from __future__ import annotations

from datetime import timedelta

from tests.integration.world import World, name_of, outcomes, verdicts
from tests.support import tools
from tests.support.alertmanager import Alertmanager, routing_config
from tests.support.fake_irm import FakeIrm
from tests.support.fake_irm_model import AlertGroup
from tests.support.waiting import wait_for
from tests.support.webhook_recorder import WebhookRecorder


def wait_until_not_listed(world: World, group: AlertGroup) -> None:
    """Alertmanager lists an alert no more from the moment in which it ends."""

    def names() -> set[str]:
        return {alert["labels"]["alertname"] for alert in world.alertmanager.alerts()}

    wait_for(lambda: name_of(group) not in names(), what="the alert to end")


def refire(world: World, group: AlertGroup, instance: str = "a", **labels: str) -> None:
    name = name_of(group)
    world.alertmanager.post_alerts({"alertname": name, "cluster": name, "instance": instance, **labels})


def test_row_11_one_of_two_is_silenced_and_vanishes_from_the_webhooks(world: World) -> None:
    group = world.fire("a", "b")
    world.silence(group, instance="a")

    assert verdicts(world.run()) == {group.id: "firing"}


def test_row_15_the_other_alert_resolved_and_irm_closed_the_group(world: World) -> None:
    """Acceptable: one alert still fires, but silenced. Nothing is to be repaired, and nothing is reopened."""
    group = world.fire("a", "b")
    world.silence(group, instance="a")
    world.end(group, "b")
    payload = world.webhooks.wait_for(
        lambda each: each["groupLabels"]["alertname"] == name_of(group) and each["status"] == "resolved",
        what="the resolve of the group",
    )
    world.irm.receive_webhook(payload, world.integration)

    report = world.run()

    assert (world.state(group), outcomes(report), verdicts(report)) == ("resolved", {}, {})


def test_row_16_a_third_alert_fires_while_one_is_silenced(world: World) -> None:
    group = world.fire("a", "b")
    world.silence(group, instance="a")
    world.silence(group, instance="b")
    refire(world, group, "c")
    world.alertmanager.wait_until_grouped(name_of(group))

    assert verdicts(world.run()) == {group.id: "firing"}


def test_row_17_all_are_silenced_and_all_resolve(world: World) -> None:
    group = world.fire("a", "b")
    world.silence(group)
    world.end(group, "a")
    world.end(group, "b")

    assert verdicts(world.run()) == {group.id: "gone"}


def test_row_18_the_alert_resolves_while_it_is_inhibited(world: World) -> None:
    group = world.fire("a", severity="warning")
    world.alertmanager.post_alerts({"alertname": "Source18", "cluster": name_of(group), "severity": "critical"})
    world.end(group, "a", severity="warning")

    assert verdicts(world.run()) == {group.id: "gone"}


def test_row_19_the_inhibition_ends_while_the_alert_fires(world: World) -> None:
    group = world.fire("a", severity="warning")
    source = {"alertname": "Source19", "cluster": name_of(group), "severity": "critical"}
    world.alertmanager.post_alerts(source)
    world.alertmanager.post_alerts(source, resolved=True)

    assert verdicts(world.run()) == {group.id: "firing"}


def test_row_21_the_source_vanishes_while_the_alert_is_silenced(world: World) -> None:
    group = world.fire(lasting=timedelta(seconds=1))
    world.silence(group)
    wait_until_not_listed(world, group)

    assert verdicts(world.run()) == {group.id: "gone"}


def test_row_22_the_alert_flaps_within_one_group_interval(world: World) -> None:
    group = world.fire()
    world.end(group)
    refire(world, group)

    assert verdicts(world.run()) == {group.id: "firing"}


def test_row_22_the_alert_flaps_while_it_is_silenced(world: World) -> None:
    group = world.fire()
    world.silence(group)
    world.end(group)
    refire(world, group)
    world.alertmanager.wait_until_grouped(name_of(group))

    assert outcomes(world.run()) == {group.id: "applied"}


def test_row_29_the_storage_is_lost_and_the_silence_with_it() -> None:
    """The alert is active again as soon as its source repeats it, and must page."""
    with (
        FakeIrm() as irm,
        WebhookRecorder() as webhooks,
        Alertmanager(tools.alertmanager(), config=routing_config(webhooks.url)) as alertmanager,
    ):
        world = World(alertmanager=alertmanager, webhooks=webhooks, irm=irm)
        group = world.fire()
        world.silence(group)
        alertmanager.restart(keep_storage=False)
        refire(world, group)
        alertmanager.wait_until_grouped(name_of(group))

        report = world.run({"MIN_ALERTMANAGER_UPTIME_SECONDS": "600"})

    assert verdicts(report) == {group.id: "firing"}
