"""Alert groups that we resolved because their alerts were silenced, and that have to page again.

Alertmanager announces an alert again only after `repeat_interval`, four hours here: whoever pages in these tests is us.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from alert_sync.model import Outcome
from alert_sync.report import Report, Status
from tests.integration.world import World, name_of, outcomes
from tests.support import tools
from tests.support.alertmanager import Alertmanager, routing_config
from tests.support.fake_irm import FakeIrm
from tests.support.fake_irm_model import AlertGroup
from tests.support.faults import ActFirst, FaultyProxy, LoseAnswer, json_instead, status
from tests.support.webhook_recorder import WebhookRecorder

MINUTE = timedelta(minutes=1)
INBOUND, ONE_INTEGRATION = r"/integrations/v1/", r"/api/v1/integrations/"


@pytest.fixture
def world(lasting_world: World) -> World:
    return lasting_world


def silence_and_resolve(world: World, group: AlertGroup | None = None) -> AlertGroup:
    """An alert group that a run has resolved, because a silence holds that has not ended yet."""
    group = group or world.fire()
    world.silence(group)
    report = world.run()
    assert outcomes(report) == {group.id: "applied"}
    return group


def quiet_although_it_fires(world: World, group: AlertGroup | None = None) -> AlertGroup:
    """The same, and the silence has ended: Alertmanager says nothing for hours, and IRM knows of nothing."""
    group = silence_and_resolve(world, group)
    world.expire_silences()
    return group


def actions(report: Report) -> list[tuple[str, str]]:
    """What was done, and what became of it."""
    return [(result.change.action.value, result.outcome.value) for result in report.results]


# --- the promise


def test_alert_that_still_fires_when_its_silence_ends_pages_exactly_once(world: World) -> None:
    group = quiet_although_it_fires(world)

    report = world.run()
    again = world.run()

    assert (actions(report), report.handed_back, report.status) == ([("notify", "applied")], 1, Status.SUCCESS)
    (page,) = world.pages(group)
    assert (page.state, page.alerts_count) == ("firing", 1)
    assert (again.results, len(world.posted())) == ((), 1)
    assert world.interventions() == []


def test_group_that_paged_again_is_closed_by_alertmanagers_own_resolve(world: World) -> None:
    group = quiet_although_it_fires(world)
    world.run()
    world.end(group)

    (joined,) = world.irm.receive_webhook(world.resolved_webhook(group), world.integration)

    assert (joined.id, joined.state) == (world.pages(group)[0].id, "resolved")
    assert world.run().results == ()


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param({}, id="plain"),
        pytest.param({"team": "billing"}, id="receiver with special characters"),
        pytest.param({"severity": "critical", "team": "payments"}, id="two sibling routes"),
        pytest.param({"job": 'a "quoted" \\ näme', "severity": "info"}, id="labels that need escapes"),
    ],
)
def test_posted_webhook_is_what_alertmanager_would_send(world: World, labels: dict[str, str]) -> None:
    group = quiet_although_it_fires(world, world.fire("b", "a", labels=labels))

    world.run()

    (posted,) = world.posted()
    sent = {name: value for name, value in group.alerts[-1].payload.items() if name not in ("numFiring", "numResolved")}
    assert without_fractions(posted) == without_fractions(sent)
    assert list(posted) == list(sent)
    assert [list(alert) for alert in posted["alerts"]] == [list(alert) for alert in sent["alerts"]]


def without_fractions(webhook: dict[str, Any]) -> dict[str, Any]:
    """Alertmanager's webhook has nanoseconds, its API milliseconds."""
    alerts = [{**alert, "startsAt": alert["startsAt"][:23]} for alert in webhook["alerts"]]
    return {**webhook, "alerts": alerts}


def test_silence_and_end_may_follow_each_other_again_and_again(world: World) -> None:
    group = quiet_although_it_fires(world)
    world.run()
    world.silence(group)
    world.run()
    world.expire_silences()

    world.run()

    assert [each.state for each in world.pages(group)] == ["resolved", "firing"]
    assert world.run().results == ()


def test_without_memory_nothing_is_handed_back_and_the_report_says_that_it_is_off(world: World) -> None:
    world.state_table = ""
    group = quiet_although_it_fires(world)

    report = world.run()

    assert (report.results, world.pages(group)) == ((), [])
    assert report.as_dict()["memory"] == "off"


def test_silence_that_only_became_another_one_pages_nobody(world: World) -> None:
    group = silence_and_resolve(world)
    first = world.alertmanager.silences()[0]["id"]
    world.silence(group)
    world.alertmanager.expire_silence(first)

    report = world.run()

    assert (report.results, world.pages(group)) == ((), [])
    assert len(world.interventions()) == 1


def test_hand_back_is_a_dry_runs_plan_and_nothing_more(world: World) -> None:
    group = quiet_although_it_fires(world)

    rehearsed = world.run(dry_run=True)
    before = list(world.pages(group))
    report = world.run()

    assert (actions(rehearsed), before) == ([("notify", "planned")], [])
    assert (actions(report), len(world.pages(group))) == ([("notify", "applied")], 1)


def test_page_is_never_refused_by_the_guards(world: World) -> None:
    group = quiet_although_it_fires(world)

    report = world.run({"MAX_CHANGES_PERCENT": "0", "MAX_CHANGES_MINIMUM": "0"})

    assert (report.status, len(world.pages(group))) == (Status.SUCCESS, 1)


# --- what has become of the alerts


def test_alert_that_is_gone_when_the_silence_ends_pages_nobody(world: World) -> None:
    group = silence_and_resolve(world)
    world.end(group)
    world.expire_silences()

    report = world.run()

    assert (report.results, world.pages(group)) == ((), [])
    assert world.state(group) == "resolved"


def test_alert_that_fires_anew_while_the_old_log_entry_keeps_alertmanager_quiet_pages(world: World) -> None:
    """Truth table row 7: it resolved inside the silence, which nobody heard, and this is another incident."""
    group = silence_and_resolve(world)
    world.end(group)
    world.expire_silences()
    world.run()
    heard = webhooks_of(world, group)
    world.fire_again(group)

    report = world.run()

    assert actions(report) == [("notify", "applied")]
    assert len(world.pages(group)) == 1
    assert world.run().results == ()
    assert webhooks_of(world, group) == heard == 1, "Alertmanager has not said a word"


def webhooks_of(world: World, group: AlertGroup) -> int:
    """How often Alertmanager itself has told of this group."""
    return len([each for each in world.webhooks.payloads if each["groupLabels"]["alertname"] == name_of(group)])


def test_only_the_alert_that_is_active_is_in_the_webhook(world: World) -> None:
    group = world.fire("a", "b")
    world.silence(group, instance="a")
    other = world.silence(group, instance="b")
    world.run()
    world.alertmanager.expire_silence(other)

    world.run()

    (posted,) = world.posted()
    assert [alert["labels"]["instance"] for alert in posted["alerts"]] == ["b"]
    assert posted["commonLabels"]["instance"] == "b"
    assert world.run().results == ()


def test_alert_that_joined_the_group_meanwhile_is_in_the_webhook(world: World) -> None:
    """It is announced by Alertmanager too, some time after: both name the same alert group."""
    group = silence_and_resolve(world, world.fire("a"))
    world.expire_silences()
    world.fire_again(group, "b")

    world.run()

    (posted,) = world.posted()
    assert [alert["labels"]["instance"] for alert in posted["alerts"]] == ["a", "b"]


def test_inhibited_alert_does_not_page_when_its_silence_ends(world: World) -> None:
    group = silence_and_resolve(world, world.fire("a", severity="warning"))
    cluster = group.labels["cluster"]
    world.alertmanager.post_alerts({"alertname": f"Source{cluster}", "cluster": cluster, "severity": "critical"})
    world.expire_silences()

    report = world.run()

    assert (report.results, world.pages(group)) == ((), [])


# --- what Alertmanager has lost


def test_alertmanager_that_was_restarted_in_between_loses_no_page(state_table: str) -> None:
    """Truth table row 27: it lists nothing at first, and its log still says that IRM knows."""
    with (
        FakeIrm() as irm,
        WebhookRecorder() as webhooks,
        Alertmanager(tools.alertmanager(), config=routing_config(webhooks.url)) as alertmanager,
    ):
        world = World(alertmanager=alertmanager, webhooks=webhooks, irm=irm, state_table=state_table)
        group = silence_and_resolve(world)
        alertmanager.restart()
        empty = world.run({"MIN_ALERTMANAGER_UPTIME_SECONDS": "600"})
        world.expire_silences()
        world.fire_again(group)

        report = world.run({"MIN_ALERTMANAGER_UPTIME_SECONDS": "600"})

        assert (empty.results, actions(report)) == ((), [("notify", "applied")])
        assert (len(world.pages(group)), webhooks_of(world, group)) == (1, 1)


@pytest.mark.parametrize("is_silenced", [False, True])
def test_group_is_remembered_for_as_long_as_alertmanager_may_keep_quiet_about_it(
    world: World, *, is_silenced: bool
) -> None:
    """Its log forgets after 120 hours at the most; as long as an alert is silenced, the memory lasts longer."""
    group = silence_and_resolve(world)
    if not is_silenced:
        world.end(group)
    world.pass_time(timedelta(hours=119))
    world.run()
    before = len(world.interventions())
    world.pass_time(timedelta(hours=2))
    world.run()

    assert (before, len(world.interventions())) == (1, 1 if is_silenced else 0)


def test_two_open_groups_of_one_key_page_once(world: World) -> None:
    """A person opened an old one again, which takes no webhooks any more."""
    old = world.fire()
    world.irm.resolve(old.id)
    (young,) = world.irm.receive_webhook(unhandled(old), world.integration)
    world.irm.unresolve(old.id)
    world.silence(old)
    quiet = world.run()
    world.expire_silences()

    report = world.run()

    assert outcomes(quiet) == {old.id: "applied", young.id: "applied"}
    assert actions(report) == [("notify", "applied")]
    assert [page.state for page in world.pages(old)] == ["resolved", "firing"]
    assert world.run().results == ()


# --- what others have done meanwhile


def test_group_that_alertmanager_itself_announced_first_is_not_announced_twice(world: World) -> None:
    group = quiet_although_it_fires(world)
    world.irm.receive_webhook(unhandled(group), world.integration)

    report = world.run()

    assert (report.results, world.posted()) == ((), [])
    assert len(world.pages(group)) == 1


def test_group_that_alertmanager_announced_and_ended_meanwhile_is_over(world: World) -> None:
    group = quiet_although_it_fires(world)
    (told,) = world.irm.receive_webhook(unhandled(group), world.integration)
    world.irm.resolve(told.id)

    report = world.run()

    assert (report.results, world.posted()) == ((), [])
    assert world.interventions() == []


def unhandled(group: AlertGroup) -> dict[str, Any]:
    """The webhook that Alertmanager sends at its repeat interval."""
    return {**group.alerts[-1].payload, "status": "firing"}


def test_person_who_opened_the_group_again_is_left_alone_until_its_silences_change(world: World) -> None:
    group = silence_and_resolve(world)
    world.irm.unresolve(group.id)

    left_alone = world.run()
    state = world.state(group)
    world.expire_silences()
    world.silence(group)
    changed = world.run()

    assert (left_alone.results, state) == ((), "firing")
    assert left_alone.plan is not None
    assert "a person opened it again" in left_alone.plan.kept[0].reason
    assert actions(changed) == [("resolve", "applied")]


def test_person_who_opened_and_acknowledged_the_group_has_it(world: World) -> None:
    group = silence_and_resolve(world)
    world.irm.unresolve(group.id)
    world.irm.acknowledge(group.id)
    states = {"ALERT_GROUP_STATES": "firing,acknowledged,silenced"}

    silenced = world.run(states)
    world.expire_silences()
    ended = world.run(states)

    assert (silenced.results, ended.results) == ((), ())
    assert (world.state(group), world.posted()) == ("acknowledged", [])


def test_person_who_resolved_the_group_after_us_is_not_paged_again(world: World) -> None:
    group = silence_and_resolve(world)
    world.pass_time(5 * MINUTE)
    world.irm.unresolve(group.id)
    world.irm.resolve(group.id, by=world.irm.add_user("ann"))
    world.expire_silences()

    report = world.run()

    assert (report.results, world.pages(group)) == ((), [])
    assert world.interventions() == []


def test_person_who_acknowledged_the_new_page_keeps_it(world: World) -> None:
    group = quiet_although_it_fires(world)
    world.run()
    (page,) = world.pages(group)
    world.irm.acknowledge(page.id)

    report = world.run()

    assert (report.results, len(world.posted())) == ((), 1)


def test_person_who_resolved_the_new_page_is_not_paged_again(world: World) -> None:
    group = quiet_although_it_fires(world)
    world.run()
    (page,) = world.pages(group)
    world.irm.resolve(page.id, by=world.irm.add_user("ann"))

    report = world.run({"MISSING_ACTION": "notify", "GROUP_WAIT_SECONDS": "0", "RECONCILE_INTERVAL": "0"})

    assert (report.results, len(world.posted())) == ((), 1)


def test_silence_that_comes_back_between_look_and_post_defers_the_page(world: World) -> None:
    group = quiet_although_it_fires(world)
    with FaultyProxy(world.alertmanager.url) as proxy:
        proxy.inject(ActFirst(lambda: world.silence(group)), path=r"/v2/alerts\?")

        report = world.run({"ALERTMANAGER_URL": proxy.url})

    assert (actions(report), world.posted()) == ([("notify", "deferred")], [])
    world.expire_silences()
    world.run()
    assert len(world.pages(group)) == 1


def test_group_that_was_deleted_in_irm_pages_all_the_same(world: World) -> None:
    group = quiet_although_it_fires(world)
    world.irm.delete_alert_group(world.irm.alert_group(group.id))

    report = world.run()

    assert actions(report) == [("notify", "applied")]
    assert len(world.pages(group)) == 1


# --- the way into IRM


def make_unusable(world: World, how: str) -> None:
    if how == "customized grouping":
        world.integration.grouping_key = "{{ payload.groupKey }}"
    elif how == "customized resolving":
        world.integration.resolve_signal = "{{ payload.status == 'ok' }}"
    elif how == "deleted":
        world.irm.delete_integration(world.integration)


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("customized grouping", "its grouping or resolving templates are not the defaults"),
        ("customized resolving", "its grouping or resolving templates are not the defaults"),
        ("deleted", "HTTP 404"),
    ],
)
def test_group_whose_integration_cannot_take_the_webhook_is_opened_again_and_the_report_says_so(
    world: World, how: str, told: str
) -> None:
    group = quiet_although_it_fires(world)
    make_unusable(world, how)

    report = world.run()

    assert actions(report) == [("unresolve", "applied")]
    assert (world.state(group), world.pages(group)) == ("firing", [])
    remark = report.results[0].remark
    assert remark.startswith("unresolved instead, so it will not resolve by itself: ")
    assert told in remark
    assert world.run().results == ()


def test_group_of_a_legacy_integration_is_opened_again(world: World) -> None:
    world.integration.is_legacy = True
    group = quiet_although_it_fires(world)

    report = world.run()

    assert world.state(group) == "firing"
    assert "legacy integration" in report.results[0].remark
    assert world.run().results == ()


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(
            status(403, body={"detail": "You do not have permission to perform this action."}), id="forbidden"
        ),
        pytest.param(json_instead({"link": None, "templates": {}}), id="without its URL"),
        pytest.param(json_instead({"id": "C1"}), id="another answer"),
    ],
)
def test_group_whose_integration_cannot_be_read_for_good_is_opened_again(world: World, fault: Any) -> None:
    group = quiet_although_it_fires(world)
    with FaultyProxy(world.irm.url) as proxy:
        proxy.inject(fault, path=ONE_INTEGRATION)

        report = world.run({"GRAFANA_IRM_URL": proxy.url})

    assert (actions(report), world.state(group)) == ([("unresolve", "applied")], "firing")
    assert "unresolved instead" in report.results[0].remark


def test_integration_that_cannot_be_read_this_time_defers_the_page_to_the_next_run(world: World) -> None:
    group = quiet_although_it_fires(world)
    with FaultyProxy(world.irm.url) as proxy:
        proxy.inject(status(503), path=ONE_INTEGRATION)
        deferred = world.run({"GRAFANA_IRM_URL": proxy.url})
        before = list(world.pages(group))

        report = world.run()

    assert (actions(deferred), deferred.status, before) == ([("notify", "deferred")], Status.PARTIAL, [])
    assert (actions(report), len(world.pages(group))) == ([("notify", "applied")], 1)


def test_service_account_resolves_and_hands_back_through_the_integration(world: World) -> None:
    world.environ["GRAFANA_IRM_TOKEN"] = world.irm.add_service_account().token
    group = quiet_although_it_fires(world)
    resolved_by = world.irm.alert_group(group.id).resolved_by

    report = world.run()

    assert (resolved_by, actions(report)) == (None, [("notify", "applied")])
    assert [payload["status"] for payload in world.posted()] == ["resolved", "firing"]
    assert len(world.pages(group)) == 1
    assert world.run().results == ()


def test_service_account_without_a_usable_integration_fails_and_says_so_and_tries_again(world: World) -> None:
    world.environ["GRAFANA_IRM_TOKEN"] = world.irm.add_service_account().token
    group = quiet_although_it_fires(world)
    world.integration.grouping_key = "{{ payload.groupKey }}"

    report = world.run()
    world.integration.grouping_key = None
    again = world.run()

    assert actions(report) == [("notify", "failed")]
    assert "Service accounts are not allowed to unresolve alert groups" in report.error
    assert (actions(again), len(world.pages(group))) == ([("notify", "applied")], 1)


# --- faults of the post


def test_post_whose_answer_was_lost_is_looked_up_and_not_repeated(world: World) -> None:
    group = quiet_although_it_fires(world)
    with FaultyProxy(world.irm.url) as proxy:
        world.irm.links_base_url = proxy.url
        proxy.inject(LoseAnswer(), path=INBOUND)

        report = world.run()

    assert actions(report) == [("notify", "applied")]
    assert [page.alerts_count for page in world.pages(group)] == [1]
    assert world.run().results == ()


def test_post_whose_answer_was_lost_and_that_irm_processes_later_is_not_repeated(world: World) -> None:
    group = quiet_although_it_fires(world)
    with FaultyProxy(world.irm.url) as proxy:
        world.irm.links_base_url = proxy.url
        world.irm.inbound_delay_seconds = None
        proxy.inject(LoseAnswer(), path=INBOUND)
        world.run(seconds=8)
        world.irm.process_inbound()

        report = world.run()

    assert (report.results, len(world.pages(group))) == ((), 1)
    assert [page.alerts_count for page in world.pages(group)] == [1]


def test_post_that_irm_never_processes_is_a_failure_that_says_so(world: World) -> None:
    quiet_although_it_fires(world)
    world.irm.inbound_delay_seconds = None

    report = world.run()

    assert actions(report) == [("notify", "failed")]
    assert "has opened no alert group for it" in report.error


def test_post_that_irm_is_slow_to_process_is_waited_for(world: World) -> None:
    group = quiet_although_it_fires(world)
    world.irm.inbound_delay_seconds = 0.5

    report = world.run()

    assert actions(report) == [("notify", "applied")]
    assert len(world.pages(group)) == 1


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        pytest.param(status(429, retry_after="300"), "deferred", id="429"),
        pytest.param(status(500), "failed", id="500"),
        pytest.param(status(503), "failed", id="503"),
    ],
)
def test_post_that_irm_does_not_take_is_made_by_the_next_run(world: World, answer: Any, outcome: str) -> None:
    group = quiet_although_it_fires(world)
    with FaultyProxy(world.irm.url) as proxy:
        world.irm.links_base_url = proxy.url
        proxy.inject(answer, path=INBOUND)
        report = world.run()
        before = list(world.pages(group))

        world.irm.links_base_url = None
        again = world.run()

    assert (actions(report), before) == ([("notify", outcome)], [])
    assert (actions(again), len(world.pages(group))) == ([("notify", "applied")], 1)


def test_throttled_listing_of_what_irm_was_told_defers_everything_and_forgets_nothing(world: World) -> None:
    group = quiet_although_it_fires(world)
    with FaultyProxy(world.irm.url) as proxy:
        proxy.inject(status(429, retry_after="300"), path=r"state=resolved")
        report = world.run({"GRAFANA_IRM_URL": proxy.url})

    assert (report.results, world.pages(group)) == ((), [])
    assert any("could not be found out" in warning for warning in report.warnings)
    assert len(world.interventions()) == 1
    world.run()
    assert len(world.pages(group)) == 1


def test_page_is_the_first_thing_that_a_run_does(world: World) -> None:
    """With little time or budget left, what must page goes before what becomes quiet."""
    group = quiet_although_it_fires(world)
    others = [world.fire() for _ in range(3)]
    for other in others:
        world.silence(other)

    report = world.run()

    assert [result.change.action.value for result in report.results] == ["notify"] + ["resolve"] * 3
    assert {result.outcome for result in report.results} == {Outcome.APPLIED}
    assert len(world.pages(group)) == 1


def test_inbound_url_stays_secret(world: World) -> None:
    quiet_although_it_fires(world)
    key = world.irm.inbound_url(world.integration).rstrip("/").rpartition("/")[2]
    with FaultyProxy(world.irm.url) as proxy:
        world.irm.links_base_url = proxy.url
        proxy.inject(status(500), path=INBOUND)

        report = world.run()

    assert key not in str(report.as_dict())
    assert key not in str(world.open_items())
