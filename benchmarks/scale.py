"""What a run costs as the world grows: time to gather, to plan and to apply, and memory.

The process that is measured runs the built artefact on the interpreter of the Lambda runtime. Both systems are in this
process, on loopback, and wait 50 ms before every answer; the table is in an emulator, and answers as quickly as it can.
The largest world takes minutes: its writes wait for budget.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.remembered import remember
from benchmarks.servers import AlertmanagerStandIn, Irm, irm_with
from benchmarks.tables import Row, Table
from benchmarks.world import World
from tests.support import tools
from tests.support.dynamodb import DynamoDb, table_named
from tests.support.fake_irm import FakeIrm

LATENCY_SECONDS = 0.05
REQUESTS_PER_MINUTE = 240
LONGEST_PLAN_SECONDS = 1.0
LARGEST_MEMORY_MB = 350
# How much more one further alert may cost in the largest world than in the one before. Linear is 1, quadratic about 5.
LARGEST_GROWTH = 2.0

_ALERT_GROUPS = (100, 1_000, 5_000)
_ALERTS_EACH = 10
_PERCENT_TO_RESOLVE = 6
# As many interventions, and as many mismatches that are open; in the largest world 500 each.
_PERCENT_REMEMBERED = 10
# In a look of its own: aggregation groups of which IRM has nothing.
_PERCENT_MISSING = 10
# So few that none has to wait for request budget.
_FEW_CHANGES = 60
_INTEGRATIONS = 4
_MEASURED_PROCESS = Path(__file__).with_name("measured_process.py")
_PROGRESS_SECONDS = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One whole run, as IRM's server saw it."""

    changes: int
    writes: int
    apply_seconds: float
    """From the first write's arrival to the last one's answer."""
    writes_at_once: int
    """In the first 10 seconds: what the budget let through without waiting."""
    most_requests_in_a_minute: int
    refused: int
    """Answers 429."""
    peak_memory_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Everything measured in one world. Each `look` has the medians that measured_process.py prints."""

    world: World
    look: Mapping[str, float]
    look_at_missing: Mapping[str, float]
    without_notes: Run
    with_notes: Run
    through_integrations: Run
    """With fewer changes in the largest world: what an integration takes in five minutes is little."""

    @property
    def runs(self) -> tuple[Run, ...]:
        return self.without_notes, self.with_notes, self.through_integrations

    @property
    def gather_cpu(self) -> float:
        return self.look["irm_cpu"] + self.look["alertmanager_cpu"]

    @property
    def peak_memory_mb(self) -> float:
        return max(run.peak_memory_bytes for run in self.runs) / 1e6


def measure(artifact: Path, *, quick: bool) -> Table:
    """With `quick` the largest world has few changes, and takes seconds instead of minutes."""
    with DynamoDb() as dynamodb, mock.patch.dict(os.environ, dynamodb.environment()):
        bench = _Bench(artifact, dynamodb)
        return _table([bench.costs(_world(groups, quick=quick)) for groups in _ALERT_GROUPS])


def _world(groups: int, *, quick: bool) -> World:
    share = groups * _PERCENT_TO_RESOLVE // 100
    remembered = groups * _PERCENT_REMEMBERED // 100
    return World(
        groups=groups,
        alerts_per_group=_ALERTS_EACH,
        silenced=min(share, _FEW_CHANGES) if quick else share,
        remembered=remembered,
        gone=remembered,
    )


class _Bench:
    """The artefact and the database, which are the same for all worlds."""

    def __init__(self, artifact: Path, dynamodb: DynamoDb) -> None:
        self._artifact = artifact
        self._dynamodb = dynamodb

    def costs(self, world: World) -> Costs:
        _say(f"{world.alerts:,} alerts, {world.groups:,} groups, {world.silenced} to be resolved ...")
        few_changes = replace(world, silenced=min(world.silenced, _FEW_CHANGES))
        return Costs(
            world=world,
            look=self._look(world),
            look_at_missing=self._look(replace(world, missing=world.groups * _PERCENT_MISSING // 100)),
            without_notes=self._run(world, RESOLUTION_NOTES="false"),
            with_notes=self._run(world),
            through_integrations=self._run(few_changes, RESOLVE_THROUGH="integration"),
        )

    def _look(self, world: World) -> Mapping[str, float]:
        with _systems(world) as (alertmanager, irm):
            return _measured(
                "look", self._artifact, alertmanager, irm, **self._filled_table(world, irm, alertmanager.url)
            )

    def _run(self, world: World, **settings: str) -> Run:
        with _systems(world) as (alertmanager, irm), _progress(irm):
            table = self._filled_table(world, irm, alertmanager.url)
            found = _measured("run", self._artifact, alertmanager, irm, **table, **settings)
            return _checked(found, world, irm)

    def _filled_table(self, world: World, irm: Irm, alertmanager_url: str) -> Mapping[str, str]:
        """The variables that lead to a table with what earlier runs remember of this world."""
        name = self._dynamodb.new_table()
        remember(table_named(name), world, irm, alertmanager_url)
        return {**self._dynamodb.environment(), "STATE_TABLE": name}


def _checked(found: Mapping[str, Any], world: World, irm: Irm) -> Run:
    if found["status"] != "success" or found["warnings"] or len(irm.resolved_ids) != world.silenced:
        raise RuntimeError(f"the run ended with {found}")
    return _seen_by(irm, peak_memory_bytes=found["peak_memory_bytes"])


@contextmanager
def _systems(world: World) -> Iterator[tuple[AlertmanagerStandIn, Irm]]:
    alertmanager = AlertmanagerStandIn(world, latency_seconds=LATENCY_SECONDS)
    with alertmanager, irm_with(world, integrations=_INTEGRATIONS, latency_seconds=LATENCY_SECONDS) as irm:
        yield alertmanager, irm


def _measured(
    what: str, artifact: Path, alertmanager: AlertmanagerStandIn, irm: FakeIrm, **settings: str
) -> dict[str, Any]:
    environment = {
        "PYTHONPATH": str(artifact),
        "PYTHONDONTWRITEBYTECODE": "1",
        "POWERTOOLS_LOG_LEVEL": "WARNING",
        "ALERTMANAGER_URL": alertmanager.url,
        "GRAFANA_IRM_URL": irm.url,
        "GRAFANA_IRM_TOKEN": irm.admin.token,
        "IRM_REQUESTS_PER_MINUTE": str(REQUESTS_PER_MINUTE),
        "RESOLVE_THROUGH": "api",
        **settings,
    }
    done = subprocess.run(
        [tools.lambda_python(), _MEASURED_PROCESS, what], check=True, stdout=subprocess.PIPE, text=True, env=environment
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _seen_by(irm: FakeIrm, *, peak_memory_bytes: int) -> Run:
    requests, writes = irm.requests, [write.arrived_at for write in irm.writes]
    return Run(
        changes=len(irm.resolved_ids),
        writes=len(writes),
        apply_seconds=writes[-1] - writes[0] + LATENCY_SECONDS,
        writes_at_once=sum(at - writes[0] < 10 for at in writes),
        most_requests_in_a_minute=_most_within([request.arrived_at for request in requests], seconds=60.0),
        refused=sum(request.status == 429 for request in requests),
        peak_memory_bytes=peak_memory_bytes,
    )


def _most_within(moments: Sequence[float], *, seconds: float) -> int:
    """The largest number of moments, which are sorted, in any stretch of this length."""
    most = first = 0
    for last, moment in enumerate(moments):
        while moment - moments[first] >= seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


# --- the table

Figure = Callable[[Costs], float]


def _table(costs: Sequence[Costs]) -> Table:
    return Table(
        title=f"Scale: {LATENCY_SECONDS * 1000:.0f} ms latency per request, {REQUESTS_PER_MINUTE} requests a minute",
        columns=tuple(f"{each.world.alerts:,} alerts" for each in costs),
        rows=(*_reading_and_planning(costs), *_applying(costs)),
        remarks=(
            "Plan with missing groups: twice, before and after IRM is asked whether a person resolved them.",
            "Peak memory is the whole process's over a whole run, which reads Alertmanager again while it writes.",
            "Further alerts: the step from one world to the next. Its cost may grow by so much from step to step.",
        ),
    )


def _reading_and_planning(costs: Sequence[Costs]) -> Iterator[Row]:
    yield _row("open alert groups", costs, lambda each: len(each.world.open_numbers), ",d")
    yield _row("  of them to be resolved", costs, lambda each: each.world.silenced, "d")
    yield _row("interventions, and open mismatches", costs, lambda each: each.world.remembered, "d")
    yield _row("recall, s of CPU", costs, lambda each: each.look["recall_cpu"], ".3f")
    yield _row("gather from IRM, s", costs, lambda each: each.look["irm_wall"], ".2f")
    yield _row("gather from Alertmanager, s", costs, lambda each: each.look["alertmanager_wall"], ".2f")
    yield _row("gather, s of CPU", costs, lambda each: each.gather_cpu, ".2f")
    yield _growth("  ms per 1,000 further alerts", costs, lambda each: each.gather_cpu * 1000)
    yield _row("plan, s of CPU", costs, lambda each: each.look["plan_cpu"], ".3f", at_most=LONGEST_PLAN_SECONDS)
    yield _growth("  ms per 1,000 further alerts", costs, lambda each: each.look["plan_cpu"] * 1000)
    yield _row("  with missing groups", costs, lambda each: each.world.groups * _PERCENT_MISSING // 100, "d")
    yield _row("  plan twice, s of CPU", costs, _plan_with_missing, ".3f", at_most=2 * LONGEST_PLAN_SECONDS)
    yield _row("  ask IRM about them, s", costs, lambda each: each.look_at_missing["ask_wall"], ".2f")
    yield _row("peak memory, MB", costs, lambda each: each.peak_memory_mb, ".0f", at_most=LARGEST_MEMORY_MB)
    yield _growth("  MB per 1,000 further alerts", costs, lambda each: each.peak_memory_mb)


def _applying(costs: Sequence[Costs]) -> Iterator[Row]:
    yield _row("apply without notes, s", costs, lambda each: each.without_notes.apply_seconds, ".1f")
    yield _row("  writes", costs, lambda each: each.without_notes.writes, "d")
    yield _row("  of them in the first 10 s", costs, lambda each: each.without_notes.writes_at_once, "d")
    yield _row("apply with notes, s", costs, lambda each: each.with_notes.apply_seconds, ".1f")
    yield _row("  writes", costs, lambda each: each.with_notes.writes, "d")
    yield _row(
        f"through {_INTEGRATIONS} integrations, s", costs, lambda each: each.through_integrations.apply_seconds, ".1f"
    )
    yield _row("  writes", costs, lambda each: each.through_integrations.writes, "d")
    yield _row("most requests in any 60 s", costs, _most_in_a_minute, "d", at_most=REQUESTS_PER_MINUTE)
    yield _row("answers 429 (above 300 a minute)", costs, _refused, "d", at_most=0)


def _plan_with_missing(costs: Costs) -> float:
    """Before IRM is asked about them, and after."""
    return costs.look_at_missing["plan_cpu"] + costs.look_at_missing["replan_cpu"]


def _most_in_a_minute(costs: Costs) -> int:
    return max(run.most_requests_in_a_minute for run in costs.runs)


def _refused(costs: Costs) -> int:
    return sum(run.refused for run in costs.runs)


def _row(name: str, costs: Sequence[Costs], figure: Figure, shown: str, *, at_most: float | None = None) -> Row:
    figures = [figure(each) for each in costs]
    return Row(
        name=name,
        figures=[format(each, shown) for each in figures],
        limit="" if at_most is None else f"<= {at_most:g}",
        holds=at_most is None or max(figures) <= at_most,
    )


def _growth(name: str, costs: Sequence[Costs], figure: Figure) -> Row:
    steps = [
        (figure(larger) - figure(smaller)) * 1000 / (larger.world.alerts - smaller.world.alerts)
        for smaller, larger in itertools.pairwise(costs)
    ]
    return Row(
        name=name,
        figures=["", *(f"{step:.1f}" for step in steps)],
        limit=f"<= {LARGEST_GROWTH:g} x",
        holds=steps[-1] <= LARGEST_GROWTH * steps[0],
    )


# --- progress


@contextmanager
def _progress(irm: FakeIrm) -> Iterator[None]:
    """Say every few seconds how far the run is: it may wait a minute for request budget."""
    ended = threading.Event()
    thread = threading.Thread(target=_report_progress, args=(irm, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _report_progress(irm: FakeIrm, ended: threading.Event) -> None:
    began = time.monotonic()
    while not ended.wait(_PROGRESS_SECONDS):
        _say(f"  {time.monotonic() - began:.0f} s: {len(irm.resolved_ids)} resolved, {len(irm.notes)} notes")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
