"""A real Alertmanager on free loopback ports: start it, fill it, silence, restart, freeze. Asserts nothing.

It takes the program as a path, so that a demonstration can use it without the test runner.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import rmtree
from typing import Any

import urllib3

from tests.support.child_process import ChildProcess, free_port
from tests.support.life_cycle import Running
from tests.support.waiting import wait_for

USERNAME = "reader"
PASSWORD = "only-for-tests"
_WEB_CONFIG = f"basic_auth_users: {{{USERNAME}: $2a$04$1jagxvMslfFyuHEqJuh4UeG0ns4VuU/donPbvse9zJB7k0dw8S2tu}}\n"
"""The hash is bcrypt's of the password, at its lowest cost: each request pays it."""

NOWHERE = "http://127.0.0.1:9/"
"""Where webhooks go that no test looks at: the discard port, where nobody listens."""

_ATTEMPTS_TO_START = 3
"""A free port may be taken by another process before Alertmanager listens on it."""


def routing_config(
    webhook_url: str = NOWHERE,
    *,
    group_wait: str = "100ms",
    group_interval: str = "500ms",
    repeat_interval: str = "4h",
) -> str:
    """Return a configuration with every way of grouping and muting that the product must understand.

    A critical alert of team payments matches two sibling routes to one receiver: it is in two aggregation groups with
    equal receiver and group labels. Team billing's receiver has characters that a webhook's `receiver` escapes. A
    critical alert inhibits the warnings of its cluster.
    """
    return f"""\
route:
  receiver: oncall
  group_by: [alertname, cluster]
  group_wait: {group_wait}
  group_interval: {group_interval}
  repeat_interval: {repeat_interval}
  routes:
    - {{receiver: oncall, matchers: ['team="payments"'], continue: true}}
    - {{receiver: oncall, matchers: ['severity="critical"']}}
    - {{receiver: billing.oncall (eu), matchers: ['team="billing"']}}
inhibit_rules:
  - source_matchers: ['severity="critical"']
    target_matchers: ['severity="warning"']
    equal: [cluster]
receivers:
  - name: oncall
    webhook_configs: [{{url: "{webhook_url}", send_resolved: true}}]
  - name: billing.oncall (eu)
    webhook_configs: [{{url: "{webhook_url}", send_resolved: true}}]
"""


class Alertmanager(Running):
    """One Alertmanager; as a context manager it is started, and leaves nothing behind.

    Example:
        with Alertmanager(tools.alertmanager()) as alertmanager:
            alertmanager.post_alerts({"alertname": "DiskFull", "cluster": "eu"})
    """

    def __init__(
        self,
        program: Path,
        *,
        config: str | None = None,
        path_prefix: str = "",
        with_basic_auth: bool = False,
        cluster_port: int | None = None,
        peer_ports: tuple[int, ...] = (),
    ) -> None:
        """Write its files. `path_prefix` begins with a slash; for the ports of a cluster see `cluster_of`."""
        self._program = program
        self._folder = tempfile.TemporaryDirectory(prefix="alertmanager-")
        self._path_prefix = path_prefix
        self._cluster_port = cluster_port
        self._peer_ports = peer_ports
        self._port = 0
        self._process: ChildProcess | None = None
        headers = urllib3.make_headers(basic_auth=f"{USERNAME}:{PASSWORD}") if with_basic_auth else None
        self._http = urllib3.PoolManager(headers=headers, retries=False, timeout=10.0)
        self._file("alertmanager.yml").write_text(routing_config() if config is None else config)
        self._file("web.yml").write_text(_WEB_CONFIG if with_basic_auth else "")

    # --- the process

    @property
    def url(self) -> str:
        """The base URL, with the path prefix and without a slash at the end; it survives restarts."""
        return f"http://127.0.0.1:{self._port}{self._path_prefix}"

    def start(self) -> None:
        """Start it, on the port of the last start if there was one, and wait until it answers."""
        may_move, self._port = not self._port, self._port or free_port()
        for _ in range(_ATTEMPTS_TO_START):
            self._process = ChildProcess(self._command(), output=self._file("log"))
            if wait_for(self._first_answer, what="Alertmanager to start") == "answers":
                return
            if may_move:
                self._port = free_port()
        message = f"Alertmanager does not start: {self._file('log').read_text()[-2000:]}"
        raise RuntimeError(message)

    def stop(self) -> None:
        """End it in order: silences and notification log are written to its storage."""
        self._running().stop()

    def kill(self) -> None:
        """End it as a crash does: what was not yet written to its storage is lost."""
        self._running().kill()

    def restart(self, *, keep_storage: bool = True) -> None:
        """Stop and start it. Alerts are lost in any case; silences and the notification log with the storage."""
        self.stop()
        if not keep_storage:
            rmtree(self._file("storage"))
        self.start()

    def freeze(self) -> None:
        """Stop it where it is: it still accepts connections, and never answers."""
        self._running().freeze()

    def thaw(self) -> None:
        self._running().thaw()

    # --- its API

    def post_alerts(
        self,
        *label_sets: Mapping[str, str],
        annotations: Mapping[str, str] | None = None,
        resolved: bool = False,
        started_ago: timedelta = timedelta(0),
        lasting: timedelta = timedelta(minutes=5),
    ) -> None:
        """Report alerts as Prometheus does: firing for the time given unless reported again, or resolved now."""
        now = datetime.now(UTC)
        times = {"startsAt": _text(now - started_ago), "endsAt": _text(now if resolved else now + lasting)}
        body = [{"labels": labels, "annotations": annotations or {}, **times} for labels in label_sets]
        self.request("POST", "/api/v2/alerts", body)

    def silence(
        self,
        matchers: Mapping[str, str],
        *,
        starts_in: timedelta = timedelta(0),
        ends_in: timedelta = timedelta(hours=1),
        author: str = "ann",
        comment: str = "maintenance",
    ) -> str:
        """Silence the alerts that have all these labels; return the silence's id."""
        now = datetime.now(UTC)
        equal = [{"name": name, "value": value, "isRegex": False} for name, value in matchers.items()]
        body = {"matchers": equal, "startsAt": _text(now + starts_in), "endsAt": _text(now + ends_in)}
        answer = self.request("POST", "/api/v2/silences", body | {"createdBy": author, "comment": comment})
        return str(answer["silenceID"])

    def expire_silence(self, silence_id: str) -> None:
        self.request("DELETE", f"/api/v2/silence/{silence_id}")

    def groups(self) -> list[dict[str, Any]]:
        """Return its aggregation groups; an alert is in them some milliseconds after it was posted."""
        groups: list[dict[str, Any]] = self.request("GET", "/api/v2/alerts/groups")
        return groups

    def alerts(self) -> list[dict[str, Any]]:
        """Return the alerts it lists; one that has resolved is not listed."""
        alerts: list[dict[str, Any]] = self.request("GET", "/api/v2/alerts")
        return alerts

    def silences(self) -> list[dict[str, Any]]:
        silences: list[dict[str, Any]] = self.request("GET", "/api/v2/silences")
        return silences

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.request("GET", "/api/v2/status")
        return status

    def wait_until_grouped(self, *alert_names: str) -> None:
        """Wait until each of these alerts is listed in an aggregation group."""
        wait_for(lambda: set(alert_names) <= self._grouped_names(), what=f"groups of {', '.join(alert_names)}")

    def request(self, method: str, path: str, body: object = None) -> Any:
        """Call any path of the API and return the parsed answer; an answer of 400 or above is an error."""
        response = self._http.request(method, self.url + path, json=body)
        if response.status >= 400:
            message = f"{method} {path}: {response.status} {response.data.decode()}"
            raise RuntimeError(message)
        return json.loads(response.data) if response.data else None

    # --- inside

    def _command(self) -> list[str | Path]:
        """Gossip, settling and waiting for peers are made quick: their defaults are for networks."""
        gossip = f"127.0.0.1:{self._cluster_port}" if self._cluster_port else ""
        flags = {
            "config.file": self._file("alertmanager.yml"),
            "storage.path": self._file("storage"),
            "web.listen-address": f"127.0.0.1:{self._port}",
            "web.external-url": self.url,
            "web.config.file": self._file("web.yml"),
            "cluster.listen-address": gossip,
            "cluster.advertise-address": gossip,
            "cluster.gossip-interval": "20ms",
            "cluster.peer-timeout": "1s",
            "cluster.reconnect-interval": "500ms",
        }
        peers = [f"--cluster.peer=127.0.0.1:{port}" for port in self._peer_ports if port != self._cluster_port]
        return [self._program, *(f"--{name}={value}" for name, value in flags.items()), *peers]

    def _first_answer(self) -> str:
        """Return "" while it is starting, then "answers" or "ended"."""
        if self._running().has_ended:
            return "ended"
        try:
            self._http.request("GET", f"{self.url}/-/ready", timeout=1.0)
        except urllib3.exceptions.HTTPError:
            return ""
        return "answers"

    def _grouped_names(self) -> set[str]:
        return {alert["labels"]["alertname"] for group in self.groups() for alert in group["alerts"]}

    def _running(self) -> ChildProcess:
        assert self._process is not None, "Alertmanager was never started"
        return self._process

    def _file(self, name: str) -> Path:
        return Path(self._folder.name) / name

    def tidy_up(self) -> None:
        if self._process is not None:
            self._process.stop()
        self._http.clear()
        self._folder.cleanup()


@contextmanager
def cluster_of(size: int, program: Path, *, config: str | None = None) -> Iterator[tuple[Alertmanager, ...]]:
    """Run peers of one cluster, and wait until all of them are ready."""
    ports = tuple(free_port() for _ in range(size))
    with ExitStack() as stack:
        peers = tuple(
            stack.enter_context(Alertmanager(program, config=config, cluster_port=port, peer_ports=ports))
            for port in ports
        )
        wait_for(lambda: all(_is_ready(peer, size) for peer in peers), what="the cluster to be ready")
        yield peers


def _is_ready(peer: Alertmanager, size: int) -> bool:
    cluster = peer.status()["cluster"]
    return cluster["status"] == "ready" and len(cluster["peers"]) == size


def _text(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
