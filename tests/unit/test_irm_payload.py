"""What is understood of IRM's alert groups, and what is left alone because it is not."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from alert_sync.irm_payload import UnreadableError, parse_alert_group
from alert_sync.model import AlertGroup, AlertGroupState, Notification
from alert_sync.webhook import resolved_webhook
from tests.builders import NOW

LABELS = {"alertname": "HighLatency", "instance": "a"}


def webhook(**changes: Any) -> dict[str, Any]:
    """A webhook as IRM keeps it: one alert fires, one has resolved."""
    return {
        "receiver": "oncall",
        "status": "firing",
        "version": "4",
        "groupKey": '{}:{alertname="HighLatency"}',
        "groupLabels": {"alertname": "HighLatency"},
        "truncatedAlerts": 0,
        "numFiring": 1,
        "numResolved": 1,
        "alerts": [
            {"status": "firing", "labels": LABELS, "fingerprint": "f1", "endsAt": "0001-01-01T00:00:00Z"},
            {"status": "resolved", "labels": LABELS, "fingerprint": "f2", "endsAt": "2026-11-21T02:00:00Z"},
        ],
        **changes,
    }


def item(payload: Any = None, **changes: Any) -> dict[str, Any]:
    """An alert group as IRM lists it."""
    return {
        "id": "I1",
        "integration_id": "C1",
        "team_id": None,
        "state": "firing",
        "created_at": "2026-11-21T02:00:00.123456Z",
        "title": "HighLatency",
        "permalinks": {"web": "http://grafana.example/I1"},
        "last_alert": {"payload": webhook() if payload is None else payload},
        **changes,
    }


def test_alert_group_of_alertmanager_is_understood() -> None:
    group = parse_alert_group(item())

    assert group == AlertGroup(
        id="I1",
        title="HighLatency",
        url="http://grafana.example/I1",
        state=AlertGroupState.FIRING,
        created_at=datetime(2026, 11, 21, 2, 0, 0, 123456, tzinfo=UTC),
        integration_id="C1",
        team_id="",
        notification=Notification(
            receiver="oncall",
            group_labels=frozenset({("alertname", "HighLatency")}),
            firing={"f1": LABELS},
            webhook=webhook(),
        ),
    )


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param({}, id="wiped"),
        pytest.param({"title": "Maintenance of x for an hour", "message": "Initiated by admin."}, id="maintenance"),
        pytest.param(webhook(version="1", orgId=1), id="Grafana's own alerting"),
        pytest.param(webhook(orgId=1), id="Grafana's own alerting, version hidden"),
        pytest.param({"alerts": [], "status": "firing"}, id="another maker's list of alerts"),
        pytest.param(webhook(version="1"), id="another version"),
        pytest.param({"alerts": [], "receiver": "oncall"}, id="without group labels"),
        pytest.param([webhook()], id="a list"),
        pytest.param("text", id="a text"),
        pytest.param({"event": "x", "labels": {}}, id="labels alone"),
    ],
)
def test_payload_that_is_not_alertmanagers_makes_the_group_not_ours(payload: Any) -> None:
    group = parse_alert_group(item(payload))

    assert (group.notification, group.fault) == (None, "")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        pytest.param({"state": "flapping"}, "'flapping' is not a valid AlertGroupState", id="unknown state"),
        pytest.param({"state": "new"}, "'new' is not a valid AlertGroupState", id="the filter's word"),
        pytest.param({"created_at": "yesterday"}, "yesterday", id="time malformed"),
        pytest.param({"created_at": "2026-11-21T02:00:00"}, "a time without its zone", id="time without zone"),
        pytest.param({"created_at": "0001-01-01T00:00:00+01:00"}, "out of range", id="before the calendar begins"),
        pytest.param({"last_alert": None}, "missing or of another type", id="no last alert"),
        pytest.param({"last_alert": {}}, "'payload' is missing", id="no payload"),
        pytest.param({"last_alert": {"payload": webhook(alerts=None)}}, "another type", id="alerts null"),
        pytest.param({"last_alert": {"payload": webhook(groupLabels=[])}}, "another type", id="labels a list"),
        pytest.param({"last_alert": {"payload": webhook(receiver=1)}}, "another type", id="receiver a number"),
        pytest.param({"last_alert": {"payload": webhook(truncatedAlerts=-1)}}, "not a count", id="count negative"),
        pytest.param({"last_alert": {"payload": webhook(truncatedAlerts="3")}}, "not a count", id="count a text"),
        pytest.param(
            {"last_alert": {"payload": webhook(alerts=[{"status": "pending", "labels": LABELS}])}},
            "neither firing nor resolved",
            id="unknown status of an alert",
        ),
    ],
)
def test_alert_group_that_is_not_understood_has_a_fault(changes: dict[str, Any], why: str) -> None:
    group = parse_alert_group(item(**changes))

    assert why in group.fault
    assert (group.id, group.state, group.notification) == ("I1", None, None)


@pytest.mark.parametrize(
    "broken",
    [None, [], "I1", {}, {"id": None}, {"id": ""}, {"id": 7}, {"id": ".."}, {"id": "I1/x"}, {"id": "I 1"}],
    ids=repr,
)
def test_object_without_id_is_unreadable(broken: Any) -> None:
    with pytest.raises(UnreadableError):
        parse_alert_group(broken)


def test_wiped_group_has_neither_title_nor_owner() -> None:
    group = parse_alert_group(item({}, title=None, permalinks=None))

    assert (group.title, group.url, group.notification) == ("", "", None)


def test_missing_fingerprint_is_computed_from_the_labels() -> None:
    """Labels and fingerprint as a real Alertmanager has them."""
    labels = {"cluster": "c1", "instance": "a", "severity": "critical", "alertname": "ActAtt"}

    group = parse_alert_group(item(webhook(alerts=[{"status": "firing", "labels": labels}])))

    assert group.notification is not None
    assert dict(group.notification.firing) == {"69f051ea33296447": labels}


@pytest.mark.parametrize(
    ("status", "firing"), [("firing", {"69f051ea33296447"}), ("resolved", set[str]())], ids=["firing", "resolved"]
)
def test_legacy_payload_is_one_alert(status: str, firing: set[str]) -> None:
    labels = {"cluster": "c1", "instance": "a", "severity": "critical", "alertname": "ActAtt"}

    group = parse_alert_group(item({"status": status, "labels": labels, "startsAt": "2026-11-21T02:00:00Z"}))

    assert group.notification is not None
    assert group.notification.legacy
    assert set(group.notification.firing) == firing


def test_webhook_of_a_resolve_is_the_last_one_with_everything_resolved() -> None:
    group = parse_alert_group(item())
    assert group.notification is not None

    resolved = resolved_webhook(group.notification, now=NOW)

    alerts = [
        {"status": "resolved", "labels": LABELS, "fingerprint": "f1", "endsAt": "2026-11-21T03:00:00.000000Z"},
        {"status": "resolved", "labels": LABELS, "fingerprint": "f2", "endsAt": "2026-11-21T02:00:00Z"},
    ]
    wanted = webhook(status="resolved", alerts=alerts)
    del wanted["numFiring"], wanted["numResolved"]
    assert resolved == wanted
    assert group.notification.webhook == webhook(), "what IRM said is left as it was"
