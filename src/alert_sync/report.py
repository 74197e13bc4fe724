"""What one run tells: the same for every kind of invocation, for the log, and for the metrics. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from alert_sync.model import AlertGroup, ChangeResult, Outcome, Plan, Verdict
from alert_sync.wording import timestamp, title_line

# At 600 bytes each as a rule, and 4,500 at the most, below the 6 MB that a Lambda function may answer.
MOST_CHANGES = 1_000


class Trigger(StrEnum):
    """What started the run."""

    SCHEDULE = "schedule"
    HTTP = "http"
    INVOKE = "invoke"
    CLI = "cli"


class Status(StrEnum):
    """How the run ended; see docs/decisions and the README for what to do about each."""

    SUCCESS = "success"
    PARTIAL = "partial"
    FAILED = "failed"
    REFUSED = "refused"
    SKIPPED = "skipped"


_KEPT = (
    Verdict.FIRING,
    Verdict.SUPPRESSED,
    Verdict.GONE,
    Verdict.UNKNOWN,
    Verdict.UNMANAGED,
    Verdict.OUT_OF_SCOPE,
    Verdict.SILENCED,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The result of one run. Times are UTC, durations seconds."""

    run_id: str
    trigger: Trigger
    status: Status
    message: str
    dry_run: bool
    started_at: datetime
    duration_seconds: float = 0.0
    alerts_fetched: int = 0
    alert_groups_examined: int = 0
    results: tuple[ChangeResult, ...] = ()
    plan: Plan | None = field(default=None, repr=False)
    error: str = ""
    warnings: tuple[str, ...] = ()
    has_memory: bool = False
    job_id: str = ""
    running_job_id: str = ""

    @property
    def has_failed(self) -> bool:
        """Whether it counts as a failure: a refused plan does too."""
        return self.status in (Status.FAILED, Status.REFUSED)

    @property
    def kept(self) -> dict[str, int]:
        """How many alert groups were left alone, by verdict; `silenced` are those in states that are not touched."""
        counts = Counter(finding.verdict for finding in self.plan.kept) if self.plan else Counter[Verdict]()
        counts[Verdict.UNKNOWN] += self.plan.unreadable if self.plan else 0
        return {verdict.value: counts[verdict] for verdict in _KEPT}

    @property
    def inconsistencies_found(self) -> int:
        """Alert groups that are not as they should be: those to be changed, and lost resolves that are left alone."""
        return (len(self.plan.changes) if self.plan else 0) + self.kept[Verdict.GONE] + self.undecided

    @property
    def inconsistencies_resolved(self) -> int:
        """Changes after which the alert group is as wanted, whether by us or by somebody faster."""
        return self.count(Outcome.APPLIED) + self.count(Outcome.ALREADY)

    @property
    def inconsistencies_deferred(self) -> int:
        """Changes that were put off, and alert groups of which could not be found out whether they have to page."""
        return self.count(Outcome.DEFERRED) + self.undecided

    @property
    def undecided(self) -> int:
        """Alert groups that we resolved, whose alerts fire, and of which IRM did not tell whether it knows."""
        return sum(question.acted_at is not None for question in self.plan.questions) if self.plan else 0

    @property
    def handed_back(self) -> int:
        """Alert groups that IRM pages for again because of this run."""
        return sum(result.change.action.makes_irm_page and result.outcome is Outcome.APPLIED for result in self.results)

    @property
    def lost_resolves(self) -> int:
        """Alert groups whose alerts are all gone, whether they are resolved in this run or left alone."""
        return self.kept[Verdict.GONE] + sum(result.change.finding.verdict is Verdict.GONE for result in self.results)

    @property
    def missing(self) -> int:
        """Aggregation groups that fire and have no alert group in IRM."""
        return sum(result.change.finding.verdict is Verdict.MISSING for result in self.results)

    def count(self, outcome: Outcome) -> int:
        """How many changes ended so."""
        return sum(result.outcome is outcome for result in self.results)

    def as_dict(self, *, most_changes: int = MOST_CHANGES) -> dict[str, Any]:
        """The documented JSON. Changes beyond `most_changes` are left out, and counted in `changes_left_out`."""
        document: dict[str, Any] = {
            "run_id": self.run_id,
            "trigger": self.trigger.value,
            "status": self.status.value,
            "message": self.message,
            "dry_run": self.dry_run,
            "started_at": timestamp(self.started_at),
            "duration_seconds": round(self.duration_seconds, 3),
            "alerts_fetched": self.alerts_fetched,
            "alert_groups_examined": self.alert_groups_examined,
            "inconsistencies_found": self.inconsistencies_found,
            "inconsistencies_resolved": self.inconsistencies_resolved,
            "inconsistencies_failed": self.count(Outcome.FAILED),
            "inconsistencies_deferred": self.inconsistencies_deferred,
            "changes": [change_row(result) for result in self.results[:most_changes]],
            "kept": self.kept,
            "memory": "on" if self.has_memory else "off",
        }
        ids = {"job_id": self.job_id, "running_job_id": self.running_job_id}
        document |= {name: text for name, text in ids.items() if text}
        if len(self.results) > most_changes:
            document["changes_left_out"] = len(self.results) - most_changes
        if self.error:
            document["error"] = self.error
        if self.warnings:
            document["warnings"] = list(self.warnings)
        return document


def change_row(result: ChangeResult) -> Mapping[str, str]:
    """One change as the report lists it."""
    finding = result.change.finding
    row = {
        **group_row(finding.alert_group),
        "verdict": finding.verdict.value,
        "change": result.change.action.value,
        "reason": finding.reason,
        "outcome": result.outcome.value,
    }
    more = {"error": result.error, "remark": result.remark}
    return {**row, **{name: text for name, text in more.items() if text}}


def group_row(group: AlertGroup) -> Mapping[str, str]:
    """An alert group as reports and logs name it; its title is bounded, as anybody can write it."""
    return {"alert_group_id": group.id, "title": title_line(group.title), "url": group.url}
