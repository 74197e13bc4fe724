"""What can go wrong with one request of a run, at a request chosen beforehand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NoReturn

from alert_sync.errors import PostponedError, TransientUpstreamError


class CrashError(Exception):
    """The process is gone: nothing in the project may catch this."""


class Fault(StrEnum):
    """What becomes of a write."""

    CRASH_BEFORE = "the process dies before it"
    CRASH_AFTER = "the process dies after it"
    LOST_ANSWER = "it is done, and its answer is lost"
    BROKEN = "it is not done, and its answer is lost"
    TURNED_AWAY = "it is refused for the moment (429)"


CRASHES = (Fault.CRASH_BEFORE, Fault.CRASH_AFTER)


@dataclass
class Faults:
    """The faults of one run: by number of the write, all systems counted together; and of one read."""

    of_writes: Mapping[int, Fault] = field(default_factory=dict)
    broken_read: int = 0
    writes: int = 0
    reads: int = 0
    is_dead: bool = False
    happened: bool = False

    def before_read(self) -> None:
        self._die_if_dead()
        self.reads += 1
        if self.reads == self.broken_read:
            self.happened = True
            raise TransientUpstreamError("a system", "read", "the connection broke")

    def write(self, effect: Callable[[], None]) -> None:
        self._die_if_dead()
        self.writes += 1
        fault = self.of_writes.get(self.writes)
        self.happened |= fault is not None
        if fault is Fault.CRASH_BEFORE:
            self._die()
        if fault is Fault.TURNED_AWAY:
            raise PostponedError("a system", "write", "429")
        if fault is not Fault.BROKEN:
            effect()
        if fault is Fault.CRASH_AFTER:
            self._die()
        if fault in (Fault.BROKEN, Fault.LOST_ANSWER):
            raise TransientUpstreamError("a system", "write", "the answer was lost")

    def _die_if_dead(self) -> None:
        if self.is_dead:
            self._die()

    def _die(self) -> NoReturn:
        self.is_dead = True
        raise CrashError
