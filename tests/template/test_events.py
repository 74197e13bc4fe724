"""The sample events are events that the stack sends and the function understands."""

from __future__ import annotations

import json
from typing import Any

import pytest

from alert_sync.events import HttpRequest, RunOptions, parse_event
from alert_sync.report import Trigger
from tests.support import tools
from tests.template.conftest import Deploy
from tests.template.findings import open_routes

CALLER = "arn:aws:sts::123456789012:assumed-role/on-call/alice"
EVENTS = {file.stem: json.loads(file.read_text()) for file in (tools.PROJECT / "events").glob("*.json")}
REQUESTS = [pytest.param(event, id=name) for name, event in EVENTS.items() if name.startswith("http_")]


def test_every_sample_is_understood_as_what_its_name_says() -> None:
    assert {name: parse_event(event) for name, event in EVENTS.items()} == {
        "scheduled": RunOptions(trigger=Trigger.SCHEDULE),
        "scheduled_rule": RunOptions(trigger=Trigger.SCHEDULE),
        "wake_up": RunOptions(trigger=Trigger.SCHEDULE),
        "manual": RunOptions(trigger=Trigger.INVOKE),
        "manual_dry_run": RunOptions(trigger=Trigger.INVOKE, dry_run=True),
        "manual_force": RunOptions(trigger=Trigger.INVOKE, force=True),
        "http_reconcile": HttpRequest(method="POST", path="/reconcile", caller=CALLER),
        "http_dry_run": HttpRequest(method="POST", path="/reconcile", query={"dry_run": "true"}, caller=CALLER),
        "http_trigger": HttpRequest(
            method="POST", path="/reconciliation/trigger", body='{"dry_run": true}', caller=CALLER
        ),
        "http_mismatches": HttpRequest(
            method="GET",
            path="/reconciliation/mismatches",
            query={"resolution_status": "PENDING", "limit": "20"},
            caller=CALLER,
        ),
        "http_resolve_mismatch": HttpRequest(
            method="POST",
            path="/reconciliation/mismatches/20261121T100500.123Z-5f0c2d9a41b7/resolve",
            body='{"resolution_status": "IGNORED", "resolution_notes": "the rule is being rewritten"}',
            caller=CALLER,
        ),
        "http_readyz": HttpRequest(method="GET", path="/readyz", caller=CALLER),
        "http_healthz": HttpRequest(method="GET", path="/healthz"),
    }


@pytest.mark.parametrize("event", REQUESTS)
def test_sample_request_goes_to_a_route_and_is_signed_where_the_route_asks_for_it(
    deployed: Deploy, event: dict[str, Any]
) -> None:
    stack, http = deployed(), event["requestContext"]["http"]
    paths = stack.only("AWS::ApiGatewayV2::Api")["Body"]["paths"]
    routes = {f"{method.upper()} {path}" for path, operations in paths.items() for method in operations}

    assert event["routeKey"] in routes
    assert event["routeKey"].format(**event.get("pathParameters", {})) == f"{http['method']} {event['rawPath']}"
    assert ("authorizer" in event["requestContext"]) == (event["routeKey"] not in open_routes(stack))
