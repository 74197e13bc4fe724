"""What each route does, once its request is understood.

Nothing here reads Alertmanager or Grafana IRM, or changes them: the context does, or starts a run that does.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from alert_sync.asking.answers import (
    Answer,
    Document,
    audit_document,
    condition_document,
    counters_document,
    error_answer,
    job_details,
    job_document,
    json_answer,
    mismatch_details,
    mismatch_document,
    moment_text,
)
from alert_sync.asking.context import Context, Remembered
from alert_sync.asking.parameters import DECISIONS, KINDS, cursor_after
from alert_sync.errors import ReconcilerError
from alert_sync.events import RunOptions
from alert_sync.memory.archive import Decision, InvalidTransitionError
from alert_sync.memory.listing import Listed, T, Wanted, moment_id
from alert_sync.recall import KIND, Counters, JobRecord, JobStatus, ResolutionStatus, new_id
from alert_sync.report import Trigger

PROMETHEUS_TEXT = "text/plain; version=0.0.4; charset=utf-8"
SAMPLE_MISMATCHES = 20

_MOST_SUMMED_UP = 1_000
_UNKNOWN_DURATION = timedelta(seconds=30)
# To start an invocation, and to load the function if none is there.
_START = timedelta(seconds=2)
# New ids are of the moment when something is noted, which may be a little after the job has ended.
_AFTERWARDS = timedelta(minutes=1)
_ENDED = (JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.SKIPPED)


class MemoryDisabledError(ReconcilerError):
    """The request is about what is remembered, and there is no table to remember in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request that is understood: its parameters by name, without those that were not sent and have no default."""

    parameters: Mapping[str, Any] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)
    caller: str = ""


Endpoint = Callable[[Asked, Context], Answer]


def trigger(asked: Asked, context: Context) -> Answer:
    """Queue a run and start it, unless one runs."""
    unknown = sorted(set(asked.body.get("kinds", ())) - set(KINDS))
    if unknown:
        return error_answer(400, "INVALID_KIND", f"there is no kind {unknown[0]!r}", valid_kinds=list(KINDS))
    head = _memory(context).head(context.deadline)
    now = context.now()
    if head.lease is not None and now < head.lease.expires_at:
        return _already_running(head.lease.job_id)
    job = JobRecord(
        id=new_id(now, KIND, uuid.uuid4().hex),
        run_id="",
        status=JobStatus.QUEUED,
        trigger=Trigger.HTTP.value,
        dry_run=asked.body.get("dry_run", False),
        started_at=now,
        message=f"asked for by {asked.caller}" if asked.caller else "",
    )
    force = asked.body.get("force", False)
    options = RunOptions(trigger=Trigger.HTTP, dry_run=job.dry_run, force=force, job_id=job.id, who=asked.caller)
    context.start_job(job, options)
    return json_answer(202, _queued_document(job, head.counters))


def list_jobs(asked: Asked, context: Context) -> Answer:
    """Jobs, newest first."""
    wanted = _wanted(asked, "status", "kind")
    listed = _memory(context).jobs(wanted, now=context.now(), deadline=context.deadline)
    return _list_answer("jobs", listed, job_document, wanted)


def show_job(asked: Asked, context: Context) -> Answer:
    """One job, its report, and what it was the first to see."""
    memory = _memory(context)
    job = memory.job(asked.parameters["job_id"], now=context.now(), deadline=context.deadline)
    ended = (job.completed_at or context.now()) + _AFTERWARDS
    wanted = Wanted(
        limit=_MOST_SUMMED_UP, filters={"job_id": job.id}, before=moment_id(ended), oldest=_moment_of(job.id)
    )
    found = memory.mismatches(wanted, deadline=context.deadline)
    are_all = not found.next_before
    return json_answer(200, job_details(job, found.records, are_all=are_all, samples=SAMPLE_MISMATCHES))


def list_mismatches(asked: Asked, context: Context) -> Answer:
    """Mismatches, newest first."""
    wanted = _wanted(asked, "resolution_status", "kind", "type", "alert_group_id", "job_id")
    listed = _memory(context).mismatches(wanted, deadline=context.deadline)
    return _list_answer("mismatches", listed, mismatch_document, wanted)


def show_mismatch(asked: Asked, context: Context) -> Answer:
    """One mismatch and its history."""
    mismatch = _memory(context).mismatch(asked.parameters["mismatch_id"], deadline=context.deadline)
    return json_answer(200, mismatch_details(mismatch))


def resolve_mismatch(asked: Asked, context: Context) -> Answer:
    """Note a person's decision. Who it is comes from the signature, never from the request."""
    if not asked.caller:
        return error_answer(403, "CALLER_UNKNOWN", "a decision needs a name: the request has to be signed (IAM)")
    decision = Decision(
        status=ResolutionStatus(asked.body["resolution_status"]),
        notes=asked.body.get("resolution_notes", ""),
        who=asked.caller,
        at=context.now(),
    )
    memory = _memory(context)
    try:
        decided = memory.resolve_mismatch(asked.parameters["mismatch_id"], decision, deadline=context.deadline)
    except InvalidTransitionError as error:
        allowed = [status.value for status in DECISIONS]
        return error_answer(400, "INVALID_STATUS_TRANSITION", str(error), valid_statuses=allowed)
    return json_answer(200, {"status": "success", "mismatch": mismatch_details(decided)})


def list_audit(asked: Asked, context: Context) -> Answer:
    """The audit trail, newest first."""
    wanted = _wanted(asked, "action", "target", "who", "mismatch_id", "run_id")
    listed = _memory(context).audit(wanted, deadline=context.deadline)
    return _list_answer("entries", listed, audit_document, wanted)


def show_status(_asked: Asked, context: Context) -> Answer:
    """How the service does."""
    memory, now = _memory(context), context.now()
    head = memory.head(context.deadline)
    jobs = memory.jobs(Wanted(limit=10), now=now, deadline=context.deadline).records
    running = next((job for job in jobs if job.status is JobStatus.RUNNING), None)
    last = next((job for job in jobs if job.status in _ENDED), None)
    return json_answer(
        200,
        {
            "at": moment_text(now),
            "conditions": [condition_document(condition) for condition in head.conditions],
            "counters": counters_document(head.counters),
            "running_job": None if running is None else job_document(running),
            "last_job": None if last is None else job_document(last),
        },
    )


def explain(asked: Asked, context: Context) -> Answer:
    """Why a run would change an alert group, or leave it alone."""
    return json_answer(200, context.explain(asked.parameters["alert_group_id"]))


def metrics(_asked: Asked, context: Context) -> Answer:
    """What Prometheus scrapes."""
    _memory(context)
    return Answer(status=200, text=context.metrics_text(), content_type=PROMETHEUS_TEXT)


def _memory(context: Context) -> Remembered:
    memory = context.archive()
    if memory is None:
        raise MemoryDisabledError("this stack remembers nothing: STATE_TABLE is not set (template parameter Memory)")
    return memory


def _already_running(job_id: str) -> Answer:
    links = {"running_job": _link(job_id)}
    return error_answer(409, "ALREADY_RUNNING", f"job {job_id} runs", running_job_id=job_id, links=links)


def _queued_document(job: JobRecord, counters: Counters) -> Document:
    return {
        "job_ids": [job.id],
        "status": job.status.value,
        "message": "queued: the run starts in an invocation of its own",
        "estimated_completion": moment_text(job.started_at + _START + _usual_duration(counters)),
        "links": {"jobs": [_link(job.id)]},
    }


def _usual_duration(counters: Counters) -> timedelta:
    measured = sum(counters.duration_counts)
    return timedelta(seconds=counters.duration_sum / measured) if measured else _UNKNOWN_DURATION


def _link(job_id: str) -> str:
    return f"/reconciliation/jobs/{job_id}"


def _wanted(asked: Asked, *filters: str) -> Wanted:
    sent = asked.parameters
    befores = [sent[name] for name in ("cursor", "to_date") if name in sent]
    return Wanted(
        limit=sent["limit"],
        filters={name: sent[name] for name in filters if name in sent},
        before=min(befores, default=""),
        oldest=sent.get("from_date", ""),
    )


def _list_answer(name: str, listed: Listed[T], document_of: Callable[[T], Document], wanted: Wanted) -> Answer:
    return json_answer(
        200,
        {
            name: [document_of(record) for record in listed.records],
            "pagination": {"page_size": wanted.limit, "next_cursor": cursor_after(listed.next_before)},
        },
    )


def _moment_of(record_id: str) -> str:
    return record_id.partition("-")[0]
