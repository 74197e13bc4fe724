"""Fields of other systems' JSON, taken for what they should be or not at all. Pure; the two clients' parsers use it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

# What an object raises that is not shaped as its parser expects. OverflowError: a time at the edge of the calendar, in
# another zone than UTC.
FIELD_FAULTS = (KeyError, TypeError, ValueError, AttributeError, OverflowError)


def text_field(value: Any) -> str:
    """The text itself.

    Raises:
        TypeError: it is none.
    """
    if not isinstance(value, str):
        raise TypeError("a text is missing or of another type")
    return value


def time_field(value: Any) -> datetime:
    """An ISO 8601 time as aware UTC.

    Raises:
        TypeError, ValueError, OverflowError: it is none, lacks its zone, or UTC has no such time.
    """
    time = datetime.fromisoformat(text_field(value))
    if time.tzinfo is None:
        raise ValueError("a time without its zone")
    return time.astimezone(UTC)
