"""What is called: the system, who we are there, and one request to it. How it is sent is http_transport's business."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlencode

from alert_sync.deadline import Deadline
from alert_sync.request_budget import RequestBudget


class Authorizer(Protocol):
    """Adds what proves who we are."""

    def headers(self, method: str, url: str, body: bytes) -> Mapping[str, str]:
        """The headers for this one request."""

    @property
    def version(self) -> int:
        """Another number whenever the credential is another one."""

    def renew(self, refused: int) -> bool:
        """Look for a newer credential after that version was refused; True if there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """A system that is called: its name for people, where it is, who we are there, and how often it may be asked."""

    name: str
    base_url: str = field(repr=False)  # an integration's is a secret
    authorizer: Authorizer
    headers: Mapping[str, str] = field(default_factory=dict)
    budgets: tuple[RequestBudget, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request to be made. `confirm` is asked right before each sending and may raise to prevent it.

    `json_body` may be a function, which is called after `confirm`.
    """

    upstream: Upstream
    operation: str
    path: str
    deadline: Deadline
    method: str = "GET"
    query: Mapping[str, str | int | Sequence[str]] = field(default_factory=dict)
    json_body: object = None
    confirm: Callable[[], None] | None = None

    @property
    def url(self) -> str:
        query = f"?{urlencode(self.query, doseq=True)}" if self.query else ""
        return f"{self.upstream.base_url}{self.path}{query}"
