"""The routes beside runs: what each asks of the memory, what it answers, and what it refuses."""

from __future__ import annotations

import importlib
import json
from datetime import timedelta
from typing import Any

import pytest

from alert_sync.asking.dispatch import answer
from alert_sync.asking.openapi import document
from alert_sync.asking.parameters import cursor_after
from alert_sync.asking.routes import ROUTES
from alert_sync.errors import (
    ConfigurationError,
    ConflictError,
    ContractError,
    EventError,
    PermanentUpstreamError,
    PostponedError,
    ReconcilerError,
    TransientUpstreamError,
)
from alert_sync.events import RunOptions
from alert_sync.memory.archive import Decision, InvalidTransitionError, UnknownRecordError
from alert_sync.memory.listing import Listed, Wanted
from alert_sync.model import Action, Change, ChangeResult, Finding, Outcome, Verdict
from alert_sync.recall import (
    Condition,
    Counters,
    Head,
    HistoryEntry,
    JobStatus,
    Lease,
    ResolutionStatus,
)
from alert_sync.report import Report, Status, Trigger
from tests.builders import NOW, an_alert_group
from tests.support.asking import (
    ALICE,
    ALL,
    Function,
    Memories,
    a_job,
    a_mismatch,
    a_request,
    an_audit_entry,
    an_id,
)

NOW_TEXT = "2026-11-21T03:00:00.000Z"
ID = an_id()
MISMATCHES = "/reconciliation/mismatches"
RESOLVE = f"{MISMATCHES}/{ID}/resolve"
TRIGGER = "/reconciliation/trigger"
JOBS = "/reconciliation/jobs"

JOB = {
    "job_id": ID,
    "kind": "alert-sync",
    "status": "COMPLETED",
    "trigger": "schedule",
    "dry_run": False,
    "run_id": "r1",
    "started_at": NOW_TEXT,
    "completed_at": "2026-11-21T03:00:30.000Z",
    "duration_seconds": 30.0,
    "mismatch_count": 0,
    "message": "inconsistencies: 0 found",
    "error": None,
}
MISMATCH = {
    "mismatch_id": ID,
    "job_id": ID,
    "kind": "alert-sync",
    "type": "silenced",
    "subject": "I1",
    "alert_group_id": "I1",
    "title": "HighLatency",
    "url": "http://grafana.example/I1",
    "integration_id": "CINT1",
    "action": "resolve",
    "reason": "its only alert is silenced",
    "detected_at": NOW_TEXT,
    "resolution_status": "PENDING",
    "resolution_notes": "",
    "resolved_at": None,
    "resolved_by": None,
}
HISTORY = [{"at": NOW_TEXT, "event": "found", "message": "its only alert is silenced", "job_id": ID, "who": None}]


def asked(function: Function, method: str, path: str, body: object = None, **more: Any) -> tuple[int, Any]:
    """Status and JSON of the answer."""
    text = "" if body is None else json.dumps(body)
    found = answer(a_request(method, path, body=text, **more), function)
    return found.status, json.loads(found.text)


def refusal(function: Function, method: str, path: str, body: object = None, **more: Any) -> tuple[int, str, str]:
    status, document = asked(function, method, path, body, **more)
    return status, document["error"], document["message"]


def with_records(**more: Any) -> Function:
    """A function that remembers one of each."""
    return Function(
        memories=Memories(
            the_jobs=Listed(records=(a_job(),)),
            the_mismatches=Listed(records=(a_mismatch(),)),
            the_audit=Listed(records=(an_audit_entry(),)),
            **more,
        ),
        explanation={"alert_group_id": "I1", "verdict": "silenced", "reason": "r"},
    )


def memories_of(function: Function) -> Memories:
    assert function.memories is not None
    return function.memories


def a_lease(*, minutes: float) -> Lease:
    return Lease(
        job_id=an_id(-1, "running"),
        run_id="r2",
        trigger="schedule",
        started_at=NOW - timedelta(minutes=1),
        expires_at=NOW + timedelta(minutes=minutes),
    )


# --- jobs


def test_jobs_are_listed() -> None:
    assert asked(with_records(), "GET", JOBS) == (
        200,
        {"jobs": [JOB], "pagination": {"page_size": 50, "next_cursor": None}},
    )


def test_what_is_not_there_yet_is_null_and_what_is_zero_stays_zero() -> None:
    queued = a_job(status=JobStatus.QUEUED, run_id="", completed_at=None)
    at_once = a_job(an_id(-1), completed_at=NOW)
    function = Function(memories=Memories(the_jobs=Listed(records=(queued, at_once))))

    _, document = asked(function, "GET", JOBS)

    assert [(job["run_id"], job["completed_at"], job["duration_seconds"]) for job in document["jobs"]] == [
        (None, None, None),
        ("r1", NOW_TEXT, 0.0),
    ]


def test_list_that_goes_on_tells_where() -> None:
    function = Function(memories=Memories(the_jobs=Listed(records=(a_job(),), next_before=ID)))

    _, document = asked(function, "GET", JOBS, query={"limit": "1"})
    asked(function, "GET", JOBS, query={"limit": "1", "cursor": document["pagination"]["next_cursor"]})

    assert memories_of(function).asked == [Wanted(limit=1), Wanted(limit=1, before=ID)]


@pytest.mark.parametrize(
    ("path", "query", "wanted"),
    [
        pytest.param(
            JOBS,
            {"status": "FAILED", "kind": "alert-sync", "limit": "100"},
            Wanted(limit=100, filters={"status": "FAILED", "kind": "alert-sync"}),
            id="jobs",
        ),
        pytest.param(
            MISMATCHES,
            {
                "resolution_status": "IGNORED",
                "kind": "alert-sync",
                "type": "gone",
                "alert_group_id": "I1",
                "job_id": ID,
                "limit": "1",
            },
            Wanted(
                limit=1,
                filters={
                    "resolution_status": "IGNORED",
                    "kind": "alert-sync",
                    "type": "gone",
                    "alert_group_id": "I1",
                    "job_id": ID,
                },
            ),
            id="mismatches",
        ),
        pytest.param(
            "/reconciliation/audit",
            {"action": "resolve", "target": "I1", "who": ALICE, "mismatch_id": ID, "run_id": "r 1"},
            Wanted(
                limit=50,
                filters={"action": "resolve", "target": "I1", "who": ALICE, "mismatch_id": ID, "run_id": "r 1"},
            ),
            id="audit trail",
        ),
        pytest.param(
            JOBS,
            {"from_date": "2026-11-20", "to_date": "2026-11-21T04:00:00+01:00"},
            Wanted(limit=50, before="20261121T030000.000Z", oldest="20261120T000000.000Z"),
            id="dates",
        ),
        pytest.param(
            JOBS,
            {"to_date": "2026-11-21T02:59Z", "cursor": cursor_after(ID) or ""},
            Wanted(limit=50, before="20261121T025900.000Z"),
            id="cursor behind the last date",
        ),
        pytest.param(
            JOBS,
            {"to_date": "2026-11-22", "cursor": cursor_after(ID) or ""},
            Wanted(limit=50, before=ID),
            id="cursor before the last date",
        ),
    ],
)
def test_filters_reach_the_memory(path: str, query: dict[str, str], wanted: Wanted) -> None:
    function = with_records()

    status, _ = asked(function, "GET", path, query=query)

    assert (status, memories_of(function).asked) == (200, [wanted])


def test_job_is_shown_with_what_it_was_the_first_to_see() -> None:
    found = [a_mismatch(an_id(name=str(number))) for number in range(21)]
    gone = a_mismatch(an_id(name="gone"), type=Verdict.GONE)
    function = Function(
        memories=Memories(
            the_jobs=Listed(records=(a_job(document={"status": "success"}),)),
            the_mismatches=Listed(records=(*found, gone)),
        )
    )

    status, document = asked(function, "GET", f"{JOBS}/{ID}")

    samples = document.pop("sample_mismatches")
    assert (status, document) == (
        200,
        {
            **JOB,
            "report": {"status": "success"},
            "mismatches_summary": {"gone": 1, "silenced": 21},
            "mismatches_summary_is_complete": True,
        },
    )
    assert [sample["mismatch_id"] for sample in samples] == [mismatch.id for mismatch in found[:20]]


def test_mismatches_of_a_job_are_looked_for_where_they_can_be() -> None:
    function = with_records()

    asked(function, "GET", f"{JOBS}/{ID}")

    job_id, wanted = memories_of(function).asked
    assert isinstance(wanted, Wanted)
    assert (job_id, wanted.filters, wanted.oldest, wanted.before) == (
        ID,
        {"job_id": ID},
        "20261121T030000.000Z",
        "20261121T030130.000Z",
    )


def test_summary_of_very_many_mismatches_says_that_it_is_not_complete() -> None:
    function = with_records()
    memories_of(function).the_mismatches = Listed(records=(a_mismatch(),), next_before=ID)

    _, document = asked(function, "GET", f"{JOBS}/{ID}")

    assert document["mismatches_summary_is_complete"] is False


# --- mismatches


def test_mismatches_are_listed_without_their_history() -> None:
    assert asked(with_records(), "GET", MISMATCHES) == (
        200,
        {"mismatches": [MISMATCH], "pagination": {"page_size": 50, "next_cursor": None}},
    )


def test_mismatch_is_shown_with_its_history() -> None:
    assert asked(with_records(), "GET", f"{MISMATCHES}/{ID}") == (200, {**MISMATCH, "history": HISTORY})


def test_title_is_one_bounded_line() -> None:
    function = with_records()
    memories_of(function).the_mismatches = Listed(records=(a_mismatch(title="\x1b[2J\n" + "x" * 1000),))

    _, document = asked(function, "GET", f"{MISMATCHES}/{ID}")

    assert document["title"] == "[2J " + "x" * 195 + "…"


@pytest.mark.parametrize("status", [ResolutionStatus.MANUAL_RESOLVED, ResolutionStatus.IGNORED])
@pytest.mark.parametrize("notes", ["", "known\n\tsince Monday: Störung"])
def test_decision_is_noted_with_the_name_of_whoever_signed(status: ResolutionStatus, notes: str) -> None:
    function = with_records()
    body = {"resolution_status": status.value, **({"resolution_notes": notes} if notes else {})}

    code, document = asked(function, "POST", RESOLVE, body)

    assert memories_of(function).asked[0] == Decision(status=status, notes=notes, who=ALICE, at=NOW)
    assert (code, document) == (
        200,
        {
            "status": "success",
            "mismatch": {
                **MISMATCH,
                "resolution_status": status.value,
                "resolution_notes": notes,
                "resolved_at": NOW_TEXT if status is ResolutionStatus.MANUAL_RESOLVED else None,
                "resolved_by": ALICE,
                "history": HISTORY,
            },
        },
    )


def test_decision_of_nobody_is_forbidden() -> None:
    function = with_records()

    refused = refusal(function, "POST", RESOLVE, {"resolution_status": "IGNORED"}, caller="")

    assert refused == (403, "CALLER_UNKNOWN", "a decision needs a name: the request has to be signed (IAM)")
    assert memories_of(function).asked == []


def test_decision_that_cannot_follow_is_refused() -> None:
    mismatch = a_mismatch(resolution_status=ResolutionStatus.AUTO_RESOLVED)
    function = with_records(fault=InvalidTransitionError(mismatch, ResolutionStatus.IGNORED))

    assert asked(function, "POST", RESOLVE, {"resolution_status": "IGNORED"}) == (
        400,
        {
            "error": "INVALID_STATUS_TRANSITION",
            "message": f"mismatch {ID} cannot become IGNORED: it is AUTO_RESOLVED, which is final",
            "valid_statuses": ["MANUAL_RESOLVED", "IGNORED"],
        },
    )


# --- audit trail, status, metrics, explanations


def test_audit_trail_is_listed() -> None:
    assert asked(with_records(), "GET", "/reconciliation/audit") == (
        200,
        {
            "entries": [
                {
                    "audit_id": ID,
                    "at": NOW_TEXT,
                    "who": "alertmanager-alert-sync",
                    "action": "resolve",
                    "target": "I1",
                    "before": "firing",
                    "after": "resolved",
                    "answer": "applied",
                    "dry_run": False,
                    "run_id": "r1",
                    "mismatch_id": ID,
                }
            ],
            "pagination": {"page_size": 50, "next_cursor": None},
        },
    )


def test_status_before_the_first_run_is_all_zero() -> None:
    assert asked(Function(), "GET", "/reconciliation/status") == (
        200,
        {
            "at": NOW_TEXT,
            "conditions": [],
            "counters": {
                "reconciliations": 0,
                "failures": 0,
                "failures_in_a_row": 0,
                "inconsistencies_found": 0,
                "inconsistencies_resolved": 0,
                "inconsistencies_failed": 0,
                "handed_back": 0,
                "duration_seconds_sum": 0.0,
                "last_run_was_successful": False,
                "last_run_at": None,
                "last_successful_run_at": None,
            },
            "running_job": None,
            "last_job": None,
        },
    )


def test_status_tells_the_running_job_and_the_last_one_that_ended() -> None:
    queued, running, ended = (
        a_job(an_id(2), status=JobStatus.QUEUED),
        a_job(an_id(1), status=JobStatus.RUNNING, completed_at=None),
        a_job(),
    )
    condition = Condition(type="InSync", status="True", reason="Agreed", message="m", changed_at=NOW)
    counters = Counters(reconciliations=2, last_timestamp=NOW.timestamp(), last_success=True)
    function = Function(
        memories=Memories(
            the_head=Head(conditions=(condition,), counters=counters),
            the_jobs=Listed(records=(queued, running, ended)),
        )
    )

    _, document = asked(function, "GET", "/reconciliation/status")

    assert document["conditions"] == [
        {"type": "InSync", "status": "True", "reason": "Agreed", "message": "m", "last_transition_time": NOW_TEXT}
    ]
    assert (document["running_job"]["job_id"], document["last_job"]) == (running.id, JOB)
    assert (document["counters"]["reconciliations"], document["counters"]["last_run_at"]) == (2, NOW_TEXT)


def test_metrics_are_text() -> None:
    found = answer(a_request("GET", "/metrics"), Function())

    assert (found.status, found.text, found.content_type) == (
        200,
        "alertmanager_sync_reconciliation_total 0.0\n",
        "text/plain; version=0.0.4; charset=utf-8",
    )


def test_explanation_is_passed_on() -> None:
    function = with_records()

    assert asked(function, "GET", "/explain/I1") == (200, function.explanation)
    assert function.explained == ["I1"]


# --- starting a run


@pytest.mark.parametrize("body", [None, {}, {"kinds": []}, {"kinds": ["alert-sync"]}, {"force": True, "dry_run": True}])
def test_triggered_run_is_queued_and_started(body: dict[str, Any] | None) -> None:
    function = Function()

    status, document = asked(function, "POST", TRIGGER, body)

    ((job, options),) = function.started
    is_forced = bool(body and body.get("force"))
    wanted = RunOptions(trigger=Trigger.HTTP, dry_run=is_forced, force=is_forced, job_id=job.id, who=ALICE)
    assert options == wanted
    assert job == a_job(
        job.id,
        run_id="",
        status=JobStatus.QUEUED,
        trigger="http",
        dry_run=is_forced,
        completed_at=None,
        message=f"asked for by {ALICE}",
    )
    assert (status, document) == (
        202,
        {
            "job_ids": [job.id],
            "status": "QUEUED",
            "message": "queued: the run starts in an invocation of its own",
            "estimated_completion": "2026-11-21T03:00:32.000Z",
            "links": {"jobs": [f"/reconciliation/jobs/{job.id}"]},
        },
    )


def test_two_requests_of_one_moment_queue_two_jobs() -> None:
    function = Function()

    for _ in range(2):
        asked(function, "POST", TRIGGER)

    assert len({job.id for job, _ in function.started}) == 2


def test_estimate_is_how_long_runs_took_so_far() -> None:
    counters = Counters(duration_counts=(0,) * 9 + (1, 1), duration_sum=200.0)

    _, document = asked(Function(memories=Memories(the_head=Head(counters=counters))), "POST", TRIGGER)

    assert document["estimated_completion"] == "2026-11-21T03:01:42.000Z"


def test_no_second_run_is_started_beside_one() -> None:
    function = Function(memories=Memories(the_head=Head(lease=a_lease(minutes=1))))

    answered = asked(function, "POST", TRIGGER)

    running = an_id(-1, "running")
    assert (answered, function.started) == (
        (
            409,
            {
                "error": "ALREADY_RUNNING",
                "message": f"job {running} runs",
                "running_job_id": running,
                "links": {"running_job": f"/reconciliation/jobs/{running}"},
            },
        ),
        [],
    )


def test_lease_of_a_run_that_died_keeps_nobody_from_starting() -> None:
    function = Function(memories=Memories(the_head=Head(lease=a_lease(minutes=0))))

    status, _ = asked(function, "POST", TRIGGER)

    assert (status, len(function.started)) == (202, 1)


def test_unknown_kind_is_named_with_those_there_are() -> None:
    function = Function()

    answered = asked(function, "POST", TRIGGER, {"kinds": ["alert-sync", "users; DROP TABLE x"]})

    assert (answered, function.started, memories_of(function).asked) == (
        (
            400,
            {
                "error": "INVALID_KIND",
                "message": "there is no kind 'users; DROP TABLE x'",
                "valid_kinds": ["alert-sync"],
            },
        ),
        [],
        [],
    )


# --- paths and methods


@pytest.mark.parametrize("path", ["/", "/reconciliation", "/metrics/x", "/explain", f"{JOBS}/{ID}/x", "/" + "x" * 200])
def test_unknown_path_names_those_there_are(path: str) -> None:
    paths = ", ".join(dict.fromkeys(route.path for route in ROUTES))

    assert refusal(Function(), "GET", path) == (404, "NOT_FOUND", f"there is no {path[:100]}; there are {paths}")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/reconcile", "POST"),
        ("GET", TRIGGER, "POST"),
        ("POST", JOBS, "GET"),
        ("DELETE", f"{MISMATCHES}/{ID}", "GET"),
        ("GET", RESOLVE, "POST"),
        ("HEAD", "/metrics", "GET"),
    ],
)
def test_wrong_method_names_the_right_one(method: str, path: str, allowed: str) -> None:
    found = answer(a_request(method, path), Function())

    assert (found.status, found.headers, json.loads(found.text)) == (
        405,
        {"Allow": allowed},
        {"error": "METHOD_NOT_ALLOWED", "message": f"{path} takes {allowed} only"},
    )


# --- failures


NEEDS_MEMORY = {(route.method, route.path) for route in ROUTES if route.needs_memory and route.endpoint}
BODIES = {TRIGGER: {}, "/reconciliation/mismatches/{mismatch_id}/resolve": {"resolution_status": "IGNORED"}}


def every_route() -> list[tuple[str, str, object]]:
    """Method, path with its variables, and body of what is asked of each route that this package answers."""
    return [(route.method, route.path, BODIES.get(route.path)) for route in ROUTES if route.endpoint]


def filled(path: str) -> str:
    return path.replace("{alert_group_id}", "I1").replace("{job_id}", ID).replace("{mismatch_id}", ID)


@pytest.mark.parametrize(("method", "path", "body"), every_route())
def test_route_that_needs_the_memory_says_so_where_there_is_none(method: str, path: str, body: object) -> None:
    answered = (
        asked(Function(memories=None), method, filled(path), body) if path != "/explain/{alert_group_id}" else None
    )

    expected = {
        "error": "MEMORY_DISABLED",
        "message": "this stack remembers nothing: STATE_TABLE is not set (template parameter Memory)",
    }
    assert (answered == (503, expected)) is ((method, path) in NEEDS_MEMORY)


@pytest.mark.parametrize(
    ("fault", "refused"),
    [
        (EventError("m"), (400, "INVALID_REQUEST")),
        (ConfigurationError("m"), (503, "NOT_CONFIGURED")),
        (ConflictError([0]), (409, "CONFLICT")),
        (TransientUpstreamError("DynamoDB", "read", "c"), (503, "UPSTREAM_UNAVAILABLE")),
        (PostponedError("DynamoDB", "read", "c"), (503, "UPSTREAM_UNAVAILABLE")),
        (PermanentUpstreamError("DynamoDB", "read", "c", status=400), (502, "UPSTREAM_FAILED")),
        (ContractError("DynamoDB", "read", "c"), (502, "UPSTREAM_FAILED")),
        (ReconcilerError("m"), (500, "FAILED")),
    ],
)
@pytest.mark.parametrize(("method", "path", "body"), every_route())
def test_foreseen_failure_is_an_answer(
    fault: ReconcilerError, refused: tuple[int, str], method: str, path: str, body: object
) -> None:
    function = Function(memories=Memories(fault=fault), fault=fault)

    assert refusal(function, method, filled(path), body) == (*refused, str(fault))


@pytest.mark.parametrize(
    ("path", "code", "what"),
    [(f"{JOBS}/{ID}", "JOB_NOT_FOUND", "job"), (f"{MISMATCHES}/{ID}", "MISMATCH_NOT_FOUND", "mismatch")],
)
def test_unknown_id_is_not_found(path: str, code: str, what: str) -> None:
    assert refusal(Function(), "GET", path) == (404, code, f"there is no {what} {ID}")


def test_alert_group_that_irm_does_not_know_is_not_found() -> None:
    function = Function(fault=UnknownRecordError("alert group", "I1"))

    assert refusal(function, "GET", "/explain/I1") == (404, "ALERT_GROUP_NOT_FOUND", "there is no alert group I1")


def test_decision_about_an_unknown_mismatch_is_not_found() -> None:
    refused = refusal(Function(), "POST", RESOLVE, {"resolution_status": "IGNORED"})

    assert refused == (404, "MISMATCH_NOT_FOUND", f"there is no mismatch {ID}")


# --- answers are as documented


def check_against_document(method: str, path: str, status: int, body: object) -> None:
    responses = document()["paths"][path][method.lower()]["responses"]
    schema = responses[str(status)]["content"]["application/json"]["schema"]
    jsonschema: Any = importlib.import_module("jsonschema")

    validator = jsonschema.Draft202012Validator(
        {**strict(schema), "components": strict(document()["components"])}, format_checker=jsonschema.FormatChecker()
    )
    assert [error.message for error in validator.iter_errors(body)] == []


def strict(schema: Any) -> Any:
    """The same schema, which allows no property that it does not name."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    is_object = "properties" in schema and schema.get("required") != ["error", "message"]
    closed = {"additionalProperties": False} if is_object else {}
    return {**closed, **{name: strict(each) for name, each in schema.items()}}


@pytest.mark.parametrize(
    ("method", "path", "body"), [each for each in every_route() if each[1] != "/metrics"]
)  # fmt: skip
def test_answer_is_as_documented(method: str, path: str, body: object) -> None:
    function = with_records(
        the_head=Head(conditions=(Condition(type="T", status="True", reason="r", message="m", changed_at=NOW),))
    )
    memories_of(function).the_mismatches = Listed(
        records=(a_mismatch(history=(HistoryEntry(at=NOW, event="ignored", message="", who=ALICE),)),)
    )

    status, answered = asked(function, method, filled(path), body)

    assert status in {200, 202}
    check_against_document(method, path, status, answered)


@pytest.mark.parametrize("route", [route for route in ROUTES if route.endpoint], ids=lambda route: route.path)
def test_refusals_are_as_documented(route: Any) -> None:
    codes = {int(status) for status in document()["paths"][route.path][route.method.lower()]["responses"]}

    assert {500, 502, 503} <= codes
    assert (400 in codes) is bool(route.parameters or route.body)


@pytest.mark.parametrize(("status", "code"), [(Status.SUCCESS, 200), (Status.SKIPPED, 409), (Status.FAILED, 500)])
def test_report_is_as_documented(status: Status, code: int) -> None:
    finding = Finding(alert_group=an_alert_group(), verdict=Verdict.SILENCED, reason="r")
    change = Change(finding=finding, action=Action.RESOLVE)
    failed = ChangeResult(change=change, outcome=Outcome.FAILED, error="e", remark="m")
    report = Report(
        run_id="r",
        trigger=Trigger.HTTP,
        status=status,
        message="m",
        dry_run=False,
        started_at=NOW,
        results=(failed, failed),
        error="e",
        warnings=("w",),
        job_id=ID,
        running_job_id=ID,
    )

    check_against_document("POST", "/reconcile", code, report.as_dict(most_changes=1))


def test_list_without_anything_is_a_list() -> None:
    function = Function()

    answered = asked(function, "GET", MISMATCHES)

    assert (answered, memories_of(function).asked) == (
        (200, {"mismatches": [], "pagination": {"page_size": 50, "next_cursor": None}}),
        [ALL],
    )
