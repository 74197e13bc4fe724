"""How many requests may go to one upstream in any stretch of time, wherever the stretch begins.

A bucket that refills would let a burst at the end of one stretch meet a burst at the start of the next; so each
request holds its place until a whole stretch after its *answer*: when the server counted it lies before that.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from alert_sync.deadline import Deadline


class RequestBudget:
    """A sliding window over the requests of all threads of this execution environment.

    Args:
        requests: at most so many
        seconds: in any stretch of this length.
    """

    def __init__(self, requests: int, seconds: float = 60.0) -> None:
        self._requests = requests
        self._seconds = seconds
        self._in_flight = 0
        self._answered: deque[float] = deque()
        self._paused_until = 0.0
        self._changed = threading.Condition()
        self.spent = 0
        """Requests sent so far, over all runs."""

    @contextmanager
    def place(self, deadline: Deadline) -> Iterator[bool]:
        """Hold a place while one request is on its way; yields False if none comes free before the deadline."""
        if not self._take(deadline):
            yield False
            return
        try:
            yield True
        finally:
            self._give_back()

    def pause(self, seconds: float) -> None:
        """Send nothing for a while: the server said so, and it counts all our threads together."""
        with self._changed:
            self._paused_until = max(self._paused_until, time.monotonic() + seconds)

    def _take(self, deadline: Deadline) -> bool:
        with self._changed:
            while (wait := self._wait_needed()) > 0:
                if not deadline.allows(wait):
                    return False
                self._changed.wait(wait)
            self._in_flight += 1
            self.spent += 1
            return True

    def _give_back(self) -> None:
        with self._changed:
            self._in_flight -= 1
            self._answered.append(time.monotonic())
            self._changed.notify()

    def _wait_needed(self) -> float:
        """Seconds until a place may be free; 0 if one is."""
        now = time.monotonic()
        while self._answered and self._answered[0] <= now - self._seconds:
            self._answered.popleft()
        pause = max(0.0, self._paused_until - now)
        if self._in_flight + len(self._answered) < self._requests:
            return pause
        if not self._answered:
            # All places are on their way: look again when one is given back, or soon.
            return max(pause, 0.1)
        return max(pause, self._answered[0] + self._seconds - now)
