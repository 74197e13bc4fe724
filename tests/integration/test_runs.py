"""Whole runs: a real Alertmanager decides, a fake IRM is repaired. The acceptance cases, and the life of an alert."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from alert_sync.report import Status
from tests.integration.world import World, name_of, outcomes, verdicts
from tests.support import tools
from tests.support.alertmanager import PASSWORD, USERNAME, Alertmanager, cluster_of, routing_config
from tests.support.fake_irm import FakeIrm
from tests.support.loopback_http import Answer, Connection, LoopbackHttpServer, Request
from tests.support.waiting import wait_for
from tests.support.webhook_recorder import WebhookRecorder

ANY_OPEN_STATE = {"ALERT_GROUP_STATES": "firing,acknowledged,silenced"}


# --- what is decided


def test_silenced_alert_stops_paging(world: World) -> None:
    group = world.fire()
    silence_id = world.silence(group)

    report = world.run()

    assert outcomes(report) == {group.id: "applied"}
    assert world.state(group) == "resolved"
    assert (report.status, report.inconsistencies_found, report.inconsistencies_resolved) == (Status.SUCCESS, 1, 1)
    (note,) = world.notes(group)
    assert "silenced in Alertmanager by ann (maintenance)" in note
    assert silence_id in note


def test_second_run_on_a_repaired_world_plans_nothing(world: World) -> None:
    group = world.fire()
    world.silence(group)
    world.run()
    world.irm.forget_requests()

    report = world.run()

    assert (report.results, world.irm.writes) == ((), ())


def test_active_alert_is_kept(world: World) -> None:
    group = world.fire()

    report = world.run()

    assert (outcomes(report), verdicts(report)) == ({}, {group.id: "firing"})
    assert world.irm.writes == ()


def test_group_with_one_active_alert_left_is_kept(world: World) -> None:
    group = world.fire("a", "b")
    world.silence(group, instance="a")

    report = world.run()

    assert verdicts(report) == {group.id: "firing"}
    assert world.irm.writes == ()


def test_group_with_both_alerts_silenced_is_resolved_by_one_call(world: World) -> None:
    group = world.fire("a", "b")
    world.silence(group, instance="a")
    world.silence(group, instance="b")

    report = world.run({"RESOLUTION_NOTES": "false"})

    assert outcomes(report) == {group.id: "applied"}
    assert len(world.irm.writes) == 1


def test_alert_that_joined_the_group_after_its_webhook_keeps_the_page(world: World) -> None:
    """Its own webhook is not out yet: Alertmanager waits for the group interval."""
    group = world.fire("a")
    world.silence(group, instance="a")
    name = name_of(group)
    world.alertmanager.post_alerts({"alertname": name, "cluster": name, "instance": "b"})
    wait_for(
        lambda: any(
            len(each["alerts"]) == 2 for each in world.alertmanager.groups() if each["labels"]["alertname"] == name
        ),
        what="both alerts in one aggregation group",
    )

    report = world.run()

    assert verdicts(report) == {group.id: "firing"}


def test_inhibited_alert_is_kept_as_suppressed(world: World) -> None:
    group = world.fire("a", severity="warning")
    world.alertmanager.post_alerts({"alertname": "Source", "cluster": name_of(group), "severity": "critical"})

    report = world.run()

    assert verdicts(report) == {group.id: "suppressed"}


def test_alert_that_resolves_while_silenced_is_a_lost_resolve(world: World) -> None:
    """Truth table row 5: Alertmanager never says a word about it."""
    group = world.fire()
    world.silence(group)
    world.end(group)

    report = world.run()

    assert verdicts(report) == {group.id: "gone"}
    assert (report.inconsistencies_found, world.irm.writes) == (1, ())


def test_young_alertmanager_makes_absence_unknown(world: World) -> None:
    group = world.fire()
    world.end(group)

    report = world.run({"MIN_ALERTMANAGER_UPTIME_SECONDS": "600"})

    assert verdicts(report) == {group.id: "unknown"}
    assert any("up for" in warning for warning in report.warnings)


def test_silence_that_was_deleted_keeps_the_page(world: World) -> None:
    group = world.fire()
    world.alertmanager.expire_silence(world.silence(group))

    report = world.run()

    assert verdicts(report) == {group.id: "firing"}


def test_pending_silence_keeps_the_page(world: World) -> None:
    group = world.fire()
    world.alertmanager.silence({"alertname": name_of(group)}, starts_in=timedelta(minutes=5))

    report = world.run()

    assert verdicts(report) == {group.id: "firing"}


def test_alert_of_two_sibling_routes_is_one_member(world: World) -> None:
    group = world.fire("a", severity="critical", team="payments")
    world.silence(group)

    report = world.run()

    assert outcomes(report) == {group.id: "applied"}


def test_receiver_with_special_characters_is_recognized(world: World) -> None:
    group = world.fire("a", team="billing")
    world.silence(group)

    report = world.run()

    assert group.alerts[-1].payload["receiver"] == r"billing\.oncall \(eu\)"
    assert outcomes(report) == {group.id: "applied"}


def test_silenced_group_on_the_second_page_is_found(world: World) -> None:
    group = world.fire()
    world.silence(group)
    for number in range(150):
        payload = json.loads(json.dumps(group.alerts[-1].payload).replace(name_of(group), f"Other{number}"))
        payload["alerts"][0]["fingerprint"] = f"{number:016x}"
        world.irm.receive_webhook(payload, world.integration)

    report = world.run({"MIN_ALERTMANAGER_UPTIME_SECONDS": "600"})

    assert world.state(group) == "resolved"
    assert report.alert_groups_examined == 151


def test_silenced_alert_without_group_is_nobodys_business(world: World) -> None:
    world.alertmanager.post_alerts({"alertname": "Unheard", "cluster": "x"})
    world.alertmanager.silence({"alertname": "Unheard"})

    report = world.run()

    assert (report.results, report.inconsistencies_found) == ((), 0)


# --- what is not ours


def test_groups_that_are_not_alertmanagers_are_never_touched(world: World) -> None:
    ours = world.fire()
    world.silence(ours)
    other = world.irm.add_alert_group({"title": "from elsewhere", "message": "x"})
    wiped = world.irm.add_alert_group({})
    maintenance = world.irm.start_maintenance(world.irm.add_alertmanager_integration("other"))

    report = world.run(ANY_OPEN_STATE)

    assert outcomes(report) == {ours.id: "applied"}
    assert verdicts(report) == {other.id: "unmanaged", wiped.id: "unmanaged", maintenance.id: "unmanaged"}
    assert world.state(maintenance) == "firing", "resolving it would end the maintenance"


def test_other_integrations_can_be_left_out(world: World) -> None:
    group = world.fire()
    world.silence(group)

    report = world.run({"IRM_INTEGRATION_IDS": "CANOTHER"})

    assert verdicts(report) == {group.id: "out_of_scope"}


def test_alerts_can_be_chosen_by_matchers(world: World) -> None:
    chosen, other = world.fire("a", severity="critical"), world.fire("a", severity="info")
    world.silence(chosen)
    world.silence(other)

    report = world.run({"ALERT_MATCHERS": '{severity=~"critical|warning"}'})

    assert (outcomes(report), verdicts(report)) == ({chosen.id: "applied"}, {other.id: "out_of_scope"})


# --- states and actions


@pytest.mark.parametrize("act", ["acknowledge", "silence"])
def test_group_that_a_person_took_is_left_to_them_by_default(world: World, act: str) -> None:
    group = world.fire()
    world.silence(group)
    world.irm.acknowledge(group.id) if act == "acknowledge" else world.irm.silence(group.id, delay_seconds=600)

    by_default, with_all_states = world.run(), world.run(ANY_OPEN_STATE)

    assert verdicts(by_default) == {group.id: "silenced"}
    assert outcomes(with_all_states) == {group.id: "applied"}


def test_group_can_be_silenced_for_the_time_that_is_left(world: World) -> None:
    group = world.fire()
    world.silence(group)

    world.run({"SILENCED_ACTION": "silence"})
    again = world.run({"SILENCED_ACTION": "silence", **ANY_OPEN_STATE})

    assert world.state(group) == "silenced"
    until = world.irm.alert_group(group.id).silenced_until
    assert until is not None
    assert timedelta(minutes=64) < until - world.irm.clock.now() <= timedelta(minutes=65, seconds=1)
    assert again.results == (), "a silenced group is not silenced again in every run"


def test_reporting_changes_nothing(world: World) -> None:
    group = world.fire()
    world.silence(group)

    report = world.run({"SILENCED_ACTION": "report"})

    assert outcomes(report) == {group.id: "planned"}
    assert world.irm.writes == ()


@pytest.mark.parametrize("how", ["setting", "invocation"])
def test_dry_run_changes_nothing(world: World, how: str) -> None:
    group = world.fire()
    world.silence(group)

    report = world.run({"DRY_RUN": "true"} if how == "setting" else {}, dry_run=how == "invocation")

    assert (report.dry_run, report.inconsistencies_found) == (True, 1)
    assert outcomes(report) == {group.id: "planned"}
    assert world.irm.writes == ()


def test_plan_beyond_the_guards_changes_nothing_unless_forced(world: World) -> None:
    group = world.fire()
    world.silence(group)
    strict = {"MAX_CHANGES_PERCENT": "50", "MAX_CHANGES_MINIMUM": "0"}

    refused = world.run(strict)
    before = world.state(group)
    rehearsed = world.run(strict, dry_run=True)
    forced = world.run(strict, force=True)

    assert (refused.status, before, outcomes(refused)) == (Status.REFUSED, "firing", {group.id: "planned"})
    assert rehearsed.status is Status.REFUSED
    assert (forced.status, world.state(group)) == (Status.SUCCESS, "resolved")


# --- through the integration


def test_service_account_resolves_through_the_integration(world: World) -> None:
    """The token that Grafana recommends may read and leave notes, but not resolve."""
    group = world.fire()
    world.silence(group)
    token = world.irm.add_service_account().token
    world.irm.forget_requests()

    report = world.run({"GRAFANA_IRM_TOKEN": token})

    assert (report.status, outcomes(report)) == (Status.SUCCESS, {group.id: "applied"})
    assert world.state(group) == "resolved"
    assert world.irm.alert_group(group.id).resolved_by is None
    assert [request.path.split("/")[1] for request in world.irm.writes] == ["integrations", "api"]
    assert len(world.notes(group)) == 1


def test_resolved_webhook_of_alertmanager_finds_nothing_to_do_after_ours(world: World) -> None:
    """Grouping stays right: its own resolve joins the same alert group."""
    group = world.fire()
    silence_id = world.silence(group)
    world.run({"RESOLVE_THROUGH": "integration"})
    world.alertmanager.expire_silence(silence_id)
    world.end(group)
    payload = world.webhooks.wait_for(
        lambda each: each["status"] == "resolved" and each["groupLabels"]["alertname"] == name_of(group),
        what="Alertmanager's own resolve",
    )

    (joined,) = world.irm.receive_webhook(payload, world.integration)

    assert joined.id == group.id


def test_integration_that_is_slow_to_process_is_waited_for(world: World) -> None:
    group = world.fire()
    world.silence(group)
    world.irm.inbound_delay_seconds = 0.5

    report = world.run({"RESOLVE_THROUGH": "integration"})

    assert outcomes(report) == {group.id: "applied"}


def test_webhook_that_irm_never_processes_is_a_failure_not_a_success(world: World) -> None:
    group = world.fire()
    world.silence(group)
    world.irm.inbound_delay_seconds = None

    report = world.run({"RESOLVE_THROUGH": "integration"})

    assert (report.status, outcomes(report)) == (Status.FAILED, {group.id: "failed"})
    assert "still open" in report.error


def test_webhook_without_time_to_see_it_processed_is_deferred(world: World) -> None:
    group = world.fire()
    world.silence(group)
    world.irm.inbound_delay_seconds = None

    report = world.run({"RESOLVE_THROUGH": "integration"}, seconds=1.5)

    assert (report.status, outcomes(report)) == (Status.PARTIAL, {group.id: "deferred"})


def test_many_groups_through_the_integration_are_confirmed_by_lists_not_one_by_one(world: World) -> None:
    groups = [world.fire() for _ in range(12)]
    for group in groups:
        world.silence(group)
    world.irm.forget_requests()

    report = world.run({"RESOLVE_THROUGH": "integration", "RESOLUTION_NOTES": "false"})

    assert set(outcomes(report).values()) == {"applied"}
    reads = [request for request in world.irm.requests if not request.is_write]
    assert len(reads) == 3 + 1 + 3, "three lists, one integration, three lists"


@pytest.mark.parametrize("reason", ["customized", "deleted", "legacy"])
def test_integration_that_cannot_take_the_webhook_is_a_failure_that_says_so(world: World, reason: str) -> None:
    group = world.fire()
    world.silence(group)
    if reason == "customized":
        world.integration.resolve_signal = "{{ payload.status == 'ok' }}"
    elif reason == "deleted":
        world.irm.delete_integration(world.integration)
    else:
        alert = group.alerts[-1].payload["alerts"][0]
        world.irm.delete_alert_group(group)
        group = world.irm.add_alert_group(alert, integration=world.integration)

    report = world.run({"RESOLVE_THROUGH": "integration"})

    told = {"customized": "templates are not the defaults", "deleted": "HTTP 404", "legacy": "legacy integration"}
    assert outcomes(report) == {group.id: "failed"}
    assert told[reason] in report.error
    assert world.state(group) == "firing"


def test_silencing_with_a_service_account_is_a_fault_that_says_so(world: World) -> None:
    token = world.irm.add_service_account().token

    with pytest.raises(Exception, match="SILENCED_ACTION=silence needs a user's API key"):
        world.run({"GRAFANA_IRM_TOKEN": token, "SILENCED_ACTION": "silence"})


# --- Alertmanager as it is run


def test_alertmanager_with_path_prefix_and_password() -> None:
    secret = json.dumps({"username": USERNAME, "password": PASSWORD})

    def serve_secret(request: Request, connection: Connection) -> None:
        assert json.loads(request.body) == {"SecretId": "am"}
        connection.send(Answer(status=200, body=json.dumps({"SecretString": secret}).encode()))

    with (
        FakeIrm() as irm,
        WebhookRecorder() as webhooks,
        Alertmanager(
            tools.alertmanager(), config=routing_config(webhooks.url), path_prefix="/am", with_basic_auth=True
        ) as alertmanager,
        LoopbackHttpServer(serve_secret) as secrets,
        pytest.MonkeyPatch.context() as environment,
    ):
        environment.setenv("AWS_ENDPOINT_URL", secrets.url)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            environment.setenv(name, "test")
        environment.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        world = World(alertmanager=alertmanager, webhooks=webhooks, irm=irm)
        group = world.fire()
        world.silence(group)

        without = world.run()
        report = world.run({"ALERTMANAGER_AUTH": "basic", "ALERTMANAGER_SECRET": "am"})

    assert (without.status, "HTTP 401" in without.error) == (Status.FAILED, True)
    assert outcomes(report) == {group.id: "applied"}


def test_restarted_alertmanager_lists_nothing_and_nothing_is_done() -> None:
    with (
        FakeIrm() as irm,
        WebhookRecorder() as webhooks,
        Alertmanager(tools.alertmanager(), config=routing_config(webhooks.url)) as alertmanager,
    ):
        world = World(alertmanager=alertmanager, webhooks=webhooks, irm=irm)
        group = world.fire("a", "b")
        world.silence(group, instance="a")
        alertmanager.restart()
        name = name_of(group)
        empty = world.run({"MIN_ALERTMANAGER_UPTIME_SECONDS": "600"})
        # The source of the silenced alert repeats it first.
        alertmanager.post_alerts({"alertname": name, "cluster": name, "instance": "a"})
        alertmanager.wait_until_grouped(name)
        half = world.run({"MIN_ALERTMANAGER_UPTIME_SECONDS": "600"})

        assert verdicts(empty) == {group.id: "unknown"}
        assert verdicts(half) == {group.id: "unknown"}
        assert world.irm.writes == ()


def test_two_peers_are_both_asked() -> None:
    """Alerts are not shared between peers: one that only the second holds keeps the page."""
    with (
        FakeIrm() as irm,
        WebhookRecorder() as webhooks,
        cluster_of(2, tools.alertmanager(), config=routing_config(webhooks.url)) as (first, second),
    ):
        world = World(alertmanager=first, webhooks=webhooks, irm=irm)
        both = {"ALERTMANAGER_URL": f"{first.url},{second.url}"}
        group, other = world.fire("a"), world.fire("a")
        name = name_of(group)
        second.post_alerts({"alertname": name, "cluster": name, "instance": "b"})
        second.wait_until_grouped(name)
        world.silence(group, instance="a")
        world.silence(other)

        report = world.run(both)

    assert verdicts(report) == {group.id: "firing"}
    assert outcomes(report) == {other.id: "applied"}


def test_peer_that_is_down_does_not_end_the_run(world: World) -> None:
    """All alerts that the payload lists are there, and silenced."""
    group = world.fire()
    world.silence(group)

    report = world.run({"ALERTMANAGER_URL": f"{world.alertmanager.url},http://127.0.0.1:9"})

    assert outcomes(report) == {group.id: "applied"}
    assert any("http://127.0.0.1:9" in warning for warning in report.warnings)


def test_peer_that_is_down_takes_the_trust_from_absence(world: World) -> None:
    group = world.fire()
    world.end(group)

    report = world.run({"ALERTMANAGER_URL": f"http://127.0.0.1:9,{world.alertmanager.url}"})

    assert verdicts(report) == {group.id: "unknown"}
