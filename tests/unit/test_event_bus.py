"""Events on EventBridge: what is told of a run, in the documented JSON, and what becomes of it when it is not taken."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator

from alert_sync.aws_api import AwsApi
from alert_sync.deadline import Deadline
from alert_sync.event_bus import EventBus
from alert_sync.http_transport import HttpTransport
from alert_sync.model import Action, AlertGroup, Change, ChangeResult, Finding, Outcome, Plan, Verdict
from alert_sync.recall import Condition
from alert_sync.report import Report, Status, Trigger
from tests.builders import NOW, an_alert_group
from tests.support.faults import closed_port
from tests.support.loopback_http import Answer, Connection, LoopbackHttpServer, Request
from tests.support.tools import PROJECT

RUN_ID = "4f0c2a7e-0d0b-4f0e-9a55-6a1d4f5f2c11"
QUIET = Report(
    run_id=RUN_ID, trigger=Trigger.SCHEDULE, status=Status.SUCCESS, message="", dry_run=False, started_at=NOW
)
REASON = "its only alert is silenced in Alertmanager by ann (deploy) until 2026-11-21 04:00 UTC"
UNREACHABLE = Condition(
    type="IrmReachable",
    status="False",
    reason="CredentialRefused",
    message="Grafana IRM: list new alert groups, page 1: HTTP 403: Invalid token.",
    changed_at=NOW,
)

Play = Callable[[Sequence[dict[str, str]], Connection], None]
"""How EventBridge answers to these entries."""


def taken(entries: Sequence[dict[str, str]], connection: Connection) -> None:
    answer(connection, [{"EventId": str(number)} for number, _ in enumerate(entries)])


def refused(*positions: int, code: str = "ThrottlingException") -> Play:
    """Take all entries but these."""

    def play(entries: Sequence[dict[str, str]], connection: Connection) -> None:
        error = {"ErrorCode": code, "ErrorMessage": "a secret"}
        answer(connection, [error if number in positions else {"EventId": "e"} for number, _ in enumerate(entries)])

    return play


def failing(status: int, code: str) -> Play:
    def play(_: Sequence[dict[str, str]], connection: Connection) -> None:
        connection.send(Answer(status=status, body=json.dumps({"__type": f"com.amazonaws.events#{code}"}).encode()))

    return play


def losing_the_answer(_: Sequence[dict[str, str]], connection: Connection) -> None:
    connection.reset()


def answer(connection: Connection, rows: Sequence[dict[str, str]]) -> None:
    body = {"FailedEntryCount": sum("ErrorCode" in row for row in rows), "Entries": rows}
    connection.send(Answer(status=200, body=json.dumps(body).encode()))


@dataclass
class FakeEventBridge:
    """Plays its script, one entry for each call, and takes everything after its end."""

    script: list[Play] = field(default_factory=list)
    calls: list[list[dict[str, str]]] = field(default_factory=list)
    targets: set[str | None] = field(default_factory=set)

    def serve(self, request: Request, connection: Connection) -> None:
        entries = json.loads(request.body)["Entries"]
        self.calls.append(entries)
        self.targets.add(request.header("X-Amz-Target"))
        (self.script.pop(0) if self.script else taken)(entries, connection)

    @property
    def entries(self) -> list[dict[str, str]]:
        return [entry for call in self.calls for entry in call]

    @property
    def told(self) -> list[tuple[str, dict[str, Any]]]:
        return [(entry["DetailType"], json.loads(entry["Detail"])) for entry in self.entries]

    @property
    def alert_groups(self) -> list[list[str]]:
        """Which alert groups each call was about."""
        return [[json.loads(entry["Detail"])["alert_group_id"] for entry in call] for call in self.calls]


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeEventBridge]:
    fake = FakeEventBridge()
    with LoopbackHttpServer(fake.serve) as server:
        set_up(server.url, monkeypatch)
        yield fake


def set_up(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_EVENTBRIDGE", url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")


def an_api() -> AwsApi:
    transport = HttpTransport(backoff_seconds=0.01)
    return AwsApi("events", transport, name="Amazon EventBridge", target="AWSEvents", json_version="1.1")


def publish(report: Report, *changed: Condition, seconds: float = 10.0, service: str = "") -> tuple[str, ...]:
    return EventBus(an_api(), "default", service=service).publish(report, changed, Deadline(seconds))


def a_result(group_id: str = "I1", outcome: Outcome = Outcome.APPLIED, error: str = "") -> ChangeResult:
    return result_for(an_alert_group(group_id), outcome, error)


def result_for(
    group: AlertGroup, outcome: Outcome = Outcome.APPLIED, error: str = "", *, reason: str = REASON
) -> ChangeResult:
    finding = Finding(alert_group=group, verdict=Verdict.SILENCED, reason=reason)
    return ChangeResult(change=Change(finding=finding, action=Action.RESOLVE), outcome=outcome, error=error)


def a_report(*results: ChangeResult, status: Status = Status.SUCCESS) -> Report:
    plan = Plan(changes=tuple(result.change for result in results), kept=(), managed=len(results))
    return replace(QUIET, plan=plan, results=results, status=status)


def many(count: int) -> Report:
    return a_report(*(a_result(f"I{number}") for number in range(count)))


def documented(kind: str) -> dict[str, Any]:
    """The example under this heading of the documentation."""
    page = (PROJECT / "docs" / "events.md").read_text()
    found = re.search(rf"^## `{re.escape(kind)}`\n.*?```json\n(.*?)```", page, re.MULTILINE | re.DOTALL)
    assert found
    example: dict[str, Any] = json.loads(found[1])
    return example


# --- what is told


def test_change_is_told_as_documented(events: FakeEventBridge) -> None:
    group = replace(
        an_alert_group("I2GWAK6GHIZ9H"),
        title="HighLatency (eu)",
        url="https://example.grafana.net/a/grafana-irm-app/alert-groups/I2GWAK6GHIZ9H",
    )
    error = "Grafana IRM: resolve alert group I2GWAK6GHIZ9H: HTTP 502"

    warnings = publish(a_report(result_for(group, Outcome.FAILED, error)), service="alertmanager-alert-sync")

    assert warnings == ()
    assert events.told == [("alert-sync.change", documented("alert-sync.change"))]


def test_refusal_is_told_as_documented(events: FakeEventBridge) -> None:
    planned = (a_result(f"I{number}", Outcome.PLANNED) for number in range(31))
    error = (
        "31 of 40 managed alert groups would be quietened: more than MAX_CHANGES_PERCENT=50 and MAX_CHANGES_MINIMUM=20 "
        "allow. If Alertmanager's silences are really that wide, run once with force=true."
    )
    report = replace(a_report(*planned, status=Status.REFUSED), error=error)

    warnings = publish(report, service="alertmanager-alert-sync")

    assert warnings == ()
    assert events.told == [("alert-sync.refusal", documented("alert-sync.refusal"))]


def test_condition_is_told_as_documented(events: FakeEventBridge) -> None:
    warnings = publish(QUIET, UNREACHABLE, service="alertmanager-alert-sync")

    assert warnings == ()
    assert events.told == [("alert-sync.condition", documented("alert-sync.condition"))]


def test_entry_is_what_eventbridge_takes(events: FakeEventBridge) -> None:
    model = botocore.session.Session().get_service_model("events").operation_model("PutEvents")

    publish(a_report(a_result()))

    assert [set(entry) for entry in events.entries] == [{"EventBusName", "Source", "DetailType", "Detail"}]
    assert (events.entries[0]["EventBusName"], events.entries[0]["Source"]) == ("default", "alertmanager-alert-sync")
    assert events.targets == {"AWSEvents.PutEvents"}
    assert model.input_shape
    faults = ParamValidator().validate({"Entries": events.entries}, model.input_shape)
    assert not faults.has_errors()


def test_only_changes_that_are_over_are_told(events: FakeEventBridge) -> None:
    publish(a_report(*(a_result(outcome.name, outcome) for outcome in Outcome)))

    assert events.alert_groups == [["APPLIED", "ALREADY", "FAILED"]]


def test_dry_run_has_changed_nothing_and_refused_nothing(events: FakeEventBridge) -> None:
    report = replace(a_report(a_result(), status=Status.REFUSED), dry_run=True)

    publish(report, UNREACHABLE)

    assert [kind for kind, _ in events.told] == ["alert-sync.condition"]


def test_conditions_come_first_as_time_may_run_out(events: FakeEventBridge) -> None:
    publish(many(2), UNREACHABLE)

    assert [kind for kind, _ in events.told] == ["alert-sync.condition", "alert-sync.change", "alert-sync.change"]


def test_quiet_run_asks_nobody(events: FakeEventBridge) -> None:
    assert publish(QUIET) == ()
    assert events.calls == []


def test_empty_bus_is_off(events: FakeEventBridge) -> None:
    assert EventBus(an_api(), "").publish(many(1), (), Deadline(5.0)) == ()
    assert events.calls == []


def test_bus_without_aws_is_off() -> None:
    assert EventBus(None, "default").publish(many(1), (), Deadline(5.0)) == ()


# --- sizes


@pytest.mark.parametrize(
    ("count", "sizes"), [(1, [1]), (9, [9]), (10, [10]), (11, [10, 1]), (25, [10, 10, 5])], ids=str
)
def test_call_holds_ten_entries_at_most(events: FakeEventBridge, count: int, sizes: list[int]) -> None:
    warnings = publish(many(count))

    assert warnings == ()
    assert [len(call) for call in events.calls] == sizes


@pytest.mark.parametrize("character", ["x", "\N{PILE OF POO}", "\x01"], ids=["one byte", "four bytes", "escaped"])
def test_call_stays_below_what_eventbridge_takes(events: FakeEventBridge, character: str) -> None:
    mad = character * 50_000
    group = replace(an_alert_group(), title=mad, url=mad)

    warnings = publish(a_report(*(result_for(group, Outcome.FAILED, mad, reason=mad) for _ in range(30))))

    assert warnings == ()
    assert len(events.entries) == 30
    assert max(sum(len(entry["Detail"].encode()) for entry in call) for call in events.calls) < 256 * 1024


def test_half_a_character_does_not_spoil_the_call(events: FakeEventBridge) -> None:
    group = replace(an_alert_group(), url="http://grafana.example/\ud83d")

    warnings = publish(a_report(result_for(group)))

    assert warnings == ()
    assert events.told[0][1]["url"] == "http://grafana.example/?"


# --- what is not taken


def test_entries_that_failed_are_sent_once_more(events: FakeEventBridge) -> None:
    events.script = [refused(1, 3)]

    warnings = publish(many(5))

    assert warnings == ()
    assert events.alert_groups == [["I0", "I1", "I2", "I3", "I4"], ["I1", "I3"]]


def test_failed_entries_of_all_calls_are_sent_once_more_together(events: FakeEventBridge) -> None:
    events.script = [refused(0), refused(9)]

    publish(many(20))

    assert [len(call) for call in events.calls] == [10, 10, 2]
    assert events.alert_groups[2] == ["I0", "I19"]


def test_entries_that_fail_twice_become_a_warning(events: FakeEventBridge) -> None:
    events.script = [refused(0, 1), refused(1, code="InternalFailure")]

    warnings = publish(many(3))

    assert warnings == ("1 of 3 events may not have reached the event bus: InternalFailure",)
    assert events.alert_groups == [["I0", "I1", "I2"], ["I0", "I1"]]


def test_throttled_call_is_sent_again(events: FakeEventBridge) -> None:
    events.script = [failing(400, "ThrottlingException")]

    assert publish(many(1)) == ()
    assert events.alert_groups == [["I0"], ["I0"]]


def test_call_whose_answer_was_lost_is_sent_again(events: FakeEventBridge) -> None:
    events.script = [losing_the_answer]

    assert publish(many(1)) == ()
    assert events.alert_groups == [["I0"], ["I0"]]


def test_denied_call_ends_the_sending(events: FakeEventBridge) -> None:
    events.script = [refused(0), failing(400, "AccessDeniedException")]

    warnings = publish(many(25))

    cause = (
        "Amazon EventBridge: put events: AccessDeniedException: may this function's role do this (events:PutEvents)?"
    )
    assert warnings == (f"16 of 25 events may not have reached the event bus: {cause}, ThrottlingException",)
    assert [len(call) for call in events.calls] == [10, 10]


def test_second_sending_that_is_denied_is_a_warning_too(events: FakeEventBridge) -> None:
    events.script = [refused(0, 1), failing(400, "AccessDeniedException")]

    warnings = publish(many(3))

    assert [warning.partition(":")[0] for warning in warnings] == ["2 of 3 events may not have reached the event bus"]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"FailedEntryCount": 1}, id="no entries"),
        pytest.param({"FailedEntryCount": 1, "Entries": []}, id="too few"),
        pytest.param({"FailedEntryCount": 1, "Entries": {"0": "failed"}}, id="no list"),
        pytest.param(["failed"], id="no object"),
    ],
)
def test_answer_that_cannot_be_understood_is_a_warning(events: FakeEventBridge, body: object) -> None:
    events.script = [lambda _, connection: connection.send(Answer(status=200, body=json.dumps(body).encode()))]

    warnings = publish(many(1))

    assert [warning.partition(":")[0] for warning in warnings] == ["1 of 1 events may not have reached the event bus"]


def test_bus_that_cannot_be_reached_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    with closed_port() as url:
        set_up(url, monkeypatch)

        warnings = publish(many(3))

    cause = "Amazon EventBridge: put events: the connection was refused or the host cannot be reached"
    assert warnings == (f"3 of 3 events may not have reached the event bus: {cause}",)


def test_time_that_has_run_out_is_a_warning(events: FakeEventBridge) -> None:
    warnings = publish(many(3), seconds=0.0)

    cause = "Amazon EventBridge: put events: not sent: this run's deadline has passed"
    assert warnings == (f"3 of 3 events may not have reached the event bus: {cause}",)
    assert events.calls == []


def test_machine_without_a_region_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_EVENTBRIDGE"):
        monkeypatch.delenv(variable, raising=False)

    warnings = publish(many(1))

    assert warnings == ("1 of 1 events may not have reached the event bus: AWS_DEFAULT_REGION is not set",)
