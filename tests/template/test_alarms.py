"""Alarms and the dashboard watch metrics that exist, at the right time, and tell the right people."""

from __future__ import annotations

import json
from typing import Any

import pytest

from alert_sync.metrics import METRICS, NAMESPACE
from tests.template.conftest import TOPIC, Deploy
from tests.template.created_stack import STACK_NAME, CreatedStack
from tests.template.findings import Metric, dashboard_metrics, unknown_metrics

FAILED_SHARE = "IF(failed + resolved > 0, failed / (failed + resolved), 0)"
SERVICE = (("service", STACK_NAME),)
EMITTED = frozenset(Metric(NAMESPACE, name, SERVICE) for name in METRICS)
OF_AWS = frozenset(
    {
        Metric("AWS/Lambda", "Errors", (("FunctionName", "<ReconcilerFunction>"),)),
        Metric("AWS/Lambda", "Throttles", (("FunctionName", "<ReconcilerFunction>"),)),
        Metric("AWS/SQS", "ApproximateNumberOfMessagesVisible", (("QueueName", "<DeadLetterQueue.QueueName>"),)),
    }
)


def test_alarms_and_dashboard_name_metrics_that_exist(stack: CreatedStack) -> None:
    assert unknown_metrics(stack, EMITTED | OF_AWS) == ()


def test_dashboard_shows_every_metric_but_the_timestamp(deployed: Deploy) -> None:
    shown = set(dashboard_metrics(deployed()))

    assert EMITTED - shown == {Metric(NAMESPACE, "LastReconciliationTimestamp", SERVICE)}


def test_dashboard_lists_every_alarm_of_the_stack(stack: CreatedStack) -> None:
    body = json.loads(stack.only("AWS::CloudWatch::Dashboard")["DashboardBody"])
    (alarms,) = [widget["properties"]["alarms"] for widget in body["widgets"] if widget["type"] == "alarm"]

    assert sorted(alarms) == sorted(f"<{name}.Arn>" for name in stack.of_type("AWS::CloudWatch::Alarm"))


def test_alarms_fire_as_the_documents_say(deployed: Deploy) -> None:
    alarms = deployed().of_type("AWS::CloudWatch::Alarm")

    assert {name: _when(alarm) for name, alarm in alarms.items()} == {
        "FailingAlarm": "Maximum of LastReconciliationSuccess < 1 for 1 x 600 s, missing: ignore",
        "StaleAlarm": "FILL(runs, 0) < 1 for 10 x 60 s, missing: breaching",
        "InconsistenciesAlarm": "Minimum of InconsistenciesFound > 10 for 1 x 300 s, missing: notBreaching",
        "BacklogAlarm": "Minimum of InconsistenciesDeferred > 0 for 1 x 600 s, missing: notBreaching",
        "ResolutionFailuresAlarm": f"{FAILED_SHARE} > 0.1 for 1 x 600 s, missing: notBreaching",
        "SlowAlarm": "p95 of ReconciliationDuration > 30000 for 1 x 600 s, missing: notBreaching",
        "PlanRefusedAlarm": "Sum of PlansRefused >= 1 for 1 x 300 s, missing: notBreaching",
        "ErrorsAlarm": "Sum of Errors >= 1 for 1 x 300 s, missing: notBreaching",
        "ThrottlesAlarm": "Sum of Throttles >= 1 for 1 x 300 s, missing: notBreaching",
        "DeadLettersAlarm": "Maximum of ApproximateNumberOfMessagesVisible >= 1 for 1 x 300 s, missing: notBreaching",
    }


def _when(alarm: dict[str, Any]) -> str:
    comparison = {"LessThan": "<", "GreaterThan": ">", "GreaterThanOrEqualTo": ">="}[
        alarm["ComparisonOperator"].removesuffix("Threshold")
    ]
    if "Metrics" in alarm:
        expression, measured = alarm["Metrics"][:2]
        value, period = expression["Expression"], measured["MetricStat"]["Period"]
    else:
        value = f"{alarm.get('Statistic') or alarm['ExtendedStatistic']} of {alarm['MetricName']}"
        period = alarm["Period"]
    waits = f"{alarm['EvaluationPeriods']} x {period} s"
    return f"{value} {comparison} {alarm['Threshold']} for {waits}, missing: {alarm['TreatMissingData']}"


@pytest.mark.parametrize("interval", ["60", "120", "300", "600", "900", "1800", "3600"])
def test_alarm_windows_hold_at_least_one_run(deployed: Deploy, interval: str) -> None:
    alarms = deployed(ReconcileInterval=interval).of_type("AWS::CloudWatch::Alarm")

    assert alarms["FailingAlarm"]["Period"] == max(600, int(interval))
    assert alarms["InconsistenciesAlarm"]["Period"] == max(300, int(interval))
    assert alarms["StaleAlarm"]["EvaluationPeriods"] * 60 == max(600, 2 * int(interval))


@pytest.mark.parametrize(
    ("parameters", "actions"),
    [
        pytest.param({}, [], id="nobody is told"),
        pytest.param({"AlarmTopicArn": TOPIC}, [TOPIC], id="an existing topic"),
        pytest.param({"AlarmEmail": "ops@example.com"}, ["<AlarmTopic>"], id="an address"),
    ],
)
def test_every_alarm_goes_to_the_topic(deployed: Deploy, parameters: dict[str, str], actions: list[str]) -> None:
    alarms = deployed(**parameters).of_type("AWS::CloudWatch::Alarm")

    assert {name: (alarm["AlarmActions"], alarm["OKActions"]) for name, alarm in alarms.items()} == dict.fromkeys(
        alarms, (actions, actions)
    )


def test_topic_is_created_for_an_address_only(deployed: Deploy) -> None:
    assert deployed(AlarmTopicArn=TOPIC).of_type("AWS::SNS::Topic") == {}
    assert deployed(AlarmEmail="ops@example.com").only("AWS::SNS::Topic")["Subscription"] == [
        {"Protocol": "email", "Endpoint": "ops@example.com"}
    ]
