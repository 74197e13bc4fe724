"""Which kind of event started the function, and what it asks for. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from alert_sync.errors import EventError
from alert_sync.report import Trigger

_SCHEDULERS = ("aws.scheduler", "aws.events")
_OPTIONS = ("dry_run", "force")
_WORDS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """An invocation that asks for a run."""

    trigger: Trigger
    dry_run: bool = False
    force: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """A request that came in through API Gateway, payload format 2.0."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    has_body: bool = False


def parse_event(event: Any) -> RunOptions | HttpRequest:
    """Recognize an EventBridge schedule or rule, an HTTP API request, or a plain object of options.

    Raises:
        EventError: it is none of these, or holds an option that does not exist or is of the wrong type.
    """
    if not isinstance(event, dict):
        raise EventError(f"the event must be a JSON object, not {type(event).__name__}; {_EXPECTED}")
    if event.get("source") in _SCHEDULERS:
        return _scheduled(event)
    if isinstance(event.get("requestContext"), dict) and "http" in event["requestContext"]:
        return _http_request(event)
    return _plain_options(event)


def http_options(request: HttpRequest) -> RunOptions:
    """What `POST /reconcile` asks for.

    Raises:
        EventError: an unknown parameter, a value that is not true or false, or a body, which would go unread.
    """
    if request.has_body:
        raise EventError("the request must have no body: dry_run and force are query parameters")
    values = {}
    for name, text in request.query.items():
        if name not in _OPTIONS:
            raise EventError(f"unknown query parameter {name[:60]!r}; there are dry_run and force")
        if text not in _WORDS:
            raise EventError(f"query parameter {name} must be true or false, not {text[:60]!r}")
        values[name] = _WORDS[text]
    return RunOptions(trigger=Trigger.HTTP, **values)


_EXPECTED = "expected an EventBridge schedule, an API Gateway HTTP API request (payload 2.0), or {dry_run, force}"


def _scheduled(event: Mapping[str, Any]) -> RunOptions:
    for name in _OPTIONS:
        if name in event:
            # Ignored, a wish for a dry run would be a run that writes.
            raise EventError(f'{name} has no effect in a scheduled event: send {{"{name}": true}} alone')
    return RunOptions(trigger=Trigger.SCHEDULE)


def _plain_options(event: Mapping[str, Any]) -> RunOptions:
    for name, value in event.items():
        if name not in _OPTIONS:
            raise EventError(f"unknown key {str(name)[:60]!r} in the event; {_EXPECTED}")
        if not isinstance(value, bool):
            raise EventError(f"{name} must be true or false, not {type(value).__name__}")
    return RunOptions(trigger=Trigger.INVOKE, **event)


def _http_request(event: Mapping[str, Any]) -> HttpRequest:
    http = event["requestContext"]["http"]
    try:
        method, path = str(http["method"]).upper(), str(event.get("rawPath") or http["path"])
    except (KeyError, TypeError):
        raise EventError("the API Gateway event lacks requestContext.http.method or rawPath") from None
    query = event.get("queryStringParameters") or {}
    if not isinstance(query, dict) or not all(isinstance(text, str) for text in query.values()):
        raise EventError("queryStringParameters of the API Gateway event must be an object of texts")
    # Clients that cannot send an empty body send {}, in this spelling or in base64.
    has_body = event.get("body") not in (None, "", "{}", "e30=")
    return HttpRequest(method=method, path=path.rstrip("/") or "/", query=query, has_body=has_body)
