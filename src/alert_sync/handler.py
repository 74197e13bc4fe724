"""The Lambda entry point: which kind of event is this, run, log, count, answer.

Everything that every run needs is imported and made while Lambda starts the environment, when a whole CPU is free.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any
from uuid import uuid4

from aws_lambda_powertools import Logger

from alert_sync import http_api, metrics
from alert_sync.deadline import Deadline
from alert_sync.errors import ReconcilerError
from alert_sync.events import HttpRequest, RunOptions, parse_event
from alert_sync.reconcile import RunRequest, empty_report, failed_report
from alert_sync.report import Report
from alert_sync.run_log import log_run
from alert_sync.secrets_store import SecretStore
from alert_sync.service import Service

# API Gateway gives up after 30 s, and a cold start comes before the run.
HTTP_SECONDS = 25.0
# For the report, its log lines and the metrics.
RESERVE_SECONDS = 2.0

logger = Logger(service=os.environ.get("POWERTOOLS_SERVICE_NAME") or metrics.DEFAULT_SERVICE, use_rfc3339=True)


class _Environment:
    """This execution environment: what is kept from one invocation to the next."""

    def __init__(self) -> None:
        self.is_cold = True
        self.secrets = SecretStore()
        self._service: Service | None = None

    def service(self) -> Service:
        """Both clients, made on first use, so that wrong settings are reported and not a crash at import."""
        if self._service is None:
            self._service = Service(os.environ, self.secrets)
        return self._service

    def irm_requests(self) -> int:
        """Requests sent to IRM so far."""
        return self._service.irm_budget.spent if self._service else 0


_environment = _Environment()


def lambda_handler(event: Any, context: Any) -> dict[str, Any]:
    """Answer one invocation; see events.py for what it may be.

    Raises:
        EventError: the event is of no known kind.
    """
    invocation = parse_event(event)
    remaining = context.get_remaining_time_in_millis() / 1000 - RESERVE_SECONDS
    if isinstance(invocation, RunOptions):
        return _run(invocation, Deadline(remaining), context).as_dict()
    return _answer(invocation, Deadline(min(remaining, HTTP_SECONDS)), context)


def _answer(request: HttpRequest, deadline: Deadline, context: Any) -> dict[str, Any]:
    return http_api.answer(
        request, run=lambda options: _run(options, deadline, context), faults=lambda: _faults(deadline)
    )


def _faults(deadline: Deadline) -> dict[str, str]:
    try:
        return _environment.service().faults(deadline)
    except ReconcilerError as error:
        return {"settings": str(error)}


def _run(options: RunOptions, deadline: Deadline, context: Any) -> Report:
    run_id = getattr(context, "aws_request_id", None) or str(uuid4())
    request = RunRequest(run_id=run_id, trigger=options.trigger, dry_run=options.dry_run, force=options.force)
    is_cold, _environment.is_cold = _environment.is_cold, False
    before = _environment.irm_requests()
    report = _unforeseen(request)
    try:
        report = _reconcile(request, deadline)
    finally:
        log_run(logger, report)
        metrics.emit(report, irm_requests=_environment.irm_requests() - before, is_cold_start=is_cold)
    return report


def _unforeseen(request: RunRequest) -> Report:
    """The report of a run that breaks off, anywhere between the first read and the last write."""
    error = ReconcilerError("an error that nobody foresaw; the log has its trace")
    return replace(
        failed_report(empty_report(request, None), error),
        message="the run broke off; what it had changed by then is not known",
    )


def _reconcile(request: RunRequest, deadline: Deadline) -> Report:
    try:
        reconciler = _environment.service().reconciler()
    except ReconcilerError as error:
        return failed_report(empty_report(request, None), error)
    return reconciler.run(request, deadline)
