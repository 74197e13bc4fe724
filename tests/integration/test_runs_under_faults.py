"""Whole runs while a system fails, lies or answers too late: what is changed and told, never on half a read."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from alert_sync.apply import Applier, Freshness
from alert_sync.deadline import Deadline
from alert_sync.model import Outcome, Plan
from alert_sync.plan import make_plan
from alert_sync.reconcile import RunRequest
from alert_sync.report import Report, Status, Trigger
from alert_sync.writers import ApiWriter
from tests.integration.world import World, outcomes
from tests.support.fake_irm import Limits, Role
from tests.support.fake_irm_model import AlertGroup
from tests.support.faults import (
    ActFirst,
    AnswerLate,
    Fault,
    FaultyProxy,
    Instead,
    LoseAnswer,
    NeverAnswer,
    ResetInBody,
    Trickle,
    html_instead,
    json_instead,
    redirect,
    status,
    truncated_json,
)
from tests.support.loopback_http import Answer

GROUPS, STATUS, SILENCES, LIST = r"/alerts/groups", r"/v2/status", r"/v2/silences", r"/alert_groups/\?"
RESOLVE = r"/resolve"
LASTING: list[pytest.param] = [  # type: ignore[valid-type] # pytest has no public name for it
    pytest.param(status(500), "HTTP 500", id="500"),
    pytest.param(status(502), "HTTP 502", id="502"),
    pytest.param(status(503), "HTTP 503", id="503"),
    pytest.param(status(400), "HTTP 400", id="400"),
    pytest.param(status(401), "HTTP 401", id="401"),
    pytest.param(status(403), "HTTP 403", id="403"),
    pytest.param(status(404), "HTTP 404", id="404"),
    pytest.param(status(429, retry_after="999999999"), "HTTP 429", id="429"),
    pytest.param(html_instead(), "not", id="HTML with 200"),
    pytest.param(truncated_json(), "not", id="truncated JSON"),
    pytest.param(json_instead("text"), "", id="wrong type"),
    pytest.param(json_instead(None), "", id="null"),
    pytest.param(redirect("http://127.0.0.1:9/"), "HTTP 302", id="redirect"),
    pytest.param(ResetInBody(), "broke off", id="reset in mid-body"),
    pytest.param(LoseAnswer(), "broke off", id="answer lost"),
]
LATE = [
    pytest.param(NeverAnswer(), id="never answers"),
    pytest.param(Trickle(), id="trickled body"),
    pytest.param(Trickle(is_head_too=True), id="trickled headers"),
]


@pytest.fixture
def irm_proxy(world: World) -> Iterator[FaultyProxy]:
    with FaultyProxy(world.irm.url) as proxy:
        yield proxy


@pytest.fixture
def alertmanager_proxy(world: World) -> Iterator[FaultyProxy]:
    with FaultyProxy(world.alertmanager.url) as proxy:
        yield proxy


@pytest.fixture
def stuck(world: World) -> AlertGroup:
    """An alert group that a run without faults resolves."""
    group = world.fire()
    world.silence(group)
    world.irm.forget_requests()
    return group


def assert_nothing_was_done(world: World, report: Report) -> None:
    assert report.status is Status.FAILED
    assert (report.results, world.irm.writes) == ((), ())
    assert report.message == "nothing was changed: the run failed"


# --- reads


@pytest.mark.parametrize(("fault", "cause"), LASTING)
@pytest.mark.parametrize("path", [GROUPS, STATUS, SILENCES], ids=["groups", "status", "silences"])
def test_alertmanager_that_cannot_be_read_ends_the_run(
    *, world: World, stuck: AlertGroup, alertmanager_proxy: FaultyProxy, path: str, fault: Fault, cause: str
) -> None:
    alertmanager_proxy.inject(fault, path=path)

    report = world.run({"ALERTMANAGER_URL": alertmanager_proxy.url})

    assert_nothing_was_done(world, report)
    assert report.error.startswith(f"Alertmanager {alertmanager_proxy.url}: ")
    assert cause in report.error
    assert world.state(stuck) == "firing"


@pytest.mark.parametrize(("fault", "cause"), LASTING)
@pytest.mark.parametrize("page", [1, 2, 3], ids=["firing", "acknowledged", "silenced"])
def test_irm_that_cannot_be_listed_ends_the_run(
    *, world: World, stuck: AlertGroup, irm_proxy: FaultyProxy, page: int, fault: Fault, cause: str
) -> None:
    state = ["new", "acknowledged", "silenced"][page - 1]
    irm_proxy.inject(fault, path=rf"state={state}")

    report = world.run({"GRAFANA_IRM_URL": irm_proxy.url})

    assert_nothing_was_done(world, report)
    assert report.error.startswith(f"Grafana IRM: list {state} alert groups, page 1: ")
    assert cause in report.error
    assert world.state(stuck) == "firing"


def test_second_page_that_cannot_be_read_ends_the_run(world: World, stuck: AlertGroup, irm_proxy: FaultyProxy) -> None:
    for number in range(120):
        payload = json.loads(json.dumps(stuck.alerts[-1].payload).replace("Alert", f"Other{number}"))
        payload["alerts"][0]["fingerprint"] = f"{number:016x}"
        world.irm.receive_webhook(payload, world.integration)
    irm_proxy.inject(status(500), path=r"page=2")

    report = world.run({"GRAFANA_IRM_URL": irm_proxy.url})

    assert_nothing_was_done(world, report)
    assert report.error == "Grafana IRM: list new alert groups, page 2: HTTP 500"


@pytest.mark.parametrize("fault", LATE)
@pytest.mark.parametrize("system", ["Alertmanager", "Grafana IRM"])
def test_read_that_takes_too_long_ends_the_run_in_time(
    *,
    world: World,
    stuck: AlertGroup,
    alertmanager_proxy: FaultyProxy,
    irm_proxy: FaultyProxy,
    system: str,
    fault: Fault,
) -> None:
    (alertmanager_proxy if system == "Alertmanager" else irm_proxy).inject(fault)
    begun = time.monotonic()

    report = world.run({"ALERTMANAGER_URL": alertmanager_proxy.url, "GRAFANA_IRM_URL": irm_proxy.url}, seconds=0.8)

    assert_nothing_was_done(world, report)
    assert report.error.startswith(system)
    assert "no complete answer in the time" in report.error
    assert time.monotonic() - begun < 3, "far from the minutes that the fault would last"
    assert world.state(stuck) == "firing"


@pytest.mark.parametrize("path", [GROUPS, LIST], ids=["Alertmanager", "IRM"])
def test_read_that_failed_once_is_repeated(
    world: World, stuck: AlertGroup, alertmanager_proxy: FaultyProxy, irm_proxy: FaultyProxy, path: str
) -> None:
    (alertmanager_proxy if path == GROUPS else irm_proxy).inject(ResetInBody(), path=path, nth=1)

    report = world.run({"ALERTMANAGER_URL": alertmanager_proxy.url, "GRAFANA_IRM_URL": irm_proxy.url})

    assert outcomes(report) == {stuck.id: "applied"}


def test_token_that_is_refused_ends_the_run_without_naming_it(world: World, stuck: AlertGroup) -> None:
    report = world.run({"GRAFANA_IRM_TOKEN": "not-the-token"})

    assert_nothing_was_done(world, report)
    assert report.error == "Grafana IRM: list new alert groups, page 1: HTTP 403: Invalid token."
    assert world.state(stuck) == "firing"


# --- writes


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        pytest.param(status(500), "HTTP 500", id="500"),
        pytest.param(status(502), "HTTP 502", id="502"),
        pytest.param(status(503, retry_after="0"), "HTTP 503", id="503"),
        pytest.param(status(400), "HTTP 400", id="400"),
        pytest.param(status(404), "HTTP 404", id="404"),
        pytest.param(status(409), "HTTP 409", id="409"),
        pytest.param(status(422), "HTTP 422", id="422"),
        pytest.param(redirect("http://127.0.0.1:9/"), "HTTP 302", id="redirect"),
    ],
)
def test_refused_write_is_a_failure_and_the_next_goes_on(
    world: World, stuck: AlertGroup, irm_proxy: FaultyProxy, fault: Fault, cause: str
) -> None:
    other = world.fire()
    world.silence(other)
    irm_proxy.inject(fault, path=rf"/{stuck.id}/resolve")

    report = world.run({"GRAFANA_IRM_URL": irm_proxy.url})

    assert outcomes(report) == {stuck.id: "failed", other.id: "applied"}
    assert [cause in result.error for result in report.results if result.outcome is Outcome.FAILED] == [True]
    assert report.status is Status.PARTIAL
    assert (world.state(stuck), world.state(other)) == ("firing", "resolved")
    assert len([each for each in irm_proxy.requests if each.path.endswith(f"{stuck.id}/resolve/")]) == 1


def test_write_that_always_fails_fails_the_run(world: World, stuck: AlertGroup, irm_proxy: FaultyProxy) -> None:
    irm_proxy.inject(status(500), path=RESOLVE)

    report = world.run({"GRAFANA_IRM_URL": irm_proxy.url})

    assert (report.status, outcomes(report)) == (Status.FAILED, {stuck.id: "failed"})
    assert report.error == "Grafana IRM: resolve alert group: HTTP 500"


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(LoseAnswer(), id="reset"),
        pytest.param(ResetInBody(after_bytes=0), id="reset after the head"),
        pytest.param(Instead(Answer(status=502), is_forwarded=True), id="502 after it was done"),
        pytest.param(Instead(Answer(status=500), is_forwarded=True), id="500 after it was done"),
    ],
)
def test_write_whose_answer_was_lost_is_looked_up_and_not_repeated(
    world: World, stuck: AlertGroup, irm_proxy: FaultyProxy, fault: Fault
) -> None:
    irm_proxy.inject(fault, path=RESOLVE)

    report = world.run({"GRAFANA_IRM_URL": irm_proxy.url, "RESOLUTION_NOTES": "false"})

    assert outcomes(report) == {stuck.id: "applied"}
    assert len(world.irm.writes) == 1


def test_group_that_somebody_resolved_meanwhile_is_no_failure(
    world: World, stuck: AlertGroup, alertmanager_proxy: FaultyProxy
) -> None:
    """A-11: IRM answers 400, and reading again shows why."""
    alertmanager_proxy.inject(ActFirst(lambda: world.irm.resolve(stuck.id)), path=GROUPS, nth=1)

    report = world.run({"ALERTMANAGER_URL": alertmanager_proxy.url})

    assert (report.status, outcomes(report)) == (Status.SUCCESS, {stuck.id: "already"})
    assert (report.inconsistencies_resolved, report.count(Outcome.FAILED)) == (1, 0)


def test_group_that_was_deleted_meanwhile_is_no_failure(
    world: World, stuck: AlertGroup, alertmanager_proxy: FaultyProxy
) -> None:
    alertmanager_proxy.inject(
        ActFirst(lambda: world.irm.delete_alert_group(world.irm.alert_group(stuck.id))), path=GROUPS, nth=1
    )

    report = world.run({"ALERTMANAGER_URL": alertmanager_proxy.url})

    assert outcomes(report) == {stuck.id: "already"}


def test_attached_group_is_a_failure_that_says_so(world: World, stuck: AlertGroup) -> None:
    root = world.fire()
    world.irm.attach(world.irm.alert_group(stuck.id), world.irm.alert_group(root.id))

    report = world.run()

    assert outcomes(report) == {stuck.id: "failed"}
    assert report.error == "Grafana IRM: resolve alert group: HTTP 400: Can't resolve an attached alert group"


@pytest.mark.parametrize("who", ["viewer", "service account"])
def test_token_that_may_not_act_stops_all_writing_and_names_the_remedies(world: World, who: str) -> None:
    groups = [world.fire() for _ in range(20)]
    for group in groups:
        world.silence(group)
    user = world.irm.add_service_account() if who == "service account" else world.irm.add_user("v", role=Role.VIEWER)

    report = world.run({"GRAFANA_IRM_TOKEN": user.token, "RESOLVE_THROUGH": "api"})

    assert report.status is Status.FAILED
    assert "use a user's API key" in report.error
    assert "RESOLVE_THROUGH=integration" in report.error
    assert user.token not in json.dumps(report.as_dict())
    resolves = [request for request in world.irm.writes if request.path.endswith("/resolve/")]
    assert len(resolves) <= 8, "no more than were on their way at once"
    assert set(outcomes(report).values()) <= {"failed", "deferred"}


def test_write_that_is_throttled_waits_as_told(world: World, stuck: AlertGroup, irm_proxy: FaultyProxy) -> None:
    irm_proxy.inject(status(429, retry_after="1"), path=RESOLVE, nth=1)

    report = world.run({"GRAFANA_IRM_URL": irm_proxy.url})

    assert outcomes(report) == {stuck.id: "applied"}


def test_write_that_is_throttled_for_too_long_is_deferred(
    world: World, stuck: AlertGroup, irm_proxy: FaultyProxy
) -> None:
    irm_proxy.inject(status(429, ratelimit_reset="350"), path=RESOLVE)

    report = world.run({"GRAFANA_IRM_URL": irm_proxy.url})

    assert (report.status, outcomes(report)) == (Status.PARTIAL, {stuck.id: "deferred"})
    assert world.state(stuck) == "firing"


def test_writes_beyond_the_request_budget_are_deferred_and_none_is_refused(world: World) -> None:
    groups = [world.fire() for _ in range(8)]
    for group in groups:
        world.silence(group)
    world.irm.forget_requests()

    report = world.run({"IRM_REQUESTS_PER_MINUTE": "8", "RESOLUTION_NOTES": "false"}, seconds=5)

    assert sorted(outcomes(report).values()) == ["applied"] * 5 + ["deferred"] * 3, "three places went to the lists"
    assert {request.status for request in world.irm.requests} == {200}


def test_write_that_hangs_ends_with_the_run(world: World, stuck: AlertGroup, irm_proxy: FaultyProxy) -> None:
    irm_proxy.inject(NeverAnswer(), path=RESOLVE)
    begun = time.monotonic()

    report = world.run({"GRAFANA_IRM_URL": irm_proxy.url}, seconds=1.5)

    assert outcomes(report) == {stuck.id: "failed"}
    assert time.monotonic() - begun < 4
    assert world.state(stuck) == "firing"


def test_note_that_cannot_be_left_is_a_warning_and_no_failure(
    world: World, stuck: AlertGroup, irm_proxy: FaultyProxy
) -> None:
    irm_proxy.inject(status(400, body={"detail": "no"}), path="/resolution_notes")

    report = world.run({"GRAFANA_IRM_URL": irm_proxy.url})

    assert (report.status, outcomes(report)) == (Status.SUCCESS, {stuck.id: "applied"})
    assert report.warnings == ("a resolution note could not be left: Grafana IRM: add resolution note: HTTP 400: no",)


@pytest.mark.parametrize("fault", [pytest.param(status(500), id="500"), pytest.param(LoseAnswer(), id="lost")])
def test_integration_that_fails_is_looked_up_and_its_url_stays_secret(
    world: World, stuck: AlertGroup, fault: Fault
) -> None:
    with FaultyProxy(world.irm.url) as inbound:
        world.irm.links_base_url = inbound.url
        inbound.inject(fault)

        report = world.run({"RESOLVE_THROUGH": "integration"})

    key = world.irm.inbound_url(world.integration).rstrip("/").rpartition("/")[2]
    assert key not in json.dumps(report.as_dict())
    assert outcomes(report) == {stuck.id: "applied" if isinstance(fault, LoseAnswer) else "failed"}


def test_inbound_limit_of_irm_is_a_deferral(world: World, stuck: AlertGroup) -> None:
    world.irm.limits = Limits(inbound_per_five_minutes=0)
    with FaultyProxy(world.irm.url) as inbound:
        world.irm.links_base_url = inbound.url
        inbound.inject(status(429, retry_after="300"))

        report = world.run({"RESOLVE_THROUGH": "integration"})

    assert outcomes(report) == {stuck.id: "deferred"}


# --- a look that grows old


def test_change_is_not_sent_on_an_old_look_when_the_silence_is_gone(world: World, stuck: AlertGroup) -> None:
    """Between the look and the write the silence was deleted: the alert is active again."""
    service = world.service()
    deadline = Deadline(10)
    irm, looked_at = service.irm.read(deadline, now=datetime.now(UTC)), time.monotonic()

    def plan_now() -> Plan:
        return make_plan(service.alertmanager.read(deadline), irm, service.settings.policy, now=datetime.now(UTC))

    plan = plan_now()
    world.expire_silences()
    freshness = Freshness(plan, plan_now, looked_at=looked_at, fresh_seconds=0)
    applier = Applier(irm=service.irm, writer=ApiWriter(service.irm), freshness=freshness, deadline=deadline, threads=1)

    (result,) = applier.apply(plan.changes)

    assert (result.outcome, "it no longer calls for it" in result.error) == (Outcome.DEFERRED, True)
    assert world.state(stuck) == "firing"


def test_change_is_not_sent_when_alertmanager_cannot_be_looked_at_again(
    world: World, alertmanager_proxy: FaultyProxy
) -> None:
    groups = [world.fire() for _ in range(3)]
    for group in groups:
        world.silence(group)
    service = world.service({"ALERTMANAGER_URL": alertmanager_proxy.url})
    deadline = Deadline(10)
    irm = service.irm.read(deadline, now=datetime.now(UTC))
    plan = make_plan(service.alertmanager.read(deadline), irm, service.settings.policy, now=datetime.now(UTC))
    alertmanager_proxy.inject(status(404))
    freshness = Freshness(
        plan,
        lambda: make_plan(service.alertmanager.read(deadline), irm, service.settings.policy, now=datetime.now(UTC)),
        looked_at=time.monotonic(),
        fresh_seconds=0,
    )
    before = len(alertmanager_proxy.requests)
    applier = Applier(irm=service.irm, writer=ApiWriter(service.irm), freshness=freshness, deadline=deadline, threads=2)

    results = applier.apply(plan.changes)

    assert [result.outcome for result in results] == [Outcome.DEFERRED] * 3
    assert all("to confirm this change: HTTP 404" in result.error for result in results)
    assert len(alertmanager_proxy.requests) == before + 2, "one look, whose failure holds for all"
    assert {world.state(group) for group in groups} == {"firing"}


def test_run_looks_again_before_it_sends_a_change_on_an_old_look(
    world: World, stuck: AlertGroup, alertmanager_proxy: FaultyProxy
) -> None:
    """The look took a second, and may be half a second old. At the second look the silence is gone."""
    alertmanager_proxy.inject(AnswerLate(1), path=GROUPS, nth=1)
    alertmanager_proxy.inject(ActFirst(world.expire_silences), path=GROUPS, nth=2)
    reconciler = replace(world.service({"ALERTMANAGER_URL": alertmanager_proxy.url}).reconciler(), fresh_seconds=0.5)

    report = reconciler.run(RunRequest(run_id="run-1", trigger=Trigger.INVOKE), Deadline(20))

    assert outcomes(report) == {stuck.id: "deferred"}
    assert world.irm.writes == ()


def test_late_answer_that_still_comes_in_time_counts(world: World, stuck: AlertGroup, irm_proxy: FaultyProxy) -> None:
    irm_proxy.inject(AnswerLate(0.5), path=RESOLVE)

    report = world.run({"GRAFANA_IRM_URL": irm_proxy.url})

    assert outcomes(report) == {stuck.id: "applied"}
