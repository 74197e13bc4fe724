"""The parameters and bodies that the routes take, and what each stands for. Pure."""

from __future__ import annotations

import binascii
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from alert_sync.asking.json_schema import Schema
from alert_sync.events import ID_PATTERN
from alert_sync.memory.listing import moment_id
from alert_sync.model import Verdict
from alert_sync.recall import KIND, JobStatus, ResolutionStatus

KINDS = (KIND,)
MISMATCH_TYPES = (Verdict.SILENCED, Verdict.GONE, Verdict.MISSING, Verdict.FIRING)
DECISIONS = (ResolutionStatus.MANUAL_RESOLVED, ResolutionStatus.IGNORED)
NOTES_LENGTH = 1_000

_EXAMPLE_ID = "20260102T030405.678Z-0123456789ab"
# No other millennium: its years have other lengths in ids.
_TIME = "2[0-9]{3}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:[0-9]{2}))?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One part of the path, or of the query.

    `meaning` turns a value that the schema allows into what the routes work with; it raises ValueError if there is no
    such thing after all.
    """

    name: str
    description: str
    schema: Schema
    place: str = "query"
    meaning: Callable[[Any], Any] = lambda value: value


def one_of(name: str, description: str, values: tuple[str, ...]) -> Parameter:
    """A filter on a field that has few values."""
    return Parameter(name=name, description=description, schema={"type": "string", "enum": _plain(values)})


def text_filter(name: str, description: str) -> Parameter:
    """A filter on a field that anything may be in: the whole of it has to be the same."""
    schema = _text(r"^[^\x00-\x1f\x7f]+$", 300, "a text of 1 to 300 characters without control characters")
    return Parameter(name=name, description=description, schema=schema)


def id_of(name: str, what: str) -> Parameter:
    """The id of one of our own records."""
    return Parameter(name=name, description=f"id of {what}", schema=ID_SCHEMA)


def in_path(parameter: Parameter) -> Parameter:
    """The same, as a part of the path."""
    return replace(parameter, place="path")


def cursor_after(record_id: str) -> str | None:
    """Where the next list goes on; None if there is no next one."""
    return urlsafe_b64encode(record_id.encode()).decode().rstrip("=") if record_id else None


def _id_in_cursor(cursor: str) -> str:
    try:
        record_id = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        raise ValueError(cursor) from None
    if not re.fullmatch(ID_PATTERN, record_id):
        raise ValueError(record_id)
    return record_id


def _id_at(time: str) -> str:
    """A date alone is its midnight, UTC."""
    moment = datetime.fromisoformat(time)
    return moment_id(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def _plain(values: tuple[str, ...]) -> list[str]:
    return [value.value if isinstance(value, StrEnum) else value for value in values]


def _text(pattern: str, length: int, expected: str) -> dict[str, Any]:
    return {"type": "string", "pattern": pattern, "maxLength": length, "description": expected}


def _switch(name: str, description: str) -> Parameter:
    return Parameter(name=name, description=description, schema={"type": "boolean", "default": False})


_TIME_SCHEMA = _text(f"^{_TIME}$", 32, "a date, or a time with its offset, like 2026-01-02 or 2026-01-02T03:04:05Z")
ID_SCHEMA = _text(f"^{ID_PATTERN}$", 33, f"an id like {_EXAMPLE_ID}")

ALERT_GROUP_ID = Parameter(
    name="alert_group_id",
    description="id of an alert group in Grafana IRM",
    schema=_text("^[A-Za-z0-9_-]+$", 64, "the id of an alert group like I68T24C13IFW1"),
)
LIMIT = Parameter(
    name="limit",
    description="how many entries at most",
    schema={"type": "integer", "minimum": 1, "maximum": 100, "default": 50},
)
CURSOR = Parameter(
    name="cursor",
    description="where to go on: the `next_cursor` of the previous answer, with the same filters",
    schema=_text("^[A-Za-z0-9_-]+$", 64, "the next_cursor of an earlier answer"),
    meaning=_id_in_cursor,
)
FROM_DATE = Parameter(name="from_date", description="nothing older than this", schema=_TIME_SCHEMA, meaning=_id_at)
TO_DATE = Parameter(name="to_date", description="only what is older than this", schema=_TIME_SCHEMA, meaning=_id_at)
PAGING = (FROM_DATE, TO_DATE, LIMIT, CURSOR)
JOB_STATUS = one_of("status", "where the job stands", tuple(JobStatus))
RESOLUTION_STATUS = one_of("resolution_status", "what became of the mismatch", tuple(ResolutionStatus))
MISMATCH_TYPE = one_of("type", "the verdict", MISMATCH_TYPES)
KIND_FILTER = one_of("kind", "the kind of reconciliation", KINDS)
DRY_RUN = _switch("dry_run", "plan and report, write nothing")
FORCE = _switch("force", "lift the limits on the size of a plan for this run")

TRIGGER_BODY: Mapping[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "kinds": {
            "type": "array",
            "maxItems": 10,
            "description": "which kinds of reconciliation to run; none means all",
            "items": _text("^[^\\x00-\\x1f\\x7f]*$", 60, f"a kind of reconciliation: {', '.join(KINDS)}"),
        },
        "dry_run": {**DRY_RUN.schema, "description": DRY_RUN.description},
        "force": {**FORCE.schema, "description": FORCE.description},
    },
}
RESOLVE_BODY: Mapping[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["resolution_status"],
    "properties": {
        "resolution_status": {
            "type": "string",
            "enum": _plain(tuple(ResolutionStatus)),
            "description": f"{' or '.join(DECISIONS)}; the others are for runs to decide",
        },
        "resolution_notes": _text(
            "^[^\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f]*$",
            NOTES_LENGTH,
            f"a text of at most {NOTES_LENGTH} characters, without control characters but newlines and tabs",
        ),
    },
}
