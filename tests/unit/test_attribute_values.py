"""Plain values and DynamoDB's typed JSON: there and back, and the same as AWS's own library makes of them."""

from __future__ import annotations

import math
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Any

import pytest
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer  # type: ignore[import-untyped]  # it has no types
from hypothesis import given
from hypothesis import strategies as st

from alert_sync.memory.attribute_values import marshal, stored_bytes, unmarshal

MOST = 10**38 - 1
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
FLOATS = st.floats(allow_nan=False, allow_infinity=False).filter(lambda x: x == 0 or 1e-130 <= abs(x) < 1e38)
SCALARS = st.none() | st.booleans() | st.integers(-MOST, MOST) | FLOATS | TEXTS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4), max_leaves=20
)
ITEMS = st.dictionaries(TEXTS, VALUES, max_size=5)


class Colour(StrEnum):
    RED = "red"


class Size(IntEnum):
    LARGE = 3


@given(ITEMS)
def test_items_come_back_equal(item: dict[str, Any]) -> None:
    assert unmarshal(marshal(item)) == item


@given(st.dictionaries(TEXTS, st.integers(-MOST, MOST) | st.booleans() | st.none()))
def test_types_of_whole_numbers_and_truths_come_back(item: dict[str, Any]) -> None:
    back = unmarshal(marshal(item))

    assert {name: type(value) for name, value in back.items()} == {name: type(value) for name, value in item.items()}


@given(ITEMS)
def test_aws_library_reads_what_is_written(item: dict[str, Any]) -> None:
    read = {name: TypeDeserializer().deserialize(attribute) for name, attribute in marshal(item).items()}

    assert with_floats(read) == with_floats(item)


@given(ITEMS)
def test_what_aws_library_writes_is_read(item: dict[str, Any]) -> None:
    written = {name: TypeSerializer().serialize(value) for name, value in with_decimals(item).items()}

    assert unmarshal(written) == item


def with_decimals(value: Any) -> Any:
    """As AWS's library wants floats."""
    if isinstance(value, float):
        return Decimal(int(value)) if value.is_integer() else Decimal(repr(value))
    if isinstance(value, dict):
        return {name: with_decimals(each) for name, each in value.items()}
    return [with_decimals(each) for each in value] if isinstance(value, list) else value


def with_floats(value: Any) -> Any:
    """The inverse; whole numbers stay exact."""
    if isinstance(value, Decimal | float):
        return int(value) if value == int(value) else float(value)
    if isinstance(value, dict):
        return {name: with_floats(each) for name, each in value.items()}
    return [with_floats(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("value", "attribute"),
    [
        (None, {"NULL": True}),
        (True, {"BOOL": True}),
        (False, {"BOOL": False}),
        (0, {"N": "0"}),
        (MOST, {"N": "9" * 38}),
        (10**125, {"N": "1" + "0" * 125}),
        (0.1, {"N": "0.1"}),
        (1.5e-130, {"N": "1.5e-130"}),
        (1.0, {"N": "1"}),
        (3.602879701896397e16, {"N": "36028797018963968"}),
        (Size.LARGE, {"N": "3"}),
        ("", {"S": ""}),
        (Colour.RED, {"S": "red"}),
        ("half a pair: \ud83d", {"S": "half a pair: ?"}),
        ((1, "a"), {"L": [{"N": "1"}, {"S": "a"}]}),
        ({"a": [{}]}, {"M": {"a": {"L": [{"M": {}}]}}}),
    ],
    ids=repr,
)
def test_value_is_written_as(value: object, attribute: dict[str, Any]) -> None:
    assert marshal({"name": value}) == {"name": attribute}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (math.nan, "DynamoDB cannot hold this number exactly"),
        (math.inf, "DynamoDB cannot hold this number exactly"),
        (-math.inf, "DynamoDB cannot hold this number exactly"),
        (10**38 + 1, "DynamoDB cannot hold this number exactly"),
        (10**126, "DynamoDB cannot hold this number exactly"),
        (1e50, "DynamoDB cannot hold this number exactly"),
        (5e-324, "DynamoDB cannot hold this number exactly"),
        (b"", "a bytes cannot be stored"),
        ({1, 2}, "a set cannot be stored"),
        ([range(2)], "a range cannot be stored"),
        ({1: "a"}, "a int cannot be a name"),
    ],
    ids=repr,
)
def test_value_that_cannot_be_held_is_refused(value: object, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        marshal({"name": value})


@pytest.mark.parametrize(
    "attribute",
    [
        "text",
        {},
        {"S": "a", "N": "1"},
        {"S": 1},
        {"N": 1},
        {"N": "many"},
        {"BOOL": "true"},
        {"NULL": False},
        {"L": {}},
        {"L": ["a"]},
        {"M": []},
        {"B": "YQ=="},
        {"SS": ["a"]},
    ],
    ids=repr,
)
def test_attribute_that_this_service_never_writes_is_refused(attribute: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        unmarshal({"name": attribute})


@pytest.mark.parametrize(
    ("item", "size"),
    [
        ({}, 0),
        ({"pk": "abc"}, 5),
        ({"pk": "käse"}, 7),
        ({"a": None, "b": True}, 4),
        ({"a": 1234}, 5),
        ({"a": ["x", "y"]}, 1 + 3 + 2 * 2),
        ({"a": {"b": "c"}}, 1 + 3 + 1 + 2),
    ],
    ids=repr,
)
def test_size_is_counted_as_dynamodb_counts_it(item: dict[str, Any], size: int) -> None:
    assert stored_bytes(item) == size
