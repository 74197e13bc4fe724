"""The wake-up at a silence's end: when it is due, and the schedule that is made for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

import botocore.session
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alert_sync.aws_api import AwsApi
from alert_sync.deadline import Deadline
from alert_sync.events import RunOptions, parse_event
from alert_sync.http_transport import HttpTransport
from alert_sync.report import Trigger
from alert_sync.wake_up import WakeUp, next_wake_up
from tests.builders import NOW
from tests.support.faults import closed_port
from tests.support.loopback_http import Answer, Connection, LoopbackHttpServer, Request
from tests.support.secrets_manager import secrets_manager

GROUP = "my-stack"
ROLE = "arn:aws:iam::123456789012:role/my-stack-wake-up"
FUNCTION = "arn:aws:lambda:eu-west-1:123456789012:function:my-stack:live"
REGION = "eu-west-1"
FIVE_MINUTES = timedelta(minutes=5)


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


# --- when


@pytest.mark.parametrize(
    ("end", "moment"),
    [
        pytest.param(-6, None, id="has ended, and this run has seen it"),
        pytest.param(-5, None, id="just not after now"),
        pytest.param(-4, 15, id="ends while this run looks"),
        pytest.param(10, 15, id="just as soon as can be"),
        pytest.param(11, 16, id="a little later"),
        pytest.param(120, 125, id="in the middle"),
        pytest.param(264, 269, id="just worth it"),
        pytest.param(265, None, id="too shortly before the next run"),
        pytest.param(3600, None, id="a later run's business"),
    ],
)
def test_wake_up_is_due_a_little_after_the_end_and_before_the_next_run(end: float, moment: float | None) -> None:
    due = next_wake_up([NOW + seconds(end)], now=NOW, interval=FIVE_MINUTES)

    assert due == (None if moment is None else NOW + seconds(moment))


def test_first_of_several_ends_counts() -> None:
    ends = [NOW + seconds(200), NOW + seconds(-3600), NOW + seconds(60), NOW + seconds(9999)]

    assert next_wake_up(ends, now=NOW, interval=FIVE_MINUTES) == NOW + seconds(65)


def test_no_silence_is_no_wake_up() -> None:
    assert next_wake_up([], now=NOW, interval=FIVE_MINUTES) is None


@pytest.mark.parametrize(("days", "is_due"), [(30, True), (364, True), (365, False), (4000, False)])
def test_without_scheduled_runs_every_end_within_a_year_counts(days: int, is_due: bool) -> None:  # noqa: FBT001 - a table's
    end = NOW + timedelta(days=days)

    due = next_wake_up([end], now=NOW, interval=timedelta(0))

    assert due == (end + seconds(5) if is_due else None)


@given(st.lists(st.integers(-1000, 1000)), st.integers(60, 600))
def test_wake_up_is_always_between_now_and_the_next_run(offsets: list[int], interval: int) -> None:
    due = next_wake_up([NOW + seconds(offset) for offset in offsets], now=NOW, interval=seconds(interval))

    assert due is None or NOW + seconds(15) <= due < NOW + seconds(interval - 30)


# --- the schedule


@dataclass
class FakeScheduler:
    """Plays its script, one entry for each request, and makes what is asked for after its end."""

    script: list[Callable[[Connection], None]] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)

    def serve(self, request: Request, connection: Connection) -> None:
        self.requests.append(request)
        (self.script.pop(0) if self.script else made)(connection)

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(request.body) for request in self.requests]


def made(connection: Connection) -> None:
    connection.send(Answer(status=200, body=b'{"ScheduleArn": "arn"}'))


def refusing(status: int, code: str) -> Callable[[Connection], None]:
    """An answer as EventBridge Scheduler words refusals: the name of the error is in a header."""

    def play(connection: Connection) -> None:
        headers = (("x-amzn-ErrorType", code), ("Content-Type", "application/json"))
        connection.send(Answer(status=status, headers=headers, body=b'{"Message": "no"}'))

    return play


def losing_the_answer(connection: Connection) -> None:
    connection.reset()


@pytest.fixture
def scheduler(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeScheduler]:
    fake = FakeScheduler()
    with LoopbackHttpServer(fake.serve) as server:
        set_up(server.url, monkeypatch)
        yield fake


def set_up(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SCHEDULER", url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")


def a_wake_up(group: str = GROUP) -> WakeUp:
    api = AwsApi("scheduler", HttpTransport(backoff_seconds=0.01), name="Amazon EventBridge Scheduler")
    return WakeUp(api, group=group, role_arn=ROLE, function_arn=FUNCTION)


def wake(moment: datetime = NOW, *, within: float = 10.0) -> str:
    return a_wake_up().at(moment, Deadline(within))


def test_schedule_is_for_one_time_and_deletes_itself(scheduler: FakeScheduler) -> None:
    assert wake() == ""

    assert [(each.method, each.target) for each in scheduler.requests] == [
        ("POST", "/schedules/wake-up-20261121T030000")
    ]
    assert scheduler.bodies == [
        {
            "ActionAfterCompletion": "DELETE",
            "ClientToken": "wake-up-20261121T030000",
            "Description": "An Alertmanager silence ends: look whether an alert group has to page again.",
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "GroupName": GROUP,
            "ScheduleExpression": "at(2026-11-21T03:00:00)",
            "ScheduleExpressionTimezone": "UTC",
            "Target": {
                "Arn": FUNCTION,
                "RoleArn": ROLE,
                "Input": '{"source": "aws.scheduler", "detail-type": "Wake-up", "time": "2026-11-21T03:00:00Z"}',
                "RetryPolicy": {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60},
            },
        }
    ]


def test_moment_of_another_time_zone_is_told_in_utc(scheduler: FakeScheduler) -> None:
    wake(NOW.astimezone(timezone(timedelta(hours=5, minutes=30))))

    assert scheduler.bodies[0]["ScheduleExpression"] == "at(2026-11-21T03:00:00)"


def test_what_the_schedule_sends_is_a_scheduled_run(scheduler: FakeScheduler) -> None:
    wake()

    event = json.loads(scheduler.bodies[0]["Target"]["Input"])
    assert parse_event(event) == RunOptions(trigger=Trigger.SCHEDULE)


def test_schedule_is_as_aws_s_own_client_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = datetime.now(tz=NOW.tzinfo).replace(microsecond=0) + timedelta(hours=1)
    with secrets_manager() as url:
        set_up(url, monkeypatch)
        client: Any = botocore.session.Session().create_client("scheduler", region_name=REGION, endpoint_url=url)
        client.create_schedule_group(Name=GROUP)

        warnings = (wake(moment), wake(moment))

        schedules = client.list_schedules(GroupName=GROUP)["Schedules"]
        schedule = client.get_schedule(GroupName=GROUP, Name=f"wake-up-{moment:%Y%m%dT%H%M%S}")
    assert warnings == ("", "")
    assert len(schedules) == 1
    assert (schedule["ScheduleExpression"], schedule["ActionAfterCompletion"], schedule["Target"]["Arn"]) == (
        f"at({moment:%Y-%m-%dT%H:%M:%S})",
        "DELETE",
        FUNCTION,
    )


def test_schedule_that_exists_already_is_no_fault(scheduler: FakeScheduler) -> None:
    scheduler.script = [refusing(409, "ConflictException")]

    assert wake() == ""


@pytest.mark.parametrize("second", [made, refusing(409, "ConflictException")], ids=["not made", "made"])
def test_request_whose_answer_was_lost_is_sent_again(
    scheduler: FakeScheduler, second: Callable[[Connection], None]
) -> None:
    scheduler.script = [losing_the_answer, second]

    assert wake() == ""
    assert len(scheduler.requests) == 2
    assert scheduler.bodies[0] == scheduler.bodies[1]


def test_request_that_fails_twice_is_a_warning(scheduler: FakeScheduler) -> None:
    scheduler.script = [refusing(500, "InternalServerException"), refusing(503, "InternalServerException")]

    warning = wake()

    assert warning == (
        "no wake-up was scheduled, so the next run is the scheduled one: "
        "Amazon EventBridge Scheduler: schedule a wake-up: HTTP 503"
    )


@pytest.mark.parametrize(
    ("status", "code"),
    [(403, "AccessDeniedException"), (404, "ResourceNotFoundException"), (400, "ValidationException")],
)
def test_refusal_is_a_warning_that_names_it(scheduler: FakeScheduler, status: int, code: str) -> None:
    scheduler.script = [refusing(status, code)]

    warning = wake()

    assert warning.startswith(
        "no wake-up was scheduled, so the next run is the scheduled one: "
        f"Amazon EventBridge Scheduler: schedule a wake-up: {code}"
    )
    assert len(scheduler.requests) == 1


def test_service_that_cannot_be_reached_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    with closed_port() as url:
        set_up(url, monkeypatch)

        warning = wake()

    assert warning.endswith("the connection was refused or the host cannot be reached")


def test_time_that_has_run_out_is_a_warning(scheduler: FakeScheduler) -> None:
    warning = wake(within=0.0)

    assert warning.endswith("not sent: this run's deadline has passed")
    assert scheduler.requests == []


def test_no_group_is_off(scheduler: FakeScheduler) -> None:
    assert a_wake_up(group="").at(NOW, Deadline(5.0)) == ""
    assert scheduler.requests == []


def test_machine_without_aws_is_off() -> None:
    assert WakeUp(None, group=GROUP, role_arn=ROLE, function_arn=FUNCTION).at(NOW, Deadline(5.0)) == ""
