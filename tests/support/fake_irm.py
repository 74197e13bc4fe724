"""An in-memory Grafana IRM (OnCall) on a loopback port, for tests, benchmarks and the demonstration.

It answers as a real engine was measured to answer, quirks included; the contract tests hold it to the recordings.
`FakeIrm` is the state (arrange and inspect in Python) plus the server (what the client under test talks to).
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.support.fake_irm_admission import Admission, Limits
from tests.support.fake_irm_api import IrmApi
from tests.support.fake_irm_model import GRAFANA_URL, Clock, Integration, Payload, Role
from tests.support.fake_irm_state import IrmState
from tests.support.life_cycle import Running
from tests.support.loopback_http import Connection, LoopbackHttpServer, Request

__all__ = ["GRAFANA_URL", "Clock", "FakeIrm", "Limits", "LoggedRequest", "Role"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedRequest:
    """One request that the fake got, and how it ended."""

    method: str
    path: str
    """Without the path prefix: `/api/v1/alert_groups/`."""
    query: Mapping[str, str]
    """Of a repeated parameter the last value."""
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    arrived_at: float
    """`time.monotonic()`."""
    who: str | None
    """Id of the user, service account or integration whose token or key it carried; None if it was not let in."""
    status: int

    @property
    def is_write(self) -> bool:
        return self.method not in ("GET", "HEAD", "OPTIONS")


class FakeIrm(IrmState, Running):
    """A Grafana IRM to talk to.

    Example:
        with FakeIrm() as irm:
            integration = irm.add_alertmanager_integration()
            [group] = irm.receive_webhook(webhook, integration)
            client = IrmClient(irm.url, token=irm.admin.token)
            ...
            assert irm.resolved_ids == [group.id]

    There is one person to begin with: `admin`, whose `admin.token` may do everything.
    """

    def __init__(
        self,
        *,
        path_prefix: str = "/oncall",
        clock: Clock | None = None,
        limits: Limits | None = None,
        is_hosted: bool = False,
        has_irm_plugin: bool | None = None,
        accept_bearer: bool = False,
        latency_seconds: float = 0.0,
        inbound_delay_seconds: float | None = 0.0,
        base_url: str = "http://irm.example",
    ) -> None:
        """Make it; `with` or `start()` opens the port.

        - `clock` is that of silences and rate limits; requests are logged by the real monotonic clock all the same.
        - `is_hosted` lists 30 days only unless `started_at` is given, shows group numbers, and wants X-Grafana-URL of a
          service account.
        - `has_irm_plugin` makes permissions and permalinks say `grafana-irm-app`; by default only when hosted.
        - `accept_bearer` also takes `Authorization: Bearer TOKEN`, as the newest hosted documentation has it.
        - `latency_seconds` is added to every answer; may be changed at any time.
        - `inbound_delay_seconds` is how long after its answer a posted notification is processed; 0 is before the
          answer is out, None is not until `process_inbound()`. May be changed at any time.
        - `base_url` is the host that `next` and `previous` name: not the one that was asked, as in reality.
        """
        super().__init__(
            clock=clock or Clock(),
            is_hosted=is_hosted,
            has_irm_plugin=is_hosted if has_irm_plugin is None else has_irm_plugin,
        )
        self.limits = limits or Limits()
        self.latency_seconds = latency_seconds
        self.inbound_delay_seconds = inbound_delay_seconds
        self.links_base_url: str | None = None
        """What inbound links are built from when it is not `url`: the URL of a proxy in front."""
        self.admin = self.add_user("admin")
        self._path_prefix = path_prefix
        self._server = LoopbackHttpServer(self._serve)
        self._log: list[LoggedRequest] = []
        self._waiting: list[tuple[Payload, Integration]] = []
        self._timers: list[threading.Timer] = []
        self._api = IrmApi(
            self,
            admission=Admission(self, limits=self.limits, accept_bearer=accept_bearer),
            base_url=base_url,
            links_base_url=lambda: self.links_base_url or self.url,
            deliver=self._deliver,
        )

    @property
    def url(self) -> str:
        """The OnCall API base, as a person would configure it (without `/api/v1`)."""
        return self._server.url + self._path_prefix

    def inbound_url(self, integration: Integration) -> str:
        """Return where Alertmanager posts for this integration. It holds the key."""
        link: str = integration.as_json(links_base_url=self.links_base_url or self.url)["link"]
        return link

    @property
    def requests(self) -> tuple[LoggedRequest, ...]:
        """Every request so far, in the order of arrival."""
        with self.lock:
            return tuple(sorted(self._log, key=lambda logged: logged.arrived_at))

    @property
    def writes(self) -> tuple[LoggedRequest, ...]:
        return tuple(logged for logged in self.requests if logged.is_write)

    def forget_requests(self) -> None:
        """Empty the request log, between arranging over HTTP and what the test is about."""
        with self.lock:
            self._log.clear()

    def process_inbound(self) -> None:
        """Process every notification that waits because `inbound_delay_seconds` was None."""
        with self.lock:
            waiting, self._waiting = self._waiting, []
        for payload, integration in waiting:
            self.receive_webhook(payload, integration)

    def start(self) -> None:
        self._server.start()

    def stop(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._server.stop()

    def _serve(self, request: Request, connection: Connection) -> None:
        path = request.path.removeprefix(self._path_prefix)
        with self.lock:
            answer, who = self._api.answer(request, path if request.path != path or not self._path_prefix else "")
            self._log.append(_logged(request, path, who=who, status=answer.status))
        if self.latency_seconds > 0:
            connection.wait(self.latency_seconds)
        connection.send(answer)

    def _deliver(self, payload: dict[str, Any], integration: Integration) -> None:
        delay = self.inbound_delay_seconds
        if delay is None:
            self._waiting.append((payload, integration))
        elif delay == 0:
            self.receive_webhook(payload, integration)
        else:
            timer = threading.Timer(delay, self.receive_webhook, (payload, integration))
            timer.daemon = True
            self._timers.append(timer)
            timer.start()


def _logged(request: Request, path: str, *, who: str | None, status: int) -> LoggedRequest:
    return LoggedRequest(
        method=request.method,
        path=path,
        query=dict(request.query),
        headers={name.lower(): value for name, value in request.headers},
        body=request.body,
        arrived_at=request.arrived_at,
        who=who,
        status=status,
    )
