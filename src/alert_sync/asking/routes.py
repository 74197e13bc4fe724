"""Every route there is: what it takes, what it does, and how it answers. The OpenAPI document is made of this."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from alert_sync.asking import endpoints
from alert_sync.asking.endpoints import PROMETHEUS_TEXT, Endpoint
from alert_sync.asking.json_schema import Schema
from alert_sync.asking.parameters import (
    ALERT_GROUP_ID,
    DRY_RUN,
    FORCE,
    JOB_STATUS,
    KIND_FILTER,
    MISMATCH_TYPE,
    PAGING,
    RESOLUTION_STATUS,
    RESOLVE_BODY,
    TRIGGER_BODY,
    Parameter,
    id_of,
    in_path,
    text_filter,
)

_PLACEHOLDER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What comes with one status. `schema` is the name of one in schemas.py; empty for a text of another type."""

    description: str
    schema: str = "Error"
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One method of one path. Whoever calls has to be signed (IAM), unless it `is_open`.

    `endpoint` is None for what http_api.py answers itself, without loading this package.
    """

    method: str
    path: str
    summary: str
    answers: Mapping[int, Response]
    endpoint: Endpoint | None = None
    parameters: tuple[Parameter, ...] = ()
    body: Schema | None = None
    body_is_optional: bool = False
    is_open: bool = False
    needs_memory: bool = True

    def placed_in(self, path: str) -> Mapping[str, str] | None:
        """The variable parts of the path by name; None if it is not this route's."""
        found = re.fullmatch(_PLACEHOLDER.sub(r"(?P<\1>[^/]+)", self.path), path)
        return None if found is None else found.groupdict()


_NOT_VALID = Response(description="a parameter or the body is unknown or malformed; the message names it")
_NO_SUCH_JOB = Response(description="`JOB_NOT_FOUND`")
_NO_SUCH_MISMATCH = Response(description="`MISMATCH_NOT_FOUND`")
_JOB_ID = in_path(id_of("job_id", "a job"))
_MISMATCH_ID = in_path(id_of("mismatch_id", "a mismatch"))
_JOB_FILTER = id_of("job_id", "the job that was the first to see it")

ROUTES = (
    Route(
        method="POST",
        path="/reconcile",
        summary="Run now, and answer with the report",
        parameters=(DRY_RUN, FORCE),
        needs_memory=False,
        answers={
            200: Response(description="the run succeeded, at least in part", schema="Report"),
            400: _NOT_VALID,
            409: Response(description="the plan was refused, or another run is in progress", schema="Report"),
            500: Response(description="the run failed", schema="Report"),
        },
    ),
    Route(
        method="GET",
        path="/healthz",
        summary="Whether the function runs; nothing else is tried",
        is_open=True,
        needs_memory=False,
        answers={200: Response(description="it does", schema="Health")},
    ),
    Route(
        method="GET",
        path="/readyz",
        summary="Whether a run could read everything now",
        needs_memory=False,
        answers={
            200: Response(description="it could", schema="Readiness"),
            503: Response(description="it could not; `faults` says why, by name", schema="Readiness"),
        },
    ),
    Route(
        method="POST",
        path="/reconciliation/trigger",
        summary="Start a run in the background",
        body=TRIGGER_BODY,
        body_is_optional=True,
        endpoint=endpoints.trigger,
        answers={
            202: Response(description="queued", schema="Queued"),
            400: Response(description=f"{_NOT_VALID.description}; `INVALID_KIND` lists `valid_kinds`"),
            409: Response(description="`ALREADY_RUNNING`: `running_job_id` says which job runs"),
        },
    ),
    Route(
        method="GET",
        path="/reconciliation/jobs",
        summary="Jobs, newest first",
        parameters=(JOB_STATUS, KIND_FILTER, *PAGING),
        endpoint=endpoints.list_jobs,
        answers={200: Response(description="a page of jobs", schema="JobPage"), 400: _NOT_VALID},
    ),
    Route(
        method="GET",
        path="/reconciliation/jobs/{job_id}",
        summary="One job, its report, and what it was the first to see",
        parameters=(_JOB_ID,),
        endpoint=endpoints.show_job,
        answers={200: Response(description="the job", schema="JobDetails"), 400: _NOT_VALID, 404: _NO_SUCH_JOB},
    ),
    Route(
        method="GET",
        path="/reconciliation/mismatches",
        summary="Mismatches, open and closed, newest first",
        parameters=(RESOLUTION_STATUS, KIND_FILTER, MISMATCH_TYPE, ALERT_GROUP_ID, _JOB_FILTER, *PAGING),
        endpoint=endpoints.list_mismatches,
        answers={200: Response(description="a page of mismatches", schema="MismatchPage"), 400: _NOT_VALID},
    ),
    Route(
        method="GET",
        path="/reconciliation/mismatches/{mismatch_id}",
        summary="One mismatch with its whole history",
        parameters=(_MISMATCH_ID,),
        endpoint=endpoints.show_mismatch,
        answers={
            200: Response(description="the mismatch", schema="MismatchDetails"),
            400: _NOT_VALID,
            404: _NO_SUCH_MISMATCH,
        },
    ),
    Route(
        method="POST",
        path="/reconciliation/mismatches/{mismatch_id}/resolve",
        summary="Decide that a mismatch is resolved, or to be ignored until it changes",
        parameters=(_MISMATCH_ID,),
        body=RESOLVE_BODY,
        endpoint=endpoints.resolve_mismatch,
        answers={
            200: Response(description="decided", schema="Resolved"),
            400: Response(description=f"{_NOT_VALID.description}; or `INVALID_STATUS_TRANSITION`"),
            403: Response(description="`CALLER_UNKNOWN`: the request is not signed"),
            404: _NO_SUCH_MISMATCH,
            409: Response(description="`CONFLICT`: others changed it meanwhile, several times over; try again"),
        },
    ),
    Route(
        method="GET",
        path="/reconciliation/audit",
        summary="Every external write and every decision of a person, newest first",
        parameters=(
            text_filter("action", "what was done"),
            text_filter("target", "what it was done to: the id of an alert group, mostly"),
            text_filter("who", "the ARN of a person, or the name of this service"),
            id_of("mismatch_id", "the mismatch that it was done about"),
            text_filter("run_id", "the run that did it"),
            *PAGING,
        ),
        endpoint=endpoints.list_audit,
        answers={200: Response(description="a page of the audit trail", schema="AuditPage"), 400: _NOT_VALID},
    ),
    Route(
        method="GET",
        path="/reconciliation/status",
        summary="Conditions, counters, the running job and the last one",
        endpoint=endpoints.show_status,
        answers={200: Response(description="how the service does", schema="ServiceStatus")},
    ),
    Route(
        method="GET",
        path="/explain/{alert_group_id}",
        summary="Why a run would change an alert group, or leave it alone",
        parameters=(in_path(ALERT_GROUP_ID),),
        endpoint=endpoints.explain,
        needs_memory=False,
        answers={
            200: Response(description="the verdict, and the change that a run would make", schema="Explanation"),
            400: Response(description=f"{_NOT_VALID.description}; or the alert group is resolved"),
            404: Response(description="`ALERT_GROUP_NOT_FOUND`"),
        },
    ),
    Route(
        method="GET",
        path="/metrics",
        summary="What Prometheus scrapes",
        endpoint=endpoints.metrics,
        answers={
            200: Response(description="Prometheus's text format", schema="", content_type=PROMETHEUS_TEXT),
        },
    ),
)
