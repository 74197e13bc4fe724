"""Every record survives being stored, whatever is in it; and what is not understood is not forgotten by accident."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alert_sync.errors import ContractError
from alert_sync.memory.attribute_values import marshal, stored_bytes, unmarshal
from alert_sync.memory.items import (
    audit_item,
    audit_of,
    head_item,
    head_of,
    intervention_item,
    intervention_of,
    job_item,
    job_of,
    mismatch_item,
    mismatch_of,
    seen_item,
    seen_of,
)
from alert_sync.memory.table import MOST_BYTES
from alert_sync.model import Action, AlertGroup, AlertGroupState, Notification, Verdict
from alert_sync.recall import (
    DURATION_BUCKETS,
    AuditEntry,
    Condition,
    Counters,
    Head,
    HistoryEntry,
    Intervention,
    JobRecord,
    JobStatus,
    Lease,
    Mismatch,
    Receiver,
    ResolutionStatus,
    key_of,
    place_of,
)
from tests.builders import NOW, a_keyed_group, a_lease, a_mismatch, a_notification, an_alert_group, an_intervention

Item = dict[str, Any]
KEEP_FOR = timedelta(days=90)
IN_90_DAYS = int((NOW + KEEP_FOR).timestamp())

texts = st.sampled_from(["", "I1", "with spaces", "äöü 日本 \U0001f514", '{}:{a="b"}', "a\n\t\x00", "0", "null"])
names = st.sampled_from(["a", "alertname", "é", "team (a)", "1"])
moments = st.datetimes(datetime(2020, 1, 1), datetime(2099, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - bounds
versions = st.integers(1, 10**9)
counts = st.integers(0, 10**12)
seconds = st.floats(0, 1e9, allow_nan=False).filter(lambda number: number == 0 or number > 1e-100)
webhooks = st.fixed_dictionaries(
    {}, optional={"groupKey": texts, "externalURL": texts, "version": st.sampled_from(["4", 4])}
)
notifications = st.builds(
    Notification,
    receiver=texts,
    group_labels=st.dictionaries(names, texts, max_size=3).map(lambda labels: frozenset(labels.items())),
    firing=st.dictionaries(names, st.just({}), max_size=3),
    truncated_alerts=counts,
    legacy=st.booleans(),
    sent_at=st.none() | moments,
    webhook=webhooks,
)
alert_groups = st.builds(
    AlertGroup,
    id=texts,
    title=texts,
    url=texts,
    state=st.none() | st.sampled_from(AlertGroupState),
    created_at=moments,
    integration_id=texts,
    team_id=texts,
    notification=st.none() | notifications,
    resolved_at=st.none() | moments,
    resolved_by=texts,
    silenced_at=st.none() | moments,
)
interventions = st.builds(
    Intervention,
    key=texts,
    alert_group=alert_groups,
    action=st.sampled_from(Action),
    verdict=st.sampled_from(Verdict),
    silences=texts,
    acted_at=moments,
    intended_at=st.none() | moments,
    run_id=texts,
    is_done=st.booleans(),
    covered_until=st.none() | moments,
    silenced_until=st.none() | moments,
    version=versions,
)
history_entries = st.builds(HistoryEntry, at=moments, event=texts, message=texts, job_id=texts, who=texts)
mismatches = st.builds(
    Mismatch,
    id=texts,
    type=st.sampled_from(Verdict),
    subject=texts,
    signature=texts,
    alert_group_id=texts,
    title=texts,
    url=texts,
    integration_id=texts,
    action=st.sampled_from(Action),
    reason=texts,
    detected_at=moments,
    job_id=texts,
    resolution_status=st.sampled_from(ResolutionStatus),
    resolution_notes=texts,
    resolved_at=st.none() | moments,
    resolved_by=texts,
    history=st.lists(history_entries, max_size=3).map(tuple),
    kind=texts,
    version=versions,
)
documents = st.dictionaries(
    names, texts | st.integers(-(10**15), 10**15) | seconds | st.booleans() | st.lists(texts, max_size=2), max_size=3
)
jobs = st.builds(
    JobRecord,
    id=texts,
    run_id=texts,
    status=st.sampled_from(JobStatus),
    trigger=texts,
    dry_run=st.booleans(),
    started_at=moments,
    completed_at=st.none() | moments,
    mismatch_count=counts,
    message=texts,
    error=texts,
    document=documents,
    kind=texts,
    version=versions,
)
audit_entries = st.builds(
    AuditEntry,
    id=texts,
    at=moments,
    who=texts,
    action=texts,
    target=texts,
    before=texts,
    after=texts,
    run_id=texts,
    mismatch_id=texts,
    answer=texts,
    dry_run=st.booleans(),
)
leases = st.builds(
    Lease,
    job_id=texts,
    run_id=texts,
    trigger=texts,
    started_at=moments,
    expires_at=moments,
    dry_run=st.booleans(),
    was_queued=st.booleans(),
)
buckets = st.lists(counts, min_size=len(DURATION_BUCKETS) + 1, max_size=len(DURATION_BUCKETS) + 1).map(tuple)
counters = st.builds(
    Counters,
    reconciliations=counts,
    failures=counts,
    resolved=counts,
    failed_resolves=counts,
    handed_back=counts,
    duration_counts=buckets,
    duration_sum=seconds,
    inconsistencies_found=counts,
    last_timestamp=seconds,
    last_success=st.booleans(),
    last_success_timestamp=seconds,
    failures_in_a_row=counts,
)
conditions = st.builds(Condition, type=texts, status=texts, reason=texts, message=texts, changed_at=moments)
heads = st.builds(
    Head,
    version=versions,
    lease=st.none() | leases,
    counters=counters,
    conditions=st.lists(conditions, max_size=2).map(tuple),
)
receivers = st.dictionaries(
    names,
    st.builds(
        Receiver,
        integration_id=texts,
        team_id=texts,
        external_url=texts,
        routes=st.dictionaries(names, texts, max_size=2),
    ),
    max_size=2,
)


def stored(item: Item, *, version: int | None = 1) -> Item:
    """As it comes back from DynamoDB."""
    return unmarshal(marshal({**item, "version": version}))


@given(interventions)
def test_intervention_survives(intervention: Intervention) -> None:
    assert intervention_of(stored(intervention_item(intervention), version=intervention.version)) == intervention


@given(mismatches)
def test_mismatch_survives(mismatch: Mismatch) -> None:
    assert mismatch_of(stored(mismatch_item(mismatch, keep_for=KEEP_FOR), version=mismatch.version)) == mismatch


@given(jobs)
def test_job_survives(job: JobRecord) -> None:
    assert job_of(stored(job_item(job, keep_for=KEEP_FOR), version=job.version)) == job


@given(audit_entries)
def test_audit_entry_survives(entry: AuditEntry) -> None:
    assert audit_of(stored(audit_item([entry], keep_for=KEEP_FOR))) == (entry,)


@settings(max_examples=50)
@given(heads)
def test_head_survives(head: Head) -> None:
    assert head_of(stored(head_item(head), version=head.version)) == head


@given(st.frozensets(texts, max_size=3), receivers)
def test_what_was_seen_survives(seen: frozenset[str], known: dict[str, Receiver]) -> None:
    assert seen_of(stored(seen_item(seen, known, "http://am"))) == (seen, known, "http://am")


def test_table_that_no_run_has_used_yet_has_an_empty_head() -> None:
    assert head_of(None) == Head()


# --- what is kept of a webhook


def test_intervention_keeps_only_what_paging_again_needs() -> None:
    """The webhook is as large as its alerts, and annotations may say what does not belong into a table."""
    full = replace(
        a_notification("f1", group_key="k"),
        webhook={"groupKey": "k", "externalURL": "http://am", "version": "4", "alerts": [{"annotations": {"a": "b"}}]},
    )
    intervention = an_intervention(an_alert_group(notification=full))

    kept = intervention_of(stored(intervention_item(intervention)))

    abridged = replace(full, firing={"f1": {}}, webhook={"groupKey": "k", "externalURL": "http://am", "version": "4"})
    assert kept == replace(intervention, alert_group=an_alert_group(notification=abridged))


def test_names_of_an_alert_group_stay_those_it_was_made_quiet_under() -> None:
    groups = [
        a_keyed_group(),
        an_alert_group(),
        an_alert_group(notification=a_notification(legacy=True)),
        an_alert_group(managed=False),
    ]

    kept = [intervention_of(stored(intervention_item(an_intervention(group)))).alert_group for group in groups]

    assert [(key_of(each), place_of(each)) for each in kept] == [(key_of(each), place_of(each)) for each in groups]


def test_fingerprints_that_are_kept_are_bounded() -> None:
    """The group's labels find the others."""
    many = [f"{number:04}" for number in range(500)]
    intervention = an_intervention(an_alert_group(notification=a_notification(*many)))

    kept = intervention_of(stored(intervention_item(intervention))).alert_group.notification

    assert kept is not None
    assert sorted(kept.firing) == many[:200]


# --- what is kept of what was seen


def a_large_receiver(number: int) -> Receiver:
    """One with many routes, last seen on a day of its own: the higher the number, the later."""
    day = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=number)
    return Receiver(
        integration_id="C1",
        external_url="http://alertmanager.example",
        seen_on=f"{day:%Y-%m-%d}",
        routes={f"alertname,label{route:02}": f'{{}}/{{team="{"t" * 80}"}}/{{n="{route}"}}' for route in range(50)},
    )


# In an order that is neither that of their names nor that of their days.
LARGE_RECEIVERS = {f"receiver {number:03}": a_large_receiver(number * 7 % 500) for number in range(500)}
MANY_SIGHTINGS = frozenset(f"IRM{number:010}#0123abcd" for number in range(20_000))


def test_what_was_seen_fits_into_an_item_however_much_it_is() -> None:
    """Or no run could be written down any more."""
    item = seen_item(MANY_SIGHTINGS, LARGE_RECEIVERS, "http://am")

    assert stored_bytes({**item, "version": 10**9}) < MOST_BYTES
    assert set(item["ids"]) < MANY_SIGHTINGS
    assert len(item["ids"]) > 10_000


def test_receivers_that_were_seen_last_are_kept() -> None:
    """They are the ones whose alert groups may be missing today."""
    seen, known, source = seen_of(stored(seen_item(frozenset(), LARGE_RECEIVERS, "http://am")))

    newest = sorted(LARGE_RECEIVERS, key=lambda name: LARGE_RECEIVERS[name].seen_on)[-len(known) :]
    assert (seen, known, source) == (frozenset(), {name: LARGE_RECEIVERS[name] for name in newest}, "http://am")
    assert 0 < len(known) < 500


def test_many_sightings_cost_no_receiver_and_many_receivers_no_sighting() -> None:
    few_receivers = {name: LARGE_RECEIVERS[name] for name in list(LARGE_RECEIVERS)[:5]}
    few_sightings = frozenset(sorted(MANY_SIGHTINGS)[:1000])

    _, receivers_left, _ = seen_of(stored(seen_item(MANY_SIGHTINGS, few_receivers, "http://am")))
    sightings_left, _, _ = seen_of(stored(seen_item(few_sightings, LARGE_RECEIVERS, "http://am")))

    assert (receivers_left, sightings_left) == (few_receivers, few_sightings)


def test_all_that_was_seen_is_kept_where_it_fits() -> None:
    """Ten receivers with fifty routes each, and ten thousand open alert groups, are not too many."""
    seen = frozenset(sorted(MANY_SIGHTINGS)[:10_000])
    known = {name: LARGE_RECEIVERS[name] for name in list(LARGE_RECEIVERS)[:10]}

    assert seen_of(stored(seen_item(seen, known, "http://am"))) == (seen, known, "http://am")


# --- where items are, and for how long


@pytest.mark.parametrize(
    ("status", "place"),
    [
        (ResolutionStatus.PENDING, ("open", "mismatch#m1", None)),
        (ResolutionStatus.IGNORED, ("open", "mismatch#m1", None)),
        (ResolutionStatus.AUTO_RESOLVED, ("closed", "m1", IN_90_DAYS)),
        (ResolutionStatus.MANUAL_RESOLVED, ("closed", "m1", IN_90_DAYS)),
    ],
)
def test_mismatch_is_kept_for_ever_while_it_is_open(status: ResolutionStatus, place: tuple[object, ...]) -> None:
    item = mismatch_item(a_mismatch(id="m1", resolution_status=status, resolved_at=NOW), keep_for=KEEP_FOR)

    assert (item["pk"], item["sk"], item.get("expires_at")) == place


def test_closed_mismatch_without_a_moment_is_kept_from_its_beginning() -> None:
    closed = a_mismatch(detected_at=NOW, resolution_status=ResolutionStatus.AUTO_RESOLVED)

    assert mismatch_item(closed, keep_for=KEEP_FOR)["expires_at"] == IN_90_DAYS


def test_what_has_ended_has_an_end() -> None:
    job = JobRecord(id="j1", run_id="r1", status=JobStatus.COMPLETED, trigger="cli", dry_run=False, started_at=NOW)
    entry = AuditEntry(id="a1", at=NOW, who="ann", action="resolve", target="I1", before="firing", after="resolved")

    items = [job_item(job, keep_for=KEEP_FOR), audit_item([entry], keep_for=KEEP_FOR)]

    assert [(item["pk"], item["sk"], item["expires_at"]) for item in items] == [
        ("job", "j1", IN_90_DAYS),
        ("audit", "a1", IN_90_DAYS),
    ]


def test_what_is_looked_up_by_its_key_has_one() -> None:
    intervention = an_intervention()

    items = [head_item(Head()), intervention_item(intervention), seen_item(frozenset(), {}, "http://am")]

    assert [(item["pk"], item["sk"], item.get("expires_at")) for item in items] == [
        ("head", "head", None),
        ("open", f"intervention#{intervention.key}", None),
        ("open", "seen", None),
    ]


# --- other versions


def test_number_that_only_a_later_version_counts_is_left_out() -> None:
    head = Head(version=1, counters=Counters(reconciliations=3))
    item = head_item(head)
    later = {**item, "counters": {**item["counters"], "postponed": 5}}

    assert head_of(stored(later)) == head


def test_number_that_an_earlier_version_did_not_count_begins_at_nothing() -> None:
    item = head_item(Head(counters=Counters(reconciliations=3, handed_back=2)))
    del item["counters"]["handed_back"]

    assert head_of(stored(item)) == Head(version=1, counters=Counters(reconciliations=3))


def test_what_only_a_later_version_knows_of_a_receiver_is_left_out() -> None:
    item = seen_item(frozenset(), {"oncall": Receiver(integration_id="C1")}, "http://am")
    item["receivers"]["oncall"]["weight"] = 3

    assert seen_of(stored(item)) == (frozenset(), {"oncall": Receiver(integration_id="C1")}, "http://am")


JOB = JobRecord(id="j1", run_id="r1", status=JobStatus.QUEUED, trigger="http", dry_run=False, started_at=NOW)
ENTRY = AuditEntry(id="a1", at=NOW, who="ann", action="resolve", target="I1", before="firing", after="resolved")


@pytest.mark.parametrize(
    ("item", "read", "fault"),
    [
        pytest.param(intervention_item(an_intervention()), intervention_of, {"action": "mute"}, id="intervention"),
        pytest.param(intervention_item(an_intervention()), intervention_of, {"alert_group": None}, id="alert group"),
        pytest.param(mismatch_item(a_mismatch(), keep_for=KEEP_FOR), mismatch_of, {"type": "odd"}, id="mismatch"),
        pytest.param(mismatch_item(a_mismatch(), keep_for=KEEP_FOR), mismatch_of, {"history": 3}, id="history"),
        pytest.param(job_item(JOB, keep_for=KEEP_FOR), job_of, {"started_at": "yesterday"}, id="job"),
        pytest.param(audit_item([ENTRY], keep_for=KEEP_FOR), audit_of, {"entries": 5}, id="audit entry"),
        pytest.param(head_item(Head(lease=a_lease())), head_of, {"lease": {"run_id": "r1"}}, id="lease"),
        pytest.param(head_item(Head()), head_of, {"counters": {}}, id="counters"),
        pytest.param(seen_item(frozenset(), {}, "http://am"), seen_of, {"ids": None}, id="seen"),
    ],
)
def test_item_that_is_not_understood_ends_the_run(item: Item, read: Callable[[Item], object], fault: Item) -> None:
    with pytest.raises(ContractError, match=rf"read item {item['pk']}/.*not as this version writes it"):
        read(stored({**item, **fault}))
