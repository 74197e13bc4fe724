"""What must hold of every plan, whatever the two systems say: few fingerprints and labels, so that they meet."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st

from alert_sync.membership import quote_receiver
from alert_sync.model import (
    AggregationGroup,
    Alert,
    AlertGroup,
    AlertGroupState,
    AlertmanagerSnapshot,
    AlertState,
    IrmSnapshot,
    Notification,
    Peer,
    Plan,
    Policy,
    Silence,
    SilencedAction,
    SilenceState,
    Verdict,
)
from alert_sync.plan import make_plan
from tests.builders import LONG_AGO, NOW, an_alert_group

T = TypeVar("T")

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
)


def quietened(plan: Plan) -> set[str]:
    return {change.finding.alert_group.id for change in plan.changes if change.action in QUIETENS}


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
        is_silence = change.action is SilencedAction.SILENCE
        assert (change.silence_seconds is not None and change.silence_seconds > 0) == is_silence


@given(alertmanagers, policies)
def test_alertmanager_that_cannot_be_trusted_never_makes_a_lost_resolve(
    alertmanager: AlertmanagerSnapshot, policy: Policy
) -> None:
    plan = make_plan(alertmanager, IrmSnapshot(alert_groups=(an_alert_group(),)), policy, now=NOW)

    if plan.distrust:
        assert Verdict.GONE not in {finding.verdict for finding in plan.kept}
