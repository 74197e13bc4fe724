"""The client against recorded answers of three versions of Alertmanager, and against answers that are wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from alert_sync.alertmanager import AlertmanagerClient
from alert_sync.call import Upstream
from alert_sync.credentials import NoAuth
from alert_sync.deadline import Deadline
from alert_sync.errors import ContractError, UpstreamError
from alert_sync.http_transport import HttpTransport
from alert_sync.model import AggregationGroup, Alert, AlertmanagerSnapshot, AlertState, Peer, Silence, SilenceState
from tests.support.loopback_http import Answer, Connection, LoopbackHttpServer, Request, Serving
from tests.support.recordings import Recording, ReplayServer

RECORDINGS = Path(__file__).parent / "recordings" / "alertmanager"
VERSIONS = ("0.25.0", "0.28.1", "0.33.1")
OLDEST = datetime.min.replace(tzinfo=UTC)


def load(version: str, name: str) -> Recording:
    recorded = json.loads((RECORDINGS / version / f"{name}.json").read_text())
    answer = recorded["response"]
    return Recording(
        name=f"{version}/{name}",
        method=recorded["request"]["method"],
        target=recorded["request"]["path"],
        request_headers=(),
        request_body=None,
        token_of=None,
        status=answer["status"],
        reason="OK",
        headers=tuple(answer["headers"].items()),
        body=json.dumps(answer["body"]).encode(),
    )


def client_of(*urls: str) -> AlertmanagerClient:
    peers = tuple(Upstream(name=f"Alertmanager {url}", base_url=url, authorizer=NoAuth()) for url in urls)
    return AlertmanagerClient(HttpTransport(backoff_seconds=0.01), peers)


def read(*urls: str, seconds: float = 5) -> AlertmanagerSnapshot:
    return client_of(*urls).read(Deadline(seconds))


@pytest.mark.parametrize("version", VERSIONS)
def test_recorded_world_is_understood(version: str) -> None:
    names = ("groups_full", "status", "silences_list")

    with ReplayServer([load(version, name) for name in names], path_prefix="/am") as server:
        snapshot = read(server.url)

    (peer,) = snapshot.peers
    found = {
        (group.receiver, alert.labels["alertname"]): (alert.state, bool(alert.silenced_by), bool(alert.inhibited_by))
        for group in peer.aggregation_groups
        for alert in group.alerts
    }
    active = (AlertState.ACTIVE, False, False)
    assert found == {
        ("null", "Active"): active,
        ("null", "Inhibited"): (AlertState.SUPPRESSED, False, True),
        ("null", "NoEnd"): active,
        ("null", "Silenced"): (AlertState.SUPPRESSED, True, False),
        ("null", "Source"): active,
        ("main", "TwoReceivers"): active,
        ("second", "TwoReceivers"): active,
    }
    assert (peer.fault, peer.unreadable, peer.cluster_status) == ("", 0, "disabled")
    assert peer.started_at is not None
    assert peer.started_at.date().isoformat() == "2026-11-21"
    assert {silence.state for silence in snapshot.silences.values()} == set(SilenceState)


@pytest.mark.parametrize("version", VERSIONS)
def test_silences_are_not_asked_for_when_nothing_is_silenced(version: str) -> None:
    groups = load(version, "groups_full")
    quiet = [group for group in groups.json() if group["labels"]["alertname"] != "Silenced"]

    with ReplayServer([groups.answering(json.dumps(quiet).encode()), load(version, "status")]) as server:
        snapshot = read(server.url)

    assert snapshot.silences == {}


def alert(**changes: Any) -> dict[str, Any]:
    """An alert as the API lists it."""
    return {
        "fingerprint": "f1",
        "labels": {"alertname": "x"},
        "annotations": {},
        "startsAt": "2026-11-21T02:00:00.000Z",
        "updatedAt": "2026-11-21T03:00:00.000Z",
        "endsAt": "2026-11-21T03:04:00.000Z",
        "receivers": [{"name": "oncall"}],
        "status": {"state": "active", "silencedBy": [], "inhibitedBy": [], "mutedBy": []},
        **changes,
    }


def group(*alerts: Any, **changes: Any) -> dict[str, Any]:
    """An aggregation group as the API lists it."""
    return {"labels": {"alertname": "x"}, "receiver": {"name": "oncall"}, "alerts": list(alerts), **changes}


STATUS: dict[str, Any] = {"cluster": {"status": "ready", "peers": []}, "uptime": "2026-11-20T00:00:00.000Z"}
SILENCE: dict[str, Any] = {
    "id": "s1",
    "status": {"state": "active"},
    "endsAt": "2026-11-21T05:00:00.000Z",
    "createdBy": "ann",
    "comment": "deploy",
}
SILENCED = group(alert(status={"state": "suppressed", "silencedBy": ["s1"], "inhibitedBy": []}))


class Server(Serving):
    """Serves what it is given; a tuple is a status and a body."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {"groups": [], "status": STATUS, "silences": [SILENCE], "alerts": []}
        self.requests: list[str] = []
        self.queries: list[tuple[tuple[str, str], ...]] = []
        self._server = LoopbackHttpServer(self._serve)

    @property
    def url(self) -> str:
        return self._server.url

    def _serve(self, request: Request, connection: Connection) -> None:
        self.requests.append(request.path)
        self.queries.append(request.query)
        answer = self.answers[request.path.rpartition("/")[2]]
        code, body = answer if isinstance(answer, tuple) else (200, json.dumps(answer))
        connection.send(Answer(status=code, body=body.encode()))


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture
def other_server() -> Iterator[Server]:
    with Server() as server:
        yield server


UNKNOWN = Alert(fingerprint="f1", state=AlertState.UNKNOWN, updated_at=OLDEST)


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(alert(status={"state": "flapping", "silencedBy": [], "inhibitedBy": []}), id="unknown state"),
        pytest.param(alert(status={"state": "unknown", "silencedBy": [], "inhibitedBy": []}), id="our own word"),
        pytest.param(alert(status=None), id="no status"),
        pytest.param(alert(status={"state": "suppressed"}), id="no silencedBy"),
        pytest.param(alert(status={"state": "suppressed", "silencedBy": "s1"}), id="silencedBy a text"),
        pytest.param(alert(status={"state": "suppressed", "silencedBy": [1]}), id="silencedBy numbers"),
        pytest.param(alert(updatedAt="yesterday"), id="time malformed"),
        pytest.param(alert(updatedAt="2026-11-21T03:00:00"), id="time without zone"),
        pytest.param(alert(updatedAt="0001-01-01T00:00:00+01:00"), id="before the calendar begins"),
        pytest.param(alert(labels=None), id="no labels"),
        pytest.param(alert(labels={"alertname": 7}), id="label a number"),
    ],
)
def test_alert_that_is_not_understood_keeps_its_place_as_unknown(server: Server, broken: dict[str, Any]) -> None:
    server.answers["groups"] = [group(broken)]

    (peer,) = read(server.url).peers

    labels = frozenset({("alertname", "x")})
    assert peer.aggregation_groups == (AggregationGroup(receiver="oncall", group_labels=labels, alerts=(UNKNOWN,)),)
    assert peer.unreadable == 0


@pytest.mark.parametrize(
    ("groups", "unreadable"),
    [
        pytest.param([None], 1, id="group null"),
        pytest.param(["x", 7], 2, id="groups a text and a number"),
        pytest.param([group(alert(), labels=None)], 1, id="no group labels"),
        pytest.param([group(alert(), receiver={})], 1, id="no receiver"),
        pytest.param([group(None, alert())], 1, id="alert null"),
        pytest.param([group(alert(fingerprint=None))], 1, id="no fingerprint"),
        pytest.param([group(), group(alerts={})], 0, id="no alerts"),
    ],
)
def test_object_that_cannot_be_placed_is_counted(server: Server, groups: list[Any], unreadable: int) -> None:
    server.answers["groups"] = groups

    (peer,) = read(server.url).peers

    assert peer.unreadable == unreadable


@pytest.mark.parametrize(
    "nulls",
    [
        pytest.param({"cluster": None, "uptime": None, "versionInfo": None}, id="Amazon Managed Prometheus"),
        pytest.param({"cluster": {}, "uptime": None}, id="no cluster status"),
    ],
)
def test_null_status_fields_are_no_fault(server: Server, nulls: dict[str, Any]) -> None:
    server.answers["status"] = nulls

    assert read(server.url).peers == (Peer(url=server.url),)


@pytest.mark.parametrize(
    ("path", "answer", "cause"),
    [
        pytest.param("groups", {"alerts": []}, "not the JSON array", id="groups an object"),
        pytest.param("groups", (200, "<html>"), "not the JSON array", id="groups HTML"),
        pytest.param("groups", (200, '[{"labels":'), "not the JSON array", id="groups cut off"),
        pytest.param("groups", (200, ""), "not the JSON array", id="groups empty"),
        pytest.param("groups", None, "not the JSON array", id="groups null"),
        pytest.param("status", [], "lacks uptime", id="status a list"),
        pytest.param("status", {"cluster": {"status": "ready"}}, "lacks uptime", id="status without uptime"),
        pytest.param("status", {"cluster": "ready", "uptime": None}, "lacks uptime", id="cluster a text"),
        pytest.param("status", {**STATUS, "uptime": "long"}, "lacks uptime", id="uptime malformed"),
        pytest.param("status", (200, "<html>"), "not JSON", id="status HTML"),
    ],
)
def test_answer_that_is_not_what_was_asked_for_ends_the_read(
    server: Server, path: str, answer: Any, cause: str
) -> None:
    server.answers[path] = answer

    with pytest.raises(ContractError, match=cause):
        read(server.url)


def test_silences_that_are_not_a_list_end_the_read(server: Server) -> None:
    server.answers |= {"groups": [SILENCED], "silences": {}}

    with pytest.raises(ContractError, match="list silences: not the JSON array"):
        read(server.url)


def test_silence_that_is_not_understood_is_left_out(server: Server) -> None:
    odd = [None, {**SILENCE, "id": "s2", "status": {"state": "odd"}}, {**SILENCE, "id": "s3", "endsAt": 7}]
    odd += [{**SILENCE, "id": "s4", "endsAt": "9999-12-31T23:59:59-01:00"}]
    server.answers |= {"groups": [SILENCED], "silences": [*odd, SILENCE]}

    ends_at = datetime(2026, 11, 21, 5, 0, tzinfo=UTC)
    silence = Silence(id="s1", state=SilenceState.ACTIVE, ends_at=ends_at, author="ann", comment="deploy")
    assert read(server.url).silences == {"s1": silence}


def test_peer_that_fails_does_not_end_the_read_while_another_answers(server: Server, other_server: Server) -> None:
    server.answers["groups"] = (500, "down")

    broken, whole = read(server.url, other_server.url).peers

    assert broken.fault == f"Alertmanager {server.url}: list aggregation groups: HTTP 500"
    assert whole.fault == ""


def test_alerts_of_a_peer_whose_status_failed_are_kept(server: Server, other_server: Server) -> None:
    server.answers |= {"groups": [group(alert())], "status": (403, "no")}

    half, _ = read(server.url, other_server.url).peers

    assert half.fault == f"Alertmanager {server.url}: read status: HTTP 403"
    assert [each.fingerprint for each in half.aggregation_groups[0].alerts] == ["f1"]


def test_no_peer_in_full_ends_the_read(server: Server, other_server: Server) -> None:
    server.answers["groups"] = (404, "no")
    other_server.answers["status"] = (404, "no")

    with pytest.raises(UpstreamError, match=f"Alertmanager {server.url}: list aggregation groups: HTTP 404"):
        read(server.url, other_server.url)


def test_silences_come_from_the_next_peer_if_the_first_cannot_list_them(server: Server, other_server: Server) -> None:
    server.answers |= {"groups": [SILENCED], "silences": (404, "no")}

    snapshot = read(server.url, other_server.url)

    assert set(snapshot.silences) == {"s1"}
    assert other_server.requests[-1] == "/api/v2/silences"


def test_peer_that_failed_is_not_asked_for_silences(server: Server, other_server: Server) -> None:
    """Each call that it does not answer would cost the run its time."""
    server.answers |= {"groups": [SILENCED], "status": (404, "no")}

    snapshot = read(server.url, other_server.url)

    assert set(snapshot.silences) == {"s1"}
    assert "/api/v2/silences" not in server.requests


def test_each_peer_is_asked_once_for_groups_and_status(server: Server, other_server: Server) -> None:
    read(server.url, other_server.url)

    assert server.requests == other_server.requests == ["/api/v2/alerts/groups", "/api/v2/status"]


@pytest.mark.parametrize(
    ("value", "quoted"),
    [
        pytest.param("eu", '"eu"', id="plain"),
        pytest.param("", '""', id="empty"),
        pytest.param("a\tb", '"a\tb"', id="tab: an escape that 0.25 does not know"),
        pytest.param("a\rb\x00c\x7fd", '"a\rb\x00c\x7fd"', id="other control characters"),
        pytest.param("a\u00a0b\u2028c", '"a\u00a0b\u2028c"', id="odd spaces"),
        pytest.param('a"b', r'"a\"b"', id="quote"),
        pytest.param(r"a\b", r'"a\\b"', id="backslash"),
        pytest.param("a\nb", r'"a\nb"', id="newline"),
        pytest.param(r"a\nb", r'"a\\nb"', id="backslash and n"),
        pytest.param('\t"\\\n', '"\t' + r'\"\\\n"', id="all at once"),
    ],
)
def test_group_label_is_quoted_as_every_version_understands(server: Server, value: str, quoted: str) -> None:
    labels = frozenset({("alertname", "x"), ("cluster", value)})

    client_of(server.url).read_firing("oncall", labels, Deadline(5))

    (query,) = server.queries
    assert [text for name, text in query if name == "filter"] == ['alertname="x"', f"cluster={quoted}"]


def test_check_asks_every_peer(server: Server, other_server: Server) -> None:
    other_server.answers["status"] = (401, "Unauthorized")

    with pytest.raises(UpstreamError, match=f"Alertmanager {other_server.url}: read status: HTTP 401"):
        client_of(server.url, other_server.url).check(Deadline(5))
