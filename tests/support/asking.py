"""Records to ask about, and a stand-in for the function behind the routes, which remembers what was asked of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from alert_sync.deadline import Deadline
from alert_sync.errors import ReconcilerError
from alert_sync.events import HttpRequest, RunOptions
from alert_sync.memory.archive import Decision, UnknownRecordError
from alert_sync.memory.listing import Listed, Wanted
from alert_sync.model import Action, Verdict
from alert_sync.recall import (
    AuditEntry,
    Head,
    HistoryEntry,
    JobRecord,
    JobStatus,
    Mismatch,
    ResolutionStatus,
    new_id,
)
from tests.builders import NOW

ALICE = "arn:aws:sts::123456789012:assumed-role/on-call/alice"
ALL = Wanted(limit=50)


def an_id(minutes: float = 0, name: str = "") -> str:
    """The id of something from so many minutes after NOW."""
    return new_id(NOW + timedelta(minutes=minutes), name)


def a_job(job_id: str = "", **more: Any) -> JobRecord:
    """A run that took half a minute and found nothing."""
    job = JobRecord(
        id=job_id or an_id(),
        run_id="r1",
        status=JobStatus.COMPLETED,
        trigger="schedule",
        dry_run=False,
        started_at=NOW,
        completed_at=NOW + timedelta(seconds=30),
        message="inconsistencies: 0 found",
    )
    return replace(job, **more)


def a_mismatch(mismatch_id: str = "", **more: Any) -> Mismatch:
    """A silenced alert group that the first run found and could not repair."""
    found = HistoryEntry(at=NOW, event="found", message="its only alert is silenced", job_id=an_id())
    mismatch = Mismatch(
        id=mismatch_id or an_id(),
        type=Verdict.SILENCED,
        subject="I1",
        signature="s",
        alert_group_id="I1",
        title="HighLatency",
        url="http://grafana.example/I1",
        integration_id="CINT1",
        action=Action.RESOLVE,
        reason="its only alert is silenced",
        detected_at=NOW,
        job_id=an_id(),
        history=(found,),
    )
    return replace(mismatch, **more)


def an_audit_entry(entry_id: str = "", **more: Any) -> AuditEntry:
    """An alert group was resolved."""
    entry = AuditEntry(
        id=entry_id or an_id(),
        at=NOW,
        who="alertmanager-alert-sync",
        action="resolve",
        target="I1",
        before="firing",
        after="resolved",
        run_id="r1",
        mismatch_id=an_id(),
        answer="applied",
    )
    return replace(entry, **more)


@dataclass(slots=True)
class Memories:
    """Answers with what it was given, whatever is asked; `asked` is what that was."""

    the_head: Head = field(default_factory=Head)
    the_jobs: Listed[JobRecord] = field(default_factory=Listed)
    the_mismatches: Listed[Mismatch] = field(default_factory=Listed)
    the_audit: Listed[AuditEntry] = field(default_factory=Listed)
    fault: ReconcilerError | None = None
    asked: list[object] = field(default_factory=list)

    def head(self, deadline: Deadline) -> Head:  # noqa: ARG002
        self._note("head")
        return self.the_head

    def jobs(self, wanted: Wanted, *, now: datetime, deadline: Deadline) -> Listed[JobRecord]:  # noqa: ARG002
        self._note(wanted)
        return self.the_jobs

    def job(self, job_id: str, *, now: datetime, deadline: Deadline) -> JobRecord:  # noqa: ARG002
        self._note(job_id)
        for job in self.the_jobs.records:
            if job.id == job_id:
                return job
        raise UnknownRecordError("job", job_id)

    def mismatches(self, wanted: Wanted, *, deadline: Deadline) -> Listed[Mismatch]:  # noqa: ARG002
        self._note(wanted)
        return self.the_mismatches

    def mismatch(self, mismatch_id: str, *, deadline: Deadline) -> Mismatch:  # noqa: ARG002
        self._note(mismatch_id)
        for mismatch in self.the_mismatches.records:
            if mismatch.id == mismatch_id:
                return mismatch
        raise UnknownRecordError("mismatch", mismatch_id)

    def audit(self, wanted: Wanted, *, deadline: Deadline) -> Listed[AuditEntry]:  # noqa: ARG002
        self._note(wanted)
        return self.the_audit

    def resolve_mismatch(self, mismatch_id: str, decision: Decision, *, deadline: Deadline) -> Mismatch:
        self._note(decision)
        mismatch = self.mismatch(mismatch_id, deadline=deadline)
        return replace(
            mismatch,
            resolution_status=decision.status,
            resolution_notes=decision.notes,
            resolved_by=decision.who,
            resolved_at=decision.at if decision.status is ResolutionStatus.MANUAL_RESOLVED else None,
        )

    def _note(self, asked: object) -> None:
        self.asked.append(asked)
        if self.fault is not None:
            raise self.fault


@dataclass(slots=True)
class Function:
    """What is behind the routes. `memories` None: there is no table."""

    memories: Memories | None = field(default_factory=Memories)
    fault: ReconcilerError | None = None
    explanation: Mapping[str, Any] = field(default_factory=dict)
    started: list[tuple[JobRecord, RunOptions]] = field(default_factory=list)
    explained: list[str] = field(default_factory=list)
    deadline: Deadline = field(default_factory=lambda: Deadline(25.0))

    def now(self) -> datetime:
        return NOW

    def archive(self) -> Memories | None:
        return self.memories

    def start_job(self, job: JobRecord, options: RunOptions) -> None:
        self._fail()
        self.started.append((job, options))

    def explain(self, alert_group_id: str) -> Mapping[str, Any]:
        self.explained.append(alert_group_id)
        self._fail()
        return self.explanation

    def metrics_text(self) -> str:
        self._fail()
        return "alertmanager_sync_reconciliation_total 0.0\n"

    def _fail(self) -> None:
        if self.fault is not None:
            raise self.fault


def a_request(method: str, path: str, **more: Any) -> HttpRequest:
    """A request that Alice has signed."""
    return HttpRequest(method=method, path=path, **{"caller": ALICE, **more})
