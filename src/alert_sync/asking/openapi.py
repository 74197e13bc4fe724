"""The OpenAPI document of all routes; `python -m alert_sync.asking.openapi > docs/openapi.json` writes it."""

from __future__ import annotations

import json
import re
import sys
from typing import Any

from alert_sync.asking.parameters import Parameter
from alert_sync.asking.routes import ROUTES, Response, Route
from alert_sync.asking.schemas import SCHEMAS, reference

_SIGNED = "aws.auth.sigv4"
_DESCRIPTION = """\
Runs reconciliations, and tells what they found and did. Requests are signed with AWS Signature Version 4 for the \
service `execute-api`. API Gateway answers by itself, as `{"message": ...}`: 403 to what is not signed or not allowed, \
429 beyond the rate limit of the stage, 503 when the function timed out or was throttled."""
_INFO = {
    "title": "alertmanager-alert-sync",
    "version": "1",
    "description": _DESCRIPTION,
    "license": {"name": "Apache License 2.0", "identifier": "Apache-2.0"},
}
_SERVER = {
    "url": "https://{api}.execute-api.{region}.amazonaws.com",
    "variables": {"api": {"default": "a1b2c3d4e5"}, "region": {"default": "eu-west-1"}},
}
_SIGNATURE = {
    "type": "apiKey",
    "name": "Authorization",
    "in": "header",
    "description": "AWS Signature Version 4 for the service execute-api",
    "x-amazon-apigateway-authtype": "awsSigv4",
}
_FAILED = {
    "500": Response(description="`FAILED`"),
    "502": Response(description="`UPSTREAM_FAILED`: another system refuses, or answers with something else"),
    "503": Response(description="`UPSTREAM_UNAVAILABLE`: it may work later; `NOT_CONFIGURED`: a setting is wrong"),
}
_NO_MEMORY = "; `MEMORY_DISABLED`: the stack has no table to remember in"


def document() -> dict[str, Any]:
    """The document as of this code."""
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": _INFO,
        "servers": [_SERVER],
        "security": [{_SIGNED: []}],
        "paths": paths,
        "components": {"schemas": dict(SCHEMAS), "securitySchemes": {_SIGNED: _SIGNATURE}},
    }


def text() -> str:
    """The document as docs/openapi.json has it."""
    return json.dumps(document(), indent=2) + "\n"


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": _operation_id(route),
        "summary": route.summary,
        "responses": {status: _response(each) for status, each in sorted(_all_answers(route).items())},
    }
    if route.parameters:
        operation["parameters"] = [_parameter(parameter) for parameter in route.parameters]
    if route.body is not None:
        content = {"application/json": {"schema": route.body}}
        operation["requestBody"] = {"required": not route.body_is_optional, "content": content}
    if route.is_open:
        operation["security"] = []
    return operation


def _operation_id(route: Route) -> str:
    return "_".join([route.method.lower(), *re.findall(r"\w+", route.path)])


def _all_answers(route: Route) -> dict[str, Response]:
    """What http_api.py answers itself is complete; what has an endpoint may fail as well."""
    own = {str(status): response for status, response in route.answers.items()}
    if route.endpoint is None:
        return own
    failed = dict(_FAILED)
    if route.needs_memory:
        failed["503"] = Response(description=failed["503"].description + _NO_MEMORY)
    return {**failed, **own}


def _response(response: Response) -> dict[str, Any]:
    schema = reference(response.schema) if response.schema else {"type": "string"}
    return {"description": response.description, "content": {response.content_type: {"schema": schema}}}


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.place == "path",
        "description": parameter.description,
        "schema": dict(parameter.schema),
    }


if __name__ == "__main__":
    sys.stdout.write(text())
