"""Filters and paging of the fake Grafana IRM's lists, with the quirks a real engine was seen to have.

The filter's words differ from the JSON's, unknown parameters do nothing, a page past the last is the last one again,
and `next` names the host that the server believes to be.
"""

import math
import urllib.parse
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from tests.support.fake_irm_model import AlertGroup
from tests.support.fake_irm_state import IrmState

Query = Sequence[tuple[str, str]]
T = TypeVar("T")

_STATE_OF_FILTER_WORD = {
    "new": "firing",
    "acknowledged": "acknowledged",
    "resolved": "resolved",
    "silenced": "silenced",
}
_DEFAULT_PAGE_SIZE = 50
_LARGEST_PAGE_SIZE_ADMITTED_TO = 100
_HOSTED_LOOKS_BACK = timedelta(days=30)


class InvalidFilterError(Exception):
    """A parameter that IRM answers with 400; `body` is what it says."""

    def __init__(self, body: dict[str, Any]) -> None:
        super().__init__(str(body))
        self.body = body


def filtered(state: IrmState, query: Query) -> list[AlertGroup]:
    """Return the alert groups that the parameters ask for, newest first. Raises InvalidFilterError."""
    wanted_state = _wanted_state(_last(query, "state"))
    start, end = _wanted_range(_last(query, "started_at"), state)
    team = _wanted_team(_last(query, "team_id"), state)
    labels = _wanted_labels(query)
    same = [(name, _last(query, name)) for name in ("id", "integration_id", "route_id")]
    return [
        group
        for group in state.alert_groups()
        if (wanted_state is None or group.state == wanted_state)
        and start <= group.created_at <= end
        and (team is None or (group.team_id or "null") == team)
        and all(not value or getattr(group, name) == value for name, value in same)
        and all(group.labels.get(key) == value for key, value in labels)
    ]


def page(items: Sequence[T], query: Query, *, url: str, serialise: Callable[[T], bytes]) -> bytes:
    """Return the body of one page: the items that `page` and `perpage` ask for, and what IRM says about the paging."""
    size = _positive(_last(query, "perpage"), otherwise=_DEFAULT_PAGE_SIZE)
    pages = max(1, math.ceil(len(items) / size))
    number = min(_positive(_last(query, "page"), otherwise=1), pages)
    following = _url_of_page(url, query, number + 1) if number < pages else "null"
    preceding = _url_of_page(url, query, number - 1) if number > 1 else "null"
    head = f'{{"count":{len(items)},"next":{following},"previous":{preceding},"results":['
    # The size is reported as 100 at most, although any number of rows is served.
    size_told = min(size, _LARGEST_PAGE_SIZE_ADMITTED_TO)
    tail = f'],"page_size":{size_told},"current_page_number":{number},"total_pages":{pages}}}'
    rows = map(serialise, items[(number - 1) * size : number * size])
    return head.encode() + b",".join(rows) + tail.encode()


def _last(query: Query, name: str) -> str | None:
    """Return the value of a parameter; of a repeated one the last, as Django does."""
    return next((value for key, value in reversed(query) if key == name), None)


def _positive(text: str | None, *, otherwise: int) -> int:
    number = int(text) if text is not None and text.isdigit() else 0
    return number or otherwise


def _wanted_state(word: str | None) -> str | None:
    if not word:
        return None
    if word.lower() not in _STATE_OF_FILTER_WORD:
        raise InvalidFilterError({"state": "Must be one of the following: new, acknowledged, resolved, silenced"})
    return _STATE_OF_FILTER_WORD[word.lower()]


def _wanted_range(value: str | None, state: IrmState) -> tuple[datetime, datetime]:
    first, last = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    if not value:
        return (state.clock.now() - _HOSTED_LOOKS_BACK if state.is_hosted else first), last
    try:
        start, end = (datetime.strptime(part, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC) for part in value.split("_"))
    except ValueError:
        raise InvalidFilterError({"detail": "Invalid range value"}) from None
    if start > end:
        raise InvalidFilterError({"detail": "Invalid range value"})
    return start, end


def _wanted_team(value: str | None, state: IrmState) -> str | None:
    if value and value != "null" and value not in state.teams:
        message = "Select a valid choice. That choice is not one of the available choices."
        raise InvalidFilterError({"team_id": [message]})
    return value or None


def _wanted_labels(query: Query) -> list[tuple[str, str]]:
    """Return the label filters. One without exactly one colon is dropped without a word, so everything matches it."""
    pairs: Iterable[list[str]] = (value.split(":") for key, value in query if key == "label")
    return [(pair[0], pair[1]) for pair in pairs if len(pair) == 2]


def _url_of_page(url: str, query: Query, number: int) -> str:
    kept = [(key, value) for key, value in query if key != "page"]
    parameters = sorted([*kept, ("page", str(number))] if number > 1 else kept, key=lambda pair: pair[0])
    return f'"{url}?{urllib.parse.urlencode(parameters)}"' if parameters else f'"{url}"'
