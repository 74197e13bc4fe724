"""Tables for people: figures in columns, each limit beside its figure, and whether it holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a table. With a `limit` it is a promise, and `holds` says whether it is kept."""

    name: str
    figures: Sequence[str]
    limit: str = ""
    holds: bool = True

    @property
    def cells(self) -> tuple[str, ...]:
        verdict = ("OK" if self.holds else "NOT OK") if self.limit else ""
        return (self.name, *self.figures, self.limit, verdict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What one benchmark found."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Row]
    remarks: Sequence[str] = ()

    @property
    def broken(self) -> tuple[str, ...]:
        """The names of the rows whose limit does not hold."""
        benchmark = self.title.partition(":")[0]
        return tuple(f"{benchmark}: {row.name}" for row in self.rows if not row.holds)

    def text(self) -> str:
        lines = [("", *self.columns, "limit", ""), *(row.cells for row in self.rows)]
        widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
        shown = [_aligned(line, widths) for line in lines]
        rule = "─" * max(map(len, shown))
        remarks = [f"  {remark}" for remark in self.remarks]
        return "\n".join([self.title, rule, shown[0], rule, *shown[1:], rule, *remarks])


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Names to the left, figures to the right, verdicts to the left."""
    name, *figures, verdict = cells
    right = [figure.rjust(width) for figure, width in zip(figures, widths[1:-1], strict=True)]
    return "  ".join([name.ljust(widths[0]), *right, verdict]).rstrip()
