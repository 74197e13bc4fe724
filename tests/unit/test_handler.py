"""The Lambda entry point with real clients over real sockets: every kind of event, and everything that is foreseen.

A cold start is what it is on Lambda: the module is imported anew with the variables that are set then.
"""

from __future__ import annotations

import importlib
import itertools
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import botocore.session
import pytest
import urllib3

from alert_sync.errors import EventError
from alert_sync.metrics import METRICS
from tests.support.emf import read_emf
from tests.support.fake_irm import FakeIrm
from tests.support.fake_irm_model import AlertGroup
from tests.support.faults import FaultyProxy, NeverAnswer
from tests.support.loopback_http import Answer
from tests.support.secrets_manager import secrets_manager
from tests.support.stub_alertmanager import StubAlertmanager

SAMPLES = Path(__file__).parents[2] / "events"
REGION = "eu-west-1"
HTTP_HEADERS = {"Content-Type": "application/json", "Cache-Control": "no-store"}
NO_ENTRIES = dict.fromkeys(("firing", "suppressed", "gone", "unknown", "unmanaged", "out_of_scope", "silenced"), 0)

_stack_names = (f"stack-{number}" for number in itertools.count())


@dataclass(frozen=True)
class Context:
    """What Lambda tells an invocation about itself."""

    aws_request_id: str = "request-1"
    remaining_seconds: float = 900.0

    def get_remaining_time_in_millis(self) -> int:
        return int(self.remaining_seconds * 1000)


@dataclass
class World:
    """Both systems, the function's variables, and what it writes."""

    irm: FakeIrm
    alertmanager: StubAlertmanager
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]
    handler: Any = None
    written: list[str] = field(default_factory=list)

    def set(self, **variables: str) -> None:
        for name, value in variables.items():
            self.monkeypatch.setenv(name, value)

    def unset(self, *names: str) -> None:
        for name in names:
            self.monkeypatch.delenv(name)

    def start_cold(self) -> None:
        # The logger of a name keeps the stream that it was first made with, and each test has another one.
        self.set(POWERTOOLS_SERVICE_NAME=next(_stack_names))
        sys.modules.pop("alert_sync.handler", None)
        self.handler = importlib.import_module("alert_sync.handler").lambda_handler

    def invoke(self, event: Any, context: Any = None) -> Any:
        """Invoke as Lambda does: with a JSON event, and an answer that must be JSON."""
        if self.handler is None:
            self.start_cold()
        self.capsys.readouterr()
        try:
            return json.loads(json.dumps(self.handler(json.loads(json.dumps(event)), context or Context())))
        finally:
            self.written = self.capsys.readouterr().out.splitlines()

    def http(self, method: str, path: str, context: Any = None, **more: Any) -> tuple[int, Any]:
        """Status and body of the answer to a request through API Gateway."""
        http = {"method": method, "path": path}
        answer = self.invoke({"rawPath": path, "requestContext": {"http": http}, **more}, context)
        assert {name: answer["headers"][name] for name in HTTP_HEADERS} == HTTP_HEADERS
        return answer["statusCode"], json.loads(answer["body"])

    @property
    def metrics(self) -> dict[str, float]:
        """The values of the metrics that the last invocation emitted."""
        document = read_emf("\n".join(self.written))
        return {name: document[name][0] for name in METRICS}

    @property
    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.written if '"_aws"' not in line]

    def silenced_group(self, name: str = "Stuck") -> AlertGroup:
        return self.irm.add_alert_group(self.alertmanager.silenced(name), title=name)

    def active_group(self, name: str = "Paging") -> AlertGroup:
        return self.irm.add_alert_group(self.alertmanager.active(name), title=name)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[World]:
    with FakeIrm() as irm, StubAlertmanager() as alertmanager:
        world = World(irm=irm, alertmanager=alertmanager, monkeypatch=monkeypatch, capsys=capsys)
        world.set(ALERTMANAGER_URL=alertmanager.url, GRAFANA_IRM_URL=irm.url, GRAFANA_IRM_TOKEN=irm.admin.token)
        yield world
    sys.modules.pop("alert_sync.handler", None)


@pytest.fixture
def aws(world: World) -> Iterator[Any]:
    """Secrets Manager with the empty secret of a fresh stack, which holds the token by name."""
    with secrets_manager() as url:
        world.unset("GRAFANA_IRM_TOKEN")
        world.set(GRAFANA_IRM_TOKEN_SECRET="irm-token", AWS_DEFAULT_REGION=REGION)
        world.set(AWS_ACCESS_KEY_ID="testing", AWS_SECRET_ACCESS_KEY="testing", AWS_ENDPOINT_URL=url)
        client: Any = botocore.session.Session().create_client("secretsmanager", region_name=REGION)
        client.create_secret(Name="irm-token")
        yield client
        client.delete_secret(SecretId="irm-token", ForceDeleteWithoutRecovery=True)


def sample(name: str) -> Any:
    return json.loads((SAMPLES / f"{name}.json").read_text(encoding="utf-8"))


NO_SECRET = (
    "secret irm-token does not exist or has no value yet: "
    "aws secretsmanager put-secret-value --secret-id irm-token --secret-string file://token.txt"
)


# --- a run, from end to end


def test_schedule_resolves_what_is_silenced(world: World) -> None:
    stuck, paging = world.silenced_group(), world.active_group()

    report = world.invoke(sample("scheduled"))

    until = f"{datetime.fromisoformat(world.alertmanager.silences[0]['endsAt']):%Y-%m-%d %H:%M UTC}"
    assert world.irm.resolved_ids == [stuck.id]
    assert report == {
        "run_id": "request-1",
        "trigger": "schedule",
        "status": "success",
        "message": "inconsistencies: 1 found, 1 resolved",
        "dry_run": False,
        "started_at": ANY,
        "duration_seconds": ANY,
        "alerts_fetched": 2,
        "alert_groups_examined": 2,
        "inconsistencies_found": 1,
        "inconsistencies_resolved": 1,
        "inconsistencies_failed": 0,
        "inconsistencies_deferred": 0,
        "changes": [
            {
                "alert_group_id": stuck.id,
                "title": "Stuck",
                "url": f"http://grafana.example/a/grafana-oncall-app/alert-groups/{stuck.id}",
                "verdict": "silenced",
                "change": "resolve",
                "reason": f"its only alert is silenced in Alertmanager by ann (deploy) until {until}",
                "outcome": "applied",
            }
        ],
        "kept": {**NO_ENTRIES, "firing": 1},
        "memory": "off",
    }
    assert world.irm.alert_group(paging.id).state == "firing"


def test_run_emits_its_metrics(world: World) -> None:
    world.silenced_group()
    world.active_group()

    report = world.invoke(sample("scheduled"))

    assert world.metrics == {
        "ReconciliationTotal": 1,
        "ReconciliationFailures": 0,
        "ReconciliationDuration": ANY,
        "InconsistenciesFound": 1,
        "InconsistenciesResolved": 1,
        "InconsistenciesFailedResolve": 0,
        "InconsistenciesDeferred": 0,
        "LastReconciliationTimestamp": pytest.approx(
            datetime.fromisoformat(report["started_at"]).timestamp(), abs=0.51
        ),
        "LastReconciliationSuccess": 1,
        "PlansRefused": 0,
        "AlertsFetched": 2,
        "AlertGroupsExamined": 2,
        "LostResolves": 0,
        "HandBacks": 0,
        "MissingAlertGroups": 0,
        "RunsSkipped": 0,
        "IrmRequests": len(world.irm.requests),
        "ColdStart": 1,
    }


def test_run_leaves_one_line_per_change_and_a_summary(world: World) -> None:
    stuck = world.silenced_group()

    report = world.invoke(sample("scheduled"))

    assert [(line["message"], line.get("alert_group_id"), line.get("report")) for line in world.log] == [
        ("Alert group change", stuck.id, None),
        ("Reconciliation finished", None, report),
    ]


def test_only_the_first_run_of_an_environment_is_a_cold_start(world: World) -> None:
    cold = [(world.invoke({}), world.metrics["ColdStart"])[1] for _ in range(3)]
    world.start_cold()
    world.invoke({})

    assert [*cold, world.metrics["ColdStart"]] == [1, 0, 0, 1]


def test_requests_are_counted_for_each_run_alone(world: World) -> None:
    counted = [(world.invoke({}), world.metrics["IrmRequests"])[1] for _ in range(2)]

    assert counted == [3, 3]


def test_quiet_world_costs_reads_only(world: World) -> None:
    world.active_group()

    world.invoke({})

    assert (world.irm.writes, sorted(world.alertmanager.paths)) == ((), ["/api/v2/alerts/groups", "/api/v2/status"])


# --- kinds of events


@pytest.mark.parametrize(
    ("name", "trigger", "dry_run"),
    [
        ("scheduled", "schedule", False),
        ("scheduled_rule", "schedule", False),
        ("manual", "invoke", False),
        ("manual_dry_run", "invoke", True),
        ("manual_force", "invoke", False),
    ],
)
def test_sample_event_starts_a_run(world: World, name: str, trigger: str, dry_run: bool) -> None:  # noqa: FBT001
    stuck = world.silenced_group()

    report = world.invoke(sample(name))

    assert (report["trigger"], report["dry_run"], report["status"]) == (trigger, dry_run, "success")
    assert world.irm.resolved_ids == ([] if dry_run else [stuck.id])


@pytest.mark.parametrize(("name", "dry_run"), [("http_reconcile", False), ("http_dry_run", True)])
def test_sample_request_starts_a_run(world: World, name: str, dry_run: bool) -> None:  # noqa: FBT001
    stuck = world.silenced_group()

    answer = world.invoke(sample(name))

    report = json.loads(answer["body"])
    assert (answer["statusCode"], report["trigger"], report["dry_run"]) == (200, "http", dry_run)
    assert world.irm.resolved_ids == ([] if dry_run else [stuck.id])


@pytest.mark.parametrize(("name", "status"), [("http_healthz", "ok"), ("http_readyz", "ready")])
def test_sample_request_asks_how_it_goes(world: World, name: str, status: str) -> None:
    answer = world.invoke(sample(name))

    assert (answer["statusCode"], json.loads(answer["body"])) == (200, {"status": status})


@pytest.mark.parametrize(
    "event", [None, [], {"Records": []}, {"dry_run": "true"}, {"source": "aws.s3"}, {"requestContext": {"http": {}}}]
)
def test_event_of_no_known_kind_is_an_error(world: World, event: Any) -> None:
    with pytest.raises(EventError):
        world.invoke(event)

    assert (world.irm.requests, world.written) == ((), [])


def test_invocation_without_an_id_gets_one(world: World) -> None:
    report = world.invoke({}, Context(aws_request_id=""))

    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", report["run_id"])


# --- dry runs


@pytest.mark.parametrize(
    "event",
    [{}, {"dry_run": False}, {"dry_run": False, "force": True}, sample("scheduled"), sample("http_reconcile")],
    ids=["plain", "not dry", "forced", "schedule", "HTTP"],
)
def test_setting_dry_run_cannot_be_lifted_by_any_event(world: World, event: Any) -> None:
    world.silenced_group()
    world.set(DRY_RUN="true")

    world.invoke(event)

    report = world.log[-1]["report"]
    assert (report["dry_run"], report["message"], report["changes"][0]["outcome"], world.irm.writes) == (
        True,
        "inconsistencies: 1 found; nothing was changed (dry run)",
        "planned",
        (),
    )


# --- HTTP


def test_unknown_path_is_not_found(world: World) -> None:
    status, body = world.http("GET", "/nowhere")

    assert (status, body["error"]) == (404, "NOT_FOUND")
    assert body["message"].startswith("there is no /nowhere; there are")


def test_what_needs_memory_says_so_where_there_is_none(world: World) -> None:
    status, body = world.http("GET", "/reconciliation/jobs")

    assert (status, body["error"]) == (503, "MEMORY_DISABLED")


def test_wrong_method_is_not_allowed(world: World) -> None:
    assert world.http("GET", "/reconcile") == (
        405,
        {"error": "METHOD_NOT_ALLOWED", "message": "/reconcile takes POST only"},
    )


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            {"queryStringParameters": {"dryrun": "true"}},
            "unknown query parameter 'dryrun'; there are dry_run and force",
        ),
        (
            {"queryStringParameters": {"dry_run": "yes"}},
            "query parameter dry_run must be true or false, not 'yes'",
        ),
        ({"body": '{"dry_run": true}'}, "the request must have no body: dry_run and force are query parameters"),
    ],
    ids=["unknown parameter", "malformed parameter", "body"],
)
def test_request_that_is_not_understood_changes_nothing(world: World, more: dict[str, Any], message: str) -> None:
    world.silenced_group()

    answered = world.http("POST", "/reconcile", **more)

    refused = (400, {"error": "INVALID_REQUEST", "message": message})
    assert (answered, world.irm.requests, world.written) == (refused, (), [])


def test_refused_plan_is_a_conflict(world: World) -> None:
    world.silenced_group()
    world.set(MAX_CHANGES_PERCENT="0", MAX_CHANGES_MINIMUM="0")

    status, report = world.http("POST", "/reconcile")

    assert (status, report["status"], report["message"]) == (409, "refused", "nothing was changed: the plan is refused")
    assert (world.metrics["PlansRefused"], world.metrics["ReconciliationFailures"], world.irm.writes) == (1, 1, ())


def test_person_may_force_a_refused_plan(world: World) -> None:
    stuck = world.silenced_group()
    world.set(MAX_CHANGES_PERCENT="0", MAX_CHANGES_MINIMUM="0")

    status, report = world.http("POST", "/reconcile", queryStringParameters={"force": "true"})

    assert (status, report["status"], world.irm.resolved_ids) == (200, "success", [stuck.id])


def test_failed_run_is_a_server_error(world: World) -> None:
    world.alertmanager.instead = Answer(status=404)

    status, report = world.http("POST", "/reconcile")

    assert (status, report["status"], report["error"]) == (
        500,
        "failed",
        f"Alertmanager {world.alertmanager.url}: list aggregation groups: HTTP 404",
    )


def test_answer_is_out_before_api_gateway_gives_up(world: World) -> None:
    """The next free place in the budget is a minute away: the function has that time, API Gateway has not."""
    groups = [world.silenced_group(f"Stuck{number}") for number in range(4)]
    world.set(IRM_REQUESTS_PER_MINUTE="5", RESOLUTION_NOTES="false")

    status, report = world.http("POST", "/reconcile", Context(remaining_seconds=900.0))

    not_sent = "not sent: the request budget leaves no place before this run's deadline"
    assert (status, report["status"], report["message"]) == (
        200,
        "partial",
        "inconsistencies: 4 found, 2 resolved, 2 deferred",
    )
    assert (
        sorted((row["outcome"], row.get("error")) for row in report["changes"] if "error" in row)
        == [("deferred", f"Grafana IRM: resolve alert group: {not_sent}")] * 2
    )
    assert sorted(world.irm.resolved_ids) == sorted(
        row["alert_group_id"] for row in report["changes"] if row["outcome"] == "applied"
    )
    assert len(groups) == len(report["changes"])


def test_time_that_lambda_leaves_counts_too(world: World) -> None:
    status, report = world.http("POST", "/reconcile", Context(remaining_seconds=1.9))

    assert (status, report["error"], world.irm.requests) == (
        500,
        "Grafana IRM: list new alert groups, page 1: not sent: this run's deadline has passed",
        (),
    )


def test_what_was_not_sent_in_time_is_never_sent(world: World) -> None:
    """Eight writers wait for answers until the time is over; the ninth change and the tenth must not go out then."""
    for number in range(10):
        world.silenced_group(f"Stuck{number}")
    with FaultyProxy(world.irm.url) as proxy:
        hanging = proxy.inject(NeverAnswer(), method="POST")
        world.set(GRAFANA_IRM_URL=proxy.url)

        report = world.invoke({}, Context(remaining_seconds=3.5))

    assert hanging.played == 8
    assert [row["error"] for row in report["changes"] if row["outcome"] == "deferred"] == [
        "Grafana IRM: resolve alert group: not sent: this run's time is over"
    ] * 2


# --- readiness


def test_health_needs_no_settings(world: World) -> None:
    world.unset("GRAFANA_IRM_URL", "GRAFANA_IRM_TOKEN")

    assert world.http("GET", "/healthz") == (200, {"status": "ok"})


def test_readiness_names_faulty_settings(world: World) -> None:
    world.set(DRY_RUN="maybe", RECONCILE_INTERVAL="abc")

    assert world.http("GET", "/readyz") == (
        503,
        {
            "status": "not ready",
            "faults": {
                "settings": "DRY_RUN must be true or false, not 'maybe'; "
                "RECONCILE_INTERVAL must be a whole number from 0 to 86400, not 'abc'"
            },
        },
    )


@pytest.mark.usefixtures("aws")
def test_readiness_names_a_missing_secret(world: World) -> None:
    assert world.http("GET", "/readyz") == (
        503,
        {"status": "not ready", "faults": {"secret": NO_SECRET, "irm": NO_SECRET}},
    )


def test_readiness_names_both_systems(world: World) -> None:
    world.alertmanager.instead = Answer(status=403)
    world.set(GRAFANA_IRM_TOKEN="nobody's")

    assert world.http("GET", "/readyz") == (
        503,
        {
            "status": "not ready",
            "faults": {
                "alertmanager": f"Alertmanager {world.alertmanager.url}: read status: HTTP 403",
                "irm": "Grafana IRM: list new alert groups, page 1: HTTP 403: Invalid token.",
            },
        },
    )


def test_readiness_names_a_token_that_cannot_do_what_is_asked_for(world: World) -> None:
    world.set(GRAFANA_IRM_TOKEN=world.irm.add_service_account().token, SILENCED_ACTION="silence")

    assert world.http("GET", "/readyz") == (
        503,
        {
            "status": "not ready",
            "faults": {
                "irm": "SILENCED_ACTION=silence needs a user's API key: IRM lets no service account (glsa_…) silence"
            },
        },
    )


def test_readiness_changes_nothing(world: World) -> None:
    world.silenced_group()

    world.http("GET", "/readyz")

    assert ([asked.query["perpage"] for asked in world.irm.requests], world.irm.writes) == (["1"], ())


def test_readiness_is_no_run(world: World) -> None:
    world.http("GET", "/readyz")
    written = world.written
    world.invoke({})

    assert (written, world.metrics["ColdStart"], world.metrics["IrmRequests"]) == ([], 1, 3)


# --- what is foreseen fails in a report


def failed(error: str, *, dry_run: bool = False) -> dict[str, Any]:
    """The report of a run that ended before it read anything."""
    return {
        "run_id": "request-1",
        "trigger": "invoke",
        "status": "failed",
        "message": "nothing was changed: the run failed",
        "dry_run": dry_run,
        "started_at": ANY,
        "duration_seconds": ANY,
        "alerts_fetched": 0,
        "alert_groups_examined": 0,
        "inconsistencies_found": 0,
        "inconsistencies_resolved": 0,
        "inconsistencies_failed": 0,
        "inconsistencies_deferred": 0,
        "changes": [],
        "kept": NO_ENTRIES,
        "memory": "off",
        "error": error,
    }


FAILED_METRICS = {
    **dict.fromkeys(METRICS, 0),
    "ReconciliationTotal": 1,
    "ReconciliationFailures": 1,
    "ReconciliationDuration": ANY,
    "LastReconciliationTimestamp": ANY,
    "ColdStart": 1,
}


def test_every_faulty_setting_is_named_in_the_report(world: World) -> None:
    world.set(ALERTMANAGER_URL="alertmanager:9093", SILENCED_ACTION="mute", ALERT_MATCHERS="severity=critical")

    report = world.invoke({})

    assert report == failed(
        "ALERTMANAGER_URL must be a URL with scheme and host, for example https://alertmanager.example.com; "
        "SILENCED_ACTION must be one of resolve, silence, report, not 'mute'; "
        "ALERT_MATCHERS: cannot read 'severity=critical'; expected name=\"value\", for example "
        'severity=~"critical|warning", namespace!="dev"'
    )
    assert (world.metrics, world.log[-1]["level"], world.log[-1]["report"]) == (FAILED_METRICS, "ERROR", report)


def test_service_account_that_should_silence_is_a_fault_of_the_settings(world: World) -> None:
    world.silenced_group()
    world.set(GRAFANA_IRM_TOKEN=world.irm.add_service_account().token, SILENCED_ACTION="silence")

    report = world.invoke({})

    assert report == failed(
        "SILENCED_ACTION=silence needs a user's API key: IRM lets no service account (glsa_…) silence"
    )
    assert (world.metrics, world.irm.requests) == (FAILED_METRICS, ())


def test_secret_is_looked_for_again_by_the_next_run(world: World, aws: Any) -> None:
    stuck = world.silenced_group()

    before = world.invoke({})
    aws.put_secret_value(SecretId="irm-token", SecretString=world.irm.admin.token)
    after = world.invoke({})

    assert (before, after["status"], world.irm.resolved_ids) == (failed(NO_SECRET), "success", [stuck.id])


def test_refused_token_fails_the_run_without_naming_the_token(world: World) -> None:
    world.set(GRAFANA_IRM_TOKEN="not-the-t0k3n")

    report = world.invoke({})

    assert report == {
        **failed("Grafana IRM: list new alert groups, page 1: HTTP 403: Invalid token."),
        "duration_seconds": ANY,
    }
    assert world.metrics == {**FAILED_METRICS, "IrmRequests": 1}
    assert "t0k3n" not in "".join(world.written)


def test_nothing_is_written_when_alertmanager_cannot_be_read(world: World) -> None:
    world.silenced_group()
    world.alertmanager.groups = {"not": "a list"}

    report = world.invoke({})

    assert (report["status"], report["error"], world.irm.writes) == (
        "failed",
        (
            f"Alertmanager {world.alertmanager.url}: list aggregation groups: "
            "not the JSON array it should be: not a JSON array"
        ),
        (),
    )


def test_token_without_the_right_to_write_fails_the_run_and_says_what_to_do(world: World) -> None:
    world.silenced_group()
    world.set(GRAFANA_IRM_TOKEN=world.irm.add_user("viewer", role="viewer").token)

    report = world.invoke({})

    assert (report["status"], report["error"], world.irm.resolved_ids) == (
        "failed",
        (
            "Grafana IRM: resolve alert group: HTTP 403: You do not have permission to perform this action.; "
            "this token cannot resolve alert groups: use a user's API key with the alert-groups:write permission, "
            "or RESOLVE_THROUGH=integration"
        ),
        [],
    )


# --- what nobody foresaw


def out_of_memory(*_: object, **__: object) -> None:
    raise MemoryError


@pytest.mark.parametrize(
    "event", [{}, sample("scheduled"), sample("http_reconcile")], ids=["plain", "schedule", "HTTP"]
)
def test_unforeseen_error_is_raised_after_the_metrics_are_out(world: World, event: Any) -> None:
    world.start_cold()
    world.monkeypatch.setattr(urllib3.PoolManager, "request", out_of_memory)

    with pytest.raises(MemoryError):
        world.invoke(event)

    report = world.log[-1]["report"]
    assert (report["status"], report["message"], report["error"]) == (
        "failed",
        "the run broke off; what it had changed by then is not known",
        "an error that nobody foresaw; the log has its trace",
    )
    assert world.metrics == {**FAILED_METRICS, "IrmRequests": 1}


def test_run_after_an_unforeseen_error_works(world: World) -> None:
    stuck = world.silenced_group()
    with world.monkeypatch.context() as patch:
        patch.setattr(urllib3.PoolManager, "request", out_of_memory)
        with pytest.raises(MemoryError):
            world.invoke({})

    report = world.invoke({})

    assert (report["status"], world.irm.resolved_ids, world.metrics["ColdStart"]) == ("success", [stuck.id], 0)
