"""Four lasting statements about the service, as Kubernetes words such: status, reason, message, time of change. Pure.

| type                  | True                               | False                            | Unknown              |
| --------------------- | ---------------------------------- | -------------------------------- | -------------------- |
| InSync                | nothing was found, or all resolved | found, and not all is resolved   | the run did not read |
| AlertmanagerReachable | it was read                        | a read failed                    | never looked at      |
| IrmReachable          | it was read                        | a read failed                    | never looked at      |
| Stalled               | 3 runs in a row did not work       | fewer did not                    |                      |

What a run did not get to look at keeps its last known status, under the reason NotLookedAt and with a message that says
since when: IRM is read first, so while IRM cannot be read, nobody asks Alertmanager.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from alert_sync.errors import (
    ALERTMANAGER,
    IRM,
    ContractError,
    PermanentUpstreamError,
    PostponedError,
    ReconcilerError,
    UpstreamError,
)
from alert_sync.model import Outcome
from alert_sync.recall import Condition, Counters
from alert_sync.report import Report, Status
from alert_sync.wording import moment, one_line

IN_SYNC = "InSync"
ALERTMANAGER_REACHABLE = "AlertmanagerReachable"
IRM_REACHABLE = "IrmReachable"
STALLED = "Stalled"
TYPES = (IN_SYNC, ALERTMANAGER_REACHABLE, IRM_REACHABLE, STALLED)

TRUE, FALSE, UNKNOWN = "True", "False", "Unknown"
STATUSES = (TRUE, FALSE, UNKNOWN)

STALLED_AFTER = 3
"""Failed or refused runs in a row: one may be a restart of the other side, three are not."""

_NOT_LOOKED_AT = "NotLookedAt"
_MESSAGE_LENGTH = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class _Statement:
    """What is to be said of one condition now."""

    status: str
    reason: str
    message: str


def conditions_after(
    previous: Sequence[Condition],
    report: Report,
    failure: ReconcilerError | None,
    counters: Counters,
    *,
    now: datetime,
) -> tuple[Condition, ...]:
    """The conditions after a run, always all four in the same order; a skipped run changes none.

    `failure` is what ended the run before it had a plan; `counters` have this run in them.
    """
    if report.status is Status.SKIPPED:
        return tuple(previous)
    known = {condition.type: condition for condition in previous}
    statements = {
        IN_SYNC: _in_sync(report, failure),
        ALERTMANAGER_REACHABLE: _alertmanager(report, failure, known.get(ALERTMANAGER_REACHABLE), now),
        IRM_REACHABLE: _irm(report, failure, known.get(IRM_REACHABLE), now),
        STALLED: _stalled(report, counters),
    }
    return tuple(_condition(type_, statements[type_], known.get(type_), now) for type_ in TYPES)


def changed_conditions(before: Sequence[Condition], after: Sequence[Condition]) -> tuple[Condition, ...]:
    """Those with another status than before. What has never been stated was Unknown."""
    statuses = {condition.type: condition.status for condition in before}
    return tuple(condition for condition in after if condition.status != statuses.get(condition.type, UNKNOWN))


def _condition(type_: str, statement: _Statement, before: Condition | None, now: datetime) -> Condition:
    has_moved = before is None or before.status != statement.status
    return Condition(
        type=type_,
        status=statement.status,
        reason=statement.reason,
        message=one_line(statement.message, _MESSAGE_LENGTH),
        changed_at=now if has_moved or before is None else before.changed_at,
    )


def _in_sync(report: Report, failure: ReconcilerError | None) -> _Statement:
    if report.plan is None:
        return _Statement(status=UNKNOWN, reason="NotRead", message=str(failure or report.error))
    if report.status is Status.REFUSED:
        return _Statement(status=FALSE, reason="PlanRefused", message=report.error)
    found, resolved = report.inconsistencies_found, report.inconsistencies_resolved
    failed, deferred = report.count(Outcome.FAILED), report.inconsistencies_deferred
    message = f"inconsistencies: {found} found, {resolved} resolved, {failed} failed, {deferred} deferred"
    if failed:
        return _Statement(status=FALSE, reason="ChangesFailed", message=message)
    if deferred:
        return _Statement(status=FALSE, reason="ChangesDeferred", message=message)
    if found > resolved:
        return _Statement(status=FALSE, reason="DryRun" if report.dry_run else "NotResolved", message=message)
    return _Statement(status=TRUE, reason="AllResolved" if found else "NothingFound", message=message)


def _alertmanager(
    report: Report, failure: ReconcilerError | None, before: Condition | None, now: datetime
) -> _Statement:
    if report.plan is not None:
        distrust = report.plan.distrust
        if distrust:
            message = f"read, but what it does not list proves nothing: {distrust[0]}"
            return _Statement(status=TRUE, reason="ReadInPart", message=message)
        return _Statement(status=TRUE, reason="Read", message="read in full")
    return _told_by(failure, ALERTMANAGER) or _not_looked_at(before, now)


def _irm(report: Report, failure: ReconcilerError | None, before: Condition | None, now: datetime) -> _Statement:
    """It is read before Alertmanager, so whoever failed at Alertmanager had read it."""
    if report.plan is not None or _is_of(failure, ALERTMANAGER):
        return _Statement(status=TRUE, reason="Read", message="read in full")
    return _told_by(failure, IRM) or _not_looked_at(before, now)


def _stalled(report: Report, counters: Counters) -> _Statement:
    failures = counters.failures_in_a_row
    if failures >= STALLED_AFTER:
        reason = "PlansRefused" if report.status is Status.REFUSED else "RunsFail"
        return _Statement(
            status=TRUE, reason=reason, message=f"{failures} runs in a row failed or were refused: {report.error}"
        )
    message = f"failed or refused runs in a row: {failures}; {STALLED_AFTER} count as stalled"
    return _Statement(status=FALSE, reason="RunsWork" if not failures else "RunFailed", message=message)


def _is_of(failure: ReconcilerError | None, upstream: str) -> bool:
    return isinstance(failure, UpstreamError) and failure.upstream.startswith(upstream)


def _told_by(failure: ReconcilerError | None, upstream: str) -> _Statement | None:
    """What the failure says of this system; None if it was another's, or if nothing was sent."""
    if not isinstance(failure, UpstreamError) or not _is_of(failure, upstream):
        return None
    if isinstance(failure, PostponedError) and failure.status is None:
        return None
    return _Statement(status=FALSE, reason=_reason_of(failure), message=str(failure))


def _reason_of(failure: UpstreamError) -> str:
    if isinstance(failure, PostponedError):
        return "RateLimited"
    if isinstance(failure, PermanentUpstreamError):
        return "CredentialRefused" if failure.is_refused_credential else "RequestRefused"
    if isinstance(failure, ContractError):
        return "AnswerNotUnderstood"
    return "NoAnswer" if failure.status is None else "ServerFailed"


def _not_looked_at(before: Condition | None, now: datetime) -> _Statement:
    """The last known status. The moment in the message stays that of the first run that did not look."""
    if before is None:
        return _Statement(status=UNKNOWN, reason=_NOT_LOOKED_AT, message=f"not looked at since {moment(now)}")
    if before.reason == _NOT_LOOKED_AT:
        return _Statement(status=before.status, reason=before.reason, message=before.message)
    message = f"not looked at since {moment(now)}; before that: {before.message}"
    return _Statement(status=before.status, reason=_NOT_LOOKED_AT, message=message)
