"""Requests that make no sense: each is refused with one bounded sentence, before anything is read or started."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alert_sync.asking.answers import Answer
from alert_sync.asking.dispatch import answer
from alert_sync.asking.routes import ROUTES
from alert_sync.events import HttpRequest
from tests.support.asking import Function, Memories, a_request, an_id

JOBS = "/reconciliation/jobs"
MISMATCHES = "/reconciliation/mismatches"
AUDIT = "/reconciliation/audit"
TRIGGER = "/reconciliation/trigger"
ID = an_id()
RESOLVE = f"{MISMATCHES}/{ID}/resolve"

LIMIT = "query parameter limit must be a whole number from 1 to 100, not"
CURSOR = "query parameter cursor must be the next_cursor of an earlier answer, not"
TIME = "must be a date, or a time with its offset, like 2026-01-02 or 2026-01-02T03:04:05Z, not"
AN_ID = "must be an id like 20260102T030405.678Z-0123456789ab, not"
ALERT_GROUP_ID = "alert_group_id must be the id of an alert group like I68T24C13IFW1, not"
WHO = "query parameter who must be a text of 1 to 300 characters without control characters, not"
STATUSES = "PENDING, AUTO_RESOLVED, MANUAL_RESOLVED, IGNORED"
STATUS = f"resolution_status in the body must be one of {STATUSES}, not"
NOTES = (
    "resolution_notes in the body must be a text of at most 1000 characters, "
    "without control characters but newlines and tabs, not"
)
NO_JSON = "the body must be JSON in UTF-8"
KEYS = "there are kinds, dry_run, force"


def refused(method: str, path: str, **more: object) -> Answer:
    """The answer, which was given without looking anything up."""
    memories = Memories()
    function = Function(memories=memories)
    found = answer(a_request(method, path, **more), function)
    assert (memories.asked, function.started, function.explained) == ([], [], [])
    return found


def said(code: str, message: str) -> tuple[int, object]:
    return 400, {"error": code, "message": message}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("limit", "0", f"{LIMIT} 0"),
        ("limit", "101", f"{LIMIT} 101"),
        ("limit", "-1", f"{LIMIT} -1"),
        ("limit", "ten", f"{LIMIT} 'ten'"),
        ("limit", "1.0", f"{LIMIT} '1.0'"),
        ("limit", " 1", f"{LIMIT} ' 1'"),
        ("limit", "٣", f"{LIMIT} '٣'"),
        ("limit", "", f"{LIMIT} ''"),
        ("limit", "9" * 5000, f"{LIMIT} '{'9' * 60}'"),
        ("cursor", "", f"{CURSOR} ''"),
        ("cursor", "A", f"{CURSOR} 'A'"),
        ("cursor", "abc", f"{CURSOR} 'abc'"),
        ("cursor", "aGVsbG8", f"{CURSOR} 'aGVsbG8'"),
        ("cursor", "_____w", f"{CURSOR} '_____w'"),
        ("cursor", "x" * 65, f"{CURSOR} '{'x' * 60}'"),
        ("from_date", "yesterday", f"query parameter from_date {TIME} 'yesterday'"),
        ("from_date", "2026-02-30", f"query parameter from_date {TIME} '2026-02-30'"),
        ("to_date", "2026-11-21T03:00:00", f"query parameter to_date {TIME} '2026-11-21T03:00:00'"),
        ("to_date", "0001-01-01", f"query parameter to_date {TIME} '0001-01-01'"),
        ("kind", "x" * 100, f"query parameter kind must be alert-sync, not '{'x' * 60}'"),
        ("type", "unknown", "query parameter type must be one of silenced, gone, missing, firing, not 'unknown'"),
        ("resolution_status", "pending", f"query parameter resolution_status must be one of {STATUSES}, not 'pending'"),
        ("alert_group_id", "I1/x", f"query parameter {ALERT_GROUP_ID} 'I1/x'"),
        ("job_id", "x", f"query parameter job_id {AN_ID} 'x'"),
        ("job_id", f"{ID},{ID}", f"query parameter job_id {AN_ID} '{ID},{ID[:26]}'"),
    ],
)
def test_parameter_that_makes_no_sense_is_named(name: str, text: str, message: str) -> None:
    found = refused("GET", MISMATCHES, query={name: text})

    assert (found.status, json.loads(found.text)) == said("INVALID_PARAMETER", message)


@pytest.mark.parametrize("text", ["", "a\nb", "x" * 301])
def test_text_to_look_for_is_bounded_and_has_one_line(text: str) -> None:
    found = refused("GET", AUDIT, query={"who": text})

    assert (found.status, json.loads(found.text)) == said("INVALID_PARAMETER", f"{WHO} {text[:60]!r}")


@pytest.mark.parametrize(
    ("path", "name", "known"),
    [
        (JOBS, "state", "there are status, kind, from_date, to_date, limit, cursor"),
        (JOBS, "job_id", "there are status, kind, from_date, to_date, limit, cursor"),
        (JOBS, "Limit", "there are status, kind, from_date, to_date, limit, cursor"),
        ("/metrics", "x" * 100, "there are none"),
        (f"{JOBS}/{ID}", "job_id", "there are none"),
    ],
)
def test_unknown_parameter_is_named_with_those_there_are(path: str, name: str, known: str) -> None:
    found = refused("GET", path, query={name: "1"})

    message = f"unknown query parameter {name[:60]!r}; {known}"
    assert (found.status, json.loads(found.text)) == said("INVALID_PARAMETER", message)


@pytest.mark.parametrize("text", ["x", f"{ID}%0A", f"{ID}\n", "users; DROP TABLE x", "x" * 5000])
def test_malformed_id_in_the_path_is_refused(text: str) -> None:
    found = refused("GET", f"{MISMATCHES}/{text}")

    message = f"mismatch_id {AN_ID} {text[:60]!r}"
    assert (found.status, json.loads(found.text)) == said("INVALID_PARAMETER", message)


def test_malformed_id_of_an_alert_group_is_refused() -> None:
    found = refused("GET", "/explain/..%2Fusers")

    assert (found.status, json.loads(found.text)) == said("INVALID_PARAMETER", f"{ALERT_GROUP_ID} '..%2Fusers'")


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        (TRIGGER, "[]", "the body must be an object, not a list"),
        (TRIGGER, "null", "the body must be an object, not null"),
        (TRIGGER, "1.5", "the body must be an object, not that number"),
        (TRIGGER, "1" * 100, "the body must be an object, not that number"),
        (TRIGGER, "1" * 5000, NO_JSON),
        (TRIGGER, "{", NO_JSON),
        (TRIGGER, "[" * 5000, NO_JSON),
        (TRIGGER, '{"force": NaN}', NO_JSON),
        (TRIGGER, '{"kinds": ["\\ud800"]}', NO_JSON),
        (TRIGGER, '{"kinds": ["\udcff"]}', NO_JSON),
        (TRIGGER, " " * 16_385, "the body must have at most 16384 characters"),
        (TRIGGER, '{"tables": []}', f"the body has an unknown key 'tables'; {KEYS}"),
        (TRIGGER, json.dumps({"x" * 100: 1}), f"the body has an unknown key '{'x' * 60}'; {KEYS}"),
        (TRIGGER, '{"force": 1}', "force in the body must be true or false, not 1"),
        (TRIGGER, '{"force": "true"}', "force in the body must be true or false, not 'true'"),
        (TRIGGER, '{"force": null}', "force in the body must be true or false, not null"),
        (TRIGGER, '{"kinds": "alert-sync"}', "kinds in the body must be a list, not 'alert-sync'"),
        (
            TRIGGER,
            '{"kinds": [1]}',
            "each entry of kinds in the body must be a kind of reconciliation: alert-sync, not 1",
        ),
        (TRIGGER, json.dumps({"kinds": ["a"] * 11}), "kinds in the body must have at most 10 entries, not 11"),
        (RESOLVE, "", f"the body lacks resolution_status: one of {STATUSES}"),
        (RESOLVE, "{}", f"the body lacks resolution_status: one of {STATUSES}"),
        (RESOLVE, '{"resolution_status": "DONE"}', f"{STATUS} 'DONE'"),
        (RESOLVE, '{"resolution_status": {"a": []}}', f"{STATUS} an object"),
    ],
)
def test_body_that_makes_no_sense_is_refused(path: str, body: str, message: str) -> None:
    found = refused("POST", path, body=body)

    assert (found.status, json.loads(found.text)) == said("INVALID_BODY", message)


@pytest.mark.parametrize(
    "notes", [f"a{character}b" for character in "\0\b\v\f\r\x1b\x7f\x85"] + ["x" * 1001], ids=ascii
)
def test_notes_are_bounded_and_move_no_cursor(notes: str) -> None:
    body = json.dumps({"resolution_status": "IGNORED", "resolution_notes": notes})

    found = refused("POST", RESOLVE, body=body)

    assert (found.status, json.loads(found.text)) == said("INVALID_BODY", f"{NOTES} {notes[:60]!r}")


def test_body_where_none_is_taken_is_refused() -> None:
    found = refused("GET", JOBS, body='{"status": "FAILED"}')

    message = "GET /reconciliation/jobs takes no body"
    assert (found.status, json.loads(found.text)) == said("INVALID_BODY", message)


paths = st.sampled_from([route.path.replace("{", "").replace("}", "") for route in ROUTES] + [f"{JOBS}/{ID}", RESOLVE])
names = st.sampled_from(["limit", "cursor", "status", "from_date", "to_date", "who"])
keys = st.sampled_from(["kinds", "force", "resolution_status", "resolution_notes"])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(keys | st.text(), inner),
)


@given(
    method=st.sampled_from(["GET", "POST"]),
    path=paths | st.text(),
    query=st.just({}) | st.dictionaries(names | st.text(), st.text()),
    body=st.just("") | st.text() | json_values.map(json.dumps),
)
def test_any_request_gets_a_bounded_answer(method: str, path: str, query: dict[str, str], body: str) -> None:
    found = answer(HttpRequest(method=method, path=path, query=query, body=body), Function())

    assert found.status in {200, 202, 400, 403, 404, 405}
    assert len(found.text) < 2_000
