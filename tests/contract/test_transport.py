"""One call over real sockets, with every fault: what it becomes, how often it was sent, and that it ends in time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from alert_sync.call import Authorizer, Call, Upstream
from alert_sync.credentials import NoAuth, Secret, TokenAuth
from alert_sync.deadline import Deadline
from alert_sync.errors import (
    ContractError,
    PermanentUpstreamError,
    PostponedError,
    TransientUpstreamError,
    UpstreamError,
)
from alert_sync.http_transport import HttpTransport
from alert_sync.request_budget import RequestBudget
from tests.support.faults import (
    ABSURD_RETRY_AFTER,
    Fault,
    FaultyProxy,
    Instead,
    LoseAnswer,
    NeverAnswer,
    Refuse,
    ResetInBody,
    SendRaw,
    Trickle,
    closed_port,
    duplicate_content_length,
    gzipped,
    html_instead,
    json_instead,
    redirect,
    status,
    truncated_json,
)
from tests.support.loopback_http import Answer, Connection, LoopbackHttpServer, Request

BODY = {"answer": list(range(100))}
TOKEN = "a-secret-token"
IN_TIME_SECONDS = 5.0
SHORT_SECONDS = 0.6


def serve(request: Request, connection: Connection) -> None:
    is_post = request.method == "POST"
    connection.send(Answer(status=200, body=b"" if is_post else json.dumps(BODY).encode()))


@pytest.fixture
def proxy() -> Iterator[FaultyProxy]:
    with LoopbackHttpServer(serve) as upstream, FaultyProxy(upstream.url) as proxy:
        yield proxy


def call(
    url: str,
    *,
    method: str = "GET",
    seconds: float = IN_TIME_SECONDS,
    authorizer: Authorizer | None = None,
    budgets: tuple[RequestBudget, ...] = (),
    confirm: Callable[[], None] | None = None,
) -> Call:
    return Call(
        upstream=Upstream(name="Sys", base_url=url, authorizer=authorizer or NoAuth(), budgets=budgets),
        operation="try it",
        path="/x",
        deadline=Deadline(seconds),
        method=method,
        confirm=confirm,
    )


def quick_transport(*, connections: int = 8) -> HttpTransport:
    return HttpTransport(connections=connections, backoff_seconds=0.01)


def outcome(make: Callable[[], Any]) -> UpstreamError | None:
    try:
        make()
    except UpstreamError as error:
        return error
    return None


# --- GET

HEALING: list[Any] = [
    pytest.param(status(500), id="500"),
    pytest.param(status(502), id="502"),
    pytest.param(status(503), id="503"),
    pytest.param(status(408), id="408"),
    pytest.param(LoseAnswer(), id="answer lost"),
    pytest.param(ResetInBody(), id="reset in mid-body"),
    pytest.param(ResetInBody(is_reset=False), id="closed in mid-body"),
    pytest.param(status(429, Retry_After="0"), id="429, no wait"),
    pytest.param(status(429, RateLimit_Reset="0.2"), id="429, RateLimit-Reset"),
]


@pytest.mark.parametrize("fault", HEALING)
def test_get_is_repeated_after_what_may_heal(proxy: FaultyProxy, fault: Fault) -> None:
    proxy.inject(fault, nth=1)

    assert quick_transport().get_json(call(proxy.url)) == BODY
    assert len(proxy.requests) == 2


LASTING: list[Any] = [
    pytest.param(status(500), TransientUpstreamError, "HTTP 500", 3, id="500"),
    pytest.param(LoseAnswer(), TransientUpstreamError, "the connection broke off", 3, id="answer lost"),
    pytest.param(ResetInBody(), TransientUpstreamError, "the connection broke off", 3, id="reset in mid-body"),
    pytest.param(status(400), PermanentUpstreamError, "HTTP 400", 1, id="400"),
    pytest.param(status(401), PermanentUpstreamError, "HTTP 401", 1, id="401"),
    pytest.param(status(403), PermanentUpstreamError, "HTTP 403", 1, id="403"),
    pytest.param(status(404), PermanentUpstreamError, "HTTP 404", 1, id="404"),
    pytest.param(status(409), PermanentUpstreamError, "HTTP 409", 1, id="409"),
    pytest.param(status(422), PermanentUpstreamError, "HTTP 422", 1, id="422"),
    pytest.param(redirect("http://elsewhere.invalid/"), PermanentUpstreamError, "HTTP 302, a redi", 1, id="redirect"),
    pytest.param(html_instead(), ContractError, "the answer is not JSON", 1, id="HTML with 200"),
    pytest.param(truncated_json(), ContractError, "the answer is not JSON", 1, id="truncated JSON"),
    pytest.param(Instead(Answer(status=200)), ContractError, "the answer is not JSON", 1, id="empty 200"),
    pytest.param(
        Instead(Answer(status=200, body=b"[" * 100_000)), ContractError, "the answer is not JSON", 1, id="deep nesting"
    ),
    pytest.param(SendRaw(b"nonsense\r\n\r\n"), TransientUpstreamError, "the connection broke off", 3, id="not HTTP"),
    pytest.param(
        status(429, Retry_After="999999999"), PostponedError, "HTTP 429, and the wait it asks for", 1, id="429"
    ),
]


@pytest.mark.parametrize(("fault", "kind", "cause", "sent"), LASTING)
def test_get_ends_with_the_error_that_tells_what_to_do(
    proxy: FaultyProxy, fault: Fault, kind: type[UpstreamError], cause: str, sent: int
) -> None:
    proxy.inject(fault)

    error = outcome(lambda: quick_transport().get_json(call(proxy.url)))

    assert type(error) is kind
    assert str(error).startswith(f"Sys: try it: {cause}")
    assert len(proxy.requests) == sent


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(NeverAnswer(), id="never answers"),
        pytest.param(Trickle(), id="trickles the body"),
        pytest.param(Trickle(is_head_too=True), id="trickles the headers"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_deadline_ends_every_call(proxy: FaultyProxy, fault: Fault, method: str) -> None:
    """A call that overstays is cut; the bound is generous because this machine may be busy, the fault lasts longer."""
    proxy.inject(fault)
    transport = quick_transport()
    begun = time.monotonic()

    if method == "GET":
        error = outcome(lambda: transport.get_json(call(proxy.url, seconds=SHORT_SECONDS)))
    else:
        error = outcome(lambda: transport.post(call(proxy.url, method="POST", seconds=SHORT_SECONDS)))

    if method == "GET" or fault != Trickle():
        assert isinstance(error, TransientUpstreamError)
        assert error.cause == "no complete answer in the time that this run has for it"
    assert time.monotonic() - begun < SHORT_SECONDS + 2


def test_refused_connection_is_named() -> None:
    with closed_port() as url:
        error = outcome(lambda: quick_transport().get_json(call(url, seconds=1)))

    assert str(error) == "Sys: try it: the connection was refused or the host cannot be reached"


def test_unknown_host_is_named() -> None:
    error = outcome(lambda: quick_transport().get_json(call("http://nowhere.invalid", seconds=1)))

    assert str(error) == "Sys: try it: the host name cannot be resolved"


def test_server_that_comes_back_is_reached_again(proxy: FaultyProxy) -> None:
    proxy.inject(Refuse(), nth=1)
    transport = quick_transport()

    refused = outcome(lambda: transport.post(call(proxy.url, method="POST")))
    proxy.come_up()

    assert isinstance(refused, TransientUpstreamError)
    assert transport.get_json(call(proxy.url)) == BODY


@pytest.mark.parametrize("fault", [pytest.param(gzipped(), id="gzip")])
def test_answer_encoded_unasked_is_understood(proxy: FaultyProxy, fault: Fault) -> None:
    proxy.inject(fault)

    assert quick_transport().get_json(call(proxy.url)) == BODY


def test_two_lengths_are_not_believed(proxy: FaultyProxy) -> None:
    proxy.inject(duplicate_content_length())

    assert isinstance(outcome(lambda: quick_transport().get_json(call(proxy.url))), UpstreamError)


def test_connection_that_broke_serves_no_other_request(proxy: FaultyProxy) -> None:
    proxy.inject(ResetInBody(after_bytes=40, is_reset=False), nth=range(1, 4))
    transport = quick_transport(connections=1)

    outcome(lambda: transport.get_json(call(proxy.url)))

    assert transport.get_json(call(proxy.url)) == BODY


@pytest.mark.parametrize("value", ABSURD_RETRY_AFTER)
@pytest.mark.parametrize("header", ["Retry-After", "RateLimit-Reset"])
def test_absurd_wait_neither_hangs_nor_breaks(proxy: FaultyProxy, header: str, value: str) -> None:
    proxy.inject(Instead(Answer(status=429, headers=((header, value),))), nth=1)

    error = outcome(lambda: quick_transport().get_json(call(proxy.url, seconds=3)))

    if value == "999999999":
        assert isinstance(error, PostponedError)
    else:
        assert error is None
        assert len(proxy.requests) == 2


def test_wait_that_a_429_asks_for_holds_for_every_other_request(proxy: FaultyProxy) -> None:
    proxy.inject(status(429, Retry_After="999999999"), nth=1)
    budget, transport = RequestBudget(10), quick_transport()

    errors = [
        outcome(lambda: transport.get_json(call(proxy.url, seconds=0.5, budgets=(budget,)))),
        outcome(lambda: transport.get_json(call(proxy.url, seconds=0.5, budgets=(budget,)))),
    ]

    assert [type(error) for error in errors] == [PostponedError, PostponedError]
    assert len(proxy.requests) == 1


def test_server_that_says_429_for_ever_is_left_alone(proxy: FaultyProxy) -> None:
    proxy.inject(status(429, Retry_After="0"))

    error = outcome(lambda: quick_transport().get_json(call(proxy.url)))

    assert type(error) is PostponedError
    assert len(proxy.requests) == 6


# --- POST


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        pytest.param(LoseAnswer(), TransientUpstreamError, id="answer lost"),
        pytest.param(status(500), TransientUpstreamError, id="500"),
        pytest.param(status(503, Retry_After="0"), TransientUpstreamError, id="503 with Retry-After"),
        pytest.param(status(400), PermanentUpstreamError, id="400"),
        pytest.param(status(403), PermanentUpstreamError, id="403"),
        pytest.param(redirect("http://elsewhere.invalid/", code=307), PermanentUpstreamError, id="redirect"),
    ],
)
def test_post_is_never_repeated_blindly(proxy: FaultyProxy, fault: Fault, kind: type[UpstreamError]) -> None:
    proxy.inject(fault)

    error = outcome(lambda: quick_transport().post(call(proxy.url, method="POST")))

    assert type(error) is kind
    assert len(proxy.requests) == 1


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Le"], ids=["one", "two"]
)
def test_success_whose_headers_broke_off_is_not_believed(proxy: FaultyProxy, head: bytes) -> None:
    proxy.inject(SendRaw(head))

    error = outcome(lambda: quick_transport().post(call(proxy.url, method="POST")))

    assert type(error) is TransientUpstreamError


def test_post_that_was_turned_away_unseen_is_sent_again(proxy: FaultyProxy) -> None:
    proxy.inject(status(429, Retry_After="0"), nth=1)

    quick_transport().post(call(proxy.url, method="POST"))

    assert len(proxy.requests) == 2


def test_wait_longer_than_the_run_has_postpones_a_post(proxy: FaultyProxy) -> None:
    proxy.inject(status(429, RateLimit_Reset="350", body={"detail": "Organization being synced"}))

    error = outcome(lambda: quick_transport().post(call(proxy.url, method="POST")))

    assert type(error) is PostponedError
    assert str(error) == (
        "Sys: try it: HTTP 429, and the wait it asks for (350 s) is longer than this run has: Organization being synced"
    )


def test_post_is_not_sent_without_a_place_in_the_budget(proxy: FaultyProxy) -> None:
    budget = RequestBudget(1)
    transport = quick_transport()
    transport.post(call(proxy.url, method="POST", budgets=(budget,)))

    error = outcome(lambda: transport.post(call(proxy.url, method="POST", budgets=(budget,), seconds=0.2)))

    assert type(error) is PostponedError
    assert len(proxy.requests) == 1
    assert budget.spent == 1


def test_post_that_is_not_confirmed_is_not_sent(proxy: FaultyProxy) -> None:
    def deny() -> None:
        raise PostponedError("Alertmanager", "confirm", "no longer wanted")

    error = outcome(lambda: quick_transport().post(call(proxy.url, method="POST", confirm=deny)))

    assert type(error) is PostponedError
    assert proxy.requests == []


# --- credentials


class RotatingSecret:
    """A store whose secret changes after the first reading."""

    def __init__(self, *values: str) -> None:
        self._values = list(values)

    def read(self) -> str:
        return self._values.pop(0) if len(self._values) > 1 else self._values[0]


@pytest.mark.parametrize("code", [401, 403])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_rotated_secret_is_read_again_after_a_refusal(proxy: FaultyProxy, code: int, method: str) -> None:
    proxy.inject(status(code), nth=1)
    auth = TokenAuth(Secret("s", RotatingSecret("old", "new").read))
    transport = quick_transport()

    if method == "GET":
        transport.get_json(call(proxy.url, authorizer=auth))
    else:
        transport.post(call(proxy.url, method="POST", authorizer=auth))

    assert [request.header("Authorization") for request in proxy.requests] == ["old", "new"]


def test_secret_that_did_not_change_is_not_tried_again(proxy: FaultyProxy) -> None:
    proxy.inject(status(403))
    auth = TokenAuth(Secret("s", RotatingSecret("same").read))

    error = outcome(lambda: quick_transport().get_json(call(proxy.url, authorizer=auth)))

    assert isinstance(error, PermanentUpstreamError)
    assert len(proxy.requests) == 1


@pytest.mark.parametrize(
    ("scheme", "fault"),
    [
        pytest.param("", status(403, body={"detail": f"your token {TOKEN} is not good"}), id="echoed"),
        pytest.param("Bearer", status(500, body={"detail": f"Bearer {TOKEN}"}), id="echoed with scheme"),
        pytest.param("Bearer", status(429, body={"detail": TOKEN}, Retry_After="99"), id="echoed in a 429"),
        pytest.param("", status(400, body=TOKEN), id="the whole body"),
        pytest.param("", html_instead(500), id="HTML"),
        pytest.param("", Instead(Answer(status=404, body=TOKEN.encode())), id="not JSON"),
    ],
)
def test_token_never_stands_in_an_error(proxy: FaultyProxy, scheme: str, fault: Fault) -> None:
    proxy.inject(fault)
    auth = TokenAuth(Secret("s", lambda: TOKEN), scheme=scheme)

    error = outcome(lambda: quick_transport().get_json(call(proxy.url, authorizer=auth)))

    assert error is not None
    assert TOKEN not in str(error)
    assert TOKEN not in repr(error.__cause__) + repr(error.__context__)


def test_url_never_stands_in_an_error() -> None:
    """An integration's URL is a secret."""
    with closed_port() as url:
        error = outcome(lambda: quick_transport().post(call(f"{url}/secret-key", method="POST")))

    assert error is not None
    assert "secret-key" not in str(error)
    assert error.__suppress_context__


def test_redirect_is_not_followed_with_the_token(proxy: FaultyProxy) -> None:
    with FaultyProxy(proxy.url) as elsewhere:
        elsewhere.inject(json_instead(BODY))
        proxy.inject(redirect(elsewhere.url))

        outcome(lambda: quick_transport().get_json(call(proxy.url, authorizer=TokenAuth(Secret("s", lambda: TOKEN)))))

        assert elsewhere.requests == []
