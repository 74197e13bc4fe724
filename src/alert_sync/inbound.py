"""Alertmanager's own way into IRM: posting a webhook to an integration's URL. For tokens that may read but not act.

Whoever posts there is Alertmanager to IRM, so only what Alertmanager itself would say is posted: that an alert group's
alerts are resolved. The URL is a secret. IRM answers before it processes: only reading the alert group again tells.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

from alert_sync.call import Call, Upstream
from alert_sync.credentials import NoAuth
from alert_sync.deadline import Deadline
from alert_sync.errors import UnsentError, UpstreamError
from alert_sync.http_transport import HttpTransport
from alert_sync.irm import Confirm, Integration, IrmClient
from alert_sync.irm_payload import resolved_webhook
from alert_sync.model import AlertGroup
from alert_sync.request_budget import RequestBudget

# IRM takes 300 webhooks in 5 minutes from one integration and drops the rest, real alerts among them: a fifth is ours.
SHARE_OF_INBOUND_LIMIT = 60
INBOUND_LIMIT_SECONDS = 300.0

_NAME = "Grafana IRM"
_OPERATION = "resolve through the integration"


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
        if group.notification is None or group.notification.legacy:
            raise unsuitable(
                "a legacy integration takes no such webhook; use RESOLVE_THROUGH=api with a user's API key"
            )
        if integration.is_customized:
            raise unsuitable("its grouping or resolving templates are not the defaults; use RESOLVE_THROUGH=api")
        upstream = Upstream(
            name=_NAME,
            base_url=integration.link,
            authorizer=NoAuth(),
            budgets=(self._budgets[integration.id], self._irm_budget),
        )
        self._transport.post(
            Call(
                upstream=upstream,
                operation=f"{_OPERATION} {integration.id}",
                path="",
                deadline=deadline,
                method="POST",
                json_body=resolved_webhook(group.notification, now=now),
                confirm=confirm,
            )
        )


def unsuitable(cause: str) -> UnsentError:
    """The error that says why this way into IRM cannot be used for an alert group."""
    return UnsentError(_NAME, _OPERATION, cause)
