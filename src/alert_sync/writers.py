"""The ways in which a change reaches IRM. All raise UpstreamError; none decides anything."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from alert_sync.deadline import Deadline
from alert_sync.errors import (
    ALERTMANAGER,
    ContractError,
    PermanentUpstreamError,
    PostponedError,
    UnsentError,
    UpstreamError,
)
from alert_sync.inbound import InboundClient, unsuitable
from alert_sync.irm import Confirm, Integration, IrmClient
from alert_sync.model import Action, AlertGroup, AlertGroupState, Change, IrmSnapshot
from alert_sync.verdicts import active_members

_REMEDIES = {
    Action.RESOLVE: (
        "this token cannot resolve alert groups: use a user's API key with the alert-groups:write permission, "
        "or RESOLVE_THROUGH=integration"
    ),
    Action.SILENCE: (
        "this token cannot silence alert groups: use a user's API key with the alert-groups:write permission, "
        "or SILENCED_ACTION=resolve with RESOLVE_THROUGH=integration"
    ),
}

ReadFiring = Callable[[str, frozenset[tuple[str, str]], Deadline], Mapping[str, Mapping[str, Any]]]


class Writer(Protocol):
    """Carries out changes, one at a time, from several threads."""

    def is_processed_later(self, change: Change) -> bool:
        """Whether a success only means that the change was taken in."""

    def prepare(self, changes: Sequence[Change], deadline: Deadline) -> None:
        """Read what the changes need, once for all of them."""

    def write(self, change: Change, deadline: Deadline, confirm: Confirm) -> str:
        """Make one change; returns what there is to say about how, if anything."""

    def remedy(self, change: Change) -> str:
        """What a person can do when the credential is refused; empty if that says nothing about other changes."""


class ApiWriter:
    """Through IRM's API, as the user whose key is used."""

    def __init__(self, irm: IrmClient) -> None:
        self._irm = irm

    def is_processed_later(self, change: Change) -> bool:  # noqa: ARG002 - the protocol's
        """IRM answers once it is done."""
        return False

    def prepare(self, changes: Sequence[Change], deadline: Deadline) -> None:
        """Nothing is needed."""

    def write(self, change: Change, deadline: Deadline, confirm: Confirm) -> str:
        """Resolve, end a silence, or silence for the planned time."""
        group_id = change.finding.alert_group.id
        if change.action is Action.UNSILENCE:
            self._irm.unsilence(group_id, deadline, confirm=confirm)
        elif change.silence_seconds is None:
            self._irm.resolve(group_id, deadline, confirm=confirm)
        else:
            self._irm.silence(group_id, change.silence_seconds, deadline, confirm=confirm)
        return ""

    def remedy(self, change: Change) -> str:
        """The token lacks the right, and so it does for every other change."""
        return _REMEDIES[Action.RESOLVE if change.action is Action.RESOLVE else Action.SILENCE]


class _WebhookWriter:
    """What the ways through integrations' own URLs have in common."""

    def __init__(self, inbound: InboundClient) -> None:
        self._inbound = inbound
        self._integrations: dict[str, Integration | UpstreamError] = {}

    def is_processed_later(self, change: Change) -> bool:  # noqa: ARG002 - the protocol's
        """IRM answers a webhook before it processes it."""
        return True

    def prepare(self, changes: Sequence[Change], deadline: Deadline) -> None:
        """Read each integration concerned."""
        wanted = (change.finding.alert_group.integration_id for change in changes)
        self._integrations = self._inbound.read_integrations(wanted, deadline)

    def remedy(self, change: Change) -> str:  # noqa: ARG002 - the protocol's
        """A refused key is this integration's only."""
        return ""


class IntegrationWriter(_WebhookWriter):
    """Through the integrations' own URLs, as Alertmanager. Resolves only; silencing still takes the API.

    IRM finds the alert group by the webhook's group key. Several open ones may share it (somebody unresolved an old
    one): the webhook would then resolve the newest, whichever was meant.
    """

    def __init__(self, inbound: InboundClient, irm: IrmSnapshot) -> None:
        super().__init__(inbound)
        self._with_key = Counter(_key(group) for group in irm.alert_groups)

    def write(self, change: Change, deadline: Deadline, confirm: Confirm) -> str:
        """Post the resolved webhook."""
        group = change.finding.alert_group
        integration = _readable(self._integrations[group.integration_id])
        if self._with_key[_key(group)] > 1:
            raise unsuitable("another open alert group has the same group key; use RESOLVE_THROUGH=api")
        self._inbound.resolve(group, integration, deadline, now=datetime.now(UTC), confirm=confirm)
        return ""


class PagingWriter(_WebhookWriter):
    """Makes IRM page again, as Alertmanager would; where that is impossible by opening the old alert group again.

    What fires is read anew for each, because the page must name what fires now.
    """

    def __init__(self, inbound: InboundClient, irm: IrmClient, read_firing: ReadFiring) -> None:
        super().__init__(inbound)
        self._irm = irm
        self._read_firing = read_firing
        self._looking = threading.Lock()

    def write(self, change: Change, deadline: Deadline, confirm: Confirm) -> str:
        """Post the firing webhook, or unresolve; returns why it had to be the latter."""
        group = change.finding.alert_group
        firing: list[Mapping[str, Any]] = []

        def confirm_and_look() -> None:
            confirm()
            firing[:] = self._firing(change, deadline)

        try:
            integration = _readable(self._integrations[group.integration_id], otherwise=PostponedError)
            self._inbound.notify(group, lambda: firing, integration, deadline, confirm=confirm_and_look)
        except PermanentUpstreamError as error:
            if not group.id:
                raise
            self._irm.unresolve(group.id, deadline, confirm=confirm)
            return f"unresolved instead, so it will not resolve by itself: {error.cause}"
        return ""

    def _firing(self, change: Change, deadline: Deadline) -> list[Mapping[str, Any]]:
        """The alerts that fired when the plan was made and fire still."""
        notification = change.finding.alert_group.notification
        if notification is None or notification.legacy:
            return []
        try:
            # One at a time: Alertmanager answers few at once, and then nobody else.
            with self._looking:
                found = self._read_firing(notification.receiver, notification.group_labels, deadline)
        except UpstreamError as error:
            raise PostponedError(error.upstream, error.operation, error.cause, status=error.status) from None
        wanted = {member.alert.fingerprint for member in active_members(change.finding.members)}
        firing = [alert for fingerprint, alert in found.items() if fingerprint in wanted]
        if not firing:
            raise PostponedError(ALERTMANAGER, "confirm this change", "none of its alerts fires any more")
        return firing


class WriterOfEach:
    """Sends every change the way that its action takes."""

    def __init__(self, paging: Writer, resolving: Writer, silencing: Writer) -> None:
        self._writers = {
            Action.NOTIFY: paging,
            Action.RESOLVE: resolving,
            Action.SILENCE: silencing,
            Action.UNSILENCE: silencing,
        }

    def prepare(self, changes: Sequence[Change], deadline: Deadline) -> None:
        """Let each way read what its changes need."""
        for writer in dict.fromkeys(self._writers.values()):
            if own := [change for change in changes if self._writers[change.action] is writer]:
                writer.prepare(own, deadline)

    def write(self, change: Change, deadline: Deadline, confirm: Confirm) -> str:
        """Make one change."""
        return self._writers[change.action].write(change, deadline, confirm)

    def remedy(self, change: Change) -> str:
        """That of the change's own way."""
        return self._writers[change.action].remedy(change)

    def is_processed_later(self, change: Change) -> bool:
        """Whether a success only means that the change was taken in."""
        writer = self._writers.get(change.action)  # none opens again what it resolved: IRM answers that once it is done
        return writer is not None and writer.is_processed_later(change)


def _readable(integration: Integration | UpstreamError, *, otherwise: type[UpstreamError] = UnsentError) -> Integration:
    """The integration; why it could not be read is an error of this change, before anything is sent."""
    if isinstance(integration, UpstreamError):
        is_for_good = isinstance(integration, (PermanentUpstreamError, ContractError))
        kind = UnsentError if is_for_good else otherwise
        raise kind(integration.upstream, integration.operation, integration.cause, status=integration.status)
    return integration


def _key(group: AlertGroup) -> tuple[str, object]:
    """By what IRM tells an integration's alert groups apart."""
    return group.integration_id, group.notification.webhook.get("groupKey") if group.notification else group.id


def is_as_wanted(state: AlertGroupState | None, action: Action) -> bool:
    """Whether an alert group in this state needs the action no more."""
    if action is Action.UNSILENCE:
        return state is not None and state is not AlertGroupState.SILENCED
    if action is Action.SILENCE and state is AlertGroupState.SILENCED:
        return True
    return state is AlertGroupState.RESOLVED
