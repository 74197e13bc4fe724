"""The embedded world of `make reconcile`: both systems, the alert groups to follow, and what the run did there."""

from __future__ import annotations

import os
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol, Self

from alert_sync.deadline import Deadline
from alert_sync.errors import ReconcilerError
from alert_sync.model import Finding
from alert_sync.reconcile import RunRequest
from alert_sync.report import Report, Trigger
from alert_sync.secrets_store import SecretStore
from alert_sync.service import Service
from alert_sync.settings import VARIABLES
from examples.scenario import AlertSource, Shown, unfold
from examples.stand_in import StandInAlertmanager
from tests.support.fake_irm import FakeIrm, LoggedRequest
from tests.support.faults import FaultyProxy

_NAMES_A_SYSTEM = ("ALERTMANAGER_", "GRAFANA_", "IRM_INTEGRATION_IDS", "IRM_TEAM_ID")
_PAGE_SIZE = 100


class Source(AlertSource, Protocol):
    """An Alertmanager, real or not, that can also be asked over HTTP."""

    @property
    def url(self) -> str: ...


@dataclass(kw_only=True)
class Embedded:
    """Both systems. The proxy before Alertmanager spoils nothing: it counts."""

    source: Source
    irm: FakeIrm
    shown: tuple[Shown, ...]
    proxy: FaultyProxy
    before: dict[str, str] = field(default_factory=dict)
    """State of each alert group, by id, when the run began."""
    findings: dict[str, Finding] = field(default_factory=dict)
    """What the plan says of each alert group, by id."""

    @classmethod
    @contextmanager
    def filled(cls, source: Source, irm: FakeIrm) -> Iterator[Self]:
        """Let the scenario happen in both systems."""
        with FaultyProxy(source.url) as proxy:
            yield cls(source=source, irm=irm, shown=unfold(source, irm), proxy=proxy)

    @property
    def is_stand_in(self) -> bool:
        return isinstance(self.source, StandInAlertmanager)

    def put_into(self, environ: MutableMapping[str, str]) -> None:
        """Make the environment name these two systems, and no other."""
        for name in VARIABLES & environ.keys():
            if name.startswith(_NAMES_A_SYSTEM):
                del environ[name]
        environ["ALERTMANAGER_URL"] = self.proxy.url
        environ["GRAFANA_IRM_URL"] = self.irm.url
        environ["GRAFANA_IRM_TOKEN"] = self.irm.admin.token
        environ["MIN_ALERTMANAGER_UPTIME_SECONDS"] = "0"

    def plan(self) -> Report | None:
        """The report of a dry run, as `python -m alert_sync plan` makes it; None if the settings allow no run."""
        request = RunRequest(run_id="plan", trigger=Trigger.CLI, dry_run=True)
        try:
            report = Service(os.environ, SecretStore()).reconciler().run(request, Deadline(60))
        except ReconcilerError:
            return None
        plan = report.plan
        if plan is not None:
            findings = (*plan.kept, *(change.finding for change in plan.changes))
            self.findings = {finding.alert_group.id: finding for finding in findings}
        return report

    def begin(self) -> None:
        """Remember how things stand; from here on requests count."""
        self.before = {group.id: group.state for group in self.irm.alert_groups()}
        self.irm.forget_requests()
        self.proxy.requests.clear()

    def page_of(self, alert_group_id: str) -> int:
        """On which page IRM listed the alert group among those of its state, when the run began."""
        state = self.before[alert_group_id]
        listed = [group.id for group in self.irm.alert_groups() if self.before[group.id] == state]
        return listed.index(alert_group_id) // _PAGE_SIZE + 1

    @property
    def alertmanager_requests(self) -> tuple[tuple[str, str], ...]:
        """Method and path of each, in order."""
        return tuple((request.method, request.path) for request in self.proxy.requests)

    @property
    def irm_requests(self) -> tuple[LoggedRequest, ...]:
        return self.irm.requests
