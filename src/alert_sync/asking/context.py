"""What the routes need of the function that they run in. Types only: whoever provides it need not import this."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

from alert_sync.deadline import Deadline
from alert_sync.events import RunOptions
from alert_sync.memory.archive import Decision
from alert_sync.memory.listing import Listed, Wanted
from alert_sync.recall import AuditEntry, Head, JobRecord, Mismatch


class Remembered(Protocol):
    """What memory.archive.Archive does; see there."""

    def head(self, deadline: Deadline) -> Head: ...
    def jobs(self, wanted: Wanted, *, now: datetime, deadline: Deadline) -> Listed[JobRecord]: ...
    def job(self, job_id: str, *, now: datetime, deadline: Deadline) -> JobRecord: ...
    def mismatches(self, wanted: Wanted, *, deadline: Deadline) -> Listed[Mismatch]: ...
    def mismatch(self, mismatch_id: str, *, deadline: Deadline) -> Mismatch: ...
    def audit(self, wanted: Wanted, *, deadline: Deadline) -> Listed[AuditEntry]: ...
    def resolve_mismatch(self, mismatch_id: str, decision: Decision, *, deadline: Deadline) -> Mismatch: ...


class Context(Protocol):
    """One invocation, made for one request. Any method may raise ReconcilerError."""

    @property
    def deadline(self) -> Deadline:
        """When the answer has to be out."""
        ...

    def now(self) -> datetime:
        """An aware UTC datetime."""
        ...

    def archive(self) -> Remembered | None:
        """The memory; None where there is no table to remember in."""
        ...

    def start_job(self, job: JobRecord, options: RunOptions) -> None:
        """Queue the job, and start an invocation of its own for it."""
        ...

    def explain(self, alert_group_id: str) -> Mapping[str, Any]:
        """The verdict on one alert group, and the change that a run would make, as JSON.

        Raises:
            EventError: it is resolved.
            UnknownRecordError: IRM has no "alert group" of this id.
        """
        ...

    def metrics_text(self) -> str:
        """Prometheus's text format 0.0.4."""
        ...
