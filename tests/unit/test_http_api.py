"""The routes: which there are, what each answers, and how the status of a run becomes one of HTTP's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from alert_sync.asking.routes import ROUTES
from alert_sync.events import HttpRequest, RunOptions
from alert_sync.http_api import answer
from alert_sync.report import Report, Status, Trigger
from tests.builders import NOW
from tests.support import asking

HEADERS = {"Content-Type": "application/json", "Cache-Control": "no-store"}


class Function:
    """Stands for what is behind the routes, and remembers what was asked of it."""

    def __init__(self, *, status: Status = Status.SUCCESS, faults: Mapping[str, str] | None = None) -> None:
        self.report = Report(
            run_id="r1", trigger=Trigger.HTTP, status=status, message="m", dry_run=False, started_at=NOW
        )
        self.asked_for: list[RunOptions] = []
        self._faults = faults or {}

    def answer(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        request = HttpRequest(method=method, path=path, **more)
        return answer(request, run=self._run, faults=lambda: self._faults, context=asking.Function())

    def _run(self, options: RunOptions) -> Report:
        self.asked_for.append(options)
        return self.report


def expected(status: int, body: object, **headers: str) -> dict[str, Any]:
    return {"statusCode": status, "headers": {**HEADERS, **headers}, "body": json.dumps(body)}


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (Status.SUCCESS, 200),
        (Status.PARTIAL, 200),
        (Status.REFUSED, 409),
        (Status.SKIPPED, 409),
        (Status.FAILED, 500),
    ],
)
def test_status_of_the_run_decides_the_status_of_the_answer(status: Status, code: int) -> None:
    function = Function(status=status)

    assert function.answer("POST", "/reconcile") == expected(code, function.report.as_dict())


def test_query_parameters_reach_the_run() -> None:
    function = Function()

    function.answer("POST", "/reconcile", query={"dry_run": "true", "force": "true"})

    assert function.asked_for == [RunOptions(trigger=Trigger.HTTP, dry_run=True, force=True)]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"query": {"dry": "true"}}, "unknown query parameter 'dry'; there are dry_run and force"),
        ({"query": {"force": "1"}}, "query parameter force must be true or false, not '1'"),
        ({"body": '{"force": true}'}, "the request must have no body: dry_run and force are query parameters"),
    ],
    ids=["unknown parameter", "malformed parameter", "body"],
)
def test_request_that_is_not_understood_starts_no_run(more: dict[str, Any], message: str) -> None:
    function = Function()

    answered = function.answer("POST", "/reconcile", **more)

    refusal = {"error": "INVALID_REQUEST", "message": message}
    assert (answered, function.asked_for) == (expected(400, refusal), [])


def test_health_says_only_that_the_process_answers() -> None:
    function = Function(faults={"irm": "down"})

    assert function.answer("GET", "/healthz") == expected(200, {"status": "ok"})


def test_readiness_with_nothing_to_say_is_ready() -> None:
    assert Function().answer("GET", "/readyz") == expected(200, {"status": "ready"})


def test_readiness_names_what_cannot_be_reached() -> None:
    faults = {"alertmanager": "refused", "irm": "HTTP 403"}

    answered = Function(faults=faults).answer("GET", "/readyz")

    assert answered == expected(503, {"status": "not ready", "faults": faults})


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/reconcile", "POST"),
        ("PUT", "/reconcile", "POST"),
        ("POST", "/healthz", "GET"),
        ("HEAD", "/healthz", "GET"),
        ("POST", "/readyz", "GET"),
    ],
)
def test_wrong_method_names_the_right_one(method: str, path: str, allowed: str) -> None:
    function = Function()

    answered = function.answer(method, path)

    refusal = {"error": "METHOD_NOT_ALLOWED", "message": f"{path} takes {allowed} only"}
    assert (answered, function.asked_for) == (expected(405, refusal, Allow=allowed), [])


@pytest.mark.parametrize("path", ["/", "/reconcile/now", "/RECONCILE", "/" + "x" * 200])
def test_unknown_path_names_those_there_are(path: str) -> None:
    paths = ", ".join(dict.fromkeys(route.path for route in ROUTES))

    message = f"there is no {path[:100]}; there are {paths}"
    assert Function().answer("POST", path) == expected(404, {"error": "NOT_FOUND", "message": message})


def test_other_routes_are_answered_by_what_knows_them() -> None:
    answered = Function().answer("GET", "/reconciliation/jobs")

    assert answered == expected(200, {"jobs": [], "pagination": {"page_size": 50, "next_cursor": None}})


def test_answer_that_is_no_json_says_what_it_is() -> None:
    answered = Function().answer("GET", "/metrics")

    assert answered == {
        "statusCode": 200,
        "headers": {**HEADERS, "Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
        "body": "alertmanager_sync_reconciliation_total 0.0\n",
    }
