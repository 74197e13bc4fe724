"""What a person at a terminal sees: the plan as a table, one alert group explained. Pure: returns text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from alert_sync.model import Change, ChangeResult, Finding, Member, Outcome, Silence, Verdict
from alert_sync.report import Report, Status
from alert_sync.wording import RULES, moment, one_line

_TITLE_WIDTH = 40
# Alert groups that need nothing are counted only; the others a person may want to see.
_SHOWN_KEPT = (Verdict.GONE, Verdict.UNKNOWN, Verdict.SUPPRESSED, Verdict.SILENCED)
_MOST_KEPT = 50

_RED, _GREEN, _YELLOW, _BOLD = 31, 32, 33, 1
_OUTCOME_COLOURS = {Outcome.FAILED: _RED, Outcome.DEFERRED: _YELLOW, Outcome.APPLIED: _GREEN, Outcome.ALREADY: _GREEN}
_STATUS_COLOURS = {
    Status.SUCCESS: _GREEN,
    Status.PARTIAL: _YELLOW,
    Status.FAILED: _RED,
    Status.REFUSED: _RED,
    Status.SKIPPED: _YELLOW,
}


class Terminal:
    """Renders text, in colour if the reader can see colours."""

    def __init__(self, *, has_colours: bool) -> None:
        self._has_colours = has_colours

    def report(self, report: Report) -> str:
        """A whole run: changes, what was kept and is worth a look, the counts, the end."""
        kept = [finding for finding in report.plan.kept if finding.verdict in _SHOWN_KEPT] if report.plan else []
        left_out = len(kept) - _MOST_KEPT
        counts = ", ".join(f"{count} {verdict}" for verdict, count in report.kept.items() if count)
        status = self._coloured(report.status.value.upper(), _STATUS_COLOURS[report.status])
        lines = [
            *self._section("CHANGES", (self._change_row(result) for result in report.results)),
            *self._section("KEPT, WORTH A LOOK", (_kept_row(finding) for finding in kept[:_MOST_KEPT])),
            *([f"  and {left_out} more"] if left_out > 0 else []),
            f"{report.alerts_fetched} alerts, {report.alert_groups_examined} open alert groups",
            f"kept: {counts or 'none'}",
            *(f"warning: {warning}" for warning in report.warnings),
            f"{status}: {report.message}",
            *([f"error: {report.error}"] if report.error else []),
        ]
        return "\n".join(lines)

    def explanation(self, finding: Finding, change: Change | None) -> str:
        """One alert group: its members, the silences over them, the verdict and what follows from it."""
        group = finding.alert_group
        lines = [
            f"{self._coloured(_harmless(group.title) or group.id, _BOLD)}  ({group.id}, {_state(finding)})",
            *([f"  {_harmless(group.url)}"] if group.url else []),
            "",
            "members in Alertmanager:" if finding.members else "members in Alertmanager: none",
            *(_harmless(line) for member in finding.members for line in _member_lines(member)),
            "",
            f"verdict: {self._coloured(finding.verdict.value, _BOLD)}: {finding.reason}",
            f"rule:    {RULES[finding.verdict]}",
            f"would:   {would(change)}",
        ]
        return "\n".join(lines)

    def _section(self, name: str, rows: Iterable[Sequence[str]]) -> list[str]:
        lines = list(_aligned(list(rows)))
        return [self._coloured(name, _BOLD), *(lines or ["  none"]), ""]

    def _change_row(self, result: ChangeResult) -> tuple[str, ...]:
        finding = result.change.finding
        outcome = self._coloured(f"{result.outcome.value:8}", _OUTCOME_COLOURS.get(result.outcome, _BOLD))
        reason = f"{finding.reason}; {result.error}" if result.error else finding.reason
        return (outcome, result.change.action.value, finding.alert_group.id, _title(finding), reason)

    def _coloured(self, text: str, colour: int) -> str:
        return f"\033[{colour}m{text}\033[0m" if self._has_colours else text


def would(change: Change | None) -> str:
    """What a run would do."""
    if change is None:
        return "keep it as it is"
    return change.action.value if change.silence_seconds is None else f"silence for {change.silence_seconds} s"


def explanation_document(finding: Finding, change: Change | None) -> dict[str, Any]:
    """The same explanation as JSON."""
    group = finding.alert_group
    return {
        "alert_group_id": group.id,
        "title": group.title,
        "url": group.url,
        "state": _state(finding),
        "verdict": finding.verdict.value,
        "reason": finding.reason,
        "rule": RULES[finding.verdict],
        "change": change.action.value if change else None,
        "silence_seconds": change.silence_seconds if change else None,
        "members": [_member_document(member) for member in finding.members],
    }


def _member_document(member: Member) -> dict[str, Any]:
    alert = member.alert
    return {
        "fingerprint": alert.fingerprint,
        "state": alert.state.value,
        "labels": dict(alert.labels),
        "silenced_by": list(alert.silenced_by),
        "inhibited_by": list(alert.inhibited_by),
        "muted_by": list(alert.muted_by),
        "silences": [_silence_document(silence) for silence in member.silences],
    }


def _silence_document(silence: Silence) -> dict[str, str]:
    ends_at = silence.ends_at.isoformat().replace("+00:00", "Z")
    return {"id": silence.id, "author": silence.author, "comment": silence.comment, "ends_at": ends_at}


def _member_lines(member: Member) -> list[str]:
    alert = member.alert
    labels = ", ".join(f'{name}="{one_line(value, 60)}"' for name, value in sorted(alert.labels.items()))
    held_by = {"inhibited by": alert.inhibited_by, "muted by": alert.muted_by}
    return [
        f"  {alert.fingerprint}  {alert.state.value:<12}{{{labels}}}",
        *(
            f"    silenced by {one_line(silence.author, 60)} until {moment(silence.ends_at)} ({silence.id}): "
            f"{one_line(silence.comment, 100)}"
            for silence in member.silences
        ),
        *(f"    {how} {', '.join(ids)}" for how, ids in held_by.items() if ids),
    ]


def _harmless(text: str) -> str:
    """Free text from another system, without what could move the cursor."""
    return "".join(character if character.isprintable() else " " for character in text)


def _kept_row(finding: Finding) -> tuple[str, ...]:
    return (f"{finding.verdict.value:10}", _state(finding), finding.alert_group.id, _title(finding), finding.reason)


def _state(finding: Finding) -> str:
    return finding.alert_group.state.value if finding.alert_group.state else "unknown"


def _title(finding: Finding) -> str:
    return one_line(finding.alert_group.title, _TITLE_WIDTH) or "(no title)"


def _aligned(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    """Columns of equal width, the last one free."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)][:-1]
    for row in rows:
        yield "  " + "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]])
