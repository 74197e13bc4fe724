"""Wait for what another process or thread does, by asking again until it is so. The only place where tests sleep."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE_SECONDS = 30.0
"""Far longer than anything waited for should take; only a broken test, or a machine at its limits, waits this long."""

PAUSE_SECONDS = 0.02


def wait_for(condition: Callable[[], T], *, what: str, seconds: float = PATIENCE_SECONDS) -> T:
    """Ask until the answer is true in Python's sense, and return it; `what` completes "waited in vain for ..."."""
    ends = time.monotonic() + seconds
    while not (answer := condition()):
        if time.monotonic() > ends:
            message = f"waited {seconds:g} s in vain for {what}; the last answer was {answer!r}"
            raise TimeoutError(message)
        time.sleep(PAUSE_SECONDS)
    return answer
