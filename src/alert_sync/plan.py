"""Every decision of this service: what was read, what is remembered, a policy and the time in, a Plan out.

Pure: no network, no clock, no logging, no environment. The same facts give an equal plan, whatever their order.
The rule behind every rule: a wrong resolve hides a page from a person; a missed one is only noise. In doubt, keep.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from alert_sync.hand_back import Afterwards, follow_up, is_ours
from alert_sync.lost_resolves import LostResolves
from alert_sync.missing import missing_groups
from alert_sync.model import (
    Action,
    AlertGroupState,
    AlertmanagerSnapshot,
    Change,
    Finding,
    IrmSnapshot,
    Member,
    Plan,
    Policy,
    SilencedAction,
    Verdict,
)
from alert_sync.recall import Intervention, Recall, ResolutionStatus, key_of, sighting_of, signature_of
from alert_sync.verdicts import Judge, covered_until

# IRM answers 500 to a delay that leads beyond its calendar, as one from a silence "for ever" does.
_LONGEST_SILENCE = timedelta(days=365)
# A silence in IRM that ends within so much of when it should is left as it is.
_SILENCE_TOLERANCE = timedelta(seconds=60)
# Lost resolves are counted by themselves: an Alertmanager that has lost its alerts must not empty IRM.
_MAX_GONE_MINIMUM = 10

# What IRM can do from which state: it refuses to silence an acknowledged alert group, and for one that is silenced
# already it does not tell until when, so only memory knows whether that is still right.
_STATES_FOR = {
    SilencedAction.RESOLVE: frozenset({AlertGroupState.FIRING, AlertGroupState.ACKNOWLEDGED, AlertGroupState.SILENCED}),
    SilencedAction.REPORT: frozenset({AlertGroupState.FIRING, AlertGroupState.ACKNOWLEDGED, AlertGroupState.SILENCED}),
    SilencedAction.SILENCE: frozenset({AlertGroupState.FIRING}),
}
_NOTHING = Recall()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Changes that are too many to be true, and the sentence that says so."""

    changes: tuple[Change, ...]
    reason: str


def make_plan(
    alertmanager: AlertmanagerSnapshot,
    irm: IrmSnapshot,
    policy: Policy,
    *,
    now: datetime,
    recall: Recall = _NOTHING,
    told: Mapping[str, str] | None = None,
) -> Plan:
    """Decide what to do with every open alert group, and with those that this service has made quiet.

    | members in Alertmanager                                   | verdict      | we do                              |
    | --------------------------------------------------------- | ------------ | ---------------------------------- |
    | any active, unprocessed                                    | firing       | keep; lift a silence of ours       |
    | any that cannot be understood                              | unknown      | keep                               |
    | some, each under a silence that still holds                | silenced     | SILENCED_ACTION, in listed states  |
    | the same, but none that the payload lists is among them    | unknown      | keep: another Alertmanager's group |
    | the same, but the payload lists none that fires            | unknown      | keep: a person opened it again     |
    | the same, but one is missing or cut off and AM not trusted | unknown      | keep                               |
    | some, none active, not all silenced                        | suppressed   | keep                               |
    | none, Alertmanager trusted, payload complete               | gone         | keep; GONE_ACTION (lost_resolves)  |
    | none otherwise                                             | unknown      | keep                               |
    | the payload is not Alertmanager's                          | unmanaged    | keep                               |
    | other integration or team, or no member matches            | out_of_scope | keep                               |
    | active, in an alert group that we resolved                 | firing       | page again (hand_back)             |
    | active, and IRM has no alert group                         | missing      | MISSING_ACTION (missing)           |

    `told` has the answers to the questions of a first plan; see hand_back.follow_up.
    """
    judge = Judge(alertmanager, policy, now)
    findings = sorted((judge.finding(group) for group in irm.alert_groups if group.is_open), key=_age)
    seen = frozenset(sighting_of(finding.alert_group) for finding in findings if _is_seen(finding, judge))
    afterwards = follow_up(recall, judge, irm, now=now, told=told)
    standing, known = _without(recall, afterwards), seen | recall.seen
    missing, questions = missing_groups(alertmanager, irm, standing, judge, policy, now=now, seen=known, told=told)
    quietening = _Quietening(recall, afterwards, LostResolves(recall, alertmanager, policy, now), policy, now)
    changes, ignored = _wanted([*afterwards.changes, *missing, *quietening.changes(findings)], recall)
    return Plan(
        changes=changes,
        kept=quietening.kept(findings, changes),
        managed=sum(_is_managed(finding) for finding in findings),
        unreadable=irm.unreadable,
        distrust=judge.distrust,
        questions=(*afterwards.questions, *questions),
        forgotten=afterwards.forgotten,
        ignored=ignored,
        silence_ends=afterwards.silence_ends,
        undone=afterwards.undone,
        seen=seen,
    )


def check_plan(plan: Plan, policy: Policy) -> tuple[Refusal, ...]:
    """Which changes are too many to be true. What makes IRM page again is never refused.

    Lost resolves by MAX_GONE_PERCENT, and all that quietens IRM by MAX_CHANGES_PERCENT, each with a minimum below which
    the share does not matter.
    """
    quietening = [change for change in plan.changes if _makes_quiet(change)]
    gone = [change for change in quietening if change.finding.verdict is Verdict.GONE]
    refusals = []
    if _exceeds(gone, plan, policy.max_gone_percent, _MAX_GONE_MINIMUM):
        reason = (
            f"{len(gone)} of {plan.managed} managed alert groups have lost all their alerts in Alertmanager: more than "
            f"MAX_GONE_PERCENT={policy.max_gone_percent} allows. If Alertmanager has really not lost them, run once "
            "with force=true."
        )
        refusals.append(Refusal(changes=tuple(gone), reason=reason))
        quietening = [change for change in quietening if change.finding.verdict is not Verdict.GONE]
    if _exceeds(quietening, plan, policy.max_changes_percent, policy.max_changes_minimum):
        reason = (
            f"{len(quietening)} of {plan.managed} managed alert groups would be quietened: more than "
            f"MAX_CHANGES_PERCENT={policy.max_changes_percent} and MAX_CHANGES_MINIMUM={policy.max_changes_minimum} "
            "allow. If Alertmanager's silences are really that wide, run once with force=true."
        )
        refusals.append(Refusal(changes=tuple(quietening), reason=reason))
    return tuple(refusals)


class _Quietening:
    """What is made quiet among the open alert groups, and why the others are not."""

    def __init__(
        self, recall: Recall, afterwards: Afterwards, lost: LostResolves, policy: Policy, now: datetime
    ) -> None:
        self._recall = recall
        self._left_alone = afterwards.left_alone
        # One memory for each group key: a newer alert group of it must not make us forget what a person wants.
        self._keys_left_alone = {
            each.key for each in recall.interventions.values() if each.alert_group.id in afterwards.left_alone
        }
        self._paging = {change.finding.alert_group.id for change in afterwards.changes}
        self._lost = lost
        self._policy = policy
        self._now = now

    def changes(self, findings: Iterable[Finding]) -> Iterable[Change]:
        """By verdict."""
        for finding in findings:
            group = finding.alert_group
            held = self._keys_left_alone | self._recall.unreadable
            if group.id in self._paging or (held and key_of(group) in held):
                continue
            change = self._silenced(finding) or self._lost.change(finding)
            if change is not None:
                yield change

    def kept(self, findings: Iterable[Finding], changes: Iterable[Change]) -> tuple[Finding, ...]:
        """Those that are not changed, with what memory adds to their reasons."""
        changed = {change.finding.alert_group.id for change in changes}
        return tuple(self._kept(finding) for finding in findings if finding.alert_group.id not in changed)

    def _kept(self, finding: Finding) -> Finding:
        if alone := self._left_alone.get(finding.alert_group.id):
            return replace(finding, reason=alone)
        if self._keys_left_alone and key_of(finding.alert_group) in self._keys_left_alone:
            return replace(finding, reason=f"{finding.reason}; left alone with the one of its key that a person opened")
        if _is_ignored(finding, self._recall):
            return replace(finding, reason=f"{finding.reason}; a person said to ignore it until that changes")
        if finding.verdict is Verdict.GONE and self._recall.is_on and (doubt := self._lost.doubt(finding)):
            return replace(finding, reason=f"{finding.reason}; {doubt}")
        return finding

    def _silenced(self, finding: Finding) -> Change | None:
        action, group = self._policy.silenced_action, finding.alert_group
        if finding.verdict is not Verdict.SILENCED or group.state is None:
            return None
        if action is SilencedAction.SILENCE and is_ours(ours := self._recall.interventions.get(key_of(group)), group):
            return self._silenced_anew(finding, ours)
        if group.state not in self._policy.alert_group_states & _STATES_FOR[action]:
            return None
        seconds = self._silence_seconds(finding) if action is SilencedAction.SILENCE else None
        return Change(finding=finding, action=Action(action.value), silence_seconds=seconds)

    def _silenced_anew(self, finding: Finding, ours: Intervention | None) -> Change | None:
        """For an alert group that we silenced: if their end has changed in Alertmanager, or is uncertain in IRM."""
        seconds = self._silence_seconds(finding)
        wanted = self._now + timedelta(seconds=seconds)
        until = ours.silenced_until if ours is not None and ours.is_done else None
        # A silence "for ever" is cut short, so its end moves on with the time: it is prolonged halfway.
        tolerance = _LONGEST_SILENCE / 2 if seconds == _LONGEST_SILENCE.total_seconds() else _SILENCE_TOLERANCE
        if until is not None and abs(wanted - until) <= tolerance:
            return None
        return Change(finding=finding, action=Action.SILENCE, silence_seconds=seconds)

    def _silence_seconds(self, finding: Finding) -> int:
        return _silence_seconds(finding.members, self._policy.interval, self._now)


def _makes_quiet(change: Change) -> bool:
    """Prolonging a silence of ours makes nothing quiet that was not."""
    return change.action.quietens and not (
        change.action is Action.SILENCE and change.finding.alert_group.state is AlertGroupState.SILENCED
    )


def _without(recall: Recall, afterwards: Afterwards) -> Recall:
    """What is remembered without what is over, which holds nothing back any more."""
    over = frozenset(afterwards.forgotten)
    standing = {key: each for key, each in recall.interventions.items() if key not in over}
    return replace(recall, interventions=standing)


def _wanted(made: Iterable[Change], recall: Recall) -> tuple[tuple[Change, ...], tuple[Change, ...]]:
    """The changes in their order, and apart from them those that a person said to ignore."""
    wanted: tuple[list[Change], list[Change]] = ([], [])
    for change in sorted(made, key=_order):
        wanted[_is_ignored(change.finding, recall)].append(change)
    return tuple(wanted[False]), tuple(wanted[True])


def _exceeds(changes: Sequence[Change], plan: Plan, percent: int, minimum: int) -> bool:
    return len(changes) > minimum and len(changes) * 100 > percent * plan.managed


def _is_managed(finding: Finding) -> bool:
    is_ours = finding.verdict not in (Verdict.UNMANAGED, Verdict.OUT_OF_SCOPE)
    return is_ours and not finding.alert_group.fault


def _age(finding: Finding) -> tuple[datetime, str]:
    return finding.alert_group.created_at, finding.alert_group.id


def _order(change: Change) -> tuple[bool, datetime, str]:
    """Whatever makes IRM page again first; inside that by age."""
    return (not change.action.makes_irm_page, *_age(change.finding))


def _is_ignored(finding: Finding, recall: Recall) -> bool:
    """Whether a person said so, of these very facts."""
    mismatch = recall.mismatch_of(finding.verdict, finding.alert_group)
    return (
        mismatch is not None
        and mismatch.resolution_status is ResolutionStatus.IGNORED
        and mismatch.signature == signature_of(finding)
    )


def _is_seen(finding: Finding, judge: Judge) -> bool:
    """Whether Alertmanager would send an alert that its last webhook listed, to that receiver under those labels."""
    notification = finding.alert_group.notification
    return notification is not None and not judge.in_place(notification).isdisjoint(notification.firing)


def _silence_seconds(members: Sequence[Member], interval: timedelta, now: datetime) -> int:
    """The time that is left, and one interval more, so that a lost resolve is seen before IRM pages again.

    Never 0 or negative, which IRM takes for ever.
    """
    left = min(covered_until(members) - now + interval, _LONGEST_SILENCE)
    return max(1, math.ceil(left.total_seconds()))
