"""What the HTTP routes beside /reconcile need of the service; see asking/context.py.

Everything that only they need is imported when they are asked: a scheduled run does without.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from alert_sync.deadline import Deadline
from alert_sync.errors import IRM, ConfigurationError, PermanentUpstreamError
from alert_sync.events import RunOptions
from alert_sync.recall import JobRecord
from alert_sync.service import Service

if TYPE_CHECKING:
    from alert_sync.asking.alert_states import AlertStateSample
    from alert_sync.memory.archive import Archive


class AskedService:
    """The service, for one request."""

    def __init__(self, service: Callable[[], Service], deadline: Deadline) -> None:
        self._service = service
        self.deadline = deadline

    def now(self) -> datetime:
        """The time."""
        return datetime.now(UTC)

    def archive(self) -> Archive | None:
        """What is remembered; None where nothing is."""
        from alert_sync.memory.archive import Archive  # noqa: PLC0415 - see above

        table = self._service().table()
        return None if table is None else Archive(table, retention=self._service().settings.retention)

    def start_job(self, job: JobRecord, options: RunOptions) -> None:
        """Queue the job, and invoke this function for it, without waiting.

        Raises:
            ConfigurationError: this is no Lambda function, or nothing is remembered.
            UpstreamError: the job could not be queued, or the function not be invoked.
        """
        archive, name = self.archive(), os.environ.get("AWS_LAMBDA_FUNCTION_NAME")
        if archive is None or not name:
            raise ConfigurationError("jobs are triggered in Lambda only, and with STATE_TABLE")
        archive.queue_job(job, who=options.who, force=options.force, deadline=self.deadline)
        self._service().lambda_api().request(
            "POST",
            f"/2015-03-31/functions/{name}/invocations",
            {"job_id": options.job_id, "dry_run": options.dry_run, "force": options.force},
            self.deadline,
            what=f"start job {job.id}",
            headers={"X-Amz-Invocation-Type": "Event"},
        )

    def explain(self, alert_group_id: str) -> Mapping[str, Any]:
        """The verdict on one alert group, and the change that a run would make."""
        from alert_sync.memory.archive import UnknownRecordError  # noqa: PLC0415 - see above
        from alert_sync.terminal import explanation_document  # noqa: PLC0415

        try:
            return explanation_document(*self._service().reconciler().explain(alert_group_id, self.deadline))
        except PermanentUpstreamError as error:
            if error.status != 404 or error.upstream != IRM:
                raise
            raise UnknownRecordError("alert group", alert_group_id) from None

    def metrics_text(self) -> str:
        """What Prometheus scrapes."""
        from alert_sync.asking.prometheus_text import exposition  # noqa: PLC0415 - see above

        archive = self.archive()
        if archive is None:
            raise ConfigurationError("numbers over all runs need STATE_TABLE")
        head = archive.head(self.deadline)
        recall = self._service().recall(self.deadline)
        return exposition(head, list(recall.mismatches.values()), now=self.now(), alert_states=self._alert_states())

    def _alert_states(self) -> list[AlertStateSample]:
        from alert_sync.asking.alert_states import alert_states  # noqa: PLC0415 - see above

        service = self._service()
        if not service.settings.alert_state_metrics:
            return []
        irm = service.irm.read(self.deadline, now=self.now())
        return alert_states(service.alertmanager.read(self.deadline), irm, service.settings.alert_state_labels)
