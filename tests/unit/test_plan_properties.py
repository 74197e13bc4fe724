"""What must hold of every plan, whatever the two systems say: few fingerprints and labels, so that they meet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random
from typing import TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st

from alert_sync.membership import quote_receiver
from alert_sync.model import (
    Action,
    AggregationGroup,
    Alert,
    AlertGroup,
    AlertGroupState,
    AlertmanagerSnapshot,
    AlertState,
    Finding,
    GoneAction,
    IrmSnapshot,
    MissingAction,
    Notification,
    Peer,
    Plan,
    Policy,
    Silence,
    SilencedAction,
    SilenceState,
    Verdict,
)
from alert_sync.plan import check_plan, make_plan
from alert_sync.recall import (
    Intervention,
    Mismatch,
    Recall,
    Receiver,
    ResolutionStatus,
    key_of,
    short_hash,
    sighting_of,
    signature_of,
    subject_of,
)
from alert_sync.verdicts import Judge, active_members
from tests.builders import LONG_AGO, NOW, a_mismatch, a_peer, an_alert_group

T = TypeVar("T")
U = TypeVar("U")

QUIETENS = (SilencedAction.RESOLVE, SilencedAction.SILENCE)

fingerprints = st.sampled_from(["f1", "f2", "f3"])
silence_ids = st.sampled_from(["s1", "s2"])
receivers = st.sampled_from(["oncall", "a.b"])
label_pairs = st.sampled_from([frozenset({("a", "1")}), frozenset({("a", "2")}), frozenset[tuple[str, str]]()])
moments = st.integers(-2, 2).map(lambda minutes: NOW + timedelta(minutes=minutes))

alerts = st.builds(
    Alert,
    fingerprint=fingerprints,
    state=st.sampled_from(AlertState),
    updated_at=moments,
    silenced_by=st.lists(silence_ids, max_size=2, unique=True).map(tuple),
    inhibited_by=st.sampled_from([(), ("f9",)]),
    labels=st.just({"alertname": "x"}),
    starts_at=st.sampled_from([None, LONG_AGO, NOW]),
)
aggregation_groups = st.builds(
    AggregationGroup, receiver=receivers, group_labels=label_pairs, alerts=st.lists(alerts, max_size=3).map(tuple)
)
peers = st.builds(
    Peer,
    url=st.sampled_from(["http://a", "http://b"]),
    fault=st.sampled_from(["", "", "down"]),
    cluster_status=st.sampled_from([None, "ready", "disabled", "settling"]),
    started_at=st.sampled_from([None, LONG_AGO, NOW]),
    aggregation_groups=st.lists(aggregation_groups, max_size=3).map(tuple),
    unreadable=st.sampled_from([0, 0, 0, 1]),
)
silences = st.lists(
    st.builds(
        Silence,
        id=silence_ids,
        state=st.sampled_from(SilenceState),
        ends_at=moments,
        author=st.just("ann"),
        comment=st.just(""),
    ),
    max_size=2,
    unique_by=lambda silence: silence.id,
).map(lambda each: {silence.id: silence for silence in each})
alertmanagers = st.builds(
    AlertmanagerSnapshot, peers=st.lists(peers, min_size=1, max_size=2).map(tuple), silences=silences
)
notifications = st.builds(
    Notification,
    receiver=receivers.map(quote_receiver),
    group_labels=label_pairs,
    firing=st.sets(fingerprints, max_size=2).map(lambda found: {each: {"alertname": "x"} for each in sorted(found)}),
    truncated_alerts=st.sampled_from([0, 0, 2]),
    legacy=st.booleans(),
    sent_at=st.sampled_from([None, LONG_AGO, NOW - timedelta(days=6), NOW]),
    webhook=st.sampled_from([{}, {"groupKey": "k1"}, {"groupKey": "k2"}]),
)
alert_groups = st.builds(
    AlertGroup,
    id=st.sampled_from(["I1", "I2", "I3", "I4"]),
    title=st.just("title"),
    url=st.just(""),
    state=st.sampled_from([None, *AlertGroupState]),
    created_at=moments,
    integration_id=st.sampled_from(["C1", "C2"]),
    team_id=st.just(""),
    notification=st.none() | notifications,
    fault=st.sampled_from(["", "", "", "odd"]),
)
irms = st.lists(alert_groups, max_size=4, unique_by=lambda group: group.id).map(
    lambda groups: IrmSnapshot(alert_groups=tuple(groups))
)
policies = st.builds(
    Policy,
    silenced_action=st.sampled_from(SilencedAction),
    alert_group_states=st.frozensets(
        st.sampled_from([AlertGroupState.FIRING, AlertGroupState.ACKNOWLEDGED, AlertGroupState.SILENCED]), min_size=1
    ),
    integration_ids=st.sampled_from([frozenset[str](), frozenset({"C1"})]),
    gone_action=st.sampled_from(GoneAction),
    missing_action=st.sampled_from(MissingAction),
    max_changes_percent=st.sampled_from([0, 50]),
    max_changes_minimum=st.sampled_from([0, 20]),
    max_gone_percent=st.sampled_from([0, 30]),
)


def quietened(plan: Plan) -> set[str]:
    return {change.finding.alert_group.id for change in plan.changes if change.action.quietens}


@given(alertmanagers, irms, policies, st.randoms(use_true_random=False))
def test_order_of_what_was_read_does_not_matter(
    alertmanager: AlertmanagerSnapshot, irm: IrmSnapshot, policy: Policy, random: Random
) -> None:
    def shuffled(items: tuple[T, ...]) -> tuple[T, ...]:
        return tuple(random.sample(items, len(items)))

    mixed = AlertmanagerSnapshot(
        peers=tuple(
            replace(
                peer,
                aggregation_groups=shuffled(
                    tuple(replace(group, alerts=shuffled(group.alerts)) for group in peer.aggregation_groups)
                ),
            )
            for peer in shuffled(alertmanager.peers)
        ),
        silences=dict(shuffled(tuple(alertmanager.silences.items()))),
    )

    again = make_plan(mixed, IrmSnapshot(alert_groups=shuffled(irm.alert_groups)), policy, now=NOW)

    assert again == make_plan(alertmanager, irm, policy, now=NOW)


@given(alertmanagers, irms, policies)
def test_every_open_group_is_changed_once_or_kept_once(
    alertmanager: AlertmanagerSnapshot, irm: IrmSnapshot, policy: Policy
) -> None:
    plan = make_plan(alertmanager, irm, policy, now=NOW)

    named = [change.finding.alert_group.id for change in plan.changes] + [each.alert_group.id for each in plan.kept]
    open_ids = [group.id for group in irm.alert_groups if group.state is not AlertGroupState.RESOLVED]
    assert sorted(named) == sorted(open_ids)


@settings(max_examples=500)
@given(alertmanagers, irms, policies)
def test_group_with_an_active_member_is_never_quietened(
    alertmanager: AlertmanagerSnapshot, irm: IrmSnapshot, policy: Policy
) -> None:
    """Membership is worked out anew here, by the definition and without the index."""
    plan = make_plan(alertmanager, irm, policy, now=NOW)

    not_quiet = (AlertState.ACTIVE, AlertState.UNPROCESSED, AlertState.UNKNOWN)
    for group in irm.alert_groups:
        records = [
            alert
            for peer in alertmanager.peers
            for each in peer.aggregation_groups
            for alert in each.alerts
            if group.notification is not None
            and (
                alert.fingerprint in group.notification.firing
                or any(
                    quote_receiver(other.receiver) == group.notification.receiver
                    and other.group_labels == group.notification.group_labels
                    and not group.notification.legacy
                    and alert.fingerprint in {member.fingerprint for member in other.alerts}
                    for another in alertmanager.peers
                    for other in another.aggregation_groups
                )
            )
        ]
        if any(record.state in not_quiet for record in records):
            assert group.id not in quietened(plan)


@given(alertmanagers, irms, policies)
def test_group_that_is_not_ours_is_never_touched(
    alertmanager: AlertmanagerSnapshot, irm: IrmSnapshot, policy: Policy
) -> None:
    plan = make_plan(alertmanager, irm, policy, now=NOW)

    for change in plan.changes:
        group = change.finding.alert_group
        assert group.notification is not None
        assert not group.fault
        assert group.state in policy.alert_group_states
        assert not policy.integration_ids or group.integration_id in policy.integration_ids


@given(alertmanagers, irms, policies)
def test_every_quietened_member_is_under_a_silence_that_holds(
    alertmanager: AlertmanagerSnapshot, irm: IrmSnapshot, policy: Policy
) -> None:
    plan = make_plan(alertmanager, irm, policy, now=NOW)

    for change in plan.changes:
        assert change.finding.verdict is Verdict.SILENCED
        assert change.finding.members
        for member in change.finding.members:
            assert any(each.state is SilenceState.ACTIVE and each.ends_at > NOW for each in member.silences)


@given(alertmanagers, irms, policies.filter(lambda policy: policy.silenced_action in QUIETENS))
def test_carried_out_plan_leaves_an_empty_plan(
    alertmanager: AlertmanagerSnapshot, irm: IrmSnapshot, policy: Policy
) -> None:
    plan = make_plan(alertmanager, irm, policy, now=NOW)
    resolves = policy.silenced_action is SilencedAction.RESOLVE
    wanted = AlertGroupState.RESOLVED if resolves else AlertGroupState.SILENCED
    after = tuple(replace(group, state=wanted) if group.id in quietened(plan) else group for group in irm.alert_groups)

    again = make_plan(alertmanager, IrmSnapshot(alert_groups=after), policy, now=NOW)

    assert again.changes == ()


@given(alertmanagers, irms, policies)
def test_irm_silence_is_never_for_ever(alertmanager: AlertmanagerSnapshot, irm: IrmSnapshot, policy: Policy) -> None:
    plan = make_plan(alertmanager, irm, policy, now=NOW)

    for change in plan.changes:
        is_silence = change.action is Action.SILENCE
        assert (change.silence_seconds is not None and change.silence_seconds > 0) == is_silence


@given(alertmanagers, policies)
def test_alertmanager_that_cannot_be_trusted_never_makes_a_lost_resolve(
    alertmanager: AlertmanagerSnapshot, policy: Policy
) -> None:
    plan = make_plan(alertmanager, IrmSnapshot(alert_groups=(an_alert_group(),)), policy, now=NOW)

    if plan.distrust:
        assert Verdict.GONE not in {finding.verdict for finding in plan.kept}


# --- with memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Everything that a plan with memory is made from."""

    alertmanager: AlertmanagerSnapshot
    irm: IrmSnapshot
    policy: Policy
    recall: Recall
    told: Mapping[str, str]

    def plan(self) -> Plan:
        return make_plan(self.alertmanager, self.irm, self.policy, now=NOW, recall=self.recall, told=self.told)

    @property
    def judge(self) -> Judge:
        return Judge(self.alertmanager, self.policy, NOW)

    @property
    def open_groups(self) -> list[AlertGroup]:
        return [group for group in self.irm.alert_groups if group.state is not AlertGroupState.RESOLVED]


past = st.sampled_from(
    [timedelta(0), timedelta(minutes=14), timedelta(minutes=15), timedelta(hours=1), timedelta(days=6)]
)
silence_hashes = st.sampled_from([short_hash(), short_hash("s1"), short_hash("s2"), short_hash("s1", "s2")])
answers = st.sampled_from(["", "", "IRM was told of it since"])


@st.composite
def interventions(draw: st.DrawFn) -> Intervention:
    group = draw(alert_groups)
    return Intervention(
        key=key_of(group),
        alert_group=group,
        action=draw(st.sampled_from([Action.RESOLVE, Action.RESOLVE, Action.SILENCE, Action.UNSILENCE, Action.NOTIFY])),
        verdict=draw(st.sampled_from([Verdict.SILENCED, Verdict.GONE])),
        silences=draw(silence_hashes),
        acted_at=NOW - draw(past),
        run_id="r0",
        is_done=draw(st.booleans()),
        silenced_until=draw(st.none() | moments),
        version=1,
    )


@st.composite
def known_worlds(draw: st.DrawFn) -> Known:
    """Memory that fits what is there, more often than chance would have it."""
    alertmanager, irm, policy = draw(alertmanagers), draw(irms), draw(policies)
    own = {each.key: each for each in draw(st.lists(interventions(), max_size=3))}
    judge = Judge(alertmanager, policy, NOW)
    findings = [judge.finding(group) for group in irm.alert_groups]
    recall = Recall(
        is_on=True,
        interventions=own,
        mismatches={
            each: draw(mismatches_of(finding)) for each, finding in _identified(findings) if draw(st.booleans())
        },
        seen=frozenset(sighting_of(group) for group in irm.alert_groups if draw(st.booleans())),
        receivers=draw(
            st.sampled_from([{}, {"oncall": Receiver(integration_id="C1", seen_on="2026-11-21", routes={"a": "{}"})}])
        ),
    )
    first = make_plan(alertmanager, irm, policy, now=NOW, recall=recall)
    told = {each.key: draw(answers) for each in first.questions if draw(st.sampled_from([True, True, False]))}
    return Known(alertmanager=alertmanager, irm=irm, policy=policy, recall=recall, told=told)


def _identified(findings: list[Finding]) -> list[tuple[tuple[Verdict, str], Finding]]:
    return [((finding.verdict, subject_of(finding)), finding) for finding in findings]


@st.composite
def mismatches_of(draw: st.DrawFn, finding: Finding) -> Mismatch:
    known = a_mismatch(
        finding,
        detected_at=NOW - draw(past),
        resolution_status=draw(st.sampled_from([ResolutionStatus.PENDING, ResolutionStatus.IGNORED])),
    )
    return replace(known, signature=draw(st.sampled_from([known.signature, known.signature, "another"])))


@settings(max_examples=200)
@given(known_worlds(), st.randoms(use_true_random=False))
def test_order_of_what_is_remembered_does_not_matter(known: Known, random: Random) -> None:
    def shuffled(items: Mapping[T, U]) -> Mapping[T, U]:
        return dict(random.sample(list(items.items()), len(items)))

    recall = replace(
        known.recall,
        interventions=shuffled(known.recall.interventions),
        mismatches=shuffled(known.recall.mismatches),
        receivers=shuffled(known.recall.receivers),
    )
    irm = IrmSnapshot(alert_groups=tuple(random.sample(known.irm.alert_groups, len(known.irm.alert_groups))))

    assert replace(known, recall=recall, irm=irm, told=shuffled(known.told)).plan() == known.plan()


@given(known_worlds())
def test_nothing_that_makes_irm_page_is_ever_refused(known: Known) -> None:
    refused = [change for refusal in check_plan(known.plan(), known.policy) for change in refusal.changes]

    assert not any(change.action.makes_irm_page for change in refused)
    assert len({id(change) for change in refused}) == len(refused)


@settings(max_examples=300)
@given(known_worlds())
def test_no_group_key_is_changed_twice_by_paging(known: Known) -> None:
    """Nor is IRM made to page where it has an open alert group of that key, or quietened and paged at once."""
    plan = known.plan()

    subjects = [subject_of(change.finding) for change in plan.changes]
    paged = [key_of(change.finding.alert_group) for change in plan.changes if change.action is Action.NOTIFY]
    assert len(subjects) == len(set(subjects))
    assert len(paged) == len(set(paged))
    assert {key_of(group) for group in known.open_groups}.isdisjoint(paged)


@settings(max_examples=300)
@given(known_worlds())
def test_what_we_resolved_is_handed_back_or_somebody_has_seen_to_it(known: Known) -> None:
    """No intervention is forgotten while one of its alerts is active, unless IRM has or had an alert group for it."""
    plan = known.plan()

    paged = {key_of(change.finding.alert_group) for change in (*plan.changes, *plan.ignored)}
    asked = {question.key for question in plan.questions}
    open_names = {name for group in known.open_groups for name in (group.id, key_of(group))}
    listed = {
        (group.integration_id, each)
        for group in known.open_groups
        if group.notification
        for each in group.notification.firing
    }
    for key, ours in known.recall.interventions.items():
        group, notification = ours.alert_group, ours.alert_group.notification
        is_quiet = open_names.isdisjoint({group.id, key})
        if notification is None or not is_quiet or ours.action not in (Action.RESOLVE, Action.NOTIFY):
            continue
        owed = known.judge.in_place(notification)
        active = {each.alert.fingerprint for each in active_members(known.judge.members(notification))} & owed
        if active and not all((group.integration_id, each) in listed for each in active):
            assert key in paged or key in asked or known.told.get(key)


@given(known_worlds())
def test_person_who_opened_a_group_again_is_not_overruled(known: Known) -> None:
    plan = known.plan()

    by_id = {group.id: group for group in known.open_groups}
    for ours in known.recall.interventions.values():
        group = by_id.get(ours.alert_group.id)
        if group is None or group.notification is None or ours.alert_group.notification is None:
            continue
        silences = {each.id for member in known.judge.members(group.notification) for each in member.silences}
        is_as_then = short_hash(*sorted(silences)) == ours.silences
        if ours.is_done and ours.action is Action.RESOLVE and is_as_then:
            assert group.id not in quietened(plan)


@given(known_worlds())
def test_what_a_person_ignores_is_not_changed(known: Known) -> None:
    for change in known.plan().changes:
        mismatch = known.recall.mismatches.get((change.finding.verdict, subject_of(change.finding)))
        is_ignored = mismatch is not None and mismatch.resolution_status is ResolutionStatus.IGNORED
        assert not (is_ignored and mismatch is not None and mismatch.signature == signature_of(change.finding))


@given(known_worlds())
def test_only_what_we_silenced_is_unsilenced(known: Known) -> None:
    for change in known.plan().changes:
        if change.action is Action.UNSILENCE:
            group = change.finding.alert_group
            ours = [each for each in known.recall.interventions.values() if each.alert_group.id == group.id]
            assert any(each.action in (Action.SILENCE, Action.UNSILENCE) for each in ours)
            assert group.state is AlertGroupState.SILENCED
            assert change.finding.verdict is Verdict.FIRING


@given(known_worlds())
def test_nothing_is_done_from_memory_where_there_is_none(known: Known) -> None:
    plan = replace(known, recall=Recall()).plan()

    assert all(change.finding.verdict is Verdict.SILENCED for change in plan.changes)
    assert (plan.questions, plan.forgotten, plan.ignored, plan.silence_ends) == ((), {}, (), ())


# --- lost resolves, adversarially: all is well, and then some of it is not


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubts:
    """What speaks against a lost resolve. By default, nothing does."""

    first_seen: datetime = NOW - timedelta(hours=1)
    signature_differs: bool = False
    verdict_then: Verdict = Verdict.GONE
    is_on: bool = True
    is_seen: bool = True
    sent_at: datetime | None = LONG_AGO
    firing: tuple[str, ...] = ("f1",)
    truncated: int = 0
    started_at: datetime | None = LONG_AGO
    cluster_status: str | None = "ready"
    other_peer_fault: str = ""
    unreadable: int = 0
    gone_action: GoneAction = GoneAction.RESOLVE
    held: tuple[AggregationGroup, ...] = ()

    @property
    def is_beyond_doubt(self) -> bool:
        wait = timedelta(minutes=15)
        moments = [self.first_seen, *([self.sent_at] if self.sent_at else [])]
        moments += [self.started_at + timedelta(minutes=10)] if self.started_at else []
        is_ours = self.is_seen or (self.sent_at is not None and NOW - self.sent_at > timedelta(hours=120, minutes=15))
        return (
            is_ours
            and self.is_on
            and all(NOW - moment >= wait for moment in moments)
            and not (self.signature_differs or self.truncated or self.other_peer_fault or self.unreadable or self.held)
            and self.verdict_then is Verdict.GONE
            and self.cluster_status != "settling"
            and self.gone_action is GoneAction.RESOLVE
            and self.firing != ()
        )


OURS = frozenset({("a", "1")})
ages = st.sampled_from(
    [timedelta(seconds=seconds) for seconds in (0, 599, 600, 899, 900, 1499, 1500, 3600, 6 * 86_400)]
).map(lambda age: NOW - age)
held_groups = st.builds(
    AggregationGroup,
    receiver=st.just("oncall"),
    group_labels=st.sampled_from([OURS, frozenset({("a", "2")})]),
    alerts=st.builds(Alert, fingerprint=st.just("f1"), state=st.sampled_from(AlertState), updated_at=st.just(NOW)).map(
        lambda alert: (alert,)
    ),
)
doubts = st.fixed_dictionaries(
    {},
    optional={
        "first_seen": ages,
        "signature_differs": st.booleans(),
        "verdict_then": st.sampled_from([Verdict.GONE, Verdict.SILENCED]),
        "is_on": st.booleans(),
        "is_seen": st.booleans(),
        "sent_at": st.none() | ages,
        "firing": st.sampled_from([(), ("f1",), ("f1", "f2")]),
        "truncated": st.sampled_from([0, 1]),
        "started_at": st.none() | ages,
        "cluster_status": st.sampled_from([None, "ready", "disabled", "settling"]),
        "other_peer_fault": st.sampled_from(["", "down"]),
        "unreadable": st.sampled_from([0, 1]),
        "gone_action": st.sampled_from(GoneAction),
        "held": st.lists(held_groups, max_size=1).map(tuple),
    },
).map(lambda values: Doubts(**values))


@settings(max_examples=500)
@given(doubts)
def test_lost_resolve_is_resolved_if_it_is_beyond_doubt_and_never_otherwise(doubt: Doubts) -> None:
    """The conditions are worked out anew here, from what each of them is for."""
    notification = Notification(
        receiver="oncall",
        group_labels=OURS,
        firing={each: {} for each in doubt.firing},
        truncated_alerts=doubt.truncated,
        sent_at=doubt.sent_at,
    )
    group = an_alert_group(notification=notification)
    finding = Finding(alert_group=group, verdict=doubt.verdict_then, reason="as seen then")
    mismatch = a_mismatch(finding, detected_at=doubt.first_seen)
    if doubt.signature_differs:
        mismatch = replace(mismatch, signature="another")
    recall = Recall(
        is_on=doubt.is_on,
        mismatches={(mismatch.type, mismatch.subject): mismatch},
        seen=frozenset({sighting_of(group)}) if doubt.is_seen else frozenset(),
    )
    peer = a_peer(
        *doubt.held,
        started_at=doubt.started_at,
        cluster_status=doubt.cluster_status,
        unreadable=doubt.unreadable,
    )
    alertmanager = AlertmanagerSnapshot(peers=(peer, a_peer(url="http://b", fault=doubt.other_peer_fault)))
    policy = Policy(gone_action=doubt.gone_action)

    plan = make_plan(alertmanager, IrmSnapshot(alert_groups=(group,)), policy, now=NOW, recall=recall)

    assert quietened(plan) == ({group.id} if doubt.is_beyond_doubt else set())
