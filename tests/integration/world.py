"""A real Alertmanager that notifies a fake IRM, and the reconciler between them, for tests of whole runs."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from alert_sync.deadline import Deadline
from alert_sync.reconcile import RunRequest
from alert_sync.report import Report, Trigger
from alert_sync.secrets_store import SecretStore
from alert_sync.service import Service
from tests.support.alertmanager import Alertmanager
from tests.support.fake_irm import FakeIrm
from tests.support.fake_irm_model import AlertGroup, Integration
from tests.support.webhook_recorder import WebhookRecorder

_names = (f"Alert{number}" for number in itertools.count())


@dataclass(kw_only=True)
class World:
    """One Alertmanager for many tests, an IRM of its own for each: their alerts have names of their own."""

    alertmanager: Alertmanager
    webhooks: WebhookRecorder
    irm: FakeIrm
    integration: Integration = field(init=False)

    def __post_init__(self) -> None:
        self.integration = self.irm.add_alertmanager_integration()

    def fire(self, *instances: str, lasting: timedelta = timedelta(minutes=5), **labels: str) -> AlertGroup:
        """One alert per instance, in a group of their own, as Alertmanager then tells IRM."""
        name = next(_names)
        label_sets = [{"alertname": name, "cluster": name, "instance": each, **labels} for each in instances or ("a",)]
        self.alertmanager.post_alerts(*label_sets, lasting=lasting)
        payload = self.webhooks.wait_for(
            lambda each: each["groupLabels"]["alertname"] == name and len(each["alerts"]) == len(label_sets),
            what=f"the notification of {name}",
        )
        (group,) = self.irm.receive_webhook(payload, self.integration)
        return group

    def silence(self, group: AlertGroup, **labels: str) -> str:
        """Silence the group's alerts in Alertmanager, or those of them with these labels."""
        return self.alertmanager.silence({"alertname": name_of(group), **labels})

    def expire_silences(self) -> None:
        """Every silence in Alertmanager."""
        for silence in self.alertmanager.silences():
            self.alertmanager.expire_silence(silence["id"])

    def end(self, group: AlertGroup, instance: str = "a", **labels: str) -> None:
        """Let one of the group's alerts end in Alertmanager."""
        name = name_of(group)
        label_set = {"alertname": name, "cluster": name, "instance": instance, **labels}
        self.alertmanager.post_alerts(label_set, resolved=True)

    def state(self, group: AlertGroup) -> str:
        """In IRM, now."""
        return self.irm.alert_group(group.id).state

    def notes(self, group: AlertGroup) -> list[str]:
        """Of the group's timeline."""
        return [note.text for note in self.irm.notes if note.alert_group_id == group.id]

    def service(self, environ: Mapping[str, str] | None = None) -> Service:
        """Both clients as wired for Lambda; `environ` adds to the settings."""
        settings = {
            "ALERTMANAGER_URL": self.alertmanager.url,
            "GRAFANA_IRM_URL": self.irm.url,
            "GRAFANA_IRM_TOKEN": self.irm.admin.token,
            "MIN_ALERTMANAGER_UPTIME_SECONDS": "0",
        }
        return Service({**settings, **(environ or {})}, SecretStore())

    def run(
        self,
        environ: Mapping[str, str] | None = None,
        *,
        seconds: float = 20,
        dry_run: bool = False,
        force: bool = False,
    ) -> Report:
        """One reconciliation."""
        request = RunRequest(run_id="run-1", trigger=Trigger.INVOKE, dry_run=dry_run, force=force)
        return self.service(environ).reconciler().run(request, Deadline(seconds))


def name_of(group: AlertGroup) -> str:
    """The name of the group's alerts."""
    labels: dict[str, Any] = group.alerts[-1].payload["groupLabels"]
    return str(labels["alertname"])


def outcomes(report: Report) -> dict[str, str]:
    """What became of each changed alert group, by id."""
    return {result.change.finding.alert_group.id: result.outcome.value for result in report.results}


def verdicts(report: Report) -> dict[str, str]:
    """The verdict on each alert group that was kept, by id."""
    assert report.plan is not None, report.error
    return {finding.alert_group.id: finding.verdict.value for finding in report.plan.kept}
