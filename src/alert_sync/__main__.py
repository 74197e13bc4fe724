"""The command line: the same run as in Lambda, without AWS.

    python -m alert_sync plan                  what a run would do
    python -m alert_sync reconcile             one run
    python -m alert_sync explain ALERT_GROUP   why one alert group is treated as it is

Exit status: 0 nothing to do, or done; 1 failed; 2 the plan is not empty, or something was put off.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn, TextIO
from uuid import uuid4

from alert_sync.deadline import Deadline
from alert_sync.errors import ConfigurationError, ReconcilerError
from alert_sync.model import Outcome
from alert_sync.reconcile import RunRequest
from alert_sync.report import Report, Status, Trigger
from alert_sync.secrets_store import SecretStore
from alert_sync.service import Service
from alert_sync.terminal import Terminal, explanation_document

DONE, FAILED, NOT_EMPTY = 0, 1, 2
_DEFAULT_SECONDS = 300
_MOST_SECONDS = 86_400


def main(arguments: Sequence[str], environ: Mapping[str, str], output: TextIO) -> int:
    """Run one command and return its exit status."""
    options = _parser().parse_args(arguments)
    has_colours = output.isatty() and "NO_COLOR" not in environ
    try:
        service = Service(environ, SecretStore())
        if options.command == "explain":
            return _explain(service, options, Terminal(has_colours=has_colours), output)
        return _run(service, options, Terminal(has_colours=has_colours), output)
    except ConfigurationError as error:
        print("\n".join(f"error: {fault}" for fault in error.faults), file=sys.stderr)
    except ReconcilerError as error:
        print(f"error: {error}", file=sys.stderr)
    return FAILED


def _run(service: Service, options: argparse.Namespace, terminal: Terminal, output: TextIO) -> int:
    is_plan = options.command == "plan"
    request = RunRequest(
        run_id=str(uuid4()),
        trigger=Trigger.CLI,
        dry_run=is_plan or options.dry_run,
        force=options.force,
    )
    report = service.reconciler().run(request, Deadline(options.timeout))
    print(json.dumps(report.as_dict()) if options.output == "json" else terminal.report(report), file=output)
    return exit_status(report)


def _explain(service: Service, options: argparse.Namespace, terminal: Terminal, output: TextIO) -> int:
    finding, change = service.reconciler().explain(options.alert_group_id, Deadline(options.timeout))
    if options.output == "json":
        print(json.dumps(explanation_document(finding, change)), file=output)
    else:
        print(terminal.explanation(finding, change), file=output)
    return DONE


def exit_status(report: Report) -> int:
    """What a shell script learns of a run."""
    if report.status in (Status.FAILED, Status.REFUSED, Status.SKIPPED) or report.count(Outcome.FAILED):
        return FAILED
    unfinished = report.count(Outcome.PLANNED) + report.count(Outcome.DEFERRED)
    return NOT_EMPTY if unfinished else DONE


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """A wrong call is a failure: argparse's own status 2 would read as `the plan is not empty`."""
        self.print_usage(sys.stderr)
        self.exit(FAILED, f"{self.prog}: error: {message}\n")


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds <= _MOST_SECONDS:
        raise argparse.ArgumentTypeError(f"must be more than 0 and at most {_MOST_SECONDS}")
    return seconds


def _parser() -> argparse.ArgumentParser:
    common = _Parser(add_help=False)
    common.add_argument("--output", choices=("table", "json"), default="table", help="default: table")
    common.add_argument(
        "--timeout", type=_seconds, default=_DEFAULT_SECONDS, metavar="SECONDS", help="for the whole run"
    )
    guarded = _Parser(add_help=False)
    guarded.add_argument("--force", action="store_true", help="lift the guards for this run")
    parser = _Parser(
        prog="python -m alert_sync",
        description="Make Grafana IRM agree with Alertmanager. Settings come from environment variables.",
        epilog="exit status: 0 nothing to do or done; 1 failed; 2 the plan is not empty or something was put off",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("plan", parents=[common, guarded], help="show what a run would do")
    reconcile = commands.add_parser("reconcile", parents=[common, guarded], help="carry out one run")
    reconcile.add_argument("--dry-run", action="store_true", help="plan and report, write nothing")
    explain = commands.add_parser("explain", parents=[common], help="show why one alert group is treated as it is")
    explain.add_argument("alert_group_id", metavar="ALERT_GROUP_ID")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ, sys.stdout))
