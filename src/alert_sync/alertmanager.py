"""Reads Alertmanager's API v2: aggregation groups and status of every peer, silences of one. Writes nothing.

Tried against 0.25, 0.28 and 0.33; null status fields are Amazon Managed Prometheus'. Its quirks that matter here:
alerts are not shared between peers (silences are), `/alerts/groups` has no group key, and a restarted server lists
nothing until Prometheus repeats its alerts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from alert_sync.call import Call, Upstream
from alert_sync.deadline import Deadline
from alert_sync.errors import ContractError, UpstreamError
from alert_sync.http_transport import HttpTransport
from alert_sync.json_fields import FIELD_FAULTS, text_field, time_field
from alert_sync.json_stream import iterate_array
from alert_sync.model import (
    AggregationGroup,
    Alert,
    AlertmanagerSnapshot,
    AlertState,
    Peer,
    Silence,
    SilenceState,
)


class AlertmanagerClient:
    """All peers of one cluster, each asked directly."""

    def __init__(self, transport: HttpTransport, peers: tuple[Upstream, ...]) -> None:
        self._transport = transport
        self._peers = peers

    def read(self, deadline: Deadline) -> AlertmanagerSnapshot:
        """Everything Alertmanager holds. Peers are asked one after the other: parallel full lists starve the server.

        Raises:
            UpstreamError: no peer answered both of its calls, or none could list the silences.
        """
        peers = tuple(
            self._read_peer(upstream, deadline.within(deadline.remaining() / (len(self._peers) - position)))
            for position, upstream in enumerate(self._peers)
        )
        if all(peer.fault for peer, _ in peers):
            raise next(error for _, error in peers if error is not None)
        snapshot = AlertmanagerSnapshot(peers=tuple(peer for peer, _ in peers))
        if not any(alert.silenced_by for peer in snapshot.peers for alert in _alerts(peer)):
            return snapshot
        return replace(snapshot, silences=self._silences(snapshot, deadline))

    def read_firing(
        self, receiver: str, group_labels: frozenset[tuple[str, str]], deadline: Deadline
    ) -> Mapping[str, Mapping[str, Any]]:
        """The alerts of an aggregation group that fire and nothing suppresses, by fingerprint, as the API has them.

        `receiver` is escaped as in webhooks, which makes it the pattern that the API takes. Time intervals that mute
        are not told here.

        Raises:
            UpstreamError: no peer answered.
        """
        query = {
            "active": "true",
            "silenced": "false",
            "inhibited": "false",
            "receiver": receiver,
            "filter": [f"{name}={_quoted(value)}" for name, value in sorted(group_labels)],
        }
        found: dict[str, Mapping[str, Any]] = {}
        errors: list[UpstreamError] = []
        for upstream in self._peers:
            operation, path = "list firing alerts", "/api/v2/alerts"
            call = Call(upstream=upstream, operation=operation, path=path, deadline=deadline, query=query)
            try:
                found.update(self._transport.get(call, partial(_parse_firing, call)))
            except UpstreamError as error:
                errors.append(error)
        if len(errors) == len(self._peers):
            raise errors[0]
        return found

    def check(self, deadline: Deadline) -> None:
        """Ask every peer for its status.

        Raises:
            UpstreamError: one of them did not answer.
        """
        for upstream in self._peers:
            self._status(upstream, deadline)

    def _read_peer(self, upstream: Upstream, deadline: Deadline) -> tuple[Peer, UpstreamError | None]:
        """What one peer says. If one call fails the other's answer is kept: an alert it lists may be active."""
        peer, error = Peer(url=upstream.base_url), None
        try:
            groups, unreadable = self._aggregation_groups(upstream, deadline)
            peer = replace(peer, aggregation_groups=groups, unreadable=unreadable)
        except UpstreamError as failure:
            error = failure
        try:
            status, started_at = self._status(upstream, deadline)
            peer = replace(peer, cluster_status=status, started_at=started_at)
        except UpstreamError as failure:
            error = error or failure
        return (replace(peer, fault=str(error)) if error else peer), error

    def _aggregation_groups(self, upstream: Upstream, deadline: Deadline) -> tuple[tuple[AggregationGroup, ...], int]:
        operation, path = "list aggregation groups", "/api/v2/alerts/groups"
        call = Call(upstream=upstream, operation=operation, path=path, deadline=deadline)
        return self._transport.get(call, lambda chunks: _parse_groups(call, chunks))

    def _status(self, upstream: Upstream, deadline: Deadline) -> tuple[str | None, datetime | None]:
        call = Call(upstream=upstream, operation="read status", path="/api/v2/status", deadline=deadline)
        body = self._transport.get_json(call)
        try:
            uptime = body["uptime"]
            return (body["cluster"] or {}).get("status"), None if uptime is None else time_field(uptime)
        except FIELD_FAULTS:
            raise ContractError(upstream.name, call.operation, "the answer lacks uptime or cluster.status") from None

    def _silences(self, snapshot: AlertmanagerSnapshot, deadline: Deadline) -> Mapping[str, Silence]:
        """All silences, from the first peer that can list them: unlike alerts they are shared between peers."""
        error: UpstreamError | None = None
        for upstream, peer in zip(self._peers, snapshot.peers, strict=True):
            if peer.fault:
                continue
            call = Call(upstream=upstream, operation="list silences", path="/api/v2/silences", deadline=deadline)
            try:
                return {silence.id: silence for silence in _parse_silences(call, self._transport.get_json(call))}
            except UpstreamError as failure:
                error = error or failure
        raise error or AssertionError("a snapshot has a peer without fault")


def _alerts(peer: Peer) -> Iterator[Alert]:
    return (alert for group in peer.aggregation_groups for alert in group.alerts)


def _parse_groups(call: Call, chunks: Iterator[bytes]) -> tuple[tuple[AggregationGroup, ...], int]:
    parser = _GroupParser()
    try:
        groups = tuple(group for item in iterate_array(chunks) if (group := parser.parse(item)) is not None)
    except ValueError as error:
        raise ContractError(call.upstream.name, call.operation, f"not the JSON array it should be: {error}") from None
    return groups, parser.unreadable


class _GroupParser:
    """Parses one answer's groups and counts what could not be placed anywhere."""

    def __init__(self) -> None:
        self.unreadable = 0
        # One object per distinct text: 50,000 alerts repeat their label names and most of the values.
        self._texts: dict[str, str] = {}

    def parse(self, item: Any) -> AggregationGroup | None:
        try:
            receiver, labels, alerts = item["receiver"]["name"], item["labels"], item["alerts"]
            pairs = frozenset((text_field(name), text_field(value)) for name, value in labels.items())
            parsed = tuple(alert for each in alerts if (alert := self._alert(each)) is not None)
            return AggregationGroup(receiver=text_field(receiver), group_labels=pairs, alerts=parsed)
        except FIELD_FAULTS:
            self.unreadable += 1
            return None

    def _alert(self, item: Any) -> Alert | None:
        try:
            fingerprint = text_field(item["fingerprint"])
        except FIELD_FAULTS:
            self.unreadable += 1
            return None
        try:
            return self._understood(fingerprint, item)
        except FIELD_FAULTS:
            oldest = datetime.min.replace(tzinfo=UTC)
            return Alert(fingerprint=fingerprint, state=AlertState.UNKNOWN, updated_at=oldest)

    def _understood(self, fingerprint: str, item: Mapping[str, Any]) -> Alert:
        status = item["status"]
        state = AlertState(status["state"])
        if state is AlertState.UNKNOWN:
            raise ValueError("not a word of Alertmanager's")
        return Alert(
            fingerprint=fingerprint,
            state=state,
            updated_at=time_field(item["updatedAt"]),
            silenced_by=_texts(status["silencedBy"]),
            inhibited_by=_texts(status.get("inhibitedBy")),
            muted_by=_texts(status.get("mutedBy")),
            starts_at=_time_or_none(item.get("startsAt")),
            labels={self._shared(name): self._shared(value) for name, value in item["labels"].items()},
        )

    def _shared(self, value: Any) -> str:
        return self._texts.setdefault(text_field(value), value)


def _parse_firing(call: Call, chunks: Iterator[bytes]) -> dict[str, Mapping[str, Any]]:
    """The complete ones; a half-read alert could not be told to anybody."""
    try:
        return {item["fingerprint"]: item for item in iterate_array(chunks) if _is_complete(item)}
    except ValueError as error:
        raise ContractError(call.upstream.name, call.operation, f"not the JSON array it should be: {error}") from None


def _is_complete(item: Any) -> bool:
    try:
        texts = [item["fingerprint"], item["startsAt"], *item["labels"].values(), *(item["annotations"] or {}).values()]
        return all(isinstance(text, str) for text in texts) and item["status"]["state"] == AlertState.ACTIVE
    except FIELD_FAULTS:
        return False


def _parse_silences(call: Call, body: Any) -> Iterator[Silence]:
    if not isinstance(body, list):
        raise ContractError(call.upstream.name, call.operation, "not the JSON array it should be")
    for item in body:
        try:
            yield Silence(
                id=text_field(item["id"]),
                state=SilenceState(item["status"]["state"]),
                ends_at=time_field(item["endsAt"]),
                author=text_field(item["createdBy"]),
                comment=text_field(item["comment"]),
            )
        except FIELD_FAULTS:
            # Left out: an alert that it covers is then kept, because no silence is known that holds.
            continue


def _time_or_none(value: Any) -> datetime | None:
    """When it began only matters for what is reported as missing: an alert is not doubted for want of it."""
    try:
        return time_field(value)
    except FIELD_FAULTS:
        return None


def _texts(values: Any) -> tuple[str, ...]:
    if values is None:
        return ()
    if not isinstance(values, list):
        raise TypeError("not a list")
    return tuple(text_field(value) for value in values)


def _quoted(value: str) -> str:
    """A label's value in a filter. Older versions know no other escapes than these."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
