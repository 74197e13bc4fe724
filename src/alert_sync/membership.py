"""Who belongs to whom: which alerts of Alertmanager an IRM alert group stands for. Pure.

The payload of the last webhook leaves silenced alerts out and is as old as that webhook, so it is not the
membership. The members of an alert group are

    all alerts of the aggregation groups with the payload's receiver and group labels
    and all alerts whose fingerprint the payload lists as firing.

Several aggregation groups may fit (sibling routes): their union is taken, because more members can only keep a page.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import lru_cache

from alert_sync.model import Alert, AlertmanagerSnapshot, AlertState, Notification

# What Go's regexp.QuoteMeta escapes; Alertmanager applies it to the receiver's name in webhooks, not in its API.
_QUOTED_BY_GO = frozenset(r"\.+*?()|[]{}^$")

# An alert counts as active if any record of it says so. A record that cannot be understood may hide an active one.
_KEEPS_THE_PAGE = (AlertState.ACTIVE, AlertState.UNPROCESSED, AlertState.UNKNOWN)


class Membership:
    """An index of one Alertmanager snapshot: alerts over all peers, each once, and the groups they are in."""

    def __init__(self, snapshot: AlertmanagerSnapshot) -> None:
        self.alerts: Mapping[str, Alert] = _merge(
            alert for peer in snapshot.peers for group in peer.aggregation_groups for alert in group.alerts
        )
        self._by_group = _index_by_group(snapshot)

    def of(self, notification: Notification) -> tuple[Alert, ...]:
        """The members of the alert group that this notification was sent for, by fingerprint."""
        fingerprints = self.alerts.keys() & notification.firing.keys()
        if not notification.legacy:
            fingerprints |= self._by_group.get((notification.receiver, notification.group_labels), frozenset())
        return tuple(self.alerts[fingerprint] for fingerprint in sorted(fingerprints))

    def in_place(self, notification: Notification) -> frozenset[str]:
        """Fingerprints in the aggregation groups of exactly this receiver and these group labels."""
        if notification.legacy:
            return frozenset(notification.firing)
        return self._by_group.get((notification.receiver, notification.group_labels), frozenset())

    def missing(self, notification: Notification) -> frozenset[str]:
        """Fingerprints that the payload lists as firing and Alertmanager does not hold."""
        # Not a difference of key views: that would walk through all alerts, once for every alert group.
        return frozenset(fingerprint for fingerprint in notification.firing if fingerprint not in self.alerts)


@lru_cache
def quote_receiver(name: str) -> str:
    """The receiver's name as Alertmanager writes it into webhooks."""
    return "".join(f"\\{character}" if character in _QUOTED_BY_GO else character for character in name)


def _merge(records: Iterable[Alert]) -> dict[str, Alert]:
    merged: dict[str, Alert] = {}
    for record in records:
        known = merged.get(record.fingerprint)
        merged[record.fingerprint] = record if known is None else _stronger(known, record)
    return merged


def _stronger(one: Alert, other: Alert) -> Alert:
    """Of two records of one alert, the one that stands: active before anything else, then the newest.

    The last criterion only makes the choice independent of the order in which peers are listed.
    """
    return max(one, other, key=_strength)


def _strength(record: Alert) -> tuple[object, ...]:
    rank = len(_KEEPS_THE_PAGE) - _KEEPS_THE_PAGE.index(record.state) if record.state in _KEEPS_THE_PAGE else 0
    return (rank, record.updated_at, not record.silenced_by, record.silenced_by, record.inhibited_by, record.muted_by)


def _index_by_group(snapshot: AlertmanagerSnapshot) -> dict[tuple[str, frozenset[tuple[str, str]]], frozenset[str]]:
    index: dict[tuple[str, frozenset[tuple[str, str]]], set[str]] = defaultdict(set)
    for peer in snapshot.peers:
        for group in peer.aggregation_groups:
            fingerprints = {alert.fingerprint for alert in group.alerts}
            # The plain name too: a receiver of another maker may not escape it, and more members only keep a page.
            for receiver in {quote_receiver(group.receiver), group.receiver}:
                index[receiver, group.group_labels] |= fingerprints
    return {key: frozenset(fingerprints) for key, fingerprints in index.items()}
