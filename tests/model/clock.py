"""The one time of a modelled world. It moves only when the world is told to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

BEGINNING = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass
class Clock:
    """What time it is in both systems and for the service."""

    now: datetime = BEGINNING

    def after(self, seconds: float) -> datetime:
        return self.now + timedelta(seconds=seconds)


def text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
