"""Everything that can go wrong and is foreseen, split by what the caller does next.

ReconcilerError
├── ConfigurationError          a setting or a secret is wrong          → fail at once, naming every fault
├── EventError                  the event or request is not understood  → say so to whoever sent it
├── RunInProgressError          another run holds the lease             → skip this one
├── LeaseLostError              another run took the lease over         → write nothing more
├── ConflictError               another one wrote what was read         → nothing was written; read and decide again
└── UpstreamError               a call to another system did not work
    ├── TransientUpstreamError  timeout, refused, reset, 5xx            → this call failed; the next run tries
    ├── PermanentUpstreamError  other 4xx, redirects                    → as above, but it will not heal by itself
    │   └── UnsentError         known beforehand not to work            → as above; there is nothing to look up
    ├── ContractError           not JSON, or not what was asked for     → as above; names the field
    └── PostponedError          never sent, or refused with 429         → nothing happened; later is fine

No message ever holds a token, a whole response body, or the URL of an integration.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class ReconcilerError(Exception):
    """Root of everything this service raises on purpose."""


class ConfigurationError(ReconcilerError):
    """Settings or secrets are wrong; `faults` has one sentence for each, naming the variable."""

    def __init__(self, *faults: str) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


class EventError(ReconcilerError):
    """The invocation's event is of no known kind, or holds a key or value that it may not."""


class RunInProgressError(ReconcilerError):
    """Another run holds the lease.

    Args:
        job_id: the job that runs.
        started_at: when it began.
    """

    def __init__(self, job_id: str, started_at: datetime) -> None:
        super().__init__(f"another run is in progress since {started_at:%H:%M:%S} UTC: {job_id}")
        self.job_id = job_id


class LeaseLostError(ReconcilerError):
    """This run took longer than its lease, and another one has taken over."""

    def __init__(self) -> None:
        super().__init__("this run lost its lease to another one, so nothing more of it is recorded")


class ConflictError(ReconcilerError):
    """Nothing was written, because something is no longer as it was read.

    Args:
        positions: which of the writes found it so, counted from 0.
    """

    def __init__(self, positions: Sequence[int]) -> None:
        self.positions = tuple(positions)
        super().__init__(f"changed by another one since it was read: write {', '.join(map(str, self.positions))}")


ALERTMANAGER, IRM, DYNAMODB = "Alertmanager", "Grafana IRM", "Amazon DynamoDB"
"""The systems as people know them. Of several peers of Alertmanager, each has its URL behind the name."""


class UpstreamError(ReconcilerError):
    """A call to another system failed.

    Args:
        upstream: the system's name, as people know it: "Grafana IRM".
        operation: what was being done: "list alert groups".
        cause: one sentence, free of secrets.
        status: the HTTP status if there was an answer.
        answer: the JSON object with which it was refused, for the client that understands it. Never shown.
        headers: the headers of that answer, names in lower case. Never shown.
    """

    def __init__(
        self,
        upstream: str,
        operation: str,
        cause: str,
        *,
        status: int | None = None,
        answer: Mapping[str, Any] = _NOTHING,
        headers: Mapping[str, str] = _NOTHING,
    ) -> None:
        super().__init__(f"{upstream}: {operation}: {cause}")
        self.upstream = upstream
        self.operation = operation
        self.cause = cause
        self.status = status
        self.answer = answer
        self.headers = headers


class TransientUpstreamError(UpstreamError):
    """May heal by itself. A write that ends so may have happened although its answer was lost."""


class PermanentUpstreamError(UpstreamError):
    """Refused: repeating the same request would be refused again."""

    @property
    def is_refused_credential(self) -> bool:
        """Whether the credential, and not the request, was refused (IRM says 403 for both missing and weak tokens)."""
        return self.status in (401, 403)


class UnsentError(PermanentUpstreamError):
    """It was known before anything was sent that it cannot work."""


class ContractError(UpstreamError):
    """The answer as a whole is not what was asked for."""


class PostponedError(UpstreamError):
    """The request was not sent, or was turned away unseen (429), and this run has no time left to wait."""
