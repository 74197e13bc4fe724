"""Asks IRM whether it has been told of an alert group's alerts since we made it quiet. Reads only.

Any alert group of the same key that began since then means that IRM was told, by Alertmanager or by a run that died,
and whatever became of it since was done by a person or by Alertmanager, which stands.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from alert_sync.deadline import Deadline
from alert_sync.errors import PermanentUpstreamError, UpstreamError
from alert_sync.hand_back import CLOCK_TOLERANCE
from alert_sync.irm import IrmClient
from alert_sync.model import AlertGroup, AlertGroupState, Question
from alert_sync.recall import key_of, place_of

# IRM lists by when an alert group began. One that a person resolved may have begun long before the alerts of now did.
_LONGEST_OPEN = timedelta(days=7)
_UNKNOWN = "whether IRM should page again could not be found out"


def read_told(
    irm: IrmClient, questions: Iterable[Question], deadline: Deadline, *, now: datetime
) -> tuple[dict[str, str], tuple[str, ...]]:
    """For each question, why IRM needs no page from us; empty text if it does. And what could not be found out.

    A question that cannot be answered is left out: nothing is done about it in this run.
    """
    told: dict[str, str] = {}
    faults: list[str] = []
    # What is missing may fire for months. A list that is too long for that must not keep us from handing back.
    asked_together: defaultdict[tuple[str, bool], list[Question]] = defaultdict(list)
    for question in questions:
        asked_together[question.alert_group.integration_id, question.acted_at is None].append(question)
    for (integration_id, _), asked in asked_together.items():
        since = min(map(_listed_since, asked))
        try:
            resolved = _Resolved(irm.read_resolved(integration_id, deadline, since=since, now=now))
        except UpstreamError as error:
            faults.append(f"{_UNKNOWN}: {error}")
            continue
        for question in sorted(asked, key=lambda each: (each.since, each.key)):
            try:
                told[question.key] = _answer(irm, question, resolved, deadline)
            except UpstreamError as error:
                faults.append(f"{_UNKNOWN}: {error}")
    return told, tuple(dict.fromkeys(faults))


def _listed_since(question: Question) -> datetime:
    return question.since - (CLOCK_TOLERANCE if question.acted_at else _LONGEST_OPEN)


class _Resolved:
    """Resolved alert groups of one integration, found by what they stand for."""

    def __init__(self, groups: Sequence[AlertGroup]) -> None:
        self._by_name: defaultdict[str, list[AlertGroup]] = defaultdict(list)
        for group in groups:
            for name in {key_of(group), place_of(group)}:
                self._by_name[name].append(group)

    def same(self, question: Question) -> list[AlertGroup]:
        """Those of the same group key or, under the same receiver and labels, that list all these alerts.

        Where we did nothing, the same receiver and labels do.
        """
        wanted = question.alert_group
        found = [*self._by_name.get(key_of(wanted), ())]
        if question.acted_at is None:
            found += self._by_name.get(place_of(wanted), ())
        elif question.alerts:
            found += [group for group in self._by_name.get(place_of(wanted), ()) if _lists(group, question.alerts)]
        return found


def _lists(group: AlertGroup, alerts: frozenset[str]) -> bool:
    return group.notification is not None and alerts <= group.notification.firing.keys()


def _answer(irm: IrmClient, question: Question, resolved: _Resolved, deadline: Deadline) -> str:
    since = question.since - CLOCK_TOLERANCE
    same = resolved.same(question)
    if question.acted_at is None:
        by_people = [group for group in same if group.resolved_by and (group.resolved_at or since) >= since]
        return f"alert group {by_people[0].id} was resolved by a person" if by_people else ""
    own = _own(irm, question, deadline)
    if own is not None and (reason := _undone(own, question.acted_at)):
        return reason
    # By IRM's own clock, if it still has the alert group that we resolved.
    quiet_since = own.resolved_at if own is not None and own.resolved_at is not None else since
    # One that is older than the one that we resolved was there before it, however soon they followed each other.
    younger = [group for group in same if group.created_at > question.alert_group.created_at]
    told = [group for group in younger if group.created_at >= quiet_since]
    return f"IRM was told of it since: alert group {told[0].id}" if told else ""


def _own(irm: IrmClient, question: Question, deadline: Deadline) -> AlertGroup | None:
    """The alert group that we resolved, as it is now; None if there is none, or no more."""
    if not question.alert_group.id:
        return None
    try:
        return irm.read_alert_group(question.alert_group.id, deadline)
    except PermanentUpstreamError as error:
        if error.status == 404:
            return None
        raise


def _undone(group: AlertGroup, acted_at: datetime) -> str:
    """What a person did to the alert group after we had resolved it."""
    if group.state is not AlertGroupState.RESOLVED:
        return "a person opened it again"
    is_later = group.resolved_at is not None and group.resolved_at > acted_at + CLOCK_TOLERANCE
    return "a person resolved it after this service did" if is_later and group.resolved_by else ""
