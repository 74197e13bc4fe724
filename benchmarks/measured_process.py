"""The process that is measured: nothing but the built artefact and this file, on the interpreter of the Lambda runtime.

    python measured_process.py look    recalls, reads both systems and plans; several times, for the middle of the times
    python measured_process.py run     one whole invocation of the handler, with as much time as Lambda can give

Settings come from the environment, as on Lambda. What was found is the last line, a JSON object.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from alert_sync.deadline import Deadline
from alert_sync.handler import lambda_handler
from alert_sync.plan import make_plan
from alert_sync.secrets_store import SecretStore
from alert_sync.service import Service
from alert_sync.told import read_told

LOOKS = 3
SECONDS = 900

T = TypeVar("T")


class Stopwatch:
    """Wall and CPU seconds of each step, over all times that it was done."""

    def __init__(self) -> None:
        self._seconds: dict[str, list[float]] = {}

    def time(self, step: str, do: Callable[[], T]) -> T:
        wall, cpu = time.perf_counter(), time.process_time()
        result = do()
        self._seconds.setdefault(f"{step}_wall", []).append(time.perf_counter() - wall)
        self._seconds.setdefault(f"{step}_cpu", []).append(time.process_time() - cpu)
        return result

    def medians(self) -> dict[str, float]:
        return {step: statistics.median(seconds) for step, seconds in self._seconds.items()}


class Context:
    """What the handler asks Lambda for."""

    aws_request_id = "benchmark"

    def get_remaining_time_in_millis(self) -> int:
        return SECONDS * 1000


def look() -> dict[str, Any]:
    stopwatch, service = Stopwatch(), Service(os.environ, SecretStore())
    for _ in range(LOOKS):
        _look_once(stopwatch, service)
    return stopwatch.medians()


def _look_once(stopwatch: Stopwatch, service: Service) -> None:
    """As a run does: what IRM has to be asked about is planned a second time, with its answers."""
    deadline, now = Deadline(SECONDS), datetime.now(UTC)
    recall = stopwatch.time("recall", lambda: service.recall(deadline))
    irm = stopwatch.time("irm", lambda: service.irm.read(deadline, now=now))
    alertmanager = stopwatch.time("alertmanager", lambda: service.alertmanager.read(deadline))
    policy = service.settings.policy
    plan = stopwatch.time("plan", lambda: make_plan(alertmanager, irm, policy, now=now, recall=recall))
    if plan.questions:
        told, _ = stopwatch.time("ask", lambda: read_told(service.irm, plan.questions, deadline, now=now))
        stopwatch.time("replan", lambda: make_plan(alertmanager, irm, policy, now=now, recall=recall, told=told))


def run() -> dict[str, Any]:
    answer = lambda_handler({}, Context())
    return {name: answer.get(name, "") for name in ("status", "error", "inconsistencies_resolved", "warnings")}


def _peak_memory_bytes() -> int:
    [peak] = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(peak) * 1024


if __name__ == "__main__":
    found = {"look": look, "run": run}[sys.argv[1]]()
    print(json.dumps({**found, "peak_memory_bytes": _peak_memory_bytes()}))
