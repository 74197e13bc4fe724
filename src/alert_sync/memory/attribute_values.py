"""Plain values to and from DynamoDB's typed JSON, in which each is `{"S": "text"}`, `{"N": "1"}` and so on. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

_MOST_DIGITS = 38
_MOST_PLACES = 126
_SMALLEST = 1e-130
_BYTES_OF_A_CONTAINER = 3


def marshal(item: Mapping[str, Any]) -> dict[str, Any]:
    """An item of plain values as DynamoDB wants it.

    Text that is no valid Unicode (half a surrogate pair, which JSON lets pass) has it replaced by `?`: one such label
    must not make everything unwritable. A float that is a whole number comes back as an int, equal to it.

    Raises:
        ValueError: a value is of another type, not finite, or a number that DynamoDB would not hold exactly.
    """
    return {_text(name): _attribute(value) for name, value in item.items()}


def unmarshal(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `marshal`.

    Raises:
        ValueError: it is not DynamoDB's typed JSON, or holds a type that this service never writes.
    """
    return {name: _plain(attribute) for name, attribute in attributes.items()}


def stored_bytes(item: Mapping[str, Any]) -> int:
    """How large DynamoDB counts it, to a few bytes: names and texts as UTF-8, two digits of a number to a byte."""
    return sum(len(_text(name).encode()) + _bytes_of(value) for name, value in item.items())


def _attribute(value: Any) -> dict[str, Any]:
    if value is None:
        return {"NULL": True}
    if isinstance(value, bool):
        return {"BOOL": value}
    if isinstance(value, str):
        return {"S": _text(value)}
    if isinstance(value, int | float):
        return {"N": _number(value)}
    if isinstance(value, list | tuple):
        return {"L": [_attribute(each) for each in value]}
    if isinstance(value, Mapping):
        return {"M": marshal(value)}
    raise ValueError(f"a {type(value).__name__} cannot be stored")


def _text(text: object) -> str:
    if not isinstance(text, str):
        raise ValueError(f"a {type(text).__name__} cannot be a name")  # noqa: TRY004 - one kind of error for a value
    return text.encode(errors="replace").decode()


def _number(value: float) -> str:
    """As text, which reads back as an equal number.

    Whole floats are written with all their digits: DynamoDB would fill up the short form of a large one with zeros,
    which is another number.
    """
    if isinstance(value, int) or value.is_integer():
        whole = int(value)
        is_exact = len(str(abs(whole)).rstrip("0")) <= _MOST_DIGITS and abs(whole) < 10**_MOST_PLACES
        text = str(whole)
    else:
        is_exact = math.isfinite(value) and abs(value) >= _SMALLEST
        text = repr(float(value))
    if not is_exact:
        raise ValueError("DynamoDB cannot hold this number exactly")
    return text


def _plain(attribute: Any) -> Any:
    if not isinstance(attribute, Mapping) or len(attribute) != 1:
        raise ValueError("an attribute is not one value with its type")
    ((kind, value),) = attribute.items()
    match kind, value:
        case "S", str():
            return value
        case "N", str():
            return _int_or_float(value)
        case "BOOL", bool():
            return value
        case "NULL", True:
            return None
        case "L", list():
            return [_plain(each) for each in value]
        case "M", dict():
            return unmarshal(value)
    raise ValueError(f"an attribute of type {kind} is not what this service writes")


def _int_or_float(text: str) -> float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def _bytes_of(value: Any) -> int:
    if isinstance(value, str):
        return len(_text(value).encode())
    if value is None or isinstance(value, bool):
        return 1
    if isinstance(value, list | tuple):
        return _BYTES_OF_A_CONTAINER + sum(1 + _bytes_of(each) for each in value)
    if isinstance(value, Mapping):
        return _BYTES_OF_A_CONTAINER + len(value) + stored_bytes(value)
    return len(repr(value)) // 2 + 2
