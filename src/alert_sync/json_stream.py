"""Reads a JSON array element by element, so that 57 MB of alerts never stand in memory at once."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from typing import Any

_WHITESPACE = " \t\r\n"


def iterate_array(chunks: Iterator[bytes]) -> Iterator[Any]:
    """Each element of the JSON array that the chunks make up.

    The chunks are read to their end, so that a connection they come from can be used again.

    Raises:
        ValueError: not UTF-8, not JSON, not an array, cut off, or something follows the array.
    """
    text = _Text(chunks)
    if text.next_character() != "[":
        raise ValueError("not a JSON array")
    if text.next_character(peek=True) == "]":
        text.next_character()
    else:
        yield from _elements(text)
    if text.next_character():
        raise ValueError("something follows the JSON array")


def _elements(text: _Text) -> Iterator[Any]:
    separator = ","
    while separator == ",":
        yield text.next_value()
        separator = text.next_character()
    if separator != "]":
        raise ValueError("the JSON array is cut off or malformed")


class _Text:
    """The text decoded so far and a position in it; takes in more chunks as needed."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._decode = codecs.getincrementaldecoder("utf-8")().decode
        self._parse = json.JSONDecoder().raw_decode
        self._buffer = ""
        self._position = 0

    def next_character(self, *, peek: bool = False) -> str:
        """The next character that is not white space; empty at the end."""
        while True:
            while self._position < len(self._buffer) and self._buffer[self._position] in _WHITESPACE:
                self._position += 1
            if self._position < len(self._buffer):
                break
            if not self._take_in(1):
                return ""
        character = self._buffer[self._position]
        self._position += 0 if peek else 1
        return character

    def next_value(self) -> Any:
        """The JSON value that begins at the next character."""
        self.next_character(peek=True)
        while True:
            try:
                value, end = self._parse(self._buffer, self._position)
            except json.JSONDecodeError:
                # Doubling what is there keeps a huge element from being parsed once per chunk.
                if not self._take_in(len(self._buffer) - self._position):
                    raise
            except RecursionError:
                raise ValueError("nested too deeply") from None
            else:
                length = end - self._position
                # The rest of a number may be in the next chunk, the `5` of `1e+5` too, of which `e+` is here already.
                may_go_on = isinstance(value, (int, float)) and len(self._buffer) - end <= len("e+")
                if not may_go_on or not self._take_in(1):
                    self._position += length
                    return value

    def _take_in(self, characters: int) -> bool:
        """Drop what was consumed and add at least so many characters; False when nothing more came."""
        rest = self._buffer[self._position :]
        wanted, parts, added = max(1, characters), [rest], 0
        for chunk in self._chunks:
            parts.append(self._decode(chunk))
            added += len(parts[-1])
            if added >= wanted:
                break
        else:
            parts.append(self._decode(b"", final=True))
            added += len(parts[-1])
        self._buffer, self._position = "".join(parts), 0
        return added > 0
