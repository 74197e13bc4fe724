"""What a value may look like, said once: checked here, and printed as it is in the OpenAPI document. Pure.

Only the words of JSON Schema that the routes use. The description of a text with a pattern completes the sentence
"it must be ...".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]

_SHOWN_LENGTH = 60
_WORDS = {"true": True, "false": False}
_INTEGER = re.compile(r"-?[0-9]{1,9}")
_TYPES: Mapping[str, type] = {"string": str, "boolean": bool, "integer": int, "array": list, "object": dict}


def value_of(text: str, schema: Schema) -> Any:
    """What a parameter's text stands for; the text itself where it is nothing that the schema knows."""
    if schema["type"] == "integer" and _INTEGER.fullmatch(text):
        return int(text)
    return _WORDS.get(text, text) if schema["type"] == "boolean" else text


def fault_of(value: Any, schema: Schema, name: str) -> str:
    """One sentence that names what is wrong and what would be right; empty if nothing is wrong."""
    if not _is_of_type(value, schema["type"]):
        return f"{name} must be {_expected(schema)}, not {_shown(value)}"
    if isinstance(value, dict):
        return _fault_of_object(value, schema, name)
    if isinstance(value, list):
        return _fault_of_list(value, schema, name)
    return "" if _is_allowed(value, schema) else f"{name} must be {_expected(schema)}, not {_shown(value)}"


def _is_of_type(value: Any, name: str) -> bool:
    # To Python a boolean is a number.
    return isinstance(value, _TYPES[name]) and not (name == "integer" and isinstance(value, bool))


def _fault_of_object(value: Mapping[str, Any], schema: Schema, name: str) -> str:
    properties = schema["properties"]
    for key in value:
        if key not in properties:
            return f"{name} has an unknown key {_shown(key)}; there are {', '.join(properties)}"
    for key in schema.get("required", ()):
        if key not in value:
            return f"{name} lacks {key}: {_expected(properties[key])}"
    faults = (fault_of(each, properties[key], f"{key} in {name}") for key, each in value.items())
    return next(filter(None, faults), "")


def _fault_of_list(values: list[Any], schema: Schema, name: str) -> str:
    if len(values) > schema["maxItems"]:
        return f"{name} must have at most {schema['maxItems']} entries, not {len(values)}"
    return next(filter(None, (fault_of(each, schema["items"], f"each entry of {name}") for each in values)), "")


def _is_allowed(value: Any, schema: Schema) -> bool:
    if "enum" in schema:
        return value in schema["enum"]
    if isinstance(value, str):
        return len(value) <= schema["maxLength"] and bool(re.fullmatch(schema["pattern"], value))
    return isinstance(value, bool) or schema["minimum"] <= value <= schema["maximum"]


def _expected(schema: Schema) -> str:
    if "enum" in schema:
        return f"{'' if len(schema['enum']) == 1 else 'one of '}{', '.join(schema['enum'])}"
    if schema["type"] == "integer":
        return f"a whole number from {schema['minimum']} to {schema['maximum']}"
    words = {"boolean": "true or false", "array": "a list", "object": "an object"}
    return words.get(schema["type"]) or str(schema["description"])


def _shown(value: Any) -> str:
    """Bounded before it is written out: it may be large, and deep."""
    if isinstance(value, str):
        return repr(value[:_SHOWN_LENGTH])
    return str(value) if isinstance(value, (bool, int)) and abs(value) < 10**9 else _kind(value)


def _kind(value: Any) -> str:
    return {dict: "an object", list: "a list", type(None): "null"}.get(type(value), "that number")
