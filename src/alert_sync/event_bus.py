"""Tells Amazon EventBridge what a run did, so that people can route it: to SNS, to a chat, to a queue.

The events are documented in docs/events.md. Telling never fails a run: what could not be sent becomes a warning. An
event may arrive twice, as EventBridge's own promise is "at least once"; the run's id with the alert group's tells them
apart.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from alert_sync.aws_api import AwsApi
from alert_sync.deadline import Deadline
from alert_sync.errors import ContractError, ReconcilerError
from alert_sync.model import Outcome
from alert_sync.recall import Condition
from alert_sync.report import Report, Status, change_row
from alert_sync.wording import one_line, timestamp

CHANGE = "alert-sync.change"
REFUSAL = "alert-sync.refusal"
CONDITION = "alert-sync.condition"

_TOLD = (Outcome.APPLIED, Outcome.ALREADY, Outcome.FAILED)
# PutEvents takes 10 entries and 256 KB; source, type and what AWS adds to each are counted generously.
_MOST_ENTRIES = 10
_MOST_BYTES = 240_000
_ENVELOPE_BYTES = 1_000
# Cut this long, nine texts of six bytes a character still fit into one call. Only a URL gone mad is longer.
_TEXT_LENGTH = 2_000
_CODE_LENGTH = 100

_Entry = Mapping[str, str]


class EventBus:
    """One event bus. Without `api` or with an empty `bus`, nothing is sent.

    Args:
        bus: name or ARN.
        source: of every event, which rules match on.
        service: the stack's name, which each event holds if it is given, so that two stacks can share a bus.
    """

    def __init__(
        self, api: AwsApi | None, bus: str, *, source: str = "alertmanager-alert-sync", service: str = ""
    ) -> None:
        self._api = api
        self._bus = bus
        self._source = source
        self._service = service

    def publish(self, report: Report, changed: Sequence[Condition], deadline: Deadline) -> tuple[str, ...]:
        """Send the events of a finished run, and return what people should know if not all were taken."""
        entries = self._entries(report, changed)
        if self._api is None or not self._bus or not entries:
            return ()
        sending = _Sending(self._api, deadline)
        sending.send(entries)
        return sending.warnings(len(entries))

    def _entries(self, report: Report, changed: Sequence[Condition]) -> tuple[_Entry, ...]:
        """The few that are about the whole first: time may run out. A dry run has changed and refused nothing."""
        details: list[tuple[str, Mapping[str, object]]] = [(CONDITION, _condition_row(each)) for each in changed]
        if not report.dry_run and report.status is Status.REFUSED:
            details.append((REFUSAL, _refusal_row(report)))
        if not report.dry_run:
            details += [(CHANGE, change_row(result)) for result in report.results if result.outcome in _TOLD]
        run = {"service": self._service} if self._service else {}
        run |= {"run_id": report.run_id, "trigger": report.trigger.value}
        return tuple(self._entry(kind, {**run, **detail}) for kind, detail in details)

    def _entry(self, kind: str, detail: Mapping[str, object]) -> _Entry:
        bounded = {name: value[:_TEXT_LENGTH] if isinstance(value, str) else value for name, value in detail.items()}
        # Half a character, which IRM may hold, would have the whole call refused.
        text = json.dumps(bounded, ensure_ascii=False).encode(errors="replace").decode()
        return {"EventBusName": self._bus, "Source": self._source, "DetailType": kind, "Detail": text}


class _Sending:
    """The entries of one run on their way: which were not taken, and why."""

    def __init__(self, api: AwsApi, deadline: Deadline) -> None:
        self._api = api
        self._deadline = deadline
        self._failed: list[_Entry] = []
        self._causes: set[str] = set()
        self._unsent = 0

    def send(self, entries: Sequence[_Entry]) -> None:
        """Send all; those that EventBridge did not take once more."""
        self._send(entries)
        if self._failed and not self._unsent:
            again, self._failed, self._causes = self._failed, [], set()
            self._send(again)

    def warnings(self, count: int) -> tuple[str, ...]:
        lost = len(self._failed) + self._unsent
        causes = ", ".join(sorted(self._causes))
        return (f"{lost} of {count} events may not have reached the event bus: {causes}",) if lost else ()

    def _send(self, entries: Sequence[_Entry]) -> None:
        batches = list(_batches(entries))
        for position, batch in enumerate(batches):
            try:
                self._put(batch)
            except ReconcilerError as error:
                # Denied or out of reach: the next batch would only cost the time that the run's answer has left.
                self._causes.add(str(error))
                self._unsent += sum(len(each) for each in batches[position:])
                return

    def _put(self, batch: Sequence[_Entry]) -> None:
        what = "put events"
        answer = self._api.call("PutEvents", {"Entries": list(batch)}, self._deadline, what=what)
        if not answer.get("FailedEntryCount"):
            return
        rows = answer.get("Entries")
        if not isinstance(rows, list) or len(rows) != len(batch):
            raise ContractError(self._api.name, what, "the answer does not say which entries failed")
        for entry, row in zip(batch, rows, strict=True):
            if code := _error_code(row):
                self._failed.append(entry)
                self._causes.add(code)


def _batches(entries: Sequence[_Entry]) -> Iterator[Sequence[_Entry]]:
    batch: list[_Entry] = []
    size = 0
    for entry in entries:
        added = len(entry["Detail"].encode()) + _ENVELOPE_BYTES
        if batch and (len(batch) == _MOST_ENTRIES or size + added > _MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(entry)
        size += added
    yield batch


def _error_code(row: Any) -> str:
    code = row.get("ErrorCode") if isinstance(row, dict) else None
    return one_line(code, _CODE_LENGTH) if isinstance(code, str) else ""


def _condition_row(condition: Condition) -> Mapping[str, str]:
    return {
        "type": condition.type,
        "status": condition.status,
        "reason": condition.reason,
        "message": condition.message,
        "changed_at": timestamp(condition.changed_at),
    }


def _refusal_row(report: Report) -> Mapping[str, object]:
    return {
        "error": report.error,
        "inconsistencies_found": report.inconsistencies_found,
        "changes": len(report.results),
    }
