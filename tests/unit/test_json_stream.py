"""Reading a JSON array piece by piece: the cuts must not matter, and nothing but one whole array is taken for one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alert_sync.json_stream import iterate_array

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
indents = st.sampled_from([None, 1])
whitespace = st.text(alphabet=" \t\r\n", max_size=3)
cuts = st.lists(st.integers(0, 200), max_size=8)


def cut(text: bytes, positions: list[int]) -> Iterator[bytes]:
    ends = sorted({*(min(position, len(text)) for position in positions), len(text)})
    yield from (text[start:end] for start, end in zip([0, *ends], ends, strict=False))


def one_by_one(text: bytes) -> Iterator[bytes]:
    return cut(text, list(range(len(text))))


def fault_of(*chunks: bytes) -> str:
    with pytest.raises(ValueError, match=r".") as caught:
        list(iterate_array(iter(chunks)))
    return str(caught.value)


@given(
    values=st.lists(json_values, max_size=8),
    positions=cuts,
    ensure_ascii=st.booleans(),
    indent=indents,
    around=st.tuples(whitespace, whitespace),
)
def test_cuts_do_not_matter(
    *, values: list[Any], positions: list[int], ensure_ascii: bool, indent: int | None, around: tuple[str, str]
) -> None:
    text = json.dumps(values, ensure_ascii=ensure_ascii, indent=indent).join(around).encode()

    assert list(iterate_array(cut(text, positions))) == values


@given(st.lists(json_values, max_size=5))
def test_array_may_come_byte_by_byte(values: list[Any]) -> None:
    text = json.dumps(values).encode()

    assert list(iterate_array(one_by_one(text))) == values


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("[]", []),
        (" [ ] ", []),
        ("[[]]", [[]]),
        ("[12345]", [12345]),
        ("[-1.5e+10,0]", [-1.5e10, 0]),
        ("[true,false,null]", [True, False, None]),
        ('["ü🎉\\ud83c\\udf89"]', ["ü🎉🎉"]),
        ('[{"a":[{"b":"]}"}]}]', [{"a": [{"b": "]}"}]}]),
    ],
)
def test_element_cut_anywhere_is_one_element(text: str, values: list[Any]) -> None:
    encoded = text.encode()

    for position in range(len(encoded) + 1):
        assert list(iterate_array(cut(encoded, [position]))) == values


def test_elements_come_while_the_rest_is_still_on_its_way() -> None:
    def chunks() -> Iterator[bytes]:
        yield b'[{"a": 1}, '
        raise ConnectionError("the rest is not here yet")

    assert next(iterate_array(chunks())) == {"a": 1}


def test_chunks_are_read_to_their_end() -> None:
    chunks = iter([b"[1]", b" ", b"\n", b""])

    assert (list(iterate_array(chunks)), list(chunks)) == ([1], [])


@pytest.mark.parametrize("text", ["", "  ", "{}", '"text"', "1", "null", "<html></html>", "\ufeff[]"], ids=repr)
def test_anything_else_is_not_an_array(text: str) -> None:
    assert fault_of(text.encode()) == "not a JSON array"


@pytest.mark.parametrize("text", ["[] []", "[]]", "[1],", '[1]{"next": 2}', "[]\x00"])
def test_something_after_the_array_is_a_fault(text: str) -> None:
    assert fault_of(text.encode()) == "something follows the JSON array"


@pytest.mark.parametrize("text", ["[1", "[1 2]", "[1}", "[{}", '["a" "b"]', "[1;2]", "[01]"])
def test_array_without_its_commas_or_end_is_a_fault(text: str) -> None:
    assert fault_of(text.encode()) == "the JSON array is cut off or malformed"


@pytest.mark.parametrize(
    "text", ["[", "[1,", "[,1]", "[1,]", "[nul]", '["open', '[{"a":', "[{'a': 1}]", "[-]", '["\x01"]', "[{]}"]
)
def test_malformed_element_is_a_fault(text: str) -> None:
    assert "line 1 column" in fault_of(text.encode())


@given(st.lists(json_values, min_size=1, max_size=3), st.data())
def test_array_that_is_cut_off_anywhere_is_a_fault(values: list[Any], data: st.DataObject) -> None:
    text = json.dumps(values).encode()
    length = data.draw(st.integers(0, len(text) - 1))

    assert fault_of(text[:length])


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b'["\xff"]', id="no such byte"),
        pytest.param(b'["\xe4"]', id="Latin-1"),
        pytest.param(b'["\xf0\x9f\x8e', id="character cut off"),
        pytest.param("[]".encode("utf-16"), id="UTF-16"),
    ],
)
def test_bytes_that_are_not_utf_8_are_a_fault(text: bytes) -> None:
    assert "codec can't decode" in fault_of(text)


@pytest.mark.parametrize("cut_off", [True, False], ids=["cut off", "whole"])
def test_deep_nesting_is_a_fault_and_not_a_crash(cut_off: bool) -> None:  # noqa: FBT001 - a table's column
    text = "[" * 100_000 + ("" if cut_off else "]" * 100_000)

    assert fault_of(text.encode()) == "nested too deeply"


def test_faulty_end_does_not_take_back_what_came_before() -> None:
    elements = iterate_array(iter([b"[1, 2, x]"]))

    assert (next(elements), next(elements)) == (1, 2)
    with pytest.raises(ValueError, match="Expecting value"):
        next(elements)
