"""The checks bite: each seeded defect is found, and found by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy

import pytest

from alert_sync.metrics import METRICS, NAMESPACE
from tests.support.expand_template import Template
from tests.template.conftest import REQUIRED
from tests.template.created_stack import STACK_NAME, CreatedStack, create
from tests.template.findings import (
    Metric,
    loans_to_any_service,
    logs_kept_for_ever,
    open_routes,
    runs_lost_unnoticed,
    unknown_metrics,
    wildcards,
)

OWN_METRICS = frozenset(Metric(NAMESPACE, name, (("service", STACK_NAME),)) for name in METRICS)


@pytest.fixture
def damaged(expanded: Template) -> Callable[..., CreatedStack]:
    def damage(*path: str | int, value: object = None) -> CreatedStack:
        """Replace what is at the path below Resources, or take it away."""
        template = deepcopy(expanded)
        parent = template["Resources"]
        for step in path[:-1]:
            parent = parent[step]
        if value is None:
            del parent[path[-1]]
        else:
            parent[path[-1]] = value
        return create(template, REQUIRED)

    return damage


def test_route_without_authorization_is_found(damaged: Callable[..., CreatedStack]) -> None:
    stack = damaged("HttpApi", "Properties", "Body", "paths", "/reconcile", "post", "security")

    assert sorted(open_routes(stack)) == ["GET /healthz", "POST /reconcile"]


def test_route_with_another_authorizer_is_found(damaged: Callable[..., CreatedStack]) -> None:
    stack = damaged("HttpApi", "Properties", "Body", "paths", "/readyz", "get", "security", value=[{"NONE": []}])

    assert sorted(open_routes(stack)) == ["GET /healthz", "GET /readyz"]


@pytest.mark.parametrize(
    ("key", "value", "found"),
    [
        pytest.param("Action", "secretsmanager:*", ("ReconcilerRole: Action secretsmanager:*",), id="any action"),
        pytest.param("Resource", ["arn", "*"], ("ReconcilerRole: Resource *",), id="any resource"),
        pytest.param("NotAction", "iam:PassRole", ("ReconcilerRole: NotAction iam:PassRole",), id="all but one action"),
    ],
)
def test_wildcard_in_a_policy_is_found(
    damaged: Callable[..., CreatedStack], key: str, value: object, found: tuple[str, ...]
) -> None:
    path = ("ReconcilerRole", "Properties", "Policies", 0, "PolicyDocument", "Statement", 1, key)

    assert wildcards(damaged(*path, value=value)) == found


def test_wildcard_in_a_policy_beside_the_roles_is_found(damaged: Callable[..., CreatedStack]) -> None:
    path = ("TriggerPolicy", "Properties", "PolicyDocument", "Statement", 0, "Action")

    assert wildcards(damaged(*path, value="lambda:*")) == ("TriggerPolicy: Action lambda:*",)


def test_right_to_schedule_outside_the_own_group_is_found(damaged: Callable[..., CreatedStack]) -> None:
    resource = "arn:aws:scheduler:eu-west-1:123456789012:schedule/default/*"
    path = ("ReconcilerRole", "Properties", "Policies", 0, "PolicyDocument", "Statement", 1, "Resource")

    assert wildcards(damaged(*path, value=resource)) == (f"ReconcilerRole: Resource {resource}",)


def test_role_that_may_be_lent_to_any_service_is_found(damaged: Callable[..., CreatedStack]) -> None:
    path = ("ReconcilerRole", "Properties", "Policies", 0, "PolicyDocument", "Statement", 1, "Action")

    assert loans_to_any_service(damaged(*path, value="iam:PassRole")) == ("ReconcilerRole",)


def test_schedule_without_dead_letters_is_found(damaged: Callable[..., CreatedStack]) -> None:
    stack = damaged("ReconcilerFunctionSchedule", "Properties", "Target", "DeadLetterConfig")

    assert runs_lost_unnoticed(stack) == ("ReconcilerFunctionSchedule",)


def test_function_without_failure_destination_is_found(damaged: Callable[..., CreatedStack]) -> None:
    stack = damaged("ReconcilerFunctionEventInvokeConfig", "Properties", "DestinationConfig")

    assert runs_lost_unnoticed(stack) == ("ReconcilerFunction",)


def test_log_group_without_retention_is_found(damaged: Callable[..., CreatedStack]) -> None:
    assert logs_kept_for_ever(damaged("HttpApiLogGroup", "Properties", "RetentionInDays")) == ("HttpApiLogGroup",)


def test_function_that_logs_elsewhere_is_found(damaged: Callable[..., CreatedStack]) -> None:
    stack = damaged("ReconcilerFunction", "Properties", "LoggingConfig", "LogGroup", value="/aws/lambda/other")

    assert logs_kept_for_ever(stack) == ("ReconcilerFunction",)


@pytest.mark.parametrize(
    ("path", "value", "found"),
    [
        pytest.param(
            ("FailingAlarm", "Properties", "MetricName"),
            "LastReconciliationSucess",
            f"FailingAlarm: {NAMESPACE} LastReconciliationSucess {(('service', STACK_NAME),)}",
            id="misspelt name",
        ),
        pytest.param(
            ("SlowAlarm", "Properties", "Namespace"),
            "AlertSync",
            f"SlowAlarm: AlertSync ReconciliationDuration {(('service', STACK_NAME),)}",
            id="other namespace",
        ),
        pytest.param(
            ("PlanRefusedAlarm", "Properties", "Dimensions"),
            [{"Name": "service", "Value": "another"}],
            f"PlanRefusedAlarm: {NAMESPACE} PlansRefused {(('service', 'another'),)}",
            id="metrics of another stack",
        ),
        pytest.param(
            ("StaleAlarm", "Properties", "Metrics", 1, "MetricStat", "Metric", "MetricName"),
            "Runs",
            f"StaleAlarm: {NAMESPACE} Runs {(('service', STACK_NAME),)}",
            id="inside metric math",
        ),
        pytest.param(
            ("Dashboard", "Properties", "DashboardBody"),
            json.dumps(
                {
                    "widgets": [
                        {
                            "properties": {
                                "metrics": [[NAMESPACE, "IrmRequests", "service", STACK_NAME], [".", "Found", ".", "."]]
                            }
                        }
                    ]
                }
            ),
            f"dashboard: {NAMESPACE} Found {(('service', STACK_NAME),)}",
            id="on the dashboard",
        ),
    ],
)
def test_metric_that_nobody_emits_is_found(
    damaged: Callable[..., CreatedStack], path: tuple[str | int, ...], value: object, found: str
) -> None:
    unknown = [
        finding for finding in unknown_metrics(damaged(*path, value=value), OWN_METRICS) if " AWS/" not in finding
    ]

    assert unknown == [found]


def test_dashboard_that_is_not_json_is_found(damaged: Callable[..., CreatedStack]) -> None:
    stack = damaged("Dashboard", "Properties", "DashboardBody", value='{"widgets": [,]}')

    with pytest.raises(json.JSONDecodeError):
        unknown_metrics(stack, ())
