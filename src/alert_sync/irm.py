"""Grafana IRM's public API (OnCall API v1): listing alert groups, changing them, and the integration's own way in.

Tried on a real OnCall engine. Its quirks that matter here: the list filter calls firing `new`; past the last page the
last one comes again; `next` holds the server's idea of its own host, where a token must not go; a 403 covers every
kind of refused credential; success is an empty 200; and it answers an integration's webhook before it processes it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from urllib.parse import quote

from alert_sync.call import Call, Upstream
from alert_sync.deadline import Deadline
from alert_sync.errors import ContractError
from alert_sync.http_transport import HttpTransport
from alert_sync.irm_payload import UnreadableError, parse_alert_group
from alert_sync.model import AlertGroup, IrmSnapshot
from alert_sync.recall import key_of

PAGE_SIZE = 100
# Twenty pages: more would take the request budget that the changes need.
MOST_RESOLVED = 2_000
# Hosted IRM lists 30 days only unless a range is given. Nothing it holds is older than the product.
_BEGINNING = datetime(2015, 1, 1, tzinfo=UTC)
_OPEN_FILTERS = ("new", "acknowledged", "silenced")

Confirm = Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Integration:
    """Where Alertmanager posts its webhooks. `link` is a secret: whoever knows it can post alerts."""

    id: str
    link: str
    is_customized: bool
    """Its templates for grouping or resolving are not the defaults: a webhook of ours may mean something else."""

    def __repr__(self) -> str:
        return f"Integration({self.id})"


class IrmClient:
    """One Grafana IRM organization, as one user or service account."""

    def __init__(self, transport: HttpTransport, upstream: Upstream) -> None:
        self._transport = transport
        self._upstream = upstream

    def read(self, deadline: Deadline, *, now: datetime) -> IrmSnapshot:
        """Every open alert group, once each, as it was read last.

        Raises:
            UpstreamError: a page could not be read; half a list is no list.
        """
        groups: dict[str, AlertGroup] = {}
        unreadable = 0
        for state in _OPEN_FILTERS:
            for item in self._listed(state, now, deadline):
                try:
                    group = parse_alert_group(item)
                except UnreadableError:
                    unreadable += 1
                else:
                    groups[group.id] = group
        return IrmSnapshot(alert_groups=tuple(groups.values()), unreadable=unreadable)

    def read_open_ids(self, deadline: Deadline, *, now: datetime) -> frozenset[str]:
        """The ids of all open alert groups, and nothing else of them: a second whole snapshot may be 150 MB.

        Raises:
            UpstreamError: a page could not be read.
        """
        items = (item for state in _OPEN_FILTERS for item in self._listed(state, now, deadline))
        return frozenset(item["id"] for item in items if isinstance(item, dict) and isinstance(item.get("id"), str))

    def read_alert_group(self, alert_group_id: str, deadline: Deadline) -> AlertGroup:
        """One alert group as it is now.

        Raises:
            PermanentUpstreamError: with status 404 if it does not exist.
        """
        call = self._call("read alert group", f"/alert_groups/{_quoted(alert_group_id)}/", deadline)
        try:
            return parse_alert_group(self._transport.get_json(call))
        except UnreadableError as error:
            raise ContractError(self._upstream.name, call.operation, str(error)) from None

    def read_integration(self, integration_id: str, deadline: Deadline) -> Integration:
        """The integration's inbound URL and whether its templates are the defaults."""
        call = self._call("read integration", f"/integrations/{_quoted(integration_id)}/", deadline)
        body = self._transport.get_json(call)
        try:
            link, templates = body["link"], body["templates"]
            is_customized = bool(templates["grouping_key"] or templates["resolve_signal"])
        except (KeyError, TypeError):
            raise ContractError(self._upstream.name, call.operation, "the answer lacks link or templates") from None
        if not isinstance(link, str) or not link.startswith(("https://", "http://")):
            raise ContractError(self._upstream.name, call.operation, "link is not a URL")
        return Integration(id=integration_id, link=link, is_customized=is_customized)

    def resolve(self, alert_group_id: str, deadline: Deadline, *, confirm: Confirm) -> None:
        """Resolve through the API. Needs a user's API key."""
        self._act(alert_group_id, "resolve", deadline, confirm)

    def silence(self, alert_group_id: str, seconds: int, deadline: Deadline, *, confirm: Confirm) -> None:
        """Pause escalation for so many seconds, at least 1. Needs a user's API key."""
        self._act(alert_group_id, "silence", deadline, confirm, {"delay": seconds})

    def unresolve(self, alert_group_id: str, deadline: Deadline, *, confirm: Confirm) -> None:
        """Open it again: it pages, but it takes no further webhooks, so that only this API resolves it."""
        self._act(alert_group_id, "unresolve", deadline, confirm)

    def unsilence(self, alert_group_id: str, deadline: Deadline, *, confirm: Confirm) -> None:
        """End its silence in IRM. Needs a user's API key."""
        self._act(alert_group_id, "unsilence", deadline, confirm)

    def read_resolved(
        self, integration_id: str, deadline: Deadline, *, since: datetime, now: datetime
    ) -> tuple[AlertGroup, ...]:
        """Alert groups of one integration that began since then and are resolved: the newest MOST_RESOLVED.

        Raises:
            UpstreamError: a page could not be read.
        """
        wanted = {"integration_id": integration_id, "started_at": _range(since, now)}
        items = islice(self._items("resolved", wanted, deadline), MOST_RESOLVED)
        return tuple({group.id: group for group in _readable(items)}.values())

    def find_open(self, integration_id: str, keys: Collection[str], deadline: Deadline) -> frozenset[str]:
        """Which of these keys (recall.key_of) an open alert group has. Newest first, and no further than needed.

        Raises:
            UpstreamError: a page could not be read.
        """
        wanted = set(keys)
        query = {"integration_id": integration_id, "started_at": _range(_BEGINNING, datetime.now(UTC))}
        for group in _readable(item for state in _OPEN_FILTERS for item in self._items(state, query, deadline)):
            wanted.discard(key_of(group))
            if not wanted:
                break
        return frozenset(keys) - wanted

    def add_note(self, alert_group_id: str, text: str, deadline: Deadline) -> None:
        """Leave a resolution note in the alert group's timeline."""
        body = {"alert_group_id": alert_group_id, "text": text}
        self._transport.post(
            self._call("add resolution note", "/resolution_notes/", deadline, method="POST", json_body=body)
        )

    def check(self, deadline: Deadline, *, now: datetime) -> None:
        """Ask for one alert group, which shows that the URL and the token are good for reading."""
        self._page("new", 1, 1, {"started_at": _range(_BEGINNING, now)}, deadline)

    def _act(self, alert_group_id: str, action: str, deadline: Deadline, confirm: Confirm, body: object = None) -> None:
        path = f"/alert_groups/{_quoted(alert_group_id)}/{action}/"
        call = self._call(f"{action} alert group", path, deadline, method="POST", json_body=body, confirm=confirm)
        self._transport.post(call)

    def _listed(self, state: str, now: datetime, deadline: Deadline) -> Iterator[Any]:
        return self._items(state, {"started_at": _range(_BEGINNING, now)}, deadline)

    def _items(self, state: str, wanted: Mapping[str, str], deadline: Deadline) -> Iterator[Any]:
        """The items of all pages of one state; some twice, if the list changes while it is read."""
        page, has_next, count = 1, True, 0
        while has_next:
            body = self._page(state, page, PAGE_SIZE, wanted, deadline)
            yield from body["results"]
            gone, count = count - _count(body), _count(body)
            if gone > 0:  # what followed them has moved up, onto pages that were read already
                page, has_next = max(1, page - math.ceil(gone / PAGE_SIZE)), True
                continue
            # Past its end the list shrank while it was read, and the server answers with its last page again.
            has_next = body["next"] is not None and body.get("current_page_number", page) == page
            page += 1

    def _page(self, state: str, page: int, size: int, wanted: Mapping[str, str], deadline: Deadline) -> dict[str, Any]:
        query = {"state": state, "page": page, "perpage": size, **wanted}
        call = self._call(f"list {state} alert groups, page {page}", "/alert_groups/", deadline, query=query)
        body = self._transport.get_json(call)
        if not isinstance(body, dict) or not isinstance(body.get("results"), list) or "next" not in body:
            raise ContractError(self._upstream.name, call.operation, "the answer lacks results or next")
        return body

    def _call(self, operation: str, path: str, deadline: Deadline, **more: Any) -> Call:
        return Call(upstream=self._upstream, operation=operation, path=f"/api/v1{path}", deadline=deadline, **more)


def _count(body: Mapping[str, Any]) -> int:
    """How many items the list had when this page was made; 0 if the answer does not tell."""
    count = body.get("count")
    return count if isinstance(count, int) else 0


def _readable(items: Iterable[Any]) -> Iterator[AlertGroup]:
    """The items that are alert groups; one without an id can be nobody's answer."""
    for item in items:
        try:
            yield parse_alert_group(item)
        except UnreadableError:
            continue


def _range(since: datetime, now: datetime) -> str:
    """Up to a day ahead, in case the server's clock is. IRM refuses a range without an end."""
    return f"{since:%Y-%m-%dT%H:%M:%S}_{now + timedelta(days=1):%Y-%m-%dT%H:%M:%S}"


def _quoted(text: str) -> str:
    """An id as one segment of a path."""
    return quote(text, safe="")
