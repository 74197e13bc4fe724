"""Parameters and settings agree, faults are refused before anything is deployed, and no parameter takes a secret."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from alert_sync.errors import ConfigurationError
from alert_sync.settings import VARIABLES, load_settings
from tests.support import tools
from tests.support.expand_template import Template
from tests.template.conftest import BUS, REQUIRED, SECRET, WORKSPACE, Deploy
from tests.template.created_stack import broken_rules, refused_values

NOT_SET_BY_THE_TEMPLATE = {"GRAFANA_IRM_TOKEN", "ALERTMANAGER_HOST"}
"""The token itself, which belongs into Secrets Manager, and a spelling kept for those who used it before."""


def _variables(deployed: Deploy, **parameters: str) -> dict[str, str]:
    variables: dict[str, str] = deployed(**parameters).only("AWS::Lambda::Function")["Environment"]["Variables"]
    return {name: _as_aws_would_know(value) for name, value in variables.items()}


def _as_aws_would_know(value: str) -> str:
    """What only AWS can know stands in brackets, which no name of a secret or table has."""
    name = value.strip("<>")
    return f"arn:aws:iam::123456789012:role/{name}" if name.endswith("Role.Arn") else name


# --- the function gets what it understands


def test_every_setting_has_a_parameter_and_every_variable_is_a_setting(deployed: Deploy) -> None:
    for_powertools = {"POWERTOOLS_SERVICE_NAME", "POWERTOOLS_LOG_LEVEL"}

    assert _variables(deployed).keys() == (VARIABLES - NOT_SET_BY_THE_TEMPLATE) | for_powertools


def test_defaults_of_the_template_are_the_defaults_of_the_settings(deployed: Deploy) -> None:
    required = {"GRAFANA_IRM_URL": REQUIRED["GrafanaIrmUrl"], "GRAFANA_IRM_TOKEN_SECRET": SECRET}
    # Outside a stack there is nothing to remember in, to be woken by or to tell.
    by_the_stack = {
        "STATE_TABLE": "StateTable",
        "WAKE_UP_GROUP": "WakeUpGroup",
        "WAKE_UP_ROLE_ARN": "arn:aws:iam::123456789012:role/WakeUpRole.Arn",
        "EVENT_BUS": "default",
    }

    assert load_settings(_variables(deployed, GrafanaTokenSecretArn=SECRET)) == load_settings(required | by_the_stack)


def test_without_memory_wake_ups_and_bus_the_variables_are_empty(deployed: Deploy) -> None:
    variables = _variables(deployed, Memory="false", EventBusName="")

    assert [variables[name] for name in ("STATE_TABLE", "WAKE_UP_GROUP", "WAKE_UP_ROLE_ARN", "EVENT_BUS")] == [""] * 4


def test_function_is_told_of_a_wake_up_group_only_where_it_runs_unasked(deployed: Deploy) -> None:
    variables = _variables(deployed, ReconcileInterval="0")

    assert (variables["STATE_TABLE"], variables["WAKE_UP_GROUP"]) == ("StateTable", "")


@pytest.mark.parametrize(
    "parameter",
    [
        "AlertmanagerAuth",
        "ResolveThrough",
        "SilencedAction",
        "DryRun",
        "ResolutionNotes",
        "ReconcileInterval",
        "Memory",
        "GoneAction",
        "MissingAction",
        "WakeUps",
        "AlertStateMetrics",
    ],
)
def test_every_choice_that_the_template_offers_is_one_of_the_settings(
    deployed: Deploy, expanded: Template, parameter: str
) -> None:
    for choice in expanded["Parameters"][parameter]["AllowedValues"]:
        load_settings(_variables(deployed, AlertmanagerSecretArn=SECRET, **{parameter: str(choice)}))


@pytest.mark.parametrize(
    "parameter",
    [
        "IrmRequestsPerMinute",
        "MinAlertmanagerUptimeSeconds",
        "MaxChangesPercent",
        "MaxChangesMinimum",
        "MaxGonePercent",
        "GroupWaitSeconds",
        "RetentionDays",
    ],
)
def test_limits_of_numbers_are_those_of_the_settings(deployed: Deploy, expanded: Template, parameter: str) -> None:
    body = expanded["Parameters"][parameter]
    variable = next(name for name in VARIABLES if name.replace("_", "").lower() == parameter.lower())

    for limit in (body["MinValue"], body["MaxValue"]):
        load_settings(_variables(deployed, **{parameter: str(limit)}))
    with pytest.raises(ConfigurationError, match=variable):
        load_settings(_variables(deployed, **{parameter: str(body["MaxValue"] + 1)}))


def test_metrics_carry_the_name_of_the_stack(deployed: Deploy) -> None:
    assert _variables(deployed)["POWERTOOLS_SERVICE_NAME"] == "a-stack"


# --- faults are refused


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("GrafanaIrmUrl", "https://oncall-prod-eu-west-0.grafana.net/oncall"),
        ("GrafanaIrmUrl", "http://oncall.internal:8080"),
        ("AlertmanagerUrl", "http://a:9093,https://b.example/alertmanager/"),
        ("AlertmanagerUrl", "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-1/alertmanager"),
        ("AlertmanagerTenant", "team-a|team-b"),
        ("AlertGroupStates", "firing,acknowledged,silenced"),
        ("IrmIntegrationIds", "CFRPV98RPR1U8,C2B3"),
        ("GrafanaTokenSecretArn", SECRET),
        ("AlertmanagerWorkspaceArn", WORKSPACE),
        ("AlarmTopicArn", "arn:aws-us-gov:sns:us-gov-west-1:123456789012:alarms"),
        ("PermissionsBoundaryArn", "arn:aws:iam::aws:policy/PowerUserAccess"),
        ("SecretsKmsKeyArn", "arn:aws:kms:eu-west-1:123456789012:key/mrk-1234"),
        ("VpcSubnetIds", "subnet-0a1b,subnet-2c3d"),
        ("AlarmEmail", "ops@example.com"),
        ("EventBusName", ""),
        ("EventBusName", "team.alerts"),
        ("EventBusName", BUS),
        ("EventBusName", "arn:aws-cn:events:cn-north-1:123456789012:event-bus/default"),
        ("AlertStateLabels", "severity,team_2,_internal"),
    ],
)
def test_good_value_is_accepted(expanded: Template, parameter: str, value: str) -> None:
    assert refused_values(expanded, {parameter: value}) == ()


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        pytest.param("GrafanaIrmUrl", "", id="required"),
        pytest.param("GrafanaIrmUrl", "oncall.example/oncall", id="no scheme"),
        pytest.param("GrafanaIrmUrl", "https://user:password@oncall.example", id="password in the URL"),
        pytest.param("GrafanaIrmUrl", "https://oncall.example/?token=1", id="query"),
        pytest.param("GrafanaIrmUrl", "https://a.example,https://b.example", id="two URLs of IRM"),
        pytest.param("AlertmanagerUrl", "a:9093", id="host and port only"),
        pytest.param("AlertmanagerUrl", "http://a:9093, http://b:9093", id="blank between peers"),
        pytest.param("AlertmanagerUrl", "http://a:9093,", id="nothing after the comma"),
        pytest.param("AlertGroupStates", "resolved", id="resolved is no open state"),
        pytest.param("AlertGroupStates", "", id="no state"),
        pytest.param("ReconcileInterval", "90", id="half a minute"),
        pytest.param("ReconcileInterval", "30", id="less than a minute"),
        pytest.param("GrafanaTokenSecretArn", "glsa_abc", id="the token instead of its secret"),
        pytest.param("GrafanaTokenSecretArn", SECRET.removesuffix("-AbCdEf"), id="partial ARN"),
        pytest.param("GrafanaTokenSecretArn", SECRET.replace("grafana", "*"), id="wildcard"),
        pytest.param("SecretsKmsKeyArn", "arn:aws:kms:eu-west-1:123456789012:alias/mine", id="alias"),
        pytest.param("IrmRequestsPerMinute", "301", id="more than IRM takes"),
        pytest.param("MaxChangesPercent", "101", id="more than all"),
        pytest.param("FunctionTimeout", "29", id="shorter than an HTTP call"),
        pytest.param("LogLevel", "WARN", id="drops metrics"),
        pytest.param("PythonRuntime", "python3.10", id="deprecated"),
        pytest.param("EventBusName", "aws.partner/example.com/alerts", id="a partner's bus, which takes no events"),
        pytest.param("EventBusName", BUS.replace("operations", "*"), id="any bus"),
        pytest.param("AlertStateLabels", "severity, team", id="blank between labels"),
        pytest.param("AlertStateLabels", "app.kubernetes.io/name", id="no label of Prometheus"),
        pytest.param("MaxGonePercent", "101", id="more gone than there are"),
        pytest.param("RetentionDays", "0", id="for no day"),
        pytest.param("GoneAction", "silence", id="what is gone cannot be silenced"),
    ],
)
def test_faulty_value_is_refused(expanded: Template, parameter: str, value: str) -> None:
    assert refused_values(expanded, {parameter: value}) == (parameter,)


@pytest.mark.parametrize(
    ("parameters", "broken"),
    [
        pytest.param({}, (), id="defaults"),
        pytest.param({"AlertmanagerAuth": "basic"}, ("SecretForBasicAndBearer",), id="basic without secret"),
        pytest.param({"AlertmanagerAuth": "bearer"}, ("SecretForBasicAndBearer",), id="bearer without secret"),
        pytest.param({"AlertmanagerAuth": "basic", "AlertmanagerSecretArn": SECRET}, (), id="basic with secret"),
        pytest.param({"AlertmanagerAuth": "sigv4"}, ("WorkspaceForSigv4",), id="sigv4 without workspace"),
        pytest.param({"AlertmanagerAuth": "sigv4", "AlertmanagerWorkspaceArn": WORKSPACE}, (), id="sigv4"),
        pytest.param({"VpcSubnetIds": "subnet-1"}, ("SubnetsWithSecurityGroups",), id="subnets alone"),
        pytest.param({"VpcSecurityGroupIds": "sg-1"}, ("SubnetsWithSecurityGroups",), id="security groups alone"),
        pytest.param({"VpcSubnetIds": "subnet-1", "VpcSecurityGroupIds": "sg-1"}, (), id="a VPC"),
        pytest.param({"AlarmEmail": "a@example.com", "AlarmTopicArn": "arn"}, ("OneWayOfAlarming",), id="two topics"),
        pytest.param({"MissingAction": "notify"}, (), id="notifies what is missing"),
        pytest.param({"MissingAction": "notify", "Memory": "false"}, ("MemoryForNotifying",), id="without memory"),
    ],
)
def test_contradiction_is_refused_before_the_deployment(
    expanded: Template, parameters: dict[str, str], broken: tuple[str, ...]
) -> None:
    assert broken_rules(expanded, {**REQUIRED, **parameters}) == broken


# --- what the parameters are like


def test_parameters_are_explained_bounded_and_grouped(source: Template) -> None:
    parameters = source["Parameters"]
    groups = source["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    free_text = {"AlertMatchers"}

    assert [name for name, body in parameters.items() if not body["Description"].endswith((".", "/oncall"))] == []
    assert {name for name, body in parameters.items() if not _is_bounded(body)} == free_text
    assert sorted(name for group in groups for name in group["Parameters"]) == sorted(parameters)


def test_a_pattern_says_in_words_what_it_wants(source: Template) -> None:
    patterned = [body for body in source["Parameters"].values() if "AllowedPattern" in body]

    assert [body for body in patterned if not body.get("ConstraintDescription")] == []


def test_no_parameter_takes_a_secret(source: Template) -> None:
    suspicious = {
        name: body.get("AllowedPattern", "")
        for name, body in source["Parameters"].items()
        if any(word in name.lower() for word in ("secret", "token", "password", "apikey")) and not body.get("NoEcho")
    }

    assert [name for name, pattern in suspicious.items() if not pattern.startswith("^(arn:")] == []


def test_defaults_keep_to_their_own_bounds(source: Template) -> None:
    defaults = {name: str(body["Default"]) for name, body in source["Parameters"].items() if "Default" in body}

    assert refused_values(source, defaults) == ()


def _is_bounded(body: dict[str, Any]) -> bool:
    return "AllowedValues" in body or "AllowedPattern" in body or {"MinValue", "MaxValue"} <= body.keys()


# --- samconfig.toml


@pytest.mark.parametrize("environment", ["default", "prod"])
def test_samconfig_gives_parameters_that_the_template_takes(source: Template, environment: str) -> None:
    config = tomllib.loads((tools.PROJECT / "samconfig.toml").read_text())
    overrides = dict(pair.split("=", 1) for pair in config[environment]["deploy"]["parameters"]["parameter_overrides"])

    assert overrides.keys() <= source["Parameters"].keys()
    assert refused_values(source, overrides) == ()
    assert broken_rules(source, overrides) == ()
    assert [
        name for name, body in source["Parameters"].items() if "Default" not in body and name not in overrides
    ] == []


def test_development_begins_with_dry_runs() -> None:
    config = tomllib.loads((tools.PROJECT / "samconfig.toml").read_text())

    assert "DryRun=true" in config["default"]["deploy"]["parameters"]["parameter_overrides"]
