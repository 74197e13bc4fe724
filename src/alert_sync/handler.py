"""The Lambda entry point: which kind of event is this, how long may it take, and where does the answer go.

Everything that every run needs is imported and made while Lambda starts the environment, when a whole CPU is free.
"""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from alert_sync import http_api
from alert_sync.deadline import Deadline
from alert_sync.environment import Environment
from alert_sync.events import RunOptions, parse_event

# API Gateway gives up after 30 s, and a cold start comes before the run.
HTTP_SECONDS = 25.0
# For the report, its log lines and the metrics.
RESERVE_SECONDS = 2.0

_environment = Environment()


def lambda_handler(event: Any, context: Any) -> dict[str, Any]:
    """Answer one invocation; see events.py for what it may be.

    Raises:
        EventError: the event is of no known kind.
    """
    invocation = parse_event(event)
    remaining = context.get_remaining_time_in_millis() / 1000 - RESERVE_SECONDS
    run_id = getattr(context, "aws_request_id", None) or str(uuid4())
    function_arn = getattr(context, "invoked_function_arn", None) or ""
    if isinstance(invocation, RunOptions):
        return _environment.run(invocation, Deadline(remaining), run_id, function_arn).as_dict()
    deadline = Deadline(min(remaining, HTTP_SECONDS))
    return http_api.answer(
        invocation,
        run=lambda options: _environment.run(options, deadline, run_id, function_arn),
        faults=lambda: _environment.faults(deadline),
        context=_environment.asked(deadline),
    )
