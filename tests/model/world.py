"""Both systems, the table, and runs of the service on them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache

from alert_sync.deadline import Deadline
from alert_sync.event_bus import EventBus
from alert_sync.inbound import InboundClient
from alert_sync.memory.ledger import Ledger
from alert_sync.model import Action
from alert_sync.reconcile import Reconciler, RunRequest
from alert_sync.report import Report, Status, Trigger
from alert_sync.request_budget import RequestBudget
from alert_sync.settings import ResolveThrough, Settings, load_settings
from alert_sync.wake_up import WakeUp
from tests.model.alertmanager import Server
from tests.model.clients import InboundTransport, ModelAlertmanagerClient, ModelIrmClient
from tests.model.clock import NEVER, Clock
from tests.model.faults import CrashError, Faults
from tests.model.irm import Organization
from tests.model.promises import CANNOT_TELL, Promises
from tests.model.table import Items, ModelTable

KEYS = ("A", "B", "C")
RUN_SECONDS = 60.0
LEASE = timedelta(seconds=RUN_SECONDS + 30)


@dataclass(frozen=True)
class Choices:
    """The settings that make a difference to histories, and whether the integration's templates are customized."""

    silenced_action: str = "resolve"
    resolve_through: str = "api"
    states: str = "firing"
    missing_action: str = "report"
    is_customized: bool = False


@lru_cache
def settings_for(choices: Choices) -> Settings:
    return load_settings(
        {
            "ALERTMANAGER_URL": "http://own",
            "GRAFANA_IRM_URL": "http://irm",
            "GRAFANA_IRM_TOKEN": "token",
            "STATE_TABLE": "table",
            "SILENCED_ACTION": choices.silenced_action,
            "RESOLVE_THROUGH": choices.resolve_through,
            "ALERT_GROUP_STATES": choices.states,
            "MISSING_ACTION": choices.missing_action,
        }
    )


@dataclass(frozen=True)
class Run:
    """What became of a run: no report if it died. `wrote` says whether it tried to write to IRM."""

    report: Report | None
    is_clean: bool

    @property
    def changes(self) -> list[tuple[str, str]]:
        """What it did, or wanted to, beside reporting."""
        results = self.report.results if self.report else ()
        made = [result.change for result in results if result.change.action is not Action.REPORT]
        return [(change.action.value, change.finding.alert_group.title) for change in made]


@dataclass
class World:
    """Everything that a history changes. Can be copied, to see what would have been."""

    choices: Choices
    clock: Clock = field(default_factory=Clock)
    irm: Organization = field(init=False)
    own: Server = field(init=False)
    other: Server = field(init=False)
    items: Items = field(default_factory=Items)
    promises: Promises = field(init=False)
    runs: int = 0

    def __post_init__(self) -> None:
        long_ago = self.clock.now - timedelta(days=1)
        self.irm = Organization(self.clock)
        self.own = Server("own", self.clock, self.irm, started_at=long_ago)
        self.other = Server("other", self.clock, self.irm, started_at=long_ago)
        notifies_missing = self.choices.missing_action == "notify"
        self.promises = Promises(self.own, self.other, self.irm, self.items, notifies_missing)

    def wait(self, length: timedelta) -> None:
        """Let time pass, and happen what is due."""
        until = self.clock.now + length
        while True:
            due = min(self._next_due(), until)
            self.clock.now = max(due, self.clock.now)
            for each in (self.own, self.other, self.irm):
                each.step()
            if self.clock.now >= until and self._next_due() > until:
                return

    def is_still_for(self, length: timedelta) -> bool:
        """Nothing happens by itself so soon: no flush, no repeat, no end of a silence."""
        return self._next_due() > self.clock.now + length and self.are_silences_longer_than(length)

    def are_silences_longer_than(self, length: timedelta) -> bool:
        """Those of both Alertmanagers."""
        silences = (*self.own.active_silences(), *self.other.active_silences())
        return all(silence.ends_at > self.clock.now + length for silence in silences)

    def run(self, faults: Faults | None = None, *, interruption: Callable[[], None] | None = None) -> Run:
        """One run of the service; `interruption` happens between its first look at Alertmanager and its writes."""
        self.wait(timedelta(seconds=1))  # no two runs begin at the same moment
        self.runs += 1
        faults = faults or Faults()
        self.promises.world_moved = interruption is not None
        request = RunRequest(run_id=f"run{self.runs}", trigger=Trigger.SCHEDULE)
        reconciler = self._reconciler(faults, interruption or (lambda: None))
        try:
            report = reconciler.run(request, Deadline(RUN_SECONDS))
        except CrashError:
            return Run(report=None, is_clean=False)
        finally:
            self.promises.world_moved = False
            if faults.happened:
                self.promises.in_doubt_until = NEVER
        is_clean = not faults.happened and report.status is not Status.SKIPPED and report.plan is not None
        if is_clean and self.promises.in_doubt_until == NEVER:
            self.promises.in_doubt_until = self.clock.now + CANNOT_TELL
        return Run(report=report, is_clean=is_clean and interruption is None)

    def branch(self) -> World:
        """The same world, to see what would have been."""
        return copy.deepcopy(self)

    def state(self) -> dict[str, list[tuple[str, str]]]:
        """What people see in IRM: the open alert groups of each key."""
        return {key: sorted({(group.state, group.silenced_by) for group in self.irm.of(key)}) for key in KEYS}

    def _next_due(self) -> datetime:
        return min(self.own.next_due(), self.other.next_due(), self.irm.next_due())

    def _reconciler(self, faults: Faults, interrupt: Callable[[], None]) -> Reconciler:
        settings = settings_for(self.choices)
        irm = ModelIrmClient(self.irm, faults, self.promises, is_customized=self.choices.is_customized)
        inbound = InboundClient(InboundTransport(self.irm, faults, self.promises), irm, RequestBudget(300))
        return Reconciler(
            alertmanager=ModelAlertmanagerClient(self.own, faults, interrupt),
            irm=irm,
            inbound=inbound if settings.resolve_through is ResolveThrough.INTEGRATION else None,
            pager=inbound,
            settings=settings,
            memory=Ledger(ModelTable(self.items, faults), retention=settings.retention),
            event_bus=EventBus(None, "", service=""),
            wake_up=WakeUp(None, group="", role_arn="", function_arn=""),
            writers=1,
            fresh_seconds=-1.0,  # every write is preceded by a look, so that none can be excused by the world's haste
            clock=lambda: self.clock.now,
            pause=lambda seconds: self.wait(timedelta(seconds=seconds)),
        )
