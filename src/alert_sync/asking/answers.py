"""How an answer looks: records as JSON, and what goes with it over HTTP. Pure.

Numbers that are 0 stay 0; null is what there is not (yet). Times are ISO 8601 in UTC.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from alert_sync.recall import AuditEntry, Condition, Counters, HistoryEntry, JobRecord, Mismatch
from alert_sync.wording import timestamp, title_line

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What goes back to the caller."""

    status: int
    text: str
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


def json_answer(status: int, body: Document, headers: Mapping[str, str] | None = None) -> Answer:
    """A document."""
    return Answer(status=status, text=json.dumps(body), headers=headers or {})


def error_answer(
    status: int, code: str, message: str, *, headers: Mapping[str, str] | None = None, **more: Any
) -> Answer:
    """What is wrong: `code` for programs, `message` for people, and what else there is to know."""
    return json_answer(status, {"error": code, "message": message, **more}, headers)


def job_document(job: JobRecord) -> Document:
    """One job as lists show it."""
    return {
        "job_id": job.id,
        "kind": job.kind,
        "status": job.status.value,
        "trigger": job.trigger,
        "dry_run": job.dry_run,
        "run_id": job.run_id or None,
        "started_at": moment_text(job.started_at),
        "completed_at": _time_or_none(job.completed_at),
        "duration_seconds": _seconds_between(job.started_at, job.completed_at),
        "mismatch_count": job.mismatch_count,
        "message": job.message,
        "error": job.error or None,
    }


def job_details(job: JobRecord, mismatches: Sequence[Mismatch], *, are_all: bool, samples: int) -> Document:
    """One job with its report, and the mismatches that it was the first to see."""
    types = [mismatch.type.value for mismatch in mismatches]
    return {
        **job_document(job),
        "report": dict(job.document) or None,
        "mismatches_summary": {each: types.count(each) for each in sorted(set(types))},
        "mismatches_summary_is_complete": are_all,
        "sample_mismatches": [mismatch_document(mismatch) for mismatch in mismatches[:samples]],
    }


def mismatch_document(mismatch: Mismatch) -> Document:
    """One mismatch as lists show it. Its title is bounded, as anybody can write it."""
    return {
        "mismatch_id": mismatch.id,
        "job_id": mismatch.job_id,
        "kind": mismatch.kind,
        "type": mismatch.type.value,
        "subject": mismatch.subject,
        "alert_group_id": mismatch.alert_group_id or None,
        "title": title_line(mismatch.title),
        "url": mismatch.url or None,
        "integration_id": mismatch.integration_id or None,
        "action": mismatch.action.value,
        "reason": mismatch.reason,
        "detected_at": moment_text(mismatch.detected_at),
        "resolution_status": mismatch.resolution_status.value,
        "resolution_notes": mismatch.resolution_notes,
        "resolved_at": _time_or_none(mismatch.resolved_at),
        "resolved_by": mismatch.resolved_by or None,
    }


def mismatch_details(mismatch: Mismatch) -> Document:
    """One mismatch with its whole history, oldest first."""
    return {**mismatch_document(mismatch), "history": [_history_document(entry) for entry in mismatch.history]}


def audit_document(entry: AuditEntry) -> Document:
    """One entry of the audit trail."""
    return {
        "audit_id": entry.id,
        "at": moment_text(entry.at),
        "who": entry.who,
        "action": entry.action,
        "target": entry.target,
        "before": entry.before,
        "after": entry.after,
        "answer": entry.answer,
        "dry_run": entry.dry_run,
        "run_id": entry.run_id or None,
        "mismatch_id": entry.mismatch_id or None,
    }


def condition_document(condition: Condition) -> Document:
    """One lasting statement about the service."""
    return {
        "type": condition.type,
        "status": condition.status,
        "reason": condition.reason,
        "message": condition.message,
        "last_transition_time": moment_text(condition.changed_at),
    }


def counters_document(counters: Counters) -> Document:
    """The numbers that are kept over all runs."""
    return {
        "reconciliations": counters.reconciliations,
        "failures": counters.failures,
        "failures_in_a_row": counters.failures_in_a_row,
        "inconsistencies_found": counters.inconsistencies_found,
        "inconsistencies_resolved": counters.resolved,
        "inconsistencies_failed": counters.failed_resolves,
        "handed_back": counters.handed_back,
        "duration_seconds_sum": round(counters.duration_sum, 3),
        "last_run_was_successful": counters.last_success,
        "last_run_at": _unix_time(counters.last_timestamp),
        "last_successful_run_at": _unix_time(counters.last_success_timestamp),
    }


def moment_text(moment: datetime) -> str:
    """A time as every answer writes it."""
    return timestamp(moment.astimezone(UTC))


def _history_document(entry: HistoryEntry) -> Document:
    return {
        "at": moment_text(entry.at),
        "event": entry.event,
        "message": entry.message,
        "job_id": entry.job_id or None,
        "who": entry.who or None,
    }


def _time_or_none(moment: datetime | None) -> str | None:
    return None if moment is None else moment_text(moment)


def _unix_time(seconds: float) -> str | None:
    """0 stands for never."""
    return moment_text(datetime.fromtimestamp(seconds, UTC)) if seconds else None


def _seconds_between(begin: datetime, end: datetime | None) -> float | None:
    return None if end is None else round((end - begin).total_seconds(), 3)
