"""Names and identities: what counts as the same alert group, the same mismatch, the same facts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from alert_sync.model import AlertGroup, Finding, Member, Verdict
from alert_sync.recall import ResolutionStatus, key_of, new_id, place_of, short_hash, signature_of, subject_of
from tests.builders import (
    GROUP_KEY,
    NOW,
    a_finding,
    a_keyed_group,
    a_mismatch,
    a_notification,
    a_silence,
    a_silenced_alert,
    an_alert,
    an_alert_group,
)

GROUP = a_keyed_group()


def keyed(**more: object) -> AlertGroup:
    return an_alert_group(notification=a_notification(**more))  # type: ignore[arg-type] # passed on


@pytest.mark.parametrize(
    ("other", "same_key", "same_place"),
    [
        pytest.param(a_keyed_group("I2"), True, True, id="the one that followed"),
        pytest.param(replace(GROUP, integration_id="C2"), False, False, id="another integration"),
        pytest.param(a_keyed_group(group_key="other"), False, True, id="routes edited"),
        pytest.param(keyed(receiver="renamed", group_key=GROUP_KEY), True, False, id="receiver renamed"),
        pytest.param(keyed(group_labels={"a": "b"}, group_key="other"), False, False, id="other labels"),
        pytest.param(keyed(), False, True, id="no group key"),
    ],
)
def test_alert_groups_are_told_apart_as_irm_does(other: AlertGroup, *, same_key: bool, same_place: bool) -> None:
    assert (key_of(other) == key_of(GROUP), place_of(other) == place_of(GROUP)) == (same_key, same_place)


def test_groups_without_a_group_key_are_told_apart_by_their_ids() -> None:
    ids = [an_alert_group(group_id, managed=False) for group_id in ("I1", "I2")]

    assert key_of(ids[0]) != key_of(ids[1])
    assert place_of(ids[0]) == key_of(ids[0])


def test_legacy_groups_of_the_same_alert_are_the_same() -> None:
    one, same, other = (
        an_alert_group(group_id, notification=a_notification(fingerprint, legacy=True))
        for group_id, fingerprint in (("I1", "f1"), ("I2", "f1"), ("I3", "f2"))
    )

    assert key_of(one) == key_of(same) == place_of(one)
    assert key_of(one) != key_of(other)


def test_subject_of_a_group_that_irm_does_not_have_is_its_place() -> None:
    missing = replace(GROUP, id="")

    assert [subject_of(a_finding(each)) for each in (GROUP, missing)] == ["I1", place_of(missing)]


def finding(*members: Member, group: AlertGroup = GROUP) -> Finding:
    return a_finding(group, members=members)


SILENCED = Member(alert=a_silenced_alert(), silences=(a_silence(),))
SIGNATURE = signature_of(finding(SILENCED))


@pytest.mark.parametrize(
    "same",
    [
        pytest.param(
            finding(Member(alert=a_silenced_alert(), silences=(a_silence(ends_in=timedelta(days=1)),))), id="extended"
        ),
        pytest.param(finding(SILENCED, group=replace(GROUP, title="another")), id="renamed"),
        pytest.param(replace(finding(SILENCED), reason="told otherwise"), id="another sentence"),
    ],
)
def test_signature_stays_while_the_facts_do(same: Finding) -> None:
    assert signature_of(same) == SIGNATURE


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(replace(finding(SILENCED), verdict=Verdict.SUPPRESSED), id="verdict"),
        pytest.param(finding(SILENCED, Member(alert=an_alert("f2"))), id="one alert more"),
        pytest.param(finding(Member(alert=a_silenced_alert("f2"), silences=SILENCED.silences)), id="another alert"),
        pytest.param(finding(Member(alert=a_silenced_alert(), silences=(a_silence("s2"),))), id="another silence"),
        pytest.param(finding(Member(alert=a_silenced_alert())), id="no silence"),
        pytest.param(
            finding(SILENCED, group=replace(GROUP, notification=a_notification("f1", "f2"))),
            id="the webhook lists another alert",
        ),
    ],
)
def test_signature_changes_when_the_facts_do(other: Finding) -> None:
    assert signature_of(other) != SIGNATURE


def test_ids_sort_by_time_wherever_the_clock_stands() -> None:
    berlin = timezone(timedelta(hours=1))
    moments = [
        datetime(2026, 1, 2, 3, 4, 5, 678_999, tzinfo=UTC),
        datetime(2026, 1, 2, 4, 4, 5, 679_000, tzinfo=berlin),
        datetime(2026, 1, 2, 3, 4, 6, tzinfo=UTC),
    ]

    ids = [new_id(moment, "part") for moment in moments]

    assert ids == sorted(ids)
    assert ids[0] == f"20260102T030405.678Z-{short_hash('part')[:12]}"


def test_ids_of_the_same_moment_differ_by_their_parts() -> None:
    assert new_id(NOW, "a", "b") != new_id(NOW, "ab") != new_id(NOW, "a", "b", "c")


@pytest.mark.parametrize("status", ResolutionStatus, ids=str)
def test_runs_look_at_a_mismatch_until_it_is_resolved(status: ResolutionStatus) -> None:
    is_resolved = status in (ResolutionStatus.AUTO_RESOLVED, ResolutionStatus.MANUAL_RESOLVED)

    assert a_mismatch(resolution_status=status).is_open is not is_resolved
