"""A meter before an emulated AWS: passes everything on, and counts what DynamoDB and EventBridge would bill.

Units are counted by the rules that AWS publishes, from the items that were really sent and answered: a consistent read
takes one unit for 4 KB, rounded up for each item that is got and for each page of a query; a write one for 1 KB of the
item as it was or is, the larger, and two in a transaction, where a condition check counts as a write.
"""

from __future__ import annotations

import json
import math
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import urllib3

from tests.support.loopback_http import Answer, Connection, LoopbackHttpServer, Request, Serving

_READS = ("GetItem", "BatchGetItem", "Query")
_WRITES = ("PutItem", "TransactWriteItems")
_DROPPED = ("connection", "keep-alive", "transfer-encoding", "content-length", "date", "server")
_READ_UNIT_BYTES, _WRITE_UNIT_BYTES = 4096, 1024
_BYTES_OF_A_CONTAINER = 3

Attributes = Mapping[str, Any]


@dataclass(slots=True, kw_only=True)
class Bill:
    """What was asked for since it was begun. `sizes` are the bytes of the largest item written, by what it is."""

    operations: Counter[str] = field(default_factory=Counter)
    items_read: int = 0
    items_written: int = 0
    read_units: int = 0
    write_units: int = 0
    events: int = 0
    sizes: dict[str, int] = field(default_factory=dict)

    @property
    def reads(self) -> int:
        return sum(self.operations[name] for name in _READS)

    @property
    def writes(self) -> int:
        return sum(self.operations[name] for name in _WRITES)


class MeteredAws(Serving):
    """Stands before the emulator at `url_behind`."""

    def __init__(self, url_behind: str) -> None:
        self.bill = Bill()
        self._behind = url_behind
        self._http = urllib3.PoolManager(retries=False)
        self._sizes: dict[tuple[str, str, str], int] = {}
        self._lock = threading.Lock()
        self._server = LoopbackHttpServer(self._serve)

    @property
    def url(self) -> str:
        return self._server.url

    def new_bill(self) -> Bill:
        """Begin to count anew; return what was counted."""
        counted, self.bill = self.bill, Bill()
        return counted

    def _serve(self, request: Request, connection: Connection) -> None:
        answer = self._http.request(
            request.method, self._behind + request.target, headers=dict(request.headers), body=request.body
        )
        with self._lock:
            self._count(request, answer.status, answer.data)
        headers = [(name, value) for name, value in answer.headers.items() if name.lower() not in _DROPPED]
        connection.send(Answer(status=answer.status, headers=tuple(headers), body=answer.data))

    def _count(self, request: Request, status: int, answered: bytes) -> None:
        operation = (request.header("x-amz-target") or request.path).rpartition(".")[2]
        self.bill.operations[operation] += 1
        if status != 200:
            raise RuntimeError(f"{operation}: {answered.decode()}")
        body = json.loads(request.body)
        if operation == "PutEvents":
            self.bill.events += len(body["Entries"])
        elif operation in _READS:
            self._count_read(operation, json.loads(answered))
        elif operation == "PutItem":
            self._count_write("Put", body, factor=1)
        elif operation == "TransactWriteItems":
            for write in body["TransactItems"]:
                ((kind, asked),) = write.items()
                self._count_write(kind, asked, factor=2)
        else:
            raise RuntimeError(f"{operation} is not counted yet")

    def _count_read(self, operation: str, answer: Mapping[str, Any]) -> None:
        if operation == "Query":
            pages = [answer["Items"]]
        elif operation == "GetItem":
            pages = [[answer["Item"]] if "Item" in answer else []]
        else:
            pages = [[item] for items in answer["Responses"].values() for item in items]
        self.bill.items_read += sum(map(len, pages))
        self.bill.read_units += sum(_units(sum(map(item_bytes, page)), _READ_UNIT_BYTES) for page in pages)

    def _count_write(self, kind: str, asked: Mapping[str, Any], *, factor: int) -> None:
        held = asked["Item"] if kind == "Put" else asked["Key"]
        key = (asked["TableName"], held["pk"]["S"], held["sk"]["S"])
        before = self._sizes.get(key, 0)
        after = item_bytes(held) if kind == "Put" else 0
        self.bill.write_units += factor * _units(max(before, after), _WRITE_UNIT_BYTES)
        if kind == "ConditionCheck":
            return
        self.bill.items_written += 1
        self._sizes[key] = after
        what = key[2].partition("#")[0] if key[1] == "open" else key[1]
        self.bill.sizes[what] = max(after, self.bill.sizes.get(what, 0))


def item_bytes(attributes: Attributes) -> int:
    """How large DynamoDB takes an item or a map to be."""
    return sum(len(name.encode()) + _value_bytes(value) for name, value in attributes.items())


def _value_bytes(value: Attributes) -> int:
    ((kind, held),) = value.items()
    match kind:
        case "S":
            return len(held.encode())
        case "N":
            return math.ceil(len(held.lstrip("-").replace(".", "").strip("0")) / 2) + 1
        case "L":
            return _BYTES_OF_A_CONTAINER + sum(1 + _value_bytes(each) for each in held)
        case "M":
            return _BYTES_OF_A_CONTAINER + len(held) + item_bytes(held)
    return 1


def _units(size: int, unit: int) -> int:
    return max(1, math.ceil(size / unit))
