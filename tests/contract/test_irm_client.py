"""The client against recorded answers of a real OnCall engine, and the same questions to the fake."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from alert_sync.call import Upstream
from alert_sync.credentials import Secret, TokenAuth
from alert_sync.deadline import Deadline
from alert_sync.errors import ContractError, PermanentUpstreamError, PostponedError, UpstreamError
from alert_sync.http_transport import HttpTransport
from alert_sync.inbound import InboundClient
from alert_sync.irm import IrmClient
from alert_sync.model import AlertGroupState, IrmSnapshot
from alert_sync.request_budget import RequestBudget
from tests.builders import NOW
from tests.support.fake_irm import Clock, FakeIrm, Limits, Role
from tests.support.fake_irm_model import AlertGroup
from tests.support.faults import ActFirst, FaultyProxy
from tests.support.recordings import Recording, ReplayServer, load

TOKEN = "any-token"
LIST = "/api/v1/alert_groups/?state={}&page={}&perpage=100"


def client_of(url: str, token: str = TOKEN, **headers: str) -> IrmClient:
    auth = TokenAuth(Secret("token", lambda: token))
    upstream = Upstream(name="Grafana IRM", base_url=url, authorizer=auth, headers=headers)
    return IrmClient(HttpTransport(backoff_seconds=0.01), upstream)


def deadline() -> Deadline:
    return Deadline(5)


def read(client: IrmClient) -> IrmSnapshot:
    return client.read(deadline(), now=NOW)


def go() -> None:
    """Confirm every change."""


def replay(*recordings: Recording) -> ReplayServer:
    return ReplayServer(recordings, path_prefix="/oncall", ignored_parameters={"started_at"})


def page(recording: Recording, state: str = "new", number: int = 1, **changes: Any) -> Recording:
    """A recorded page as the answer to what the client asks."""
    body = {**recording.json(), **changes}
    return recording.asked_as("GET", LIST.format(state, number)).answering(json.dumps(body).encode())


EMPTY_PAGE = load("irm/list/id=INOSUCH")
ONE_GROUP = load("irm/list/perpage=1")
ANOTHER_GROUP = load("irm/list/perpage=1_page=99999")


def rest_empty(*states: str) -> list[Recording]:
    return [page(EMPTY_PAGE, state) for state in states]


# --- recorded


def test_recorded_pages_are_followed_by_number_to_the_last_one() -> None:
    first = page(ONE_GROUP, number=1, current_page_number=1)
    last = page(ANOTHER_GROUP, number=2, current_page_number=2)

    with replay(first, last, *rest_empty("acknowledged", "silenced")) as server:
        snapshot = read(client_of(server.url))

    ids = [recording.json()["results"][0]["id"] for recording in (ONE_GROUP, ANOTHER_GROUP)]
    assert [group.id for group in snapshot.alert_groups] == ids
    assert {request.header("Authorization") for request in server.requests} == {TOKEN}
    assert "irm.example" in first.json()["next"], "the server's own idea of its host, which is not asked"


def test_page_that_is_another_one_than_asked_for_ends_the_list() -> None:
    """The list shrank while it was read: the last page comes again."""
    first = page(ONE_GROUP, number=1, current_page_number=1)
    beyond = page(ONE_GROUP, number=2, current_page_number=1)

    with replay(first, beyond, *rest_empty("acknowledged", "silenced")) as server:
        snapshot = read(client_of(server.url))

    assert len(snapshot.alert_groups) == 1


def test_group_that_is_listed_twice_counts_once_as_it_was_read_last() -> None:
    """It was acknowledged between the two lists."""
    results = [{**ONE_GROUP.json()["results"][0], "state": "acknowledged"}]
    pages = [page(ONE_GROUP, next=None), page(ONE_GROUP, "acknowledged", next=None, results=results)]

    with replay(*pages, *rest_empty("silenced")) as server:
        (group,) = read(client_of(server.url)).alert_groups

    assert group.state is AlertGroupState.ACKNOWLEDGED


def test_recorded_alert_group_is_understood() -> None:
    recording = load("irm/retrieve/200")

    with replay(recording) as server:
        group = client_of(server.url).read_alert_group("I2GWAK6GHIZ9H", deadline())

    assert (group.id, group.state, group.title, group.fault) == (
        "I2GWAK6GHIZ9H",
        AlertGroupState.FIRING,
        "ActAtt (c1)",
        "",
    )
    assert group.notification is not None
    assert (group.notification.receiver, set(group.notification.firing)) == ("oncall", {"69f051ea33296447"})


@pytest.mark.parametrize(
    "name", ["irm/actions/wiped_get", "irm/maintenance/incident_get_after_resolve"], ids=["wiped", "maintenance"]
)
def test_recorded_group_without_alertmanagers_payload_is_not_ours(name: str) -> None:
    recording = load(name)

    with replay(recording) as server:
        group = client_of(server.url).read_alert_group(recording.json()["id"], deadline())

    assert (group.notification, group.fault) == (None, "")


ACTIONS: list[Any] = [
    pytest.param("irm/actions/resolve_200", None, None, id="resolved"),
    pytest.param("irm/actions/resolve_400_already", 400, "Can't resolve a resolved alert group", id="already"),
    pytest.param("irm/actions/resolve_400_attached", 400, "Can't resolve an attached alert group", id="attached"),
    pytest.param("irm/actions/resolve_404", 404, "Not found.", id="unknown"),
    pytest.param("irm/auth/resolve_as_viewer", 403, "You do not have permission to perform this action.", id="viewer"),
    pytest.param("irm/auth/resolve_no_token", 403, "Invalid token.", id="no token"),
    pytest.param(
        "irm/service_account/resolve_403",
        403,
        "Service accounts are not allowed to resolve alert groups",
        id="service account",
    ),
    pytest.param("irm/auth/organization_deleted_post", 404, "Not found.", id="organization deleted"),
]


@pytest.mark.parametrize(("name", "status", "detail"), ACTIONS)
def test_recorded_answer_to_a_resolve_is_understood(name: str, status: int | None, detail: str | None) -> None:
    recording = load(name)
    group_id = recording.path.split("/")[4]
    error: UpstreamError | None = None

    with replay(recording) as server:
        try:
            client_of(server.url).resolve(group_id, deadline(), confirm=go)
        except UpstreamError as failure:
            error = failure

    assert (error and error.status) == status
    assert error is None or error.cause == f"HTTP {status}: {detail}"


def test_recorded_silence_is_asked_for_as_recorded() -> None:
    recording = load("irm/actions/silence_200_delay20")

    with replay(recording) as server:
        client_of(server.url).silence(recording.path.split("/")[4], 20, deadline(), confirm=go)

    assert [json.loads(request.body) for request in server.requests] == [{"delay": 20}]


def test_recorded_note_is_left_as_recorded() -> None:
    recording = load("irm/notes/create")
    body = json.loads(recording.request_body or b"")

    with replay(recording) as server:
        client_of(server.url).add_note(body["alert_group_id"], body["text"], deadline())

    assert [json.loads(request.body) for request in server.requests] == [body]


def test_recorded_integration_is_understood() -> None:
    recording = load("irm/integrations/get")
    integration_id = recording.json()["id"]

    with replay(recording) as server:
        integration = client_of(server.url).read_integration(integration_id, deadline())

    assert (integration.link, integration.is_customized) == (recording.json()["link"], False)
    assert integration.link not in repr(integration)


@pytest.mark.parametrize("template", ["grouping_key", "resolve_signal"])
def test_customized_template_is_noticed(template: str) -> None:
    recording = load("irm/integrations/get")
    body = recording.json()
    body["templates"][template] = "{{ payload.labels.alertname }}"

    with replay(recording.answering(json.dumps(body).encode())) as server:
        integration = client_of(server.url).read_integration(body["id"], deadline())

    assert integration.is_customized


@pytest.mark.parametrize(
    "changes", [{"link": None}, {"link": "ftp://x/"}, {"templates": None}, {"templates": {}}], ids=str
)
def test_integration_that_is_not_understood_is_an_error(changes: dict[str, Any]) -> None:
    recording = load("irm/integrations/get")
    body = {**recording.json(), **changes}

    with (
        replay(recording.answering(json.dumps(body).encode())) as server,
        pytest.raises(ContractError, match="read integration"),
    ):
        client_of(server.url).read_integration(body["id"], deadline())


@pytest.mark.parametrize("body", [[], {"results": {}}, {"next": None}, {"results": []}, "text", None], ids=str)
def test_list_that_is_not_a_page_ends_the_read(body: Any) -> None:
    broken = EMPTY_PAGE.asked_as("GET", LIST.format("new", 1)).answering(json.dumps(body).encode())

    with replay(broken) as server, pytest.raises(ContractError, match="lacks results or next"):
        read(client_of(server.url))


def test_object_without_id_is_counted_and_the_rest_is_read() -> None:
    results = [None, {"id": None}, ONE_GROUP.json()["results"][0]]

    with replay(page(ONE_GROUP, next=None, results=results), *rest_empty("acknowledged", "silenced")) as server:
        snapshot = read(client_of(server.url))

    assert (len(snapshot.alert_groups), snapshot.unreadable) == (1, 2)


def test_recorded_429_is_postponed_when_the_run_has_no_such_time() -> None:
    recording = load("irm/ratelimit/post_resolve_429")

    with replay(recording) as server, pytest.raises(PostponedError, match="45 s"):
        client_of(server.url).resolve("INOSUCH", deadline(), confirm=go)


def test_recorded_unknown_stack_is_a_429_too() -> None:
    recording = load("irm/service_account/list_x_grafana_url_unknown")
    asked = recording.asked_as("GET", LIST.format("new", 1).replace("100", "1"))

    with replay(asked) as server, pytest.raises(PostponedError, match=r"350 s.*Organization being synced"):
        client_of(server.url).check(deadline(), now=NOW)


# --- the fake


@pytest.fixture
def irm() -> Iterator[FakeIrm]:
    with FakeIrm() as fake:
        yield fake


def webhook(number: int = 0, status: str = "firing") -> dict[str, Any]:
    """What Alertmanager posts for one alert in a group of its own."""
    labels = {"alertname": f"Alert{number}"}
    alert = {"status": status, "labels": labels, "fingerprint": f"{number:016x}", "startsAt": "2026-11-21T02:00:00Z"}
    return {
        "receiver": "oncall",
        "status": status,
        "version": "4",
        "groupKey": f'{{}}:{{alertname="Alert{number}"}}',
        "groupLabels": labels,
        "truncatedAlerts": 0,
        "alerts": [alert],
    }


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 250])
def test_every_open_group_is_listed_once_in_as_few_pages_as_needed(irm: FakeIrm, count: int) -> None:
    integration = irm.add_alertmanager_integration()
    for number in range(count):
        irm.receive_webhook(webhook(number), integration)

    snapshot = read(client_of(irm.url, irm.admin.token))

    assert len({group.id for group in snapshot.alert_groups}) == count
    assert len(irm.requests) == max(1, -(-count // 100)) + 2


def fill(irm: FakeIrm, count: int) -> list[AlertGroup]:
    """So many firing alert groups, as IRM lists them: the newest first."""
    integration = irm.add_alertmanager_integration()
    for number in range(count):
        irm.receive_webhook(webhook(number), integration)
    return irm.alert_groups()


def read_while(irm: FakeIrm, page: int, act: Callable[[], object], *, nth: int | None = 1) -> set[str]:
    """The ids that are listed if this happens after the page before was answered; `nth` None: each time anew."""
    with FaultyProxy(irm.url) as proxy:
        proxy.inject(ActFirst(act), path=rf"state=new&page={page}&", nth=nth)
        snapshot = read(client_of(proxy.url, irm.admin.token))
    return {group.id for group in snapshot.alert_groups}


def pages_read(irm: FakeIrm) -> list[str]:
    """Of the list of firing alert groups."""
    return [request.query["page"] for request in irm.requests if request.query["state"] == "new"]


def test_group_that_moves_up_onto_a_page_that_was_read_already_is_not_lost(irm: FakeIrm) -> None:
    """A person resolves one of the first page before the second is read."""
    newest, *others = fill(irm, 150)

    listed = read_while(irm, 2, lambda: irm.resolve(newest.id))

    assert {group.id for group in others} <= listed
    assert pages_read(irm) == ["1", "2", "1", "2"]


@pytest.mark.parametrize(
    ("count", "page", "leaving", "pages"),
    [
        pytest.param(250, 3, 120, ["1", "2", "3", "1", "2"], id="more than a page holds"),
        pytest.param(350, 3, 100, ["1", "2", "3", "2", "3"], id="as many as a page holds"),
        pytest.param(150, 2, 150, ["1", "2", "1"], id="all"),
    ],
)
def test_groups_that_move_up_by_whole_pages_are_not_lost(
    irm: FakeIrm, count: int, page: int, leaving: int, pages: list[str]
) -> None:
    groups = fill(irm, count)

    def resolve() -> None:
        for group in groups[:leaving]:
            irm.resolve(group.id)

    listed = read_while(irm, page, resolve)

    assert {group.id for group in groups[leaving:]} <= listed
    assert pages_read(irm) == pages


def test_list_that_shrinks_whenever_it_is_read_is_read_to_its_end(irm: FakeIrm) -> None:
    leaving = iter(fill(irm, 103))

    listed = read_while(irm, 2, lambda: irm.resolve(next(leaving).id), nth=None)

    assert {group.id for group in leaving} <= listed
    assert pages_read(irm) == ["1", "2", "1", "2", "1", "2", "1"]


def test_all_three_open_states_are_listed_with_the_words_of_each(irm: FakeIrm) -> None:
    integration = irm.add_alertmanager_integration()
    groups = [irm.receive_webhook(webhook(number), integration)[0] for number in range(4)]
    client = client_of(irm.url, irm.admin.token)
    irm.acknowledge(groups[1].id)
    irm.silence(groups[2].id, delay_seconds=600)
    irm.resolve(groups[3].id)

    snapshot = read(client)

    assert {group.id: group.state for group in snapshot.alert_groups} == {
        groups[0].id: AlertGroupState.FIRING,
        groups[1].id: AlertGroupState.ACKNOWLEDGED,
        groups[2].id: AlertGroupState.SILENCED,
    }
    assert [request.query["state"] for request in irm.requests] == ["new", "acknowledged", "silenced"]


def test_hosted_irm_lists_groups_older_than_thirty_days() -> None:
    clock = Clock()
    with FakeIrm(is_hosted=True, clock=clock) as irm:
        integration = irm.add_alertmanager_integration()
        irm.receive_webhook(webhook(), integration)
        clock.advance(timedelta(days=45).total_seconds())

        snapshot = client_of(irm.url, irm.admin.token).read(deadline(), now=clock.now())

    assert len(snapshot.alert_groups) == 1


def test_actions_change_the_group_as_meant(irm: FakeIrm) -> None:
    integration = irm.add_alertmanager_integration()
    resolved, silenced = (irm.receive_webhook(webhook(number), integration)[0] for number in range(2))
    client = client_of(irm.url, irm.admin.token)

    client.resolve(resolved.id, deadline(), confirm=go)
    client.silence(silenced.id, 60, deadline(), confirm=go)

    states = [client.read_alert_group(group.id, deadline()).state for group in (resolved, silenced)]
    assert states == [AlertGroupState.RESOLVED, AlertGroupState.SILENCED]


REFUSALS: list[Any] = [
    pytest.param(lambda irm: irm.add_user("reader", role=Role.VIEWER).token, id="viewer"),
    pytest.param(lambda irm: irm.add_service_account().token, id="service account"),
]


@pytest.mark.parametrize("token_of", REFUSALS)
def test_token_that_may_not_act_is_refused_as_a_credential(irm: FakeIrm, token_of: Callable[[FakeIrm], str]) -> None:
    integration = irm.add_alertmanager_integration()
    (group,) = irm.receive_webhook(webhook(), integration)
    client = client_of(irm.url, token_of(irm))

    with pytest.raises(PermanentUpstreamError) as refused:
        client.resolve(group.id, deadline(), confirm=go)

    assert refused.value.is_refused_credential
    assert len(read(client).alert_groups) == 1, "it may read"


def test_list_that_is_throttled_for_longer_than_the_run_has_ends_it() -> None:
    with FakeIrm(limits=Limits(requests_per_minute=2)) as irm:
        with pytest.raises(PostponedError, match=r"list silenced alert groups, page 1: HTTP 429.*\(60 s\)"):
            read(client_of(irm.url, irm.admin.token))

        assert [request.status for request in irm.requests] == [200, 200, 429]


def test_resolve_through_the_integration_is_taken_in_and_then_done(irm: FakeIrm) -> None:
    integration = irm.add_alertmanager_integration()
    (group,) = irm.receive_webhook(webhook(), integration)
    client = client_of(irm.url, irm.add_service_account().token)
    inbound = InboundClient(HttpTransport(), client, RequestBudget(100))
    (known,) = read(client).alert_groups

    found = inbound.read_integrations([known.integration_id], deadline())[known.integration_id]
    assert not isinstance(found, UpstreamError)
    inbound.resolve(known, found, deadline(), now=NOW, confirm=go)

    after = client.read_alert_group(group.id, deadline())
    assert after.state is AlertGroupState.RESOLVED
    assert after.notification is not None
    assert after.notification.firing == {}


def test_integration_that_is_gone_is_told_as_an_error(irm: FakeIrm) -> None:
    client = client_of(irm.url, irm.admin.token)
    inbound = InboundClient(HttpTransport(), client, RequestBudget(100))

    found = inbound.read_integrations(["CGONE"], deadline())["CGONE"]

    assert isinstance(found, PermanentUpstreamError)
    assert found.status == 404


@pytest.mark.parametrize("reason", ["legacy", "customized"])
def test_integration_that_would_misunderstand_the_webhook_is_not_used(irm: FakeIrm, reason: str) -> None:
    integration = irm.add_alertmanager_integration()
    irm.receive_webhook(webhook(), integration)
    client = client_of(irm.url, irm.admin.token)
    (group,) = read(client).alert_groups
    assert group.notification is not None
    found = client.read_integration(group.integration_id, deadline())
    if reason == "legacy":
        group = replace(group, notification=replace(group.notification, legacy=True))
    else:
        found = replace(found, is_customized=True)
    irm.forget_requests()

    with pytest.raises(PermanentUpstreamError, match="RESOLVE_THROUGH=api"):
        InboundClient(HttpTransport(), client, RequestBudget(100)).resolve(
            group, found, deadline(), now=NOW, confirm=go
        )

    assert irm.writes == ()
