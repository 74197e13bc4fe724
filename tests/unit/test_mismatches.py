"""The life of a mismatch: found, attempted, changed, resolved; and what a run could not see stays as it is."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from alert_sync.mismatches import SERVICE, followed_mismatches
from alert_sync.model import Action, ChangeResult, Finding, Outcome, Plan, Question, Verdict
from alert_sync.recall import HistoryEntry, Mismatch, Recall, ResolutionStatus, new_id, place_of, signature_of
from tests.builders import (
    NOW,
    a_change,
    a_finding,
    a_keyed_group,
    a_mismatch,
    a_recall,
    a_result,
)

JOB = "this job"
EARLIER = NOW - timedelta(minutes=20)
NOTHING = Plan(changes=(), kept=(), managed=1)
GONE = a_finding(verdict=Verdict.GONE, members=(), reason="none of its alerts is held")
MISSING = a_finding(replace(a_keyed_group(), id=""), verdict=Verdict.MISSING, members=(), reason="IRM has none")
UNKNOWN = a_finding(verdict=Verdict.UNKNOWN, members=(), reason="proves nothing")
FOUND_EARLIER = HistoryEntry(at=EARLIER, event="found", message="its only alert is silenced", job_id="an earlier job")
REPAIRED = HistoryEntry(at=NOW, event="auto-resolved", message="repaired", job_id=JOB, who=SERVICE)


def followed(recall: Recall | None = None, plan: Plan = NOTHING, *results: ChangeResult) -> tuple[Mismatch, ...]:
    return followed_mismatches(recall or a_recall(), plan, results, job_id=JOB, now=NOW)


def now(event: str, message: str, *, who: str = "") -> HistoryEntry:
    return HistoryEntry(at=NOW, event=event, message=message, job_id=JOB, who=who)


def found_now(finding: Finding, action: Action, *history: HistoryEntry) -> Mismatch:
    """What this run writes down anew about the finding."""
    return a_mismatch(
        finding,
        action=action,
        detected_at=NOW,
        version=None,
        job_id=JOB,
        history=(now("found", finding.reason), *history),
    )


def repaired(mismatch: Mismatch, *history: HistoryEntry, notes: str = "repaired") -> Mismatch:
    return replace(
        mismatch,
        resolution_status=ResolutionStatus.AUTO_RESOLVED,
        resolved_at=NOW,
        resolved_by=SERVICE,
        resolution_notes=notes,
        history=(*mismatch.history, *history),
    )


# --- found


def test_inconsistency_that_is_only_planned_is_pending() -> None:
    result = a_result(outcome=Outcome.PLANNED)

    assert followed(None, NOTHING, result) == (found_now(a_finding(), Action.RESOLVE),)


def test_inconsistency_that_is_repaired_at_once_is_written_down_as_resolved() -> None:
    found = found_now(a_finding(), Action.RESOLVE)

    assert followed(None, NOTHING, a_result()) == (repaired(found, now("applied", "resolve"), REPAIRED),)


def test_inconsistency_that_somebody_faster_repaired_is_resolved() -> None:
    found = found_now(a_finding(), Action.RESOLVE)

    result = a_result(outcome=Outcome.ALREADY)

    assert followed(None, NOTHING, result) == (repaired(found, now("already", "resolve"), REPAIRED),)


def test_change_that_failed_leaves_it_pending_and_says_why() -> None:
    result = a_result(outcome=Outcome.FAILED, error="HTTP 500", remark="unresolved instead")

    failed = now("failed", "resolve; unresolved instead; HTTP 500")
    assert followed(None, NOTHING, result) == (found_now(a_finding(), Action.RESOLVE, failed),)


def test_lost_resolve_that_waits_is_pending() -> None:
    plan = replace(NOTHING, kept=(GONE,))

    assert followed(None, plan) == (found_now(GONE, Action.REPORT),)


@pytest.mark.parametrize("verdict", [each for each in Verdict if each is not Verdict.GONE], ids=str)
def test_group_that_is_kept_for_another_reason_is_no_mismatch(verdict: Verdict) -> None:
    plan = replace(NOTHING, kept=(replace(GONE, verdict=verdict),))

    assert followed(None, plan) == ()


def test_group_that_irm_does_not_have_is_known_by_its_place() -> None:
    result = a_result(a_change(MISSING, Action.REPORT), Outcome.PLANNED)

    (mismatch,) = followed(None, NOTHING, result)

    assert (mismatch.subject, mismatch.alert_group_id) == (place_of(MISSING.alert_group), "")


def test_title_that_anybody_can_write_is_bounded() -> None:
    group = replace(a_keyed_group(), title="x\n" * 1000)

    (mismatch,) = followed(None, NOTHING, a_result(a_change(a_finding(group)), Outcome.PLANNED))

    assert len(mismatch.title) == 200
    assert mismatch.title.isprintable()


# --- seen again


def test_mismatch_that_is_seen_again_unchanged_is_not_written() -> None:
    assert followed(a_recall(a_mismatch()), NOTHING, a_result(outcome=Outcome.PLANNED)) == ()


def test_mismatch_that_is_repaired_keeps_its_history_and_version() -> None:
    known = a_mismatch(version=7)

    assert followed(a_recall(known), NOTHING, a_result()) == (repaired(known, now("applied", "resolve"), REPAIRED),)


def test_mismatch_that_will_be_treated_otherwise_is_written() -> None:
    known = a_mismatch(action=Action.REPORT)

    assert followed(a_recall(known), NOTHING, a_result(outcome=Outcome.PLANNED)) == (
        replace(known, action=Action.RESOLVE),
    )


def test_failure_that_repeats_itself_is_not_written_again() -> None:
    failed = a_result(outcome=Outcome.FAILED, error="HTTP 500")
    (known,) = followed(a_recall(a_mismatch()), NOTHING, failed)

    assert followed(a_recall(known), NOTHING, failed) == ()


def test_another_failure_is_written() -> None:
    (known,) = followed(a_recall(a_mismatch()), NOTHING, a_result(outcome=Outcome.FAILED, error="HTTP 500"))

    (again,) = followed(a_recall(known), NOTHING, a_result(outcome=Outcome.DEFERRED, error="429"))

    assert again.history == (FOUND_EARLIER, now("failed", "resolve; HTTP 500"), now("deferred", "resolve; 429"))


def test_history_keeps_its_first_entry_and_the_newest() -> None:
    long = tuple(HistoryEntry(at=EARLIER, event="failed", message=str(number)) for number in range(49))
    known = a_mismatch(history=(FOUND_EARLIER, *long))

    (again,) = followed(a_recall(known), NOTHING, a_result(outcome=Outcome.FAILED, error="HTTP 500"))

    assert again.history == (FOUND_EARLIER, *long[1:], now("failed", "resolve; HTTP 500"))


# --- changed


def changed_finding() -> Finding:
    """The same alert group, whose webhook lists another alert now."""
    group = a_keyed_group()
    assert group.notification is not None
    return a_finding(replace(group, notification=replace(group.notification, firing={"f2": {}})), reason="now f2")


@pytest.mark.parametrize("status", [ResolutionStatus.PENDING, ResolutionStatus.IGNORED], ids=str)
def test_mismatch_of_which_the_facts_change_is_pending_again(status: ResolutionStatus) -> None:
    known = a_mismatch(resolution_status=status, resolution_notes="known", resolved_by="ann")

    result = a_result(a_change(changed_finding()), Outcome.PLANNED)

    assert followed(a_recall(known), NOTHING, result) == (
        replace(
            known,
            signature=signature_of(changed_finding()),
            reason="now f2",
            resolution_status=ResolutionStatus.PENDING,
            resolution_notes="",
            resolved_by="",
            history=(FOUND_EARLIER, now("changed", "now f2")),
        ),
    )


def test_lost_resolve_of_which_the_facts_change_is_waited_for_anew() -> None:
    changed = replace(GONE, alert_group=changed_finding().alert_group)
    known = a_mismatch(GONE, action=Action.REPORT)

    (again,) = followed(a_recall(known), replace(NOTHING, kept=(changed,)))

    assert again.detected_at == NOW


# --- ignored


def test_mismatch_that_a_person_ignores_stays_ignored_while_it_is_seen() -> None:
    known = a_mismatch(resolution_status=ResolutionStatus.IGNORED)

    assert followed(a_recall(known), replace(NOTHING, ignored=(a_change(),))) == ()


def test_mismatch_that_a_person_ignores_is_over_once_it_is_not_seen_any_more() -> None:
    known = a_mismatch(resolution_status=ResolutionStatus.IGNORED, resolution_notes="known flapping")

    over = now("auto-resolved", "not seen any more", who=SERVICE)
    assert followed(a_recall(known)) == (repaired(known, over, notes="known flapping"),)


# --- not seen


def test_mismatch_that_is_not_seen_any_more_resolves_itself() -> None:
    over = now("auto-resolved", "not seen any more", who=SERVICE)

    assert followed(a_recall(a_mismatch())) == (repaired(a_mismatch(), over, notes="not seen any more"),)


def test_mismatch_that_turns_into_another_is_two() -> None:
    known = a_mismatch()

    (other, over) = followed(a_recall(known), replace(NOTHING, kept=(GONE,)))

    assert other == found_now(GONE, Action.REPORT)
    assert (over.id, over.resolution_status) == (known.id, ResolutionStatus.AUTO_RESOLVED)


def test_mismatch_of_a_group_that_could_not_be_judged_stays_as_it_is() -> None:
    assert followed(a_recall(a_mismatch(GONE)), replace(NOTHING, kept=(UNKNOWN,))) == ()


@pytest.mark.parametrize(
    "finding",
    [pytest.param(a_finding(verdict=Verdict.FIRING), id="to be handed back"), pytest.param(MISSING, id="missing")],
)
@pytest.mark.parametrize("status", [ResolutionStatus.PENDING, ResolutionStatus.IGNORED], ids=str)
def test_mismatch_that_irm_could_not_be_asked_about_stays_as_it_is(finding: Finding, status: ResolutionStatus) -> None:
    """An ignored one above all: it would come back as new, and be acted on."""
    question = Question(key="k", alert_group=finding.alert_group, since=NOW)

    assert (
        followed(a_recall(a_mismatch(finding, resolution_status=status)), replace(NOTHING, questions=(question,))) == ()
    )


@pytest.mark.parametrize(
    ("finding", "stays"),
    [
        pytest.param(a_finding(verdict=Verdict.FIRING), True, id="to be handed back"),
        pytest.param(MISSING, True, id="missing"),
        pytest.param(a_finding(), False, id="silenced: IRM's list is whole"),
    ],
)
def test_alert_that_an_untrusted_alertmanager_does_not_list_may_fire_still(finding: Finding, *, stays: bool) -> None:
    plan = replace(NOTHING, distrust=("up for 5 s only",))

    assert (followed(a_recall(a_mismatch(finding)), plan) == ()) is stays


def test_new_mismatches_sort_by_the_time_they_were_found() -> None:
    (mismatch,) = followed(None, NOTHING, a_result(outcome=Outcome.PLANNED))

    assert mismatch.id == new_id(NOW, Verdict.SILENCED, "I1")
    assert mismatch.id.startswith("20261121T030000.000Z-")
