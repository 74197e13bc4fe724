"""What a run leaves in memory: intentions before it writes, and afterwards what became of each of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from alert_sync.bookkeeping import (
    Bookkeeping,
    books_of,
    intentions,
    job_of_dead,
    job_of_report,
    job_of_skipped,
)
from alert_sync.mismatches import SERVICE, followed_mismatches
from alert_sync.model import (
    Action,
    ChangeResult,
    Finding,
    IrmSnapshot,
    Member,
    Outcome,
    Plan,
    Question,
    Verdict,
)
from alert_sync.recall import AuditEntry, Intervention, JobRecord, JobStatus, Recall, key_of, new_id, sighting_of
from alert_sync.report import Report, Status, Trigger
from tests.builders import (
    NOW,
    RECEIVERS,
    UNDER_S1,
    a_change,
    a_finding,
    a_keyed_group,
    a_lease,
    a_mismatch,
    a_recall,
    a_result,
    a_silence,
    a_silenced_alert,
    an_alert_group,
    an_inhibited_alert,
    an_intervention,
    an_irm_silence,
    irm_with,
)

LEASE = a_lease()
KEY = key_of(a_keyed_group())
NOTHING = Plan(changes=(), kept=(), managed=1)
REPORT = Report(
    run_id="r1",
    trigger=Trigger.SCHEDULE,
    status=Status.SUCCESS,
    message="done",
    dry_run=False,
    started_at=NOW,
    plan=NOTHING,
    has_memory=True,
)
FIRING_AGAIN = a_finding(verdict=Verdict.FIRING, reason="it fires again")
INTENDED = an_intervention(
    acted_at=LEASE.expires_at,
    intended_at=NOW,
    run_id="r1",
    is_done=False,
    covered_until=a_silence().ends_at,
    version=None,
)
WRITTEN = replace(INTENDED, version=1)
ENDED = NOW + timedelta(seconds=30)


def reported(*results: ChangeResult, dry_run: bool = False) -> Report:
    return replace(REPORT, results=results, dry_run=dry_run)


def books(
    *results: ChangeResult,
    recall: Recall | None = None,
    plan: Plan = NOTHING,
    intended: tuple[Intervention, ...] = (WRITTEN,),
    irm: IrmSnapshot | None = None,
    dry_run: bool = False,
    forced_by: str = "",
) -> Bookkeeping:
    return books_of(
        recall or a_recall(),
        plan,
        {each.key: each for each in intended},
        reported(*results, dry_run=dry_run),
        irm=irm or irm_with(),
        receivers={},
        job_id="j1",
        forced_by=forced_by,
        now=ENDED,
    )


# --- intentions


def test_resolve_is_intended_under_its_silences() -> None:
    """Until the lease ends, the run that dies may have made it."""
    assert intentions(a_recall(), [a_change()], LEASE, now=NOW) == (INTENDED,)


def test_silence_is_intended_until_it_ends() -> None:
    change = a_change(action=Action.SILENCE, silence_seconds=3900)

    expected = replace(INTENDED, action=Action.SILENCE, silenced_until=NOW + timedelta(seconds=3900))
    assert intentions(a_recall(), [change], LEASE, now=NOW) == (expected,)


def test_lost_resolve_is_intended_under_no_silence() -> None:
    change = a_change(a_finding(verdict=Verdict.GONE, members=()))

    (intended,) = intentions(a_recall(), [change], LEASE, now=NOW)

    assert intended == an_intervention(
        verdict=Verdict.GONE,
        silences=(),
        acted_at=LEASE.expires_at,
        intended_at=NOW,
        run_id="r1",
        is_done=False,
        version=None,
    )


def test_group_that_is_not_silenced_altogether_has_no_end_to_wake_up_at() -> None:
    members = (Member(alert=a_silenced_alert(), silences=UNDER_S1), Member(alert=an_inhibited_alert("f2")))
    change = a_change(a_finding(verdict=Verdict.FIRING, members=members), Action.NOTIFY)

    (intended,) = intentions(a_recall(), [change], LEASE, now=NOW)

    assert intended.covered_until is None


def test_page_remembers_since_when_irm_was_quiet() -> None:
    """If it does not arrive, the next run asks IRM about that time, not about this run."""
    known = an_intervention(intended_at=NOW - timedelta(minutes=11), version=4)

    (intended,) = intentions(a_recall(known), [a_change(FIRING_AGAIN, Action.NOTIFY)], LEASE, now=NOW)

    assert intended.action is Action.NOTIFY
    assert (intended.acted_at, intended.intended_at, intended.version) == (known.acted_at, known.intended_at, 4)


def test_page_for_what_irm_never_had_counts_from_now() -> None:
    (intended,) = intentions(a_recall(), [a_change(FIRING_AGAIN, Action.NOTIFY)], LEASE, now=NOW)

    assert intended.acted_at == NOW


def test_report_is_no_intention() -> None:
    assert intentions(a_recall(), [a_change(action=Action.REPORT)], LEASE, now=NOW) == ()


@pytest.mark.parametrize("order", [1, -1], ids=["oldest first", "newest first"])
def test_newest_group_of_a_key_stands_for_all(order: int) -> None:
    groups = [a_keyed_group("I1"), a_keyed_group("I2", created_at=NOW - timedelta(minutes=5))][::order]

    intended = intentions(a_recall(), [a_change(a_finding(group)) for group in groups], LEASE, now=NOW)

    assert [each.alert_group.id for each in intended] == ["I2"]


# --- what became of them


def outcome_of(outcome: Outcome, action: Action = Action.RESOLVE) -> tuple[object, object]:
    """What stands of the intention, and what is forgotten."""
    intended = replace(WRITTEN, action=action)
    written = books(a_result(a_change(action=action), outcome), intended=(intended,))
    return written.standing, written.forgotten


@pytest.mark.parametrize("action", [Action.RESOLVE, Action.SILENCE], ids=str)
def test_what_was_made_quiet_is_remembered(action: Action) -> None:
    done = replace(WRITTEN, action=action, is_done=True, acted_at=ENDED)

    assert outcome_of(Outcome.APPLIED, action) == ((done,), ())


@pytest.mark.parametrize("action", [Action.RESOLVE, Action.SILENCE], ids=str)
def test_what_somebody_faster_made_quiet_is_not_ours(action: Action) -> None:
    assert outcome_of(Outcome.ALREADY, action) == ((), (replace(WRITTEN, action=action),))


@pytest.mark.parametrize("outcome", [Outcome.APPLIED, Outcome.ALREADY], ids=str)
@pytest.mark.parametrize("action", [Action.NOTIFY, Action.UNSILENCE], ids=str)
def test_what_pages_again_is_over(action: Action, outcome: Outcome) -> None:
    assert outcome_of(outcome, action) == ((), (replace(WRITTEN, action=action),))


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.DEFERRED], ids=str)
def test_what_did_not_work_was_not_made_later_than_this_run(outcome: Outcome) -> None:
    """Were it told from the end of the lease, a person who resolves it in between would be overruled."""
    assert outcome_of(outcome) == ((replace(WRITTEN, acted_at=ENDED),), ())


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.DEFERRED], ids=str)
def test_page_that_did_not_arrive_stays_intended(outcome: Outcome) -> None:
    assert outcome_of(outcome, Action.NOTIFY) == ((), ())


@pytest.mark.parametrize("action", [Action.RESOLVE, Action.NOTIFY], ids=str)
def test_what_was_never_sent_leaves_what_was_remembered_before(action: Action) -> None:
    """Or a person who resolves it next would be overruled: nothing of it was our doing."""
    known, intended = an_intervention(version=1), replace(WRITTEN, action=action, version=2)
    unsent = replace(a_result(a_change(action=action), Outcome.DEFERRED), is_sent=False)

    written = books(unsent, recall=a_recall(known), intended=(intended,))

    assert (written.standing, written.forgotten) == ((replace(known, version=2),), ())


def test_what_was_never_sent_and_not_remembered_before_is_forgotten() -> None:
    written = books(replace(a_result(outcome=Outcome.DEFERRED), is_sent=False))

    assert (written.standing, written.forgotten) == ((), (WRITTEN,))


def test_older_group_of_the_same_key_does_not_settle_the_intention() -> None:
    older = a_result(a_change(a_finding(a_keyed_group("I0"))))

    written = books(older)

    assert (written.standing, written.forgotten) == ((), ())


def test_change_that_was_not_intended_settles_nothing() -> None:
    written = books(a_result(outcome=Outcome.PLANNED), intended=())

    assert (written.standing, written.forgotten) == ((), ())


def test_intervention_that_is_over_is_forgotten() -> None:
    known = an_intervention()

    written = books(recall=a_recall(known), plan=replace(NOTHING, forgotten={KEY: ""}), intended=())

    assert (written.standing, written.forgotten, written.audit) == ((), (known,), ())


def test_intervention_that_is_over_and_done_anew_is_forgotten_by_its_outcome_only() -> None:
    known, intended = an_intervention(version=1), replace(WRITTEN, version=2)

    written = books(
        a_result(), recall=a_recall(known), plan=replace(NOTHING, forgotten={KEY: ""}), intended=(intended,)
    )

    assert (written.standing, written.forgotten) == ((replace(intended, is_done=True, acted_at=ENDED),), ())


# --- a run that died


DEAD = an_intervention(run_id="dead", is_done=False)


def test_resolve_of_a_dead_run_that_irm_shows_is_written_down_at_last() -> None:
    written = books(recall=a_recall(DEAD), intended=())

    entry = AuditEntry(
        id=new_id(ENDED, "dead", KEY),
        at=ENDED,
        who=SERVICE,
        action="resolve",
        target="I1",
        before="firing",
        after="resolved",
        run_id="dead",
        answer="not recorded by the run that intended it; IRM shows it as done",
    )
    assert written == Bookkeeping(standing=(replace(DEAD, is_done=True),), audit=(entry,))


@pytest.mark.parametrize(
    ("known", "plan", "intended"),
    [
        pytest.param(an_intervention(), NOTHING, (), id="recorded by its run"),
        pytest.param(DEAD, replace(NOTHING, forgotten={KEY: ""}), (), id="it never happened"),
        pytest.param(
            DEAD,
            replace(NOTHING, questions=(Question(key=KEY, alert_group=DEAD.alert_group, since=NOW),)),
            (),
            id="IRM could not be asked",
        ),
        pytest.param(DEAD, NOTHING, (WRITTEN,), id="intended anew"),
        pytest.param(replace(DEAD, action=Action.NOTIFY), NOTHING, (), id="a page: tried again while it is called for"),
        pytest.param(an_irm_silence(is_done=False), NOTHING, (), id="a silence: IRM does not tell whose"),
    ],
)
def test_intervention_that_needs_no_recognition_is_left_as_it_is(
    known: Intervention, plan: Plan, intended: tuple[Intervention, ...]
) -> None:
    written = books(recall=a_recall(known), plan=plan, intended=intended)

    assert (written.standing, written.audit) == ((), ())


def test_resolve_that_irm_does_not_show_yet_is_not_taken_for_done() -> None:
    """It may still be processed, so it is not forgotten either."""
    written = books(recall=a_recall(DEAD), irm=irm_with(a_keyed_group()), intended=())

    assert (written.standing, written.forgotten, written.audit) == ((), (), ())


# --- audit trail


def audited(
    result: ChangeResult, *, recall: Recall | None = None, dry_run: bool = False
) -> list[tuple[str, str, str, str, bool]]:
    written = books(result, recall=recall, dry_run=dry_run)
    return [(each.action, each.before, each.after, each.answer, each.dry_run) for each in written.audit]


def test_write_is_in_the_audit_trail_with_all_that_led_to_it() -> None:
    written = books(a_result())

    (mismatch,) = written.mismatches
    assert written.audit == (
        AuditEntry(
            id=new_id(ENDED, "r1", "0"),
            at=ENDED,
            who=SERVICE,
            action="resolve",
            target="I1",
            before="firing",
            after="resolved",
            run_id="r1",
            mismatch_id=mismatch.id,
            answer="applied",
        ),
    )


@pytest.mark.parametrize(
    ("result", "entry"),
    [
        pytest.param(
            a_result(outcome=Outcome.ALREADY), ("resolve", "firing", "resolved", "already", False), id="already"
        ),
        pytest.param(
            a_result(outcome=Outcome.FAILED, error="HTTP 500"),
            ("resolve", "firing", "firing", "failed; HTTP 500", False),
            id="failed",
        ),
        pytest.param(
            a_result(a_change(FIRING_AGAIN, Action.NOTIFY), remark="unresolved instead"),
            ("notify", "firing", "firing", "applied; unresolved instead", False),
            id="another way",
        ),
        pytest.param(
            a_result(a_change(action=Action.SILENCE, silence_seconds=60)),
            ("silence", "firing", "silenced", "applied", False),
            id="silence",
        ),
        pytest.param(
            a_result(a_change(a_finding(replace(a_keyed_group(), state=None)), Action.UNSILENCE)),
            ("unsilence", "", "firing", "applied", False),
            id="from a state that is not known",
        ),
    ],
)
def test_every_write_that_was_tried_is_in_the_audit_trail(
    result: ChangeResult, entry: tuple[str, str, str, str, bool]
) -> None:
    assert audited(result) == [entry]


@pytest.mark.parametrize(
    "result",
    [
        pytest.param(a_result(outcome=Outcome.DEFERRED), id="never sent"),
        pytest.param(a_result(outcome=Outcome.PLANNED), id="refused"),
        pytest.param(a_result(a_change(action=Action.REPORT), Outcome.PLANNED), id="reported only"),
    ],
)
def test_what_was_not_tried_is_not_in_the_audit_trail(result: ChangeResult) -> None:
    assert audited(result) == []


def test_dry_run_tells_once_what_it_would_have_done() -> None:
    planned = a_result(outcome=Outcome.PLANNED)

    first, again = audited(planned, dry_run=True), audited(planned, recall=a_recall(a_mismatch()), dry_run=True)

    assert (first, again) == ([("resolve", "firing", "firing", "planned", True)], [])


def test_group_that_irm_does_not_have_is_named_by_its_title() -> None:
    missing: Finding = a_finding(replace(a_keyed_group(), id=""), verdict=Verdict.MISSING)

    (entry,) = books(a_result(a_change(missing, Action.NOTIFY))).audit

    assert entry.target == missing.alert_group.title


def test_mismatch_of_another_type_about_the_same_group_is_not_what_the_write_was_for() -> None:
    """Its alerts were gone, and are back and silenced: one mismatch ends, and another begins."""
    closing = a_mismatch(a_finding(verdict=Verdict.GONE))

    written = books(a_result(), recall=a_recall(closing))

    types = {mismatch.id: mismatch.type for mismatch in written.mismatches}
    assert sorted(types.values()) == [Verdict.GONE, Verdict.SILENCED]
    assert [types[entry.mismatch_id] for entry in written.audit] == [Verdict.SILENCED]


LEFT_ALONE = AuditEntry(
    id=new_id(ENDED, "r1", "leave alone", KEY),
    at=ENDED,
    who=SERVICE,
    action="leave alone",
    target="I1",
    before="",
    after="",
    run_id="r1",
    answer="a person resolved it",
)


@pytest.mark.parametrize("dry_run", [True, False], ids=["dry run", "run"])
def test_why_a_group_is_paged_for_no_more_is_in_the_audit_trail(*, dry_run: bool) -> None:
    plan = replace(NOTHING, forgotten={KEY: "a person resolved it"})

    written = books(recall=a_recall(an_intervention()), plan=plan, intended=(), dry_run=dry_run)

    assert written == Bookkeeping(forgotten=(an_intervention(),), audit=(replace(LEFT_ALONE, dry_run=dry_run),))


def test_what_is_done_anew_is_not_left_alone() -> None:
    known = an_intervention(version=1)
    plan = replace(NOTHING, forgotten={KEY: "a person resolved it"}, undone={KEY: "silences"}, kept=(a_finding(),))

    written = books(a_result(), recall=a_recall(known), plan=plan, intended=(replace(WRITTEN, version=2),))

    assert [entry.action for entry in written.audit] == ["resolve"]


@pytest.mark.parametrize(
    ("kept", "entries"),
    [
        pytest.param((a_finding(reason="a person opened it again"),), ("a person opened it again",), id="and kept"),
        pytest.param((a_finding(an_alert_group("I2")),), (), id="another one is kept"),
        pytest.param((), (), id="not kept"),
    ],
)
def test_why_a_group_is_not_made_quiet_again_is_in_the_audit_trail(
    kept: tuple[Finding, ...], entries: tuple[str, ...]
) -> None:
    known = an_intervention()
    plan = replace(NOTHING, undone={KEY: "those of now"}, kept=kept)

    written = books(recall=a_recall(known), plan=plan, intended=())

    assert written.standing == (replace(known, is_undone=True, silences="those of now"),)
    assert written.audit == tuple(replace(LEFT_ALONE, answer=answer) for answer in entries)


def test_who_lifted_the_guards_is_in_the_audit_trail() -> None:
    (entry,) = books(forced_by="arn:aws:iam::1:user/ann", intended=()).audit

    assert entry == AuditEntry(
        id=new_id(ENDED, "r1", "force"),
        at=ENDED,
        who="arn:aws:iam::1:user/ann",
        action="lift the guards",
        target="j1",
        before="",
        after="success",
        run_id="r1",
    )


# --- mismatches and what was seen


def test_mismatches_are_followed() -> None:
    results = (a_result(),)

    assert books(*results).mismatches == followed_mismatches(a_recall(), NOTHING, results, job_id="j1", now=ENDED)


OPEN = irm_with(an_alert_group("I1"), an_alert_group("I2"))


def sightings(*ids: str) -> frozenset[str]:
    return frozenset(sighting_of(an_alert_group(each)) for each in ids)


@pytest.mark.parametrize(
    ("known", "now", "written"),
    [
        pytest.param((), (), None, id="nothing"),
        pytest.param(("I1",), ("I1",), None, id="the same"),
        pytest.param(("I1", "I2"), ("I1",), None, id="fewer, as some alerts are gone"),
        pytest.param((), ("I1",), ("I1",), id="the first"),
        pytest.param(("I1", "closed"), ("I2",), ("I1", "I2"), id="one more, and without those that are closed"),
    ],
)
def test_what_was_seen_is_written_when_there_is_more(
    known: tuple[str, ...], now: tuple[str, ...], written: tuple[str, ...] | None
) -> None:
    recall = a_recall(seen=[an_alert_group(each) for each in known])

    seen = books(recall=recall, plan=replace(NOTHING, seen=sightings(*now)), irm=OPEN, intended=()).seen

    assert seen == (None if written is None else sightings(*written))


def test_receiver_that_is_new_is_written_with_what_was_seen() -> None:
    recall = a_recall(seen=[an_alert_group("I1")])

    written = books_of(recall, NOTHING, {}, REPORT, irm=OPEN, receivers=RECEIVERS, job_id="j1", now=ENDED)

    assert written == Bookkeeping(seen=sightings("I1"), receivers=RECEIVERS)


# --- jobs


@pytest.mark.parametrize(
    ("status", "job_status"),
    [
        (Status.SUCCESS, JobStatus.COMPLETED),
        (Status.PARTIAL, JobStatus.COMPLETED),
        (Status.FAILED, JobStatus.FAILED),
        (Status.REFUSED, JobStatus.FAILED),
    ],
)
@pytest.mark.parametrize("was_queued", [True, False], ids=["queued", "not queued"])
def test_job_ends_as_its_report_says(status: Status, job_status: JobStatus, *, was_queued: bool) -> None:
    report = replace(reported(a_result()), status=status, error="because", plan=replace(NOTHING, changes=(a_change(),)))

    job = job_of_report(report, replace(LEASE, was_queued=was_queued), now=ENDED)

    document = report.as_dict()
    del document["changes"]
    assert job == JobRecord(
        id=LEASE.job_id,
        run_id="r1",
        status=job_status,
        trigger="schedule",
        dry_run=False,
        started_at=NOW,
        completed_at=ENDED,
        mismatch_count=1,
        message="done",
        error="because",
        document=document,
        version=1 if was_queued else None,
    )


def test_job_that_found_another_one_running_is_skipped() -> None:
    job = job_of_skipped(replace(REPORT, status=Status.SKIPPED), LEASE, now=ENDED)

    assert (job.status, job.completed_at) == (JobStatus.SKIPPED, ENDED)


@pytest.mark.parametrize("was_queued", [True, False], ids=["queued", "not queued"])
def test_job_of_a_run_that_died_has_failed(*, was_queued: bool) -> None:
    lease = replace(LEASE, was_queued=was_queued, dry_run=True)

    assert job_of_dead(lease, now=ENDED) == JobRecord(
        id=LEASE.job_id,
        run_id="r1",
        status=JobStatus.FAILED,
        trigger="schedule",
        dry_run=True,
        started_at=NOW,
        completed_at=ENDED,
        message="the run died; what it had changed is found out from IRM",
        error="the run did not end before its lease did",
        version=1 if was_queued else None,
    )
