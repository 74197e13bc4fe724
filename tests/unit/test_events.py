"""What starts the function: which kind of event it is, what it asks for, and what is said when it asks for nonsense."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alert_sync.errors import EventError
from alert_sync.events import HttpRequest, RunOptions, http_options, parse_event
from alert_sync.report import Trigger

ALICE = "arn:aws:sts::123456789012:assumed-role/on-call/alice"
JOB_ID = "20261121T030000.000Z-0123456789ab"
SAMPLES = Path(__file__).parents[2] / "events"
EXPECTED = "expected an EventBridge schedule, an API Gateway HTTP API request (payload 2.0), or {dry_run, force}"

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
event_like = st.dictionaries(
    st.sampled_from(["source", "requestContext", "rawPath", "queryStringParameters", "body", "dry_run", "force", "x"]),
    st.sampled_from(["aws.events", {"http": {}}, {"http": None}, {"http": {"method": "GET", "path": "/"}}, {"a": 1}])
    | json_values,
)


def sample(name: str) -> Any:
    return json.loads((SAMPLES / f"{name}.json").read_text(encoding="utf-8"))


def http_event(**changes: Any) -> dict[str, Any]:
    """A request as API Gateway's HTTP API hands it over, cut to what is read."""
    return {"rawPath": "/reconcile", "requestContext": {"http": {"method": "POST", "path": "/reconcile"}}, **changes}


def fault_of(event: Any) -> str:
    with pytest.raises(EventError) as caught:
        parse_event(event)
    return str(caught.value)


def option_fault_of(request: HttpRequest) -> str:
    with pytest.raises(EventError) as caught:
        http_options(request)
    return str(caught.value)


# --- which kind


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("scheduled", RunOptions(trigger=Trigger.SCHEDULE)),
        ("scheduled_rule", RunOptions(trigger=Trigger.SCHEDULE)),
        ("manual", RunOptions(trigger=Trigger.INVOKE)),
        ("manual_dry_run", RunOptions(trigger=Trigger.INVOKE, dry_run=True)),
        ("manual_force", RunOptions(trigger=Trigger.INVOKE, force=True)),
        ("http_reconcile", HttpRequest(method="POST", path="/reconcile", caller=ALICE)),
        ("http_dry_run", HttpRequest(method="POST", path="/reconcile", query={"dry_run": "true"}, caller=ALICE)),
        ("http_healthz", HttpRequest(method="GET", path="/healthz")),
        ("http_readyz", HttpRequest(method="GET", path="/readyz", caller=ALICE)),
        (
            "http_mismatches",
            HttpRequest(
                method="GET",
                path="/reconciliation/mismatches",
                query={"resolution_status": "PENDING", "limit": "20"},
                caller=ALICE,
            ),
        ),
        (
            "http_resolve_mismatch",
            HttpRequest(
                method="POST",
                path="/reconciliation/mismatches/20261121T100500.123Z-5f0c2d9a41b7/resolve",
                body='{"resolution_status": "IGNORED", "resolution_notes": "the rule is being rewritten"}',
                caller=ALICE,
            ),
        ),
        (
            "http_trigger",
            HttpRequest(method="POST", path="/reconciliation/trigger", body='{"dry_run": true}', caller=ALICE),
        ),
        ("wake_up", RunOptions(trigger=Trigger.SCHEDULE)),
    ],
)
def test_each_sample_event_is_understood(name: str, meaning: RunOptions | HttpRequest) -> None:
    assert parse_event(sample(name)) == meaning


def test_no_sample_event_is_left_out() -> None:
    assert {path.stem for path in SAMPLES.glob("*.json")} == {
        "scheduled",
        "scheduled_rule",
        "manual",
        "manual_dry_run",
        "manual_force",
        "http_reconcile",
        "http_dry_run",
        "http_healthz",
        "http_readyz",
        "http_mismatches",
        "http_resolve_mismatch",
        "http_trigger",
        "wake_up",
    }


@pytest.mark.parametrize(
    ("event", "type_name"), [(None, "NoneType"), ([], "list"), ("{}", "str"), (1, "int"), (True, "bool")]
)
def test_event_that_is_no_object_is_refused(event: Any, type_name: str) -> None:
    assert fault_of(event) == f"the event must be a JSON object, not {type_name}; {EXPECTED}"


@given(json_values | event_like)
def test_any_event_is_understood_or_refused(event: Any) -> None:
    try:
        meaning = parse_event(event)
        if isinstance(meaning, HttpRequest):
            meaning = http_options(meaning)
    except EventError:
        return

    assert isinstance(meaning, RunOptions)


# --- schedules


@pytest.mark.parametrize("name", ["dry_run", "force"])
def test_option_inside_a_scheduled_event_is_refused_instead_of_ignored(name: str) -> None:
    event = {**sample("scheduled"), name: True}

    assert fault_of(event) == f'{name} has no effect in a scheduled event: send {{"{name}": true}} alone'


# --- plain objects


@pytest.mark.parametrize(
    ("event", "options"),
    [
        pytest.param({"dry_run": False, "force": False}, RunOptions(trigger=Trigger.INVOKE), id="both false"),
        pytest.param(
            {"dry_run": True, "force": True}, RunOptions(trigger=Trigger.INVOKE, dry_run=True, force=True), id="both"
        ),
    ],
)
def test_plain_object_asks_for_a_run(event: Any, options: RunOptions) -> None:
    assert parse_event(event) == options


@pytest.mark.parametrize("more", [{}, {"dry_run": True, "force": False}], ids=["alone", "with options"])
def test_job_that_a_request_has_queued_is_a_run_of_http(more: dict[str, bool]) -> None:
    expected = RunOptions(trigger=Trigger.HTTP, job_id=JOB_ID, dry_run=bool(more), force=False)

    assert parse_event({"job_id": JOB_ID, **more}) == expected


@pytest.mark.parametrize(
    "job_id",
    ["", "x", JOB_ID.upper(), JOB_ID + "0", JOB_ID + "\n", JOB_ID.replace("0", "٠"), None, 1, [JOB_ID]],
    ids=["empty", "text", "capitals", "longer", "two lines", "other digits", "null", "number", "list"],
)
def test_malformed_id_of_a_job_is_refused(job_id: object) -> None:
    fault = fault_of({"job_id": job_id})

    assert fault == "job_id must be the id of a job that POST /reconciliation/trigger has queued"


@pytest.mark.parametrize(
    ("event", "key"),
    [
        pytest.param({"dryrun": True}, "'dryrun'", id="misspelled"),
        pytest.param({"dry_run": True, "DRY_RUN": True}, "'DRY_RUN'", id="one right, one wrong"),
        pytest.param({"Records": [{"eventSource": "aws:sqs"}]}, "'Records'", id="another service"),
        pytest.param({"source": "aws.ec2", "detail": {}}, "'source'", id="another event of EventBridge"),
        pytest.param({"source": ["aws.events"]}, "'source'", id="source of another type"),
        pytest.param({"httpMethod": "GET", "requestContext": {}}, "'httpMethod'", id="payload format 1.0"),
        pytest.param({"requestContext": "http"}, "'requestContext'", id="context of another type"),
        pytest.param({"x" * 100: True}, f"'{'x' * 60}'", id="endless"),
    ],
)
def test_unknown_key_is_named(event: Any, key: str) -> None:
    assert fault_of(event) == f"unknown key {key} in the event; {EXPECTED}"


@pytest.mark.parametrize(
    ("value", "type_name"),
    [("true", "str"), (1, "int"), (0, "int"), (None, "NoneType"), ([], "list")],
)
@pytest.mark.parametrize("name", ["dry_run", "force"])
def test_option_of_another_type_is_named(name: str, value: Any, type_name: str) -> None:
    assert fault_of({name: value}) == f"{name} must be true or false, not {type_name}"


# --- requests


@pytest.mark.parametrize(
    ("event", "request_"),
    [
        pytest.param(
            http_event(requestContext={"http": {"method": "post", "path": "/x"}}),
            HttpRequest(method="POST", path="/reconcile"),
            id="method in small letters",
        ),
        pytest.param(
            {"requestContext": {"http": {"method": "GET", "path": "/healthz"}}},
            HttpRequest(method="GET", path="/healthz"),
            id="no rawPath",
        ),
        pytest.param(http_event(rawPath="/reconcile/"), HttpRequest(method="POST", path="/reconcile"), id="slash"),
        pytest.param(http_event(rawPath="/"), HttpRequest(method="POST", path="/"), id="root"),
        pytest.param(
            http_event(queryStringParameters=None), HttpRequest(method="POST", path="/reconcile"), id="null query"
        ),
        pytest.param(http_event(body=None), HttpRequest(method="POST", path="/reconcile"), id="null body"),
        pytest.param(http_event(body=""), HttpRequest(method="POST", path="/reconcile"), id="empty body"),
        pytest.param(
            http_event(body='{"kinds": []}'),
            HttpRequest(method="POST", path="/reconcile", body='{"kinds": []}'),
            id="body",
        ),
        pytest.param(
            http_event(body="eyJhIjogIsOkIn0=", isBase64Encoded=True),
            HttpRequest(method="POST", path="/reconcile", body='{"a": "ä"}'),
            id="body in base64",
        ),
        pytest.param(
            http_event(body="/w==", isBase64Encoded=True),
            HttpRequest(method="POST", path="/reconcile", body="\udcff"),
            id="body that is no UTF-8",
        ),
    ],
)
def test_request_is_read(event: Any, request_: HttpRequest) -> None:
    assert parse_event(event) == request_


@pytest.mark.parametrize("body", ["", "{}", "e30="])
def test_body_that_says_nothing_is_none(body: str) -> None:
    request = parse_event(http_event(body=body, isBase64Encoded=body == "e30="))

    assert isinstance(request, HttpRequest)
    assert not request.has_body


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ({"body": {"a": 1}}, "body of the API Gateway event must be a text, not dict"),
        ({"body": "ä", "isBase64Encoded": True}, "body of the API Gateway event is not the base64 that it says it is"),
        (
            {"body": "e30", "isBase64Encoded": True},
            "body of the API Gateway event is not the base64 that it says it is",
        ),
    ],
    ids=["object", "no ASCII", "cut off"],
)
def test_body_that_no_gateway_sends_is_refused(more: dict[str, Any], fault: str) -> None:
    assert fault_of(http_event(**more)) == fault


@pytest.mark.parametrize(
    ("context", "caller"),
    [
        pytest.param({"authorizer": {"iam": {"userArn": ALICE}}}, ALICE, id="signed"),
        pytest.param({"authorizer": {"iam": {"userArn": "a\nb" * 200}}}, ("a b" * 100)[:299] + "…", id="endless"),
        pytest.param({"authorizer": {"iam": {"userArn": None}}}, "", id="null"),
        pytest.param({"authorizer": {"iam": None}}, "", id="no identity"),
        pytest.param({"authorizer": {"jwt": {"claims": {}}}}, "", id="another authorizer"),
        pytest.param({"authorizer": "iam"}, "", id="text"),
        pytest.param({}, "", id="not signed"),
    ],
)
def test_caller_is_whoever_signed(context: dict[str, Any], caller: str) -> None:
    request = parse_event({"requestContext": {"http": {"method": "GET", "path": "/"}, **context}})

    assert request == HttpRequest(method="GET", path="/", caller=caller)


@pytest.mark.parametrize(
    "http", [{}, {"path": "/reconcile"}, None, [], "POST"], ids=["empty", "no method", "null", "list", "text"]
)
def test_request_without_its_method_is_refused(http: Any) -> None:
    event = {"rawPath": "/reconcile", "requestContext": {"http": http}}

    assert fault_of(event) == "the API Gateway event lacks requestContext.http.method or rawPath"


@pytest.mark.parametrize(
    "query",
    [
        pytest.param(["dry_run"], id="list"),
        pytest.param("dry_run=true", id="text"),
        pytest.param({"dry_run": True}, id="of a boolean"),
        pytest.param({"dry_run": ["true"]}, id="of a list"),
        pytest.param({"dry_run": None}, id="of null"),
    ],
)
def test_query_that_no_gateway_sends_is_refused(query: Any) -> None:
    fault = fault_of(http_event(queryStringParameters=query))

    assert fault == "queryStringParameters of the API Gateway event must be an object of texts"


@pytest.mark.parametrize(
    ("query", "options"),
    [
        pytest.param({}, RunOptions(trigger=Trigger.HTTP), id="nothing"),
        pytest.param({"dry_run": "true"}, RunOptions(trigger=Trigger.HTTP, dry_run=True), id="dry run"),
        pytest.param({"dry_run": "false", "force": "true"}, RunOptions(trigger=Trigger.HTTP, force=True), id="forced"),
    ],
)
def test_query_asks_for_a_run(query: dict[str, str], options: RunOptions) -> None:
    assert http_options(HttpRequest(method="POST", path="/reconcile", query=query)) == options


@pytest.mark.parametrize(
    ("query", "fault"),
    [
        pytest.param({"dry": "true"}, "unknown query parameter 'dry'; there are dry_run and force", id="unknown"),
        pytest.param({"Force": "true"}, "unknown query parameter 'Force'; there are dry_run and force", id="capitals"),
        pytest.param({"dry_run": "1"}, "query parameter dry_run must be true or false, not '1'", id="number"),
        pytest.param({"dry_run": "True"}, "query parameter dry_run must be true or false, not 'True'", id="Python"),
        pytest.param({"force": ""}, "query parameter force must be true or false, not ''", id="empty"),
        pytest.param(
            {"force": "true,false"}, "query parameter force must be true or false, not 'true,false'", id="twice"
        ),
        pytest.param(
            {"force": "x" * 100}, f"query parameter force must be true or false, not '{'x' * 60}'", id="endless"
        ),
    ],
)
def test_query_parameter_that_makes_no_sense_is_named(query: dict[str, str], fault: str) -> None:
    assert option_fault_of(HttpRequest(method="POST", path="/reconcile", query=query)) == fault


def test_body_is_refused_because_nobody_would_read_it() -> None:
    request = HttpRequest(method="POST", path="/reconcile", body='{"dry_run": true}')

    assert option_fault_of(request) == "the request must have no body: dry_run and force are query parameters"
