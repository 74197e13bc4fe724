"""What no linter checks: who may call, when it runs, what it may do, what stays; for the defaults and each option."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from alert_sync.asking.routes import ROUTES
from alert_sync.handler import HTTP_SECONDS
from tests.support.expand_template import Template
from tests.template.conftest import BOUNDARY, BUS, KEY, OTHER_SECRET, SECRET, WORKSPACE, Deploy
from tests.template.created_stack import STACK_NAME, CreatedStack
from tests.template.findings import (
    loans_to_any_service,
    logs_kept_for_ever,
    open_routes,
    runs_lost_unnoticed,
    wildcards,
)

PATHS = {f"{route.method} {route.path}" for route in ROUTES}

# --- who may call it


def test_open_are_the_routes_that_the_code_takes_for_open(stack: CreatedStack) -> None:
    assert open_routes(stack) == tuple(f"{route.method} {route.path}" for route in ROUTES if route.is_open)
    assert open_routes(stack) == ("GET /healthz",)


def test_each_route_of_the_service_leads_to_the_function(stack: CreatedStack) -> None:
    paths = stack.only("AWS::ApiGatewayV2::Api")["Body"]["paths"]

    assert {
        f"{method.upper()} {path}": operation["x-amazon-apigateway-integration"]["uri"].partition("functions/")[2]
        for path, operations in paths.items()
        for method, operation in operations.items()
    } == dict.fromkeys(PATHS, "<ReconcilerFunction.Arn>/invocations")


def test_gateway_may_invoke_the_function_for_every_route(stack: CreatedStack) -> None:
    permissions = [
        body
        for body in stack.of_type("AWS::Lambda::Permission").values()
        if body["Principal"] == "apigateway.amazonaws.com"
    ]

    assert sorted(body["SourceArn"].partition("/*/")[2] for body in permissions) == sorted(
        re.sub(r"{\w+}", "*", route.replace(" ", "")) for route in PATHS
    )


def test_calls_are_throttled_and_an_import_with_warnings_fails(stack: CreatedStack) -> None:
    stage = stack.only("AWS::ApiGatewayV2::Stage")

    assert stage["DefaultRouteSettings"] == {"ThrottlingBurstLimit": 5, "ThrottlingRateLimit": 2}
    assert stack.only("AWS::ApiGatewayV2::Api")["FailOnWarnings"] is True


def test_access_log_is_json_without_headers_and_query(stack: CreatedStack) -> None:
    log = stack.only("AWS::ApiGatewayV2::Stage")["AccessLogSettings"]
    logged = json.loads(log["Format"])

    assert log["DestinationArn"] == "<HttpApiLogGroup.Arn>"
    assert not [value for value in logged.values() if "header" in value or "query" in value or "authorizer" in value]
    assert {"$context.status", "$context.identity.userArn", "$context.integrationErrorMessage"} <= set(logged.values())


# --- when it runs


@pytest.mark.parametrize(
    ("interval", "expression"),
    [
        ("60", "rate(1 minute)"),
        ("120", "rate(2 minutes)"),
        ("300", "rate(5 minutes)"),
        ("600", "rate(10 minutes)"),
        ("900", "rate(15 minutes)"),
        ("1800", "rate(30 minutes)"),
        ("3600", "rate(1 hour)"),
    ],
)
def test_schedule_follows_the_interval(deployed: Deploy, interval: str, expression: str) -> None:
    stack = deployed(ReconcileInterval=interval)

    assert stack.only("AWS::Scheduler::Schedule") == {
        "Description": f"Runs the reconciliation of stack {STACK_NAME}.",
        "ScheduleExpression": expression,
        "State": "ENABLED",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {
            "Arn": "<ReconcilerFunction.Arn>",
            "RoleArn": "<ReconcilerFunctionScheduleRole.Arn>",
            "DeadLetterConfig": {"Arn": "<DeadLetterQueue.Arn>"},
            "RetryPolicy": {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60},
        },
    }


def test_every_allowed_interval_is_tested(expanded: Template) -> None:
    assert expanded["Parameters"]["ReconcileInterval"]["AllowedValues"] == [0, 60, 120, 300, 600, 900, 1800, 3600]


def test_interval_zero_schedules_nothing_and_expects_nothing(deployed: Deploy) -> None:
    stack = deployed(ReconcileInterval="0")

    assert stack.only("AWS::Scheduler::Schedule")["State"] == "DISABLED"
    assert "StaleAlarm" not in stack.resources


def test_schedule_role_may_invoke_this_function_and_report_lost_runs(stack: CreatedStack) -> None:
    role = stack.of_type("AWS::IAM::Role")["ReconcilerFunctionScheduleRole"]

    assert [policy["PolicyDocument"]["Statement"] for policy in role["Policies"]] == [
        [{"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": "<ReconcilerFunction.Arn>"}],
        [{"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "<DeadLetterQueue.Arn>"}],
    ]


def test_failed_run_is_not_repeated_and_its_event_is_kept(stack: CreatedStack) -> None:
    assert stack.only("AWS::Lambda::EventInvokeConfig") == {
        "FunctionName": "<ReconcilerFunction>",
        "Qualifier": "$LATEST",
        "MaximumRetryAttempts": 0,
        "MaximumEventAgeInSeconds": 60,
        "DestinationConfig": {"OnFailure": {"Destination": "<DeadLetterQueue.Arn>"}},
    }
    assert runs_lost_unnoticed(stack) == ()


def test_dead_letters_are_encrypted_and_kept_for_two_weeks(stack: CreatedStack) -> None:
    assert stack.only("AWS::SQS::Queue") == {"SqsManagedSseEnabled": True, "MessageRetentionPeriod": 14 * 86_400}


def test_answer_comes_before_the_gateway_gives_up_and_the_gateway_before_the_function(
    stack: CreatedStack, expanded: Template
) -> None:
    paths = stack.only("AWS::ApiGatewayV2::Api")["Body"]["paths"]
    waiting = {
        operation["x-amazon-apigateway-integration"]["timeoutInMillis"] / 1000
        for operations in paths.values()
        for operation in operations.values()
    }

    assert waiting == {30.0}
    assert HTTP_SECONDS < 30 <= expanded["Parameters"]["FunctionTimeout"]["MinValue"]


# --- what it may do


def test_policies_name_what_they_allow(stack: CreatedStack) -> None:
    assert wildcards(stack) == ()
    assert loans_to_any_service(stack) == ()


def _statements(stack: CreatedStack) -> dict[str, dict[str, Any]]:
    (policy,) = stack.of_type("AWS::IAM::Role")["ReconcilerRole"]["Policies"]
    return {statement.pop("Sid"): statement for statement in policy["PolicyDocument"]["Statement"]}


def test_function_may_read_its_token_write_its_log_and_nothing_else(deployed: Deploy) -> None:
    stack = deployed(Memory="false", EventBusName="")

    assert stack.of_type("AWS::IAM::Role")["ReconcilerRole"]["ManagedPolicyArns"] == []
    assert _statements(stack) == {
        "WriteOwnLogs": {
            "Effect": "Allow",
            "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
            "Resource": "<ReconcilerLogGroup.Arn>",
        },
        "ReadOwnSecrets": {
            "Effect": "Allow",
            "Action": "secretsmanager:GetSecretValue",
            "Resource": ["<GrafanaTokenSecret>"],
        },
        "ReportLostRuns": {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "<DeadLetterQueue.Arn>"},
    }
    assert stack.of_type("AWS::IAM::Policy") == {}


def test_memory_brings_the_rights_to_its_own_table_and_to_invoke_itself(deployed: Deploy) -> None:
    stack = deployed()

    assert _statements(stack)["RememberInOwnTable"] == {
        "Effect": "Allow",
        "Action": [
            "dynamodb:GetItem",
            "dynamodb:BatchGetItem",
            "dynamodb:Query",
            "dynamodb:PutItem",
            "dynamodb:DeleteItem",
            "dynamodb:ConditionCheckItem",
        ],
        "Resource": "<StateTable.Arn>",
    }
    assert stack.resources["TriggerPolicy"]["Properties"] == {
        "PolicyName": "trigger",
        "Roles": ["<ReconcilerRole>"],
        "PolicyDocument": _allowing(
            Sid="InvokeItself", Action="lambda:InvokeFunction", Resource="<ReconcilerFunction.Arn>"
        ),
    }


def _allowing(**statement: str) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]}


@pytest.mark.parametrize(
    ("bus", "resource"),
    [
        pytest.param("default", "arn:aws:events:eu-west-1:123456789012:event-bus/default", id="the account's own bus"),
        pytest.param("alerts", "arn:aws:events:eu-west-1:123456789012:event-bus/alerts", id="by name"),
        pytest.param(BUS, BUS, id="by ARN, of another account"),
    ],
)
def test_function_may_send_to_the_event_bus_it_is_told(deployed: Deploy, bus: str, resource: str) -> None:
    assert _statements(deployed(EventBusName=bus))["TellEventBus"] == {
        "Effect": "Allow",
        "Action": "events:PutEvents",
        "Resource": resource,
    }


def test_function_may_make_schedules_in_its_own_group_and_lend_them_the_wake_up_role_only(deployed: Deploy) -> None:
    statements = _statements(deployed())

    assert statements["ScheduleWakeUps"] == {
        "Effect": "Allow",
        "Action": "scheduler:CreateSchedule",
        "Resource": "arn:aws:scheduler:eu-west-1:123456789012:schedule/<WakeUpGroup>/*",
    }
    assert statements["LendWakeUpRole"] == {
        "Effect": "Allow",
        "Action": "iam:PassRole",
        "Resource": "<WakeUpRole.Arn>",
        "Condition": {"StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}},
    }


def test_wake_up_role_may_invoke_this_function_for_its_own_group_only(deployed: Deploy) -> None:
    stack = deployed()

    assert stack.resources["WakeUpPolicy"]["Properties"] == {
        "PolicyName": "wake-up",
        "Roles": ["<WakeUpRole>"],
        "PolicyDocument": _allowing(
            Sid="InvokeReconciler", Action="lambda:InvokeFunction", Resource="<ReconcilerFunction.Arn>"
        ),
    }
    (trust,) = stack.of_type("AWS::IAM::Role")["WakeUpRole"]["AssumeRolePolicyDocument"]["Statement"]
    assert (trust["Principal"], trust["Condition"]) == (
        {"Service": "scheduler.amazonaws.com"},
        {"StringEquals": {"aws:SourceAccount": "123456789012", "aws:SourceArn": "<WakeUpGroup.Arn>"}},
    )


@pytest.mark.parametrize(
    "parameters",
    [
        pytest.param({"WakeUps": "false"}, id="not wanted"),
        pytest.param({"Memory": "false"}, id="nothing is remembered"),
        pytest.param({"ReconcileInterval": "0"}, id="runs by hand only"),
    ],
)
def test_without_wake_ups_nothing_of_them_exists(deployed: Deploy, parameters: dict[str, str]) -> None:
    stack = deployed(**parameters)

    assert not {"WakeUpGroup", "WakeUpRole", "WakeUpPolicy"} & stack.resources.keys()
    assert not {"ScheduleWakeUps", "LendWakeUpRole"} & _statements(stack).keys()


def test_existing_secrets_are_the_ones_that_may_be_read(deployed: Deploy) -> None:
    stack = deployed(GrafanaTokenSecretArn=SECRET, AlertmanagerAuth="basic", AlertmanagerSecretArn=OTHER_SECRET)

    assert _statements(stack)["ReadOwnSecrets"]["Resource"] == [SECRET, OTHER_SECRET]
    assert stack.of_type("AWS::SecretsManager::Secret") == {}
    assert stack.outputs["GrafanaTokenSecretArn"] == SECRET


def test_own_key_may_decrypt_secrets_only(deployed: Deploy) -> None:
    stack = deployed(SecretsKmsKeyArn=KEY)

    assert _statements(stack)["DecryptOwnSecrets"] == {
        "Effect": "Allow",
        "Action": "kms:Decrypt",
        "Resource": KEY,
        "Condition": {"StringEquals": {"kms:ViaService": "secretsmanager.eu-west-1.amazonaws.com"}},
    }
    assert stack.only("AWS::SecretsManager::Secret")["KmsKeyId"] == KEY


def test_managed_prometheus_may_be_read_only_when_it_is_used(deployed: Deploy) -> None:
    reading = {
        "Effect": "Allow",
        "Action": [
            "aps:GetAlertManagerStatus",
            "aps:ListAlertManagerAlertGroups",
            "aps:ListAlertManagerAlerts",
            "aps:ListAlertManagerSilences",
        ],
        "Resource": WORKSPACE,
    }

    assert (
        _statements(deployed(AlertmanagerAuth="sigv4", AlertmanagerWorkspaceArn=WORKSPACE))["ReadManagedAlertmanager"]
        == reading
    )
    assert "ReadManagedAlertmanager" not in _statements(deployed(AlertmanagerWorkspaceArn=WORKSPACE))


def test_permissions_boundary_bounds_every_role(deployed: Deploy) -> None:
    bounded = deployed(PermissionsBoundaryArn=BOUNDARY).of_type("AWS::IAM::Role")
    unbounded = deployed().of_type("AWS::IAM::Role")

    assert {name: role.get("PermissionsBoundary") for name, role in bounded.items()} == dict.fromkeys(bounded, BOUNDARY)
    assert {name: role.get("PermissionsBoundary") for name, role in unbounded.items()} == dict.fromkeys(bounded)


def test_vpc_brings_its_policy_and_is_left_out_otherwise(deployed: Deploy) -> None:
    inside = deployed(VpcSubnetIds="subnet-1a,subnet-2b", VpcSecurityGroupIds="sg-1a")

    assert inside.only("AWS::Lambda::Function")["VpcConfig"] == {
        "SubnetIds": ["subnet-1a", "subnet-2b"],
        "SecurityGroupIds": ["sg-1a"],
    }
    assert inside.of_type("AWS::IAM::Role")["ReconcilerRole"]["ManagedPolicyArns"] == [
        "arn:aws:iam::aws:policy/service-role/AWSLambdaVPCAccessExecutionRole"
    ]
    assert "VpcConfig" not in deployed().only("AWS::Lambda::Function")


def test_concurrency_is_limited_on_request_only(deployed: Deploy) -> None:
    assert deployed(ReservedConcurrency="1").only("AWS::Lambda::Function")["ReservedConcurrentExecutions"] == "1"
    assert "ReservedConcurrentExecutions" not in deployed().only("AWS::Lambda::Function")


# --- what stays


def test_secret_is_created_without_a_value_and_outlives_the_stack(stack: CreatedStack) -> None:
    for secret in [body for body in stack.resources.values() if body["Type"] == "AWS::SecretsManager::Secret"]:
        assert secret["Properties"].keys() <= {"Description", "KmsKeyId"}
        assert secret["DeletionPolicy"] == "RetainExceptOnCreate"
        assert secret["UpdateReplacePolicy"] == "Retain"


def test_table_outlives_the_stack_can_be_restored_and_forgets_what_is_expired(deployed: Deploy) -> None:
    table = deployed().resources["StateTable"]

    assert table == {
        "Type": "AWS::DynamoDB::Table",
        "Condition": "HasMemory",
        "DeletionPolicy": "RetainExceptOnCreate",
        "UpdateReplacePolicy": "Retain",
        "Properties": {
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [
                {"AttributeName": "pk", "AttributeType": "S"},
                {"AttributeName": "sk", "AttributeType": "S"},
            ],
            "KeySchema": [
                {"AttributeName": "pk", "KeyType": "HASH"},
                {"AttributeName": "sk", "KeyType": "RANGE"},
            ],
            "TimeToLiveSpecification": {"AttributeName": "expires_at", "Enabled": True},
            "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
        },
    }


def test_without_memory_there_is_no_table(deployed: Deploy) -> None:
    stack = deployed(Memory="false")

    assert stack.of_type("AWS::DynamoDB::Table") == {}
    assert "RememberInOwnTable" not in _statements(stack)


def test_logs_are_json_and_end_with_their_retention(stack: CreatedStack) -> None:
    assert logs_kept_for_ever(stack) == ()
    assert stack.only("AWS::Lambda::Function")["LoggingConfig"] == {
        "LogFormat": "JSON",
        "LogGroup": "<ReconcilerLogGroup>",
        "ApplicationLogLevel": "INFO",
        "SystemLogLevel": "INFO",
    }


def test_no_log_level_is_allowed_that_drops_metrics(expanded: Template) -> None:
    assert expanded["Parameters"]["LogLevel"]["AllowedValues"] == ["INFO", "DEBUG"]


# --- names


def test_outputs_tell_where_everything_is(stack: CreatedStack) -> None:
    there_if = {"StateTableName": "StateTable", "WakeUpGroupName": "WakeUpGroup"}

    assert stack.outputs.keys() == {output for output, resource in there_if.items() if resource in stack.resources} | {
        "ReconcileUrl",
        "ApiUrl",
        "MetricsUrl",
        "FunctionName",
        "FunctionArn",
        "DashboardUrl",
        "GrafanaTokenSecretArn",
        "LogGroupName",
        "DeadLetterQueueUrl",
    }


def test_names_that_are_fixed_hold_the_name_of_the_stack(stack: CreatedStack) -> None:
    kinds = ("Alarm", "Dashboard", "LogGroup", "", "Function", "Role", "Queue", "Topic", "Table", "Group")
    names = {f"{kind}Name" for kind in kinds}
    creates = {
        name: body
        for name, body in stack.resources.items()
        if body["Type"] not in {"AWS::Lambda::Permission", "AWS::Lambda::EventInvokeConfig"}
    }

    assert not [
        (resource, value)
        for resource, body in creates.items()
        for key, value in body.get("Properties", {}).items()
        if key in names and STACK_NAME not in value
    ]
