"""One DynamoDB table of items with a version, each write of which holds only for the version that was read.

It knows keys, versions and DynamoDB's limits, and not what the items mean.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from alert_sync.aws_api import AwsApi, Sendings, aws_code, cancellation_reasons
from alert_sync.deadline import Deadline
from alert_sync.errors import (
    ConfigurationError,
    ConflictError,
    ContractError,
    PermanentUpstreamError,
    TransientUpstreamError,
)
from alert_sync.memory.attribute_values import marshal, stored_bytes, unmarshal

Key = tuple[str, str]
"""Partition key and sort key: the attributes `pk` and `sk`."""
Item = dict[str, Any]
"""Plain values, with `pk`, `sk` and `version` among them."""

MOST_WRITES = 100
MOST_BYTES = 400 * 1024
_MOST_KEYS = 100
_BACKOFF_SECONDS = 0.05
_NONCE = "write_nonce"
_CONDITION_FAILED = "ConditionalCheckFailed"


@dataclass(frozen=True, slots=True)
class Put:
    """Write the whole item, as version `expected` + 1. `expected` None: there must be none yet, and it is version 1."""

    item: Mapping[str, Any]
    expected: int | None


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete the item, if it still has that version.

    One that is made anew begins at version 1 again: what others compare over a longer time is better overwritten.
    """

    key: Key
    expected: int


@dataclass(frozen=True, slots=True)
class Check:
    """Write nothing, but let the other writes hold only if this item still has that version."""

    key: Key
    expected: int


Write = Put | Delete | Check
_RangeCondition = tuple[str, dict[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Items of one partition, and whether there are more than were asked for."""

    items: tuple[Item, ...]
    has_more: bool


class Table:
    """The table of that name. Shared by threads.

    Every method raises ConfigurationError if the table does not exist or AWS is not set up here, and UpstreamError if
    it could not be asked; nothing takes longer than the deadline.
    """

    def __init__(self, name: str, api: AwsApi) -> None:
        self._name = name
        self._api = api

    def get(self, keys: Sequence[Key], deadline: Deadline) -> dict[Key, Item]:
        """The items of these keys as they are now, without those that do not exist. One request for 100 keys."""
        wanted = list(dict.fromkeys(keys))
        if len(wanted) == 1:
            items = self._get_one(wanted[0], deadline)
        else:
            batches = (wanted[start : start + _MOST_KEYS] for start in range(0, len(wanted), _MOST_KEYS))
            items = [item for batch in batches for item in self._get_batch(batch, deadline)]
        return {(item["pk"], item["sk"]): item for item in items}

    def query(
        self,
        pk: str,
        deadline: Deadline,
        *,
        prefix: str = "",
        before: str = "",
        newest_first: bool = False,
        limit: int = 0,
    ) -> Page:
        """The items of one partition as they are now, in the order of `sk`, or from its end.

        Args:
            pk: the partition.
            deadline: of all requests together.
            prefix: only items whose `sk` begins so.
            before: only items whose `sk` comes before it.
            newest_first: from the last `sk` to the first.
            limit: at most so many; 0 for all.
        """
        condition = _range_condition(prefix, before)
        if condition is None:
            return Page(items=(), has_more=False)
        found: list[Item] = []
        for item in self._queried(pk, condition, deadline, newest_first=newest_first, limit=limit):
            if item["sk"] == before:  # a range includes its end
                continue
            if limit and len(found) == limit:
                return Page(items=tuple(found), has_more=True)
            found.append(item)
        return Page(items=tuple(found), has_more=False)

    def transact(self, writes: Sequence[Write], deadline: Deadline) -> None:
        """Do all of 1 to 100 writes, or none of them.

        It is repeated after lost answers without ever being done twice. One Put alone costs half of what it costs in a
        transaction, and can be recognised after a lost answer as long as nobody has written the item again; then it is
        unknown whether it was done, which is a TransientUpstreamError and never a ConflictError. Whoever has to know
        even then writes into the item who wrote it, and reads it again.

        Raises:
            ConflictError: nothing was written, because these writes found another version than expected.
            TransientUpstreamError: it may have been done, or not.
            PermanentUpstreamError: nothing was written, because DynamoDB refuses it; an item is too large, say.
        """
        if not 1 <= len(writes) <= MOST_WRITES:
            raise ValueError(f"{len(writes)} writes are not 1 to {MOST_WRITES}")
        if len(writes) == 1 and isinstance(writes[0], Put):
            self._put(writes[0], deadline)
        else:
            self._transact(writes, deadline)

    def _get_one(self, key: Key, deadline: Deadline) -> list[Item]:
        body = {"TableName": self._name, "Key": _key(key), "ConsistentRead": True}
        answer = self._call("GetItem", body, deadline, what="read")
        return self._items([answer["Item"]] if answer.get("Item") else [])

    def _get_batch(self, keys: Iterable[Key], deadline: Deadline) -> Iterator[Item]:
        """DynamoDB leaves out what is too much for one answer, or for the moment: it is asked for again."""
        asked: Any = {self._name: {"Keys": [_key(key) for key in keys], "ConsistentRead": True}}
        wait = _BACKOFF_SECONDS
        while True:
            answer = self._call("BatchGetItem", {"RequestItems": asked}, deadline, what="read")
            responses = answer.get("Responses")
            yield from self._items(responses.get(self._name, []) if isinstance(responses, dict) else None)
            asked = answer.get("UnprocessedKeys")
            if not asked:
                return
            if not deadline.allows(wait):
                raise TransientUpstreamError(self._api.name, self._operation("read"), "it leaves keys unprocessed")
            time.sleep(wait)
            wait *= 2 * random.uniform(0.8, 1.2)  # noqa: S311 - spreads load

    def _queried(
        self, pk: str, condition: _RangeCondition, deadline: Deadline, *, newest_first: bool, limit: int
    ) -> Iterator[Item]:
        expression, values = condition
        body: dict[str, Any] = {
            "TableName": self._name,
            "KeyConditionExpression": f"pk = :pk{expression}",
            "ExpressionAttributeValues": marshal({":pk": pk, **values}),
            "ConsistentRead": True,
            "ScanIndexForward": not newest_first,
        }
        if limit:
            body["Limit"] = limit + 2  # one to see that there are more, and the end of a range
        while True:
            answer = self._call("Query", body, deadline, what="query")
            yield from self._items(answer.get("Items"))
            if not answer.get("LastEvaluatedKey"):
                return
            body["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def _put(self, put: Put, deadline: Deadline) -> None:
        nonce, sendings = uuid.uuid4().hex, Sendings()
        stored = {**_stored(put), _NONCE: nonce}
        body = {**self._put_request(put, stored), "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
        try:
            self._call("PutItem", body, deadline, what="write", sendings=sendings)
        except PermanentUpstreamError as error:
            if aws_code(error) != "ConditionalCheckFailedException":
                raise _refused([stored], error) from error
            self._check_it_is_ours(put, nonce, sendings, error)

    def _check_it_is_ours(self, put: Put, nonce: str, sendings: Sendings, error: PermanentUpstreamError) -> None:
        """A condition failed: through our own write, if its answer was lost. Versions tell the rest."""
        (there,) = self._unmarshalled([error.answer.get("Item", {})])
        if there.get(_NONCE) == nonce:
            return
        if sendings.number > 1 and there.get("version") != _version_after(put):
            cause = "an answer was lost, and the item was written again since: it cannot be told whether this was done"
            raise TransientUpstreamError(self._api.name, error.operation, cause, status=error.status) from error
        raise ConflictError([0]) from error

    def _transact(self, writes: Sequence[Write], deadline: Deadline) -> None:
        body = {
            "TransactItems": [self._transact_request(write) for write in writes],
            "ClientRequestToken": str(uuid.uuid4()),
        }
        try:
            self._call("TransactWriteItems", body, deadline, what="write")
        except PermanentUpstreamError as error:
            reasons = cancellation_reasons(error)
            failed = [position for position, reason in enumerate(reasons) if reason == _CONDITION_FAILED]
            if failed:
                raise ConflictError(failed) from error
            stored = [_stored(write) for write in writes if isinstance(write, Put)]
            raise _refused(stored, error) from error

    def _transact_request(self, write: Write) -> dict[str, Any]:
        if isinstance(write, Put):
            return {"Put": self._put_request(write, _stored(write))}
        request = {"TableName": self._name, "Key": _key(write.key), **_unchanged_since(write.expected)}
        return {"Delete" if isinstance(write, Delete) else "ConditionCheck": request}

    def _put_request(self, put: Put, stored: Item) -> dict[str, Any]:
        return {"TableName": self._name, "Item": marshal(stored), **_unchanged_since(put.expected)}

    def _call(
        self,
        operation: str,
        body: Mapping[str, Any],
        deadline: Deadline,
        *,
        what: str,
        sendings: Sendings | None = None,
    ) -> dict[str, Any]:
        try:
            return self._api.call(operation, body, deadline, what=self._operation(what), sendings=sendings)
        except PermanentUpstreamError as error:
            if aws_code(error) == "ResourceNotFoundException":
                cause = f"STATE_TABLE: there is no table {self._name} in this account and region"
                raise ConfigurationError(cause) from error
            raise

    def _operation(self, what: str) -> str:
        return f"{what} table {self._name}"

    def _items(self, answered: Any) -> list[Item]:
        """The items of an answer, without what only this module needs."""
        items = self._unmarshalled(answered)
        if not all(isinstance(item.get(name), str) for item in items for name in ("pk", "sk")):
            raise self._unreadable("an item has no key")
        return [{name: value for name, value in item.items() if name != _NONCE} for item in items]

    def _unmarshalled(self, answered: Any) -> list[Item]:
        if not isinstance(answered, list) or not all(isinstance(attributes, dict) for attributes in answered):
            raise self._unreadable("no list of items")
        try:
            return [unmarshal(attributes) for attributes in answered]
        except ValueError as error:
            raise self._unreadable(str(error)) from error

    def _unreadable(self, cause: str) -> ContractError:
        return ContractError(self._api.name, self._operation("read"), f"not the items of this service: {cause}")


def _key(key: Key) -> dict[str, Any]:
    return marshal({"pk": key[0], "sk": key[1]})


def _version_after(put: Put) -> int:
    return (put.expected or 0) + 1


def _stored(put: Put) -> Item:
    return {**put.item, "version": _version_after(put)}


def _refused(stored: Sequence[Item], error: PermanentUpstreamError) -> PermanentUpstreamError:
    """The refusal, naming the items that are too large: DynamoDB does not say which."""
    sizes = [(f"{item['pk']} / {item['sk']}", stored_bytes(item)) for item in stored]
    large = [f"{name} has {size} B" for name, size in sizes if size > MOST_BYTES]
    if not large:
        return error
    cause = f"{error.cause}; an item may have {MOST_BYTES} B, and {', '.join(large)}"
    return PermanentUpstreamError(
        error.upstream, error.operation, cause, status=error.status, answer=error.answer, headers=error.headers
    )


def _unchanged_since(expected: int | None) -> dict[str, Any]:
    """The condition that nobody wrote the item since it was read as this version."""
    if expected is None:
        return {"ConditionExpression": "attribute_not_exists(pk)"}
    return {
        "ConditionExpression": "#version = :expected",
        "ExpressionAttributeNames": {"#version": "version"},
        "ExpressionAttributeValues": marshal({":expected": expected}),
    }


def _range_condition(prefix: str, before: str) -> _RangeCondition | None:
    """The one condition on `sk` that DynamoDB allows; None if no item can meet it.

    With both a prefix and an end it includes the end, as there is no other range with a beginning.
    """
    if not before:
        return (" AND begins_with(sk, :prefix)", {":prefix": prefix}) if prefix else ("", {})
    if not prefix:
        return " AND sk < :before", {":before": before}
    if before <= prefix:
        return None
    if not before.startswith(prefix):
        return _range_condition(prefix, "")  # the end lies behind all of them
    return " AND sk BETWEEN :prefix AND :before", {":prefix": prefix, ":before": before}
