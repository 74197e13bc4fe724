"""Which alerts of Alertmanager an alert group stands for."""

from __future__ import annotations

from itertools import permutations

import pytest

from alert_sync.membership import Membership, quote_receiver
from alert_sync.model import AlertState
from tests.builders import (
    NOW,
    a_notification,
    a_peer,
    a_silenced_alert,
    an_aggregation_group,
    an_alert,
    an_inhibited_alert,
    peers_with,
)


@pytest.mark.parametrize(
    ("name", "quoted"),
    [
        ("oncall", "oncall"),
        ("team-a.oncall (x)", r"team-a\.oncall \(x\)"),
        ("a\\b[c]{d}^e$f|g*h+i?", r"a\\b\[c\]\{d\}\^e\$f\|g\*h\+i\?"),
        ("a/b_c d", "a/b_c d"),
    ],
    ids=["plain", "as recorded", "every special character", "nothing special"],
)
def test_receiver_is_written_as_alertmanager_writes_it_into_webhooks(name: str, quoted: str) -> None:
    assert quote_receiver(name) == quoted


@pytest.mark.parametrize("sent", [r"billing\.oncall \(eu\)", "billing.oncall (eu)"], ids=["escaped", "plain"])
def test_group_is_found_by_a_receiver_with_special_characters(sent: str) -> None:
    group = an_aggregation_group(an_alert("f2"), receiver="billing.oncall (eu)")
    notification = a_notification("f1")
    notification = type(notification)(receiver=sent, group_labels=notification.group_labels, firing=notification.firing)

    members = Membership(peers_with(a_peer(group))).of(notification)

    assert [alert.fingerprint for alert in members] == ["f2"]


def test_members_are_the_groups_alerts_and_the_listed_ones() -> None:
    here = an_aggregation_group(an_alert("f2"), an_alert("f1"))
    elsewhere = an_aggregation_group(an_alert("f3"), an_alert("f4"), receiver="other")

    members = Membership(peers_with(a_peer(here, elsewhere))).of(a_notification("f3", "f5"))

    assert [alert.fingerprint for alert in members] == ["f1", "f2", "f3"]


def test_missing_are_the_listed_ones_that_no_peer_holds() -> None:
    membership = Membership(peers_with(a_peer(an_aggregation_group(an_alert("f1")))))

    assert membership.missing(a_notification("f1", "f2")) == {"f2"}


@pytest.mark.parametrize("records", list(permutations(range(3))), ids=str)
def test_strongest_record_stands_whatever_the_order_of_peers(records: tuple[int, ...]) -> None:
    known = [
        an_alert(updated_at=NOW.replace(year=2020)),
        a_silenced_alert(updated_at=NOW),
        an_inhibited_alert(),
    ]
    peers = [a_peer(an_aggregation_group(known[index])) for index in records]

    membership = Membership(peers_with(*peers))

    assert membership.alerts == {"f1": known[0]}


def test_record_that_cannot_be_understood_outweighs_a_silenced_one() -> None:
    odd = an_alert(state=AlertState.UNKNOWN, updated_at=NOW.replace(year=2020))
    peers = [a_peer(an_aggregation_group(a_silenced_alert(updated_at=NOW))), a_peer(an_aggregation_group(odd))]

    assert Membership(peers_with(*peers)).alerts == {"f1": odd}


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_records_of_one_moment_the_one_that_is_not_silenced_stands(order: int) -> None:
    records = [a_silenced_alert("f1"), an_inhibited_alert("f1")][::order]
    peers = [a_peer(an_aggregation_group(record), url=f"http://{at}:9093") for at, record in enumerate(records)]

    assert Membership(peers_with(*peers)).alerts == {"f1": an_inhibited_alert("f1")}


def test_legacy_group_has_its_one_alert_and_no_others() -> None:
    ungrouped = an_aggregation_group(an_alert("f1"), an_alert("f2"), receiver="", group_labels={})
    notification = a_notification("f1", receiver="", group_labels={}, legacy=True)

    members = Membership(peers_with(a_peer(ungrouped))).of(notification)

    assert [alert.fingerprint for alert in members] == ["f1"]
