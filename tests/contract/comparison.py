"""How an answer of the fake Grafana IRM is compared with the recorded one.

Exactly: the status, the headers a client may act on, messages, pages, integrations, the paging of a list. By keys and
types: alert groups and notes, except for the values that say which one it is and what became of it.
"""

import contextlib
import http.client
import json
import urllib.parse
from dataclasses import dataclass
from typing import Any

from tests.contract.recorded_lab import RecordedLab
from tests.support.recordings import Recording

_COMPARED_HEADERS = ("Content-Type", "Allow", "Retry-After", "RateLimit-Reset")
_EXACT_OF_A_GROUP = ("id", "state", "title")
_EXACT_OF_A_NOTE = ("alert_group_id", "author", "source", "text")
_ROWS = b'"results":['


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """An answer, reduced to what is compared."""

    status: int
    headers: dict[str, str | None]
    has_body: bool
    body: object


def answered(lab: RecordedLab, recording: Recording) -> Seen:
    """Send the recorded request with the token it was sent with."""
    sent = {name: value for name, value in recording.request_headers if name != "Authorization"}
    authorization = lab.authorization(recording)
    if authorization is not None:
        sent["Authorization"] = authorization
    host = urllib.parse.urlsplit(lab.url).netloc
    with contextlib.closing(http.client.HTTPConnection(host, timeout=10)) as connection:
        connection.request(recording.method, recording.target, body=recording.request_body, headers=sent)
        response = connection.getresponse()
        return _reduced(recording, response.status, dict(response.getheaders()), response.read())


def recorded(recording: Recording) -> Seen:
    return _reduced(recording, recording.status, dict(recording.headers), recording.body)


def shape(value: Any) -> Any:
    """Return the keys and the types of the values, all the way down."""
    if isinstance(value, dict):
        return {key: shape(part) for key, part in value.items()}
    return [shape(part) for part in value] if isinstance(value, list) else type(value).__name__


def _reduced(recording: Recording, status: int, headers: dict[str, str], body: bytes) -> Seen:
    """A body that the recorder cut is compared up to the rows of the list."""
    comparable: object = body.partition(_ROWS)[0] if recording.is_cut else body
    if headers.get("Content-Type") == "application/json" and body and not recording.is_cut:
        comparable = _without_chance(json.loads(body))
    return Seen(
        status=status,
        headers={name: headers.get(name) for name in _COMPARED_HEADERS},
        has_body=headers["Content-Length"] != "0",
        body=comparable,
    )


def _without_chance(value: Any) -> Any:
    """Leave out what differs from run to run: times, ids of notifications, texts of payloads."""
    if isinstance(value, list):
        return [_without_chance(part) for part in value]
    if not isinstance(value, dict):
        return value
    if "last_alert" in value:
        return {**shape(value), **{key: value[key] for key in _EXACT_OF_A_GROUP}}
    if "author" in value:
        return {**shape(value), **{key: value[key] for key in _EXACT_OF_A_NOTE}}
    return {key: _without_chance(part) for key, part in value.items()}
