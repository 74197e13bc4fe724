"""The request budget over real threads and a real clock, with windows so short that a test can see many of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alert_sync.deadline import Deadline
from alert_sync.request_budget import RequestBudget

A_MINUTE = 60.0
WINDOW = 0.05
PATIENCE = 30.0
THREADS = 5

seconds_on_the_way = st.sampled_from([0.0, 0.0, 0.001, 0.01, WINDOW * 1.5])


class Server:
    """Counts a request at some moment while it is on its way: here half of the way."""

    def __init__(self, budget: RequestBudget) -> None:
        self.budget = budget
        self.counted: list[float] = []

    def request(self, seconds: float) -> bool:
        with self.budget.place(Deadline(PATIENCE)) as placed:
            threading.Event().wait(seconds / 2)
            self.counted.append(time.monotonic())
            threading.Event().wait(seconds / 2)
        return placed

    def requests(self, ways: Sequence[float]) -> list[bool]:
        with ThreadPoolExecutor(max_workers=THREADS) as threads:
            return list(threads.map(self.request, ways))

    def shortest_stretch_of(self, requests: int) -> float:
        """The time between the first and the last of so many requests in a row, where it is shortest."""
        times = sorted(self.counted)
        return min(last - first for first, last in zip(times, times[requests - 1 :], strict=False))


def takes(budget: RequestBudget, *, within: float) -> bool:
    with budget.place(Deadline(within)) as placed:
        return placed


@settings(max_examples=12)
@given(limit=st.integers(1, 4), ways=st.lists(seconds_on_the_way, min_size=5, max_size=12))
def test_no_stretch_of_time_holds_more_than_the_limit_wherever_it_begins(*, limit: int, ways: list[float]) -> None:
    server = Server(RequestBudget(limit, WINDOW))

    placed = server.requests(ways)

    assert placed == [True] * len(ways)
    assert server.shortest_stretch_of(limit + 1) >= WINDOW


def test_burst_up_to_the_limit_does_not_wait() -> None:
    budget = RequestBudget(3, A_MINUTE)

    assert [takes(budget, within=0.001) for _ in range(4)] == [True, True, True, False]


def test_place_that_comes_free_only_after_the_deadline_is_refused_at_once() -> None:
    budget = RequestBudget(1, A_MINUTE)
    takes(budget, within=1.0)

    assert not takes(budget, within=A_MINUTE - 1)


def test_place_that_comes_free_before_the_deadline_is_waited_for() -> None:
    budget = RequestBudget(1, WINDOW)
    takes(budget, within=1.0)

    assert takes(budget, within=PATIENCE)


def test_places_on_their_way_are_taken() -> None:
    budget = RequestBudget(1, WINDOW)

    with budget.place(Deadline(PATIENCE)):
        assert not takes(budget, within=0.05)


def test_place_on_its_way_is_waited_for() -> None:
    budget = RequestBudget(1, WINDOW)

    with ThreadPoolExecutor(max_workers=1) as threads:
        with budget.place(Deadline(PATIENCE)):
            other = threads.submit(takes, budget, within=PATIENCE)

        assert other.result()


def test_request_that_failed_keeps_its_place_for_the_whole_window() -> None:
    budget = RequestBudget(1, A_MINUTE)

    with pytest.raises(ConnectionError), budget.place(Deadline(1.0)):
        raise ConnectionError("the server may have counted it all the same")

    assert not takes(budget, within=1.0)


def test_pause_that_outlasts_the_deadline_refuses() -> None:
    budget = RequestBudget(10, WINDOW)

    budget.pause(A_MINUTE)

    assert not takes(budget, within=1.0)


def test_nothing_is_sent_during_a_pause() -> None:
    server = Server(RequestBudget(10, WINDOW))
    ends = time.monotonic() + 0.1

    server.budget.pause(0.1)
    server.requests([0.0] * THREADS)

    assert min(server.counted) >= ends


def test_shorter_pause_does_not_end_a_longer_one() -> None:
    budget = RequestBudget(10, WINDOW)

    for seconds in (A_MINUTE, 0.0):
        budget.pause(seconds)

    assert not takes(budget, within=1.0)


def test_only_what_was_sent_is_spent() -> None:
    budget = RequestBudget(2, A_MINUTE)

    for _ in range(4):
        takes(budget, within=0.001)

    assert budget.spent == 2


def test_everything_sent_from_all_threads_is_spent() -> None:
    server = Server(RequestBudget(1000, A_MINUTE))

    server.requests([0.0] * 100)

    assert server.budget.spent == 100
