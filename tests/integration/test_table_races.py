"""Eight writers at once, each with connections of its own: nothing is lost, and nothing is done twice."""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any, TypeVar
from zlib import crc32

import pytest

from alert_sync.deadline import Deadline
from alert_sync.errors import ConflictError, TransientUpstreamError
from alert_sync.memory.table import Check, Delete, Item, Key, Put, Table, Write
from tests.support.dynamodb import DynamoDb, table_named
from tests.support.faults import Exchange, FaultyProxy

T = TypeVar("T")

WRITERS = 8
SECONDS = 60.0
COUNTER = ("counters", "all")
LEASE = ("lease", "run")
ACCOUNTS = [("accounts", str(number)) for number in range(10)]
START = 100

pytestmark = pytest.mark.usefixtures("state_table")


@dataclass(slots=True)
class LoseFirstTwoAnswers:
    """To every third write, known by its body, which holds a token that is its own: done, and nobody hears of it."""

    _arrivals: Counter[bytes] = field(default_factory=Counter)

    def play(self, exchange: Exchange) -> None:
        answer, body = exchange.forward(), exchange.request.body
        self._arrivals[body] += 1
        if crc32(body) % 3 == 0 and self._arrivals[body] <= 2:
            exchange.connection.reset()
        else:
            exchange.connection.send(answer)

    @property
    def lost(self) -> int:
        return sum(min(arrivals, 2) for body, arrivals in self._arrivals.items() if crc32(body) % 3 == 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Losing:
    """A proxy before the server that loses answers, and what it lost."""

    proxy: FaultyProxy
    fault: LoseFirstTwoAnswers


@pytest.fixture
def losing(dynamodb: DynamoDb, state_table: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Losing]:
    """Answers are lost from here on, for whoever makes a request."""
    assert state_table
    with FaultyProxy(dynamodb.url) as proxy:
        fault = LoseFirstTwoAnswers()
        proxy.inject(fault)
        dynamodb.point_at(monkeypatch, url=proxy.url)
        yield Losing(proxy=proxy, fault=fault)
        assert fault.lost > 10, "too few answers were lost for this to mean anything"


@pytest.fixture(params=[False, True], ids=["all-answers-arrive", "answers-are-lost"])
def maybe_losing(request: pytest.FixtureRequest) -> bool:
    """Once without lost answers, and once with them."""
    if request.param:
        request.getfixturevalue("losing")
    return bool(request.param)


def deadline() -> Deadline:
    return Deadline(SECONDS)


def at_once(table_name: str, act: Callable[[Table, int], T]) -> list[T]:
    """What each writer's act returned. All begin in the same moment."""
    begin = threading.Barrier(WRITERS)

    def write(writer: int) -> T:
        table = table_named(table_name)
        begin.wait()
        return act(table, writer)

    with ThreadPoolExecutor(max_workers=WRITERS) as threads:
        return list(threads.map(write, range(WRITERS)))


def item(key: Key, **values: Any) -> Item:
    return {"pk": key[0], "sk": key[1], **values}


def until_it_wins(attempt: Callable[[], bool]) -> None:
    while not attempt():
        pass


def wins(table: Table, *writes: Write) -> bool:
    try:
        table.transact(writes, deadline())
    except ConflictError:
        return False
    return True


def put_if_absent(table: Table, key: Key, writer: int) -> bool:
    return wins(table, Put(item(key, by=writer), None))


def fill(table_name: str, *items: Item) -> None:
    table_named(table_name).transact([Put(each, None) for each in items], deadline())


# --- nothing lost


def increment(table: Table, *others: Write) -> bool:
    read = table.get([COUNTER], deadline())[COUNTER]
    return wins(table, Put({**read, "count": read["count"] + 1}, read["version"]), *others)


def test_thousand_increments_by_eight_writers_are_a_thousand(state_table: str) -> None:
    fill(state_table, item(COUNTER, count=0))

    def work(table: Table, _: int) -> None:
        for _ in range(1000 // WRITERS):
            until_it_wins(partial(increment, table))

    at_once(state_table, work)

    assert table_named(state_table).get([COUNTER], deadline()) == {COUNTER: item(COUNTER, count=1000, version=1001)}


def test_increment_and_its_record_are_written_together(state_table: str, *, maybe_losing: bool) -> None:
    fill(state_table, item(COUNTER, count=0), item(LEASE))
    each_writer = 10 if maybe_losing else 25

    def work(table: Table, writer: int) -> None:
        for number in range(each_writer):
            record = Put(item(("records", f"{writer}-{number}")), None)
            until_it_wins(partial(increment, table, record, Check(LEASE, 1)))

    at_once(state_table, work)

    table, count = table_named(state_table), WRITERS * each_writer
    assert table.get([COUNTER], deadline()) == {COUNTER: item(COUNTER, count=count, version=count + 1)}
    assert len(table.query("records", deadline()).items) == count


@pytest.mark.usefixtures("losing")
def test_put_that_carries_who_wrote_it_counts_once_though_answers_are_lost(state_table: str) -> None:
    fill(state_table, item(COUNTER, by=[]))

    def add(table: Table, name: str) -> bool:
        read = table.get([COUNTER], deadline())[COUNTER]
        if name in read["by"]:
            return True  # an earlier attempt, of which it could not be told
        try:
            return wins(table, Put({**read, "by": [*read["by"], name]}, read["version"]))
        except TransientUpstreamError:
            return False

    def work(table: Table, _: int) -> list[str]:
        names = [uuid.uuid4().hex for _ in range(10)]
        for name in names:
            until_it_wins(partial(add, table, name))
        return names

    added = at_once(state_table, work)

    by = table_named(state_table).get([COUNTER], deadline())[COUNTER]["by"]
    assert sorted(by) == sorted(flat(added))


# --- exactly one


def test_each_of_125_keys_has_exactly_one_first_writer(state_table: str, *, maybe_losing: bool) -> None:
    keys = [("first", f"{number:03}") for number in range(50 if maybe_losing else 125)]

    won = at_once(state_table, lambda table, writer: [key for key in keys if put_if_absent(table, key, writer)])

    written = table_named(state_table).get(keys, deadline())
    assert Counter(flat(won)) == dict.fromkeys(keys, 1)
    assert {key: each["by"] for key, each in written.items()} == {
        key: writer for writer, keys_won in enumerate(won) for key in keys_won
    }


@pytest.mark.usefixtures("losing")
def test_equal_items_of_several_writers_have_exactly_one_winner(state_table: str) -> None:
    keys = [("first", f"{number:03}") for number in range(25)]

    won = at_once(state_table, lambda table, _: [key for key in keys if put_if_absent(table, key, writer=0)])

    assert Counter(flat(won)) == dict.fromkeys(keys, 1)


def test_lease_that_eight_take_at_once_has_exactly_one_holder(state_table: str) -> None:
    for version in range(1, 21):  # it expires again and again, and all of them see that

        def take(table: Table, writer: int, expected: int = version - 1) -> bool:
            return wins(table, Put(item(LEASE, by=writer), expected or None))

        taken = at_once(state_table, take)

        lease = table_named(state_table).get([LEASE], deadline())
        assert (taken.count(True), lease) == (1, {LEASE: item(LEASE, by=taken.index(True), version=version)})


@pytest.mark.usefixtures("maybe_losing")
def test_each_item_is_taken_away_by_exactly_one(state_table: str) -> None:
    keys = [("waiting", f"{number:03}") for number in range(40)]
    fill(state_table, *map(item, keys))

    taken = at_once(state_table, lambda table, _: [key for key in keys if wins(table, Delete(key, 1))])

    assert Counter(flat(taken)) == dict.fromkeys(keys, 1)
    assert table_named(state_table).get(keys, deadline()) == {}


# --- all or nothing


def test_transfers_keep_the_sum(state_table: str, *, maybe_losing: bool) -> None:
    fill(state_table, *(item(key, money=START) for key in ACCOUNTS))

    def transfer(table: Table, changes: dict[Key, int]) -> bool:
        read = table.get(list(changes), deadline())
        return wins(
            table,
            *(Put({**read[key], "money": read[key]["money"] + changes[key]}, read[key]["version"]) for key in read),
        )

    def work(table: Table, writer: int) -> Counter[Key]:
        random, moved = Random(writer), Counter[Key]()
        for _ in range(10 if maybe_losing else 50):
            giver, taker = random.sample(ACCOUNTS, 2)
            changes = {giver: -1, taker: 1}
            until_it_wins(partial(transfer, table, changes))
            moved.update(changes)
        return moved

    expected: Counter[Key] = Counter(dict.fromkeys(ACCOUNTS, START))
    for moved in at_once(state_table, work):
        expected.update(moved)

    money = {key: each["money"] for key, each in table_named(state_table).get(ACCOUNTS, deadline()).items()}
    assert (money, sum(money.values())) == (dict(expected), START * len(ACCOUNTS))


def flat(lists: Iterable[Iterable[T]]) -> list[T]:
    return [each for one in lists for each in one]
