"""The one moment by which a run must be over, and how every wait is kept inside it."""

from __future__ import annotations

import time


class Deadline:
    """A point on the monotonic clock. A smaller one can be cut out of it, never a larger."""

    def __init__(self, seconds: float) -> None:
        self._ends_at = time.monotonic() + seconds

    def remaining(self) -> float:
        """Seconds that are left; 0 or more."""
        return max(0.0, self._ends_at - time.monotonic())

    def allows(self, seconds: float) -> bool:
        """Whether a wait of this length ends before the deadline."""
        return seconds < self.remaining()

    def within(self, seconds: float) -> Deadline:
        """This deadline, or the given number of seconds from now, whichever comes first."""
        return Deadline(min(seconds, self.remaining()))
