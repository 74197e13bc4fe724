"""The service behind the routes: one alert group explained, numbers over all runs, and jobs that somebody triggers.

Alertmanager and AWS Lambda are stand-ins here; IRM is the fake one, and the table that of a DynamoDB.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from prometheus_client.parser import text_string_to_metric_families

from alert_sync.asked_service import AskedService
from alert_sync.deadline import Deadline
from alert_sync.errors import (
    ConfigurationError,
    EventError,
    PermanentUpstreamError,
    TransientUpstreamError,
    UpstreamError,
)
from alert_sync.events import RunOptions
from alert_sync.memory.archive import Archive, Decision, UnknownRecordError
from alert_sync.recall import AuditEntry, JobRecord, JobStatus, ResolutionStatus
from alert_sync.reconcile import RunRequest
from alert_sync.report import Trigger
from alert_sync.secrets_store import SecretStore
from alert_sync.service import Service
from tests.support.asking import ALICE, ALL, a_job
from tests.support.aws_answers import AwsAnswers, refusal
from tests.support.fake_irm import FakeIrm
from tests.support.fake_irm_model import AlertGroup
from tests.support.faults import FaultyProxy, status
from tests.support.loopback_http import Answer
from tests.support.stub_alertmanager import StubAlertmanager

SECONDS = 20.0
FUNCTION = "alert-sync"
INVOCATIONS = f"/2015-03-31/functions/{FUNCTION}/invocations"
ACCEPTED = Answer(status=202)

Sample = tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class World:
    """Both systems, and the table; empty: nothing is remembered."""

    alertmanager: StubAlertmanager
    irm: FakeIrm
    state_table: str = ""

    def service(self, **environ: str) -> Service:
        """As wired for Lambda; `environ` adds to the settings."""
        settings = {
            "ALERTMANAGER_URL": self.alertmanager.url,
            "GRAFANA_IRM_URL": self.irm.url,
            "GRAFANA_IRM_TOKEN": self.irm.admin.token,
            "STATE_TABLE": self.state_table,
        }
        return Service({**settings, **environ}, SecretStore())

    def asked(self, **environ: str) -> AskedService:
        """For one request, as the handler makes it: all of them of one service."""
        service = self.service(**environ)
        return AskedService(lambda: service, Deadline(SECONDS))

    def run(self, **environ: str) -> None:
        """One reconciliation."""
        request = RunRequest(run_id="r1", trigger=Trigger.SCHEDULE)
        self.service(**environ).reconciler().run(request, Deadline(SECONDS))

    def silenced(self, *names: str) -> AlertGroup:
        """An alert group whose alerts are all silenced."""
        return self.irm.add_alert_group(self.alertmanager.silenced(*names))

    def active(self, *names: str) -> AlertGroup:
        """An alert group whose alerts are all active."""
        return self.irm.add_alert_group(self.alertmanager.active(*names))


@pytest.fixture
def forgetful() -> Iterator[World]:
    """Without a table."""
    with StubAlertmanager() as alertmanager, FakeIrm() as irm:
        yield World(alertmanager=alertmanager, irm=irm)


@pytest.fixture
def world(state_table: str) -> Iterator[World]:
    """With one."""
    with StubAlertmanager() as alertmanager, FakeIrm() as irm:
        yield World(alertmanager=alertmanager, irm=irm, state_table=state_table)


@pytest.fixture
def invoked(monkeypatch: pytest.MonkeyPatch) -> Iterator[AwsAnswers]:
    """What AWS Lambda is asked, which takes every invocation."""
    with AwsAnswers(answers=[ACCEPTED]) as answers:
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", answers.url)
        yield answers


@pytest.fixture
def in_lambda(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is the function's."""
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", FUNCTION)


def remembered(asked: AskedService) -> Archive:
    archive = asked.archive()
    assert archive is not None
    return archive


def jobs(world: World) -> tuple[JobRecord, ...]:
    asked = world.asked()
    return remembered(asked).jobs(ALL, now=asked.now(), deadline=asked.deadline).records


def ignore_everything(world: World) -> None:
    """A person's word on each open mismatch."""
    asked = world.asked()
    archive = remembered(asked)
    decision = Decision(status=ResolutionStatus.IGNORED, notes="leave it", who=ALICE, at=asked.now())
    for mismatch in archive.mismatches(ALL, deadline=asked.deadline).records:
        archive.resolve_mismatch(mismatch.id, decision, deadline=asked.deadline)


def audit(world: World) -> tuple[AuditEntry, ...]:
    asked = world.asked()
    return remembered(asked).audit(ALL, deadline=asked.deadline).records


# --- explain


def gist(asked: AskedService, group: AlertGroup) -> tuple[object, ...]:
    """Verdict, change, and the state of each member, by name."""
    explained = asked.explain(group.id)
    assert explained["alert_group_id"] == group.id
    members = sorted((member["labels"]["alertname"], member["state"]) for member in explained["members"])
    return explained["verdict"], explained["change"], members


def test_silenced_group_is_explained_with_its_change(forgetful: World) -> None:
    group = forgetful.silenced("a", "b")

    explained = gist(forgetful.asked(), group)

    assert explained == ("silenced", "resolve", [("a", "suppressed"), ("b", "suppressed")])
    assert forgetful.irm.writes == ()


def test_active_group_is_explained_without_a_change(forgetful: World) -> None:
    group = forgetful.active("a")

    assert gist(forgetful.asked(), group) == ("firing", None, [("a", "active")])


def test_group_is_explained_by_the_settings_of_a_run(forgetful: World) -> None:
    group = forgetful.silenced("a")

    explained = gist(forgetful.asked(SILENCED_ACTION="report"), group)

    assert explained == ("silenced", "report", [("a", "suppressed")])


def test_group_that_a_person_said_to_ignore_is_explained_without_a_change(world: World) -> None:
    group = world.silenced("a")
    world.run(SILENCED_ACTION="report")
    before = gist(world.asked(), group)
    ignore_everything(world)

    after = gist(world.asked(), group)

    assert before == ("silenced", "resolve", [("a", "suppressed")])
    assert after == ("silenced", None, [("a", "suppressed")])


def test_unknown_alert_group_is_an_unknown_record(forgetful: World) -> None:
    with pytest.raises(UnknownRecordError, match=r"^there is no alert group I404$") as raised:
        forgetful.asked().explain("I404")

    assert raised.value.kind == "alert group"


def test_resolved_alert_group_is_not_explained(forgetful: World) -> None:
    group = forgetful.silenced("a")
    forgetful.irm.resolve(group.id)

    with pytest.raises(EventError, match="is resolved: a run looks at open ones only"):
        forgetful.asked().explain(group.id)


def test_refused_credential_is_no_unknown_alert_group(forgetful: World) -> None:
    group = forgetful.silenced("a")

    with pytest.raises(PermanentUpstreamError, match=r"^Grafana IRM: read alert group: ") as raised:
        forgetful.asked(GRAFANA_IRM_TOKEN="nobody's").explain(group.id)

    assert raised.value.is_refused_credential


def test_irm_that_fails_is_no_unknown_alert_group(forgetful: World) -> None:
    group = forgetful.silenced("a")
    with FaultyProxy(forgetful.irm.url) as proxy:
        proxy.inject(status(500))

        with pytest.raises(TransientUpstreamError, match=r"^Grafana IRM: read alert group: "):
            forgetful.asked(GRAFANA_IRM_URL=proxy.url).explain(group.id)


def test_alertmanager_that_is_not_found_is_no_unknown_alert_group(forgetful: World) -> None:
    group = forgetful.silenced("a")
    forgetful.alertmanager.instead = Answer(status=404)

    with pytest.raises(UpstreamError, match=r"^Alertmanager "):
        forgetful.asked().explain(group.id)


# --- metrics_text


def samples(text: str) -> dict[str, float]:
    """Those without labels, by name."""
    families = text_string_to_metric_families(text)
    return {each.name: each.value for family in families for each in family.samples if not each.labels}


def labelled(text: str, name: str) -> dict[Sample, float]:
    """The samples of one metric, by their labels."""
    families = text_string_to_metric_families(text)
    of_name = [each for family in families for each in family.samples if each.name == f"alertmanager_sync_{name}"]
    return {tuple(sorted(each.labels.items())): each.value for each in of_name}


def test_numbers_need_a_table(forgetful: World) -> None:
    with pytest.raises(ConfigurationError, match=r"^numbers over all runs need STATE_TABLE$"):
        forgetful.asked().metrics_text()

    assert (forgetful.alertmanager.requests, forgetful.irm.requests) == ([], ())


def test_numbers_of_a_new_table_are_zero(world: World) -> None:
    text = world.asked().metrics_text()

    counted = samples(text)
    assert counted["alertmanager_sync_reconciliation_total"] == 0
    assert counted["alertmanager_sync_last_reconciliation_timestamp_seconds"] == 0
    assert set(labelled(text, "inconsistencies").values()) == {0}


def test_numbers_are_those_of_the_runs_and_of_what_is_open(world: World) -> None:
    world.silenced("a")
    world.active("b")
    world.run(SILENCED_ACTION="report")
    world.run(SILENCED_ACTION="report")

    text = world.asked().metrics_text()

    counted = samples(text)
    assert counted["alertmanager_sync_reconciliation_total"] == 2
    assert counted["alertmanager_sync_inconsistencies_found"] == 1
    found = {labels: count for labels, count in labelled(text, "inconsistencies").items() if count}
    assert found == {(("resolution_status", "PENDING"), ("type", "silenced")): 1}


def test_neither_system_is_read_for_the_numbers_alone(world: World) -> None:
    world.silenced("a")

    text = world.asked().metrics_text()

    assert labelled(text, "alert_state") == {}
    assert (world.alertmanager.requests, world.irm.requests) == ([], ())


def test_state_of_every_alert_is_told_where_that_is_set(world: World) -> None:
    silenced, active = world.silenced("a"), world.active("b")

    text = world.asked(ALERT_STATE_METRICS="true", ALERT_STATE_LABELS="severity").metrics_text()

    shown = ("alertname", "severity", "suppressed", "silenced_by", "alert_group_id")
    states = labelled(text, "alert_state").items()
    told = {tuple(dict(labels)[name] for name in shown): value for labels, value in states}
    assert told == {
        ("a", "critical", "true", "ann", silenced.id): 0,
        ("b", "critical", "false", "", active.id): 1,
    }
    assert samples(text)["alertmanager_sync_reconciliation_total"] == 0
    assert world.irm.writes == ()


def test_state_of_every_alert_cannot_be_told_where_irm_refuses(world: World) -> None:
    asked = world.asked(ALERT_STATE_METRICS="true", GRAFANA_IRM_TOKEN="nobody's")

    with pytest.raises(PermanentUpstreamError, match=r"^Grafana IRM: list new alert groups, page 1: "):
        asked.metrics_text()


# --- start_job


def a_queued_job() -> tuple[JobRecord, RunOptions]:
    """A job of a dry run with force, and what asks for it."""
    job = a_job(run_id="", status=JobStatus.QUEUED, trigger="http", dry_run=True, completed_at=None, message="")
    return job, RunOptions(trigger=Trigger.HTTP, dry_run=True, force=True, job_id=job.id, who=ALICE)


def test_nothing_is_remembered_without_a_table(forgetful: World) -> None:
    assert forgetful.asked().archive() is None


@pytest.mark.usefixtures("in_lambda")
def test_job_is_not_started_without_a_table(forgetful: World, invoked: AwsAnswers) -> None:
    with pytest.raises(ConfigurationError, match=r"^jobs are triggered in Lambda only, and with STATE_TABLE$"):
        forgetful.asked().start_job(*a_queued_job())

    assert invoked.requests == []


def test_job_is_neither_queued_nor_started_outside_lambda(world: World, invoked: AwsAnswers) -> None:
    with pytest.raises(ConfigurationError, match=r"^jobs are triggered in Lambda only, and with STATE_TABLE$"):
        world.asked().start_job(*a_queued_job())

    assert (jobs(world), audit(world), invoked.requests) == ((), (), [])


@pytest.mark.usefixtures("in_lambda")
def test_job_is_queued_for_whoever_asked(world: World, invoked: AwsAnswers) -> None:
    job, options = a_queued_job()

    world.asked().start_job(job, options)

    assert [(each.id, each.trigger, each.dry_run, each.started_at) for each in jobs(world)] == [
        (job.id, "http", True, job.started_at)
    ]
    assert [(each.who, each.action, each.target, each.dry_run) for each in audit(world)] == [
        (ALICE, "trigger with force", job.id, True)
    ]
    assert len(invoked.requests) == 1


@pytest.mark.usefixtures("in_lambda")
@pytest.mark.parametrize(("dry_run", "force"), [(False, False), (True, False), (False, True)])
def test_job_is_started_by_one_asynchronous_invocation(
    *, world: World, invoked: AwsAnswers, dry_run: bool, force: bool
) -> None:
    job, _ = a_queued_job()

    world.asked().start_job(job, RunOptions(trigger=Trigger.HTTP, dry_run=dry_run, force=force, job_id=job.id))

    (request,) = invoked.requests
    assert (request.method, request.target) == ("POST", INVOCATIONS)
    assert request.header("X-Amz-Invocation-Type") == "Event"
    assert "/lambda/aws4_request" in (request.header("Authorization") or "")
    assert json.loads(request.body) == {"job_id": job.id, "dry_run": dry_run, "force": force}


@pytest.mark.usefixtures("in_lambda")
def test_job_that_cannot_be_queued_is_not_started(
    world: World, invoked: AwsAnswers, monkeypatch: pytest.MonkeyPatch
) -> None:
    with AwsAnswers(answers=[refusal("AccessDeniedException")]) as table:
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", table.url)

        with pytest.raises(PermanentUpstreamError, match=r"^Amazon DynamoDB: "):
            world.asked().start_job(*a_queued_job())

    assert (len(table.requests), invoked.requests) == (1, [])


@pytest.mark.usefixtures("in_lambda")
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        pytest.param(
            Answer(status=403, headers=(("x-amzn-ErrorType", "AccessDeniedException:http://x/"),), body=b"{}"),
            PermanentUpstreamError,
            id="refused",
        ),
        pytest.param(Answer(status=500), TransientUpstreamError, id="failed"),
        pytest.param(None, TransientUpstreamError, id="broken off"),
    ],
)
def test_invocation_that_fails_is_an_error_and_is_not_repeated(
    world: World, monkeypatch: pytest.MonkeyPatch, answer: Answer | None, error: type[UpstreamError]
) -> None:
    job, options = a_queued_job()
    with AwsAnswers(answers=[answer]) as invoked:
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", invoked.url)

        with pytest.raises(error, match=f"^AWS Lambda: start job {job.id}: "):
            world.asked().start_job(job, options)

    assert len(invoked.requests) == 1
    assert [each.id for each in jobs(world)] == [job.id]
