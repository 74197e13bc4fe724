"""The HTTP routes: which there are, and how a run's result becomes an answer for API Gateway."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from alert_sync.errors import EventError
from alert_sync.events import HttpRequest, RunOptions, http_options
from alert_sync.report import Report, Status

Run = Callable[[RunOptions], Report]
Readiness = Callable[[], Mapping[str, str]]

_STATUS_CODES = {Status.SUCCESS: 200, Status.PARTIAL: 200, Status.REFUSED: 409, Status.FAILED: 500}
_METHODS = {"/reconcile": "POST", "/healthz": "GET", "/readyz": "GET"}


def answer(request: HttpRequest, *, run: Run, faults: Readiness) -> dict[str, Any]:
    """The answer to one request, in API Gateway's shape.

    `run` carries out a reconciliation; `faults` tells what cannot be reached now, by name.
    """
    method = _METHODS.get(request.path)
    if method is None:
        return _json(404, {"message": f"there is no {request.path[:100]}; there are {', '.join(_METHODS)}"})
    if request.method != method:
        return _json(405, {"message": f"{request.path} takes {method} only"}, {"Allow": method})
    if request.path == "/healthz":
        return _json(200, {"status": "ok"})
    if request.path == "/readyz":
        return _readiness(faults())
    try:
        options = http_options(request)
    except EventError as error:
        return _json(400, {"message": str(error)})
    report = run(options)
    return _json(_STATUS_CODES[report.status], report.as_dict())


def _readiness(found: Mapping[str, str]) -> dict[str, Any]:
    if found:
        return _json(503, {"status": "not ready", "faults": dict(found)})
    return _json(200, {"status": "ready"})


def _json(status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    return {
        "statusCode": status,
        "headers": {"Content-Type": "application/json", "Cache-Control": "no-store", **(headers or {})},
        "body": json.dumps(body),
    }
