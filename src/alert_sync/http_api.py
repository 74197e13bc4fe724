"""The HTTP routes: which there are, and how a run's result becomes an answer for API Gateway.

What is asked beside a run is answered by the package `asking`, which is loaded when somebody asks: a scheduled run
never pays for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from alert_sync.errors import EventError
from alert_sync.events import HttpRequest, RunOptions, http_options
from alert_sync.report import Report, Status

if TYPE_CHECKING:
    from alert_sync.asking.context import Context

Run = Callable[[RunOptions], Report]
Readiness = Callable[[], Mapping[str, str]]

_STATUS_CODES = {
    Status.SUCCESS: 200,
    Status.PARTIAL: 200,
    Status.REFUSED: 409,
    Status.SKIPPED: 409,
    Status.FAILED: 500,
}


def answer(request: HttpRequest, *, run: Run, faults: Readiness, context: Context) -> dict[str, Any]:
    """The answer to one request, in API Gateway's shape.

    `run` carries out a reconciliation; `faults` tells what cannot be reached now, by name; `context` is what all other
    routes need.
    """
    match request.method, request.path:
        case "POST", "/reconcile":
            return _reconciled(request, run)
        case "GET", "/healthz":
            return _json(200, {"status": "ok"})
        case "GET", "/readyz":
            return _readiness(faults())
    return _asked(request, context)


def _reconciled(request: HttpRequest, run: Run) -> dict[str, Any]:
    try:
        options = http_options(request)
    except EventError as error:
        return _json(400, {"error": "INVALID_REQUEST", "message": str(error)})
    report = run(options)
    return _json(_STATUS_CODES[report.status], report.as_dict())


def _asked(request: HttpRequest, context: Context) -> dict[str, Any]:
    """Paths and methods that there are not are answered there, too: it knows all that there are."""
    from alert_sync.asking.dispatch import answer as asked  # noqa: PLC0415  not before somebody asks

    found = asked(request, context)
    return _answer(found.status, found.text, {"Content-Type": found.content_type, **found.headers})


def _readiness(found: Mapping[str, str]) -> dict[str, Any]:
    if found:
        return _json(503, {"status": "not ready", "faults": dict(found)})
    return _json(200, {"status": "ready"})


def _json(status: int, body: Mapping[str, Any]) -> dict[str, Any]:
    return _answer(status, json.dumps(body), {"Content-Type": "application/json"})


def _answer(status: int, text: str, headers: Mapping[str, str]) -> dict[str, Any]:
    return {"statusCode": status, "headers": {"Cache-Control": "no-store", **headers}, "body": text}
