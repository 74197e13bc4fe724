"""The built function under AWS's runtime: each kind of event, the token from Secrets Manager, time-outs, faults.

What is built is what `sam deploy` uploads; the interpreter has nothing but the Lambda runtime client, so that a package
that was not bundled is missed here.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped] # it has no types
import pytest

from alert_sync.metrics import METRICS
from tests.support.fake_irm import FakeIrm
from tests.support.fake_irm_model import AlertGroup
from tests.support.faults import AnswerLate, FaultyProxy, NeverAnswer
from tests.support.lambda_runtime import REGION, LambdaRuntime
from tests.support.secrets_manager import secrets_manager
from tests.support.stub_alertmanager import StubAlertmanager

EVENTS = Path(__file__).resolve().parents[2] / "events"
SECRET = "alert-sync/token"


def event(name: str) -> dict[str, Any]:
    """One of the sample events."""
    sample: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text())
    return sample


@pytest.fixture(scope="module")
def secrets() -> Iterator[Any]:
    with secrets_manager() as url:
        yield boto3.client(
            "secretsmanager",
            endpoint_url=url,
            region_name=REGION,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )


class Deployed:
    """The function with both systems, and a secret of its own."""

    def __init__(self, irm: FakeIrm, alertmanager: StubAlertmanager, secrets: Any, artifact: Path) -> None:
        self.irm = irm
        self.alertmanager = alertmanager
        self.secrets = secrets
        self.artifact = artifact
        self.put_secret(json.dumps({"token": irm.admin.token}))

    def put_secret(self, text: str) -> None:
        try:
            self.secrets.put_secret_value(SecretId=SECRET, SecretString=text)
        except self.secrets.exceptions.ResourceNotFoundException:
            self.secrets.create_secret(Name=SECRET, SecretString=text)

    def stuck(self, name: str = "Stuck") -> AlertGroup:
        """An alert group that a run resolves."""
        return self.irm.add_alert_group(self.alertmanager.silenced(name))

    def runtime(self, environment: Mapping[str, str] | None = None, *, timeout_seconds: int = 60) -> LambdaRuntime:
        variables = {
            "ALERTMANAGER_URL": self.alertmanager.url,
            "GRAFANA_IRM_URL": self.irm.url,
            "GRAFANA_IRM_TOKEN_SECRET": SECRET,
            "AWS_ENDPOINT_URL": self.secrets.meta.endpoint_url,
            "POWERTOOLS_SERVICE_NAME": "my-stack",
        }
        return LambdaRuntime(
            self.artifact, environment={**variables, **(environment or {})}, timeout_seconds=timeout_seconds
        )


@pytest.fixture
def deployed(secrets: Any, built_function: Path) -> Iterator[Deployed]:
    with FakeIrm() as irm, StubAlertmanager() as alertmanager:
        yield Deployed(irm, alertmanager, secrets, built_function)


@pytest.mark.parametrize("name", ["scheduled", "scheduled_rule"])
def test_schedule_reconciles_with_the_token_from_the_secret(deployed: Deployed, name: str) -> None:
    group = deployed.stuck()

    with deployed.runtime() as function:
        report = function.invoke(event(name))
        documents = function.emf_documents()
        log = "\n".join(function.log_lines())

    assert (report["status"], report["trigger"], report["inconsistencies_resolved"]) == ("success", "schedule", 1)
    assert deployed.irm.alert_group(group.id).state == "resolved"
    assert [document["service"] for document in documents] == ["my-stack"]
    assert set(METRICS) <= set(documents[0])
    assert deployed.irm.admin.token not in log


@pytest.mark.parametrize(
    ("name", "outcome", "state"),
    [
        ("manual", "applied", "resolved"),
        ("manual_dry_run", "planned", "firing"),
        ("manual_force", "applied", "resolved"),
    ],
)
def test_plain_event_reconciles_as_it_asks_for(deployed: Deployed, name: str, outcome: str, state: str) -> None:
    group = deployed.stuck()

    with deployed.runtime() as function:
        report = function.invoke(event(name))

    assert [change["outcome"] for change in report["changes"]] == [outcome]
    assert deployed.irm.alert_group(group.id).state == state


@pytest.mark.parametrize(
    ("name", "code", "state"),
    [
        ("http_reconcile", 200, "resolved"),
        ("http_dry_run", 200, "firing"),
        ("http_healthz", 200, "firing"),
        ("http_readyz", 200, "firing"),
    ],
)
def test_http_request_is_answered(deployed: Deployed, name: str, code: int, state: str) -> None:
    group = deployed.stuck()

    with deployed.runtime() as function:
        answer = function.invoke(event(name))

    assert (answer["statusCode"], answer["headers"]["Content-Type"]) == (code, "application/json")
    assert isinstance(json.loads(answer["body"]), dict)
    assert deployed.irm.alert_group(group.id).state == state


def test_environment_is_kept_between_invocations_and_tells_its_cold_start(deployed: Deployed) -> None:
    with deployed.runtime() as function:
        for _ in range(3):
            function.invoke(event("scheduled"))
        documents = function.emf_documents()

    assert [document["ColdStart"] for document in documents] == [[1.0], [0.0], [0.0]]
    assert [document["IrmRequests"] for document in documents] == [[3.0], [3.0], [3.0]]


def test_rotated_token_is_used_without_a_new_start(deployed: Deployed) -> None:
    with deployed.runtime() as function:
        function.invoke(event("scheduled"))
        deployed.irm.admin.is_active = False
        deployed.put_secret(deployed.irm.add_user("next").token)

        report = function.invoke(event("scheduled"))

    assert report["status"] == "success"


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        pytest.param({"GRAFANA_IRM_TOKEN_SECRET": "no/such"}, "secret no/such does not exist", id="no such secret"),
        pytest.param({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "AWS Secrets Manager: read secret", id="unreachable"),
        pytest.param({"GRAFANA_IRM_URL": "", "DRY_RUN": "maybe"}, "DRY_RUN must be true or false", id="settings"),
        pytest.param({"GRAFANA_IRM_URL": "http://127.0.0.1:9"}, "Grafana IRM: list new alert groups", id="IRM down"),
        pytest.param({"ALERTMANAGER_URL": "http://127.0.0.1:9"}, "Alertmanager http://127.0.0.1:9", id="AM down"),
    ],
)
def test_foreseen_failure_is_reported_measured_and_no_crash(
    deployed: Deployed, environment: dict[str, str], told: str
) -> None:
    deployed.stuck()

    with deployed.runtime(environment) as function:
        report = function.invoke(event("scheduled"))
        (document,) = function.emf_documents()

    assert report["status"] == "failed"
    assert told in report["error"]
    assert (document["ReconciliationFailures"], document["LastReconciliationSuccess"]) == ([1.0], [0.0])
    assert deployed.irm.writes == ()


def test_readiness_names_what_cannot_be_reached(deployed: Deployed) -> None:
    with deployed.runtime({"ALERTMANAGER_URL": "http://127.0.0.1:9"}) as function:
        ready = function.invoke(event("http_readyz"))
        alive = function.invoke(event("http_healthz"))

    assert (ready["statusCode"], list(json.loads(ready["body"])["faults"])) == (503, ["alertmanager"])
    assert alive["statusCode"] == 200


def test_event_of_no_known_kind_is_an_error_of_the_function(deployed: Deployed) -> None:
    with deployed.runtime() as function:
        answer = function.invoke({"Records": []})

    assert answer["errorType"] == "EventError"
    assert "unknown key 'Records'" in answer["errorMessage"]


def test_upstream_that_hangs_is_reported_before_lambda_ends_the_function(deployed: Deployed) -> None:
    with FaultyProxy(deployed.alertmanager.url) as proxy:
        proxy.inject(NeverAnswer())
        with deployed.runtime({"ALERTMANAGER_URL": proxy.url}, timeout_seconds=5) as function:
            report = function.invoke(event("scheduled"))
            documents = function.emf_documents()

    assert report["status"] == "failed"
    assert "no complete answer in the time" in report["error"]
    assert len(documents) == 1


def test_http_answer_is_out_before_api_gateway_gives_up(deployed: Deployed) -> None:
    """Twelve resolves of which each takes three seconds, eight at a time, with a budget for five: the rest waits."""
    for number in range(12):
        deployed.stuck(f"Stuck{number}")
    with FaultyProxy(deployed.irm.url) as proxy:
        proxy.inject(AnswerLate(3), path="/resolve")
        environment = {"GRAFANA_IRM_URL": proxy.url, "IRM_REQUESTS_PER_MINUTE": "8", "RESOLUTION_NOTES": "false"}
        with deployed.runtime(environment) as function:
            begun = time.monotonic()
            answer = function.invoke(event("http_reconcile"))
            seconds = time.monotonic() - begun

    report = json.loads(answer["body"])
    assert (answer["statusCode"], report["status"]) == (200, "partial")
    assert (report["inconsistencies_resolved"], report["inconsistencies_deferred"]) == (5, 7)
    assert seconds < 29


def test_function_without_time_for_a_run_says_so_and_lives_on(deployed: Deployed) -> None:
    """What it keeps in reserve for its report is its whole time here."""
    group = deployed.stuck()

    with deployed.runtime(timeout_seconds=2) as function:
        first = function.invoke(event("scheduled"))
        second = function.invoke(event("http_healthz"))

    assert first["status"] == "failed"
    assert second["statusCode"] == 200
    assert deployed.irm.alert_group(group.id).state == "firing"
