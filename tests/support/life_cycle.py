"""What a `with` block means to everything that runs beside a test: up inside the block, gone behind it."""

from __future__ import annotations

from types import TracebackType
from typing import Self


class Running:
    """`start` on entering; `tidy_up`, which is `stop` unless overridden, on leaving or when `start` fails half-way."""

    __slots__ = ()

    def start(self) -> None:
        """Begin; return when it is ready."""
        raise NotImplementedError

    def stop(self) -> None:
        """End."""
        raise NotImplementedError

    def tidy_up(self) -> None:
        """End, and leave nothing behind."""
        self.stop()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.tidy_up()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.tidy_up()
