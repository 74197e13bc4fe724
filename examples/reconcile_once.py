"""What `make reconcile` runs: one reconciliation through the real Lambda handler, told so that a person can follow it.

With GRAFANA_IRM_URL in the environment it is a real run against the systems that the environment names. Without it,
both systems are embedded and filled with an instructive scenario, and nothing outside this machine is read or changed.

Exit status: 0, or 1 if the run failed, was refused, or could not make one of its changes.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from alert_sync.errors import ConfigurationError
from alert_sync.settings import Settings, load_settings
from examples import narration
from examples.embedded import Embedded
from examples.invocation import Invocation, invoke
from examples.stand_in import StandInAlertmanager
from tests.support.alertmanager import Alertmanager, routing_config
from tests.support.fake_irm import FakeIrm

PROGRAM = Path(__file__).resolve().parent.parent / ".tools" / "alertmanager" / "alertmanager"


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    names_systems = bool(os.environ.get("GRAFANA_IRM_URL", "").strip())
    invocation = _named() if names_systems else _embedded(use_stand_in=options.stand_in)
    narration.show_metrics(invocation)
    narration.show_log(invocation, is_verbose=options.verbose)
    report = invocation.report
    return int(report["status"] in ("failed", "refused") or report["inconsistencies_failed"] > 0)


def _named() -> Invocation:
    """A real run, with every setting exactly as the environment has it."""
    narration.announce_named(_settings())
    invocation = invoke()
    narration.show_run(invocation, with_reasons=True)
    return invocation


def _settings() -> Settings | None:
    try:
        return load_settings(os.environ)
    except ConfigurationError:
        return None  # the run will name the faults


def _embedded(*, use_stand_in: bool) -> Invocation:
    """A run in a world of its own. Settings that name no system apply as they are: try DRY_RUN=true."""
    with _world(use_stand_in=use_stand_in or not PROGRAM.exists()) as embedded:
        narration.announce_embedded(embedded)
        embedded.put_into(os.environ)
        narration.show_plan(embedded.plan())
        embedded.begin()
        invocation = invoke()
        narration.show_run(invocation, with_reasons=False)
        narration.show_what_became(embedded)
        narration.show_requests(embedded)
        return invocation


@contextmanager
def _world(*, use_stand_in: bool) -> Iterator[Embedded]:
    with FakeIrm() as irm:
        webhook_url = irm.inbound_url(irm.add_alertmanager_integration("alertmanager"))
        if use_stand_in:
            with StandInAlertmanager(webhook_url) as stand_in, Embedded.filled(stand_in, irm) as embedded:
                yield embedded
        else:
            real = Alertmanager(PROGRAM, config=routing_config(webhook_url))
            with real, Embedded.filled(real, irm) as embedded:
                yield embedded


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Run one reconciliation through the Lambda handler: of the systems that the environment names "
        "(GRAFANA_IRM_URL), or else of an embedded scenario."
    )
    parser.add_argument("--verbose", action="store_true", help="show the log lines as the function writes them")
    parser.add_argument("--stand-in", action="store_true", help="do not use the real Alertmanager for the scenario")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
