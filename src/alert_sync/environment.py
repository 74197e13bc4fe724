"""One execution environment of Lambda: what is kept from one invocation to the next, and what every run leaves behind.

Each run ends in its log lines and its metrics, however it ends.
"""

from __future__ import annotations

import os
from dataclasses import replace

from aws_lambda_powertools import Logger

from alert_sync import metrics
from alert_sync.asked_service import AskedService
from alert_sync.deadline import Deadline
from alert_sync.errors import ReconcilerError
from alert_sync.events import RunOptions
from alert_sync.reconcile import RunRequest, empty_report
from alert_sync.report import Report
from alert_sync.run_log import log_run
from alert_sync.run_report import failed_report
from alert_sync.secrets_store import SecretStore
from alert_sync.service import Service


class Environment:
    """Settings come from os.environ, which does not change while an environment lives."""

    def __init__(self) -> None:
        self._logger = Logger(
            service=os.environ.get("POWERTOOLS_SERVICE_NAME") or metrics.DEFAULT_SERVICE, use_rfc3339=True
        )
        self._secrets = SecretStore()
        self._service: Service | None = None
        self._is_cold = True

    def run(self, options: RunOptions, deadline: Deadline, run_id: str, function_arn: str = "") -> Report:
        """One reconciliation, logged and counted. Foreseen failures are in the report; others are raised as well."""
        request = RunRequest(
            run_id=run_id,
            trigger=options.trigger,
            dry_run=options.dry_run,
            force=options.force,
            job_id=options.job_id,
            who=options.who,
        )
        is_cold_start, self._is_cold = self._is_cold, False
        requests_before = self._irm_requests()
        report = _broken_off(request)
        try:
            report = self._reconcile(request, deadline, function_arn)
        finally:
            log_run(self._logger, report)
            requests = self._irm_requests() - requests_before
            metrics.emit(report, irm_requests=requests, is_cold_start=is_cold_start)
        return report

    def faults(self, deadline: Deadline) -> dict[str, str]:
        """What keeps a run from working now, by name; empty if nothing does."""
        try:
            return self._made_service().faults(deadline)
        except ReconcilerError as error:
            return {"settings": str(error)}

    def asked(self, deadline: Deadline) -> AskedService:
        """For requests that ask, or that decide about a mismatch."""
        return AskedService(self._made_service, deadline)

    def _reconcile(self, request: RunRequest, deadline: Deadline, function_arn: str) -> Report:
        try:
            reconciler = self._made_service().reconciler(function_arn)
        except ReconcilerError as error:
            return failed_report(empty_report(request, None), error)
        return reconciler.run(request, deadline)

    def _made_service(self) -> Service:
        """Both clients, made on first use, so that wrong settings are reported and not a crash at import."""
        if self._service is None:
            self._service = Service(os.environ, self._secrets)
        return self._service

    def _irm_requests(self) -> int:
        return self._service.irm_budget.spent if self._service else 0


def _broken_off(request: RunRequest) -> Report:
    """The report of a run that breaks off, anywhere between the first read and the last write."""
    error = ReconcilerError("an error that nobody foresaw; the log has its trace")
    message = "the run broke off; what it had changed by then is not known"
    return replace(failed_report(empty_report(request, None), error), message=message)
