"""What a person at a terminal reads, whole: tables that line up, nothing that another system could smuggle in."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import pytest

from alert_sync.model import (
    Action,
    AlertGroupState,
    AlertState,
    Change,
    ChangeResult,
    Finding,
    Member,
    Outcome,
    Plan,
    Verdict,
)
from alert_sync.report import Report, Status, Trigger
from alert_sync.terminal import Terminal, explanation_document, would
from tests.builders import NOW, a_silence, a_silenced_alert, an_alert, an_alert_group, an_inhibited_alert

PLAIN = Terminal(has_colours=False)
COLOURED = Terminal(has_colours=True)

EMPTY = Report(
    run_id="r1", trigger=Trigger.CLI, status=Status.SUCCESS, message="nothing to do", dry_run=False, started_at=NOW
)
SMUGGLED = "a\033[31mred\nline\r\x07\u202etab\tend"
HARMLESS = "a [31mred line tab end"


def a_finding(group_id: str = "I1", verdict: Verdict = Verdict.SILENCED, **more: object) -> Finding:
    group = replace(an_alert_group(group_id), **more)  # type: ignore[arg-type] # passed on
    return Finding(alert_group=group, verdict=verdict, reason=f"reason of {group_id}")


def a_change(finding: Finding) -> Change:
    return Change(finding=finding, action=Action.RESOLVE)


def a_result(outcome: Outcome, finding: Finding, error: str = "") -> ChangeResult:
    return ChangeResult(change=a_change(finding), outcome=outcome, error=error)


def a_report(*results: ChangeResult, kept: tuple[Finding, ...] = ()) -> Report:
    plan = Plan(changes=tuple(result.change for result in results), kept=kept, managed=len(results))
    return replace(EMPTY, plan=plan, results=results)


def a_member() -> Member:
    alert = replace(
        a_silenced_alert("f1", by=("s1", "s2")),
        inhibited_by=("f8", "f9"),
        muted_by=("offhours",),
        labels={"severity": "critical", "alertname": "HighLatency"},
    )
    later = a_silence("s2", ends_in=timedelta(hours=2), author="bob", comment="")
    return Member(alert=alert, silences=(a_silence(), later))


def without_colours(text: str) -> str:
    return re.sub("\033\\[\\d+m", "", text)


# --- a run


def test_run_without_a_plan_shows_its_end() -> None:
    failed = replace(EMPTY, status=Status.FAILED, message="nothing was changed: the run failed", error="no answer")

    assert PLAIN.report(failed).splitlines() == [
        "CHANGES",
        "  none",
        "",
        "KEPT, WORTH A LOOK",
        "  none",
        "",
        "0 alerts, 0 open alert groups",
        "kept: none",
        "FAILED: nothing was changed: the run failed",
        "error: no answer",
    ]


def test_run_in_which_everything_happened_is_a_table() -> None:
    results = (
        a_result(Outcome.APPLIED, a_finding("I1", title="Short")),
        a_result(Outcome.ALREADY, a_finding("I22", title="Exactly forty characters long, not more!")),
        a_result(Outcome.FAILED, a_finding("I3", title="More than forty characters, of which the last are cut"), "why"),
        a_result(Outcome.DEFERRED, a_finding("I4", title=""), "no time"),
    )
    kept = (
        a_finding("K1", Verdict.GONE),
        a_finding("K2", Verdict.UNKNOWN, state=None),
        a_finding("K3", Verdict.SUPPRESSED, state=AlertGroupState.ACKNOWLEDGED),
        a_finding("K4", Verdict.SILENCED),
        a_finding("K5", Verdict.FIRING),
        a_finding("K6", Verdict.UNMANAGED),
        a_finding("K7", Verdict.OUT_OF_SCOPE),
    )
    report = replace(
        a_report(*results, kept=kept),
        status=Status.PARTIAL,
        message="inconsistencies: 5 found",
        alerts_fetched=70,
        alert_groups_examined=11,
        warnings=("a peer is down", "a note could not be left"),
    )

    assert PLAIN.report(report).splitlines() == [
        "CHANGES",
        "  applied   resolve  I1   Short                                     reason of I1",
        "  already   resolve  I22  Exactly forty characters long, not more!  reason of I22",
        "  failed    resolve  I3   More than forty characters, of which th…  reason of I3; why",
        "  deferred  resolve  I4   (no title)                                reason of I4; no time",
        "",
        "KEPT, WORTH A LOOK",
        "  gone        firing        K1  title of K1  reason of K1",
        "  unknown     unknown       K2  title of K2  reason of K2",
        "  suppressed  acknowledged  K3  title of K3  reason of K3",
        "  silenced    firing        K4  title of K4  reason of K4",
        "",
        "70 alerts, 11 open alert groups",
        "kept: 1 firing, 1 suppressed, 1 gone, 1 unknown, 1 unmanaged, 1 out_of_scope, 1 silenced",
        "warning: a peer is down",
        "warning: a note could not be left",
        "PARTIAL: inconsistencies: 5 found",
    ]


@pytest.mark.parametrize(("count", "more"), [(50, []), (51, ["  and 1 more"]), (90, ["  and 40 more"])])
def test_only_so_much_is_shown_of_what_was_kept(count: int, more: list[str]) -> None:
    kept = tuple(a_finding(f"K{number}", Verdict.GONE) for number in range(count))

    lines = PLAIN.report(a_report(kept=kept)).splitlines()

    assert [line for line in lines if line.startswith("  and ")] == more
    assert sum(line.startswith("  gone") for line in lines) == 50


def test_colours_change_nothing_but_colours() -> None:
    results = (a_result(Outcome.APPLIED, a_finding("I1")), a_result(Outcome.FAILED, a_finding("I2"), "why"))
    report = a_report(*results, kept=(a_finding("K1", Verdict.GONE),))

    coloured = COLOURED.report(report)

    assert without_colours(coloured) == PLAIN.report(report)


@pytest.mark.parametrize(
    ("outcome", "colour"),
    [
        pytest.param(Outcome.APPLIED, 32, id="applied is green"),
        pytest.param(Outcome.ALREADY, 32, id="already is green"),
        pytest.param(Outcome.FAILED, 31, id="failed is red"),
        pytest.param(Outcome.DEFERRED, 33, id="deferred is yellow"),
        pytest.param(Outcome.PLANNED, 1, id="planned is bold"),
    ],
)
def test_outcome_has_a_colour(outcome: Outcome, colour: int) -> None:
    assert f"\n  \033[{colour}m{outcome.value:8}\033[0m  " in COLOURED.report(a_report(a_result(outcome, a_finding())))


@pytest.mark.parametrize(
    ("status", "colour"),
    [
        pytest.param(Status.SUCCESS, 32, id="success is green"),
        pytest.param(Status.PARTIAL, 33, id="partial is yellow"),
        pytest.param(Status.FAILED, 31, id="failed is red"),
        pytest.param(Status.REFUSED, 31, id="refused is red"),
    ],
)
def test_status_has_a_colour(status: Status, colour: int) -> None:
    last = COLOURED.report(replace(EMPTY, status=status)).splitlines()[-1]

    assert last == f"\033[{colour}m{status.upper()}\033[0m: nothing to do"


def test_title_cannot_write_anywhere_else_on_the_screen() -> None:
    finding = a_finding("I1", title=SMUGGLED)
    report = a_report(a_result(Outcome.APPLIED, finding), kept=(replace(finding, verdict=Verdict.GONE),))

    shown = PLAIN.report(report)

    assert shown.count(HARMLESS) == 2
    assert all(character.isprintable() for character in shown.replace("\n", ""))


# --- one alert group explained


def test_silenced_alert_group_is_explained() -> None:
    finding = replace(a_finding(), members=(a_member(),))

    assert PLAIN.explanation(finding, a_change(finding)).splitlines() == [
        "title of I1  (I1, firing)",
        "  http://grafana.example/I1",
        "",
        "members in Alertmanager:",
        '  f1  suppressed  {alertname="HighLatency", severity="critical"}',
        "    silenced by ann until 2026-11-21 04:00 UTC (s1): deploy",
        "    silenced by bob until 2026-11-21 05:00 UTC (s2): ",
        "    inhibited by f8, f9",
        "    muted by offhours",
        "",
        "verdict: silenced: reason of I1",
        "rule:    some alerts, each under a silence that holds: quieten as SILENCED_ACTION says",
        "would:   resolve",
    ]


def test_alert_group_without_members_is_explained() -> None:
    finding = a_finding(verdict=Verdict.UNKNOWN, title="", url="", state=None)

    assert PLAIN.explanation(finding, None).splitlines() == [
        "I1  (I1, unknown)",
        "",
        "members in Alertmanager: none",
        "",
        "verdict: unknown: reason of I1",
        "rule:    what cannot be known for certain keeps the page",
        "would:   keep it as it is",
    ]


def test_states_of_members_line_up() -> None:
    unprocessed = an_alert("f2", state=AlertState.UNPROCESSED)
    members = tuple(Member(alert=alert) for alert in (an_alert("f1"), unprocessed, an_inhibited_alert("f3")))

    lines = PLAIN.explanation(replace(a_finding(verdict=Verdict.FIRING), members=members), None).splitlines()

    assert lines[4:8] == [
        '  f1  active      {alertname="HighLatency"}',
        '  f2  unprocessed {alertname="HighLatency"}',
        '  f3  suppressed  {alertname="HighLatency"}',
        "    inhibited by f9",
    ]


@pytest.mark.parametrize("verdict", Verdict)
def test_every_verdict_has_its_rule(verdict: Verdict) -> None:
    explained = PLAIN.explanation(a_finding(verdict=verdict), None)

    assert re.search(r"^rule:    \S.*\S$", explained, re.MULTILINE)


def test_explanation_in_colours_says_the_same() -> None:
    finding = replace(a_finding(), members=(a_member(),))

    coloured = COLOURED.explanation(finding, None)

    assert without_colours(coloured) == PLAIN.explanation(finding, None)
    assert coloured.startswith("\033[1mtitle of I1\033[0m")


def test_explanation_shows_nothing_that_could_move_the_cursor() -> None:
    silence = a_silence(SMUGGLED, author=SMUGGLED, comment=SMUGGLED)
    labels = {SMUGGLED: SMUGGLED}
    alert = replace(an_alert(SMUGGLED, labels=labels), inhibited_by=(SMUGGLED,), muted_by=(SMUGGLED,))
    group = a_finding(title=SMUGGLED, url=SMUGGLED)
    finding = replace(group, members=(Member(alert=alert, silences=(silence,)),))

    shown = PLAIN.explanation(finding, None)

    assert all(character.isprintable() for character in shown.replace("\n", ""))
    assert (
        len(shown.splitlines())
        == len(PLAIN.explanation(replace(a_finding(), members=(a_member(),)), None).splitlines()) - 1
    )


# --- what a run would do


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(None, "keep it as it is", id="nothing"),
        pytest.param(a_change(a_finding()), "resolve", id="resolve"),
        pytest.param(
            Change(finding=a_finding(), action=Action.SILENCE, silence_seconds=3900),
            "silence for 3900 s",
            id="silence",
        ),
        pytest.param(Change(finding=a_finding(), action=Action.REPORT), "report", id="report"),
    ],
)
def test_what_a_run_would_do_is_said_in_words(change: Change | None, words: str) -> None:
    assert would(change) == words


# --- the same as JSON


def test_explanation_as_json_holds_everything() -> None:
    finding = replace(a_finding(), members=(a_member(),))
    change = Change(finding=finding, action=Action.SILENCE, silence_seconds=3900)

    assert explanation_document(finding, change) == {
        "alert_group_id": "I1",
        "title": "title of I1",
        "url": "http://grafana.example/I1",
        "state": "firing",
        "verdict": "silenced",
        "reason": "reason of I1",
        "rule": "some alerts, each under a silence that holds: quieten as SILENCED_ACTION says",
        "change": "silence",
        "silence_seconds": 3900,
        "members": [
            {
                "fingerprint": "f1",
                "state": "suppressed",
                "labels": {"severity": "critical", "alertname": "HighLatency"},
                "silenced_by": ["s1", "s2"],
                "inhibited_by": ["f8", "f9"],
                "muted_by": ["offhours"],
                "silences": [
                    {"id": "s1", "author": "ann", "comment": "deploy", "ends_at": "2026-11-21T04:00:00Z"},
                    {"id": "s2", "author": "bob", "comment": "", "ends_at": "2026-11-21T05:00:00Z"},
                ],
            }
        ],
    }


def test_explanation_as_json_without_a_change() -> None:
    document = explanation_document(a_finding(verdict=Verdict.GONE, state=None), None)

    assert document == {
        "alert_group_id": "I1",
        "title": "title of I1",
        "url": "http://grafana.example/I1",
        "state": "unknown",
        "verdict": "gone",
        "reason": "reason of I1",
        "rule": "no alert left in an Alertmanager that can be trusted: a lost resolve, repaired with memory only",
        "change": None,
        "silence_seconds": None,
        "members": [],
    }
