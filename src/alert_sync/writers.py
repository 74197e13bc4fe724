"""The two ways in which a change reaches IRM. Both raise UpstreamError; neither decides anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol

from alert_sync.deadline import Deadline
from alert_sync.errors import UnsentError, UpstreamError
from alert_sync.inbound import InboundClient, unsuitable
from alert_sync.irm import Confirm, Integration, IrmClient
from alert_sync.model import AlertGroup, AlertGroupState, Change, IrmSnapshot, SilencedAction

_REMEDIES = {
    SilencedAction.RESOLVE: (
        "this token cannot resolve alert groups: use a user's API key with the alert-groups:write permission, "
        "or RESOLVE_THROUGH=integration"
    ),
    SilencedAction.SILENCE: (
        "this token cannot silence alert groups: use a user's API key with the alert-groups:write permission, "
        "or SILENCED_ACTION=resolve with RESOLVE_THROUGH=integration"
    ),
}


class Writer(Protocol):
    """Carries out changes, one at a time, from several threads."""

    answers_before_processing: bool
    """Whether a success only means that the change was taken in."""

    def prepare(self, changes: Sequence[Change], deadline: Deadline) -> None:
        """Read what the changes need, once for all of them."""

    def write(self, change: Change, deadline: Deadline, confirm: Confirm) -> None:
        """Make one change."""

    def remedy(self, change: Change) -> str:
        """What a person can do when the credential is refused; empty if that says nothing about other changes."""


class ApiWriter:
    """Through IRM's API, as the user whose key is used."""

    answers_before_processing = False

    def __init__(self, irm: IrmClient) -> None:
        self._irm = irm

    def prepare(self, changes: Sequence[Change], deadline: Deadline) -> None:
        """Nothing is needed."""

    def write(self, change: Change, deadline: Deadline, confirm: Confirm) -> None:
        """Resolve, or silence for the planned time."""
        group_id = change.finding.alert_group.id
        if change.silence_seconds is None:
            self._irm.resolve(group_id, deadline, confirm=confirm)
        else:
            self._irm.silence(group_id, change.silence_seconds, deadline, confirm=confirm)

    def remedy(self, change: Change) -> str:
        """The token lacks the right, and so it does for every other change."""
        return _REMEDIES[change.action]


class IntegrationWriter:
    """Through the integrations' own URLs, as Alertmanager. Resolves only; silencing still takes the API.

    IRM finds the alert group by the webhook's group key. Several open ones may share it (somebody unresolved an old
    one): the webhook would then resolve the newest, whichever was meant.
    """

    answers_before_processing = True

    def __init__(self, inbound: InboundClient, irm: IrmSnapshot) -> None:
        self._inbound = inbound
        self._with_key = Counter(_key(group) for group in irm.alert_groups)
        self._integrations: dict[str, Integration | UpstreamError] = {}

    def prepare(self, changes: Sequence[Change], deadline: Deadline) -> None:
        """Read each integration concerned."""
        wanted = (change.finding.alert_group.integration_id for change in changes)
        self._integrations = self._inbound.read_integrations(wanted, deadline)

    def write(self, change: Change, deadline: Deadline, confirm: Confirm) -> None:
        """Post the resolved webhook."""
        group = change.finding.alert_group
        integration = self._integrations[group.integration_id]
        if isinstance(integration, UpstreamError):
            raise UnsentError(integration.upstream, integration.operation, integration.cause, status=integration.status)
        if self._with_key[_key(group)] > 1:
            raise unsuitable("another open alert group has the same group key; use RESOLVE_THROUGH=api")
        self._inbound.resolve(group, integration, deadline, now=datetime.now(UTC), confirm=confirm)

    def remedy(self, change: Change) -> str:  # noqa: ARG002 - the protocol's
        """A refused key is this integration's only."""
        return ""


def _key(group: AlertGroup) -> tuple[str, object]:
    """By what IRM tells an integration's alert groups apart."""
    return group.integration_id, group.notification.webhook.get("groupKey") if group.notification else group.id


def is_as_wanted(state: AlertGroupState | None, action: SilencedAction) -> bool:
    """Whether an alert group in this state needs the action no more."""
    if action is SilencedAction.SILENCE and state is AlertGroupState.SILENCED:
        return True
    return state is AlertGroupState.RESOLVED
