"""What the fake Grafana IRM does that no recording shows: facts known from elsewhere, and its own controls."""

import http.client
import json
import time
import urllib.parse
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.contract.recorded_lab import webhook
from tests.support.fake_irm import Clock, FakeIrm, Limits
from tests.support.fake_irm_model import AlertGroup, Integration

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture
def irm() -> Iterator[FakeIrm]:
    with FakeIrm(clock=Clock(NOW)) as fake:
        yield fake


@pytest.fixture
def integration(irm: FakeIrm) -> Integration:
    return irm.add_alertmanager_integration()


def ask(
    irm: FakeIrm, path: str, *, method: str = "GET", body: object = None, token: str | None = None, **headers: str
) -> tuple[int, Any]:
    """Ask below the API's base; return status and parsed JSON, or the text if it is none."""
    base = urllib.parse.urlsplit(irm.url)
    sent = {"Authorization": irm.admin.token if token is None else token}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    raw = None if body is None else json.dumps(body)
    if raw is not None:
        sent["Content-Type"] = "application/json"
    connection = http.client.HTTPConnection(base.netloc, timeout=10)
    connection.request(method, base.path + path, body=raw, headers=sent)
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    is_json = response.headers["Content-Type"] == "application/json"
    return response.status, json.loads(text) if is_json else text


def post(irm: FakeIrm, integration: Integration, payload: dict[str, Any]) -> tuple[int, Any]:
    path = urllib.parse.urlsplit(irm.inbound_url(integration)).path.removeprefix("/oncall")
    return ask(irm, path, method="POST", body=payload)


# Silences


@pytest.mark.parametrize(("seconds_later", "state"), [(59, "silenced"), (60, "firing")])
def test_silence_ends_after_its_delay(irm: FakeIrm, seconds_later: int, state: str) -> None:
    group = irm.add_alert_group()
    ask(irm, f"/api/v1/alert_groups/{group.id}/silence/", method="POST", body={"delay": 60})

    irm.clock.advance(seconds_later)

    assert ask(irm, f"/api/v1/alert_groups/{group.id}/")[1]["state"] == state


@pytest.mark.parametrize("delay", [0, -1])
def test_silence_without_an_end_lasts(irm: FakeIrm, delay: int) -> None:
    group = irm.add_alert_group()
    ask(irm, f"/api/v1/alert_groups/{group.id}/silence/", method="POST", body={"delay": delay})

    irm.clock.advance(10**9)

    assert irm.alert_group(group.id).state == "silenced"
    assert irm.alert_group(group.id).silenced_until is None


def test_silence_of_a_silenced_group_replaces_it(irm: FakeIrm) -> None:
    group = irm.add_alert_group(state="silenced", silenced_until=NOW + timedelta(seconds=10))

    irm.silence(group.id, delay_seconds=3600)

    assert irm.alert_group(group.id).silenced_until == NOW + timedelta(seconds=3600)


# The hosted service


@pytest.fixture
def hosted() -> Iterator[FakeIrm]:
    with FakeIrm(clock=Clock(NOW), is_hosted=True, accept_bearer=True) as fake:
        yield fake


def listed(irm: FakeIrm, query: str = "", **arguments: str) -> list[str]:
    status, body = ask(irm, f"/api/v1/alert_groups/{query}", **arguments)
    assert status == 200, body
    return [group["id"] for group in body["results"]]


def test_hosted_lists_thirty_days_unless_told_from_when(hosted: FakeIrm) -> None:
    old = hosted.add_alert_group(created_at=NOW - timedelta(days=31))
    young = hosted.add_alert_group(created_at=NOW - timedelta(days=29))

    assert listed(hosted) == [young.id]
    assert listed(hosted, "?started_at=2020-01-01T00:00:00_2030-01-01T00:00:00") == [young.id, old.id]


def test_hosted_numbers_its_groups(hosted: FakeIrm) -> None:
    group = hosted.add_alert_group()

    shown = ask(hosted, f"/api/v1/alert_groups/{group.id}/")[1]

    assert shown["alert_group_number"] == group.number
    assert "/a/grafana-irm-app/" in shown["permalinks"]["web"]


def test_bearer_is_accepted_where_switched_on(hosted: FakeIrm) -> None:
    assert listed(hosted, token=f"Bearer {hosted.admin.token}") == []


@pytest.mark.parametrize(("stack", "status"), [({}, 403), ({"X_Grafana_URL": "http://grafana.example"}, 200)])
def test_hosted_wants_the_stack_of_a_service_account(hosted: FakeIrm, stack: dict[str, str], status: int) -> None:
    robot = hosted.add_service_account()

    assert ask(hosted, "/api/v1/alert_groups/", token=robot.token, **stack)[0] == status


# Posting to an integration


def test_notification_is_processed_after_its_answer_when_told(irm: FakeIrm, integration: Integration) -> None:
    irm.inbound_delay_seconds = None
    answer = post(irm, integration, webhook("A"))
    before = irm.alert_groups()

    irm.process_inbound()

    assert (answer, before) == ((200, "Ok."), [])
    assert [group.title for group in irm.alert_groups()] == ["A (c1)"]


def test_notification_is_processed_a_while_later(irm: FakeIrm, integration: Integration) -> None:
    irm.inbound_delay_seconds = 0.05
    post(irm, integration, webhook("A"))

    deadline = time.monotonic() + 5
    while not irm.alert_groups() and time.monotonic() < deadline:
        time.sleep(0.01)

    assert [group.title for group in irm.alert_groups()] == ["A (c1)"]


def test_posted_resolve_ends_an_acknowledged_group(irm: FakeIrm, integration: Integration) -> None:
    [group] = irm.receive_webhook(webhook("A"), integration)
    irm.acknowledge(group.id, by=irm.admin)

    post(irm, integration, webhook("A", status="resolved"))

    assert (group.state, group.resolved_by, group.alerts_count) == ("resolved", None, 2)


@pytest.mark.parametrize("customized", ["grouping_key", "resolve_signal"])
def test_customized_template_misses_a_posted_resolve(irm: FakeIrm, customized: str) -> None:
    templates: dict[str, Any] = {customized: "{{ payload.something }}"}
    integration = irm.add_alertmanager_integration(**templates)
    [group] = irm.receive_webhook(webhook("A"), integration)

    post(irm, integration, webhook("A", status="resolved"))

    assert irm.alert_group(group.id).state == "firing"
    assert ask(irm, f"/api/v1/integrations/{integration.id}/")[1]["templates"][customized] is not None


def test_firing_again_after_an_api_resolve_opens_another_group(irm: FakeIrm, integration: Integration) -> None:
    [first] = irm.receive_webhook(webhook("A"), integration)
    irm.resolve(first.id, by=irm.admin)
    irm.clock.advance(1)

    [second] = irm.receive_webhook(webhook("A"), integration)
    [third] = irm.receive_webhook(webhook("A"), integration)

    assert (first.state, second.state, third.id) == ("resolved", "firing", second.id)


def test_notification_during_maintenance_is_attached(irm: FakeIrm, integration: Integration) -> None:
    maintenance = irm.start_maintenance(integration)

    [group] = irm.receive_webhook(webhook("A"), integration)

    assert group.attached_to == maintenance.id


# The server and its log


def test_requests_are_logged_with_who_asked_for_what(irm: FakeIrm) -> None:
    group = irm.add_alert_group()
    ask(irm, "/api/v1/alert_groups/?state=new&page=1")
    ask(irm, f"/api/v1/alert_groups/{group.id}/resolve/", method="POST")
    ask(irm, "/api/v1/alert_groups/", token="wrong")

    logged = [(each.method, each.path, dict(each.query), each.who, each.status) for each in irm.requests]

    assert logged == [
        ("GET", "/api/v1/alert_groups/", {"state": "new", "page": "1"}, irm.admin.id, 200),
        ("POST", f"/api/v1/alert_groups/{group.id}/resolve/", {}, irm.admin.id, 200),
        ("GET", "/api/v1/alert_groups/", {}, None, 403),
    ]
    assert [each.path for each in irm.writes] == [f"/api/v1/alert_groups/{group.id}/resolve/"]
    assert irm.resolved_ids == [group.id]


def test_path_without_the_prefix_is_unknown(irm: FakeIrm) -> None:
    base = urllib.parse.urlsplit(irm.url)
    connection = http.client.HTTPConnection(base.netloc, timeout=10)

    connection.request("GET", "/api/v1/alert_groups/", headers={"Authorization": irm.admin.token})

    assert connection.getresponse().status == 404
    connection.close()


def test_integration_link_is_where_it_can_be_posted_to(irm: FakeIrm, integration: Integration) -> None:
    shown = ask(irm, f"/api/v1/integrations/{integration.id}/")[1]

    assert shown["link"] == irm.inbound_url(integration)
    assert shown["link"].startswith(irm.url + "/integrations/v1/alertmanager/")


def test_next_names_another_host_than_the_one_asked(irm: FakeIrm) -> None:
    for _ in range(2):
        irm.add_alert_group()

    body = ask(irm, "/api/v1/alert_groups/?perpage=1")[1]

    assert body["next"] == "http://irm.example/api/v1/alert_groups/?page=2&perpage=1"


def test_page_size_is_honoured_above_100_but_not_admitted_to(irm: FakeIrm) -> None:
    for _ in range(120):
        irm.add_alert_group()

    body = ask(irm, "/api/v1/alert_groups/?perpage=1000")[1]

    assert (len(body["results"]), body["page_size"]) == (120, 100)


@pytest.mark.parametrize("query", ["?perpage=0", "?perpage=-5", "?perpage=many", "?page=0", "?page=-1", "?page=x"])
def test_senseless_paging_falls_back_to_the_defaults(irm: FakeIrm, query: str) -> None:
    for _ in range(60):
        irm.add_alert_group()

    body = ask(irm, f"/api/v1/alert_groups/{query}")[1]

    assert (len(body["results"]), body["page_size"], body["current_page_number"]) == (50, 50, 1)


def test_label_filter_without_exactly_one_colon_matches_everything(irm: FakeIrm) -> None:
    group = irm.add_alert_group(webhook("A"))

    assert listed(irm, "?label=alertname") == listed(irm, "?label=url:http://x") == [group.id]


def test_range_that_ends_before_it_starts_is_refused(irm: FakeIrm) -> None:
    answer = ask(irm, "/api/v1/alert_groups/?started_at=2026-12-01T00:00:00_2026-11-01T00:00:00")

    assert answer == (400, {"detail": "Invalid range value"})


def test_limit_is_shared_by_all_tokens_of_a_user_only(irm: FakeIrm) -> None:
    irm.limits.requests_per_minute = 1
    irm.admin.tokens.add("second")
    other = irm.add_user("other")
    ask(irm, "/api/v1/alert_groups/")

    assert ask(irm, "/api/v1/alert_groups/", token="second")[0] == 429
    assert ask(irm, "/api/v1/alert_groups/", token=other.token)[0] == 200


def test_refused_requests_do_not_count_and_the_window_slides(irm: FakeIrm) -> None:
    irm.limits.requests_per_minute = 2
    statuses = []

    for seconds in (0, 30, 29, 1, 29, 1):
        irm.clock.advance(seconds)
        statuses.append(ask(irm, "/api/v1/alert_groups/")[0])

    assert statuses == [200, 200, 429, 200, 429, 200]


def test_token_that_is_no_text_breaks_the_engine(irm: FakeIrm) -> None:
    assert ask(irm, "/api/v1/alert_groups/", token="\xff")[0] == 500


def test_latency_is_added_to_every_answer(irm: FakeIrm) -> None:
    irm.latency_seconds = 0.1
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(irm.url).netloc, timeout=0.05)
    connection.request("GET", "/oncall/api/v1/info/")

    with pytest.raises(TimeoutError):
        connection.getresponse()

    connection.close()


def test_five_thousand_groups_are_listed_quickly() -> None:
    with FakeIrm(limits=Limits(requests_per_minute=10**6)) as irm:
        groups = [irm.add_alert_group(webhook(f"A{number}")) for number in range(5000)]

        seen = {known for page in range(1, 51) for known in listed(irm, f"?state=new&perpage=100&page={page}")}

    assert seen == {group.id for group in groups}


def test_group_attached_to_another_follows_it(irm: FakeIrm) -> None:
    root, child = irm.add_alert_group(), irm.add_alert_group()
    irm.attach(child, root)
    states = []

    for act in (irm.silence, irm.unsilence, irm.acknowledge, irm.unacknowledge, irm.resolve, irm.unresolve):
        act(root.id, by=irm.admin)
        states.append((irm.alert_group(root.id).state, irm.alert_group(child.id).state))

    alike: list[tuple[str, str]] = [
        (state, state) for state in ("silenced", "firing", "acknowledged", "firing", "resolved", "firing")
    ]
    assert states == alike


def test_wiped_group_shows_nothing(irm: FakeIrm) -> None:
    group: AlertGroup = irm.add_alert_group(webhook("A"))

    irm.wipe(group)

    shown = ask(irm, f"/api/v1/alert_groups/{group.id}/")[1]
    assert (shown["title"], shown["state"], shown["last_alert"]["payload"]) == (None, "resolved", {})
