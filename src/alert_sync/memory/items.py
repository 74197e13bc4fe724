"""How what is remembered looks in the table: records to items, and items back. Pure.

| pk     | sk                   | what                                        | ends                  |
| ------ | -------------------- | ------------------------------------------- | --------------------- |
| head   | head                 | lease, counters, conditions                 | never                 |
| open   | mismatch#<id>        | a mismatch that runs still look at          | when it is closed     |
| open   | intervention#<key>   | what we did to an alert group               | when a run forgets it |
| open   | seen                 | alert groups seen here, and receivers       | with the alert groups |
| closed | <mismatch id>        | a mismatch that is resolved                 | TTL                   |
| job    | <job id>             | a run                                       | TTL                   |
| audit  | <id of the first>    | external writes, or a person's decision     | TTL                   |

Ids begin with the time, so that the order of sk is the order of time. An item that cannot be read raises
ContractError: what is remembered must not be forgotten by accident.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any, TypeVar

from alert_sync.errors import DYNAMODB, ContractError
from alert_sync.memory.attribute_values import stored_bytes
from alert_sync.model import Action, AlertGroup, AlertGroupState, Notification, Verdict
from alert_sync.recall import (
    AuditEntry,
    Condition,
    Counters,
    Head,
    HistoryEntry,
    Intervention,
    JobRecord,
    JobStatus,
    Lease,
    Mismatch,
    Receiver,
    ResolutionStatus,
)

Item = dict[str, Any]

HEAD, OPEN, CLOSED, JOB, AUDIT = "head", "open", "closed", "job", "audit"
HEAD_KEY = (HEAD, HEAD)
MISMATCH_PREFIX, INTERVENTION_PREFIX = "mismatch#", "intervention#"
SEEN_KEY = (OPEN, "seen")
# Beyond this many alerts an item would grow too large for the table; the group's labels find them all anyway.
_MOST_FINGERPRINTS = 200
# An item may have 400 kB. Receivers beyond have no missing alert groups, alert groups beyond no lost resolves.
_MOST_RECEIVER_BYTES = 120_000
_MOST_ID_BYTES = 270_000

T = TypeVar("T")
_FAULTS = (KeyError, TypeError, ValueError, AttributeError)


def head_item(head: Head) -> Item:
    """The one item that every run begins and ends with."""
    return {
        "pk": HEAD,
        "sk": HEAD,
        "lease": None if head.lease is None else _plain(head.lease),
        "counters": _plain(head.counters),
        "conditions": [_plain(condition) for condition in head.conditions],
    }


def head_of(item: Item | None) -> Head:
    """The head, or that of a table which no run has used yet."""
    return Head() if item is None else _understood(item, lambda: _head(item))


def intervention_item(intervention: Intervention) -> Item:
    """Only what finding the alerts and paging again needs: no annotations, no URLs of the integration."""
    group = intervention.alert_group
    notification = None if group.notification is None else _notification_map(group.notification)
    return {
        "pk": OPEN,
        "sk": INTERVENTION_PREFIX + intervention.key,
        **_plain(intervention, "version", "alert_group"),
        "alert_group": {**_plain(group, "notification", "fault"), "notification": notification},
    }


def intervention_of(item: Item) -> Intervention:
    """The intervention, whose alert group has an abridged notification."""

    def read() -> Intervention:
        return Intervention(
            **_texts(item, "key", "silences", "run_id"),
            **_times(item, "acted_at", "intended_at", "covered_until", "silenced_until"),
            action=Action(item["action"]),
            verdict=Verdict(item["verdict"]),
            is_done=bool(item["is_done"]),
            is_undone=bool(item["is_undone"]),
            version=int(item["version"]),
            alert_group=_alert_group(item["alert_group"]),
        )

    return _understood(item, read)


def seen_item(seen: frozenset[str], receivers: Mapping[str, Receiver], source: str) -> Item:
    """Alert groups of which some run saw an alert in this Alertmanager (`source`), and receivers that lead to IRM."""
    pk, sk = SEEN_KEY
    newest_first = sorted(receivers.items(), key=lambda item: (item[1].seen_on, item[0]), reverse=True)
    known = dict(_fitting(((name, _plain(receiver)) for name, receiver in newest_first), _MOST_RECEIVER_BYTES))
    return {
        "pk": pk,
        "sk": sk,
        "ids": list(_fitting(sorted(seen), _MOST_ID_BYTES)),
        "receivers": known,
        "source": source,
    }


def _fitting(things: Iterable[T], most_bytes: int) -> Iterator[T]:
    """As many as one item can hold beside what else it holds."""
    for thing in things:
        size = stored_bytes({"": thing}) + 1
        if size <= most_bytes:
            most_bytes -= size
            yield thing


def seen_of(item: Item) -> tuple[frozenset[str], Mapping[str, Receiver], str]:
    """The alert groups, the receivers, and the Alertmanager in which they were seen."""
    return _understood(item, lambda: (frozenset(item["ids"]), _receivers(item["receivers"]), str(item["source"])))


def mismatch_item(mismatch: Mismatch, *, keep_for: timedelta) -> Item:
    """In the open partition as long as runs look at it, then in the closed one until its time is over."""
    plain = {**_plain(mismatch, "version", "history"), "history": [_plain(entry) for entry in mismatch.history]}
    if mismatch.is_open:
        return {"pk": OPEN, "sk": MISMATCH_PREFIX + mismatch.id, **plain}
    ended = mismatch.resolved_at or mismatch.detected_at
    return {"pk": CLOSED, "sk": mismatch.id, **plain, "expires_at": _expiry(ended, keep_for)}


def mismatch_of(item: Item) -> Mismatch:
    """The mismatch, open or closed."""

    def read() -> Mismatch:
        return Mismatch(
            **_texts(item, "id", "subject", "signature", "alert_group_id", "title", "url", "integration_id", "reason"),
            **_texts(item, "job_id", "resolution_notes", "resolved_by", "kind"),
            **_times(item, "detected_at", "resolved_at"),
            type=Verdict(item["type"]),
            action=Action(item["action"]),
            resolution_status=ResolutionStatus(item["resolution_status"]),
            history=tuple(_history_entry(entry) for entry in item["history"]),
            version=int(item["version"]),
        )

    return _understood(item, read)


def job_item(job: JobRecord, *, keep_for: timedelta) -> Item:
    """One run."""
    return {"pk": JOB, "sk": job.id, **_plain(job, "version"), "expires_at": _expiry(job.started_at, keep_for)}


def job_of(item: Item) -> JobRecord:
    """One run."""

    def read() -> JobRecord:
        return JobRecord(
            **_texts(item, "id", "run_id", "trigger", "message", "error", "kind"),
            **_times(item, "started_at", "completed_at"),
            status=JobStatus(item["status"]),
            dry_run=bool(item["dry_run"]),
            mismatch_count=int(item["mismatch_count"]),
            document=dict(item["document"]),
            version=int(item["version"]),
        )

    return _understood(item, read)


def audit_item(entries: Sequence[AuditEntry], *, keep_for: timedelta) -> Item:
    """Entries of the audit trail that were written together, the oldest first, of which the item has the id."""
    first, last = entries[0], entries[-1]
    plain = [_plain(entry) for entry in entries]
    return {"pk": AUDIT, "sk": first.id, "entries": plain, "expires_at": _expiry(last.at, keep_for)}


def audit_of(item: Item) -> tuple[AuditEntry, ...]:
    """Entries of the audit trail, the newest first."""
    return _understood(item, lambda: tuple(_audit_entry(entry) for entry in reversed(item["entries"])))


def _head(item: Item) -> Head:
    counters = {**item["counters"], "duration_counts": tuple(item["counters"]["duration_counts"])}
    lease = item["lease"]
    return Head(
        version=int(item["version"]),
        lease=None if lease is None else Lease(**_known(Lease, {**lease, **_times(lease, "started_at", "expires_at")})),
        counters=Counters(**_known(Counters, counters)),
        conditions=tuple(_condition(each) for each in item["conditions"]),
    )


def _condition(value: Item) -> Condition:
    return Condition(**_known(Condition, {**value, **_times(value, "changed_at")}))


def _audit_entry(value: Item) -> AuditEntry:
    names = ("id", "who", "action", "target", "before", "after", "run_id", "mismatch_id", "answer")
    return AuditEntry(**_texts(value, *names), **_times(value, "at"), dry_run=bool(value["dry_run"]))


def _alert_group(value: Item) -> AlertGroup:
    notification = value["notification"]
    return AlertGroup(
        **_texts(value, "id", "title", "url", "integration_id", "team_id", "resolved_by"),
        **_times(value, "created_at", "resolved_at", "silenced_at"),
        state=AlertGroupState(value["state"]) if value["state"] else None,
        notification=None if notification is None else _notification(notification),
    )


def _receivers(value: Item) -> Mapping[str, Receiver]:
    return {name: Receiver(**_known(Receiver, each)) for name, each in value.items()}


def _history_entry(entry: Item) -> HistoryEntry:
    return HistoryEntry(**_texts(entry, "event", "message", "job_id", "who"), **_times(entry, "at"))


def _notification_map(notification: Notification) -> Item:
    webhook = notification.webhook
    return {
        "receiver": notification.receiver,
        "group_labels": dict(notification.group_labels),
        "firing": sorted(notification.firing)[:_MOST_FINGERPRINTS],
        "truncated_alerts": notification.truncated_alerts,
        "legacy": notification.legacy,
        "sent_at": None if notification.sent_at is None else notification.sent_at.isoformat(),
        "webhook": {name: webhook[name] for name in ("groupKey", "externalURL", "version") if name in webhook},
    }


def _notification(value: Item) -> Notification:
    return Notification(
        receiver=value["receiver"],
        group_labels=frozenset(value["group_labels"].items()),
        firing={fingerprint: {} for fingerprint in value["firing"]},
        truncated_alerts=int(value["truncated_alerts"]),
        legacy=bool(value["legacy"]),
        **_times(value, "sent_at"),
        webhook=value["webhook"],
    )


def _plain(record: Any, *left_out: str) -> Item:
    """The fields of a dataclass as the table holds them."""
    values = {each.name: getattr(record, each.name) for each in fields(record) if each.name not in left_out}
    return {name: _plain_value(value) for name, value in values.items()}


def _plain_value(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return list(value) if isinstance(value, tuple) else value


def _texts(item: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: str(item[name]) for name in names}


def _times(item: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: None if item[name] is None else datetime.fromisoformat(item[name]) for name in names}


def _known(kind: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Without what only a later version knows."""
    names = {each.name for each in fields(kind)}
    return {name: value for name, value in values.items() if name in names}


def _expiry(moment: datetime, keep_for: timedelta) -> int:
    return int((moment + keep_for).timestamp())


def _understood(item: Item, read: Callable[[], T]) -> T:
    try:
        return read()
    except _FAULTS as error:
        operation = f"read item {item.get('pk')}/{item.get('sk')}"
        raise ContractError(DYNAMODB, operation, f"not as this version writes it: {error!r}") from None
