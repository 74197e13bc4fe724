"""The story that `make reconcile` tells when no system is named: what fires, who silences what, what IRM makes of it.

The steps are those of real life and in their order: alerts fire and IRM is told; only then are they silenced,
inhibited, resolved. Nothing here knows what the reconciliation will decide.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from tests.support.fake_irm import FakeIrm
from tests.support.fake_irm_model import AlertGroup, IntegrationType
from tests.support.waiting import wait_for

Labels = Mapping[str, str]

CROWD = 120
"""Alert groups that fire and stay as they are: more than fit on a page, and all newer than the interesting ones."""


class AlertSource(Protocol):
    """What fires the alerts: a real Alertmanager or its stand-in."""

    def post_alerts(self, *label_sets: Labels, resolved: bool = False) -> None: ...

    def silence(self, matchers: Labels, *, ends_in: timedelta, author: str, comment: str) -> str: ...

    def groups(self) -> list[dict[str, Any]]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Mute:
    """A silence that a person makes in Alertmanager, over the alerts that have these labels."""

    author: str
    comment: str
    hours: int
    instance: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One alert group of Alertmanager's and what happens to it."""

    name: str
    story: str
    alert: str
    cluster: str
    severity: str = "page"
    instances: tuple[str, ...] = ("a",)
    silences: tuple[Mute, ...] = ()
    inhibited_by: str = ""
    resolves_silenced: bool = False
    acknowledged: bool = False

    @property
    def title(self) -> str:
        return f"{self.alert} ({self.cluster})"

    @property
    def alerts(self) -> tuple[Labels, ...]:
        common = {"alertname": self.alert, "cluster": self.cluster, "severity": self.severity}
        return tuple({**common, "instance": instance} for instance in self.instances)


CASES = (
    Case(
        name="stuck",
        story="its only alert is silenced in Alertmanager; IRM was not told, and pages on",
        alert="DatabaseDown",
        cluster="eu-1",
        silences=(Mute(author="ann", comment="planned failover", hours=2),),
    ),
    Case(
        name="two silences",
        story="both of its alerts are silenced, each by a silence of its own",
        alert="DiskFilling",
        cluster="eu-2",
        instances=("db-1", "db-2"),
        silences=(
            Mute(author="ann", comment="disk is being replaced", hours=4, instance="db-1"),
            Mute(author="bob", comment="same disk, second node", hours=1, instance="db-2"),
        ),
    ),
    Case(
        name="mixed",
        story="one of its two alerts is silenced, the other one fires",
        alert="CertificateExpiring",
        cluster="eu-3",
        instances=("api", "shop"),
        silences=(Mute(author="bob", comment="api is being retired", hours=24, instance="api"),),
    ),
    Case(
        name="inhibited",
        story="its alert is inhibited by a worse one; nobody silenced it",
        alert="NodeDiskSlow",
        cluster="us-1",
        severity="warning",
        inhibited_by="NodeDown",
    ),
    Case(
        name="lost resolve",
        story="its alert resolved while it was silenced, and of that Alertmanager tells nobody",
        alert="BackupFailed",
        cluster="us-2",
        silences=(Mute(author="carl", comment="rerunning the backup", hours=1),),
        resolves_silenced=True,
    ),
    Case(
        name="acknowledged",
        story="its only alert is silenced, but a person has acknowledged it in IRM",
        alert="QueueLagging",
        cluster="us-3",
        silences=(Mute(author="dora", comment="scaling out", hours=3),),
        acknowledged=True,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """An alert group of IRM's that the output follows."""

    name: str
    story: str
    group: AlertGroup


def unfold(source: AlertSource, irm: FakeIrm) -> tuple[Shown, ...]:
    """Let everything happen; return the alert groups worth following."""
    source.post_alerts(*(alert for case in CASES for alert in case.alerts))
    wait_for(lambda: all(_is_told(irm, case) for case in CASES), what="IRM to be told of the cases")
    # After the cases: IRM lists the newest first, so the stuck alert group comes on the second page.
    source.post_alerts(*_crowd())
    wait_for(lambda: len(irm.alert_groups()) == len(CASES) + CROWD, what="IRM to be told of the crowd")
    for case in CASES:
        _go_on(case, source, irm)
    foreign = tuple(_foreign_alert_groups(irm))
    wait_for(lambda: _is_settled(source), what="Alertmanager to inhibit, and to forget what resolved")
    ours = (Shown(name=case.name, story=case.story, group=_group_of(irm, case)) for case in CASES)
    return (*ours, *foreign)


def _go_on(case: Case, source: AlertSource, irm: FakeIrm) -> None:
    for mute in case.silences:
        matchers = {"alertname": case.alert} | ({"instance": mute.instance} if mute.instance else {})
        source.silence(matchers, ends_in=timedelta(hours=mute.hours), author=mute.author, comment=mute.comment)
    if case.inhibited_by:
        source.post_alerts({"alertname": case.inhibited_by, "cluster": case.cluster, "severity": "critical"})
        wait_for(lambda: len(irm.alert_groups()) == len(CASES) + CROWD + 1, what=f"IRM to hear of {case.inhibited_by}")
    if case.resolves_silenced:
        source.post_alerts(*case.alerts, resolved=True)
    if case.acknowledged:
        irm.acknowledge(_group_of(irm, case).id, by=irm.admin)


def _foreign_alert_groups(irm: FakeIrm) -> Iterator[Shown]:
    """What IRM holds beside Alertmanager's: the payload of another integration, and a maintenance."""
    checks = irm.add_alertmanager_integration("synthetic checks", type=IntegrationType.WEBHOOK)
    group = irm.add_alert_group({"check": "login", "status": "failing"}, integration=checks, title="Login check fails")
    yield Shown(name="not ours", story="made by another integration", group=group)
    quiet = irm.add_alertmanager_integration("billing")
    yield Shown(name="maintenance", story="IRM's own, for a maintenance", group=irm.start_maintenance(quiet))


def _crowd() -> tuple[Labels, ...]:
    return tuple({"alertname": "PodRestarting", "cluster": f"edge-{number:03}"} for number in range(1, CROWD + 1))


def _is_told(irm: FakeIrm, case: Case) -> bool:
    groups = [group for group in irm.alert_groups() if group.title == case.title]
    return bool(groups) and len(groups[0].last_payload["alerts"]) == len(case.instances)


def _group_of(irm: FakeIrm, case: Case) -> AlertGroup:
    return next(group for group in irm.alert_groups() if group.title == case.title)


def _is_settled(source: AlertSource) -> bool:
    """Whether Alertmanager suppresses what it will suppress and lists what resolved no more."""
    alerts = [alert for group in source.groups() for alert in group["alerts"]]
    suppressed = {alert["labels"]["alertname"] for alert in alerts if alert["status"]["state"] == "suppressed"}
    resolved = {case.alert for case in CASES if case.resolves_silenced}
    wanted = {case.alert for case in CASES if case.silences or case.inhibited_by} - resolved
    return wanted <= suppressed and resolved.isdisjoint(alert["labels"]["alertname"] for alert in alerts)
