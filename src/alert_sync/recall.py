"""What the service remembers from one run to the next, and what people may ask about. Values; nothing here decides.

Times are aware UTC datetimes. How they are kept is memory/items.py's business.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from alert_sync.model import Action, AlertGroup, Finding, Notification, Verdict

KIND = "alert-sync"
"""This kind of reconciliation. Others may stand beside it behind the same routes and in the same table."""


class ResolutionStatus(StrEnum):
    """What became of a mismatch. Only a person resolves by hand or ignores; only a run resolves automatically."""

    PENDING = "PENDING"
    AUTO_RESOLVED = "AUTO_RESOLVED"
    MANUAL_RESOLVED = "MANUAL_RESOLVED"
    IGNORED = "IGNORED"


class JobStatus(StrEnum):
    """Where a job stands. RUNNING is never stored: a job runs as long as it holds the lease."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Who runs now. A run that died leaves its lease behind, which counts for nothing after `expires_at`.

    `was_queued`: the job's record was made before the run began.
    """

    job_id: str
    run_id: str
    trigger: str
    started_at: datetime
    expires_at: datetime
    dry_run: bool = False
    was_queued: bool = False


DURATION_BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
"""Upper bounds in seconds of the histogram of durations; one more, without bound, follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """Numbers over all runs since the table was made, and the last run's. Durations and moments (Unix) in seconds.

    `duration_counts` has one number per bucket (not cumulative), the last for what is longer than every bound.
    """

    reconciliations: int = 0
    failures: int = 0
    resolved: int = 0
    failed_resolves: int = 0
    handed_back: int = 0
    duration_counts: tuple[int, ...] = (0,) * (len(DURATION_BUCKETS) + 1)
    duration_sum: float = 0.0
    inconsistencies_found: int = 0
    last_timestamp: float = 0.0
    last_success: bool = False
    last_success_timestamp: float = 0.0
    failures_in_a_row: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One lasting statement about the service. `changed_at` moves only when `status` does.

    `type` is one of InSync, AlertmanagerReachable, IrmReachable, Stalled; `status` True, False or Unknown.
    """

    type: str
    status: str
    reason: str
    message: str
    changed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What every run reads first and writes last. `version` is None before the first run."""

    version: int | None = None
    lease: Lease | None = None
    counters: Counters = field(default_factory=Counters)
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervention:
    """What we did to an alert group, or were about to do when the run that wrote this ended.

    There is at most one for each group key of an integration. `is_done` is False from before the request is sent until
    its outcome is recorded: if the run dies between, nobody knows. IRM was made quiet after `intended_at` and by
    `acted_at`, which both stay while IRM is made to page again. `silences` names the silences that it was done under;
    with `is_undone` those under which it was first seen that a person had undone it. `silenced_until` is when IRM's own
    silence ends.
    """

    key: str
    alert_group: AlertGroup
    action: Action
    verdict: Verdict
    silences: str
    acted_at: datetime
    run_id: str
    intended_at: datetime | None = None
    is_done: bool = False
    is_undone: bool = False
    covered_until: datetime | None = None
    silenced_until: datetime | None = None
    version: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntry:
    """One thing that happened to a mismatch: `event` is found, changed, planned, applied, failed, deferred, ..."""

    at: datetime
    event: str
    message: str
    job_id: str = ""
    who: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """One inconsistency between the systems, from when it was found until it is resolved.

    `type` is the verdict: silenced, gone, missing, or firing for an alert group that has to page again. `subject` is
    what it is about, and with `type` its identity while it is open. `signature` changes when the facts do.
    """

    id: str
    type: Verdict
    subject: str
    signature: str
    alert_group_id: str
    title: str
    url: str
    integration_id: str
    action: Action
    reason: str
    detected_at: datetime
    job_id: str
    resolution_status: ResolutionStatus = ResolutionStatus.PENDING
    resolution_notes: str = ""
    resolved_at: datetime | None = None
    resolved_by: str = ""
    history: tuple[HistoryEntry, ...] = ()
    kind: str = KIND
    version: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether runs still look at it: also while it is ignored, until it is not seen any more."""
        return self.resolution_status in (ResolutionStatus.PENDING, ResolutionStatus.IGNORED)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One external write, or one decision of a person. Never changed, and outlives what it is about."""

    id: str
    at: datetime
    who: str
    action: str
    target: str
    before: str
    after: str
    run_id: str = ""
    mismatch_id: str = ""
    answer: str = ""
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """One run as it can be asked about afterwards. `document` is its report without the changes."""

    id: str
    run_id: str
    status: JobStatus
    trigger: str
    dry_run: bool
    started_at: datetime
    completed_at: datetime | None = None
    mismatch_count: int = 0
    message: str = ""
    error: str = ""
    document: Mapping[str, object] = field(default_factory=dict)
    kind: str = KIND
    version: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """A receiver of Alertmanager that leads to IRM, and what its webhooks look like there.

    `routes` maps the names of group labels to the route's part of the group key; empty where that is not certain.
    `seen_on` is the last day on which IRM had an open alert group from it.
    """

    integration_id: str
    team_id: str = ""
    external_url: str = ""
    seen_on: str = ""
    routes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
    """Everything that is open when a run begins. `is_on` is False where there is no table to remember in.

    `seen` are sightings (see sighting_of) of which some run saw an alert in this Alertmanager; `receivers` those that
    IRM has had alert groups from, by their name as webhooks write it. `seen_version` is the version of both.
    `unreadable` are keys of interventions that this version cannot read: their alert groups are left alone. `warnings`
    say what is not as it was.
    """

    is_on: bool = False
    interventions: Mapping[str, Intervention] = field(default_factory=dict)
    mismatches: Mapping[tuple[Verdict, str], Mismatch] = field(default_factory=dict)
    seen: frozenset[str] = frozenset()
    receivers: Mapping[str, Receiver] = field(default_factory=dict)
    seen_version: int | None = None
    unreadable: frozenset[str] = frozenset()
    warnings: tuple[str, ...] = ()

    def mismatch_of(self, verdict: Verdict, group: AlertGroup) -> Mismatch | None:
        """The open mismatch of this type about this alert group."""
        return self.mismatches.get((verdict, subject_of_group(group)))


def key_of(group: AlertGroup) -> str:
    """By what IRM tells an integration's alert groups apart, made short: the same for each that follows on another."""
    return short_hash(group.integration_id, _group_key(group))


def place_of(group: AlertGroup) -> str:
    """Receiver and group labels: the same alerts under another group key, after the routes were edited."""
    notification = group.notification
    if notification is None or notification.legacy:
        return key_of(group)
    labels = (f"{name}={value}" for name, value in sorted(notification.group_labels))
    return short_hash(group.integration_id, notification.receiver, *labels)


def subject_of(finding: Finding) -> str:
    """What a mismatch is about; with its verdict, the identity that it has while it is open."""
    return subject_of_group(finding.alert_group)


def subject_of_group(group: AlertGroup) -> str:
    """The same, of an alert group; one that IRM does not have has no id."""
    return group.id or place_of(group)


def sighting_of(group: AlertGroup) -> str:
    """An alert group with the alerts of its last webhook: two Alertmanagers that share a group key take turns in it."""
    notification = group.notification
    return f"{group.id}#{short_hash(*sorted(notification.firing if notification else ()))[:8]}"


def signature_of(finding: Finding) -> str:
    """Changes when the facts do: the alerts in Alertmanager, their silences, or those that the webhook listed."""
    notification = finding.alert_group.notification
    alerts = sorted(member.alert.fingerprint for member in finding.members)
    silences = sorted({silence.id for member in finding.members for silence in member.silences})
    return short_hash(finding.verdict, *alerts, *silences, *sorted(notification.firing if notification else ()))


def new_id(now: datetime, *parts: str) -> str:
    """An id that sorts by time and is the same for the same parts at the same moment."""
    return f"{now.astimezone(UTC):%Y%m%dT%H%M%S}.{now.microsecond // 1000:03d}Z-{short_hash(*parts)[:12]}"


def short_hash(*parts: str) -> str:
    """A name for these texts, of fixed length."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]


def _group_key(group: AlertGroup) -> str:
    notification = group.notification
    if notification is None:
        return f"id {group.id}"
    if notification.legacy:
        return f"alert {_only_fingerprint(notification)}"
    return str(notification.webhook.get("groupKey") or f"id {group.id}")


def _only_fingerprint(notification: Notification) -> str:
    return ",".join(sorted(notification.firing))
