"""Histories in which a promise was once broken, each as small as it could be made."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.model.alertmanager import Target
from tests.model.faults import Fault, Faults
from tests.model.irm import PERSON
from tests.model.world import LEASE, Choices, World

A, A1, A2, OTHER_A9 = Target("A"), Target("A", "1"), Target("A", "2"), Target("A", "9")
INTERVAL = timedelta(minutes=5)
UNTIL_PAGED = timedelta(seconds=310)


def a_world_with_a_page(choices: Choices | None = None) -> World:
    """Alert A1 fires, and a run has seen its alert group I1."""
    world = World(choices or Choices())
    world.own.fire(A1)
    world.wait(UNTIL_PAGED)
    world.run()
    return world


def test_alert_that_began_after_its_group_is_not_paged_for_when_a_person_resolved_the_group() -> None:
    world = a_world_with_a_page(Choices(missing_action="notify"))
    world.own.end(A1)
    world.own.fire(A1)
    world.wait(2 * UNTIL_PAGED)
    world.irm.resolve(world.irm.alert_groups[0], PERSON)

    run = world.run()

    assert (run.changes, world.promises.broken) == ([], [])


def test_lost_resolve_of_a_group_in_which_another_alertmanager_fires_since_is_left_open() -> None:
    world = a_world_with_a_page()
    world.own.silence(A, timedelta(minutes=40))
    world.own.end(A1)
    world.other.fire(OTHER_A9)
    for _ in range(9):
        world.wait(INTERVAL)
        world.run()

    assert (world.irm.alert_groups[0].state, world.promises.broken) == ("firing", [])


def test_resolved_webhook_that_irm_processes_after_two_runs_is_handed_back() -> None:
    world = a_world_with_a_page(Choices(resolve_through="integration"))
    world.irm.processing = timedelta(seconds=20)
    world.own.silence(A, timedelta(minutes=1))
    world.run()
    world.own.delete_silence(world.own.silences[0])
    world.run()
    world.wait(INTERVAL)
    closed = [group.state for group in world.irm.alert_groups]

    world.run()
    world.wait(timedelta(seconds=30))

    assert closed == ["resolved"]
    assert [group.state for group in world.irm.alert_groups] == ["resolved", "firing"]


def test_group_that_a_person_opened_again_under_a_newer_silence_is_left_alone() -> None:
    world = a_world_with_a_page()
    world.own.silence(A, timedelta(hours=1))
    world.run()
    world.own.silence(A, timedelta(hours=1))
    world.irm.unresolve(world.irm.alert_groups[0])

    run = world.run()

    assert run.changes == []


def test_page_that_a_person_closed_right_before_our_resolve_does_not_prevent_the_hand_back() -> None:
    """Two alert groups of one key: a person opened the old one again, and closed the new one."""
    world = a_world_with_a_page()
    world.own.silence(A, timedelta(minutes=1))
    world.run()
    world.wait(INTERVAL)
    world.run()
    old, new = world.irm.alert_groups
    world.irm.unresolve(old)
    world.irm.resolve(new, PERSON)
    world.own.silence(A, timedelta(hours=1))
    resolved = world.run().changes
    world.own.delete_silence(world.own.silences[-1])

    run = world.run()

    assert (resolved, run.changes) == ([("resolve", "A")], [("notify", "A")])


@pytest.mark.parametrize("at", range(1, 5))
@pytest.mark.parametrize("fault", [Fault.CRASH_BEFORE, Fault.CRASH_AFTER])
def test_run_that_dies_at_any_write_of_a_resolve_is_made_good(at: int, fault: Fault) -> None:
    """What a history of one resolve and one hand-back comes to, wherever the first run dies."""
    world = a_world_with_a_page()
    world.own.silence(A, timedelta(hours=1))
    world.run(Faults(of_writes={at: fault}))
    world.wait(LEASE)
    world.run()
    world.own.delete_silence(world.own.silences[0])
    world.run()

    assert (world.state()["A"], world.promises.broken) == ([("firing", "")], [])


def test_older_of_two_groups_of_one_key_that_a_person_opens_again_is_left_alone() -> None:
    world = a_world_with_a_page()
    world.irm.resolve(world.irm.alert_groups[0], PERSON)
    world.own.fire(A2)
    world.wait(UNTIL_PAGED)
    old, _ = world.irm.alert_groups
    world.irm.unresolve(old)
    world.own.silence(A, timedelta(hours=1))
    resolved = world.run().changes
    world.wait(INTERVAL)
    world.irm.unresolve(old)

    run = world.run()

    assert (resolved, run.changes) == ([("resolve", "A"), ("resolve", "A")], [])
