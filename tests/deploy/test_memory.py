"""What a deployed stack remembers, under its function's own role: in its table, by its schedules, on the event bus."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from botocore.credentials import Credentials

from tests.deploy.conftest import ACCOUNT, Stack, Upstreams
from tests.deploy.sam_project import SamProject
from tests.support.fake_irm_model import AlertGroup
from tests.support.ministack import REGION, MiniStack
from tests.support.waiting import wait_for


@pytest.fixture(scope="module")
def table(stack: Stack) -> dict[str, str]:
    return {"TableName": stack.output("StateTableName")}


@pytest.fixture(scope="module")
def caller(stack: Stack) -> Credentials:
    """Return a person who may ask for everything."""
    return stack.new_caller("person", "GET/*", "POST/*")


@pytest.fixture(scope="module", autouse=True)
def told(aws: MiniStack) -> str:
    """Return the URL of a queue that gets what is told to the event bus."""
    queue = aws.client("sqs").create_queue(QueueName="told")["QueueUrl"]
    rule = {"Name": "told", "EventPattern": json.dumps({"source": ["alertmanager-alert-sync"]})}
    events = aws.client("events")
    events.put_rule(**rule)
    events.put_targets(Rule="told", Targets=[{"Id": "queue", "Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:told"}])
    return str(queue)


@pytest.fixture(scope="module")
def silenced_group(stack: Stack, upstreams: Upstreams) -> str:
    """Return the id of an alert group that was resolved because its alert is silenced, for a few seconds more."""
    group = _opened_group(upstreams, "QueueFull")
    upstreams.alertmanager.silence({"alertname": "QueueFull"}, ends_in=timedelta(seconds=12))
    wait_for(lambda: _changes(stack), what="a run that changes something")
    return group


def _opened_group(upstreams: Upstreams, name: str) -> str:
    upstreams.alertmanager.post_alerts({"alertname": name, "cluster": "eu"})
    groups = wait_for(
        lambda: [group.id for group in upstreams.irm.alert_groups() if name in (group.title or "")],
        what=f"IRM to open an alert group for {name}",
    )
    return groups[0]


def _changes(stack: Stack) -> list[dict[str, Any]]:
    return [change for report in stack.reports("schedule") for change in report["changes"]]


def _jobs(stack: Stack) -> dict[str, dict[str, Any]]:
    return {item["run_id"]["S"]: item for item in stack.items("job")}


# --- the table


def test_table_forgets_by_time_and_can_be_restored(aws: MiniStack, table: dict[str, str]) -> None:
    dynamodb = aws.client("dynamodb")

    expiry = dynamodb.describe_time_to_live(**table)["TimeToLiveDescription"]
    backups = dynamodb.describe_continuous_backups(**table)["ContinuousBackupsDescription"]
    description = dynamodb.describe_table(**table)["Table"]

    assert expiry == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires_at"}
    assert backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "ENABLED"
    assert description["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"


def test_run_leaves_its_job_and_a_head_without_lease(stack: Stack) -> None:
    report = stack.run({})

    job = _jobs(stack)[report["run_id"]]
    (head,) = stack.items("head")
    assert (job["status"]["S"], "expires_at" in job) == ("COMPLETED", True)
    assert int(head["counters"]["M"]["reconciliations"]["N"]) >= len(stack.items("job")) > 0


def test_run_without_the_right_to_write_fails_and_says_so(
    aws: MiniStack, project: SamProject, upstreams: Upstreams
) -> None:
    template = project.built_with("forgetful", ("dynamodb:PutItem", "dynamodb:DescribeTable"))
    project.deploy("forgetful", {**upstreams.parameters(), "ReconcileInterval": 0}, template=template)
    forgetful = Stack("forgetful", aws)
    forgetful.put_token(upstreams.irm.admin.token)

    report = forgetful.invoke({})

    assert (report["status"], report["changes"]) == ("failed", [])
    assert "dynamodb:PutItem" in report["error"]


# --- schedules and events


@pytest.fixture(scope="module")
def wake_ups(stack: Stack, aws: MiniStack, silenced_group: str) -> list[dict[str, Any]]:
    """Return the one-time schedules after a run that resolved something until its silence ends."""
    assert silenced_group
    group = stack.output("WakeUpGroupName")
    listed = wait_for(
        lambda: [each for each in aws.client("scheduler").list_schedules()["Schedules"] if each["GroupName"] == group],
        what="a wake-up",
    )
    return [aws.client("scheduler").get_schedule(GroupName=group, Name=each["Name"]) for each in listed]


def test_wake_up_at_the_end_of_the_silence_is_scheduled_as_the_stack_s_own_role(
    stack: Stack, wake_ups: list[dict[str, Any]]
) -> None:
    role = f"arn:aws:iam::{ACCOUNT}:role/{stack.physical_ids()['WakeUpRole']}"

    # More than one is the emulator's doing: with an interval of a second, many runs come before the silence ends.
    assert {
        (wake_up["ActionAfterCompletion"], wake_up["Target"]["Arn"], wake_up["Target"]["RoleArn"])
        for wake_up in wake_ups
    } == {("DELETE", stack.output("FunctionArn"), role)}


@pytest.mark.usefixtures("silenced_group")
def test_change_is_told_to_the_event_bus(aws: MiniStack, told: str) -> None:
    queue = {"QueueUrl": told, "WaitTimeSeconds": 1}

    messages = wait_for(lambda: aws.client("sqs").receive_message(**queue).get("Messages"), what="an event")

    assert json.loads(messages[0]["Body"])["detail-type"] in ("alert-sync.change", "alert-sync.condition")


# --- asking


def test_trigger_answers_at_once_and_its_job_is_done_later(stack: Stack, caller: Credentials) -> None:
    def queued() -> str:
        answer = stack.call("POST", "/reconciliation/trigger", signed_by=caller, body={"dry_run": True})
        return str(answer.json()["job_ids"][0]) if answer.status == 202 else ""

    def done() -> dict[str, Any] | None:
        answer = stack.call("GET", f"/reconciliation/jobs/{job_id}", signed_by=caller)
        job: dict[str, Any] = answer.json()
        return job if answer.status == 200 and job["status"] not in ("QUEUED", "RUNNING") else None

    job_id = wait_for(queued, what="a moment in which no scheduled run is under way")
    job = wait_for(done, what="the job to be done")

    assert job is not None
    # A scheduled run may have been faster.
    assert (job["status"] in ("COMPLETED", "SKIPPED"), job["dry_run"]) == (True, True)


@pytest.mark.usefixtures("silenced_group")
@pytest.mark.parametrize(
    "path",
    [
        "/reconciliation/jobs?limit=2",
        "/reconciliation/mismatches",
        "/reconciliation/audit",
        "/reconciliation/status",
    ],
)
def test_what_is_remembered_can_be_asked_about(stack: Stack, caller: Credentials, path: str) -> None:
    answer = stack.call("GET", path, signed_by=caller)

    assert (answer.status, isinstance(answer.json(), dict)) == (200, True), answer.data


def test_decision_of_a_person_is_kept_under_the_name_that_signed_it(
    aws: MiniStack, project: SamProject, upstreams: Upstreams
) -> None:
    # Acknowledged, it is left alone by the other stack.
    project.deploy(
        "watching",
        {
            **upstreams.parameters(),
            "ReconcileInterval": 0,
            "SilencedAction": "report",
            "AlertGroupStates": "firing,acknowledged",
        },
    )
    watching = Stack("watching", aws)
    watching.put_token(upstreams.irm.admin.token)
    decides = watching.new_caller("decides", "GET/*", "POST/*")
    upstreams.irm.acknowledge(_opened_group(upstreams, "DiskSlow"))
    upstreams.alertmanager.silence({"alertname": "DiskSlow"})
    watching.run({})

    (found,) = watching.call("GET", "/reconciliation/mismatches", signed_by=decides).json()["mismatches"]
    decision = {"resolution_status": "IGNORED", "resolution_notes": "known"}
    answer = watching.call(
        "POST", f"/reconciliation/mismatches/{found['mismatch_id']}/resolve", signed_by=decides, body=decision
    )
    (entry,) = watching.call("GET", "/reconciliation/audit?limit=1", signed_by=decides).json()["entries"]

    name = f"arn:aws:iam::{ACCOUNT}:user/decides"
    assert (answer.status, answer.json()["mismatch"]["resolved_by"], entry["who"]) == (200, name, name), answer.data


def test_metrics_can_be_scraped(stack: Stack, caller: Credentials) -> None:
    answer = stack.call("GET", "/metrics", signed_by=caller)

    assert answer.status == 200, answer.data
    assert "alertmanager_sync_" in answer.data.decode()


# --- hand-back


@pytest.mark.usefixtures("silenced_group")
def test_alert_that_still_fires_is_paged_again_when_its_silence_ends(upstreams: Upstreams) -> None:
    def paged_again() -> list[str]:
        return [
            group.id for group in upstreams.irm.alert_groups() if _is_open(group) and "QueueFull" in str(group.title)
        ]

    assert len(wait_for(paged_again, what="an open alert group")) == 1


def _is_open(group: AlertGroup) -> bool:
    return group.resolved_at is None
