"""From a request to its answer: which route it is for, and what goes back when it cannot be done."""

from __future__ import annotations

from collections.abc import Sequence

from alert_sync.asking.answers import Answer, error_answer
from alert_sync.asking.context import Context
from alert_sync.asking.endpoints import MemoryDisabledError
from alert_sync.asking.requests import InvalidRequestError, understood
from alert_sync.asking.routes import ROUTES
from alert_sync.errors import (
    ConfigurationError,
    ConflictError,
    EventError,
    PostponedError,
    ReconcilerError,
    TransientUpstreamError,
    UpstreamError,
)
from alert_sync.events import HttpRequest
from alert_sync.memory.archive import UnknownRecordError

_PATH_LENGTH = 100
# The first that fits.
_REFUSALS: tuple[tuple[type[ReconcilerError], int, str], ...] = (
    (EventError, 400, "INVALID_REQUEST"),
    (MemoryDisabledError, 503, "MEMORY_DISABLED"),
    (ConfigurationError, 503, "NOT_CONFIGURED"),
    (ConflictError, 409, "CONFLICT"),
    (TransientUpstreamError, 503, "UPSTREAM_UNAVAILABLE"),
    (PostponedError, 503, "UPSTREAM_UNAVAILABLE"),
    (UpstreamError, 502, "UPSTREAM_FAILED"),
    (ReconcilerError, 500, "FAILED"),
)


def answer(request: HttpRequest, context: Context) -> Answer:
    """The answer to one request. Foreseen failures are answers, too."""
    routes = [route for route in ROUTES if route.placed_in(request.path) is not None]
    if not routes:
        return _no_such_path(request.path)
    route = next((each for each in routes if each.method == request.method), None)
    if route is None or route.endpoint is None:
        return _wrong_method(request.path, [each.method for each in routes])
    try:
        return route.endpoint(understood(route, request), context)
    except ReconcilerError as error:
        return _refusal(error)


def _no_such_path(path: str) -> Answer:
    paths = dict.fromkeys(route.path for route in ROUTES)
    return error_answer(404, "NOT_FOUND", f"there is no {path[:_PATH_LENGTH]}; there are {', '.join(paths)}")


def _wrong_method(path: str, methods: Sequence[str]) -> Answer:
    allowed = ", ".join(methods)
    return error_answer(
        405, "METHOD_NOT_ALLOWED", f"{path[:_PATH_LENGTH]} takes {allowed} only", headers={"Allow": allowed}
    )


def _refusal(error: ReconcilerError) -> Answer:
    if isinstance(error, InvalidRequestError):
        return error_answer(400, error.code, str(error))
    if isinstance(error, UnknownRecordError):
        return error_answer(404, f"{error.kind.upper().replace(' ', '_')}_NOT_FOUND", str(error))
    status, code = next((status, code) for kind, status, code in _REFUSALS if isinstance(error, kind))
    return error_answer(status, code, str(error))
