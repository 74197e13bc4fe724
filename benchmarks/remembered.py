"""Fills a table with what earlier runs of a world would have left behind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from alert_sync.deadline import Deadline
from alert_sync.irm_payload import parse_alert_group
from alert_sync.memory.items import intervention_item, mismatch_item, mismatch_of, seen_item
from alert_sync.memory.table import Put, Table
from alert_sync.model import Action, AlertGroup, Finding, Verdict
from alert_sync.recall import (
    HistoryEntry,
    Intervention,
    Mismatch,
    key_of,
    new_id,
    short_hash,
    sighting_of,
    signature_of,
    subject_of,
)
from benchmarks.world import World
from tests.support.fake_irm import FakeIrm

_SECONDS = 60.0
_RETENTION = timedelta(days=90)
_AT_ONCE = 100


def remember(table: Table, world: World, irm: FakeIrm, alertmanager_url: str) -> None:
    """Write an intervention for each resolved alert group, a mismatch for each that is gone, and that all were seen."""
    now = datetime.now(UTC)
    newest_first = irm.alert_groups()
    shown = [parse_alert_group(group.as_json(plugin=irm.plugin, with_number=False)) for group in newest_first]
    resolved = [each for each, group in zip(shown, newest_first, strict=True) if group.state == "resolved"]
    gone_keys = {world.webhook(number)["groupKey"] for number in world.gone_numbers}
    gone = [each for each in shown if each.notification and each.notification.webhook["groupKey"] in gone_keys]
    _write(table, (Put(intervention_item(_intervention(each, now)), None) for each in resolved))
    _write(table, (Put(mismatch_item(_mismatch(each, now), keep_for=_RETENTION), None) for each in gone))
    _write(table, [Put(seen_item(frozenset(map(sighting_of, shown)), {}, short_hash("", alertmanager_url)), None)])


def age_mismatches(table: Table, by: timedelta) -> None:
    """Let all open mismatches be found so much earlier."""
    deadline = Deadline(_SECONDS)
    found = table.query("open", deadline, prefix="mismatch#").items
    aged = [{**item, "detected_at": (mismatch_of(item).detected_at - by).isoformat()} for item in found]
    _write(table, (Put(item, item["version"]) for item in aged))


def _intervention(group: AlertGroup, now: datetime) -> Intervention:
    return Intervention(
        key=key_of(group),
        alert_group=group,
        action=Action.RESOLVE,
        verdict=Verdict.SILENCED,
        silences=short_hash(group.id),
        acted_at=now,
        run_id="an earlier run",
        is_done=True,
        covered_until=now + timedelta(days=1),
    )


def _mismatch(group: AlertGroup, now: datetime) -> Mismatch:
    """Found so lately that it is not resolved yet."""
    reason = "Alertmanager holds none of its alerts any more: their resolve was lost, or is on its way"
    finding = Finding(alert_group=group, verdict=Verdict.GONE, reason=reason)
    return Mismatch(
        id=new_id(now, finding.verdict, subject_of(finding)),
        type=finding.verdict,
        subject=subject_of(finding),
        signature=signature_of(finding),
        alert_group_id=group.id,
        title=group.title,
        url=group.url,
        integration_id=group.integration_id,
        action=Action.REPORT,
        reason=reason,
        detected_at=now,
        job_id="an earlier job",
        history=(HistoryEntry(at=now, event="found", message=reason, job_id="an earlier job"),),
    )


def _write(table: Table, puts: Iterable[Put]) -> None:
    for batch in _batches(list(puts)):
        table.transact(batch, Deadline(_SECONDS))


def _batches(puts: Sequence[Put]) -> Iterator[Sequence[Put]]:
    return (puts[start : start + _AT_ONCE] for start in range(0, len(puts), _AT_ONCE))
