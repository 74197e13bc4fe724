"""How long a server asks to be left alone: Retry-After, or RateLimit-Reset as IRM sends it too."""

from __future__ import annotations

import email.utils
import math
import time
from collections.abc import Mapping


def wait_asked_for(headers: Mapping[str, str]) -> float:
    """Seconds to wait after a 429, from Retry-After or IRM's RateLimit-Reset; one second if neither makes sense."""
    for name in ("Retry-After", "RateLimit-Reset"):
        wait = _seconds(headers.get(name, ""))
        if wait is not None:
            return wait
    return 1.0


def _seconds(text: str) -> float | None:
    """Seconds to wait, from a number of them or an HTTP date; None for anything malformed, negative or infinite."""
    try:
        wait = float(text)
    except ValueError:
        try:
            wait = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
    return max(wait, 0.1) if math.isfinite(wait) and wait >= 0 else None
