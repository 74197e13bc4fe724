"""Alertmanager's own way into IRM: posting a webhook to an integration's URL. For tokens that may read but not act.

Whoever posts there is Alertmanager to IRM, so only what Alertmanager itself would say is posted: that an alert group's
alerts are resolved, or which of them fire. The URL is a secret. IRM answers before it processes: only reading the alert
group again tells.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from alert_sync.call import Call, Upstream
from alert_sync.credentials import NoAuth
from alert_sync.deadline import Deadline
from alert_sync.errors import IRM, UnsentError, UpstreamError
from alert_sync.http_transport import HttpTransport
from alert_sync.irm import Confirm, Integration, IrmClient
from alert_sync.model import AlertGroup, Notification
from alert_sync.request_budget import RequestBudget
from alert_sync.webhook import firing_webhook, resolved_webhook

# IRM takes 300 webhooks in 5 minutes from one integration and drops the rest, real alerts among them: a fifth is ours.
SHARE_OF_INBOUND_LIMIT = 60
INBOUND_LIMIT_SECONDS = 300.0

_OPERATION = "resolve through the integration"
_NOTIFY = "notify through the integration"


class InboundClient:
    """Posts to integrations' URLs, within a small share of what each may receive."""

    def __init__(self, transport: HttpTransport, irm: IrmClient, irm_budget: RequestBudget) -> None:
        self._transport = transport
        self._irm = irm
        self._irm_budget = irm_budget
        self._budgets: defaultdict[str, RequestBudget] = defaultdict(
            lambda: RequestBudget(SHARE_OF_INBOUND_LIMIT, INBOUND_LIMIT_SECONDS)
        )

    def read_integrations(
        self, integration_ids: Iterable[str], deadline: Deadline
    ) -> dict[str, Integration | UpstreamError]:
        """Each integration once, or why it cannot be read; a new look in every run, as its URL and templates change."""
        found: dict[str, Integration | UpstreamError] = {}
        for integration_id in sorted(set(integration_ids)):
            try:
                found[integration_id] = self._irm.read_integration(integration_id, deadline)
            except UpstreamError as error:
                found[integration_id] = error
        return found

    def resolve(
        self, group: AlertGroup, integration: Integration, deadline: Deadline, *, now: datetime, confirm: Confirm
    ) -> None:
        """Post the alert group's last webhook again, with everything in it resolved.

        Raises:
            UnsentError: this integration would not understand it as meant.
            UpstreamError: it was not taken, or its answer was lost.
        """
        notification = _understood(group, integration, _OPERATION)
        self._post(integration, _OPERATION, resolved_webhook(notification, now=now), deadline, confirm)

    def notify(
        self,
        group: AlertGroup,
        alerts: Callable[[], Sequence[Mapping[str, Any]]],
        integration: Integration,
        deadline: Deadline,
        *,
        confirm: Confirm,
    ) -> None:
        """Post the webhook that Alertmanager would send for these alerts, so that IRM pages.

        `alerts` is asked for them after `confirm`, when the webhook is about to be sent.

        Raises:
            UnsentError: this integration would not understand it as meant.
            UpstreamError: it was not taken, or its answer was lost.
        """
        notification = _understood(group, integration, _NOTIFY)
        if "groupKey" not in notification.webhook:
            raise unsuitable("the group key that Alertmanager would send is not known", _NOTIFY)
        self._post(integration, _NOTIFY, lambda: firing_webhook(notification, alerts()), deadline, confirm)

    def _post(
        self, integration: Integration, operation: str, webhook: object, deadline: Deadline, confirm: Confirm
    ) -> None:
        upstream = Upstream(
            name=IRM,
            base_url=integration.link,
            authorizer=NoAuth(),
            budgets=(self._budgets[integration.id], self._irm_budget),
        )
        call = Call(
            upstream=upstream,
            operation=f"{operation} {integration.id}",
            path="",
            deadline=deadline,
            method="POST",
            json_body=webhook,
            confirm=confirm,
        )
        self._transport.post(call)


def unsuitable(cause: str, operation: str = _OPERATION) -> UnsentError:
    """The error that says why this way into IRM cannot be used for an alert group."""
    return UnsentError(IRM, operation, cause)


def _understood(group: AlertGroup, integration: Integration, operation: str) -> Notification:
    """What to post again, if this integration takes it for what Alertmanager's own webhook means."""
    is_resolve = operation == _OPERATION
    if group.notification is None or group.notification.legacy:
        remedy = "; use RESOLVE_THROUGH=api with a user's API key" if is_resolve else ""
        raise unsuitable(f"a legacy integration takes no such webhook{remedy}", operation)
    if integration.is_customized:
        remedy = "; use RESOLVE_THROUGH=api" if is_resolve else ""
        raise unsuitable(f"its grouping or resolving templates are not the defaults{remedy}", operation)
    return group.notification
