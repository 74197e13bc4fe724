"""The modelled systems behind the methods that a run calls. Each write to IRM is judged before it takes effect."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

from alert_sync.alertmanager import AlertmanagerClient
from alert_sync.call import Call
from alert_sync.deadline import Deadline
from alert_sync.errors import PermanentUpstreamError, TransientUpstreamError
from alert_sync.http_transport import HttpTransport
from alert_sync.irm import Confirm, Integration, IrmClient
from alert_sync.irm_payload import parse_alert_group
from alert_sync.model import (
    AggregationGroup,
    Alert,
    AlertGroup,
    AlertmanagerSnapshot,
    AlertState,
    IrmSnapshot,
    Peer,
    Silence,
    SilenceState,
)
from alert_sync.recall import key_of
from tests.model.alertmanager import RECEIVER, Server, Target
from tests.model.clock import text
from tests.model.faults import Faults
from tests.model.irm import INTEGRATION, US, AlertGroupRecord, Organization, RefusedError


class Witness(Protocol):
    """Told of every write of the service to IRM, right before it takes effect."""

    def quietens(self, group: AlertGroupRecord | None, action: str, key: str) -> None: ...

    def opens(self, group: AlertGroupRecord, action: str) -> None: ...

    def pages(self, webhook: Mapping[str, Any]) -> None: ...


class ModelAlertmanagerClient(AlertmanagerClient):
    """One peer."""

    def __init__(self, server: Server, faults: Faults, interrupt: Callable[[], None]) -> None:
        self._server = server
        self._faults = faults
        self._interrupt = interrupt
        self._looks = 0

    def read(self, deadline: Deadline) -> AlertmanagerSnapshot:  # noqa: ARG002 - the interface's
        self._before_read()
        snapshot = self._snapshot()
        self._looks += 1
        if self._looks == 1:  # what happens now, only a second look can tell
            self._interrupt()
        return snapshot

    def read_firing(
        self,
        receiver: str,
        group_labels: frozenset[tuple[str, str]],
        deadline: Deadline,  # noqa: ARG002 - the interface's
    ) -> Mapping[str, Mapping[str, Any]]:
        self._before_read()
        assert receiver == RECEIVER
        alerts = [alert for alert in self._server.held if group_labels <= set(alert.labels.items())]
        heard = [alert for alert in alerts if not self._server.silences_on(alert)]
        return {alert.fingerprint: self._api_alert(alert) for alert in heard}

    def _before_read(self) -> None:
        self._faults.before_read()
        if not self._server.is_reachable:
            raise TransientUpstreamError("Alertmanager", "read", "connection refused")

    def _snapshot(self) -> AlertmanagerSnapshot:
        names = sorted({alert.name for alert in self._server.held})
        groups = tuple(
            AggregationGroup(
                receiver=RECEIVER,
                group_labels=frozenset({("alertname", name)}),
                alerts=tuple(self._alert(alert) for alert in self._server.alerts_named(name)),
            )
            for name in names
        )
        peer = Peer(
            url=f"http://{self._server.name}",
            cluster_status=self._server.cluster_status,
            started_at=self._server.started_at,
            aggregation_groups=groups,
        )
        silences = {
            each.id: Silence(id=each.id, state=SilenceState.ACTIVE, ends_at=each.ends_at, author="a", comment="c")
            for each in self._server.active_silences()
        }
        return AlertmanagerSnapshot(peers=(peer,), silences=silences)

    def _alert(self, alert: Target) -> Alert:
        silenced_by = tuple(silence.id for silence in self._server.silences_on(alert))
        return Alert(
            fingerprint=alert.fingerprint,
            state=AlertState.SUPPRESSED if silenced_by else AlertState.ACTIVE,
            updated_at=self._server.clock.now,
            silenced_by=silenced_by,
            labels=alert.labels,
            starts_at=self._server.held[alert],
        )

    def _api_alert(self, alert: Target) -> Mapping[str, Any]:
        began = text(self._server.held[alert])
        return {"labels": alert.labels, "startsAt": began, "annotations": {}, "fingerprint": alert.fingerprint}


class ModelIrmClient(IrmClient):
    """The organization, as the service's user."""

    def __init__(self, organization: Organization, faults: Faults, witness: Witness, *, is_customized: bool) -> None:
        self._organization = organization
        self._faults = faults
        self._witness = witness
        self._is_customized = is_customized

    def read(self, deadline: Deadline, *, now: datetime) -> IrmSnapshot:  # noqa: ARG002 - the interface's
        return IrmSnapshot(alert_groups=self._read_groups(is_open=True))

    def read_open_ids(self, deadline: Deadline, *, now: datetime) -> frozenset[str]:  # noqa: ARG002 - the interface's
        return frozenset(group.id for group in self._read_groups(is_open=True))

    def read_alert_group(self, alert_group_id: str, deadline: Deadline) -> AlertGroup:  # noqa: ARG002
        self._faults.before_read()
        return parse_alert_group(self._named(alert_group_id, "read alert group").as_json())

    def read_integration(self, integration_id: str, deadline: Deadline) -> Integration:  # noqa: ARG002
        self._faults.before_read()
        return Integration(id=integration_id, link="http://inbound", is_customized=self._is_customized)

    def read_resolved(
        self,
        integration_id: str,
        deadline: Deadline,  # noqa: ARG002 - the interface's
        *,
        since: datetime,
        now: datetime,  # noqa: ARG002 - the interface's
    ) -> tuple[AlertGroup, ...]:
        assert integration_id == INTEGRATION
        return tuple(
            group for group in self._read_groups(is_open=False) if group.created_at >= since.replace(microsecond=0)
        )

    def find_open(
        self,
        integration_id: str,
        keys: Collection[str],
        deadline: Deadline,  # noqa: ARG002 - the interface's
    ) -> frozenset[str]:
        assert integration_id == INTEGRATION
        return frozenset(map(key_of, self._read_groups(is_open=True))).intersection(keys)

    def resolve(self, alert_group_id: str, deadline: Deadline, *, confirm: Confirm) -> None:  # noqa: ARG002
        def effect(group: AlertGroupRecord) -> None:
            self._witness.quietens(group, "resolve", group.key)
            self._organization.resolve(group, US)

        self._do(alert_group_id, "resolve", effect, confirm)

    def silence(self, alert_group_id: str, seconds: int, deadline: Deadline, *, confirm: Confirm) -> None:  # noqa: ARG002
        assert seconds > 0

        def effect(group: AlertGroupRecord) -> None:
            self._witness.quietens(group, "silence", group.key)
            self._organization.silence(group, timedelta(seconds=seconds), US)

        self._do(alert_group_id, "silence", effect, confirm)

    def unresolve(self, alert_group_id: str, deadline: Deadline, *, confirm: Confirm) -> None:  # noqa: ARG002
        def effect(group: AlertGroupRecord) -> None:
            self._witness.opens(group, "unresolve")
            self._organization.unresolve(group)

        self._do(alert_group_id, "unresolve", effect, confirm)

    def unsilence(self, alert_group_id: str, deadline: Deadline, *, confirm: Confirm) -> None:  # noqa: ARG002
        def effect(group: AlertGroupRecord) -> None:
            self._witness.opens(group, "unsilence")
            self._organization.unsilence(group)

        self._do(alert_group_id, "unsilence", effect, confirm)

    def add_note(self, alert_group_id: str, text: str, deadline: Deadline) -> None:
        """Notes change nothing that matters here."""

    def _read_groups(self, *, is_open: bool) -> tuple[AlertGroup, ...]:
        self._faults.before_read()
        groups = [group for group in self._organization.alert_groups if group.is_open == is_open]
        return tuple(parse_alert_group(group.as_json()) for group in groups)

    def _do(self, group_id: str, action: str, effect: Callable[[AlertGroupRecord], None], confirm: Confirm) -> None:
        confirm()
        group = self._named(group_id, action)
        try:
            self._faults.write(lambda: effect(group))
        except RefusedError as refusal:
            raise PermanentUpstreamError("Grafana IRM", action, str(refusal), status=400) from refusal

    def _named(self, group_id: str, operation: str) -> AlertGroupRecord:
        if group := self._organization.named(group_id):
            return group
        raise PermanentUpstreamError("Grafana IRM", operation, "Not found.", status=404)


class InboundTransport(HttpTransport):
    """The integration's own URL."""

    def __init__(self, organization: Organization, faults: Faults, witness: Witness) -> None:
        self._organization = organization
        self._faults = faults
        self._witness = witness

    def post(self, call: Call) -> None:
        if call.confirm is not None:
            call.confirm()
        webhook = call.json_body() if callable(call.json_body) else call.json_body
        assert isinstance(webhook, dict)
        self._faults.write(lambda: self._receive(webhook))

    def _receive(self, webhook: dict[str, Any]) -> None:
        if webhook["status"] == "firing":
            self._witness.pages(webhook)
        else:
            key = webhook["groupLabels"]["alertname"]
            self._witness.quietens(self._organization.taking(key), "resolve", key)
        self._organization.receive(webhook, US)
