"""The OpenAPI document: that it is valid, current, and of the routes that the template deploys."""

from __future__ import annotations

import importlib
import subprocess
import sys
from typing import Any

import pytest

from alert_sync.asking.openapi import document, text
from alert_sync.asking.prometheus_text import CONTENT_TYPE
from alert_sync.asking.routes import ROUTES
from tests.support.tools import PROJECT
from tests.unit.test_documentation import template

DOCUMENT = PROJECT / "docs" / "openapi.json"


def operations() -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method.upper(), path): operation
        for path, methods in document()["paths"].items()
        for method, operation in methods.items()
    }


def test_document_is_valid() -> None:
    validator: Any = importlib.import_module("openapi_spec_validator")

    validator.validate(document(), cls=validator.OpenAPIV31SpecValidator)


def test_document_in_the_repository_is_current() -> None:
    remedy = "PYTHONPATH=src python -m alert_sync.asking.openapi > docs/openapi.json"

    assert DOCUMENT.read_text(encoding="utf-8") == text(), remedy


def test_module_prints_the_document() -> None:
    command = [sys.executable, "-m", "alert_sync.asking.openapi"]

    ran = subprocess.run(command, check=True, capture_output=True, text=True, env={"PYTHONPATH": str(PROJECT / "src")})

    assert ran.stdout == text()


def test_every_route_is_documented_once() -> None:
    assert list(operations()) == [(route.method, route.path) for route in ROUTES]


def test_each_operation_has_an_id_of_its_own() -> None:
    ids = [operation["operationId"] for operation in operations().values()]

    assert len(set(ids)) == len(ROUTES)


def test_only_the_open_route_needs_no_signature() -> None:
    unsigned = [place for place, operation in operations().items() if operation.get("security") == []]

    assert (unsigned, document()["security"]) == ([("GET", "/healthz")], [{"aws.auth.sigv4": []}])


def test_prometheus_text_is_what_its_library_calls_it() -> None:
    (content_type,) = operations()["GET", "/metrics"]["responses"]["200"]["content"]

    assert content_type == CONTENT_TYPE


def test_template_deploys_exactly_these_routes() -> None:
    events = template()["Resources"]["ReconcilerFunction"]["Properties"]["Events"].values()
    deployed = {
        (each["Properties"]["Method"], each["Properties"]["Path"]): "Auth" not in each["Properties"]
        for each in events
        if each["Type"] == "HttpApi"
    }

    assert deployed == {(route.method, route.path): route.is_open for route in ROUTES}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_variable_parts_of_the_path_are_declared(route: Any) -> None:
    declared = {parameter.name for parameter in route.parameters if parameter.place == "path"}

    path = route.path.replace("{", "").replace("}", "")
    assert set(route.placed_in(path) or {}) == declared
