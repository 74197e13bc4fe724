"""What the function's role may do in a deployed stack, and what lies next to that and it may not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError

from tests.deploy.conftest import ACCOUNT, Stack
from tests.support.ministack import REGION, MiniStack

KEY = {"pk": {"S": "here"}, "sk": {"S": "1"}}
OTHER = {"pk": {"S": "here"}, "sk": {"S": "2"}}
PARTITION = {"KeyConditionExpression": "pk = :pk", "ExpressionAttributeValues": {":pk": KEY["pk"]}}
EVENT = {"Source": "a-test", "DetailType": "none", "Detail": "{}"}

Send = Callable[..., str]


@pytest.fixture(scope="module")
def send(stack: Stack, aws: MiniStack) -> Send:
    """Return a function that sends a request under the function's role, and says whether that was `allowed`."""
    role = f"arn:aws:iam::{ACCOUNT}:role/{stack.physical_ids()['ReconcilerRole']}"
    key = aws.client("sts").assume_role(RoleArn=role, RoleSessionName="a-test")["Credentials"]
    session = botocore.session.Session()

    def send_as_function(service: str, operation: str, **arguments: Any) -> str:
        client = session.create_client(
            service,
            region_name=REGION,
            endpoint_url=aws.url,
            aws_access_key_id=key["AccessKeyId"],
            aws_secret_access_key=key["SecretAccessKey"],
            aws_session_token=key["SessionToken"],
        )
        try:
            getattr(client, operation)(**arguments)
        except ClientError as error:
            if not error.response["Error"]["Code"].startswith("AccessDenied"):
                raise
            return "denied"
        return "allowed"

    return send_as_function


def _schedule(stack: Stack, group: str) -> Mapping[str, Any]:
    role = f"arn:aws:iam::{ACCOUNT}:role/{stack.physical_ids()['WakeUpRole']}"
    return {
        "Name": "of-a-test",
        "GroupName": group,
        "ScheduleExpression": f"at({datetime.now(UTC) + timedelta(days=1):%Y-%m-%dT%H:%M:%S})",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {"Arn": stack.output("FunctionArn"), "RoleArn": role},
    }


def test_function_may_read_and_write_items_of_its_table_and_no_more(stack: Stack, aws: MiniStack, send: Send) -> None:
    own = {"TableName": stack.output("StateTableName")}
    writes = [
        {"Put": {**own, "Item": OTHER}},
        {"ConditionCheck": {**own, "Key": KEY, "ConditionExpression": "attribute_exists(pk)"}},
    ]
    aws.client("dynamodb").create_table(
        TableName="somebody-elses",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
    )

    found = {
        "put": send("dynamodb", "put_item", **own, Item=KEY),
        "get": send("dynamodb", "get_item", **own, Key=KEY),
        "get several": send("dynamodb", "batch_get_item", RequestItems={own["TableName"]: {"Keys": [KEY, OTHER]}}),
        "query": send("dynamodb", "query", **own, **PARTITION),
        "transaction": send("dynamodb", "transact_write_items", TransactItems=writes),
        "delete": send("dynamodb", "transact_write_items", TransactItems=[{"Delete": {**own, "Key": OTHER}}]),
        "update": send("dynamodb", "update_item", **own, Key=KEY),
        "read everything": send("dynamodb", "scan", **own),
        "delete the table": send("dynamodb", "delete_table", **own),
        "write to another's": send("dynamodb", "put_item", TableName="somebody-elses", Item=KEY),
    }

    allowed = dict.fromkeys(("put", "get", "get several", "query", "transaction", "delete"), "allowed")
    denied = dict.fromkeys(("update", "read everything", "delete the table", "write to another's"), "denied")
    assert found == allowed | denied


def test_function_may_make_schedules_in_its_own_group_only(stack: Stack, send: Send) -> None:
    own = stack.output("WakeUpGroupName")

    assert send("scheduler", "create_schedule", **_schedule(stack, own)) == "allowed"
    assert send("scheduler", "create_schedule", **_schedule(stack, "default")) == "denied"
    assert send("scheduler", "delete_schedule", Name="of-a-test", GroupName=own) == "denied"


def test_function_may_send_to_its_event_bus_only(aws: MiniStack, send: Send) -> None:
    aws.client("events").create_event_bus(Name="another")

    assert send("events", "put_events", Entries=[EVENT]) == "allowed"
    assert send("events", "put_events", Entries=[{**EVENT, "EventBusName": "another"}]) == "denied"


def test_function_may_invoke_itself_only(stack: Stack, send: Send) -> None:
    itself = stack.output("FunctionName")

    assert send("lambda", "invoke", FunctionName=itself, InvocationType="Event", Payload="{}") == "allowed"
    assert send("lambda", "invoke", FunctionName="another", InvocationType="Event", Payload="{}") == "denied"
