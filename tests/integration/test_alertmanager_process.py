"""What the product relies on in Alertmanager, asked of a real one; and that the runner of these tests does its work."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import urllib3

from tests.support import tools
from tests.support.alertmanager import PASSWORD, USERNAME, Alertmanager, cluster_of, routing_config
from tests.support.waiting import wait_for
from tests.support.webhook_recorder import WebhookRecorder


@pytest.fixture(scope="module")
def webhooks() -> Iterator[WebhookRecorder]:
    with WebhookRecorder() as recorder:
        yield recorder


@pytest.fixture(scope="module")
def alertmanager(webhooks: WebhookRecorder) -> Iterator[Alertmanager]:
    """One for all tests that use different alert names and clusters."""
    with Alertmanager(tools.alertmanager(), config=routing_config(webhooks.url)) as running:
        yield running


def status_of(alertmanager: Alertmanager, alert_name: str) -> dict[str, Any] | None:
    """Return state, silencedBy and inhibitedBy of the one alert of that name; None when it is not listed."""
    alerts = [alert for alert in alertmanager.alerts() if alert["labels"]["alertname"] == alert_name]
    if not alerts:
        return None
    (alert,) = alerts
    return {key: alert["status"][key] for key in ("state", "silencedBy", "inhibitedBy")}


def fingerprint_of(alertmanager: Alertmanager, alert_name: str) -> str:
    (alert,) = [alert for alert in alertmanager.alerts() if alert["labels"]["alertname"] == alert_name]
    return str(alert["fingerprint"])


ACTIVE = {"state": "active", "silencedBy": [], "inhibitedBy": []}


# --- states


def test_an_alert_is_active_at_once(alertmanager: Alertmanager) -> None:
    alertmanager.post_alerts({"alertname": "Fresh", "cluster": "fresh"})

    assert status_of(alertmanager, "Fresh") == ACTIVE


def test_a_resolved_alert_is_not_listed(alertmanager: Alertmanager) -> None:
    alertmanager.post_alerts({"alertname": "Short", "cluster": "short"})

    alertmanager.post_alerts({"alertname": "Short", "cluster": "short"}, resolved=True)

    assert status_of(alertmanager, "Short") is None


def test_an_alert_whose_source_vanished_is_no_longer_listed_when_its_time_is_over(alertmanager: Alertmanager) -> None:
    alertmanager.post_alerts({"alertname": "Orphan", "cluster": "orphan"}, lasting=timedelta(seconds=0.3))

    wait_for(lambda: status_of(alertmanager, "Orphan") is None, what="the alert to go")


def test_a_silence_suppresses_at_once(alertmanager: Alertmanager) -> None:
    alertmanager.post_alerts({"alertname": "Silenced", "cluster": "silenced"})

    silence = alertmanager.silence({"alertname": "Silenced"})

    assert status_of(alertmanager, "Silenced") == {"state": "suppressed", "silencedBy": [silence], "inhibitedBy": []}


def test_an_expired_silence_ends_at_once(alertmanager: Alertmanager) -> None:
    alertmanager.post_alerts({"alertname": "Expired", "cluster": "expired"})
    silence = alertmanager.silence({"alertname": "Expired"})

    alertmanager.expire_silence(silence)

    assert status_of(alertmanager, "Expired") == ACTIVE


def test_a_pending_silence_does_not_count(alertmanager: Alertmanager) -> None:
    alertmanager.post_alerts({"alertname": "Pending", "cluster": "pending"})

    alertmanager.silence({"alertname": "Pending"}, starts_in=timedelta(minutes=10))

    assert status_of(alertmanager, "Pending") == ACTIVE


def test_a_silence_keeps_author_comment_and_end(alertmanager: Alertmanager) -> None:
    silence = alertmanager.silence({"alertname": "Anything"}, author="bob", comment="disk swap, ticket 7")

    (stored,) = [stored for stored in alertmanager.silences() if stored["id"] == silence]
    assert (stored["createdBy"], stored["comment"], stored["status"]) == (
        "bob",
        "disk swap, ticket 7",
        {"state": "active"},
    )


def test_an_inhibited_alert_names_its_inhibitor_and_no_silence(alertmanager: Alertmanager) -> None:
    alertmanager.post_alerts(
        {"alertname": "ClusterDown", "cluster": "i", "severity": "critical"},
        {"alertname": "NodeSlow", "cluster": "i", "severity": "warning"},
    )

    suppressed = wait_for_suppressed(alertmanager, "NodeSlow")

    inhibitor = fingerprint_of(alertmanager, "ClusterDown")
    assert suppressed == {"state": "suppressed", "silencedBy": [], "inhibitedBy": [inhibitor]}


def test_an_alert_both_silenced_and_inhibited_names_both(alertmanager: Alertmanager) -> None:
    alertmanager.post_alerts(
        {"alertname": "RackDown", "cluster": "both", "severity": "critical"},
        {"alertname": "HostSlow", "cluster": "both", "severity": "warning"},
    )
    wait_for_suppressed(alertmanager, "HostSlow")

    silence = alertmanager.silence({"alertname": "HostSlow"})

    inhibitor = fingerprint_of(alertmanager, "RackDown")
    assert status_of(alertmanager, "HostSlow") == {
        "state": "suppressed",
        "silencedBy": [silence],
        "inhibitedBy": [inhibitor],
    }


def wait_for_suppressed(alertmanager: Alertmanager, alert_name: str) -> dict[str, Any] | None:
    """Wait for the inhibitor, which learns of new alerts through a subscription, to have seen the other alert."""
    wait_for(lambda: (status_of(alertmanager, alert_name) or ACTIVE) != ACTIVE, what=f"{alert_name} to be inhibited")
    return status_of(alertmanager, alert_name)


# --- aggregation groups and webhooks


def test_an_aggregation_group_has_its_plain_receiver_and_its_group_labels(alertmanager: Alertmanager) -> None:
    alertmanager.post_alerts({"alertname": "Invoice", "cluster": "eu", "team": "billing", "instance": "a"})

    alertmanager.wait_until_grouped("Invoice")

    assert groups_of(alertmanager, "Invoice") == [
        {
            "receiver": {"name": "billing.oncall (eu)"},
            "labels": {"alertname": "Invoice", "cluster": "eu"},
            "alerts": [fingerprint_of(alertmanager, "Invoice")],
        }
    ]


def test_sibling_routes_make_groups_that_only_their_route_tells_apart(alertmanager: Alertmanager) -> None:
    alertmanager.post_alerts({"alertname": "Card", "cluster": "s", "team": "payments", "severity": "critical"})

    wait_for(lambda: len(groups_of(alertmanager, "Card")) == 2, what="two groups")

    first, second = groups_of(alertmanager, "Card")
    assert first == second


def test_a_webhook_escapes_the_receiver_and_agrees_with_the_api_on_labels_and_fingerprint(
    alertmanager: Alertmanager, webhooks: WebhookRecorder
) -> None:
    alertmanager.post_alerts({"alertname": "Refund", "cluster": "us", "team": "billing", "instance": "a"})

    payload = webhooks.wait_for(lambda payload: about("Refund", payload), what="the webhook")

    assert {key: payload[key] for key in ("receiver", "status", "groupLabels", "groupKey", "truncatedAlerts")} == {
        "receiver": r"billing\.oncall \(eu\)",
        "status": "firing",
        "groupLabels": {"alertname": "Refund", "cluster": "us"},
        "groupKey": '{}/{team="billing"}:{alertname="Refund", cluster="us"}',
        "truncatedAlerts": 0,
    }
    assert [alert["fingerprint"] for alert in payload["alerts"]] == [fingerprint_of(alertmanager, "Refund")]


def test_a_resolve_is_told(alertmanager: Alertmanager, webhooks: WebhookRecorder) -> None:
    labels = {"alertname": "Ordinary", "cluster": "ordinary"}
    alertmanager.post_alerts(labels)
    webhooks.wait_for(lambda payload: about("Ordinary", payload), what="the firing webhook")

    alertmanager.post_alerts(labels, resolved=True)

    resolved = webhooks.wait_for(lambda payload: about("Ordinary", payload, status="resolved"), what="the webhook")
    assert [alert["status"] for alert in resolved["alerts"]] == ["resolved"]


def test_a_resolve_while_silenced_is_never_told(alertmanager: Alertmanager, webhooks: WebhookRecorder) -> None:
    labels = {"alertname": "Lost", "cluster": "lost"}
    alertmanager.post_alerts(labels)
    webhooks.wait_for(lambda payload: about("Lost", payload), what="the firing webhook")
    silence = alertmanager.silence({"alertname": "Lost"})
    alertmanager.post_alerts(labels, resolved=True)
    let_every_group_flush(alertmanager, webhooks, witness="WitnessOfSilence")

    alertmanager.expire_silence(silence)

    let_every_group_flush(alertmanager, webhooks, witness="WitnessOfTheTimeAfter")
    assert [payload["status"] for payload in webhooks.payloads if about("Lost", payload)] == ["firing"]


def let_every_group_flush(alertmanager: Alertmanager, webhooks: WebhookRecorder, *, witness: str) -> None:
    """Wait for two flushes of a group of our own: they are a group interval apart, so all others flushed in between."""
    for instance in ("a", "b"):
        alertmanager.post_alerts({"alertname": witness, "cluster": witness, "instance": instance})
        webhooks.wait_for(lambda payload: instance in instances(witness, payload), what=f"{witness} {instance}")  # noqa: B023  # called before the next turn


def instances(alert_name: str, payload: dict[str, Any]) -> set[str]:
    return {alert["labels"]["instance"] for alert in payload["alerts"] if alert["labels"]["alertname"] == alert_name}


def about(alert_name: str, payload: dict[str, Any], *, status: str | None = None) -> bool:
    return payload["groupLabels"]["alertname"] == alert_name and status in {None, payload["status"]}


def groups_of(alertmanager: Alertmanager, alert_name: str) -> list[dict[str, Any]]:
    """Return the groups of that alert name, with the fingerprints of their alerts."""
    return [
        group | {"alerts": [alert["fingerprint"] for alert in group["alerts"]]}
        for group in alertmanager.groups()
        if group["labels"]["alertname"] == alert_name
    ]


# --- restarts, peers, ways to reach it


def test_a_restart_loses_alerts_and_keeps_silences() -> None:
    with Alertmanager(tools.alertmanager()) as alertmanager:
        alertmanager.post_alerts({"alertname": "Before", "cluster": "eu"})
        silence = alertmanager.silence({"alertname": "Before"})
        started = alertmanager.status()["uptime"]

        alertmanager.restart()

        assert alertmanager.alerts() == []
        assert [(stored["id"], stored["status"]["state"]) for stored in alertmanager.silences()] == [
            (silence, "active")
        ]
        assert alertmanager.status()["uptime"] > started


def test_a_restart_without_its_storage_loses_silences_too() -> None:
    with Alertmanager(tools.alertmanager()) as alertmanager:
        alertmanager.silence({"alertname": "Before"})

        alertmanager.restart(keep_storage=False)

        assert alertmanager.silences() == []


def test_a_crash_loses_the_silences_made_since_the_last_snapshot() -> None:
    with Alertmanager(tools.alertmanager()) as alertmanager:
        alertmanager.silence({"alertname": "Before"})

        alertmanager.kill()
        alertmanager.start()

        assert alertmanager.silences() == []


def test_peers_share_silences_but_not_alerts() -> None:
    with cluster_of(2, tools.alertmanager()) as (first, second):
        first.post_alerts({"alertname": "OnlyHere", "cluster": "eu"})
        silence = first.silence({"alertname": "OnlyHere"})

        wait_for(second.silences, what="the silence at the other peer")

        assert [stored["id"] for stored in second.silences()] == [silence]
        assert [len(peer.alerts()) for peer in (first, second)] == [1, 0]
        assert [peer.status()["cluster"]["status"] for peer in (first, second)] == ["ready", "ready"]


def test_without_peers_the_cluster_is_disabled(alertmanager: Alertmanager) -> None:
    assert alertmanager.status()["cluster"] == {"status": "disabled", "peers": []}


def test_a_path_prefix_moves_everything() -> None:
    with Alertmanager(tools.alertmanager(), path_prefix="/team/alertmanager") as alertmanager:
        unprefixed = alertmanager.url.removesuffix("/team/alertmanager") + "/api/v2/alerts"

        status = urllib3.request("GET", unprefixed, retries=False, timeout=5).status

        assert (alertmanager.alerts(), status) == ([], 404)


def test_basic_auth_guards_everything() -> None:
    with Alertmanager(tools.alertmanager(), with_basic_auth=True) as alertmanager:
        url = alertmanager.url + "/api/v2/alerts"
        right = urllib3.make_headers(basic_auth=f"{USERNAME}:{PASSWORD}")
        wrong = urllib3.make_headers(basic_auth=f"{USERNAME}:not-it")

        statuses = [
            urllib3.request("GET", url, headers=headers, retries=False, timeout=5).status
            for headers in (None, wrong, right)
        ]

        assert (statuses, alertmanager.alerts()) == ([401, 401, 200], [])


def test_a_frozen_alertmanager_accepts_and_never_answers() -> None:
    with Alertmanager(tools.alertmanager()) as alertmanager:
        alertmanager.freeze()

        with pytest.raises(urllib3.exceptions.ReadTimeoutError):
            urllib3.request("GET", alertmanager.url + "/api/v2/alerts", retries=False, timeout=0.3)

        alertmanager.thaw()
        assert alertmanager.alerts() == []


def test_a_configuration_that_it_refuses_is_told() -> None:
    with (
        pytest.raises(RuntimeError, match="undefined receiver"),
        Alertmanager(tools.alertmanager(), config="route: {receiver: nobody}\n"),
    ):
        pass
