"""What can be wrong with a stack and no tool notices. Each check returns what it found, or an empty tuple."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.template.created_stack import CreatedStack


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric as an alarm or a dashboard names it."""

    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...]


_SCHEDULES_OF_OWN_GROUP = re.compile(r"arn:aws:scheduler:[a-z0-9-]+:\d{12}:schedule/<WakeUpGroup>/\*")
"""Schedules that are named only when they are made, in a group that holds no others."""


def open_routes(stack: CreatedStack) -> tuple[str, ...]:
    """Return the routes that anybody may call."""
    return tuple(
        f"{method.upper()} {path}"
        for api in stack.of_type("AWS::ApiGatewayV2::Api").values()
        for path, operations in api["Body"]["paths"].items()
        for method, operation in operations.items()
        if operation.get("security") != [{"AWS_IAM": []}]
    )


def wildcards(stack: CreatedStack) -> tuple[str, ...]:
    """Return what the policies allow without naming it."""
    return tuple(
        f"{holder}: {key} {value}"
        for holder, statement in _statements(stack)
        for key in ("Action", "Resource", "NotAction", "NotResource")
        for value in _listed(statement.get(key, []))
        if key.startswith("Not") or ("*" in str(value) and not _SCHEDULES_OF_OWN_GROUP.fullmatch(str(value)))
    )


def loans_to_any_service(stack: CreatedStack) -> tuple[str, ...]:
    """Return who may pass a role on without it being said to whom."""
    return tuple(
        holder
        for holder, statement in _statements(stack)
        if "iam:PassRole" in _listed(statement["Action"])
        and not statement.get("Condition", {}).get("StringEquals", {}).get("iam:PassedToService")
    )


def runs_lost_unnoticed(stack: CreatedStack) -> tuple[str, ...]:
    """Return what invokes or runs a function and leaves no trace of an event it gives up."""
    schedules = stack.of_type("AWS::Scheduler::Schedule")
    functions = stack.of_type("AWS::Lambda::Function")
    covered = {
        config["FunctionName"]
        for config in stack.of_type("AWS::Lambda::EventInvokeConfig").values()
        if config.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination")
    }
    return (
        *(
            name
            for name, schedule in schedules.items()
            if not schedule["Target"].get("DeadLetterConfig", {}).get("Arn")
        ),
        *(name for name in functions if f"<{name}>" not in covered),
    )


def logs_kept_for_ever(stack: CreatedStack) -> tuple[str, ...]:
    """Return log groups without retention, and functions that do not log to a group of the stack."""
    groups = stack.of_type("AWS::Logs::LogGroup")
    functions = stack.of_type("AWS::Lambda::Function")
    return (
        *(name for name, group in groups.items() if not group.get("RetentionInDays")),
        *(name for name, body in functions.items() if body["LoggingConfig"]["LogGroup"].strip("<>") not in groups),
    )


def unknown_metrics(stack: CreatedStack, known: Iterable[Metric]) -> tuple[str, ...]:
    """Return the metrics that an alarm or dashboard names and nobody emits."""
    named = {
        *(
            (name, metric)
            for name, alarm in stack.of_type("AWS::CloudWatch::Alarm").items()
            for metric in _watched(alarm)
        ),
        *(("dashboard", metric) for metric in dashboard_metrics(stack)),
    }
    return tuple(
        sorted(
            f"{where}: {metric.namespace} {metric.name} {metric.dimensions}"
            for where, metric in named
            if metric not in set(known)
        )
    )


def dashboard_metrics(stack: CreatedStack) -> tuple[Metric, ...]:
    """Return the metrics of all dashboards, in order."""
    bodies = [
        json.loads(dashboard["DashboardBody"]) for dashboard in stack.of_type("AWS::CloudWatch::Dashboard").values()
    ]
    graphs = [widget["properties"].get("metrics", []) for body in bodies for widget in body["widgets"]]
    return tuple(metric for graph in graphs for metric in _graphed(graph))


def _graphed(rows: Iterable[list[Any]]) -> Iterator[Metric]:
    previous: list[str] = []
    for row in rows:
        names = [part for part in row if isinstance(part, str)]
        previous = _without_shorthand(names, previous)
        namespace, name, *dimensions = previous
        yield Metric(namespace, name, tuple(zip(dimensions[::2], dimensions[1::2], strict=True)))


def _without_shorthand(names: list[str], previous: list[str]) -> list[str]:
    """A dot stands for the same part of the row before, three dots for all parts that are not given."""
    if names[0] == "...":
        return previous[: len(previous) - len(names) + 1] + names[1:]
    return [previous[at] if part == "." else part for at, part in enumerate(names)]


def _watched(alarm: Mapping[str, Any]) -> tuple[Metric, ...]:
    stats = [query["MetricStat"]["Metric"] for query in alarm.get("Metrics", []) if "MetricStat" in query]
    return tuple(
        Metric(
            metric["Namespace"],
            metric["MetricName"],
            tuple((each["Name"], each["Value"]) for each in metric["Dimensions"]),
        )
        for metric in (stats or [alarm])
    )


def _statements(stack: CreatedStack) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for role, properties in stack.of_type("AWS::IAM::Role").items():
        for policy in properties.get("Policies", []):
            for statement in policy["PolicyDocument"]["Statement"]:
                yield role, statement
    for name, policy in stack.of_type("AWS::IAM::Policy").items():
        for statement in policy["PolicyDocument"]["Statement"]:
            yield name, statement


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
