"""The table against recorded kinds of answers: what is asked, what is asked again, and what each failure becomes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from alert_sync.aws_api import ATTEMPTS, AwsApi
from alert_sync.deadline import Deadline
from alert_sync.errors import (
    ConfigurationError,
    ConflictError,
    ContractError,
    PermanentUpstreamError,
    PostponedError,
    ReconcilerError,
    TransientUpstreamError,
)
from alert_sync.http_transport import HttpTransport
from alert_sync.memory.table import Check, Delete, Item, Key, Page, Put, Table, Write
from tests.support.aws_answers import AwsAnswers, ok, refusal
from tests.support.loopback_http import Answer

NAME = "state"
KEY, OTHER_KEY = ("run", "1"), ("run", "2")
ITEM: Item = {"pk": "run", "sk": "1", "a": 1}
STORED: dict[str, Any] = {"pk": {"S": "run"}, "sk": {"S": "1"}, "a": {"N": "1"}, "version": {"N": "3"}}
READ: Item = {**ITEM, "version": 3}
UNCHANGED = {
    "ConditionExpression": "#version = :expected",
    "ExpressionAttributeNames": {"#version": "version"},
    "ExpressionAttributeValues": {":expected": {"N": "2"}},
}
TOO_LARGE: Item = {"pk": "run", "sk": "9", "text": "x" * 409_600}

Serve = Callable[..., AwsAnswers]
Ask = Callable[[Table, Deadline], object]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Start a DynamoDB that gives these answers, and point this process at it."""
    with ExitStack() as running:

        def start(*answers: Answer | None) -> AwsAnswers:
            server = running.enter_context(AwsAnswers(answers))
            server.point_here(monkeypatch)
            return server

        yield start


def table() -> Table:
    transport = HttpTransport(backoff_seconds=0.001)
    return Table(NAME, AwsApi("dynamodb", transport, name="Amazon DynamoDB", target="DynamoDB_20120810"))


def deadline() -> Deadline:
    return Deadline(10.0)


def transact(*writes: Write) -> None:
    table().transact(writes, deadline())


def failure(ask: Callable[[], object]) -> tuple[type[ReconcilerError], str]:
    with pytest.raises(ReconcilerError) as caught:
        ask()
    return type(caught.value), str(caught.value)


def cancelled(*codes: str) -> Answer:
    return refusal("TransactionCanceledException", CancellationReasons=[{"Code": code} for code in codes])


def attributes(key: Key) -> dict[str, dict[str, str]]:
    return {"pk": {"S": key[0]}, "sk": {"S": key[1]}}


def operations(server: AwsAnswers) -> list[str]:
    return [(request.header("X-Amz-Target") or "").removeprefix("DynamoDB_20120810.") for request in server.requests]


# --- what is asked


def test_one_key_is_got(serve: Serve) -> None:
    server = serve(ok({"Item": {**STORED, "write_nonce": {"S": "n"}}}))

    found = table().get([KEY], deadline())

    assert (found, operations(server)) == ({KEY: READ}, ["GetItem"])
    assert server.bodies == [{"TableName": NAME, "Key": attributes(KEY), "ConsistentRead": True}]


def test_key_without_an_item_is_left_out(serve: Serve) -> None:
    serve(ok({}))

    assert table().get([KEY], deadline()) == {}


def test_several_keys_are_got_together_and_those_left_unprocessed_again(serve: Serve) -> None:
    left: dict[str, Any] = {NAME: {"Keys": [attributes(OTHER_KEY)], "ConsistentRead": True}}
    other = {**STORED, **attributes(OTHER_KEY)}
    server = serve(
        ok({"Responses": {NAME: [STORED]}, "UnprocessedKeys": left}),
        ok({"Responses": {}, "UnprocessedKeys": left}),
        ok({"Responses": {NAME: [other]}, "UnprocessedKeys": {}}),
    )

    found = table().get([KEY, OTHER_KEY], deadline())

    assert found == {KEY: READ, OTHER_KEY: {**READ, "sk": "2"}}
    both = {NAME: {"Keys": [attributes(KEY), attributes(OTHER_KEY)], "ConsistentRead": True}}
    assert server.bodies == [{"RequestItems": both}, {"RequestItems": left}, {"RequestItems": left}]


def test_keys_that_stay_unprocessed_are_given_up_in_time(serve: Serve) -> None:
    left: dict[str, Any] = {NAME: {"Keys": [attributes(OTHER_KEY)], "ConsistentRead": True}}
    serve(ok({"Responses": {}, "UnprocessedKeys": left}))

    assert failure(lambda: table().get([KEY, OTHER_KEY], Deadline(0.5))) == (
        TransientUpstreamError,
        "Amazon DynamoDB: read table state: it leaves keys unprocessed",
    )


def test_query_asks_from_where_the_page_before_ended(serve: Serve) -> None:
    server = serve(
        ok({"Items": [STORED], "LastEvaluatedKey": attributes(KEY)}),
        ok({"Items": [], "LastEvaluatedKey": attributes(OTHER_KEY)}),
        ok({"Items": [{**STORED, **attributes(OTHER_KEY)}]}),
    )

    page = table().query("run", deadline(), prefix="p", newest_first=True)

    asked = {
        "TableName": NAME,
        "KeyConditionExpression": "pk = :pk AND begins_with(sk, :prefix)",
        "ExpressionAttributeValues": {":pk": {"S": "run"}, ":prefix": {"S": "p"}},
        "ConsistentRead": True,
        "ScanIndexForward": False,
    }
    assert page == Page(items=(READ, {**READ, "sk": "2"}), has_more=False)
    assert server.bodies == [
        asked,
        {**asked, "ExclusiveStartKey": attributes(KEY)},
        {**asked, "ExclusiveStartKey": attributes(OTHER_KEY)},
    ]


def test_limited_query_stops_when_it_has_seen_that_there_are_more(serve: Serve) -> None:
    server = serve(ok({"Items": [STORED, STORED], "LastEvaluatedKey": attributes(KEY)}))

    page = table().query("run", deadline(), limit=1)

    assert (page, server.bodies[0]["Limit"], len(server.requests)) == (Page(items=(READ,), has_more=True), 3, 1)


def test_query_of_a_range_that_is_empty_asks_nothing(serve: Serve) -> None:
    server = serve(ok({"Items": []}))

    assert table().query("run", deadline(), prefix="b", before="a") == Page(items=(), has_more=False)
    assert server.requests == []


def test_put_alone_asks_for_the_item_that_is_in_its_way(serve: Serve) -> None:
    server = serve(ok({}))

    transact(Put(ITEM, 2))

    (body,) = server.bodies
    nonce = body["Item"].pop("write_nonce")["S"]
    assert (len(nonce), operations(server)) == (32, ["PutItem"])
    assert body == {
        "TableName": NAME,
        "Item": STORED,
        **UNCHANGED,
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def test_several_writes_are_one_transaction(serve: Serve) -> None:
    server = serve(ok({}))

    transact(Put(ITEM, None), Put(ITEM, 2), Delete(KEY, 2), Check(OTHER_KEY, 2))

    (body,) = server.bodies
    assert operations(server) == ["TransactWriteItems"]
    assert len(body["ClientRequestToken"]) == 36
    first = {
        "TableName": NAME,
        "Item": {**STORED, "version": {"N": "1"}},
        "ConditionExpression": "attribute_not_exists(pk)",
    }
    assert body["TransactItems"] == [
        {"Put": first},
        {"Put": {"TableName": NAME, "Item": STORED, **UNCHANGED}},
        {"Delete": {"TableName": NAME, "Key": attributes(KEY), **UNCHANGED}},
        {"ConditionCheck": {"TableName": NAME, "Key": attributes(OTHER_KEY), **UNCHANGED}},
    ]


def test_delete_alone_is_a_transaction_whose_token_tells_its_repetition(serve: Serve) -> None:
    server = serve(None, refusal("TransactionInProgressException"), ok({}))

    transact(Delete(KEY, 2))

    assert operations(server) == ["TransactWriteItems"] * 3
    assert len({body["ClientRequestToken"] for body in server.bodies}) == 1


def test_tokens_of_two_transactions_differ(serve: Serve) -> None:
    server = serve(ok({}))

    transact(Delete(KEY, 2))
    transact(Delete(KEY, 2))

    assert len({body["ClientRequestToken"] for body in server.bodies}) == 2


# --- what is asked again

PUT, BOTH = (Put(ITEM, 2),), (Put(ITEM, 2), Check(OTHER_KEY, 2))


@pytest.mark.parametrize(
    ("writes", "first"),
    [
        pytest.param(PUT, refusal("ProvisionedThroughputExceededException"), id="put-throttled"),
        pytest.param(PUT, refusal("TransactionConflictException"), id="put-beside-a-transaction"),
        pytest.param(PUT, None, id="put-lost"),
        pytest.param(BOTH, refusal("ThrottlingException"), id="transaction-throttled"),
        pytest.param(BOTH, cancelled("None", "TransactionConflict"), id="transactions-met"),
        pytest.param(BOTH, cancelled("ThrottlingError", "ProvisionedThroughputExceeded"), id="partly-throttled"),
        pytest.param(BOTH, None, id="transaction-lost"),
    ],
)
def test_same_write_is_sent_again(writes: tuple[Write, ...], first: Answer | None, serve: Serve) -> None:
    server = serve(first, ok({}))

    transact(*writes)

    assert len(server.bodies) == 2
    assert server.bodies[0] == server.bodies[1]


@pytest.mark.parametrize("answer", [refusal("ThrottlingException"), cancelled("TransactionConflict"), None])
def test_write_that_never_gets_through_may_have_happened(answer: Answer | None, serve: Serve) -> None:
    server = serve(answer)

    kind, _ = failure(lambda: transact(*BOTH))

    assert (kind, len(server.requests)) == (TransientUpstreamError, ATTEMPTS)


# --- conflicts


def test_conflict_of_a_transaction_names_the_positions(serve: Serve) -> None:
    server = serve(cancelled("ConditionalCheckFailed", "None", "TransactionConflict", "ConditionalCheckFailed"))

    with pytest.raises(ConflictError, match=r"^changed by another one since it was read: write 0, 3$") as caught:
        transact(*BOTH, *BOTH)

    assert (caught.value.positions, len(server.requests)) == ((0, 3), 1)


def conditional_failure(**there: str) -> Answer:
    found = {name: {"N" if name == "version" else "S": value} for name, value in there.items()}
    return refusal("ConditionalCheckFailedException", Item={**STORED, **found} if there else {})


@pytest.mark.parametrize(
    "in_its_way",
    [
        pytest.param(conditional_failure(), id="nothing"),
        pytest.param(conditional_failure(version="3"), id="the-same-version"),
        pytest.param(conditional_failure(version="9"), id="a-later-version"),
        pytest.param(conditional_failure(version="3", write_nonce="another"), id="an-equal-item-of-another"),
    ],
)
def test_put_that_was_sent_once_conflicts_with_whatever_is_in_its_way(in_its_way: Answer, serve: Serve) -> None:
    serve(in_its_way)

    assert failure(lambda: transact(*PUT)) == (ConflictError, "changed by another one since it was read: write 0")


@pytest.mark.parametrize(
    ("in_its_way", "expected"),
    [
        pytest.param(conditional_failure(version="3", write_nonce="another"), ConflictError, id="the-same-version"),
        pytest.param(conditional_failure(version="4"), TransientUpstreamError, id="a-later-version"),
        pytest.param(conditional_failure(version="1"), TransientUpstreamError, id="made-anew"),
        pytest.param(conditional_failure(), TransientUpstreamError, id="nothing"),
    ],
)
def test_put_whose_answer_was_lost_conflicts_only_where_that_is_certain(
    in_its_way: Answer, expected: type[ReconcilerError], serve: Serve
) -> None:
    serve(None, in_its_way)

    kind, _ = failure(lambda: transact(*PUT))

    assert kind is expected


# --- failures

READS: tuple[Ask, ...] = (
    lambda table, deadline: table.get([KEY], deadline),
    lambda table, deadline: table.get([KEY, OTHER_KEY], deadline),
    lambda table, deadline: table.query("run", deadline),
)
WRITES: tuple[Ask, ...] = (
    lambda table, deadline: table.transact(PUT, deadline),
    lambda table, deadline: table.transact(BOTH, deadline),
)
OPERATIONS = ("GetItem", "BatchGetItem", "Query", "PutItem", "PutItem, DeleteItem, ConditionCheckItem")
each_operation = pytest.mark.parametrize("ask", READS + WRITES, ids=["get", "batch", "query", "put", "transaction"])


@each_operation
def test_missing_table_names_the_setting(ask: Ask, serve: Serve) -> None:
    serve(refusal("ResourceNotFoundException"))

    message = "STATE_TABLE: there is no table state in this account and region"
    assert failure(lambda: ask(table(), deadline())) == (ConfigurationError, message)


@pytest.mark.parametrize(("ask", "actions"), list(zip(READS + WRITES, OPERATIONS, strict=True)), ids=OPERATIONS)
def test_denied_operation_names_the_actions_and_the_table(ask: Ask, actions: str, serve: Serve) -> None:
    serve(refusal("AccessDeniedException"))

    kind, message = failure(lambda: ask(table(), deadline()))

    assert (kind, message.partition(" table state: ")[2]) == (
        PermanentUpstreamError,
        f"AccessDeniedException: may this function's role do this (dynamodb:{actions})?",
    )


@each_operation
def test_nothing_is_sent_after_the_deadline(ask: Ask, serve: Serve) -> None:
    server = serve(ok({}))

    kind, _ = failure(lambda: ask(table(), Deadline(0.0)))

    assert (kind, server.requests) == (PostponedError, [])


@pytest.mark.parametrize(("others", "size"), [((), 409_664), (PUT, 409_621)], ids=["put-with-its-nonce", "transaction"])
def test_item_that_is_too_large_is_named(others: tuple[Write, ...], size: int, serve: Serve) -> None:
    serve(refusal("ValidationException"))

    assert failure(lambda: transact(*others, Put(TOO_LARGE, None))) == (
        PermanentUpstreamError,
        f"Amazon DynamoDB: write table state: ValidationException; an item may have 409600 B, and run / 9 has {size} B",
    )


@pytest.mark.parametrize("writes", [PUT, BOTH], ids=["put", "transaction"])
def test_any_other_refusal_is_as_dynamodb_says(writes: tuple[Write, ...], serve: Serve) -> None:
    serve(refusal("ValidationException", message="one item twice"))

    assert failure(lambda: transact(*writes)) == (
        PermanentUpstreamError,
        "Amazon DynamoDB: write table state: ValidationException: one item twice",
    )


@pytest.mark.parametrize(
    ("ask", "answer", "cause"),
    [
        (READS[0], {"Item": {**STORED, "a": {"B": "YQ=="}}}, "an attribute of type B is not what this service writes"),
        (READS[0], {"Item": ["a"]}, "no list of items"),
        (READS[0], {"Item": {"pk": {"S": "run"}}}, "an item has no key"),
        (READS[1], {"Responses": ["a"]}, "no list of items"),
        (READS[2], {}, "no list of items"),
        (READS[2], {"Items": [1]}, "no list of items"),
    ],
)
def test_answer_that_is_not_what_was_asked_for_is_a_contract_error(
    ask: Ask, answer: object, cause: str, serve: Serve
) -> None:
    serve(ok(answer))

    message = f"Amazon DynamoDB: read table state: not the items of this service: {cause}"
    assert failure(lambda: ask(table(), deadline())) == (ContractError, message)
