"""MiniStack, with the gaps closed into which this project's stack would fall; run by MiniStack's own interpreter.

Each function below closes one gap between the emulator (1.5.33) and AWS, and says which. Nothing else is changed, so a
new version of MiniStack is tried by leaving out one call after the other.
"""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Callable, Mapping
from typing import Any

Properties = Mapping[str, Any]
Created = tuple[str, dict[str, Any]]
"""A resource's physical id, which is what `Ref` gives, and its attributes."""

SECONDS_A_MINUTE_TAKES = "SHIM_SECONDS_A_MINUTE_TAKES"
LAMBDA_PYTHON = "SHIM_LAMBDA_PYTHON_"
"""With the runtime's version after it: the interpreter of functions of that runtime."""


def run_functions_in_clean_interpreters() -> None:
    """MiniStack runs functions with its own interpreter, in which all its own packages can be imported."""
    runtime = _module("core.lambda_runtime")
    detect: Callable[[str], tuple[str, str]] = runtime._detect_runtime_binary  # noqa: SLF001  no other way in

    def detect_clean(name: str) -> tuple[str, str]:
        return os.environ[LAMBDA_PYTHON + name.removeprefix("python")], detect(name)[1]

    runtime._detect_runtime_binary = detect_clean  # noqa: SLF001  no other way in


def import_openapi_documents() -> None:
    """An HTTP API's routes come from its OpenAPI document, as SAM writes it; MiniStack leaves the document unread."""
    _wrap("AWS::ApiGatewayV2::Api", "create", _then_import_routes)
    _wrap("AWS::ApiGatewayV2::Api", "update", _then_import_routes)


def create_secrets_as_aws_does() -> None:
    """`Ref` to a secret is its ARN, not its name; and a secret created without a value has none, not an empty one."""
    secrets = _module("services.secretsmanager")._secrets  # noqa: SLF001  no other way in

    def create(original: Callable[..., Created]) -> Callable[..., Created]:
        def create_secret(logical_id: str, properties: Properties, stack_name: str) -> Created:
            name, attributes = original(logical_id, properties, stack_name)
            if not properties.keys() & {"SecretString", "GenerateSecretString"}:
                secrets[name]["Versions"].clear()
            return attributes["Arn"], attributes

        return create_secret

    def by_name(original: Callable[..., Any]) -> Callable[..., Any]:
        def call_with_name(arn: str, *arguments: Any) -> Any:
            name = next((name for name, secret in secrets.items() if secret["ARN"] == arn), arn)
            result = original(name, *arguments)
            return (arn, result[1]) if result else result

        return call_with_name

    _wrap("AWS::SecretsManager::Secret", "create", create)
    _wrap("AWS::SecretsManager::Secret", "update", by_name)
    _wrap("AWS::SecretsManager::Secret", "delete", by_name)


def keep_what_tables_are_told_about_time() -> None:
    """A table's time to live and point-in-time recovery are left out when it is created."""

    def then_tell(original: Callable[..., Created]) -> Callable[..., Created]:
        def call(*arguments: Any) -> Created:
            name, attributes = original(*arguments)
            _tell_about_time(name, next(each for each in reversed(arguments) if isinstance(each, Mapping)))
            return name, attributes

        return call

    for action in ("create", "update"):
        _wrap("AWS::DynamoDB::Table", action, then_tell)


def authorize_schedules_in_their_groups() -> None:
    """Every schedule is authorized as one of the default group, so a role for one other group may create none."""
    actions = _module("core.iam_actions")
    arn_of: Callable[..., str] = actions.extract_resource_arn

    def in_its_group(*arguments: Any) -> str:
        arn = arn_of(*arguments)
        if ":schedule/default/" not in arn:
            return arn
        body, query = arguments[4:6]
        named = json.loads(body).get("GroupName") if body else query.get("groupName")
        group = named[0] if isinstance(named, list) else named
        return arn.replace(":schedule/default/", f":schedule/{group or 'default'}/")

    actions.extract_resource_arn = in_its_group


def split_texts_in_conditions() -> None:
    """The parts of a parameter can be taken apart everywhere but in conditions."""
    formation = "services.cloudformation"
    evaluate: Callable[[Properties, Properties], dict[str, bool]] = _module(f"{formation}.engine")._evaluate_conditions  # noqa: SLF001  no other way in

    def evaluate_split(template: Properties, parameters: Properties) -> dict[str, bool]:
        return evaluate({**template, "Conditions": _split(template.get("Conditions", {}), parameters)}, parameters)

    for user in ("changesets", "handlers", "stacks"):
        _module(f"{formation}.{user}")._evaluate_conditions = evaluate_split  # noqa: SLF001  no other way in


def take_alarms_with_metric_math() -> None:
    """MiniStack refuses them. They are created as alarms of their first measured metric; nobody evaluates them."""

    def first_metric_only(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            return original(*(_without_metric_math(each) if isinstance(each, Mapping) else each for each in arguments))

        return call

    for action in ("create", "update"):
        _wrap("AWS::CloudWatch::Alarm", action, first_metric_only)


def hasten_schedules() -> None:
    """Let the minutes of a schedule pass as fast as the environment says, and look for due schedules often."""
    scheduler, events = _module("services.scheduler"), _module("services.eventbridge")
    seconds_of: Callable[[str], int | None] = events._parse_rate_seconds  # noqa: SLF001  no other way in
    share = float(os.environ[SECONDS_A_MINUTE_TAKES]) / 60

    def hastened(expression: str) -> float | None:
        seconds = seconds_of(expression)
        return None if seconds is None else seconds * share

    events._parse_rate_seconds = hastened  # noqa: SLF001  no other way in
    scheduler._SCHEDULE_TICK_INTERVAL = 0.1  # noqa: SLF001  no other way in


def _module(name: str) -> Any:
    return importlib.import_module(f"ministack.{name}")


def _handlers(kind: str) -> dict[str, Any]:
    """Return the functions with which MiniStack creates, updates and deletes resources of the type."""
    all_handlers = _module("services.cloudformation.provisioners")._RESOURCE_HANDLERS  # noqa: SLF001  no other way in
    handlers: dict[str, Any] = all_handlers[kind]
    return handlers


def _wrap(kind: str, action: str, wrapper: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    _handlers(kind)[action] = wrapper(_handlers(kind)[action])


def _then_import_routes(original: Callable[..., Created]) -> Callable[..., Created]:
    def call(*arguments: Any) -> Created:
        api_id, attributes = original(*arguments)
        document = next(each for each in reversed(arguments) if isinstance(each, Mapping)).get("Body", {})
        gateway = _module("services.apigateway")
        gateway._routes[api_id] = {}  # noqa: SLF001  no other way in
        gateway._integrations[api_id] = {}  # noqa: SLF001  no other way in
        for path, operations in document.get("paths", {}).items():
            for method, operation in operations.items():
                _create_route(api_id, f"{method.upper()} {path}", operation)
        return api_id, attributes

    return call


def _tell_about_time(table: str, properties: Properties) -> None:
    dynamodb = _module("services.dynamodb")
    if expiry := properties.get("TimeToLiveSpecification"):
        enabled = str(expiry.get("Enabled")).lower() == "true"
        dynamodb._update_ttl({"TableName": table, "TimeToLiveSpecification": {**expiry, "Enabled": enabled}})  # noqa: SLF001  no other way in
    if recovery := properties.get("PointInTimeRecoverySpecification"):
        enabled = str(recovery.get("PointInTimeRecoveryEnabled")).lower() == "true"
        told = {"PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": enabled}}
        dynamodb._update_continuous_backups({"TableName": table, **told})  # noqa: SLF001  no other way in


def _create_route(api_id: str, route_key: str, operation: Mapping[str, Any]) -> None:
    integration = operation["x-amazon-apigateway-integration"]
    integration_id, _ = _handlers("AWS::ApiGatewayV2::Integration")["create"](
        route_key,
        {
            "ApiId": api_id,
            "IntegrationType": integration["type"].upper(),
            "IntegrationUri": integration["uri"],
            "IntegrationMethod": integration["httpMethod"],
            "PayloadFormatVersion": integration["payloadFormatVersion"],
            "TimeoutInMillis": integration["timeoutInMillis"],
        },
        "",
    )
    schemes = [name for requirement in operation.get("security", []) for name in requirement]
    route = {"ApiId": api_id, "RouteKey": route_key, "Target": f"integrations/{integration_id}"}
    _handlers("AWS::ApiGatewayV2::Route")["create"](
        route_key, {**route, "AuthorizationType": schemes[0] if schemes else "NONE"}, ""
    )


def _split(expression: Any, parameters: Properties) -> Any:
    if isinstance(expression, list):
        return [_split(part, parameters) for part in expression]
    if not isinstance(expression, dict):
        return expression
    if "Fn::Split" in expression:
        separator, parameter = expression["Fn::Split"]
        return str(parameters[parameter["Ref"]]["Value"]).split(separator)
    return {key: _split(part, parameters) for key, part in expression.items()}


def _without_metric_math(properties: Properties) -> Properties:
    measured = next((query["MetricStat"] for query in properties.get("Metrics", []) if "MetricStat" in query), None)
    if measured is None:
        return properties
    kept = {name: value for name, value in properties.items() if name != "Metrics"}
    return {**kept, **measured["Metric"], "Statistic": measured["Stat"], "Period": measured["Period"]}


def main() -> None:
    run_functions_in_clean_interpreters()
    import_openapi_documents()
    create_secrets_as_aws_does()
    keep_what_tables_are_told_about_time()
    authorize_schedules_in_their_groups()
    split_texts_in_conditions()
    take_alarms_with_metric_math()
    hasten_schedules()
    _module("app").main()


if __name__ == "__main__":
    main()
