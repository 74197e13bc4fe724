"""From a request to what it asks for, or to one sentence that says what is wrong with it. Pure.

Whatever is unknown is refused: a filter with a misspelled name would otherwise list everything.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from alert_sync.asking.endpoints import Asked
from alert_sync.asking.json_schema import fault_of, value_of
from alert_sync.asking.parameters import Parameter
from alert_sync.asking.routes import Route
from alert_sync.errors import EventError
from alert_sync.events import HttpRequest

_MOST_CHARACTERS = 16_384


class InvalidRequestError(EventError):
    """A parameter or the body is not as the route takes it; `code` says which of the two."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def understood(route: Route, request: HttpRequest) -> Asked:
    """What the request, which is for this route, asks of it.

    Raises:
        InvalidRequestError: a parameter or the body is unknown or malformed.
    """
    taken = [parameter.name for parameter in route.parameters if parameter.place == "query"]
    for name in request.query:
        if name not in taken:
            known = f"there are {', '.join(taken)}" if taken else "there are none"
            raise InvalidRequestError("INVALID_PARAMETER", f"unknown query parameter {name[:60]!r}; {known}")
    sent = {**request.query, **(route.placed_in(request.path) or {})}
    return Asked(
        parameters={name: value for each in route.parameters for name, value in _read(each, sent).items()},
        body=_body(route, request),
        caller=request.caller,
    )


def _read(parameter: Parameter, sent: Mapping[str, str]) -> Mapping[str, Any]:
    """Its meaning by its name; nothing where it was not sent and has no default."""
    name, schema = parameter.name, parameter.schema
    if name not in sent:
        return {name: schema["default"]} if "default" in schema else {}
    value = value_of(sent[name], schema)
    fault = fault_of(value, schema, _called(parameter))
    if fault:
        raise InvalidRequestError("INVALID_PARAMETER", fault)
    try:
        return {name: parameter.meaning(value)}
    except (ValueError, OverflowError):
        message = f"{_called(parameter)} must be {schema['description']}, not {sent[name]!r}"
        raise InvalidRequestError("INVALID_PARAMETER", message) from None


def _called(parameter: Parameter) -> str:
    return f"{'query parameter ' if parameter.place == 'query' else ''}{parameter.name}"


def _body(route: Route, request: HttpRequest) -> Mapping[str, Any]:
    if route.body is None:
        if request.has_body:
            raise InvalidRequestError("INVALID_BODY", f"{request.method} {route.path} takes no body")
        return {}
    body = _parsed(request.body) if request.has_body else {}
    fault = fault_of(body, route.body, "the body")
    if fault:
        raise InvalidRequestError("INVALID_BODY", fault)
    return dict(body)


def _parsed(body: str) -> Any:
    if len(body) > _MOST_CHARACTERS:
        raise InvalidRequestError("INVALID_BODY", f"the body must have at most {_MOST_CHARACTERS} characters")
    try:
        value = json.loads(body, parse_constant=_refuse)
        # Half of a surrogate pair is valid in JSON, and no text that could be kept.
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise InvalidRequestError("INVALID_BODY", "the body must be JSON in UTF-8") from None
    return value


def _refuse(constant: str) -> None:
    """NaN and Infinity, which only Python takes for JSON."""
    raise ValueError(constant)
