"""What remembering costs: requests and request units of DynamoDB in one run, and what they come to in a month.

Counted before an emulated DynamoDB that keeps its promises. A quiet run: the head is got and put (the lease), what is
open is queried, and head and job are written together. A run that changes something writes its intentions before, and
what became of them with head and job.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from unittest import mock

from alert_sync.deadline import Deadline
from alert_sync.memory.table import Table as StateTable
from alert_sync.reconcile import RunRequest
from alert_sync.report import Report, Status, Trigger
from alert_sync.secrets_store import SecretStore
from alert_sync.service import Service
from benchmarks.aws_prices import READ_REQUEST_UNIT, WRITE_REQUEST_UNIT, cost_table
from benchmarks.metered_aws import Bill, MeteredAws
from benchmarks.remembered import age_mismatches, remember
from benchmarks.servers import AlertmanagerStandIn, Irm, irm_with
from benchmarks.tables import Row, Table
from benchmarks.world import World
from tests.support.dynamodb import DynamoDb, table_named

MOST_READS, MOST_WRITES = 3, 2
GROUPS_A_BATCH = 25
"""What a quiet run may ask of DynamoDB; and so many changed alert groups allow one read and one write more."""

_GROUPS = 150
_ALERTS_EACH = 2
_LONG_AGO = timedelta(hours=1)


def _world(**numbers: int) -> World:
    return World(groups=_GROUPS, alerts_per_group=_ALERTS_EACH, **numbers)


_QUIET = _world()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """The run in the world `now`, after runs in the worlds `before`."""

    name: str
    now: World = _QUIET
    before: Sequence[World] = (_QUIET,)
    changed: int = 0
    joined: int = 0
    """So many alert groups are in IRM only since the last run."""
    is_filled: bool = False
    """Earlier runs have left behind what `now` says that they remember."""
    is_only_found: bool = False
    """Nothing is done about what changed yet."""
    is_late: bool = False
    """The last run was an hour ago."""
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def more(self) -> int:
        return math.ceil(self.changed / GROUPS_A_BATCH)


_IS_QUIET = Scenario(name="quiet world")
_FULL = World(groups=1_500, alerts_per_group=_ALERTS_EACH, remembered=500, gone=500)
_IS_QUIET_AND_FULL = Scenario(name="quiet, 500 + 500 remembered", now=_FULL, before=(_FULL,), is_filled=True)
_RESOLVED = [
    Scenario(name=f"{number} resolved", now=_world(silenced=number), changed=number) for number in (1, 25, 50, 100)
]
_SCENARIOS = (
    Scenario(name="the very first run", before=()),
    _IS_QUIET,
    _IS_QUIET_AND_FULL,
    Scenario(
        name="25 new alert groups", before=(World(groups=_GROUPS - 25, alerts_per_group=_ALERTS_EACH),), joined=25
    ),
    *_RESOLVED,
    Scenario(name="25 paged again", before=(_QUIET, _world(silenced=25)), changed=25),
    Scenario(name="25 lost resolves found", now=_world(gone=25), changed=25, is_only_found=True),
    Scenario(
        name="25 lost resolves resolved",
        now=_world(gone=25),
        before=(_QUIET, _world(gone=25)),
        is_late=True,
        changed=25,
    ),
    Scenario(name="25 silenced in IRM", now=_world(silenced=25), changed=25, settings={"SILENCED_ACTION": "silence"}),
)


def measure() -> Sequence[Table]:
    with (
        DynamoDb() as dynamodb,
        MeteredAws(dynamodb.url) as aws,
        mock.patch.dict(os.environ, {**dynamodb.environment(), "AWS_ENDPOINT_URL": aws.url}),
    ):
        bills = {scenario.name: _bill(scenario, dynamodb, aws) for scenario in _SCENARIOS}
    return _requests_table(bills), _cost_table(bills)


def _bill(scenario: Scenario, dynamodb: DynamoDb, aws: MeteredAws) -> Bill:
    name = dynamodb.new_table()
    with _systems(scenario) as (alertmanager, irm):
        environment = {
            "ALERTMANAGER_URL": alertmanager.url,
            "GRAFANA_IRM_URL": irm.url,
            "GRAFANA_IRM_TOKEN": irm.admin.token,
            "RESOLUTION_NOTES": "false",
            "MAX_CHANGES_PERCENT": "100",
            "STATE_TABLE": name,
            "EVENT_BUS": "default",
            **scenario.settings,
        }
        table = table_named(name)
        if scenario.is_filled:
            remember(table, scenario.now, irm, alertmanager.url)
        for number, world in enumerate(scenario.before):
            alertmanager.show(world)
            _run(environment, number)
        _let_pass(scenario, irm, table)
        alertmanager.show(scenario.now)
        irm.forget_requests()
        aws.new_bill()
        report = _run(environment, len(scenario.before))
        bill = aws.new_bill()
        _check(scenario, report, bill)
        return bill


@contextmanager
def _systems(scenario: Scenario) -> Iterator[tuple[AlertmanagerStandIn, Irm]]:
    """As they were before the first run."""
    world = scenario.before[0] if scenario.before else scenario.now
    irm = irm_with(world)
    with AlertmanagerStandIn(world) as alertmanager, irm:
        yield alertmanager, irm


def _let_pass(scenario: Scenario, irm: Irm, table: StateTable) -> None:
    """What happens between the last run and the measured one."""
    if scenario.joined:
        irm.fill(scenario.now, scenario.now.open_numbers[-scenario.joined :], ["firing"] * scenario.joined)
    if scenario.is_late:
        age_mismatches(table, _LONG_AGO)


def _run(environment: Mapping[str, str], number: int) -> Report:
    run_id = f"00000000-0000-4000-8000-{number:012d}"  # as long as Lambda's
    reconciler = Service(environment, SecretStore()).reconciler()
    report = reconciler.run(RunRequest(run_id=run_id, trigger=Trigger.SCHEDULE), Deadline(120))
    if report.status is not Status.SUCCESS or report.warnings:
        raise RuntimeError(f"{run_id}: {report.status}: {report.message}; {report.error}; {report.warnings}")
    return report


def _check(scenario: Scenario, report: Report, bill: Bill) -> None:
    """That the scenario was what its name says."""
    found = report.inconsistencies_found - (scenario.now.gone if scenario.is_filled else 0)
    done = 0 if scenario.is_only_found else scenario.changed
    if (found, report.inconsistencies_resolved) != (scenario.changed, done) or not bill.writes:
        raise RuntimeError(f"{scenario.name}: {found} found: {report.message}")


# --- the tables


def _requests_table(bills: Mapping[str, Bill]) -> Table:
    quiet, most = _IS_QUIET.name, _RESOLVED[-1].name
    return Table(
        title="Memory: what one run asks of DynamoDB, counted before it (150 alert groups open in IRM)",
        columns=("reads", "writes", "allowed", "items read", "written", "read units", "write units", "events"),
        rows=[_requests_row(scenario, bills[scenario.name]) for scenario in _SCENARIOS],
        remarks=(
            f"Reads and writes are requests: {MOST_READS} + {MOST_WRITES}, 1 + 1 more for {GROUPS_A_BATCH} changed.",
            "500 + 500 remembered: interventions and open mismatches, beside 1,000 alert groups open in IRM.",
            f"Operations, {quiet}: {_operations(bills[quiet])}; {most}: {_operations(bills[most])}.",
            f"Largest items, bytes: {_sizes(bills.values())}.",
        ),
    )


def _requests_row(scenario: Scenario, bill: Bill) -> Row:
    most_reads, most_writes = MOST_READS + scenario.more, MOST_WRITES + scenario.more
    units = (bill.items_read, bill.items_written, bill.read_units, bill.write_units, bill.events)
    return Row(
        name=scenario.name,
        figures=(str(bill.reads), str(bill.writes), f"{most_reads} + {most_writes}", *map(str, units)),
        limit="as allowed",
        holds=bill.reads <= most_reads and bill.writes <= most_writes,
    )


def _operations(bill: Bill) -> str:
    return ", ".join(f"{number} {name}" for name, number in sorted(bill.operations.items()))


def _sizes(bills: Iterable[Bill]) -> str:
    largest: dict[str, int] = {}
    for bill in bills:
        for what, size in bill.sizes.items():
            largest[what] = max(size, largest.get(what, 0))
    return ", ".join(f"{what} {size:,}" for what, size in sorted(largest.items()))


def _cost_table(bills: Mapping[str, Bill]) -> Table:
    quiet, few = bills[_IS_QUIET.name], _RESOLVED[1]
    busy = bills[few.name]
    more = (busy.write_units - quiet.write_units) * WRITE_REQUEST_UNIT
    more += (busy.read_units - quiet.read_units) * READ_REQUEST_UNIT
    return cost_table(
        read_units=quiet.read_units,
        write_units=quiet.write_units,
        full_read_units=bills[_IS_QUIET_AND_FULL.name].read_units,
        job_bytes=quiet.sizes["job"],
        repaired_each=more / few.changed,
        events=busy.events / few.changed,
    )
