"""Recorded HTTP exchanges: loading them, and a loopback server that replays them to a client under test.

They are real answers, kept as they came (see tests/contract/recordings/README.md for what was taken out).
"""

import json
import threading
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.loopback_http import Answer, Connection, LoopbackHttpServer, Request

_FOLDER = Path(__file__).parent.parent / "contract" / "recordings"
_CUT = "...(truncated)"
_NOT_REPLAYED = frozenset({"content-length", "transfer-encoding", "connection"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """One request and its answer."""

    name: str
    """`irm/list/perpage=1`: the path below the recordings folder, without `.json`."""
    method: str
    """Empty when only the answer was kept."""
    target: str
    """Path and query as they were asked, without any path prefix."""
    request_headers: tuple[tuple[str, str], ...]
    """`Authorization` is always the text `<token>`."""
    request_body: bytes | None
    token_of: str | None
    """Whose token was sent; None is the administrator's."""
    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    """May differ in length from the recorded Content-Length, because names in it were replaced."""

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def is_cut(self) -> bool:
        """Whether the recorder kept only the beginning of a long body."""
        return self.body.endswith(_CUT.encode())

    def header(self, name: str) -> str | None:
        """Return a header of the answer, or None."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def json(self) -> Any:
        return json.loads(self.body)

    def asked_as(self, method: str, target: str) -> "Recording":
        """Return the same answer to another question, for a client that asks otherwise than the recorder did."""
        return replace(self, method=method, target=target)

    def answering(self, body: bytes) -> "Recording":
        """Return the same exchange with another body."""
        return replace(self, body=body)


def load(name: str) -> Recording:
    """Load one recording by name. Raises FileNotFoundError; KeyError if the file holds something else."""
    recorded = load_json(name)
    answer = recorded.get("response", recorded)
    request = recorded.get("request", {})
    method, target, _ = request.get("line", "  ").split(" ", 2)
    body = request.get("body")
    return Recording(
        name=name,
        method=method,
        target=target,
        request_headers=tuple(request.get("headers", {}).items()),
        request_body=None if body is None else body.encode(),
        token_of=request.get("token_of"),
        status=answer["status"],
        reason=answer["reason"],
        headers=tuple((key, value) for key, value in answer["headers"]),
        body=answer["body_raw"].encode(),
    )


def load_json(name: str) -> Any:
    """Load a file that is not one exchange: a sequence, a list of notifications, what a person saw."""
    return json.loads((_FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def names(folder: str) -> tuple[str, ...]:
    """Return the names of all files below a folder such as `irm/list`, sorted."""
    found = (_FOLDER / folder).rglob("*.json")
    return tuple(sorted(str(path.relative_to(_FOLDER))[: -len(".json")] for path in found))


@dataclass(slots=True)
class ReplayServer:
    """Serve recorded answers, each once, to the requests they answer.

    Leaving the `with` block fails the test if a request came that no recording answers (it got a 501) or a recording
    was never asked for. Recordings of the same request are served in the order given. Requests are compared by method,
    path and query, whatever the order of the parameters; bodies and headers are for the test to look at in `requests`.

    Example:
        with ReplayServer([load("irm/retrieve/200")], path_prefix="/oncall") as server:
            IrmClient(server.url, token="t").alert_group("I2GWAK6GHIZ9H")
    """

    recordings: Iterable[Recording]
    path_prefix: str = ""
    ignored_parameters: Collection[str] = ()
    """Query parameters that are not compared, such as `started_at`, whose value depends on the time."""
    requests: list[Request] = field(default_factory=list, init=False)
    unexpected: list[str] = field(default_factory=list, init=False)
    _left: list[Recording] = field(default_factory=list, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _server: LoopbackHttpServer = field(init=False)

    def __post_init__(self) -> None:
        self._left = list(self.recordings)
        unusable = [recording.name for recording in self._left if recording.is_cut or not recording.method]
        if unusable:
            raise ValueError(f"recordings without a whole exchange cannot be replayed: {unusable}")
        self._server = LoopbackHttpServer(self._serve)

    @property
    def url(self) -> str:
        return self._server.url + self.path_prefix

    @property
    def never_asked_for(self) -> list[str]:
        return [recording.name for recording in self._left]

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop()
        if error is None and (self.unexpected or self._left):
            raise AssertionError(f"unexpected requests: {self.unexpected}; never asked for: {self.never_asked_for}")

    def _serve(self, request: Request, connection: Connection) -> None:
        with self._lock:
            self.requests.append(request)
            recording = self._take(request)
        connection.send(Answer(status=501) if recording is None else answer_of(recording))

    def _take(self, request: Request) -> Recording | None:
        for recording in self._left:
            if self._question(recording.method, self.path_prefix + recording.target) == self._question(
                request.method, request.target
            ):
                self._left.remove(recording)
                return recording
        self.unexpected.append(f"{request.method} {request.target}")
        return None

    def _question(self, method: str, target: str) -> tuple[str, str, list[tuple[str, str]]]:
        asked = Request(method=method, target=target, headers=(), body=b"", arrived_at=0.0)
        return method, asked.path, sorted(pair for pair in asked.query if pair[0] not in self.ignored_parameters)


def answer_of(recording: Recording) -> Answer:
    """Return the recorded answer as it can be sent again; its length is that of the body as it is now."""
    headers = tuple((key, value) for key, value in recording.headers if key.lower() not in _NOT_REPLAYED)
    return Answer(status=recording.status, reason=recording.reason, headers=headers, body=recording.body)
