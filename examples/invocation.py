"""One invocation of the Lambda handler in this process: the answer, and what it printed, taken apart."""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Json = dict[str, Any]

FUNCTION_TIMEOUT_SECONDS = 120
"""Parameter FunctionTimeout's default."""

_EVENT = Path(__file__).resolve().parent.parent / "events" / "scheduled.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """What came of one invocation. `metrics` is the embedded-metrics document that CloudWatch would read."""

    report: Json
    log_lines: tuple[str, ...]
    metrics: Json

    def logged(self, message: str) -> Iterator[Json]:
        """The log lines with this message."""
        lines = (_document(line) for line in self.log_lines)
        return (line for line in lines if line.get("message") == message)

    def metric_rows(self) -> Iterator[tuple[str, str, str]]:
        """Name, value and unit of each metric."""
        for directive in self.metrics["_aws"]["CloudWatchMetrics"]:
            for metric in directive["Metrics"]:
                values = self.metrics[metric["Name"]]
                value = values[0] if isinstance(values, list) else values
                yield metric["Name"], f"{value:.10g}", metric["Unit"]


class _Context:
    """As much of Lambda's context as the handler uses."""

    aws_request_id = "00000000-0000-4000-8000-000000000001"

    def __init__(self) -> None:
        self._ends_at = time.monotonic() + FUNCTION_TIMEOUT_SECONDS

    def get_remaining_time_in_millis(self) -> int:
        return int(max(0.0, self._ends_at - time.monotonic()) * 1000)


def invoke() -> Invocation:
    """Invoke the handler with a scheduled event, with the settings that the environment holds now."""
    printed = io.StringIO()
    try:
        # Imported here: the handler reads the environment, and takes hold of standard output, when it is imported.
        with redirect_stdout(printed):
            from alert_sync.handler import lambda_handler  # noqa: PLC0415

            report = lambda_handler(json.loads(_EVENT.read_text()), _Context())
    except BaseException:
        sys.stderr.write(printed.getvalue())
        raise
    lines = printed.getvalue().splitlines()
    metrics = [document for line in lines if "_aws" in (document := _document(line))]
    if not metrics:
        raise RuntimeError("the handler printed no metrics")
    log_lines = tuple(line for line in lines if "_aws" not in _document(line))
    return Invocation(report=report, log_lines=log_lines, metrics=metrics[0])


def _document(line: str) -> Json:
    """The line as JSON; empty for a line that somebody else printed."""
    try:
        document = json.loads(line)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
