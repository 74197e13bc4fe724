"""Carries out a plan: concurrently, within the deadline, never blindly twice, and never on an old look at the world."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from alert_sync.deadline import Deadline
from alert_sync.errors import PermanentUpstreamError, PostponedError, UnsentError, UpstreamError
from alert_sync.irm import IrmClient
from alert_sync.model import Change, ChangeResult, Outcome, Plan, SilencedAction
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
        self._wanted = _by_id(plan)
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
            if not _calls_for(self._wanted.get(change.finding.alert_group.id), change):
                raise PostponedError("Alertmanager", "confirm this change", "it no longer calls for it")

    def _refresh(self) -> None:
        self._looked_at = time.monotonic()
        try:
            self._wanted = _by_id(self._look())
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
    _refusal: str = ""

    def apply(self, changes: Sequence[Change]) -> tuple[ChangeResult, ...]:
        """Each change once, in the order given, several at a time. Nothing goes on when this returns."""
        self.writer.prepare(changes, self.deadline)
        with ThreadPoolExecutor(max_workers=self.threads) as pool:
            results = tuple(pool.map(self._apply, changes))
        return self._processed(results) if self.writer.answers_before_processing else results

    def add_notes(self, results: Sequence[ChangeResult], run_id: str) -> tuple[str, ...]:
        """Tell in each changed alert group's timeline why; returns what went wrong with that, once per cause."""
        applied = [result.change for result in results if result.outcome is Outcome.APPLIED]
        with ThreadPoolExecutor(max_workers=self.threads) as pool:
            faults = list(pool.map(lambda change: self._add_note(change, run_id), applied))
        return tuple(sorted({fault for fault in faults if fault}))

    @property
    def was_refused(self) -> bool:
        """Whether IRM refused the credential, which ended all writing."""
        return bool(self._refusal)

    def _apply(self, change: Change) -> ChangeResult:
        if self._refusal:
            return ChangeResult(change=change, outcome=Outcome.DEFERRED, error=f"not tried: {self._refusal}")
        try:
            self.writer.write(change, self.deadline, lambda: self._confirm(change))
        except PostponedError as error:
            return ChangeResult(change=change, outcome=Outcome.DEFERRED, error=str(error))
        except UnsentError as error:
            return ChangeResult(change=change, outcome=Outcome.FAILED, error=str(error))
        except UpstreamError as error:
            return self._refused(change, error) or self._looked_up(change, error)
        return ChangeResult(change=change, outcome=Outcome.APPLIED)

    def _confirm(self, change: Change) -> None:
        """Asked right before the change is sent."""
        self.freshness.confirm(change)
        if not self.deadline.allows(LEAST_SECONDS_FOR_A_WRITE):
            raise PostponedError("Grafana IRM", f"{change.action} alert group", "not sent: this run's time is over")

    def _refused(self, change: Change, error: UpstreamError) -> ChangeResult | None:
        """The result if the credential was refused, which then holds for all changes."""
        remedy = self.writer.remedy(change)
        if not remedy or not isinstance(error, PermanentUpstreamError) or not error.is_refused_credential:
            return None
        self._refusal = f"{error}; {remedy}"
        return ChangeResult(change=change, outcome=Outcome.FAILED, error=self._refusal)

    def _looked_up(self, change: Change, error: UpstreamError) -> ChangeResult:
        """After a refusal or a lost answer only the alert group itself knows whether the change was made."""
        was_refused = isinstance(error, PermanentUpstreamError)
        try:
            group = self.irm.read_alert_group(change.finding.alert_group.id, self.deadline)
            is_done = is_as_wanted(group.state, change.action)
        except UpstreamError as failure:
            is_done = was_refused and error.status == failure.status == 404  # deleted: nothing is left to page
        if not is_done:
            return ChangeResult(change=change, outcome=Outcome.FAILED, error=str(error))
        return ChangeResult(change=change, outcome=Outcome.ALREADY if was_refused else Outcome.APPLIED)

    def _processed(self, results: Sequence[ChangeResult]) -> tuple[ChangeResult, ...]:
        """The results once IRM has processed what it had only taken in, or has had the time to."""
        waiting = {result.change.finding.alert_group.id for result in results if result.outcome is Outcome.APPLIED}
        doubt = (
            "IRM took the webhook in, but the alert group is still open (customized templates, or unresolved by hand?)"
        )
        outcome = Outcome.FAILED
        try:
            for wait in PROCESSING_WAITS_SECONDS if waiting else ():
                if not self.deadline.allows(wait):
                    outcome, doubt = Outcome.DEFERRED, "taken in by IRM; no time was left to see that it was processed"
                    break
                time.sleep(wait)
                waiting = self._still_open(waiting)
                if not waiting:
                    break
        except UpstreamError as error:
            outcome, doubt = Outcome.DEFERRED, f"taken in by IRM; whether it was processed is not known: {error}"
        return tuple(
            replace(result, outcome=outcome, error=doubt) if result.change.finding.alert_group.id in waiting else result
            for result in results
        )

    def _still_open(self, ids: set[str]) -> set[str]:
        if len(ids) <= SINGLE_READS:
            states = {each: self.irm.read_alert_group(each, self.deadline).state for each in sorted(ids)}
            return {each for each, state in states.items() if not is_as_wanted(state, SilencedAction.RESOLVE)}
        return ids & self.irm.read_open_ids(self.deadline, now=datetime.now(UTC))

    def _add_note(self, change: Change, run_id: str) -> str:
        try:
            self.irm.add_note(change.finding.alert_group.id, note_text(change, run_id), self.deadline)
        except UpstreamError as error:
            return f"a resolution note could not be left: {error}"
        return ""


def note_text(change: Change, run_id: str) -> str:
    """What the timeline says: what was done, why, under which silences, and by which run."""
    done = "Resolved" if change.silence_seconds is None else f"Silenced for {change.silence_seconds} s"
    silences = {silence.id: silence for member in change.finding.members for silence in member.silences}
    listed = "; ".join(f"{each.id} until {moment(each.ends_at)}" for each in silences.values())
    text = f"{done} by alertmanager-alert-sync: {change.finding.reason}. Silences: {listed}. Run {run_id}."
    return one_line(text, _NOTE_LENGTH)


def _by_id(plan: Plan) -> Mapping[str, Change]:
    return {change.finding.alert_group.id: change for change in plan.changes}


def _calls_for(wanted: Change | None, change: Change) -> bool:
    """Whether the newest plan has this change too. A delay holds for the silences that it was made from only."""
    if wanted is None or wanted.action is not change.action:
        return False
    return change.silence_seconds is None or _ends(wanted) == _ends(change)


def _ends(change: Change) -> Mapping[str, datetime]:
    return {silence.id: silence.ends_at for member in change.finding.members for silence in member.silences}
