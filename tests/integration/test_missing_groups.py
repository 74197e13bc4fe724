"""Alerts that fire in Alertmanager and of which IRM has nothing: reported, or paged for once; and what is not missing.

Every webhook of a real Alertmanager is recorded here, and handed on to the fake IRM or lost, as the test wants.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from alert_sync.model import Verdict
from alert_sync.recall import ResolutionStatus
from alert_sync.report import Report, Status
from tests.integration.world import World
from tests.support.fake_irm_model import AlertGroup
from tests.support.faults import FaultyProxy, status
from tests.support.webhook_recorder import Payload

MINUTE = timedelta(minutes=1)
LONG_AGO, JUST_NOW = 20 * MINUTE, 5 * MINUTE
NOTIFY = {"MISSING_ACTION": "notify"}
RESOLVED = r"state=resolved"


@pytest.fixture
def world(lasting_world: World) -> World:
    """IRM has an alert group of the receiver that the tests' alerts go to: so it is known to lead there."""
    lasting_world.fire("known")
    return lasting_world


def found(report: Report) -> list[tuple[str, str, str]]:
    """What was missing, what was done about it, and what became of that."""
    return [
        (result.change.finding.alert_group.title, result.change.action.value, result.outcome.value)
        for result in report.results
        if result.change.finding.verdict is Verdict.MISSING
    ]


def title_of(webhook: Payload) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(webhook["groupLabels"].items()))


def groups_of(world: World, webhook: Payload) -> list[AlertGroup]:
    """Of this group key, in IRM."""
    return [group for group in world.irm.alert_groups() if group.group_key == webhook["groupKey"]]


def test_alert_that_irm_never_heard_of_is_reported(world: World) -> None:
    webhook = world.fire_unheard(started_ago=LONG_AGO)

    report = world.run()

    assert found(report) == [(title_of(webhook), "report", "planned")]
    assert (report.missing, report.inconsistencies_found, report.status) == (1, 1, Status.SUCCESS)
    assert world.irm.writes == ()
    (mismatch,) = world.mismatches()
    assert (mismatch.type, mismatch.title) == (Verdict.MISSING, title_of(webhook))


def test_alert_that_irm_never_heard_of_is_one_mismatch_until_irm_hears_of_it(world: World) -> None:
    webhook = world.fire_unheard(started_ago=LONG_AGO)
    world.run()
    (first,) = world.mismatches()
    world.run()
    (second,) = world.mismatches()
    world.irm.receive_webhook(webhook, world.integration)

    report = world.run()

    assert (first.id, len(second.history)) == (second.id, 1)
    assert (found(report), world.mismatches()) == ([], [])


def test_notify_pages_once(world: World) -> None:
    webhook = world.fire_unheard("a", "b", started_ago=LONG_AGO)

    report = world.run(NOTIFY)
    again = world.run(NOTIFY)

    assert (found(report), report.handed_back) == ([(title_of(webhook), "notify", "applied")], 1)
    (posted,) = world.posted()
    assert (posted["groupKey"], posted["receiver"]) == (webhook["groupKey"], webhook["receiver"])
    assert [alert["fingerprint"] for alert in posted["alerts"]] == [each["fingerprint"] for each in webhook["alerts"]]
    assert len(groups_of(world, webhook)) == 1
    assert (found(again), world.interventions()) == ([], [])


def test_group_that_was_paged_for_is_closed_by_alertmanagers_own_resolve(world: World) -> None:
    webhook = world.fire_unheard(started_ago=LONG_AGO)
    world.run(NOTIFY)
    (group,) = groups_of(world, webhook)
    world.end(group)

    world.irm.receive_webhook(world.resolved_webhook(group), world.integration)

    assert [each.state for each in groups_of(world, webhook)] == ["resolved"]
    assert found(world.run(NOTIFY)) == []


def test_group_that_was_paged_for_and_silenced_is_resolved_and_handed_back_like_any_other(world: World) -> None:
    webhook = world.fire_unheard(started_ago=LONG_AGO)
    world.run(NOTIFY)
    (group,) = groups_of(world, webhook)
    world.silence(group)
    world.run(NOTIFY)
    state = world.state(group)
    world.expire_silences()

    world.run(NOTIFY)

    assert (state, len(world.pages(group))) == ("resolved", 1)


def test_receiver_is_remembered_when_irm_has_no_alert_group_of_it_any_more(world: World) -> None:
    world.run()
    for group in world.irm.alert_groups():
        world.irm.delete_alert_group(group)
    webhook = world.fire_unheard(started_ago=LONG_AGO)

    assert found(world.run()) == [(title_of(webhook), "report", "planned")]


# --- what is not missing


@pytest.mark.parametrize(
    ("group_wait", "interval", "is_missing"), [("300", "300", False), ("0", "300", False), ("60", "60", True)]
)
def test_alert_is_missing_only_after_group_wait_and_one_interval(
    world: World, group_wait: str, interval: str, *, is_missing: bool
) -> None:
    world.fire_unheard(started_ago=JUST_NOW - timedelta(seconds=10))

    report = world.run({"GROUP_WAIT_SECONDS": group_wait, "RECONCILE_INTERVAL": interval})

    assert bool(found(report)) is is_missing


def test_silenced_alert_is_not_missing(world: World) -> None:
    webhook = world.fire_unheard(started_ago=LONG_AGO)
    world.alertmanager.silence({"alertname": webhook["groupLabels"]["alertname"]})

    assert found(world.run(NOTIFY)) == []
    assert world.posted() == []


def test_inhibited_alert_is_not_missing(world: World) -> None:
    webhook = world.fire_unheard(started_ago=LONG_AGO, severity="warning")
    cluster = webhook["groupLabels"]["cluster"]
    world.alertmanager.post_alerts({"alertname": f"Source{cluster}", "cluster": cluster, "severity": "critical"})

    assert found(world.run(NOTIFY)) == []


def test_group_that_a_person_resolved_while_it_fires_is_not_missing(world: World) -> None:
    group = world.fire(started_ago=LONG_AGO)
    world.irm.resolve(group.id, by=world.irm.add_user("ann"))

    report = world.run(NOTIFY)

    assert (found(report), world.posted(), world.mismatches()) == ([], [], [])


def test_group_that_a_person_resolved_before_the_alert_began_is_missing(world: World) -> None:
    """They closed the last incident; nobody has been paged for this one."""
    world.irm.clock.advance(-timedelta(hours=3).total_seconds())
    group = world.fire(started_ago=LONG_AGO)
    world.irm.resolve(group.id, by=world.irm.add_user("ann"))
    world.irm.clock.advance(timedelta(hours=3).total_seconds())

    assert [change[1:] for change in found(world.run(NOTIFY))] == [("notify", "applied")]


@pytest.mark.parametrize("state", ["firing", "acknowledged", "silenced"])
def test_group_that_irm_has_open_in_any_state_is_not_missing(world: World, state: str) -> None:
    group = world.fire(started_ago=LONG_AGO)
    if state == "acknowledged":
        world.irm.acknowledge(group.id)
    elif state == "silenced":
        world.irm.silence(group.id)

    assert found(world.run(NOTIFY)) == []


def test_group_that_we_resolved_is_handed_back_and_not_missing(world: World) -> None:
    group = world.fire(started_ago=LONG_AGO)
    world.silence(group)
    world.run(NOTIFY)
    world.expire_silences()

    report = world.run(NOTIFY)

    assert (found(report), [result.change.action.value for result in report.results]) == ([], ["notify"])
    assert len(world.pages(group)) == 1


def test_receiver_that_is_not_known_to_lead_to_irm_is_left_alone(world: World) -> None:
    world.fire_unheard(started_ago=LONG_AGO, team="billing")

    assert found(world.run(NOTIFY)) == []


def test_alert_out_of_scope_is_left_alone(world: World) -> None:
    world.fire_unheard(started_ago=LONG_AGO, severity="info")

    report = world.run({**NOTIFY, "ALERT_MATCHERS": '{severity=~"critical|warning"}'})

    assert found(report) == []


def test_nothing_is_missing_without_memory(world: World) -> None:
    world.state_table = ""
    world.fire_unheard(started_ago=LONG_AGO)

    assert found(world.run(NOTIFY)) == []


def test_alert_of_two_routes_whose_group_key_is_uncertain_is_only_reported(world: World) -> None:
    """The key that Alertmanager would send cannot be told, and another one would be another alert group."""
    world.fire(severity="critical")
    webhook = world.fire_unheard(started_ago=LONG_AGO)

    assert found(world.run(NOTIFY)) == [(title_of(webhook), "report", "planned")]
    assert world.posted() == []


def test_alerts_whose_group_keys_are_uncertain_are_asked_about_one_by_one(world: World) -> None:
    """A person has resolved one of them, which says nothing about the others."""
    world.fire(severity="critical")
    names = {}
    for who in ("ann", "nobody", "bob"):
        webhook = world.fire_unheard(started_ago=LONG_AGO)
        names[who] = title_of(webhook)
        if who != "nobody":
            (group,) = world.irm.receive_webhook(webhook, world.integration)
            world.irm.resolve(group.id, by=world.irm.add_user(who))

    assert [title for title, _, _ in found(world.run())] == [names["nobody"]]


# --- what could not be found out


def test_alert_that_could_not_be_asked_about_stays_the_mismatch_that_it_was(world: World) -> None:
    world.fire_unheard(started_ago=LONG_AGO)
    world.run()
    (before,) = world.mismatches()
    with FaultyProxy(world.irm.url) as proxy:
        proxy.inject(status(500), path=RESOLVED)
        report = world.run({"GRAFANA_IRM_URL": proxy.url})

    assert any("could not be found out" in warning for warning in report.warnings)
    assert (found(report), world.mismatches()) == ([], [before])


def test_alert_that_an_untrusted_alertmanager_does_not_list_stays_the_mismatch_that_it_was(world: World) -> None:
    webhook = world.fire_unheard(started_ago=LONG_AGO)
    world.run()
    (before,) = world.mismatches()
    world.alertmanager.post_alerts(webhook["alerts"][0]["labels"], resolved=True)

    report = world.run({"MIN_ALERTMANAGER_UPTIME_SECONDS": "86400"})

    assert (found(report), world.mismatches()) == ([], [before])


def test_alert_that_has_ended_is_no_mismatch_any_more(world: World) -> None:
    webhook = world.fire_unheard(started_ago=LONG_AGO)
    world.run()
    world.alertmanager.post_alerts(webhook["alerts"][0]["labels"], resolved=True)

    report = world.run()

    assert (found(report), world.mismatches()) == ([], [])


def test_page_that_irm_does_not_take_is_made_by_the_next_run(world: World) -> None:
    webhook = world.fire_unheard(started_ago=LONG_AGO)
    with FaultyProxy(world.irm.url) as proxy:
        world.irm.links_base_url = proxy.url
        proxy.inject(status(503), path="/integrations/v1/")
        failed = world.run(NOTIFY)
        world.irm.links_base_url = None

    report = world.run(NOTIFY)

    assert [change[1:] for change in found(failed)] == [("notify", "failed")]
    assert len(groups_of(world, webhook)) == 1
    assert len(world.posted()) == 1
    assert report.handed_back == 1


def test_integration_that_cannot_take_the_page_is_a_failure_that_says_so(world: World) -> None:
    world.fire_unheard(started_ago=LONG_AGO)
    world.integration.grouping_key = "{{ payload.groupKey }}"

    report = world.run(NOTIFY)

    assert [change[1:] for change in found(report)] == [("notify", "failed")]
    assert "templates are not the defaults" in report.error
    (mismatch,) = world.mismatches()
    assert mismatch.resolution_status is ResolutionStatus.PENDING
