"""Facts read from Alertmanager and Grafana IRM, and what a run means to do about them. Values without behaviour.

Times are aware UTC datetimes. Imports nothing of the project but the standard library's types.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum


class AlertState(StrEnum):
    """`status.state` of an alert in Alertmanager's API v2."""

    UNPROCESSED = "unprocessed"
    ACTIVE = "active"
    SUPPRESSED = "suppressed"
    UNKNOWN = "unknown"
    """Not Alertmanager's word: its record could not be understood. It keeps the page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One label set that Alertmanager holds; `fingerprint` is its identity on every peer."""

    fingerprint: str
    state: AlertState
    updated_at: datetime
    silenced_by: tuple[str, ...] = ()
    inhibited_by: tuple[str, ...] = ()
    muted_by: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    starts_at: datetime | None = None
    """When it began to fire; None where the record does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AggregationGroup:
    """Alerts of one route with equal group labels, as one peer lists them. Receiver and labels are not unique."""

    receiver: str
    group_labels: frozenset[tuple[str, str]]
    alerts: tuple[Alert, ...]


class SilenceState(StrEnum):
    """`status.state` of a silence in Alertmanager's API v2."""

    PENDING = "pending"
    ACTIVE = "active"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """A silence in Alertmanager (never one in IRM)."""

    id: str
    state: SilenceState
    ends_at: datetime
    author: str
    comment: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One member of an Alertmanager cluster and what it answered.

    `fault` is empty when both of its calls worked. `cluster_status` and `started_at` are None where the server
    says null, as Amazon Managed Prometheus does. `unreadable` counts objects that could not even be placed: any
    of them might belong to any alert group.
    """

    url: str
    fault: str = ""
    cluster_status: str | None = None
    started_at: datetime | None = None
    aggregation_groups: tuple[AggregationGroup, ...] = ()
    unreadable: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertmanagerSnapshot:
    """Everything read from Alertmanager in one run. At least one peer answered in full."""

    peers: tuple[Peer, ...]
    silences: Mapping[str, Silence] = field(default_factory=dict)


class AlertGroupState(StrEnum):
    """`state` of an alert group in IRM's JSON. (Its list filter calls firing `new`.)"""

    FIRING = "firing"
    ACKNOWLEDGED = "acknowledged"
    SILENCED = "silenced"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """The last webhook that Alertmanager sent for an alert group, as IRM keeps it in `last_alert.payload`.

    `receiver` is regexp-escaped, as Alertmanager sends it. `firing` maps the fingerprint of each alert listed as
    firing to its labels. `webhook` is the payload itself, kept only so that it can be posted again as resolved.
    `legacy` marks the payload of a legacy integration: one bare alert, without receiver and group labels. `sent_at` is
    when IRM received it.
    """

    receiver: str
    group_labels: frozenset[tuple[str, str]]
    firing: Mapping[str, Mapping[str, str]]
    truncated_alerts: int = 0
    legacy: bool = False
    sent_at: datetime | None = None
    webhook: Mapping[str, object] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertGroup:
    """What IRM pages a person for.

    `state` is None and `fault` says why when the object could not be understood. `notification` is None when the
    last payload is not Alertmanager's: the alert group is not ours.
    """

    id: str
    title: str
    url: str
    state: AlertGroupState | None
    created_at: datetime
    integration_id: str
    team_id: str
    notification: Notification | None
    fault: str = ""
    resolved_at: datetime | None = None
    resolved_by: str = ""
    silenced_at: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether a person may be paged for it; one that could not be understood may be."""
        return self.state is not AlertGroupState.RESOLVED


@dataclass(frozen=True, slots=True, kw_only=True)
class IrmSnapshot:
    """Every open alert group, each once, and how many listed objects had not even an id."""

    alert_groups: tuple[AlertGroup, ...]
    unreadable: int = 0


class SilencedAction(StrEnum):
    """What is done with an alert group whose alerts are all silenced."""

    RESOLVE = "resolve"
    SILENCE = "silence"
    REPORT = "report"


class GoneAction(StrEnum):
    """What is done about a lost resolve, once it has been seen often and long enough."""

    RESOLVE = "resolve"
    REPORT = "report"


class MissingAction(StrEnum):
    """What is done about an aggregation group that fires and has no alert group in IRM."""

    REPORT = "report"
    NOTIFY = "notify"


class Action(StrEnum):
    """What one change does to IRM."""

    NOTIFY = "notify"
    """Make IRM page again, by the webhook that Alertmanager would send."""
    UNRESOLVE = "unresolve"
    """The same where no such webhook can be sent: the old alert group pages again, and will not resolve by itself."""
    UNSILENCE = "unsilence"
    RESOLVE = "resolve"
    SILENCE = "silence"
    REPORT = "report"
    """Nothing; a person is told."""

    @property
    def makes_irm_page(self) -> bool:
        return self in (Action.NOTIFY, Action.UNRESOLVE, Action.UNSILENCE)

    @property
    def quietens(self) -> bool:
        return self in (Action.RESOLVE, Action.SILENCE)


class Verdict(StrEnum):
    """What Alertmanager says of one IRM alert group; `missing` is one that IRM should have and has not."""

    FIRING = "firing"
    SILENCED = "silenced"
    SUPPRESSED = "suppressed"
    GONE = "gone"
    MISSING = "missing"
    UNKNOWN = "unknown"
    UNMANAGED = "unmanaged"
    OUT_OF_SCOPE = "out_of_scope"


class Outcome(StrEnum):
    """What became of one change."""

    APPLIED = "applied"
    ALREADY = "already"
    FAILED = "failed"
    DEFERRED = "deferred"
    PLANNED = "planned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One alert of an IRM alert group, with the silences that cover it now."""

    alert: Alert
    silences: tuple[Silence, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """An alert group, the verdict on it, and the one sentence that says why."""

    alert_group: AlertGroup
    verdict: Verdict
    reason: str
    members: tuple[Member, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One step of a plan. `silence_seconds` is set for Action.SILENCE only."""

    finding: Finding
    action: Action
    silence_seconds: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Whether IRM has been told of this alert group's alerts since then, although it is not open.

    `acted_at` is when we resolved it; None: we did not. `alerts` are the fingerprints of those that fire.
    """

    key: str
    alert_group: AlertGroup
    since: datetime
    acted_at: datetime | None = None
    alerts: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one run would do, and each alert group it leaves alone with the reason.

    `managed` counts the open alert groups in scope that Alertmanager made: what the guards measure against.
    `unreadable` counts listed objects without an id, which nothing can be said about. `questions` must be asked of
    IRM before anything can be decided there; `forgotten` maps keys of interventions that are over to why, where
    somebody may ask. `ignored` are changes that would be made, had a person not said to ignore them. `seen` are
    sightings of open alert groups of which Alertmanager holds an alert that their webhook listed. `silence_ends`
    are when alerts of alert groups that we made quiet begin to be active again. `undone` maps keys of interventions
    that a person has undone to the silences (see hand_back.silences_of) under which that was seen first.
    """

    changes: tuple[Change, ...]
    kept: tuple[Finding, ...]
    managed: int
    unreadable: int = 0
    distrust: tuple[str, ...] = ()
    questions: tuple[Question, ...] = ()
    forgotten: Mapping[str, str] = field(default_factory=dict)
    ignored: tuple[Change, ...] = ()
    seen: frozenset[str] = frozenset()
    silence_ends: tuple[datetime, ...] = ()
    undone: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeResult:
    """A change and what became of it; `error` says why it failed or was put off, `remark` how else it was made.

    `is_sent`: False if IRM certainly knows nothing of it.
    """

    change: Change
    outcome: Outcome
    error: str = ""
    remark: str = ""
    is_sent: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Matcher:
    """One condition on a label, in Alertmanager's sense: name, operator, value."""

    name: str
    value: str
    is_regex: bool
    is_equal: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The settings that decide; see settings.py for the variable, the default and the reason of each."""

    silenced_action: SilencedAction = SilencedAction.RESOLVE
    alert_group_states: frozenset[AlertGroupState] = frozenset({AlertGroupState.FIRING})
    matchers: tuple[Matcher, ...] = ()
    integration_ids: frozenset[str] = frozenset()
    team_id: str = ""
    min_uptime: timedelta = timedelta(seconds=600)
    max_changes_percent: int = 50
    max_changes_minimum: int = 20
    gone_action: GoneAction = GoneAction.RESOLVE
    max_gone_percent: int = 30
    missing_action: MissingAction = MissingAction.REPORT
    group_wait: timedelta = timedelta(seconds=300)
    interval: timedelta = timedelta(seconds=300)
