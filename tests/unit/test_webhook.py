"""The webhooks sent in Alertmanager's place: the shape, the order, and only what fires or has resolved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from alert_sync.webhook import firing_webhook, resolved_webhook
from tests.builders import EXTERNAL_URL, GROUP_KEY, GROUP_LABELS, NOW, RECEIVER, a_notification

NOTIFICATION = a_notification("f1", "f2", group_key=GROUP_KEY)
BEGAN = "2026-11-21T01:00:00.000Z"


def an_api_alert(fingerprint: str = "f1", **labels: str) -> dict[str, Any]:
    """As Alertmanager's API lists it, which has more than a webhook does."""
    return {
        "annotations": {"summary": "slow", "instance": fingerprint},
        "endsAt": "2026-11-21T03:04:00.000Z",
        "fingerprint": fingerprint,
        "generatorURL": "http://prometheus.example/graph",
        "labels": {"alertname": "HighLatency", "cluster": "eu", **labels},
        "receivers": [{"name": RECEIVER}],
        "startsAt": BEGAN,
        "status": {"inhibitedBy": [], "mutedBy": [], "silencedBy": [], "state": "active"},
        "updatedAt": "2026-11-21T02:59:00.000Z",
    }


def shown(alert: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "status": "firing",
        "labels": alert["labels"],
        "annotations": alert["annotations"],
        "startsAt": BEGAN,
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus.example/graph",
        "fingerprint": alert["fingerprint"],
    }


def test_firing_webhook_is_what_alertmanager_would_send() -> None:
    one, two = an_api_alert("f1", instance="a"), an_api_alert("f2", instance="b")

    assert firing_webhook(NOTIFICATION, [two, one]) == {
        "receiver": RECEIVER,
        "status": "firing",
        "alerts": [shown(one), shown(two)],
        "groupLabels": GROUP_LABELS,
        "commonLabels": {"alertname": "HighLatency", "cluster": "eu"},
        "commonAnnotations": {"summary": "slow"},
        "externalURL": EXTERNAL_URL,
        "version": "4",
        "groupKey": GROUP_KEY,
        "truncatedAlerts": 0,
    }


def test_alerts_are_in_alertmanagers_order() -> None:
    alerts = [
        an_api_alert("f1", job="b", instance="1"),
        an_api_alert("f2", job="a", instance="2"),
        an_api_alert("f3", job="a", instance="1", zone="b"),
        an_api_alert("f4", job="a", instance="1", zone="a"),
        an_api_alert("f5"),
    ]

    webhook = firing_webhook(NOTIFICATION, alerts)

    assert [alert["fingerprint"] for alert in webhook["alerts"]] == ["f5", "f4", "f3", "f2", "f1"]


@pytest.mark.parametrize("missing", ["annotations", "generatorURL"])
def test_field_that_alertmanager_leaves_out_when_empty_is_empty(missing: str) -> None:
    alert = an_api_alert()
    empty = type(alert.pop(missing))()

    (sent,) = firing_webhook(NOTIFICATION, [alert])["alerts"]

    assert sent[missing] == empty


def test_nothing_in_common_is_nothing() -> None:
    alerts = [{**an_api_alert(name), "labels": {"a": name}, "annotations": {}} for name in ("f1", "f2")]

    webhook = firing_webhook(NOTIFICATION, alerts)

    assert (webhook["commonLabels"], webhook["commonAnnotations"]) == ({}, {})


def test_address_and_version_that_are_not_remembered_have_defaults() -> None:
    forgetful = replace(NOTIFICATION, webhook={"groupKey": GROUP_KEY})

    webhook = firing_webhook(forgetful, [an_api_alert()])

    assert (webhook["externalURL"], webhook["version"]) == ("", "4")


def test_resolved_webhook_is_the_last_one_with_everything_resolved() -> None:
    one, two = shown(an_api_alert("f1")), {**shown(an_api_alert("f2")), "status": "resolved", "endsAt": BEGAN}
    payload: dict[str, object] = {
        "receiver": RECEIVER,
        "status": "firing",
        "alerts": [one, two],
        "groupKey": GROUP_KEY,
        "version": "4",
    }
    counted_by_irm: dict[str, object] = {"numFiring": 1, "numResolved": 1}

    webhook = resolved_webhook(replace(NOTIFICATION, webhook=payload | counted_by_irm), now=NOW)

    ended = "2026-11-21T03:00:00.000000Z"
    assert webhook == {
        "receiver": RECEIVER,
        "status": "resolved",
        "alerts": [{**one, "status": "resolved", "endsAt": ended}, two],
        "groupKey": GROUP_KEY,
        "version": "4",
    }


def test_webhook_that_is_kept_is_not_altered() -> None:
    payload = {"status": "firing", "alerts": [shown(an_api_alert())], "numFiring": 1}

    resolved_webhook(replace(NOTIFICATION, webhook=payload), now=NOW)

    assert payload == {"status": "firing", "alerts": [shown(an_api_alert())], "numFiring": 1}
