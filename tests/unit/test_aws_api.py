"""Any AWS service over loopback: where and how it is called, what is repeated, and what its refusals become."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

import pytest

from alert_sync.aws_api import ATTEMPTS, AwsApi, Sendings, aws_code, cancellation_reasons
from alert_sync.deadline import Deadline
from alert_sync.errors import (
    ConfigurationError,
    ContractError,
    PermanentUpstreamError,
    PostponedError,
    TransientUpstreamError,
    UnsentError,
    UpstreamError,
)
from alert_sync.http_transport import HttpTransport
from tests.support.aws_answers import AwsAnswers, ok, refusal
from tests.support.loopback_http import Answer

DENIAL = "User: arn:aws:sts::1:assumed-role/r is not authorized to perform: dynamodb:GetItem\non resource: t"
Serve = Callable[..., AwsAnswers]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Start a service that gives these answers, and point this process at it."""
    with ExitStack() as running:

        def start(*answers: Answer | None) -> AwsAnswers:
            server = running.enter_context(AwsAnswers(answers))
            server.point_here(monkeypatch)
            return server

        yield start


def api(service: str = "dynamodb", *, name: str = "Amazon DynamoDB", target: str = "DynamoDB_20120810") -> AwsApi:
    return AwsApi(service, HttpTransport(backoff_seconds=0.001), name=name, target=target)


def call(operation: str = "GetItem", *, seconds: float = 10.0, sendings: Sendings | None = None) -> dict[str, object]:
    return api().call(operation, {"a": 1}, Deadline(seconds), what="read table t", sendings=sendings)


def request(method: str = "POST", body: dict[str, object] | None = None, **headers: str) -> None:
    scheduler = api("scheduler", name="Amazon EventBridge Scheduler", target="")
    scheduler.request(method, "/schedules/s?x=1", body or {}, Deadline(10.0), what="make schedule s", headers=headers)


def failure(ask: Callable[[], object]) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        ask()
    return caught.value


def shown(error: UpstreamError) -> tuple[type[UpstreamError], int | None, str]:
    return type(error), error.status, str(error)


# --- what is sent


def test_operation_is_called_by_its_target(serve: Serve) -> None:
    server = serve(ok({"Item": {}}))

    answer = call()

    (asked,) = server.requests
    assert (answer, server.bodies) == ({"Item": {}}, [{"a": 1}])
    assert (asked.method, asked.target, asked.header("X-Amz-Target"), asked.header("Content-Type")) == (
        "POST",
        "/",
        "DynamoDB_20120810.GetItem",
        "application/x-amz-json-1.0",
    )
    signed = asked.header("Authorization") or ""
    assert "/eu-west-1/dynamodb/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-target," in signed


def test_json_version_is_in_the_content_type(serve: Serve) -> None:
    server = serve(ok({}))

    events = AwsApi("events", HttpTransport(), name="Amazon EventBridge", target="AWSEvents", json_version="1.1")
    events.call("PutEvents", {}, Deadline(5.0), what="put events")

    assert server.requests[0].header("Content-Type") == "application/x-amz-json-1.1"


@pytest.mark.parametrize(
    ("method", "body", "sent"),
    [
        ("POST", {"a": 1}, {"a": 1}),
        ("PUT", {}, {}),
        ("DELETE", {}, None),
    ],
)
def test_service_with_paths_is_called_by_method_and_path(
    method: str, body: dict[str, object], sent: object, serve: Serve
) -> None:
    server = serve(Answer(status=200, body=b"not JSON, and nobody reads it"))

    request(method, body, **{"X-Amz-Invocation-Type": "Event"})

    (asked,) = server.requests
    assert (asked.method, asked.target, server.bodies) == (method, "/schedules/s?x=1", [sent])
    assert asked.header("X-Amz-Invocation-Type") == "Event"
    assert "SignedHeaders=host;x-amz-date;x-amz-invocation-type," in (asked.header("Authorization") or "")


@pytest.mark.parametrize(
    ("service", "variable"),
    [
        ("dynamodb", "AWS_ENDPOINT_URL_DYNAMODB"),
        ("scheduler", "AWS_ENDPOINT_URL_SCHEDULER"),
        ("events", "AWS_ENDPOINT_URL_EVENTBRIDGE"),
        ("secretsmanager", "AWS_ENDPOINT_URL_SECRETS_MANAGER"),
    ],
)
def test_endpoint_of_the_service_goes_before_that_of_all(
    service: str, variable: str, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, other = serve(ok({})), serve(ok({}))
    monkeypatch.setenv(variable, f"{wanted.url}/")

    api(service).call("Any", {}, Deadline(5.0), what="any")

    assert ([each.target for each in wanted.requests], other.requests) == (["/"], [])


@pytest.mark.parametrize(
    ("region", "address"),
    [
        ("eu-west-1", "https://events.eu-west-1.amazonaws.com"),
        ("cn-north-1", "https://events.cn-north-1.amazonaws.com.cn"),
    ],
)
def test_endpoint_is_else_that_of_the_region(region: str, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", region)

    assert api("events")._endpoint() == address  # noqa: SLF001 - no request may leave this machine


def test_process_without_a_region_names_the_variable() -> None:
    with pytest.raises(ConfigurationError, match=r"^AWS_DEFAULT_REGION is not set$"):
        call()
    with pytest.raises(ConfigurationError, match=r"^AWS_DEFAULT_REGION is not set$"):
        request()


def test_process_without_credentials_sends_nothing(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(ok({}))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")

    error = failure(call)

    assert shown(error) == (UnsentError, None, "Amazon DynamoDB: read table t: there are no AWS credentials")
    assert server.requests == []


# --- what is repeated

HEALING = (
    refusal("ProvisionedThroughputExceededException"),
    refusal("ThrottlingException"),
    refusal("RequestLimitExceeded"),
    refusal("TransactionInProgressException"),
    refusal("TransactionConflictException"),
    refusal("InternalServerError", status=500),
    refusal("TransactionCanceledException", CancellationReasons=[{"Code": "None"}, {"Code": "TransactionConflict"}]),
    Answer(status=503, body=b"<html>"),
    None,
)


@pytest.mark.parametrize("first", HEALING, ids=lambda answer: answer.body.decode()[:60] if answer else "lost")
def test_call_is_repeated_after_what_may_heal(first: Answer | None, serve: Serve) -> None:
    server, sendings = serve(first, first, ok({"done": True})), Sendings()

    answer = call(sendings=sendings)

    assert (answer, server.bodies, sendings.number) == ({"done": True}, [{"a": 1}] * 3, 3)


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (refusal("ThrottlingException", message="slow down"), "ThrottlingException"),
        (refusal("AnythingElse", status=500), "HTTP 500"),
        (None, "the connection broke off before the answer was complete"),
        (
            refusal("TransactionCanceledException", CancellationReasons=[{"Code": "TransactionConflict"}, {}]),
            "TransactionCanceledException (TransactionConflict)",
        ),
    ],
)
def test_call_that_does_not_heal_is_given_up(answer: Answer | None, cause: str, serve: Serve) -> None:
    server = serve(answer)

    error = failure(call)

    assert (type(error), str(error)) == (TransientUpstreamError, f"Amazon DynamoDB: read table t: {cause}")
    assert len(server.requests) == ATTEMPTS


def test_call_is_not_repeated_beyond_the_deadline(serve: Serve) -> None:
    server = serve(refusal("ThrottlingException"))
    slow = AwsApi("dynamodb", HttpTransport(backoff_seconds=30.0), name="Amazon DynamoDB", target="t")

    error = failure(lambda: slow.call("GetItem", {}, Deadline(5.0), what="read table t"))

    assert (type(error), len(server.requests)) == (TransientUpstreamError, 1)


@pytest.mark.parametrize("answer", [refusal("ThrottlingException"), None, refusal("X", status=503)])
def test_request_is_sent_once(answer: Answer | None, serve: Serve) -> None:
    server = serve(answer, ok({}))

    error = failure(request)

    assert (type(error), len(server.requests)) == (TransientUpstreamError, 1)


def test_call_that_was_never_answered_but_with_429_did_not_happen(serve: Serve) -> None:
    serve(Answer(status=429, headers=(("Retry-After", "100"),)))

    error = failure(call)

    cause = "HTTP 429, and the wait it asks for (100 s) is longer than this run has"
    assert shown(error) == (PostponedError, 429, f"Amazon DynamoDB: read table t: {cause}")


def test_call_that_was_answered_with_429_only_later_may_have_happened(serve: Serve) -> None:
    serve(None, Answer(status=429, headers=(("Retry-After", "100"),)))

    error = failure(call)

    asked = "HTTP 429, and the wait it asks for (100 s) is longer than this run has"
    cause = f"{asked}; it was sent before, and may have happened"
    assert shown(error) == (TransientUpstreamError, 429, f"Amazon DynamoDB: read table t: {cause}")


def test_call_after_the_deadline_is_not_sent(serve: Serve) -> None:
    server = serve(ok({}))

    error = failure(lambda: call(seconds=0.0))

    assert (type(error), server.requests) == (PostponedError, [])


# --- what a refusal becomes


@pytest.mark.parametrize(
    ("operation", "answer", "cause"),
    [
        pytest.param(
            "GetItem",
            refusal("AccessDeniedException"),
            "AccessDeniedException: may this function's role do this (dynamodb:GetItem)?",
            id="denied",
        ),
        pytest.param(
            "GetItem",
            refusal("AccessDeniedException", Message=DENIAL),
            "AccessDeniedException: may this function's role do this (dynamodb:GetItem)? "
            f"{DENIAL.replace(chr(10), ' ')}",
            id="denied-and-aws-says-why",
        ),
        pytest.param(
            "TransactWriteItems",
            refusal("KMSAccessDeniedException"),
            "KMSAccessDeniedException: may this function's role do this "
            "(dynamodb:PutItem, DeleteItem, ConditionCheckItem)?",
            id="transaction-denied",
        ),
        pytest.param(
            "Query",
            refusal("ValidationException", message="Item size \x1b[31mhas exceeded " + "x" * 1000),
            "ValidationException: Item size [31mhas exceeded " + "x" * 372 + "…",
            id="invalid-bounded",
        ),
        pytest.param(
            "Query",
            refusal("InvalidSignatureException", message="'x-amz-security-token:t0k3n'"),
            "InvalidSignatureException",
            id="what-may-hold-a-token-is-not-shown",
        ),
        pytest.param(
            "TransactWriteItems",
            refusal(
                "TransactionCanceledException",
                CancellationReasons=[{"Code": "ValidationError"}, {"Code": "TransactionConflict"}, {"Code": "None"}],
            ),
            "TransactionCanceledException (TransactionConflict, ValidationError)",
            id="cancelled-for-good",
        ),
        pytest.param(
            "TransactWriteItems",
            refusal("TransactionCanceledException"),
            "TransactionCanceledException",
            id="cancelled-without-reasons",
        ),
        pytest.param("Query", Answer(status=400, body=b"[]"), "HTTP 400", id="without-a-name"),
        pytest.param("Query", Answer(status=404, body=b"<html>"), "HTTP 404", id="not-json"),
    ],
)
def test_refusal_is_not_repeated_and_says(operation: str, answer: Answer, cause: str, serve: Serve) -> None:
    server = serve(answer)

    error = failure(lambda: call(operation))

    assert shown(error) == (PermanentUpstreamError, answer.status, f"Amazon DynamoDB: read table t: {cause}")
    assert len(server.requests) == 1


def test_refusal_of_a_service_with_paths_names_what_aws_names(serve: Serve) -> None:
    headers = (("x-amzn-ErrorType", "AccessDeniedException:http://internal.amazon.com/coral/"),)
    serve(
        Answer(status=403, headers=headers, body=b'{"Message": "not authorized to perform: scheduler:CreateSchedule"}')
    )

    assert shown(failure(request)) == (
        PermanentUpstreamError,
        403,
        (
            "Amazon EventBridge Scheduler: make schedule s: AccessDeniedException: may this function's role do this? "
            "not authorized to perform: scheduler:CreateSchedule"
        ),
    )


@pytest.mark.parametrize(
    ("headers", "body", "code"),
    [
        (
            (),
            b'{"__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException"}',
            "ConditionalCheckFailed",
        ),
        ((), b'{"__type": "ConditionalCheckFailedException"}', "ConditionalCheckFailed"),
        ((), b'{"code": "ConditionalCheckFailedException"}', "ConditionalCheckFailed"),
        ((("X-Amzn-Errortype", "ConditionalCheckFailedException"),), b"", "ConditionalCheckFailed"),
        ((("x-amzn-errortype", "ConditionalCheckFailedException:http://x/"),), b"{}", "ConditionalCheckFailed"),
    ],
)
def test_code_of_an_error_is_found_where_aws_puts_it(
    headers: Sequence[tuple[str, str]], body: bytes, code: str, serve: Serve
) -> None:
    serve(Answer(status=400, headers=tuple(headers), body=body))

    assert aws_code(failure(call)) == f"{code}Exception"


def test_error_without_an_answer_has_no_code() -> None:
    error = TransientUpstreamError("Amazon DynamoDB", "read", "lost")

    assert (aws_code(error), cancellation_reasons(error)) == ("", ())


def test_reasons_of_a_cancelled_transaction_are_in_the_order_of_its_writes(serve: Serve) -> None:
    reasons = [{"Code": "None"}, {"Code": "ConditionalCheckFailed", "Message": "m"}, "nonsense"]
    serve(refusal("TransactionCanceledException", CancellationReasons=reasons))

    error = failure(call)

    assert cancellation_reasons(error) == ("None", "ConditionalCheckFailed", "None")


def test_refused_answer_is_for_the_program_only(serve: Serve) -> None:
    serve(refusal("SomethingException", Item={"token": {"S": "t0k3n"}}))

    error = failure(call)

    assert error.answer["Item"] == {"token": {"S": "t0k3n"}}
    assert "t0k3n" not in f"{error} {error!r} {error.__cause__} {error.__cause__!r}"


@pytest.mark.parametrize("body", [b"[]", b'"text"', b"null"])
def test_answer_that_is_no_object_is_not_what_was_asked_for(body: bytes, serve: Serve) -> None:
    serve(Answer(status=200, body=body))

    error = failure(call)

    assert shown(error) == (ContractError, None, "Amazon DynamoDB: read table t: the answer is not a JSON object")
