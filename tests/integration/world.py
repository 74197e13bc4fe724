"""A real Alertmanager that notifies a fake IRM, and the reconciler between them, for tests of whole runs."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from alert_sync.deadline import Deadline
from alert_sync.memory.items import HEAD_KEY, INTERVENTION_PREFIX, OPEN, head_item, head_of, intervention_of
from alert_sync.memory.table import Item, Put, Table
from alert_sync.recall import Intervention, Lease, Mismatch
from alert_sync.reconcile import RunRequest
from alert_sync.report import Report, Trigger
from alert_sync.secrets_store import SecretStore
from alert_sync.service import Service
from tests.support.alertmanager import Alertmanager
from tests.support.dynamodb import table_named
from tests.support.fake_irm import FakeIrm
from tests.support.fake_irm_model import AlertGroup, Integration
from tests.support.loopback_http import Answer
from tests.support.webhook_recorder import Payload, WebhookRecorder

_names = (f"Alert{number}" for number in itertools.count())
_NO_TIME = timedelta(0)


@dataclass(kw_only=True)
class World:
    """One Alertmanager for many tests, an IRM of its own for each: their alerts have names of their own.

    `state_table` is the memory of its runs; empty: each is the first. `environ` adds to the settings of all of them.
    """

    alertmanager: Alertmanager
    webhooks: WebhookRecorder
    irm: FakeIrm
    state_table: str = ""
    environ: dict[str, str] = field(default_factory=dict)
    integration: Integration = field(init=False)
    _runs: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.integration = self.irm.add_alertmanager_integration()

    # --- Alertmanager

    def fire(
        self,
        *instances: str,
        lasting: timedelta = timedelta(minutes=5),
        started_ago: timedelta = _NO_TIME,
        labels: Mapping[str, str] | None = None,
        **more: str,
    ) -> AlertGroup:
        """One alert per instance, in a group of their own, as Alertmanager then tells IRM."""
        together = {**(labels or {}), **more}
        payload = self.fire_unheard(*instances, lasting=lasting, started_ago=started_ago, labels=together)
        (group,) = self.irm.receive_webhook(payload, self.integration)
        return group

    def fire_unheard(
        self,
        *instances: str,
        lasting: timedelta = timedelta(minutes=5),
        started_ago: timedelta = _NO_TIME,
        labels: Mapping[str, str] | None = None,
        **more: str,
    ) -> Payload:
        """The same, but the webhook, which is returned, never reaches IRM."""
        name = next(_names)
        common = {"alertname": name, "cluster": name, **(labels or {}), **more}
        label_sets = [{**common, "instance": each} for each in instances or ("a",)]
        self.alertmanager.post_alerts(*label_sets, lasting=lasting, started_ago=started_ago)
        return self.webhooks.wait_for(
            lambda each: each["groupLabels"]["alertname"] == name and len(each["alerts"]) == len(label_sets),
            what=f"the notification of {name}",
        )

    def fire_many(self, count: int) -> list[AlertGroup]:
        """One alert each, in groups of their own: for this many, one after the other would take too long."""
        names = [next(_names) for _ in range(count)]
        self.alertmanager.post_alerts(*({"alertname": name, "cluster": name, "instance": "a"} for name in names))
        groups: list[AlertGroup] = []
        for name in names:
            payload = self.webhooks.wait_for(partial(_is_of, name), what=f"the notification of {name}")
            groups += self.irm.receive_webhook(payload, self.integration)
        return groups

    def fire_again(self, group: AlertGroup, instance: str = "a", **labels: str) -> None:
        """An alert of the group that had ended, or joins it, is listed by Alertmanager."""
        label_set = {"alertname": name_of(group), "cluster": name_of(group), "instance": instance, **labels}
        self.alertmanager.post_alerts(label_set)
        self.alertmanager.wait_until_grouped(name_of(group))

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

    def end_all_alerts(self) -> None:
        """So that the next test finds none that has been firing for long."""
        alerts = [alert["labels"] for alert in self.alertmanager.alerts()]
        if alerts:
            self.alertmanager.post_alerts(*alerts, resolved=True)

    def resolved_webhook(self, group: AlertGroup) -> Payload:
        """What Alertmanager tells of the group's end, waited for."""
        return self.webhooks.wait_for(
            lambda each: each["status"] == "resolved" and each["groupLabels"]["alertname"] == name_of(group),
            what=f"Alertmanager's own resolve of {name_of(group)}",
        )

    # --- IRM

    def state(self, group: AlertGroup) -> str:
        """In IRM, now."""
        return self.irm.alert_group(group.id).state

    def notes(self, group: AlertGroup) -> list[str]:
        """Of the group's timeline."""
        return [note.text for note in self.irm.notes if note.alert_group_id == group.id]

    def pages(self, group: AlertGroup) -> list[AlertGroup]:
        """The alert groups of the same key that are younger: IRM paged once for each."""
        same = [each for each in self.irm.alert_groups() if each.group_key == group.group_key]
        return [each for each in reversed(same) if each.number > group.number]

    def posted(self) -> list[Payload]:
        """The webhooks that this service has posted: those of Alertmanager itself do not pass the fake's port."""
        inbound = [request for request in self.irm.writes if request.path.startswith("/integrations/v1/")]
        return [json.loads(request.body) for request in inbound]

    # --- memory

    def table(self) -> Table:
        """Where the runs remember."""
        return table_named(self.state_table)

    def open_items(self) -> list[Item]:
        """What every run reads."""
        return list(self.table().query(OPEN, Deadline(10)).items)

    def interventions(self) -> list[Intervention]:
        """What is remembered of our own acts."""
        return [intervention_of(item) for item in self.open_items() if item["sk"].startswith(INTERVENTION_PREFIX)]

    def mismatches(self) -> list[Mismatch]:
        """Those that are open."""
        return list(self.service().recall(Deadline(10)).mismatches.values())

    def pass_time(self, by: timedelta) -> None:
        """Let everything that is remembered and open, and everything in IRM, be older than it is."""
        for item in self.open_items():
            self.table().transact([Put(_older(item, by), item["version"])], Deadline(10))
        self.irm.age(by)

    def lease(self) -> Lease | None:
        """Of the run that is in progress, or has died."""
        return head_of(self.table().get([HEAD_KEY], Deadline(10)).get(HEAD_KEY)).lease

    def end_lease(self) -> None:
        """Let the lease of a run that died be over: it takes longer than a test may."""
        item = self.table().get([HEAD_KEY], Deadline(10)).get(HEAD_KEY)
        head = head_of(item)
        if item is not None and head.lease is not None:
            lease = {**item["lease"], "expires_at": (datetime.now(UTC) - timedelta(seconds=1)).isoformat()}
            self.table().transact([Put({**head_item(head), "lease": lease}, item["version"])], Deadline(10))

    # --- runs

    def settings(self, environ: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment of a run; `environ` adds to it."""
        return {
            "ALERTMANAGER_URL": self.alertmanager.url,
            "GRAFANA_IRM_URL": self.irm.url,
            "GRAFANA_IRM_TOKEN": self.irm.admin.token,
            "MIN_ALERTMANAGER_UPTIME_SECONDS": "0",
            "STATE_TABLE": self.state_table,
            **self.environ,
            **(environ or {}),
        }

    def service(self, environ: Mapping[str, str] | None = None) -> Service:
        """Both clients as wired for Lambda; `environ` adds to the settings."""
        return Service(self.settings(environ), SecretStore())

    def run(
        self,
        environ: Mapping[str, str] | None = None,
        *,
        seconds: float = 20,
        dry_run: bool = False,
        force: bool = False,
        job_id: str = "",
        function_arn: str = "",
    ) -> Report:
        """One reconciliation."""
        run_id = f"run-{next(self._runs)}"
        request = RunRequest(run_id=run_id, trigger=Trigger.INVOKE, dry_run=dry_run, force=force, job_id=job_id)
        return self.service(environ).reconciler(function_arn).run(request, Deadline(seconds))


@dataclass
class Uptime:
    """What a proxy before Alertmanager makes of its status: for how long it has been up."""

    length: timedelta = timedelta(days=30)

    def __call__(self, answer: Answer) -> Answer:
        started = datetime.now(UTC) - self.length
        status = {**json.loads(answer.body), "uptime": started.isoformat().replace("+00:00", "Z")}
        headers = tuple((name, value) for name, value in answer.headers if name.lower() != "content-length")
        return replace(answer, body=json.dumps(status).encode(), headers=headers)


def _is_of(name: str, webhook: Payload) -> bool:
    return bool(webhook["groupLabels"]["alertname"] == name)


def _older(value: Any, by: timedelta) -> Any:
    """The same, with every time in it moved into the past. An id is not a time, although it begins with one."""
    if isinstance(value, dict):
        return {name: _older(each, by) for name, each in value.items()}
    if isinstance(value, list):
        return [_older(each, by) for each in value]
    if isinstance(value, str) and value[4:5] == "-" and value[10:11] == "T":
        return (datetime.fromisoformat(value) - by).isoformat()
    return value


def name_of(group: AlertGroup) -> str:
    """The name of the group's alerts."""
    payload = group.alerts[-1].payload
    # A legacy integration keeps single alerts.
    labels: dict[str, Any] = payload["groupLabels"] if "groupLabels" in payload else payload["labels"]
    return str(labels["alertname"])


def outcomes(report: Report) -> dict[str, str]:
    """What became of each changed alert group, by id."""
    return {result.change.finding.alert_group.id: result.outcome.value for result in report.results}


def verdicts(report: Report) -> dict[str, str]:
    """The verdict on each alert group that was kept, by id."""
    assert report.plan is not None, report.error
    return {finding.alert_group.id: finding.verdict.value for finding in report.plan.kept}
