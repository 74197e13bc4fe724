"""The deadline of a run: what is left of it, what fits into it, and that no part of it ends later than the whole."""

from __future__ import annotations

import pytest

from alert_sync.deadline import Deadline

AN_HOUR = 3600.0


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("-inf")])
def test_deadline_that_has_passed_has_nothing_left(seconds: float) -> None:
    assert Deadline(seconds).remaining() == 0.0


def test_nothing_is_allowed_once_the_deadline_has_passed() -> None:
    deadline = Deadline(-1.0)

    assert [deadline.allows(seconds) for seconds in (0.0, 0.001, AN_HOUR)] == [False, False, False]


def test_wait_is_allowed_only_if_it_ends_before_the_deadline() -> None:
    deadline = Deadline(AN_HOUR)

    assert [deadline.allows(seconds) for seconds in (0.0, AN_HOUR / 2, AN_HOUR, AN_HOUR * 2)] == [
        True,
        True,
        False,
        False,
    ]


def test_what_is_left_only_becomes_less() -> None:
    deadline = Deadline(AN_HOUR)

    first, second = deadline.remaining(), deadline.remaining()

    assert AN_HOUR >= first >= second > 0


def test_shorter_deadline_can_be_cut_out() -> None:
    part = Deadline(AN_HOUR).within(60.0)

    assert (part.allows(30.0), part.allows(60.0)) == (True, False)


def test_longer_deadline_cannot_be_cut_out() -> None:
    whole = Deadline(60.0)

    part = whole.within(AN_HOUR)

    assert (part.allows(30.0), part.allows(60.0)) == (True, False)


def test_part_of_a_deadline_that_has_passed_has_passed_too() -> None:
    assert Deadline(-1.0).within(AN_HOUR).remaining() == 0.0
