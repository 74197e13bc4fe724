"""What becomes of our own interventions: the alert groups that we resolved or silenced. Pure.

An alert group that we made quiet is ours to give back: Alertmanager announces an alert that it has announced before
only after `repeat_interval`, which may be hours. But only what we did is undone, and a later act of a person stands.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property

from alert_sync.model import (
    Action,
    AlertGroup,
    AlertGroupState,
    Change,
    Finding,
    IrmSnapshot,
    Member,
    Question,
    Verdict,
)
from alert_sync.recall import Intervention, Recall, key_of, place_of, short_hash
from alert_sync.verdicts import Judge, active_members, silence_end
from alert_sync.wording import handed_back_reason, moment

# Alertmanager keeps what it has sent for min(2 x repeat_interval, 120 h); after that it announces an alert anew.
NOTIFICATION_LOG_LIFE = timedelta(hours=120)
# A peer that never answers again must not make us remember for ever.
_LONGEST_DISTRUST = timedelta(days=30)
# IRM's clock and ours may differ by so much.
CLOCK_TOLERANCE = timedelta(seconds=60)
# IRM may take so long to process a webhook that it has taken in.
PROCESSING_TIME = timedelta(minutes=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Afterwards:
    """What a run does about its predecessors' interventions.

    `left_alone` maps ids of alert groups that a person has opened again, after we made them quiet, to the sentence
    that says so. `questions` are interventions that IRM has to be asked about first. `silence_ends` are when the alerts
    of others begin to be active again. `undone` are those that a person is seen to have undone for the first time,
    with the silences of now. `forgotten` says why no page is owed any more, where somebody may ask.
    """

    changes: tuple[Change, ...] = ()
    questions: tuple[Question, ...] = ()
    forgotten: Mapping[str, str] = field(default_factory=dict)
    left_alone: Mapping[str, str] = field(default_factory=dict)
    silence_ends: tuple[datetime, ...] = ()
    undone: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Next:
    """What becomes of one intervention. All empty: it is remembered further. `why` it is over, if somebody may ask."""

    change: Change | None = None
    question: Question | None = None
    is_over: bool = False
    why: str = ""
    left_alone: str = ""
    undone_under: str = ""
    silence_end: datetime | None = None


_OVER = _Next(is_over=True)


def _over(why: str) -> _Next:
    return _Next(is_over=True, why=why)


def _paged_by(group_id: str) -> _Next:
    return _over(f"alert group {group_id} is open for it")


def silences_of(members: Iterable[Member]) -> str:
    """Changes when the silences of an alert group's alerts do."""
    return short_hash(*sorted({silence.id for member in members for silence in member.silences}))


def follow_up(
    recall: Recall,
    judge: Judge,
    irm: IrmSnapshot,
    *,
    now: datetime,
    told: Mapping[str, str] | None,
) -> Afterwards:
    """Decide about every remembered intervention.

    Args:
        recall: what is remembered.
        judge: Alertmanager, as just read.
        irm: the open alert groups.
        now: the time.
        told: for each question, why IRM needs no page from us (empty text: it does). None: nothing was asked yet.
    """
    if not recall.interventions:
        return Afterwards()
    followed = _Followers(judge, irm, now, told)
    nexts = {key: followed.next(recall.interventions[key]) for key in sorted(recall.interventions)}
    alone = {recall.interventions[key].alert_group.id: each.left_alone for key, each in nexts.items()}
    return Afterwards(
        changes=tuple(each.change for each in nexts.values() if each.change is not None),
        questions=tuple(each.question for each in nexts.values() if each.question is not None),
        forgotten={key: each.why for key, each in nexts.items() if each.is_over},
        left_alone={group_id: reason for group_id, reason in alone.items() if reason},
        undone={key: each.undone_under for key, each in nexts.items() if each.undone_under},
        silence_ends=tuple(each.silence_end for each in nexts.values() if each.silence_end is not None),
    )


class _Followers:
    def __init__(self, judge: Judge, irm: IrmSnapshot, now: datetime, told: Mapping[str, str] | None) -> None:
        self._judge = judge
        self._now = now
        self._told = told
        self._by_id = {group.id: group for group in irm.alert_groups if group.is_open}
        self._by_key: defaultdict[str, list[AlertGroup]] = defaultdict(list)
        for group in self._by_id.values():
            self._by_key[key_of(group)].append(group)

    def next(self, intervention: Intervention) -> _Next:
        if intervention.action in (Action.SILENCE, Action.UNSILENCE):
            return self._silenced(intervention)
        return self._resolved(intervention)

    def _resolved(self, intervention: Intervention) -> _Next:
        """A group that we resolved, or made to page again and do not know whether that arrived."""
        group = intervention.alert_group
        of_key = self._by_key.get(intervention.key, ())
        # An older one takes no webhook any more: that it is open tells of a person, not of a later page.
        older = next((each for each in of_key if each.created_at < group.created_at), None)
        if again := self._by_id.get(group.id) or (older if len(of_key) == 1 else None):
            return self._opened_again(intervention, again)
        if of_key:
            return _paged_by(of_key[0].id)
        if intervention.verdict is Verdict.MISSING:
            return _OVER
        members = self._members(group)
        if active := self._owed(group, members):
            paging = self._paging_for(active, group)
            return _paged_by(paging) if paging else self._hand_back(intervention, active, members)
        life = _LONGEST_DISTRUST if self._judge.distrust else NOTIFICATION_LOG_LIFE
        is_over = not members and self._now - intervention.acted_at > life
        return _OVER if is_over else _Next(silence_end=silence_end(members))

    @cached_property
    def _by_place(self) -> Mapping[str, list[AlertGroup]]:
        by_place: defaultdict[str, list[AlertGroup]] = defaultdict(list)
        for group in self._by_id.values():
            by_place[place_of(group)].append(group)
        return by_place

    def _owed(self, group: AlertGroup, members: tuple[Member, ...]) -> tuple[Member, ...]:
        """The members that fire and that Alertmanager would send for this alert group, and no other."""
        in_place = self._judge.in_place(group.notification) if group.notification else frozenset[str]()
        return tuple(member for member in active_members(members) if member.alert.fingerprint in in_place)

    def _paging_for(self, active: Sequence[Member], group: AlertGroup) -> str:
        """The open alert group that lists them all: under another group key, after the routes were edited.

        Under the same receiver and labels: whoever another route pages is somebody else.
        """
        wanted = {each.alert.fingerprint for each in active}
        listed = {each.id: each.notification.firing for each in self._by_place[place_of(group)] if each.notification}
        return next((group_id for group_id, firing in listed.items() if wanted <= firing.keys()), "")

    def _opened_again(self, intervention: Intervention, group: AlertGroup) -> _Next:
        """It is open: our resolve never happened, or not yet, or a person took it back, which stands."""
        if not intervention.is_done and self._now < intervention.acted_at + PROCESSING_TIME:
            return _Next()
        if not intervention.is_done or intervention.action is not Action.RESOLVE:
            return _OVER
        return self._left_alone(intervention, group, "opened it again after this service resolved it")

    def _left_alone(self, intervention: Intervention, group: AlertGroup, what: str) -> _Next:
        """A person's later act stands until the silences are others."""
        members = self._members(group)
        silences = silences_of(members)
        # An Alertmanager that holds none of them, or that was restarted, says nothing about their silences.
        can_tell = bool(members) and not self._judge.distrust
        if can_tell and intervention.is_undone and silences != intervention.silences:
            return _OVER
        is_news = can_tell and not intervention.is_undone
        when = moment(intervention.acted_at)
        left_alone = f"a person {what} ({when}); left alone until its silences change"
        return _Next(left_alone=left_alone, undone_under=silences if is_news else "")

    def _hand_back(self, intervention: Intervention, active: tuple[Member, ...], members: tuple[Member, ...]) -> _Next:
        if self._told is None or intervention.key not in self._told:
            return _Next(question=_question(intervention, active))
        if reason := self._told[intervention.key]:
            return _over(reason)
        reason = handed_back_reason(active, members, intervention.acted_at)
        group = replace(intervention.alert_group, state=AlertGroupState.RESOLVED)
        finding = Finding(alert_group=group, verdict=Verdict.FIRING, reason=reason, members=members)
        return _Next(change=Change(finding=finding, action=Action.NOTIFY))

    def _silenced(self, intervention: Intervention) -> _Next:
        """A group that we silenced in IRM."""
        group = self._by_id.get(intervention.alert_group.id)
        if group is None:  # it is resolved, or it changed while the lists of IRM were read, and is in none of them
            return _OVER if self._has_ended(intervention) else _Next()
        if group.state is AlertGroupState.ACKNOWLEDGED:
            return _over("a person acknowledged it after this service silenced it")
        if group.state is not AlertGroupState.SILENCED:
            return self._unsilenced(intervention, group)
        if _was_silenced_by_another(group, intervention):
            return _over("a person silenced it anew after this service did")
        finding = self._judge.finding(group)
        if finding.verdict is Verdict.FIRING:
            return _Next(change=Change(finding=finding, action=Action.UNSILENCE))
        return _Next(silence_end=silence_end(finding.members))

    def _unsilenced(self, intervention: Intervention, group: AlertGroup) -> _Next:
        """It pages: its time is over, our silence never happened, or a person ended it early, which stands."""
        if not intervention.is_done or intervention.action is not Action.SILENCE or self._has_ended(intervention):
            return _OVER
        return self._left_alone(intervention, group, "ended the silence in IRM that this service had set")

    def _has_ended(self, intervention: Intervention) -> bool:
        """IRM counts from when it was asked, which was later: whatever its clock says, it has not ended before."""
        return intervention.silenced_until is None or self._now >= intervention.silenced_until

    def _members(self, group: AlertGroup) -> tuple[Member, ...]:
        return () if group.notification is None else self._judge.members(group.notification)


def _question(intervention: Intervention, active: Sequence[Member]) -> Question:
    """What has begun since before the run that made IRM quiet ended: it may have been slow, or have died."""
    return Question(
        key=intervention.key,
        alert_group=intervention.alert_group,
        since=intervention.intended_at or intervention.acted_at,
        acted_at=intervention.acted_at,
        alerts=frozenset(member.alert.fingerprint for member in active),
    )


def is_ours(intervention: Intervention | None, group: AlertGroup) -> bool:
    """Whether this silenced alert group is silenced by us, and by nobody since."""
    return (
        intervention is not None
        and intervention.action in (Action.SILENCE, Action.UNSILENCE)
        and intervention.alert_group.id == group.id
        and group.state is AlertGroupState.SILENCED
        and not _was_silenced_by_another(group, intervention)
    )


def _was_silenced_by_another(group: AlertGroup, intervention: Intervention) -> bool:
    return group.silenced_at is not None and group.silenced_at > intervention.acted_at + CLOCK_TOLERANCE
