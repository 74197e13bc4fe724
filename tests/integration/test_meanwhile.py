"""What happens while a run is under way: people decide, the table goes away, somebody asks what is running."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from alert_sync.deadline import Deadline
from alert_sync.memory.archive import Archive, Decision
from alert_sync.memory.listing import Wanted
from alert_sync.recall import JobStatus, ResolutionStatus
from alert_sync.report import Status
from tests.integration.world import World, outcomes, verdicts
from tests.support.aws_answers import AwsAnswers, ok, refusal
from tests.support.dynamodb import DynamoDb
from tests.support.faults import ActFirst, FaultyProxy, Instead

GROUPS, ANY_RESOLVE = r"/v2/alerts/groups", r"/resolve/"
NO_NOTES = {"RESOLUTION_NOTES": "false"}


@pytest.fixture
def alertmanager_proxy(lasting_world: World) -> Iterator[FaultyProxy]:
    """Before Alertmanager, for all runs: under another address it would be another one."""
    with FaultyProxy(lasting_world.alertmanager.url) as proxy:
        lasting_world.environ["ALERTMANAGER_URL"] = proxy.url
        yield proxy


@pytest.fixture
def world(lasting_world: World, alertmanager_proxy: FaultyProxy) -> World:  # noqa: ARG001
    lasting_world.environ |= NO_NOTES
    return lasting_world


@pytest.fixture
def irm_proxy(world: World) -> Iterator[FaultyProxy]:
    with FaultyProxy(world.irm.url) as proxy:
        yield proxy


@pytest.fixture
def table_proxy(dynamodb: DynamoDb) -> Iterator[FaultyProxy]:
    with FaultyProxy(dynamodb.url) as proxy:
        yield proxy


def archive(world: World) -> Archive:
    return Archive(world.table(), retention=timedelta(days=90))


def decide(world: World, alert_group_id: str, status: ResolutionStatus) -> None:
    (mismatch,) = [each for each in world.mismatches() if each.alert_group_id == alert_group_id]
    decision = Decision(status=status, notes="leave it", who="ann", at=datetime.now(UTC))
    archive(world).resolve_mismatch(mismatch.id, decision, deadline=Deadline(10))


# --- a person's word


def test_person_who_says_to_ignore_it_while_a_run_is_under_way_is_obeyed_by_that_run(
    world: World, alertmanager_proxy: FaultyProxy
) -> None:
    group, other = world.fire(), world.fire()
    for each in (group, other):
        world.silence(each)
    world.run(dry_run=True)
    ignore = ActFirst(lambda: decide(world, group.id, ResolutionStatus.IGNORED))
    alertmanager_proxy.inject(ignore, path=GROUPS, nth=1)

    report = world.run()

    assert (outcomes(report), report.status) == ({group.id: "deferred", other.id: "applied"}, Status.PARTIAL)
    assert [result.error for result in report.results if result.change.finding.alert_group.id == group.id] == [
        "somebody has decided about it since this run began: the next run looks again"
    ]
    assert (world.state(group), world.state(other)) == ("firing", "resolved")
    assert [(each.alert_group_id, each.resolution_status) for each in world.mismatches()] == [
        (group.id, ResolutionStatus.IGNORED)
    ]
    assert [each.alert_group.id for each in world.interventions()] == [other.id]
    assert world.lease() is None


def test_what_a_person_said_during_a_run_holds_in_the_next(world: World, alertmanager_proxy: FaultyProxy) -> None:
    """It is all that this run would do, so that it writes nothing to IRM at all."""
    group = world.fire()
    world.silence(group)
    world.run(dry_run=True)
    ignore = ActFirst(lambda: decide(world, group.id, ResolutionStatus.IGNORED))
    alertmanager_proxy.inject(ignore, path=GROUPS, nth=1)
    during = world.run()

    report = world.run()

    assert outcomes(during) == {group.id: "deferred"}
    assert (report.results, verdicts(report)) == ((), {group.id: "silenced"})
    assert (world.state(group), world.irm.writes) == ("firing", ())


# --- a table that goes away


def test_run_whose_end_cannot_be_recorded_tells_what_it_changed(
    world: World, irm_proxy: FaultyProxy, table_proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = world.fire()
    world.silence(group)
    world.run(dry_run=True)
    denied = Instead(refusal("AccessDeniedException"))
    irm_proxy.inject(ActFirst(lambda: table_proxy.inject(denied)), path=ANY_RESOLVE)
    monkeypatch.setenv("AWS_ENDPOINT_URL", table_proxy.url)

    with AwsAnswers([ok({"FailedEntryCount": 0, "Entries": [{"EventId": "e1"}]})]) as event_bus:
        monkeypatch.setenv("AWS_ENDPOINT_URL_EVENTBRIDGE", event_bus.url)
        report = world.run({"GRAFANA_IRM_URL": irm_proxy.url, "EVENT_BUS": "default"})
        told = [entry for call in event_bus.bodies for entry in call["Entries"]]
    table_proxy.heal()

    assert (report.status, outcomes(report)) == (Status.FAILED, {group.id: "applied"})
    assert "it could not be recorded" in report.message
    details = [(entry["DetailType"], json.loads(entry["Detail"])) for entry in told]
    assert [(kind, detail["alert_group_id"], detail["outcome"]) for kind, detail in details] == [
        ("alert-sync.change", group.id, "applied")
    ]


# --- what is running


@pytest.mark.parametrize(
    ("environ", "is_asked", "is_dry"),
    [
        pytest.param({"DRY_RUN": "true"}, False, True, id="set"),
        pytest.param({"DRY_RUN": "false"}, True, True, id="asked for"),
        pytest.param({"DRY_RUN": "false"}, False, False, id="neither"),
    ],
)
def test_run_that_is_under_way_says_whether_it_is_dry(
    world: World, alertmanager_proxy: FaultyProxy, environ: dict[str, str], *, is_asked: bool, is_dry: bool
) -> None:
    running: list[tuple[JobStatus, bool]] = []

    def look() -> None:
        jobs = archive(world).jobs(Wanted(limit=1), now=datetime.now(UTC), deadline=Deadline(10))
        running.extend((job.status, job.dry_run) for job in jobs.records)

    alertmanager_proxy.inject(ActFirst(look), path=GROUPS, nth=1)

    report = world.run(environ, dry_run=is_asked)

    assert (running, report.dry_run) == ([(JobStatus.RUNNING, is_dry)], is_dry)


# --- odd labels


def test_alert_whose_group_label_holds_what_must_be_quoted_is_found(world: World) -> None:
    """The escapes that Alertmanager 0.25 knows in a filter are few: one for a tab it takes by the letter."""
    odd = 'a\ttab, a "quote", a \\ backslash,\na newline and a \u00a0 space'
    webhook = world.fire_unheard(labels={"cluster": odd})
    (alert,) = webhook["alerts"]

    firing = world.service().alertmanager.read_firing(
        webhook["receiver"], frozenset(webhook["groupLabels"].items()), Deadline(10)
    )

    assert webhook["groupLabels"]["cluster"] == odd
    assert {fingerprint: found["labels"] for fingerprint, found in firing.items()} == {
        alert["fingerprint"]: alert["labels"]
    }


def test_group_whose_label_holds_a_tab_pages_again_when_its_silence_ends(world: World) -> None:
    group = world.fire(labels={"cluster": "eu\twest"})
    world.silence(group)
    world.run()
    quiet = world.state(group)
    world.expire_silences()

    report = world.run()

    assert quiet == "resolved"
    assert ([result.outcome.value for result in report.results], len(world.pages(group))) == (["applied"], 1)
