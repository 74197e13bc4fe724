"""How many requests a run costs, counted at the servers, against what the product promises.

reads   one page of 100 for each open state at least; of each Alertmanager peer its groups and its status; the
        silences once, when anything is silenced; through the integration also each integration once, and the changed
        alert groups again, because IRM answers before it processes (one by one up to ten, else the whole list)
writes  one for each changed alert group, and one for its note
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from alert_sync.deadline import Deadline
from alert_sync.reconcile import RunRequest
from alert_sync.report import Status, Trigger
from alert_sync.secrets_store import SecretStore
from alert_sync.service import Service
from benchmarks.servers import AlertmanagerStandIn, irm_with
from benchmarks.tables import Row, Table
from benchmarks.world import World

_PAGE = 100
_READ_ONE_BY_ONE = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A world, and how the product is set up for it."""

    name: str
    groups: int = 12
    changes: int = 0
    acknowledged: int = 0
    silenced_in_irm: int = 0
    peers: int = 1
    integrations: int = 0
    """Above 0: resolve through so many of them instead of the API."""
    with_notes: bool = True

    @property
    def states(self) -> Sequence[str]:
        return ["acknowledged"] * self.acknowledged + ["silenced"] * self.silenced_in_irm

    @property
    def irm_reads(self) -> int:
        firing = self.groups - len(self.states)
        pages = _pages(firing) + _pages(self.acknowledged) + _pages(self.silenced_in_irm)
        if not self.integrations or not self.changes:
            return pages
        listed_again = pages - _pages(firing) + _pages(firing - self.changes)
        return pages + self.integrations + (self.changes if self.changes <= _READ_ONE_BY_ONE else listed_again)

    @property
    def alertmanager_reads(self) -> int:
        return 2 * self.peers + (1 if self.changes else 0)

    @property
    def writes(self) -> int:
        return self.changes * (2 if self.with_notes else 1)


_SCENARIOS = (
    Scenario(name="quiet world"),
    Scenario(name="one change", changes=1),
    Scenario(name="one change, no notes", changes=1, with_notes=False),
    Scenario(name="many changes", groups=150, changes=60),
    Scenario(name="many pages, quiet", groups=560, acknowledged=120, silenced_in_irm=101),
    Scenario(name="many pages, many changes", groups=300, changes=50, acknowledged=100),
    Scenario(name="three peers, quiet", peers=3),
    Scenario(name="three peers, one change", peers=3, changes=1),
    Scenario(name="through 2 integrations, few changes", integrations=2, changes=8),
    Scenario(name="through 2 integrations, many changes", groups=160, integrations=2, changes=70),
    Scenario(name="through the integration, quiet", integrations=1),
)


def measure() -> Table:
    return Table(
        title="Request economy: requests of one run, counted at the servers / as promised",
        columns=("alert groups", "peers", "changed", "Alertmanager reads", "IRM reads", "writes"),
        rows=tuple(_row(scenario) for scenario in _SCENARIOS),
    )


def _row(scenario: Scenario) -> Row:
    counted = _counted(scenario)
    promised = (scenario.alertmanager_reads, scenario.irm_reads, scenario.writes)
    compared = (f"{one} / {other}" for one, other in zip(counted, promised, strict=True))
    return Row(
        name=scenario.name,
        figures=(str(scenario.groups), str(scenario.peers), str(scenario.changes), *compared),
        limit="equal",
        holds=counted == promised,
    )


def _counted(scenario: Scenario) -> tuple[int, int, int]:
    """Reads of all Alertmanager peers, reads of IRM, writes to it, in one run that changed all it should."""
    world = World(groups=scenario.groups, alerts_per_group=2, silenced=scenario.changes)
    with ExitStack() as stack:
        peers = [stack.enter_context(AlertmanagerStandIn(world)) for _ in range(scenario.peers)]
        irm = stack.enter_context(irm_with(world, states=scenario.states, integrations=scenario.integrations or 1))
        environment = {
            "ALERTMANAGER_URL": ",".join(peer.url for peer in peers),
            "GRAFANA_IRM_URL": irm.url,
            "GRAFANA_IRM_TOKEN": irm.admin.token,
            "RESOLVE_THROUGH": "integration" if scenario.integrations else "api",
            "RESOLUTION_NOTES": str(scenario.with_notes).lower(),
        }
        reconciler = Service(environment, SecretStore()).reconciler()
        report = reconciler.run(RunRequest(run_id="benchmark", trigger=Trigger.CLI, force=True), Deadline(60))
        if report.status is not Status.SUCCESS or len(irm.resolved_ids) != scenario.changes:
            raise RuntimeError(f"{scenario.name}: the run ended with {report.status}: {report.message}; {report.error}")
        writes = len(irm.writes)
        return sum(peer.asked.total() for peer in peers), len(irm.requests) - writes, writes


def _pages(alert_groups: int) -> int:
    return max(1, math.ceil(alert_groups / _PAGE))
