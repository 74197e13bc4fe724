"""The table against a server that keeps DynamoDB's promises: reads, ranges, pages, conditions, limits, lost answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from alert_sync.deadline import Deadline
from alert_sync.errors import (
    ConfigurationError,
    ConflictError,
    PermanentUpstreamError,
    TransientUpstreamError,
)
from alert_sync.memory.table import Check, Delete, Item, Key, Page, Put, Table, Write
from tests.support.dynamodb import DynamoDb, table_named
from tests.support.faults import ActFirst, Exchange, FaultyProxy, LoseAnswer
from tests.support.loopback_http import Request

SECONDS = 20.0
KEY = ("run", "1")
OTHER_KEY = ("run", "2")
LARGE_TEXT = "x" * 300_000


@pytest.fixture
def table(state_table: str) -> Table:
    return table_named(state_table)


@pytest.fixture
def proxy(dynamodb: DynamoDb, state_table: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    """What `table` is reached through, for a test that asks for it too."""
    assert state_table
    with FaultyProxy(dynamodb.url) as proxy:
        dynamodb.point_at(monkeypatch, url=proxy.url)
        yield proxy


@dataclass(frozen=True, slots=True)
class ActFirstThenLoseAnswer:
    """Both faults in one: the world changes before the request arrives, and nobody hears what became of it."""

    act: Callable[[], object]

    def play(self, exchange: Exchange) -> None:
        self.act()
        exchange.forward()
        exchange.connection.reset()


def deadline() -> Deadline:
    return Deadline(SECONDS)


def item(key: Key = KEY, **values: Any) -> Item:
    return {"pk": key[0], "sk": key[1], **values}


def fill(table: Table, *items: Item) -> None:
    for start in range(0, len(items), 100):
        table.transact([Put(each, None) for each in items[start : start + 100]], deadline())


def all_of(table: Table) -> dict[Key, Item]:
    return table.get([KEY, OTHER_KEY], deadline())


def conflict_of(table: Table, *writes: Write) -> tuple[int, ...]:
    """Which of the writes conflict."""
    with pytest.raises(ConflictError) as caught:
        table.transact(writes, deadline())
    return caught.value.positions


def sort_keys(page: Page) -> tuple[list[str], bool]:
    return [item["sk"] for item in page.items], page.has_more


def operations(proxy: FaultyProxy) -> list[str]:
    return [operation_of(request) for request in proxy.requests]


def operation_of(request: Request) -> str:
    return (request.header("X-Amz-Target") or "").partition(".")[2]


# --- get


def test_item_comes_back_as_it_was_put_with_its_version(table: Table) -> None:
    values = item(text="käse", empty="", number=-3, share=0.1, yes=True, nothing=None, list=[1, "a", {}], map={"a": []})

    table.transact([Put(values, None)], deadline())

    assert table.get([KEY], deadline()) == {KEY: {**values, "version": 1}}


@pytest.mark.parametrize("count", [1, 2, 100, 101, 230])
def test_many_keys_take_one_request_for_each_hundred(count: int, table: Table, proxy: FaultyProxy) -> None:
    items = [item(("many", f"{number:03}")) for number in range(count)]
    fill(table, *items)
    proxy.requests.clear()

    found = table.get([("many", f"{number:03}") for number in range(count)], deadline())

    assert found == {("many", each["sk"]): {**each, "version": 1} for each in items}
    assert len(proxy.requests) == -(-count // 100)


def test_no_keys_take_no_request(table: Table, proxy: FaultyProxy) -> None:
    assert table.get([], deadline()) == {}
    assert proxy.requests == []


def test_keys_without_an_item_are_left_out(table: Table) -> None:
    fill(table, item())

    assert table.get([KEY, OTHER_KEY], deadline()) == {KEY: item(version=1)}
    assert table.get([OTHER_KEY], deadline()) == {}


def test_key_asked_for_twice_is_read_once(table: Table) -> None:
    fill(table, item(), item(OTHER_KEY))

    assert list(table.get([KEY, OTHER_KEY, KEY], deadline())) == [KEY, OTHER_KEY]


# --- query


@pytest.fixture
def filled(table: Table) -> Table:
    keys = ["a#1", "a#2", "a#3", "b#1", "b#2", "c"]
    fill(table, *(item(("kept", sk)) for sk in keys), item(("another", "a#1")))
    return table


@pytest.mark.parametrize(
    ("prefix", "before", "expected"),
    [
        pytest.param("", "", ["a#1", "a#2", "a#3", "b#1", "b#2", "c"], id="all"),
        pytest.param("b", "", ["b#1", "b#2"], id="prefix"),
        pytest.param("d", "", [], id="prefix-of-none"),
        pytest.param("", "b#1", ["a#1", "a#2", "a#3"], id="before"),
        pytest.param("", "a", [], id="before-all"),
        pytest.param("a#", "a#3", ["a#1", "a#2"], id="both-at-an-item"),
        pytest.param("a#", "a#25", ["a#1", "a#2"], id="both-between-items"),
        pytest.param("a#", "a#1", [], id="both-at-the-first"),
        pytest.param("a#", "a#", [], id="before-the-prefix-itself"),
        pytest.param("b#", "a#2", [], id="before-ends-earlier-than-the-prefix-begins"),
        pytest.param("a#", "b#2", ["a#1", "a#2", "a#3"], id="before-lies-behind-the-prefix"),
    ],
)
@pytest.mark.parametrize("newest_first", [False, True])
def test_query_gives_the_range(
    prefix: str, before: str, expected: list[str], *, newest_first: bool, filled: Table
) -> None:
    page = filled.query("kept", deadline(), prefix=prefix, before=before, newest_first=newest_first)

    assert sort_keys(page) == (expected[::-1] if newest_first else expected, False)


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (1, (["a#1"], True)),
        (2, (["a#1", "a#2"], True)),
        (3, (["a#1", "a#2", "a#3"], False)),
        (4, (["a#1", "a#2", "a#3"], False)),
    ],
)
def test_limited_query_says_whether_there_are_more(limit: int, expected: tuple[list[str], bool], filled: Table) -> None:
    assert sort_keys(filled.query("kept", deadline(), prefix="a#", limit=limit)) == expected


def test_pages_from_the_newest_meet_without_gap_or_overlap(filled: Table) -> None:
    pages: list[str] = []
    before, has_more = "", True
    while has_more:
        page = filled.query("kept", deadline(), prefix="a", before=before, newest_first=True, limit=1)
        keys, has_more = sort_keys(page)
        pages, before = [*pages, *keys], keys[-1]

    assert pages == ["a#3", "a#2", "a#1"]


def test_query_follows_the_pages_of_a_large_partition(table: Table, proxy: FaultyProxy) -> None:
    for number in range(10):
        table.transact([Put(item(("large", str(number)), text=LARGE_TEXT), None)], deadline())
    proxy.requests.clear()

    page = table.query("large", deadline())

    assert sort_keys(page) == ([str(number) for number in range(10)], False)
    assert len(proxy.requests) > 1


def test_query_gives_items_without_what_only_the_table_needs(table: Table) -> None:
    table.transact([Put(item(a=1), None)], deadline())

    assert table.query("run", deadline()) == Page(items=(item(a=1, version=1),), has_more=False)


# --- conditions


def test_every_put_is_the_next_version(table: Table) -> None:
    table.transact([Put(item(), None)], deadline())
    table.transact([Put(item(a=1), 1)], deadline())
    table.transact([Put(item(a=2), 2), Put(item(OTHER_KEY), None)], deadline())

    assert all_of(table) == {KEY: item(a=2, version=3), OTHER_KEY: item(OTHER_KEY, version=1)}


def test_version_in_the_item_itself_counts_for_nothing(table: Table) -> None:
    table.transact([Put(item(version=7), None)], deadline())

    assert all_of(table) == {KEY: item(version=1)}


def test_put_leaves_nothing_of_the_item_before(table: Table) -> None:
    table.transact([Put(item(a=1), None)], deadline())
    table.transact([Put(item(b=2), 1)], deadline())

    assert all_of(table) == {KEY: item(b=2, version=2)}


@pytest.mark.parametrize("expected", [None, 1, 3])
@pytest.mark.parametrize("others", [(), (Put(item(OTHER_KEY), None),)], ids=["alone", "in-a-transaction"])
def test_put_over_another_version_is_a_conflict(expected: int | None, others: tuple[Write, ...], table: Table) -> None:
    fill(table, item(a=1))
    table.transact([Put(item(a=2), 1)], deadline())

    positions = conflict_of(table, *others, Put(item(a="lost"), expected))

    assert (positions, all_of(table)) == ((len(others),), {KEY: item(a=2, version=2)})


@pytest.mark.parametrize("write", [Put(item(), 1), Delete(KEY, 1), Check(KEY, 1)], ids=["put", "delete", "check"])
def test_write_that_expects_an_item_conflicts_where_there_is_none(write: Write, table: Table) -> None:
    assert conflict_of(table, write) == (0,)


def test_item_is_deleted_as_the_version_that_was_read(table: Table) -> None:
    fill(table, item())

    positions = conflict_of(table, Delete(KEY, 2))
    table.transact([Delete(KEY, 1)], deadline())

    assert (positions, all_of(table)) == ((0,), {})


def test_check_that_holds_lets_the_others_be_written(table: Table) -> None:
    fill(table, item(OTHER_KEY))

    table.transact([Check(OTHER_KEY, 1), Put(item(), None)], deadline())

    assert all_of(table) == {KEY: item(version=1), OTHER_KEY: item(OTHER_KEY, version=1)}


def test_conflict_names_every_position_and_nothing_is_written(table: Table) -> None:
    fill(table, item())
    writes: list[Write] = [
        Put(item(a=1), None),
        Put(item(("run", "3")), None),
        Check(OTHER_KEY, 1),
        Delete(("run", "4"), 2),
    ]

    positions = conflict_of(table, *writes)

    assert (positions, all_of(table)) == ((0, 2, 3), {KEY: item(version=1)})
    assert table.get([("run", "3")], deadline()) == {}


def test_hundred_writes_go_in_one_transaction(table: Table, proxy: FaultyProxy) -> None:
    table.transact([Put(item(("many", f"{number:03}")), None) for number in range(100)], deadline())

    assert operations(proxy) == ["TransactWriteItems"]
    assert len(table.query("many", deadline()).items) == 100


def test_put_alone_takes_the_cheaper_request(table: Table, proxy: FaultyProxy) -> None:
    table.transact([Put(item(), None)], deadline())

    assert operations(proxy) == ["PutItem"]


@pytest.mark.parametrize("count", [0, 101])
def test_more_or_fewer_writes_than_a_transaction_holds_are_a_mistake_of_the_caller(count: int, table: Table) -> None:
    with pytest.raises(ValueError, match=f"^{count} writes are not 1 to 100$"):
        table.transact([Put(item(("many", str(number))), None) for number in range(count)], deadline())


# --- refusals


@pytest.mark.parametrize("others", [(), (item(OTHER_KEY),)], ids=["alone", "in-a-transaction"])
def test_item_that_is_too_large_is_named(others: tuple[Item, ...], table: Table) -> None:
    writes = [Put(each, None) for each in (*others, item(text="x" * 410_000))]

    with pytest.raises(PermanentUpstreamError, match=r"; an item may have 409600 B, and run / 1 has 4100\d\d B$"):
        table.transact(writes, deadline())

    assert all_of(table) == {}


def test_item_of_the_largest_size_is_written(table: Table) -> None:
    overhead = len("pkrunsk1textversionwrite_nonce") + 32 + 2

    table.transact([Put(item(text="x" * (409_600 - overhead)), None)], deadline())

    assert list(all_of(table)) == [KEY]


def test_two_writes_of_one_item_are_refused_as_dynamodb_says(table: Table) -> None:
    with pytest.raises(PermanentUpstreamError, match=r"ValidationException: .*multiple operations on one item"):
        table.transact([Put(item(), None), Delete(KEY, 1)], deadline())


@pytest.mark.usefixtures("state_table")
def test_missing_table_names_the_setting() -> None:
    table = table_named("nowhere")
    message = "^STATE_TABLE: there is no table nowhere in this account and region$"

    for ask in (
        lambda: table.get([KEY], deadline()),
        lambda: table.get([KEY, OTHER_KEY], deadline()),
        lambda: table.query("run", deadline()),
        lambda: table.transact([Put(item(), None)], deadline()),
        lambda: table.transact([Check(KEY, 1), Check(OTHER_KEY, 1)], deadline()),
    ):
        with pytest.raises(ConfigurationError, match=message):
            ask()


# --- lost answers


@pytest.mark.parametrize("expected", [None, 1])
@pytest.mark.parametrize("others", [(), (Put(item(OTHER_KEY), None),)], ids=["alone", "in-a-transaction"])
def test_write_whose_answer_was_lost_is_done_once(
    expected: int | None, others: tuple[Write, ...], table: Table, proxy: FaultyProxy
) -> None:
    if expected:
        fill(table, item(a=0))
    lost = proxy.inject(LoseAnswer(), method="POST", nth=range(1, 3))

    table.transact([Put(item(a=1), expected), *others], deadline())

    assert (lost.played, all_of(table)[KEY]) == (2, item(a=1, version=(expected or 0) + 1))


@pytest.mark.parametrize("count", [1, 2])
def test_delete_whose_answer_was_lost_is_done(count: int, table: Table, proxy: FaultyProxy) -> None:
    fill(table, item(), item(OTHER_KEY))
    proxy.inject(LoseAnswer(), method="POST", nth=1)

    table.transact([Delete(KEY, 1), Delete(OTHER_KEY, 1)][:count], deadline())

    assert list(all_of(table)) == [KEY, OTHER_KEY][count:]


def test_equal_item_of_another_writer_is_a_conflict_even_after_a_lost_request(
    table: Table, proxy: FaultyProxy, state_table: str
) -> None:
    lease = item(holder="both say the same")
    proxy.inject(ActFirst(lambda: table_named(state_table).transact([Put(lease, None)], deadline())), nth=1)

    assert conflict_of(table, Put(lease, None)) == (0,)
    assert all_of(table) == {KEY: {**lease, "version": 1}}


def test_put_that_was_overwritten_before_its_answer_came_is_neither_success_nor_conflict(
    table: Table, proxy: FaultyProxy
) -> None:
    proxy.inject(LoseAnswer(), nth=1)
    proxy.inject(ActFirst(lambda: overwrite(table, proxy)), nth=2)

    with pytest.raises(TransientUpstreamError, match=r"it cannot be told whether this was done$"):
        table.transact([Put(item(by="first"), None)], deadline())

    assert all_of(table) == {KEY: item(by="second", version=2)}


def overwrite(table: Table, proxy: FaultyProxy) -> None:
    proxy.heal()
    table.transact([Put(item(by="second"), 1)], deadline())


def test_transaction_that_was_overwritten_before_its_answer_came_is_success(table: Table, proxy: FaultyProxy) -> None:
    proxy.inject(LoseAnswer(), nth=1)
    proxy.inject(ActFirst(lambda: overwrite(table, proxy)), nth=2)

    table.transact([Put(item(by="first"), None), Put(item(OTHER_KEY), None)], deadline())

    assert all_of(table)[KEY] == item(by="second", version=2)


def test_put_after_a_lost_answer_that_another_one_won_is_a_conflict(table: Table, proxy: FaultyProxy) -> None:
    """Sent twice, but the version that it would have written is another's: so it never was."""
    proxy.inject(ActFirstThenLoseAnswer(lambda: table.transact([Put(item(by="rival"), None)], deadline())), nth=1)

    positions = conflict_of(table, Put(item(by="us"), None))

    assert (positions, all_of(table)) == ((0,), {KEY: item(by="rival", version=1)})
    assert operations(proxy)[:3] == ["PutItem"] * 3
