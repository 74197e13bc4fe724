"""Lists of what is remembered, newest first, a stretch of the table at a time. Pure, but for what it is given to read.

A sparse filter does not make one request read the whole table: its list is then short, and says where to go on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Generic, Protocol, TypeVar

from alert_sync.recall import new_id

_MOST_QUERIES = 10
_FILTERED_QUERY_ITEMS = 100


class Record(Protocol):
    """What lists are made of. Ids begin with the time, so that their order is that of time."""

    @property
    def id(self) -> str: ...


T = TypeVar("T", bound=Record)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which records to list: at most `limit`, from the newest.

    Args:
        limit: how many at most.
        filters: the value that each of these fields of a record must have.
        before: only records whose id is less; the `next_before` of an earlier list goes on where that ended.
        oldest: only records whose id is at least this.
    """

    limit: int
    filters: Mapping[str, str] = field(default_factory=dict)
    before: str = ""
    oldest: str = ""

    @property
    def query_items(self) -> int:
        """How many records to read at once: where all are wanted, no more than are."""
        return max(self.limit, _FILTERED_QUERY_ITEMS) if self.filters else self.limit

    def accepts(self, record: object) -> bool:
        return all(getattr(record, name) == value for name, value in self.filters.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed(Generic[T]):
    """Records, newest first. `next_before` is empty when there are no more."""

    records: tuple[T, ...] = ()
    next_before: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch(Generic[T]):
    """All records from where it was asked for down to `reached`; empty: down to the oldest."""

    records: Sequence[T]
    reached: str


def moment_id(moment: datetime) -> str:
    """What the ids of that millisecond begin with: it comes before them, and after all that are older."""
    return new_id(moment.astimezone(UTC)).partition("-")[0]


def collected(read: Callable[[str], Stretch[T]], wanted: Wanted, *, queries_each: int) -> Listed[T]:
    """Stretch after stretch, until there are enough records, or no more, or reading on would take too long."""
    found: list[T] = []
    before = wanted.before
    for _ in range(_MOST_QUERIES // queries_each):
        stretch = read(before)
        for record in stretch.records:
            if record.id < wanted.oldest:
                return Listed(records=tuple(found))
            if not wanted.accepts(record):
                continue
            if len(found) == wanted.limit:
                return Listed(records=tuple(found), next_before=found[-1].id)
            found.append(record)
        before = stretch.reached
        if len(found) == wanted.limit or not before:
            break
    return Listed(records=tuple(found), next_before=before)
