"""The table's promises without DynamoDB: versions, conditions, and all writes of a transaction or none of them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field

from alert_sync.deadline import Deadline
from alert_sync.errors import ConflictError
from alert_sync.memory.table import Delete, Item, Key, Page, Put, Table, Write
from tests.model.faults import Faults


@dataclass
class Items:
    """What the table holds."""

    by_key: dict[Key, Item] = field(default_factory=dict)

    def transact(self, writes: Sequence[Write]) -> None:
        failed = [position for position, write in enumerate(writes) if not self._is_as_expected(write)]
        if failed:
            raise ConflictError(failed)
        for write in writes:
            if isinstance(write, Put):
                item = copy.deepcopy(dict(write.item))
                self.by_key[_key_of(write)] = {**item, "version": (write.expected or 0) + 1}
            elif isinstance(write, Delete):
                del self.by_key[write.key]

    def _is_as_expected(self, write: Write) -> bool:
        there = self.by_key.get(_key_of(write))
        return write.expected == (None if there is None else there["version"])


class ModelTable(Table):
    """The items behind the interface that the ledger uses."""

    def __init__(self, items: Items, faults: Faults) -> None:
        self._stored = items
        self._faults = faults

    def get(self, keys: Sequence[Key], deadline: Deadline) -> dict[Key, Item]:  # noqa: ARG002 - the interface's
        self._faults.before_read()
        return {key: copy.deepcopy(self._stored.by_key[key]) for key in keys if key in self._stored.by_key}

    def query(
        self,
        pk: str,
        deadline: Deadline,  # noqa: ARG002 - the interface's
        *,
        prefix: str = "",
        before: str = "",
        newest_first: bool = False,
        limit: int = 0,
    ) -> Page:
        self._faults.before_read()
        assert (before, newest_first, limit) == ("", False, 0)
        keys = sorted(key for key in self._stored.by_key if key[0] == pk and key[1].startswith(prefix))
        return Page(items=tuple(copy.deepcopy(self._stored.by_key[key]) for key in keys), has_more=False)

    def transact(self, writes: Sequence[Write], deadline: Deadline) -> None:  # noqa: ARG002 - the interface's
        assert 1 <= len(writes) <= 100
        self._faults.write(lambda: self._stored.transact(writes))


def _key_of(write: Write) -> Key:
    return (write.item["pk"], write.item["sk"]) if isinstance(write, Put) else write.key
