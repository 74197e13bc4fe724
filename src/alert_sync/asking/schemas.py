"""What the answers look like, in the words of JSON Schema, for the OpenAPI document. Tests hold the answers to it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from alert_sync.asking.json_schema import Schema
from alert_sync.asking.parameters import ID_SCHEMA, KINDS, MISMATCH_TYPES
from alert_sync.model import Action, Outcome, Verdict
from alert_sync.recall import JobStatus, ResolutionStatus
from alert_sync.report import Status, Trigger

_TEXT = {"type": "string"}
_TEXT_OR_NULL = {"type": ["string", "null"]}
_TIME = {"type": "string", "format": "date-time"}
_TIME_OR_NULL = {"type": ["string", "null"], "format": "date-time"}
_COUNT = {"type": "integer", "minimum": 0}
_BOOLEAN = {"type": "boolean"}
_ID = {"type": "string", "pattern": ID_SCHEMA["pattern"]}
_SECONDS = {"type": "number", "minimum": 0}
_COUNTS = {"type": "object", "additionalProperties": _COUNT}
_LINK = {"type": "string", "format": "uri-reference"}


def reference(name: str) -> Schema:
    """A schema that is kept under its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def _choice(values: type[StrEnum] | tuple[str, ...]) -> Schema:
    return {"type": "string", "enum": [str(value) for value in values]}


def _object(properties: Mapping[str, Schema], *, optional: tuple[str, ...] = (), description: str = "") -> Schema:
    required = [name for name in properties if name not in optional]
    described = {"description": description} if description else {}
    return {"type": "object", **described, "required": required, "properties": dict(properties)}


def _list_of(name: str) -> Schema:
    return {"type": "array", "items": reference(name)}


def _or_null(name: str) -> Schema:
    return {"oneOf": [reference(name), {"type": "null"}]}


def _page_of(field: str, name: str) -> Schema:
    return _object({field: _list_of(name), "pagination": reference("Pagination")})


_JOB: Mapping[str, Schema] = {
    "job_id": _ID,
    "kind": _choice(KINDS),
    "status": _choice(JobStatus),
    "trigger": _choice(Trigger),
    "dry_run": _BOOLEAN,
    "run_id": _TEXT_OR_NULL,
    "started_at": _TIME,
    "completed_at": _TIME_OR_NULL,
    "duration_seconds": {"type": ["number", "null"], "minimum": 0},
    "mismatch_count": {**_COUNT, "description": "how many the run found, new ones or not"},
    "message": _TEXT,
    "error": _TEXT_OR_NULL,
}
_MISMATCH: Mapping[str, Schema] = {
    "mismatch_id": _ID,
    "job_id": {"type": "string", "description": "the job that was the first to see it"},
    "kind": _choice(KINDS),
    "type": _choice(MISMATCH_TYPES),
    "subject": {"type": "string", "description": "what it is about; with the type its identity while it is open"},
    "alert_group_id": _TEXT_OR_NULL,
    "title": _TEXT,
    "url": _TEXT_OR_NULL,
    "integration_id": _TEXT_OR_NULL,
    "action": {**_choice(Action), "description": "what a run does about it, or would"},
    "reason": _TEXT,
    "detected_at": _TIME,
    "resolution_status": _choice(ResolutionStatus),
    "resolution_notes": _TEXT,
    "resolved_at": _TIME_OR_NULL,
    "resolved_by": {"type": ["string", "null"], "description": "who decided last: an ARN, or this service"},
}
_CHANGE = _object(
    {
        "alert_group_id": _TEXT,
        "title": _TEXT,
        "url": _TEXT,
        "verdict": _choice(Verdict),
        "change": _choice(Action),
        "reason": _TEXT,
        "outcome": _choice(Outcome),
        "error": _TEXT,
        "remark": _TEXT,
    },
    optional=("error", "remark"),
)
_REPORT = _object(
    {
        "run_id": _TEXT,
        "trigger": _choice(Trigger),
        "status": _choice(Status),
        "message": _TEXT,
        "dry_run": _BOOLEAN,
        "started_at": _TIME,
        "duration_seconds": _SECONDS,
        "alerts_fetched": _COUNT,
        "alert_groups_examined": _COUNT,
        "inconsistencies_found": _COUNT,
        "inconsistencies_resolved": _COUNT,
        "inconsistencies_failed": _COUNT,
        "inconsistencies_deferred": _COUNT,
        "changes": {"type": "array", "items": _CHANGE},
        "changes_left_out": _COUNT,
        "kept": {**_COUNTS, "description": "alert groups that were left alone, by verdict"},
        "memory": _choice(("on", "off")),
        "job_id": _ID,
        "running_job_id": {**_ID, "description": "of a skipped run: the job that runs instead"},
        "error": _TEXT,
        "warnings": {"type": "array", "items": _TEXT},
    },
    optional=("changes_left_out", "job_id", "running_job_id", "error", "warnings"),
    description="what a run found and did",
)
_COUNTERS = _object(
    {
        "reconciliations": _COUNT,
        "failures": _COUNT,
        "failures_in_a_row": _COUNT,
        "inconsistencies_found": {**_COUNT, "description": "by the last run that read both systems"},
        "inconsistencies_resolved": _COUNT,
        "inconsistencies_failed": _COUNT,
        "handed_back": {**_COUNT, "description": "alert groups that were made to page again"},
        "duration_seconds_sum": _SECONDS,
        "last_run_was_successful": _BOOLEAN,
        "last_run_at": _TIME_OR_NULL,
        "last_successful_run_at": _TIME_OR_NULL,
    },
    description="over all runs since the table was made",
)

SCHEMAS: Mapping[str, Schema] = {
    "Error": _object(
        {"error": {"type": "string", "description": "for programs"}, "message": _TEXT},
        description="some errors hold more, under names of their own",
    ),
    "Report": _REPORT,
    "Health": _object({"status": _choice(("ok",))}),
    "Readiness": _object(
        {
            "status": _choice(("ready", "not ready")),
            "faults": {"type": "object", "additionalProperties": _TEXT},
        },
        optional=("faults",),
    ),
    "Queued": _object(
        {
            "job_ids": {"type": "array", "items": _ID},
            "status": _choice((JobStatus.QUEUED,)),
            "message": _TEXT,
            "estimated_completion": {**_TIME, "description": "as long as runs have taken so far, on average"},
            "links": _object({"jobs": {"type": "array", "items": _LINK}}),
        }
    ),
    "Pagination": _object(
        {
            "page_size": _COUNT,
            "next_cursor": {
                "type": ["string", "null"],
                "description": "null at the end. With filters, a page may be short or empty and still have a next one",
            },
        }
    ),
    "Job": _object(_JOB),
    "JobDetails": _object(
        {
            **_JOB,
            "report": {"type": ["object", "null"], "description": "its report, without the changes"},
            "mismatches_summary": {**_COUNTS, "description": "how many it was the first to see, by type"},
            "mismatches_summary_is_complete": _BOOLEAN,
            "sample_mismatches": {**_list_of("Mismatch"), "description": "some of those"},
        }
    ),
    "JobPage": _page_of("jobs", "Job"),
    "Mismatch": _object(_MISMATCH),
    "MismatchDetails": _object({**_MISMATCH, "history": _list_of("HistoryEntry")}),
    "HistoryEntry": _object(
        {"at": _TIME, "event": _TEXT, "message": _TEXT, "job_id": _TEXT_OR_NULL, "who": _TEXT_OR_NULL}
    ),
    "MismatchPage": _page_of("mismatches", "Mismatch"),
    "Resolved": _object({"status": _choice(("success",)), "mismatch": reference("MismatchDetails")}),
    "AuditEntry": _object(
        {
            "audit_id": _ID,
            "at": _TIME,
            "who": _TEXT,
            "action": _TEXT,
            "target": _TEXT,
            "before": _TEXT,
            "after": _TEXT,
            "answer": {"type": "string", "description": "the other system's; of a person's decision, the notes"},
            "dry_run": _BOOLEAN,
            "run_id": _TEXT_OR_NULL,
            "mismatch_id": _TEXT_OR_NULL,
        }
    ),
    "AuditPage": _page_of("entries", "AuditEntry"),
    "Condition": _object(
        {
            "type": _TEXT,
            "status": _choice(("True", "False", "Unknown")),
            "reason": _TEXT,
            "message": _TEXT,
            "last_transition_time": {**_TIME, "description": "moves only when the status does"},
        }
    ),
    "Counters": _COUNTERS,
    "ServiceStatus": _object(
        {
            "at": _TIME,
            "conditions": _list_of("Condition"),
            "counters": reference("Counters"),
            "running_job": _or_null("Job"),
            "last_job": _or_null("Job"),
        }
    ),
    "Explanation": {
        "type": "object",
        "required": ["alert_group_id", "verdict", "reason"],
        "properties": {"alert_group_id": _TEXT, "verdict": _choice(Verdict), "reason": _TEXT},
        "description": "the same as `python -m alert_sync explain --output json`",
    },
}
"""By name."""
