"""Facts for tests: valid by default, so that a test names only what it is about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

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
    Silence,
    SilenceState,
)

NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=3)
RECEIVER = "oncall"
GROUP_LABELS = {"alertname": "HighLatency", "cluster": "eu"}


def an_alert(
    fingerprint: str = "f1",
    *,
    state: AlertState = AlertState.ACTIVE,
    silenced_by: tuple[str, ...] = (),
    inhibited_by: tuple[str, ...] = (),
    updated_at: datetime = NOW - timedelta(minutes=1),
    labels: Mapping[str, str] | None = None,
) -> Alert:
    """An active alert."""
    return Alert(
        fingerprint=fingerprint,
        state=state,
        updated_at=updated_at,
        silenced_by=silenced_by,
        inhibited_by=inhibited_by,
        labels=labels or {"alertname": "HighLatency"},
    )


def a_silenced_alert(fingerprint: str = "f1", *, by: tuple[str, ...] = ("s1",), **more: object) -> Alert:
    """A suppressed alert that silence s1 covers."""
    return an_alert(fingerprint, state=AlertState.SUPPRESSED, silenced_by=by, **more)  # type: ignore[arg-type] # passed on


def an_inhibited_alert(fingerprint: str = "f1") -> Alert:
    """A suppressed alert that no silence covers."""
    return an_alert(fingerprint, state=AlertState.SUPPRESSED, inhibited_by=("f9",))


def a_silence(
    silence_id: str = "s1",
    *,
    state: SilenceState = SilenceState.ACTIVE,
    ends_in: timedelta = timedelta(hours=1),
    author: str = "ann",
    comment: str = "deploy",
) -> Silence:
    """A silence that holds for another hour."""
    return Silence(id=silence_id, state=state, ends_at=NOW + ends_in, author=author, comment=comment)


def an_aggregation_group(
    *alerts: Alert, receiver: str = RECEIVER, group_labels: Mapping[str, str] | None = None
) -> AggregationGroup:
    """Alerts that Alertmanager groups for our receiver."""
    labels = GROUP_LABELS if group_labels is None else group_labels
    return AggregationGroup(receiver=receiver, group_labels=frozenset(labels.items()), alerts=alerts)


def a_peer(
    *groups: AggregationGroup,
    url: str = "http://a:9093",
    fault: str = "",
    cluster_status: str | None = "ready",
    started_at: datetime | None = LONG_AGO,
    unreadable: int = 0,
) -> Peer:
    """A peer that answered in full and has been up for days."""
    return Peer(
        url=url,
        fault=fault,
        cluster_status=cluster_status,
        started_at=started_at,
        aggregation_groups=groups,
        unreadable=unreadable,
    )


def alertmanager_with(*alerts: Alert, silences: Iterable[Silence] | None = None) -> AlertmanagerSnapshot:
    """One trusted peer whose only aggregation group is our alert group's; silence s1 holds."""
    return peers_with(a_peer(an_aggregation_group(*alerts)), silences=silences)


def peers_with(*peers: Peer, silences: Iterable[Silence] | None = None) -> AlertmanagerSnapshot:
    """These peers; silence s1 holds."""
    known = [a_silence()] if silences is None else silences
    return AlertmanagerSnapshot(peers=peers, silences={silence.id: silence for silence in known})


def a_notification(
    *firing: str,
    receiver: str = RECEIVER,
    group_labels: Mapping[str, str] | None = None,
    truncated_alerts: int = 0,
    legacy: bool = False,
) -> Notification:
    """The webhook that listed these fingerprints as firing."""
    labels = GROUP_LABELS if group_labels is None else group_labels
    return Notification(
        receiver=quote_receiver(receiver),
        group_labels=frozenset(labels.items()),
        firing={fingerprint: {"alertname": "HighLatency"} for fingerprint in firing or ("f1",)},
        truncated_alerts=truncated_alerts,
        legacy=legacy,
    )


def an_alert_group(
    group_id: str = "I1",
    *,
    state: AlertGroupState | None = AlertGroupState.FIRING,
    notification: Notification | None = None,
    managed: bool = True,
    created_at: datetime = NOW - timedelta(hours=1),
    integration_id: str = "C1",
    team_id: str = "",
    fault: str = "",
) -> AlertGroup:
    """A firing alert group whose last webhook listed f1 as firing. `managed=False`: not Alertmanager's."""
    return AlertGroup(
        id=group_id,
        title=f"title of {group_id}",
        url=f"http://grafana.example/{group_id}",
        state=state,
        created_at=created_at,
        integration_id=integration_id,
        team_id=team_id,
        notification=(notification or a_notification()) if managed else None,
        fault=fault,
    )


def irm_with(*groups: AlertGroup, unreadable: int = 0) -> IrmSnapshot:
    """IRM lists these."""
    return IrmSnapshot(alert_groups=groups, unreadable=unreadable)
