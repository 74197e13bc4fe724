"""The sentences that tell a person why an alert group is changed or kept. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

from alert_sync.model import Alert, Member, Silence, Verdict

RULES: Mapping[Verdict, str] = MappingProxyType(
    {
        Verdict.FIRING: "one active alert keeps the page, whatever the others are",
        Verdict.SILENCED: "some alerts, each under a silence that holds: quieten as SILENCED_ACTION says",
        Verdict.SUPPRESSED: "none active, but not every one silenced (inhibited, time-muted): keep",
        Verdict.GONE: "no alert left in an Alertmanager that can be trusted: a lost resolve, repaired with memory only",
        Verdict.MISSING: "alerts that fire for a receiver that leads to IRM, and no alert group there",
        Verdict.UNKNOWN: "what cannot be known for certain keeps the page",
        Verdict.UNMANAGED: "the last payload is not Alertmanager's: not ours",
        Verdict.OUT_OF_SCOPE: "ALERT_MATCHERS, IRM_INTEGRATION_IDS or IRM_TEAM_ID leave it out",
    }
)
"""The rule behind each verdict; plan.make_plan decides which applies."""

_AT_MOST = 3
_AUTHOR_LENGTH = 60
_COMMENT_LENGTH = 100
_TITLE_LENGTH = 200


def active_reason(active: Sequence[Member], members: Sequence[Member]) -> str:
    """One or more members still fire."""
    return f"{len(active)} of {len(members)} alerts fire in Alertmanager: {_names(member.alert for member in active)}"


def silenced_reason(members: Sequence[Member], *, until: datetime) -> str:
    """Every member is under a silence that holds: by whom, why, and until when every one still is."""
    silences = {silence.id: silence for member in members for silence in member.silences}
    who = _listed(sorted({_author_and_comment(silence) for silence in silences.values()}))
    subject = "its only alert is" if len(members) == 1 else f"all {len(members)} alerts are"
    return f"{subject} silenced in Alertmanager by {who} until {moment(until)}"


def suppressed_reason(members: Sequence[Member]) -> str:
    """None active, but not all silenced: inhibited, or inside a mute time interval."""
    unsilenced = [member.alert for member in members if not member.alert.silenced_by]
    return f"no alert is active, but not every one is silenced: {_names(unsilenced)} (inhibited or time-muted)"


def handed_back_reason(active: Sequence[Member], members: Sequence[Member], since: datetime) -> str:
    """Members fire again after we made their alert group quiet."""
    return f"{active_reason(active, members)}, and IRM is quiet since this service resolved it ({moment(since)})"


def gone_reason(since: datetime) -> str:
    """Alertmanager has held none of the alerts, in several looks."""
    return (
        f"Alertmanager holds none of its alerts, in each look that counts since {moment(since)}: their resolve was lost"
    )


def missing_group_reason(late: Sequence[Member], since: datetime) -> str:
    """Alertmanager fires, and IRM has nothing."""
    names = _names(member.alert for member in late)
    return f"{len(late)} alerts fire in Alertmanager since {moment(since)}, and IRM has no alert group: {names}"


def missing_reason(count: int, distrust: Sequence[str]) -> str:
    """Alerts that the webhook listed are absent, and absence proves nothing in this run."""
    return f"Alertmanager does not hold {count} of its firing alerts, which proves nothing: {distrust[0]}"


def moment(time: datetime) -> str:
    """A time as people read it in a log: to the minute, UTC."""
    return time.strftime("%Y-%m-%d %H:%M UTC")


def timestamp(time: datetime) -> str:
    """A time as JSON holds it: ISO 8601 to the millisecond."""
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def title_line(title: str) -> str:
    """An alert group's title, bounded: anybody can write it."""
    return one_line(title, _TITLE_LENGTH)


def one_line(text: str, length: int) -> str:
    """Free text from another system, made harmless for a log line: no control characters, bounded."""
    if not text.isprintable():
        text = "".join(character if character.isprintable() else " " for character in text)
    flat = " ".join(text.split())
    return flat if len(flat) <= length else flat[: length - 1] + "…"


def _author_and_comment(silence: Silence) -> str:
    author = one_line(silence.author, _AUTHOR_LENGTH) or "nobody named"
    comment = one_line(silence.comment, _COMMENT_LENGTH)
    return f"{author} ({comment})" if comment else author


def _names(alerts: Iterable[Alert]) -> str:
    return _listed(sorted(_name(alert) for alert in alerts))


def _name(alert: Alert) -> str:
    return f"{one_line(alert.labels.get('alertname', 'alert'), _AUTHOR_LENGTH)} {alert.fingerprint}"


def _listed(texts: Sequence[str]) -> str:
    shown = ", ".join(texts[:_AT_MOST])
    return shown if len(texts) <= _AT_MOST else f"{shown} and {len(texts) - _AT_MOST} more"
