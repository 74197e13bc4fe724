"""Who may ask the fake Grafana IRM for what, and how often: tokens, roles, RBAC, service accounts, rate limits."""

import math
from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta

from tests.support.fake_irm_answers import ApiError, ServerError
from tests.support.fake_irm_model import GRAFANA_URL, Clock, User
from tests.support.fake_irm_organization import IrmOrganization
from tests.support.loopback_http import Request

_SECONDS_TO_SYNC_AN_ORGANIZATION = "350"


@dataclass(slots=True, kw_only=True)
class Limits:
    """How much the fake admits; the defaults are IRM's. May be changed at any time."""

    requests_per_minute: int = 300
    """Per user, over all his tokens and all endpoints but /info."""
    info_requests_per_minute: int = 100
    inbound_per_five_minutes: int = 300
    """Per integration."""


class SlidingWindow:
    """Counts what was admitted in the last `seconds`; a refused request does not count."""

    def __init__(self, *, seconds: float, clock: Clock) -> None:
        self._length = timedelta(seconds=seconds)
        self._clock = clock
        self._admitted: deque[datetime] = deque()

    def seconds_to_wait(self, *, limit: int) -> int | None:
        """Admit a request and return None, or return how long to wait, rounded up as IRM announces it."""
        now = self._clock.now()
        while self._admitted and self._admitted[0] <= now - self._length:
            self._admitted.popleft()
        if len(self._admitted) < limit:
            self._admitted.append(now)
            return None
        oldest = self._admitted[0] if self._admitted else now
        return math.ceil((self._length - (now - oldest)).total_seconds())


class Admission:
    """Lets a request in, or raises what the engine answers instead. Asked in the order of the methods."""

    def __init__(self, organization: IrmOrganization, *, limits: Limits, accept_bearer: bool) -> None:
        self._organization = organization
        self._limits = limits
        self._accept_bearer = accept_bearer
        self._user_windows: dict[str, SlidingWindow] = {}
        self._info_windows: dict[str, SlidingWindow] = {}
        self._inbound_windows: dict[str, SlidingWindow] = {}

    def check_format(self, request: Request) -> None:
        if dict(request.query).get("format", "json") != "json":
            raise ApiError(404, {"detail": "Not found."})
        accepted = {part.partition(";")[0].strip() for part in (request.header("Accept") or "*/*").split(",")}
        if accepted.isdisjoint({"*/*", "application/*", "application/json"}):
            raise ApiError(406, {"detail": "Could not satisfy the request Accept header."})

    def authenticate(self, request: Request, *, service_accounts: bool = True) -> User:
        """Return whose token it is. There is never a 401: whatever is wrong with a token is a 403."""
        token = self._token(request)
        is_service_account = token.startswith("glsa_")
        if is_service_account and service_accounts:
            self._check_organization(request.header("X-Grafana-URL"))
        for user in self._organization.users:
            if token in user.tokens and (service_accounts or not is_service_account):
                return user
        raise ApiError(403, {"detail": "Invalid token."})

    def check_permission(self, user: User, permission: str) -> None:
        if not user.is_active:
            raise ApiError(403, {"detail": "Only active users are allowed to perform this action."})
        if not user.may(permission, plugin=self._organization.plugin):
            raise ApiError(403, {"detail": "You do not have permission to perform this action."})

    def throttle(self, user: User) -> None:
        wait = self._window(self._user_windows, user.id, 60).seconds_to_wait(limit=self._limits.requests_per_minute)
        if wait is not None:
            raise ApiError(429, _throttled(wait), ("Retry-After", str(wait)), ("RateLimit-Reset", str(wait)))

    def throttle_info(self, user: User) -> None:
        """The bucket of /info, which does not announce itself by RateLimit-Reset."""
        limit = self._limits.info_requests_per_minute
        wait = self._window(self._info_windows, user.id, 60).seconds_to_wait(limit=limit)
        if wait is not None:
            raise ApiError(429, _throttled(wait), ("Retry-After", str(wait)))

    def may_post(self, integration_id: str) -> bool:
        """Count a notification; False if the integration got too many."""
        window = self._window(self._inbound_windows, integration_id, 300)
        return window.seconds_to_wait(limit=self._limits.inbound_per_five_minutes) is None

    def _token(self, request: Request) -> str:
        try:
            token = (request.header("Authorization") or "").encode("latin-1").decode()
        except UnicodeDecodeError:
            raise ServerError from None
        return token.removeprefix("Bearer ") if self._accept_bearer else token

    def _check_organization(self, grafana_url: str | None) -> None:
        if not grafana_url or not grafana_url.startswith("http"):
            # Open source falls back to its only organization; the hosted service has no such thing.
            if self._organization.is_hosted:
                raise ApiError(403, {"detail": "Invalid token."})
        elif grafana_url.rstrip("/") != GRAFANA_URL:
            reset = ("RateLimit-Reset", _SECONDS_TO_SYNC_AN_ORGANIZATION)
            raise ApiError(429, {"detail": "Organization being synced, please retry."}, reset)

    def _window(self, windows: dict[str, SlidingWindow], id: str, seconds: float) -> SlidingWindow:
        if id not in windows:
            windows[id] = SlidingWindow(seconds=seconds, clock=self._organization.clock)
        return windows[id]


def _throttled(wait: int) -> dict[str, str]:
    return {"detail": f"Request was throttled. Expected available in {wait} second{'' if wait == 1 else 's'}."}
