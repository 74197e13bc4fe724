"""The project deployed as a person would, with the real `sam build` and `sam deploy`, to an emulated account.

What this cannot prove is listed in docs/deploying.md.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from alert_sync.metrics import METRICS, NAMESPACE
from tests.deploy.conftest import ACCOUNT, Stack, Upstreams
from tests.deploy.sam_project import SamFailedError, SamProject
from tests.support.ministack import REGION, MiniStack
from tests.support.waiting import wait_for


def _configuration(stack: Stack) -> dict[str, Any]:
    name = stack.output("FunctionName")
    return dict(stack.aws.client("lambda").get_function_configuration(FunctionName=name))


# --- the schedule


@pytest.fixture(scope="module")
def silenced_group(stack: Stack, upstreams: Upstreams) -> str:
    """Return the id of an alert group whose only alert was silenced, after a scheduled run that has seen it."""
    upstreams.alertmanager.post_alerts({"alertname": "DiskFull", "cluster": "eu"})
    wait_for(upstreams.irm.alert_groups, what="IRM to open an alert group")
    upstreams.alertmanager.silence({"alertname": "DiskFull"}, comment="the disk is being replaced")
    wait_for(lambda: _changes(stack), what="a scheduled run that changes something")
    return upstreams.irm.alert_groups()[0].id


def _changes(stack: Stack) -> list[dict[str, Any]]:
    return [change for report in stack.reports("schedule") for change in report["changes"]]


def test_scheduled_run_resolves_what_is_silenced_and_says_why(
    stack: Stack, upstreams: Upstreams, silenced_group: str
) -> None:
    (change,) = _changes(stack)

    assert upstreams.irm.resolved_ids == [silenced_group]
    assert (change["alert_group_id"], change["change"], change["outcome"]) == (silenced_group, "resolve", "applied")
    assert "the disk is being replaced" in change["reason"]


@pytest.mark.usefixtures("silenced_group")
def test_log_tables_of_the_dashboard_ask_for_what_the_log_holds(stack: Stack) -> None:
    cloudwatch = stack.aws.client("cloudwatch")
    dashboard = json.loads(cloudwatch.get_dashboard(DashboardName=f"alert-sync-{REGION}")["DashboardBody"])
    queries = [widget["properties"]["query"] for widget in dashboard["widgets"] if widget["type"] == "log"]
    asked = {name for query in queries for name in re.findall(r"[a-z_.]+", query.split("| fields")[1].split("|")[0])}

    logged = {name for document in stack.log_documents() for name in _field_names(document)}

    assert asked - logged <= {"error", "report.error"}  # there only when something has failed
    assert all(query.startswith(f"SOURCE '{stack.output('LogGroupName')}'") for query in queries)


def _field_names(document: dict[str, Any]) -> set[str]:
    inner = {f"{name}.{key}" for name, value in document.items() if isinstance(value, dict) for key in value}
    return {*document, *inner}


def test_each_run_writes_every_metric_under_the_name_of_the_stack(stack: Stack) -> None:
    run_id = stack.run({})["run_id"]

    written = (document for document in stack.log_documents() if "_aws" in document)
    (document,) = [document for document in written if document["run_id"] == run_id]
    (directive,) = document["_aws"]["CloudWatchMetrics"]
    assert (directive["Namespace"], directive["Dimensions"], document["service"]) == (
        NAMESPACE,
        [["service"]],
        "alert-sync",
    )
    assert {metric["Name"]: metric["Unit"] for metric in directive["Metrics"]} == {
        name: str(unit.value) for name, unit in METRICS.items()
    }


def test_run_that_nobody_foresaw_leaves_its_event_in_the_dead_letter_queue(stack: Stack, aws: MiniStack) -> None:
    event = {"no": "known kind"}
    name = stack.output("FunctionName")

    aws.client("lambda").invoke(FunctionName=name, InvocationType="Event", Payload=json.dumps(event))

    queue = {"QueueUrl": stack.output("DeadLetterQueueUrl"), "WaitTimeSeconds": 1}
    messages = wait_for(lambda: aws.client("sqs").receive_message(**queue).get("Messages"), what="a dead letter")
    assert json.loads(messages[0]["Body"])["requestPayload"] == event


# --- the HTTP API


def test_anybody_may_ask_whether_the_process_lives(stack: Stack) -> None:
    answer = stack.call("GET", "/healthz")

    assert (answer.status, answer.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/reconcile"),
        ("POST", "/reconciliation/trigger"),
        ("GET", "/reconciliation/mismatches"),
        ("POST", "/reconciliation/mismatches/20261121T100500.123Z-5f0c2d9a41b7/resolve"),
        ("GET", "/explain/IABC"),
        ("GET", "/metrics"),
        ("GET", "/readyz"),
    ],
)
def test_unsigned_call_is_refused(stack: Stack, method: str, path: str) -> None:
    assert stack.call(method, path).status == 403


def test_signed_call_reconciles(stack: Stack) -> None:
    caller = stack.new_caller("runs", "POST/reconcile")

    def reconcile() -> tuple[int, dict[str, Any]] | None:
        answer = stack.call("POST", "/reconcile?dry_run=true", signed_by=caller)
        return (answer.status, answer.json()) if answer.status != 409 else None

    answered = wait_for(reconcile, what="a moment in which no scheduled run is under way")

    assert answered is not None
    status, report = answered
    assert (status, report["trigger"], report["status"], report["dry_run"]) == (200, "http", "success", True)


def test_caller_without_permission_for_the_route_is_refused(stack: Stack) -> None:
    assert stack.call("POST", "/reconcile", signed_by=stack.new_caller("looks", "GET/readyz")).status == 403


def test_stack_is_ready_once_the_token_is_in_its_secret(stack: Stack) -> None:
    answer = stack.call("GET", "/readyz", signed_by=stack.new_caller("asks", "GET/readyz*"))

    assert (answer.status, answer.json()) == (200, {"status": "ready"})


# --- what the stack is made of


def test_alarms_and_dashboard_are_there_under_the_name_of_the_stack(stack: Stack) -> None:
    cloudwatch = stack.aws.client("cloudwatch")

    alarms = cloudwatch.describe_alarms(AlarmNamePrefix="alert-sync-")["MetricAlarms"]
    (dashboard,) = cloudwatch.list_dashboards(DashboardNamePrefix="alert-sync-")["DashboardEntries"]

    assert (len(alarms), dashboard["DashboardName"]) == (10, f"alert-sync-{REGION}")


def test_log_holds_no_token_and_ends_after_its_retention(stack: Stack, aws: MiniStack, upstreams: Upstreams) -> None:
    stack.run({})
    name = stack.output("LogGroupName")

    (group,) = aws.client("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"]

    assert (group["logGroupName"], group["retentionInDays"]) == ("/aws/lambda/alert-sync", 30)
    assert upstreams.irm.admin.token not in "".join(aws.log_lines(name))


def test_function_runs_on_what_the_template_says(stack: Stack) -> None:
    found = _configuration(stack)

    assert {name: found[name] for name in ("Runtime", "Architectures", "MemorySize", "Timeout", "Handler")} == {
        "Runtime": "python3.13",
        "Architectures": ["arm64"],
        "MemorySize": 512,
        "Timeout": 120,
        "Handler": "alert_sync.handler.lambda_handler",
    }


# --- its life


def test_second_deployment_changes_nothing(stack: Stack, project: SamProject, upstreams: Upstreams) -> None:
    before = (stack.describe().get("LastUpdatedTime"), _configuration(stack)["LastModified"])

    said = project.deploy("alert-sync", {**upstreams.parameters(), "ReconcileInterval": 60})

    assert "No changes to deploy" in said
    assert (stack.describe().get("LastUpdatedTime"), _configuration(stack)["LastModified"]) == before


def test_contradictory_parameters_are_refused_before_anything_is_changed(
    stack: Stack, project: SamProject, upstreams: Upstreams
) -> None:
    contradiction = {**upstreams.parameters(), "ReconcileInterval": 60, "AlertmanagerAuth": "basic"}

    with pytest.raises(SamFailedError, match="need AlertmanagerSecretArn"):
        project.deploy("alert-sync", contradiction)

    assert stack.describe()["StackStatus"] == "CREATE_COMPLETE"


def test_role_without_the_permission_to_read_the_secret_fails_and_says_so(
    aws: MiniStack, project: SamProject, upstreams: Upstreams
) -> None:
    change = ("secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret")
    template = project.built_with("forbidden", change)
    project.deploy("forbidden", {**upstreams.parameters(), "ReconcileInterval": 0}, template=template)
    forbidden = Stack("forbidden", aws)
    forbidden.put_token(upstreams.irm.admin.token)

    report = forbidden.invoke({})

    assert (report["status"], report["changes"]) == ("failed", [])
    assert "secretsmanager:GetSecretValue" in report["error"] or "AccessDenied" in report["error"]
    assert forbidden.output("GrafanaTokenSecretArn") in report["error"]


def test_stack_without_a_token_says_so_survives_a_failing_update_and_leaves_secret_and_table(
    aws: MiniStack, project: SamProject, upstreams: Upstreams
) -> None:
    """One life of one stack, because each step needs the one before."""
    parameters = {**upstreams.parameters(), "ReconcileInterval": 0}
    project.deploy("short-lived", parameters)
    short_lived = Stack("short-lived", aws)
    secret = short_lived.output("GrafanaTokenSecretArn")

    report = short_lived.invoke({})
    assert (report["status"], "has no value yet" in report["error"]) == ("failed", True), report

    handler = "Handler: alert_sync.handler.lambda_handler"
    layer = f"Layers: ['arn:aws:lambda:{REGION}:{ACCOUNT}:layer:nowhere:1']"
    failing = project.built_with("failing", (handler, f"{handler}\n      {layer}"))
    with pytest.raises(SamFailedError):
        project.deploy("short-lived", {**parameters, "MemorySize": 1024, "LogRetentionDays": 7}, template=failing)
    (group,) = aws.client("logs").describe_log_groups(logGroupNamePrefix="/aws/lambda/short-lived")["logGroups"]
    assert short_lived.describe()["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert (_configuration(short_lived)["MemorySize"], group["retentionInDays"]) == (512, 30)

    short_lived.put_token("the token of a person")
    item = {"pk": {"S": "audit"}, "sk": {"S": "what a person decided"}}
    table = {"TableName": short_lived.output("StateTableName")}
    aws.client("dynamodb").put_item(**table, Item=item)
    project.delete("short-lived")
    assert aws.client("secretsmanager").get_secret_value(SecretId=secret)["SecretString"] == "the token of a person"
    assert aws.client("dynamodb").get_item(**table, Key=item)["Item"] == item
    assert _left_of(aws, "short-lived") == []


def _left_of(aws: MiniStack, stack: str) -> list[str]:
    """Return what can be found of a stack by its name, beside its secret and its table."""
    functions = [each["FunctionName"] for each in aws.client("lambda").list_functions()["Functions"]]
    groups = [each["logGroupName"] for each in aws.client("logs").describe_log_groups()["logGroups"]]
    alarms = [each["AlarmName"] for each in aws.client("cloudwatch").describe_alarms()["MetricAlarms"]]
    queues = aws.client("sqs").list_queues().get("QueueUrls", [])
    roles = [each["RoleName"] for each in aws.client("iam").list_roles()["Roles"]]
    schedules = [each["Name"] for each in aws.client("scheduler").list_schedules()["Schedules"]]
    return [name for name in (*functions, *groups, *alarms, *queues, *roles, *schedules) if stack in name]
