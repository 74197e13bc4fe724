"""One sample for each alert of Alertmanager and the open alert group that it belongs to. Pure.

| label                                                  | value                                                       |
| ------------------------------------------------------ | ----------------------------------------------------------- |
| `alertname`, `fingerprint`                             | the alert's                                                 |
| `suppressed`                                           | `true` if a silence covers it, else `false`                 |
| `silenced_by`                                          | the author of the first of its silences, by id              |
| `inhibited_by`                                         | fingerprints, with commas between                           |
| `alert_group_id`, `created_at`                         | IRM's; the time in Unix seconds; empty without alert group  |
| `acknowledged_by`, `resolved_by`, `acknowledged_at`, `resolved_at` | empty                                           |

Personal data does not belong into a time series: an author that is an e-mail address is left empty, and so is who
acknowledged an alert group, whom IRM names by an id that only means something as an address. Alert groups that are
resolved are not looked at, so what is empty for that reason stays so. The labels are there all the same, for queries
that were written for them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from alert_sync.membership import Membership
from alert_sync.model import Alert, AlertGroup, AlertmanagerSnapshot, AlertState, IrmSnapshot, Silence

_NEVER_TOLD: Mapping[str, str] = MappingProxyType(
    {"acknowledged_by": "", "resolved_by": "", "acknowledged_at": "", "resolved_at": ""}
)
_NO_GROUP: Mapping[str, str] = MappingProxyType({"alert_group_id": "", "created_at": ""})


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertStateSample:
    """One line of the metric: 1 for an active alert, else 0."""

    labels: Mapping[str, str]
    value: int


def alert_states(alertmanager: AlertmanagerSnapshot, irm: IrmSnapshot, labels: Sequence[str]) -> list[AlertStateSample]:
    """Every alert once for each open alert group that it belongs to, or once without. In order of their names.

    `labels` are those of the alert to add; an alert that lacks one has it empty. One that has the name of a label above
    is not added, nor one that Prometheus keeps to itself (`__...`).
    """
    membership = Membership(alertmanager)
    groups: dict[str, dict[str, AlertGroup]] = defaultdict(dict)
    for group in irm.alert_groups:
        for member in membership.of(group.notification) if group.notification is not None else ():
            groups[member.fingerprint][group.id] = group
    samples = []
    for fingerprint, alert in sorted(membership.alerts.items()):
        of_alert = _of_alert(alert, alertmanager.silences, labels)
        rows = [_of_group(group) for _, group in sorted(groups[fingerprint].items())] or [_NO_GROUP]
        value = int(alert.state is AlertState.ACTIVE)
        samples += [AlertStateSample(labels={**of_alert, **_NEVER_TOLD, **row}, value=value) for row in rows]
    return samples


def _of_alert(alert: Alert, silences: Mapping[str, Silence], labels: Sequence[str]) -> Mapping[str, str]:
    return {
        **{name: alert.labels.get(name, "") for name in labels if not name.startswith("__")},
        "alertname": alert.labels.get("alertname", ""),
        "fingerprint": alert.fingerprint,
        "suppressed": "true" if alert.silenced_by else "false",
        "silenced_by": _author(alert, silences),
        "inhibited_by": ",".join(sorted(alert.inhibited_by)),
    }


def _of_group(group: AlertGroup) -> Mapping[str, str]:
    created_at = "" if group.fault else str(int(group.created_at.timestamp()))
    return {"alert_group_id": group.id, "created_at": created_at}


def _author(alert: Alert, silences: Mapping[str, Silence]) -> str:
    """The first by id, not as listed: another order would be another time series."""
    authors = [silences[silence_id].author for silence_id in sorted(alert.silenced_by) if silence_id in silences]
    return authors[0] if authors and "@" not in authors[0] else ""
