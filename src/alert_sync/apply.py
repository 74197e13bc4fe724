"""Carries out a plan: concurrently, within the deadline, never blindly twice, and never on an old look at the world."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from alert_sync.deadline import Deadline
from alert_sync.errors import ALERTMANAGER, IRM, PermanentUpstreamError, PostponedError, UnsentError, UpstreamError
from alert_sync.irm import IrmClient
from alert_sync.model import Action, AlertGroup, AlertGroupState, Change, ChangeResult, Outcome, Plan
from alert_sync.recall import key_of, subject_of
from alert_sync.wording import moment, one_line
from alert_sync.writers import Writer, is_as_wanted

# How old the look at Alertmanager may be when a change is sent: a new alert may have joined the group since.
FRESH_SECONDS = 15.0
# How long IRM may take to process a webhook that it has answered; 0.15 s was measured.
PROCESSING_WAITS_SECONDS = (0.3, 0.7, 2.0, 3.0)
# Less than this is left: a write would be cut off, and nobody would know whether it was made.
LEAST_SECONDS_FOR_A_WRITE = 0.5
# Reading so many alert groups one by one is cheaper than listing all.
SINGLE_READS = 10
_NOTE_LENGTH = 900


class Freshness:
    """Confirms, right before a change is sent, that Alertmanager still calls for it.

    Args:
        plan: the plan as made.
        look: reads Alertmanager again and plans anew.
        looked_at: when the look began that the plan was made from, on the monotonic clock.
    """

    def __init__(self, plan: Plan, look: Callable[[], Plan], *, looked_at: float, fresh_seconds: float) -> None:
        self._wanted = _by_subject(plan)
        self._look = look
        self._fresh_seconds = fresh_seconds
        self._looked_at = looked_at
        self._failure: UpstreamError | None = None
        self._lock = threading.Lock()

    def confirm(self, change: Change) -> None:
        """Let the change pass.

        Raises:
            PostponedError: it is called for no more, or Alertmanager cannot be read any more.
        """
        with self._lock:
            if self._failure is None and time.monotonic() - self._looked_at > self._fresh_seconds:
                self._refresh()
            if self._failure is not None:
                failure = self._failure
                raise PostponedError(failure.upstream, failure.operation, f"to confirm this change: {failure.cause}")
            if not _calls_for(self._wanted.get(subject_of(change.finding)), change):
                raise PostponedError(ALERTMANAGER, "confirm this change", "it no longer calls for it")

    def _refresh(self) -> None:
        self._looked_at = time.monotonic()
        try:
            self._wanted = _by_subject(self._look())
        except UpstreamError as error:
            self._failure = error


@dataclass(kw_only=True)
class Applier:
    """Applies the changes of one run."""

    irm: IrmClient
    writer: Writer
    freshness: Freshness
    deadline: Deadline
    threads: int
    pause: Callable[[float], None] = time.sleep
    _refusals: dict[str, str] = field(default_factory=dict)
    """By what a person can do about each: a refused credential ends what needs it, and nothing else."""

    def apply(self, changes: Sequence[Change]) -> tuple[ChangeResult, ...]:
        """Each change once, in the order given, several at a time. Nothing goes on when this returns."""
        self.writer.prepare(changes, self.deadline)
        with ThreadPoolExecutor(max_workers=self.threads) as pool:
            results = tuple(pool.map(self._apply, changes))
        return self._processed(results)

    def add_notes(self, results: Sequence[ChangeResult], run_id: str) -> tuple[str, ...]:
        """Tell in each changed alert group's timeline why; returns what went wrong with that, once per cause."""
        applied = [result.change for result in results if result.outcome is Outcome.APPLIED]
        applied = [change for change in applied if change.finding.alert_group.id]
        with ThreadPoolExecutor(max_workers=self.threads) as pool:
            faults = list(pool.map(lambda change: self._add_note(change, run_id), applied))
        return tuple(sorted({fault for fault in faults if fault}))

    @property
    def was_refused(self) -> bool:
        """Whether IRM refused the credential, which ended all writing."""
        return bool(self._refusals)

    def _apply(self, change: Change) -> ChangeResult:
        if refusal := self._refusals.get(self.writer.remedy(change)):
            return not_sent(change, f"not tried: {refusal}")
        try:
            remark = self.writer.write(change, self.deadline, lambda: self._confirm(change))
        except PostponedError as error:
            return not_sent(change, str(error))
        except UnsentError as error:
            return not_sent(change, str(error), Outcome.FAILED)
        except UpstreamError as error:
            return self._refused(change, error) or self._looked_up(change, error)
        if remark:
            change = replace(change, action=Action.UNRESOLVE)
        return ChangeResult(change=change, outcome=Outcome.APPLIED, remark=remark)

    def _confirm(self, change: Change) -> None:
        """Asked right before the change is sent."""
        self.freshness.confirm(change)
        if not self.deadline.allows(LEAST_SECONDS_FOR_A_WRITE):
            raise PostponedError(IRM, f"{change.action} alert group", "not sent: this run's time is over")

    def _refused(self, change: Change, error: UpstreamError) -> ChangeResult | None:
        """The result if the credential was refused, which then holds for all changes."""
        remedy = self.writer.remedy(change)
        if not remedy or not isinstance(error, PermanentUpstreamError) or not error.is_refused_credential:
            return None
        self._refusals[remedy] = f"{error}; {remedy}"
        return not_sent(change, self._refusals[remedy], Outcome.FAILED)

    def _looked_up(self, change: Change, error: UpstreamError) -> ChangeResult:
        """After a refusal or a lost answer only the alert group itself knows whether the change was made."""
        was_refused = isinstance(error, PermanentUpstreamError)
        try:
            is_done = not self._unfinished([change])
        except UpstreamError as failure:
            is_deleted = was_refused and error.status == failure.status == 404
            is_done = is_deleted and change.action.quietens  # nothing is left to page
        if not is_done:
            return ChangeResult(change=change, outcome=Outcome.FAILED, error=str(error))
        return ChangeResult(change=change, outcome=Outcome.ALREADY if was_refused else Outcome.APPLIED)

    def _processed(self, results: Sequence[ChangeResult]) -> tuple[ChangeResult, ...]:
        """The results once IRM has processed what it had only taken in, or has had the time to."""
        waiting = [result.change for result in results if self._is_only_taken_in(result)]
        outcome, doubt = Outcome.FAILED, ""
        try:
            for wait in PROCESSING_WAITS_SECONDS if waiting else ():
                if not self.deadline.allows(wait):
                    outcome, doubt = Outcome.DEFERRED, "taken in by IRM; no time was left to see that it was processed"
                    break
                self.pause(wait)
                waiting = self._unfinished(waiting)
                if not waiting:
                    break
        except UpstreamError as error:
            outcome, doubt = Outcome.DEFERRED, f"taken in by IRM; whether it was processed is not known: {error}"
        unfinished = {subject_of(change.finding) for change in waiting}
        return tuple(
            replace(result, outcome=outcome, error=doubt or _doubt(result.change))
            if subject_of(result.change.finding) in unfinished
            else result
            for result in results
        )

    def _is_only_taken_in(self, result: ChangeResult) -> bool:
        return result.outcome is Outcome.APPLIED and self.writer.is_processed_later(result.change)

    def _unfinished(self, changes: Sequence[Change]) -> list[Change]:
        """Those that IRM does not show yet."""
        paging = [change for change in changes if change.action is Action.NOTIFY]
        others = [change for change in changes if change.action is not Action.NOTIFY]
        return [*self._still_quiet(paging), *self._still_open(others)]

    def _still_quiet(self, changes: Sequence[Change]) -> list[Change]:
        """Alert groups that IRM should page for again and that are not open under any id."""
        keys: defaultdict[str, set[str]] = defaultdict(set)
        for change in changes:
            group = change.finding.alert_group
            keys[group.integration_id].add(key_of(group))
        # A key is made of the integration too.
        found = {key for each, wanted in keys.items() for key in self.irm.find_open(each, wanted, self.deadline)}
        return [change for change in changes if key_of(change.finding.alert_group) not in found]

    def _still_open(self, changes: Sequence[Change]) -> list[Change]:
        ids = {change.finding.alert_group.id: change for change in changes}
        if len(ids) <= SINGLE_READS:
            groups = {each: self.irm.read_alert_group(each, self.deadline) for each in sorted(ids)}
            return [ids[each] for each, group in groups.items() if not _shows(group, ids[each])]
        open_ids = self.irm.read_open_ids(self.deadline, now=datetime.now(UTC))
        return [change for each, change in ids.items() if each in open_ids]

    def _add_note(self, change: Change, run_id: str) -> str:
        try:
            self.irm.add_note(change.finding.alert_group.id, note_text(change, run_id), self.deadline)
        except UpstreamError as error:
            return f"a resolution note could not be left: {error}"
        return ""


def not_sent(change: Change, error: str, outcome: Outcome = Outcome.DEFERRED) -> ChangeResult:
    """Of a change that IRM certainly knows nothing of."""
    return ChangeResult(change=change, outcome=outcome, error=error, is_sent=False)


def note_text(change: Change, run_id: str) -> str:
    """What the timeline says: what was done, why, under which silences, and by which run."""
    done = _DONE[change.action] if change.silence_seconds is None else f"Silenced for {change.silence_seconds} s"
    silences = {silence.id: silence for member in change.finding.members for silence in member.silences}
    listed = "; ".join(f"{each.id} until {moment(each.ends_at)}" for each in silences.values())
    under = f" Silences: {listed}." if listed else ""
    text = f"{done} by alertmanager-alert-sync: {change.finding.reason}.{under} Run {run_id}."
    return one_line(text, _NOTE_LENGTH)


_DONE = {
    Action.RESOLVE: "Resolved",
    Action.SILENCE: "Silenced",
    Action.UNSILENCE: "Silence ended",
    Action.NOTIFY: "Paged again",
    Action.UNRESOLVE: "Opened again",
}


def _doubt(change: Change) -> str:
    """What IRM does not show although it took the webhook in."""
    if change.action.makes_irm_page:
        return "IRM took the webhook in, but has opened no alert group for it: the next run looks again"
    return "IRM took the webhook in, but the alert group is still open (customized templates, or unresolved by hand?)"


def _shows(group: AlertGroup, change: Change) -> bool:
    """Whether the alert group, read again, is as the change wants it. One silenced as before is not silenced anew."""
    before = change.finding.alert_group
    was_silenced = change.action is Action.SILENCE and before.state is AlertGroupState.SILENCED
    is_as_before = group.state is before.state and group.silenced_at == before.silenced_at
    return is_as_wanted(group.state, change.action) and not (was_silenced and is_as_before)


def _by_subject(plan: Plan) -> Mapping[str, Change]:
    return {subject_of(change.finding): change for change in plan.changes}


def _calls_for(wanted: Change | None, change: Change) -> bool:
    """Whether the newest plan has this change too. A delay holds for the silences that it was made from only."""
    if wanted is None or wanted.action is not change.action:
        return False
    return change.silence_seconds is None or _ends(wanted) == _ends(change)


def _ends(change: Change) -> Mapping[str, datetime]:
    return {silence.id: silence.ends_at for member in change.finding.members for silence in member.silences}
