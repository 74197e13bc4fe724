"""The text of GET /metrics, read as Prometheus reads it, and checked as `promtool check metrics` checks it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from alert_sync.asking.alert_states import AlertStateSample, alert_states
from alert_sync.asking.prometheus_text import CONTENT_TYPE, exposition
from alert_sync.model import Action, Alert, AlertState, Verdict
from alert_sync.recall import Condition, Counters, Head, Mismatch, ResolutionStatus
from tests.builders import (
    NOW,
    a_notification,
    a_peer,
    a_silence,
    a_silenced_alert,
    alertmanager_with,
    an_aggregation_group,
    an_alert,
    an_alert_group,
    an_inhibited_alert,
    irm_with,
    peers_with,
)
from tests.support.tools import PROJECT

PREFIX = "alertmanager_sync_"

Series = tuple[str, frozenset[tuple[str, str]]]

COUNTERS = Counters(
    reconciliations=9,
    failures=2,
    resolved=5,
    failed_resolves=1,
    handed_back=3,
    duration_counts=(0, 1, 5, 0, 0, 0, 0, 1, 0, 0, 1),
    duration_sum=131.25,
    inconsistencies_found=4,
    last_timestamp=1_795_230_300.5,
    last_success=True,
    last_success_timestamp=1_795_230_000.25,
)


def a_mismatch(
    number: int,
    type_: Verdict = Verdict.SILENCED,
    status: ResolutionStatus = ResolutionStatus.PENDING,
    *,
    age: timedelta = timedelta(minutes=10),
) -> Mismatch:
    return Mismatch(
        id=f"m{number}",
        type=type_,
        subject=f"I{number}",
        signature="",
        alert_group_id=f"I{number}",
        title="",
        url="",
        integration_id="C1",
        action=Action.RESOLVE,
        reason="",
        detected_at=NOW - age,
        job_id="j1",
        resolution_status=status,
    )


def text(
    counters: Counters = COUNTERS,
    mismatches: Sequence[Mismatch] = (),
    conditions: tuple[Condition, ...] = (),
    alerts: Sequence[AlertStateSample] = (),
) -> str:
    head = Head(counters=counters, conditions=conditions)
    return exposition(head, mismatches, now=NOW, alert_states=alerts)


def values(exposed: str) -> dict[Series, float]:
    """Every sample by name and labels; none may be there twice."""
    samples = [sample for family in text_string_to_metric_families(exposed) for sample in family.samples]
    found = {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}
    assert len(found) == len(samples)
    return found


def series(name: str, **labels: str) -> Series:
    return PREFIX + name, frozenset(labels.items())


def plain(exposed: str) -> dict[str, float]:
    """The samples without labels, names without their prefix."""
    return {name.removeprefix(PREFIX): value for (name, labels), value in values(exposed).items() if not labels}


EVERYTHING = text(
    mismatches=[a_mismatch(1)], alerts=[AlertStateSample(labels={"alertname": "A", "fingerprint": "f1"}, value=1)]
)


# --- values


def test_counters_are_exposed_under_the_names_that_queries_use() -> None:
    assert plain(text()) == {
        "reconciliation_total": 9,
        "reconciliation_failures_total": 2,
        "reconciliation_duration_seconds_count": 8,
        "reconciliation_duration_seconds_sum": 131.25,
        "inconsistencies_found": 4,
        "inconsistencies_resolved_total": 5,
        "inconsistencies_failed_resolve_total": 1,
        "last_reconciliation_timestamp_seconds": 1_795_230_000.25,
        "last_reconciliation_success": 1,
        "last_attempt_timestamp_seconds": 1_795_230_300.5,
        "handed_back_total": 3,
    }


def test_buckets_are_cumulative() -> None:
    buckets = {
        dict(labels)["le"]: value
        for (name, labels), value in values(text()).items()
        if name == PREFIX + "reconciliation_duration_seconds_bucket"
    }

    assert buckets == {
        "0.1": 0,
        "0.25": 1,
        "0.5": 6,
        "1.0": 6,
        "2.5": 6,
        "5.0": 6,
        "10.0": 6,
        "30.0": 7,
        "60.0": 7,
        "120.0": 7,
        "+Inf": 8,
    }


def test_everything_is_there_before_the_first_run() -> None:
    exposed = plain(text(Counters()))

    assert set(exposed) == set(plain(text()))
    assert set(exposed.values()) == {0}


def test_open_inconsistencies_are_counted_by_type_and_status() -> None:
    mismatches = [
        a_mismatch(1),
        a_mismatch(2),
        a_mismatch(3, status=ResolutionStatus.IGNORED),
        a_mismatch(4, Verdict.GONE, ResolutionStatus.IGNORED),
        a_mismatch(5, Verdict.MISSING),
        a_mismatch(6, Verdict.FIRING, ResolutionStatus.AUTO_RESOLVED),
        a_mismatch(7, Verdict.FIRING, ResolutionStatus.MANUAL_RESOLVED),
    ]

    exposed = values(text(mismatches=mismatches))

    assert {key: value for key, value in exposed.items() if key[0] == PREFIX + "inconsistencies"} == {
        series("inconsistencies", type="silenced", resolution_status="PENDING"): 2,
        series("inconsistencies", type="silenced", resolution_status="IGNORED"): 1,
        series("inconsistencies", type="gone", resolution_status="PENDING"): 0,
        series("inconsistencies", type="gone", resolution_status="IGNORED"): 1,
        series("inconsistencies", type="missing", resolution_status="PENDING"): 1,
        series("inconsistencies", type="missing", resolution_status="IGNORED"): 0,
        series("inconsistencies", type="firing", resolution_status="PENDING"): 0,
        series("inconsistencies", type="firing", resolution_status="IGNORED"): 0,
    }


def test_type_that_nobody_expected_is_counted_too() -> None:
    exposed = values(text(mismatches=[a_mismatch(1, Verdict.SUPPRESSED)]))

    assert exposed[series("inconsistencies", type="suppressed", resolution_status="PENDING")] == 1


def test_age_is_that_of_the_oldest_inconsistency_which_nobody_ignores() -> None:
    mismatches = [
        a_mismatch(1, age=timedelta(minutes=1)),
        a_mismatch(2, age=timedelta(minutes=7)),
        a_mismatch(3, status=ResolutionStatus.IGNORED, age=timedelta(days=9)),
        a_mismatch(4, Verdict.GONE, age=timedelta(seconds=-30)),
    ]

    exposed = values(text(mismatches=mismatches))

    assert {key: value for key, value in exposed.items() if "oldest" in key[0]} == {
        series("oldest_inconsistency_age_seconds", type="silenced"): 420,
        series("oldest_inconsistency_age_seconds", type="gone"): 0,
        series("oldest_inconsistency_age_seconds", type="missing"): 0,
        series("oldest_inconsistency_age_seconds", type="firing"): 0,
    }


def test_condition_is_1_for_the_status_that_holds() -> None:
    stalled = Condition(type="Stalled", status="True", reason="RunsFail", message="", changed_at=NOW)

    exposed = values(text(conditions=(stalled,)))

    holds = {labels for (name, labels), value in exposed.items() if name == PREFIX + "condition" and value}
    assert sum(name == PREFIX + "condition" for name, _ in exposed) == 12
    assert holds == {
        frozenset({("type", "InSync"), ("status", "Unknown")}),
        frozenset({("type", "AlertmanagerReachable"), ("status", "Unknown")}),
        frozenset({("type", "IrmReachable"), ("status", "Unknown")}),
        frozenset({("type", "Stalled"), ("status", "True")}),
    }


# --- what promtool and Prometheus want


def test_every_metric_has_help_and_a_type_that_fits_its_name() -> None:
    families = list(text_string_to_metric_families(EVERYTHING))

    assert len({family.name for family in families}) == len(families)
    for family in families:
        assert family.documentation.endswith(".")
        assert family.type in {"counter", "gauge", "histogram"}
        assert f"# TYPE {family.name}{'_total' if family.type == 'counter' else ''} {family.type}\n" in EVERYTHING


def test_names_follow_the_conventions() -> None:
    families = list(text_string_to_metric_families(EVERYTHING))

    names = [family.name for family in families]
    labels = {label for family in families for sample in family.samples for label in sample.labels}
    assert all(re.fullmatch(r"alertmanager_sync_[a-z_]+", name) for name in names)
    assert not [name for name in names if name.endswith(("_total", "_count", "_sum", "_bucket", "_created", "_info"))]
    assert not [name for name in names if re.search(r"_(ms|milliseconds|minutes|sec)(_|$)", name)]
    timed = [name for name in names if re.search(r"_(duration|age|timestamp)(_|$)", name)]
    assert timed == [name for name in names if name.endswith("_seconds")]
    assert all(re.fullmatch(r"[a-z_]+", label) for label in labels)
    assert [family.name for family in families for sample in family.samples if "le" in sample.labels] == [
        PREFIX + "reconciliation_duration_seconds"
    ] * 11


def test_text_is_of_the_format_that_its_type_names() -> None:
    assert CONTENT_TYPE == "text/plain; version=0.0.4; charset=utf-8"
    assert EVERYTHING.endswith("\n")
    assert "# EOF" not in EVERYTHING


def test_library_is_loaded_by_the_text_only() -> None:
    code = "import sys, alert_sync.asking.alert_states, alert_sync.handler; print('prometheus_client' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(PROJECT / "src")}

    ran = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)

    assert ran.stdout == "False\n"


# --- the state of alerts


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_every_label_value_survives(value: str) -> None:
    exposed = text(alerts=[AlertStateSample(labels={"alertname": value}, value=0)])

    assert values(exposed)[series("alert_state", alertname=value)] == 0


@pytest.mark.parametrize("value", ['say "no"', "C:\\new\\table", "two\nlines", "\\", '"', "\\n", "}{,=# HELP", "ü 💩"])
def test_label_value_that_looks_like_syntax_survives(value: str) -> None:
    exposed = text(alerts=[AlertStateSample(labels={"alertname": value}, value=1)])

    assert values(exposed)[series("alert_state", alertname=value)] == 1


def test_no_alert_is_no_metric() -> None:
    assert "alert_state" not in text()


BLANK = {
    "alertname": "HighLatency",
    "fingerprint": "f1",
    "suppressed": "false",
    "silenced_by": "",
    "inhibited_by": "",
    "alert_group_id": "",
    "created_at": "",
    "acknowledged_by": "",
    "acknowledged_at": "",
    "resolved_by": "",
    "resolved_at": "",
}
OF_I1 = {"alert_group_id": "I1", "created_at": str(int((NOW - timedelta(hours=1)).timestamp()))}


def a_sample(value: int, **labels: str) -> AlertStateSample:
    return AlertStateSample(labels={**BLANK, **labels}, value=value)


def states(*alerts: Alert, labels: Sequence[str] = ()) -> list[AlertStateSample]:
    return alert_states(alertmanager_with(*alerts), irm_with(), labels)


def test_active_alert_of_an_open_alert_group_is_1() -> None:
    samples = alert_states(alertmanager_with(an_alert()), irm_with(an_alert_group()), ())

    assert samples == [a_sample(1, **OF_I1)]


def test_silenced_alert_is_0_and_names_the_author() -> None:
    samples = alert_states(alertmanager_with(a_silenced_alert()), irm_with(an_alert_group()), ())

    assert samples == [a_sample(0, suppressed="true", silenced_by="ann", **OF_I1)]


def test_inhibited_alert_is_not_suppressed_in_the_sense_of_this_label() -> None:
    assert states(an_inhibited_alert()) == [a_sample(0, inhibited_by="f9")]


@pytest.mark.parametrize("state", [AlertState.UNPROCESSED, AlertState.SUPPRESSED, AlertState.UNKNOWN])
def test_only_active_is_1(state: AlertState) -> None:
    assert states(an_alert(state=state)) == [a_sample(0)]


@pytest.mark.parametrize(
    ("silences", "author"),
    [
        ({"s1": "ann", "s2": "bob"}, "ann"),
        ({"s2": "bob"}, "bob"),
        ({}, ""),
        ({"s1": "ann@example.com"}, ""),
        ({"s1": ""}, ""),
    ],
    ids=["first by id", "first that is known", "none known", "e-mail address", "nobody named"],
)
def test_author_is_that_of_the_first_silence_and_no_address(silences: Mapping[str, str], author: str) -> None:
    alert = a_silenced_alert(by=("s2", "s1"))
    known = [a_silence(silence_id, author=name) for silence_id, name in silences.items()]

    samples = alert_states(alertmanager_with(alert, silences=known), irm_with(), ())

    assert samples == [a_sample(0, suppressed="true", silenced_by=author)]


def test_alert_of_several_alert_groups_is_there_once_for_each() -> None:
    irm = irm_with(an_alert_group("I2", integration_id="C2"), an_alert_group("I1"))

    samples = alert_states(alertmanager_with(an_alert()), irm, ())

    assert [sample.labels["alert_group_id"] for sample in samples] == ["I1", "I2"]


def test_nothing_makes_a_series_twice() -> None:
    group = an_aggregation_group(an_alert("f1"), an_alert("f2"))
    alertmanager = peers_with(a_peer(group, group), a_peer(group, url="http://b:9093"))
    twice = an_alert_group(notification=a_notification("f1", "f2"))

    samples = alert_states(alertmanager, irm_with(twice, twice), ["alertname", "alertname", "fingerprint"])

    assert [(each.labels["fingerprint"], each.labels["alert_group_id"]) for each in samples] == [
        ("f1", "I1"),
        ("f2", "I1"),
    ]
    assert len(values(text(alerts=samples))) == len(values(text())) + 2


def test_chosen_labels_are_added_and_may_be_empty() -> None:
    samples = states(an_alert(labels={"alertname": "HighLatency", "severity": "page"}), labels=["severity", "team"])

    assert samples == [a_sample(1, severity="page", team="")]


def test_chosen_label_never_replaces_one_of_ours() -> None:
    labels = {"alertname": "HighLatency", "suppressed": "maybe", "resolved_by": "me", "__name__": "up"}

    samples = states(an_alert(labels=labels), labels=["suppressed", "resolved_by", "__name__"])

    assert samples == [a_sample(1)]


def test_alert_group_that_cannot_be_understood_has_no_time() -> None:
    irm = irm_with(replace(an_alert_group(), fault="created_at is missing"))

    samples = alert_states(alertmanager_with(an_alert()), irm, ())

    assert samples == [a_sample(1, alert_group_id="I1")]


def test_alert_group_that_is_not_alertmanager_s_has_no_alerts() -> None:
    samples = alert_states(alertmanager_with(an_alert()), irm_with(an_alert_group(managed=False)), ())

    assert samples == [a_sample(1)]


def test_order_of_the_facts_does_not_matter() -> None:
    one, other = an_alert("f1"), an_alert("f2")
    groups = (an_alert_group("I1"), an_alert_group("I2", integration_id="C2"))

    first = alert_states(alertmanager_with(one, other), irm_with(*groups), ())
    second = alert_states(alertmanager_with(other, one), irm_with(*reversed(groups)), ())

    assert first == second
