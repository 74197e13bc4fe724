"""Which kind of event started the function, and what it asks for. Pure."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from alert_sync.errors import EventError
from alert_sync.report import Trigger
from alert_sync.wording import one_line

ID_PATTERN = "[0-9]{8}T[0-9]{6}\\.[0-9]{3}Z-[0-9a-f]{12}"
"""What the id of a job, a mismatch or an entry of the audit trail looks like."""

_SCHEDULERS = ("aws.scheduler", "aws.events")
_OPTIONS = ("dry_run", "force")
_WORDS = {"true": True, "false": False}
_CALLER_LENGTH = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """An invocation that asks for a run. `job_id` is that of the job that a request has queued, if one has.

    `who` is the ARN of whoever signed the request for it; empty where that is not known.
    """

    trigger: Trigger
    dry_run: bool = False
    force: bool = False
    job_id: str = ""
    who: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """A request that came in through API Gateway, payload format 2.0.

    `caller` is the ARN of whoever signed it; empty where nobody had to. Bytes of the body that are no UTF-8 are lone
    surrogates in `body`.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: str = field(default="", repr=False)
    caller: str = ""

    @property
    def has_body(self) -> bool:
        """Whether it says anything: clients that cannot send an empty body send {}."""
        return self.body not in ("", "{}")


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
    return RunOptions(
        trigger=Trigger.HTTP,
        dry_run=values.get("dry_run", False),
        force=values.get("force", False),
        who=request.caller,
    )


_EXPECTED = "expected an EventBridge schedule, an API Gateway HTTP API request (payload 2.0), or {dry_run, force}"


def _scheduled(event: Mapping[str, Any]) -> RunOptions:
    for name in _OPTIONS:
        if name in event:
            # Ignored, a wish for a dry run would be a run that writes.
            raise EventError(f'{name} has no effect in a scheduled event: send {{"{name}": true}} alone')
    return RunOptions(trigger=Trigger.SCHEDULE)


def _plain_options(event: Mapping[str, Any]) -> RunOptions:
    options = dict(event)
    job_id = options.pop("job_id", "")
    for name, value in options.items():
        if name not in _OPTIONS:
            raise EventError(f"unknown key {str(name)[:60]!r} in the event; {_EXPECTED}")
        if not isinstance(value, bool):
            raise EventError(f"{name} must be true or false, not {type(value).__name__}")
    if "job_id" not in event:
        return RunOptions(trigger=Trigger.INVOKE, **options)
    if not isinstance(job_id, str) or not re.fullmatch(ID_PATTERN, job_id):
        raise EventError("job_id must be the id of a job that POST /reconciliation/trigger has queued")
    return RunOptions(trigger=Trigger.HTTP, job_id=job_id, **options)


def _http_request(event: Mapping[str, Any]) -> HttpRequest:
    http = event["requestContext"]["http"]
    try:
        method, path = str(http["method"]).upper(), str(event.get("rawPath") or http["path"])
    except (KeyError, TypeError):
        raise EventError("the API Gateway event lacks requestContext.http.method or rawPath") from None
    query = event.get("queryStringParameters") or {}
    if not isinstance(query, dict) or not all(isinstance(text, str) for text in query.values()):
        raise EventError("queryStringParameters of the API Gateway event must be an object of texts")
    return HttpRequest(
        method=method, path=path.rstrip("/") or "/", query=query, body=_body(event), caller=_caller(event)
    )


def _body(event: Mapping[str, Any]) -> str:
    body = event.get("body") or ""
    if not isinstance(body, str):
        raise EventError(f"body of the API Gateway event must be a text, not {type(body).__name__}")
    if not event.get("isBase64Encoded"):
        return body
    try:
        return b64decode(body, validate=True).decode(errors="surrogateescape")
    except (binascii.Error, ValueError):
        raise EventError("body of the API Gateway event is not the base64 that it says it is") from None


def _caller(event: Mapping[str, Any]) -> str:
    """API Gateway writes this, never the caller."""
    place: Any = event["requestContext"]
    for name in ("authorizer", "iam", "userArn"):
        place = place.get(name) if isinstance(place, dict) else None
    return one_line(place, _CALLER_LENGTH) if isinstance(place, str) else ""
