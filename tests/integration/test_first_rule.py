"""Worlds made to lead a run astray: into a write that nobody asked for, a wait without end, or a report that lies."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from alert_sync.apply import Applier, Freshness
from alert_sync.deadline import Deadline
from alert_sync.errors import TransientUpstreamError
from alert_sync.model import Outcome, Plan
from alert_sync.plan import make_plan
from alert_sync.reconcile import RunRequest
from alert_sync.report import Report, Status, Trigger
from alert_sync.secrets_store import SecretStore
from alert_sync.service import Service
from alert_sync.writers import ApiWriter, IntegrationWriter
from tests.integration.world import outcomes
from tests.support.fake_irm import FakeIrm, Role
from tests.support.fake_irm_model import AlertGroup, Integration
from tests.support.faults import FaultyProxy, Rewrite, status
from tests.support.loopback_http import Answer
from tests.support.stub_alertmanager import StubAlertmanager

GARBAGE = "two words"


class Vault(SecretStore):
    """Hands out one text after the other, and the last one for ever."""

    def __init__(self, *texts: str | Callable[[], str]) -> None:
        super().__init__()
        self._texts = texts
        self.reads = 0

    def read(self, secret_id: str) -> str:  # noqa: ARG002 - there is one secret
        text = self._texts[min(self.reads, len(self._texts) - 1)]
        self.reads += 1
        return text if isinstance(text, str) else text()


@pytest.fixture
def alertmanager() -> Iterator[StubAlertmanager]:
    with StubAlertmanager() as running:
        yield running


@pytest.fixture
def irm() -> Iterator[FakeIrm]:
    with FakeIrm() as running:
        yield running


@pytest.fixture
def irm_proxy(irm: FakeIrm) -> Iterator[FaultyProxy]:
    with FaultyProxy(irm.url) as proxy:
        yield proxy


@pytest.fixture
def integration(irm: FakeIrm) -> Integration:
    return irm.add_alertmanager_integration()


def stuck_groups(
    count: int, alertmanager: StubAlertmanager, irm: FakeIrm, integration: Integration
) -> list[AlertGroup]:
    """Alert groups that a run without faults resolves."""
    webhooks = [alertmanager.silenced(f"Alert{number}") for number in range(count)]
    return [group for webhook in webhooks for group in irm.receive_webhook(webhook, integration)]


def run(
    alertmanager: StubAlertmanager,
    irm: FakeIrm,
    environ: Mapping[str, str] | None = None,
    *,
    seconds: float = 20,
    secrets: SecretStore | None = None,
) -> Report:
    request = RunRequest(run_id="run-1", trigger=Trigger.INVOKE)
    return service_of(alertmanager, irm, environ, secrets).reconciler().run(request, Deadline(seconds))


def service_of(
    alertmanager: StubAlertmanager,
    irm: FakeIrm,
    environ: Mapping[str, str] | None = None,
    secrets: SecretStore | None = None,
) -> Service:
    settings = {
        "ALERTMANAGER_URL": alertmanager.url,
        "GRAFANA_IRM_URL": irm.url,
        "GRAFANA_IRM_TOKEN": irm.admin.token,
        "MAX_CHANGES_MINIMUM": "1000",
    }
    return Service({**settings, **(environ or {})}, secrets or SecretStore())


def resolves(irm: FakeIrm) -> list[Any]:
    return [request for request in irm.writes if request.path.endswith("/resolve/")]


# --- the deadline


def test_run_that_is_out_of_time_sends_nothing_more_and_knows_what_became_of_each_change(
    alertmanager: StubAlertmanager, irm: FakeIrm, integration: Integration
) -> None:
    stuck_groups(200, alertmanager, irm, integration)
    irm.latency_seconds = 0.1

    report = run(alertmanager, irm, {"RESOLUTION_NOTES": "false"}, seconds=2)

    told = list(outcomes(report).values())
    assert {"applied", "deferred"} == set(told)
    assert len(resolves(irm)) == told.count("applied") == len(irm.resolved_ids)


# --- the look at Alertmanager


@pytest.mark.parametrize(
    ("ends_at", "outcome"),
    [
        pytest.param("2099-01-01T00:00:00Z", Outcome.APPLIED, id="as it was"),
        pytest.param("2098-01-01T00:00:00Z", Outcome.DEFERRED, id="shortened"),
    ],
)
def test_silence_in_irm_is_not_sent_with_the_delay_of_a_silence_that_was_shortened(
    alertmanager: StubAlertmanager, irm: FakeIrm, integration: Integration, ends_at: str, outcome: Outcome
) -> None:
    stuck_groups(1, alertmanager, irm, integration)
    alertmanager.silences[0]["endsAt"] = "2099-01-01T00:00:00Z"
    service = service_of(alertmanager, irm, {"SILENCED_ACTION": "silence"})
    deadline = Deadline(10)
    groups = service.irm.read(deadline, now=datetime.now(UTC))

    def plan_now() -> Plan:
        return make_plan(service.alertmanager.read(deadline), groups, service.settings.policy, now=datetime.now(UTC))

    plan = plan_now()
    alertmanager.silences[0]["endsAt"] = ends_at
    freshness = Freshness(plan, plan_now, looked_at=time.monotonic(), fresh_seconds=0)
    applier = Applier(irm=service.irm, writer=ApiWriter(service.irm), freshness=freshness, deadline=deadline, threads=1)

    (result,) = applier.apply(plan.changes)

    assert (result.outcome, len(irm.writes)) == (outcome, int(outcome is Outcome.APPLIED))


@pytest.mark.parametrize("through", ["api", "integration"])
def test_no_way_into_irm_is_taken_on_an_old_look(
    alertmanager: StubAlertmanager, irm: FakeIrm, integration: Integration, through: str
) -> None:
    """Between the look and the write the silence was deleted."""
    (group,) = stuck_groups(1, alertmanager, irm, integration)
    reconciler = service_of(alertmanager, irm, {"RESOLVE_THROUGH": through}).reconciler()
    deadline = Deadline(10)
    groups = reconciler.irm.read(deadline, now=datetime.now(UTC))

    def plan_now() -> Plan:
        snapshot = reconciler.alertmanager.read(deadline)
        return make_plan(snapshot, groups, reconciler.settings.policy, now=datetime.now(UTC))

    plan = plan_now()
    alertmanager.groups[0]["alerts"][0]["status"] = {"state": "active", "silencedBy": [], "inhibitedBy": []}
    freshness = Freshness(plan, plan_now, looked_at=time.monotonic(), fresh_seconds=0)
    writer = IntegrationWriter(reconciler.inbound, groups) if reconciler.inbound else ApiWriter(reconciler.irm)
    applier = Applier(irm=reconciler.irm, writer=writer, freshness=freshness, deadline=deadline, threads=1)

    (result,) = applier.apply(plan.changes)

    assert (result.outcome, irm.writes, irm.alert_group(group.id).state) == (Outcome.DEFERRED, (), "firing")


def test_one_new_look_confirms_every_change_that_is_sent_soon_after_it(
    alertmanager: StubAlertmanager, irm: FakeIrm, integration: Integration
) -> None:
    stuck_groups(3, alertmanager, irm, integration)
    service = service_of(alertmanager, irm)
    deadline = Deadline(10)
    groups = service.irm.read(deadline, now=datetime.now(UTC))
    looks = []

    def plan_now() -> Plan:
        looks.append(1)
        return make_plan(service.alertmanager.read(deadline), groups, service.settings.policy, now=datetime.now(UTC))

    plan = plan_now()
    freshness = Freshness(plan, plan_now, looked_at=time.monotonic() - 1000, fresh_seconds=500)
    applier = Applier(irm=service.irm, writer=ApiWriter(service.irm), freshness=freshness, deadline=deadline, threads=2)

    results = applier.apply(plan.changes)

    assert [result.outcome for result in results] == [Outcome.APPLIED] * 3
    assert len(looks) == 1 + 1, "the first, and one for all"


# --- the credential


def test_secret_that_becomes_unusable_during_the_run_hides_no_change_that_was_made(
    alertmanager: StubAlertmanager, irm: FakeIrm, integration: Integration, irm_proxy: FaultyProxy
) -> None:
    stuck_groups(30, alertmanager, irm, integration)
    irm_proxy.inject(status(403), method="POST", path="/resolve/", nth=range(10, 100))
    settings = {
        "GRAFANA_IRM_URL": irm_proxy.url,
        "GRAFANA_IRM_TOKEN_SECRET": "irm-token",
        "RESOLUTION_NOTES": "false",
    }

    report = run(alertmanager, irm, settings, secrets=Vault(irm.admin.token, GARBAGE))

    told = list(outcomes(report).values())
    assert (report.status, report.error) == (Status.PARTIAL, "")
    assert told.count("applied") == len(irm.resolved_ids) == 9
    assert set(told) == {"applied", "failed"}
    assert "secret irm-token does not hold a token" in report.results[-1].error


def test_secret_that_becomes_unusable_for_the_notes_hides_no_change_that_was_made(
    alertmanager: StubAlertmanager, irm: FakeIrm, integration: Integration, irm_proxy: FaultyProxy
) -> None:
    (group,) = stuck_groups(1, alertmanager, irm, integration)
    irm_proxy.inject(status(403), path="/resolution_notes")
    settings = {"GRAFANA_IRM_URL": irm_proxy.url, "GRAFANA_IRM_TOKEN_SECRET": "irm-token"}

    report = run(alertmanager, irm, settings, secrets=Vault(irm.admin.token, GARBAGE))

    assert (report.status, outcomes(report)) == (Status.SUCCESS, {group.id: "applied"})
    assert [warning for warning in report.warnings if "secret irm-token does not hold a token" in warning]


def test_refused_token_whose_secret_cannot_be_read_again_stops_all_writing(
    alertmanager: StubAlertmanager, irm: FakeIrm, integration: Integration, irm_proxy: FaultyProxy
) -> None:
    stuck_groups(30, alertmanager, irm, integration)
    irm_proxy.inject(status(403), method="POST", path="/resolve/")

    def fail() -> str:
        raise TransientUpstreamError("AWS Secrets Manager", "read secret", "irm-token: ThrottlingException")

    settings = {"GRAFANA_IRM_URL": irm_proxy.url, "GRAFANA_IRM_TOKEN_SECRET": "irm-token"}
    report = run(alertmanager, irm, settings, secrets=Vault(irm.admin.token, fail))

    assert report.status is Status.FAILED
    assert "HTTP 403; and the credential cannot be read again: AWS Secrets Manager: read secret:" in report.error
    assert len([request for request in irm_proxy.requests if request.method == "POST"]) <= 8
    assert irm.resolved_ids == []


def test_token_that_lost_its_right_during_the_run_fails_the_run_although_some_changes_were_made(
    alertmanager: StubAlertmanager, irm: FakeIrm, integration: Integration, irm_proxy: FaultyProxy
) -> None:
    stuck_groups(30, alertmanager, irm, integration)
    irm_proxy.inject(status(403), method="POST", path="/resolve/", nth=range(10, 100))

    report = run(alertmanager, irm, {"GRAFANA_IRM_URL": irm_proxy.url, "RESOLUTION_NOTES": "false"})

    assert (report.status, len(irm.resolved_ids)) == (Status.FAILED, 9)
    assert list(outcomes(report).values()).count("applied") == 9
    assert "this token cannot resolve alert groups" in report.error


def test_token_that_may_not_silence_is_told_what_to_do_about_silencing(
    alertmanager: StubAlertmanager, irm: FakeIrm, integration: Integration
) -> None:
    stuck_groups(1, alertmanager, irm, integration)
    viewer = irm.add_user("viewer", role=Role.VIEWER)

    report = run(alertmanager, irm, {"SILENCED_ACTION": "silence", "GRAFANA_IRM_TOKEN": viewer.token})

    assert report.status is Status.FAILED
    assert "this token cannot silence alert groups" in report.error


# --- the way through the integration


def test_silencing_goes_through_the_api_although_resolves_go_through_the_integration(
    alertmanager: StubAlertmanager, irm: FakeIrm, integration: Integration
) -> None:
    (group,) = stuck_groups(1, alertmanager, irm, integration)

    report = run(alertmanager, irm, {"SILENCED_ACTION": "silence", "RESOLVE_THROUGH": "integration"})

    assert (outcomes(report), irm.alert_group(group.id).state) == ({group.id: "applied"}, "silenced")
    assert [note.text.split(" for ")[0] for note in irm.notes] == ["Silenced"]


def test_webhooks_to_one_integration_leave_most_of_its_limit_to_real_alerts(
    alertmanager: StubAlertmanager, irm: FakeIrm, integration: Integration
) -> None:
    other = irm.add_alertmanager_integration("other")
    crowd = [group.id for group in stuck_groups(70, alertmanager, irm, integration)]
    (single,) = irm.receive_webhook(alertmanager.silenced("Single"), other)
    service = service_of(alertmanager, irm, {"RESOLVE_THROUGH": "integration", "RESOLUTION_NOTES": "false"})

    report = service.reconciler().run(RunRequest(run_id="run-1", trigger=Trigger.INVOKE), Deadline(20))

    told = outcomes(report)
    assert [told[each] for each in crowd].count("applied") == 60
    assert [told[each] for each in crowd].count("deferred") == 10
    assert told[single.id] == "applied"
    assert service.irm_budget.spent == len(irm.requests)


@pytest.mark.parametrize("state", ["acknowledged", "firing"])
def test_webhook_that_another_open_group_would_take_is_not_sent(
    alertmanager: StubAlertmanager, irm: FakeIrm, integration: Integration, state: str
) -> None:
    """A person unresolved an old alert group: IRM never again adds to it, but to the newer one with its group key."""
    webhook = alertmanager.silenced("Alert")
    (unresolved,) = irm.receive_webhook(webhook, integration)
    irm.resolve(unresolved.id)
    irm.unresolve(unresolved.id)
    (newer,) = irm.receive_webhook(webhook, integration)
    if state == "acknowledged":
        irm.acknowledge(newer.id)

    report = run(alertmanager, irm, {"RESOLVE_THROUGH": "integration"})

    assert set(outcomes(report).values()) == {"failed"}
    assert "another open alert group has the same group key" in report.error
    assert irm.alert_group(newer.id).state == state
    assert irm.writes == ()


def test_same_group_key_in_another_integration_is_no_obstacle(
    alertmanager: StubAlertmanager, irm: FakeIrm, integration: Integration
) -> None:
    webhook = alertmanager.silenced("Alert")
    groups = [*irm.receive_webhook(webhook, integration)]
    groups += irm.receive_webhook(webhook, irm.add_alertmanager_integration("other"))

    report = run(alertmanager, irm, {"RESOLVE_THROUGH": "integration"})

    assert outcomes(report) == {group.id: "applied" for group in groups}


def test_key_that_one_integration_refuses_does_not_stop_the_others(
    alertmanager: StubAlertmanager, irm: FakeIrm, integration: Integration, irm_proxy: FaultyProxy
) -> None:
    other = irm.add_alertmanager_integration("other")
    stuck_groups(20, alertmanager, irm, integration)
    fine = [irm.receive_webhook(alertmanager.silenced(f"Other{number}"), other)[0].id for number in range(10)]
    irm.links_base_url = irm_proxy.url
    irm_proxy.inject(status(403), method="POST", path=irm.inbound_url(integration).rpartition("/integrations/")[2])

    report = run(alertmanager, irm, {"RESOLVE_THROUGH": "integration"})

    told = outcomes(report)
    assert {told[group_id] for group_id in fine} == {"applied"}
    assert list(told.values()).count("failed") == 20


def test_webhook_is_confirmed_by_one_read_of_its_alert_group(
    alertmanager: StubAlertmanager, irm: FakeIrm, integration: Integration
) -> None:
    (group,) = stuck_groups(1, alertmanager, irm, integration)

    run(alertmanager, irm, {"RESOLVE_THROUGH": "integration", "RESOLUTION_NOTES": "false"})

    reads = [request.path for request in irm.requests if not request.is_write]
    assert reads[3:] == [f"/api/v1/integrations/{integration.id}/", f"/api/v1/alert_groups/{group.id}/"]


def test_webhook_that_cannot_be_confirmed_is_deferred_and_says_why(
    alertmanager: StubAlertmanager, irm: FakeIrm, integration: Integration, irm_proxy: FaultyProxy
) -> None:
    (group,) = stuck_groups(1, alertmanager, irm, integration)
    irm_proxy.inject(status(404), method="GET", path=group.id)

    report = run(alertmanager, irm, {"RESOLVE_THROUGH": "integration", "GRAFANA_IRM_URL": irm_proxy.url})

    assert outcomes(report) == {group.id: "deferred"}
    assert "whether it was processed is not known: Grafana IRM: read alert group: HTTP 404" in report.results[0].error


def test_webhook_is_not_waited_for_longer_than_the_run_has(
    alertmanager: StubAlertmanager, irm: FakeIrm, integration: Integration
) -> None:
    (group,) = stuck_groups(1, alertmanager, irm, integration)
    irm.inbound_delay_seconds = None

    report = run(alertmanager, irm, {"RESOLVE_THROUGH": "integration"}, seconds=2)

    assert outcomes(report) == {group.id: "deferred"}
    assert report.results[0].error == "taken in by IRM; no time was left to see that it was processed"


def test_change_that_was_never_sent_is_not_looked_up(
    alertmanager: StubAlertmanager, irm: FakeIrm, integration: Integration
) -> None:
    stuck_groups(12, alertmanager, irm, integration)
    integration.grouping_key = "{{ payload.groupLabels.cluster }}"

    report = run(alertmanager, irm, {"RESOLVE_THROUGH": "integration"})

    assert set(outcomes(report).values()) == {"failed"}
    assert len(irm.requests) == 3 + 1, "three lists, one integration"


def test_integration_that_cannot_be_read_costs_no_request_per_group(
    alertmanager: StubAlertmanager, irm: FakeIrm, integration: Integration, irm_proxy: FaultyProxy
) -> None:
    stuck_groups(12, alertmanager, irm, integration)
    irm_proxy.inject(status(403), path="/integrations/")

    report = run(alertmanager, irm, {"RESOLVE_THROUGH": "integration", "GRAFANA_IRM_URL": irm_proxy.url})

    assert (report.status, report.error) == (Status.FAILED, "Grafana IRM: read integration: HTTP 403")
    assert len(irm_proxy.requests) == 3 + 1, "three lists, one integration"


# --- odd but legal


def test_time_at_the_edge_of_the_calendar_is_an_unknown_object_and_no_crash(
    alertmanager: StubAlertmanager, irm: FakeIrm, integration: Integration
) -> None:
    odd, other = stuck_groups(2, alertmanager, irm, integration)
    alertmanager.groups[0]["alerts"][0]["updatedAt"] = "0001-01-01T00:00:00+01:00"

    report = run(alertmanager, irm)

    assert (outcomes(report), report.kept["unknown"]) == ({other.id: "applied"}, 1)
    assert irm.alert_group(odd.id).state == "firing"


def test_listed_object_without_an_id_is_examined_and_unknown(
    alertmanager: StubAlertmanager, irm: FakeIrm, integration: Integration, irm_proxy: FaultyProxy
) -> None:
    stuck_groups(1, alertmanager, irm, integration)

    def without_ids(answer: Answer) -> Answer:
        page = json.loads(answer.body)
        page["results"] = [{**each, "id": None} for each in page["results"]]
        return Answer(status=200, body=json.dumps(page).encode())

    irm_proxy.inject(Rewrite(without_ids), path=r"/alert_groups/\?")

    report = run(alertmanager, irm, {"GRAFANA_IRM_URL": irm_proxy.url})

    assert (report.alert_groups_examined, report.kept["unknown"], irm.writes) == (1, 1, ())


def test_silence_without_a_foreseeable_end_silences_for_a_year(
    alertmanager: StubAlertmanager, irm: FakeIrm, integration: Integration
) -> None:
    (group,) = stuck_groups(1, alertmanager, irm, integration)
    alertmanager.silences[0]["endsAt"] = "9999-12-31T23:59:59Z"

    report = run(alertmanager, irm, {"SILENCED_ACTION": "silence"})

    assert outcomes(report) == {group.id: "applied"}
    (write,) = [request for request in irm.writes if request.path.endswith("/silence/")]
    assert write.body == b'{"delay": 31536000}'


def test_two_runs_at_once_resolve_each_group_and_leave_one_note(
    alertmanager: StubAlertmanager, irm: FakeIrm, integration: Integration
) -> None:
    groups = stuck_groups(20, alertmanager, irm, integration)
    irm.latency_seconds = 0.02

    with ThreadPoolExecutor(2) as pool:
        reports = list(pool.map(lambda _: run(alertmanager, irm), range(2)))

    assert [report.status for report in reports] == [Status.SUCCESS] * 2
    assert sorted(note.alert_group_id for note in irm.notes) == sorted(group.id for group in groups)


def test_run_begun_after_the_deadline_ends_at_once(
    alertmanager: StubAlertmanager, irm: FakeIrm, integration: Integration
) -> None:
    stuck_groups(1, alertmanager, irm, integration)
    begun = time.monotonic()

    report = run(alertmanager, irm, seconds=-1)

    assert (report.status, "deadline has passed" in report.error or "no place" in report.error) == (Status.FAILED, True)
    assert (irm.requests, time.monotonic() - begun < 2) == ((), True)
