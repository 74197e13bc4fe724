"""What `make reconcile` prints."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence

from alert_sync.report import Report
from alert_sync.settings import Settings
from alert_sync.terminal import Terminal
from examples.embedded import Embedded
from examples.invocation import Invocation, Json
from examples.scenario import CROWD, Shown
from tests.support.fake_irm import LoggedRequest

_VERBOSE = "PYTHONPATH=src:. .tools/dev/bin/python examples/reconcile_once.py --verbose"
_BOLD = "\033[1m{}\033[0m"


def announce_named(settings: Settings | None) -> None:
    """Say what a real run is going to talk to, and whether it may change anything there."""
    _headline("A REAL RUN, of the systems that the environment names")
    if settings is None:
        print("  the settings are faulty; the run below names the faults and changes nothing")
        return
    token = f"from the secret {settings.irm_token_secret}" if settings.irm_token_secret else "GRAFANA_IRM_TOKEN"
    may_change = "set: nothing will be changed" if settings.dry_run else "not set: this run may change alert groups"
    rows = [
        *(("Alertmanager", url) for url in settings.alertmanager_urls),
        ("Grafana IRM", settings.irm_url),
        ("its token", token),
        ("SILENCED_ACTION", settings.policy.silenced_action.value),
        ("DRY_RUN", may_change),
    ]
    _table(rows)


def announce_embedded(embedded: Embedded) -> None:
    """Say that nothing here is real but the code that runs, and tell the story so far."""
    _headline("AN EMBEDDED SCENARIO: nothing outside this machine is read or changed")
    what = "a small stand-in, not the real program" if embedded.is_stand_in else "the real program"
    print(f"  Alertmanager is {what}. Grafana IRM is the fake that the tests use.")
    print(
        "  MIN_ALERTMANAGER_UPTIME_SECONDS is 0 here, because this Alertmanager was started a moment ago: by default it"
    )
    print("  has to be up for 10 minutes before the absence of an alert proves anything.")
    print("  To run against your own systems, set GRAFANA_IRM_URL and the other variables of the README.\n")
    _table(
        [
            *((shown.name, shown.group.title or "", shown.story) for shown in embedded.shown),
            ("a crowd", f"{CROWD} x PodRestarting", "fires, and fills the first page of IRM's list"),
        ]
    )


def show_plan(report: Report | None) -> None:
    """Show the plan as the command line does."""
    _headline("THE PLAN, as `python -m alert_sync plan` shows it: nothing is changed yet")
    text = Terminal(has_colours=_has_colours()).report(report) if report else "it cannot be made; the run says why"
    print("\n".join(f"  {line}".rstrip() for line in text.splitlines()))


def show_run(invocation: Invocation, *, with_reasons: bool) -> None:
    """Show what the handler answered; the reasons only if no plan has shown them before."""
    report = invocation.report
    _headline("THE RUN: one scheduled invocation of alert_sync.handler.lambda_handler")
    _table(_change_row(row, with_reason=with_reasons) for row in report["changes"])
    if with_reasons:
        _table(
            ("kept", line["verdict"], line["alert_group_id"], line["title"], line["reason"])
            for line in invocation.logged("Alert group kept")
        )
    print(f"  {report['alerts_fetched']} alerts, {report['alert_groups_examined']} open alert groups")
    print(f"  kept: {', '.join(f'{count} {verdict}' for verdict, count in report['kept'].items() if count) or 'none'}")
    for warning in report.get("warnings", ()):
        print(f"  warning: {warning}")
    print(f"  {report['status'].upper()}: {report['message']} ({report['duration_seconds']:.2f} s)")
    if "error" in report:
        print(f"  error: {report['error']}")


def show_what_became(embedded: Embedded) -> None:
    """Show each alert group before and after, from the fake's own state, with the reason."""
    _headline("WHAT BECAME OF THEM IN IRM, AND WHY")
    _table([("case", "state", "verdict", "reason"), *(_became(embedded, shown) for shown in embedded.shown)])
    for note in embedded.irm.notes[:1]:
        print(f"\n  A note in the timeline of {note.alert_group_id} says:\n  {note.text}")


def show_requests(embedded: Embedded) -> None:
    """Show what the run asked of each system."""
    writes = [request for request in embedded.irm_requests if request.is_write]
    reads = [request for request in embedded.irm_requests if not request.is_write]
    asked = f"{len(embedded.alertmanager_requests)} to Alertmanager"
    _headline(f"REQUESTS: {asked}; {len(reads)} reads and {len(writes)} writes to Grafana IRM")
    _table(
        [
            *(("Alertmanager", *request) for request in embedded.alertmanager_requests),
            *(("Grafana IRM", logged.method, _target(logged)) for logged in (*reads, *writes)),
        ]
    )


def show_metrics(invocation: Invocation) -> None:
    """Show the metrics, from the line that the handler printed for CloudWatch."""
    directive = invocation.metrics["_aws"]["CloudWatchMetrics"][0]
    dimensions = ", ".join(f"{name}={invocation.metrics[name]}" for names in directive["Dimensions"] for name in names)
    _headline(f"METRICS of namespace {directive['Namespace']}, {dimensions}")
    _table(invocation.metric_rows())


def show_log(invocation: Invocation, *, is_verbose: bool) -> None:
    """Show the log lines, or how many there are."""
    if is_verbose:
        _headline("LOG")
        print("\n".join(invocation.log_lines))
    else:
        print(f"\n{len(invocation.log_lines)} log lines are not shown. To see them: {_VERBOSE}")


def _change_row(row: Json, *, with_reason: bool) -> tuple[str, ...]:
    shown = [row["reason"]] if with_reason else []
    shown += [row["error"]] if "error" in row else []
    return (row["outcome"], row["change"], row["alert_group_id"], f"{row['title']}  {'; '.join(shown)}".rstrip())


def _became(embedded: Embedded, shown: Shown) -> tuple[str, str, str, str]:
    before, after = embedded.before[shown.group.id], embedded.irm.alert_group(shown.group.id).state
    page = f" (listed on page {number})" if (number := embedded.page_of(shown.group.id)) > 1 else ""
    change = f"{before} -> {after}{page}" if before != after else f"{before}, as before"
    finding = embedded.findings.get(shown.group.id)
    return shown.name, change, finding.verdict.value if finding else "-", finding.reason if finding else "-"


def _target(logged: LoggedRequest) -> str:
    query = ", ".join(f"{name}={value}" for name, value in logged.query.items() if name in ("state", "page"))
    return f"{logged.path}  {query}".rstrip()


def _headline(text: str) -> None:
    print(f"\n{_BOLD.format(text) if _has_colours() else text}")


def _table(rows: Iterable[Sequence[str]]) -> None:
    """Columns of equal width, the last one free."""
    every = list(rows)
    widths = [max(len(cell) for cell in column) for column in zip(*every, strict=True)][:-1]
    for row in every:
        print("  " + "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]))


def _has_colours() -> bool:
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ
