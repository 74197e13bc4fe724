"""Wakes the service when a silence ends: a one-time schedule of Amazon EventBridge Scheduler, which deletes itself.

Without it an alert group that has to page again waits for the next run. A wake-up that cannot be made is therefore only
a warning. Each run asks for at most one, which is due before the next run, so they cannot pile up.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from alert_sync.aws_api import AwsApi, aws_code
from alert_sync.deadline import Deadline
from alert_sync.errors import ReconcilerError, TransientUpstreamError, UpstreamError

# Alertmanager finds out at its next flush or request; its clock and ours may differ a little.
_AFTER_THE_END = timedelta(seconds=5)
# A schedule whose moment has passed when it is made is refused; and this run is still busy.
_SOONEST = timedelta(seconds=15)
# So shortly before a run, one more run gains nothing.
_BEFORE_THE_NEXT_RUN = timedelta(seconds=30)
# EventBridge Scheduler plans no further ahead.
_LATEST = timedelta(days=365)
_EXISTS = "ConflictException"


class WakeUp:
    """The stack's schedule group. Without `api` or with an empty `group`, nobody is woken.

    Args:
        role_arn: what EventBridge Scheduler assumes to invoke the function.
        function_arn: the function or its alias.
    """

    def __init__(self, api: AwsApi | None, *, group: str, role_arn: str, function_arn: str) -> None:
        self._api = api
        self._group = group
        self._role_arn = role_arn
        self._function_arn = function_arn

    def at(self, moment: datetime, deadline: Deadline) -> str:
        """Make the schedule, unless it is there already. Returns a warning if that did not work, else nothing."""
        if self._api is None or not self._group:
            return ""
        try:
            self._create(self._api, moment.astimezone(UTC), deadline)
        except ReconcilerError as error:
            if isinstance(error, UpstreamError) and aws_code(error) == _EXISTS:
                return ""
            return f"no wake-up was scheduled, so the next run is the scheduled one: {error}"
        return ""

    def _create(self, api: AwsApi, moment: datetime, deadline: Deadline) -> None:
        """Sent again if its answer was lost: under the same name and token it can be made once only."""
        name, what = f"wake-up-{moment:%Y%m%dT%H%M%S}", "schedule a wake-up"
        schedule = self._schedule(name, moment)
        try:
            api.request("POST", f"/schedules/{name}", schedule, deadline, what=what)
        except TransientUpstreamError:
            api.request("POST", f"/schedules/{name}", schedule, deadline, what=what)

    def _schedule(self, name: str, moment: datetime) -> dict[str, object]:
        event = {"source": "aws.scheduler", "detail-type": "Wake-up", "time": f"{moment:%Y-%m-%dT%H:%M:%SZ}"}
        return {
            "ActionAfterCompletion": "DELETE",
            "ClientToken": name,
            "Description": "An Alertmanager silence ends: look whether an alert group has to page again.",
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "GroupName": self._group,
            "ScheduleExpression": f"at({moment:%Y-%m-%dT%H:%M:%S})",
            "ScheduleExpressionTimezone": "UTC",
            "Target": {
                "Arn": self._function_arn,
                "RoleArn": self._role_arn,
                "Input": json.dumps(event),
                # Late, it is of no use: the next run has come.
                "RetryPolicy": {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60},
            },
        }


def next_wake_up(ends: Iterable[datetime], *, now: datetime, interval: timedelta) -> datetime | None:
    """The one moment to be woken at, a little after the first of these silences ends; None if no wake-up is worth it.

    `interval` is the time between scheduled runs, 0 if there are none: then no end within a year is too far away.
    """
    last = now + interval - _BEFORE_THE_NEXT_RUN if interval else now + _LATEST
    due = min((end for end in ends if end > now - _AFTER_THE_END), default=None)
    # A silence "for ever" ends so late that no time can be added to it.
    if due is None or due >= last:
        return None
    moment = max(due + _AFTER_THE_END, now + _SOONEST)
    return moment if moment < last else None
