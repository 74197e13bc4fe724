"""The command line against both systems: what it prints, what it changes, and the exit status a script gets."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import ANY

import pytest

from alert_sync.__main__ import main
from tests.support.fake_irm import FakeIrm
from tests.support.fake_irm_model import AlertGroup
from tests.support.loopback_http import Answer
from tests.support.stub_alertmanager import StubAlertmanager

NOTHING_TO_DO, FAILED, NOT_EMPTY = 0, 1, 2
UNTIL = "2199-01-01 12:00 UTC"


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


@dataclass
class Shell:
    """Both systems, the variables, and what the last command printed."""

    irm: FakeIrm
    alertmanager: StubAlertmanager
    environ: dict[str, str]
    printed: str = ""
    screen: type[io.StringIO] = field(default=io.StringIO)

    def run(self, *arguments: str) -> int:
        output = self.screen()
        status = main(arguments, self.environ, output)
        self.printed = output.getvalue()
        return status

    @property
    def lines(self) -> list[str]:
        return self.printed.splitlines()

    @property
    def document(self) -> Any:
        return json.loads(self.printed)

    def silenced_group(self, name: str = "Stuck", **more: Any) -> AlertGroup:
        webhook = self.alertmanager.silenced(name)
        self.alertmanager.silences[-1]["endsAt"] = "2199-01-01T12:00:00.000Z"
        return self.irm.add_alert_group(webhook, title=f"title of {name}", **more)

    def active_group(self, name: str = "Paging") -> AlertGroup:
        return self.irm.add_alert_group(self.alertmanager.active(name), title=f"title of {name}")


@pytest.fixture
def shell() -> Iterator[Shell]:
    with FakeIrm() as irm, StubAlertmanager() as alertmanager:
        environ = {
            "ALERTMANAGER_URL": alertmanager.url,
            "GRAFANA_IRM_URL": irm.url,
            "GRAFANA_IRM_TOKEN": irm.admin.token,
        }
        yield Shell(irm=irm, alertmanager=alertmanager, environ=environ)


def wrong_use(*arguments: str) -> int | str | None:
    with pytest.raises(SystemExit) as caught:
        main(arguments, {}, io.StringIO())
    return caught.value.code


# --- plan


def test_plan_of_two_systems_that_agree_is_empty(shell: Shell) -> None:
    shell.active_group()

    status = shell.run("plan")

    assert (status, shell.lines) == (
        NOTHING_TO_DO,
        [
            "CHANGES",
            "  none",
            "",
            "KEPT, WORTH A LOOK",
            "  none",
            "",
            "1 alerts, 1 open alert groups",
            "kept: 1 firing",
            "SUCCESS: inconsistencies: 0 found; nothing was changed (dry run)",
        ],
    )


def test_plan_shows_what_a_run_would_do_and_does_not_do_it(shell: Shell) -> None:
    stuck = shell.silenced_group()
    held = shell.irm.add_alert_group(shell.alertmanager.inhibited("Held"), title="title of Held")

    status = shell.run("plan")

    fingerprint = shell.alertmanager.groups[1]["alerts"][0]["fingerprint"]
    assert (status, shell.irm.writes, shell.lines) == (
        NOT_EMPTY,
        (),
        [
            "CHANGES",
            (
                f"  planned   resolve  {stuck.id}  title of Stuck  "
                f"its only alert is silenced in Alertmanager by ann (deploy) until {UNTIL}"
            ),
            "",
            "KEPT, WORTH A LOOK",
            (
                f"  suppressed  firing  {held.id}  title of Held  no alert is active, but not every one is silenced: "
                f"Held {fingerprint} (inhibited or time-muted)"
            ),
            "",
            "2 alerts, 2 open alert groups",
            "kept: 1 suppressed",
            "SUCCESS: inconsistencies: 1 found; nothing was changed (dry run)",
        ],
    )


def test_plan_that_the_guards_refuse_is_shown_with_the_reason(shell: Shell) -> None:
    shell.silenced_group()
    shell.environ.update(MAX_CHANGES_PERCENT="0", MAX_CHANGES_MINIMUM="0")

    status = shell.run("plan")

    assert (status, shell.lines[1].split()[0], shell.lines[-2:]) == (
        FAILED,
        "planned",
        [
            "REFUSED: nothing was changed: the plan is refused",
            (
                "error: 1 of 1 managed alert groups would be quietened: more than MAX_CHANGES_PERCENT=0 and "
                "MAX_CHANGES_MINIMUM=0 allow. If Alertmanager's silences are really that wide, "
                "run once with force=true."
            ),
        ],
    )


def test_plan_can_be_made_as_if_forced(shell: Shell) -> None:
    shell.silenced_group()
    shell.environ.update(MAX_CHANGES_PERCENT="0", MAX_CHANGES_MINIMUM="0")

    assert (shell.run("plan", "--force"), shell.irm.writes) == (NOT_EMPTY, ())


def test_plan_as_json_is_the_report(shell: Shell) -> None:
    stuck = shell.silenced_group()

    status = shell.run("plan", "--output", "json")

    assert (status, shell.document) == (
        NOT_EMPTY,
        {
            "run_id": ANY,
            "trigger": "cli",
            "status": "success",
            "message": "inconsistencies: 1 found; nothing was changed (dry run)",
            "dry_run": True,
            "started_at": ANY,
            "duration_seconds": ANY,
            "alerts_fetched": 1,
            "alert_groups_examined": 1,
            "inconsistencies_found": 1,
            "inconsistencies_resolved": 0,
            "inconsistencies_failed": 0,
            "inconsistencies_deferred": 0,
            "changes": [
                {
                    "alert_group_id": stuck.id,
                    "title": "title of Stuck",
                    "url": f"http://grafana.example/a/grafana-oncall-app/alert-groups/{stuck.id}",
                    "verdict": "silenced",
                    "change": "resolve",
                    "reason": f"its only alert is silenced in Alertmanager by ann (deploy) until {UNTIL}",
                    "outcome": "planned",
                }
            ],
            "kept": dict.fromkeys(
                ("firing", "suppressed", "gone", "unknown", "unmanaged", "out_of_scope", "silenced"), 0
            ),
            "memory": "off",
        },
    )


# --- reconcile


def test_reconcile_changes_what_the_plan_showed(shell: Shell) -> None:
    stuck = shell.silenced_group()

    status = shell.run("reconcile")

    assert (status, shell.irm.resolved_ids, shell.lines[-1]) == (
        NOTHING_TO_DO,
        [stuck.id],
        "SUCCESS: inconsistencies: 1 found, 1 resolved",
    )


def test_reconcile_twice_has_nothing_left_to_do(shell: Shell) -> None:
    shell.silenced_group()
    shell.run("reconcile")

    assert (shell.run("reconcile"), shell.lines[-1]) == (NOTHING_TO_DO, "SUCCESS: inconsistencies: 0 found")


def test_dry_run_of_reconcile_is_a_plan(shell: Shell) -> None:
    shell.silenced_group()

    assert (shell.run("reconcile", "--dry-run"), shell.irm.writes) == (NOT_EMPTY, ())


def test_setting_dry_run_makes_reconcile_a_plan(shell: Shell) -> None:
    shell.silenced_group()
    shell.environ["DRY_RUN"] = "true"

    assert (shell.run("reconcile", "--force"), shell.irm.writes) == (NOT_EMPTY, ())


def test_what_is_only_reported_leaves_the_plan_not_empty(shell: Shell) -> None:
    shell.silenced_group()
    shell.environ["SILENCED_ACTION"] = "report"

    assert (shell.run("reconcile"), shell.irm.writes) == (NOT_EMPTY, ())


def test_what_was_put_off_leaves_the_plan_not_empty(shell: Shell) -> None:
    for number in range(3):
        shell.silenced_group(f"Stuck{number}")
    shell.environ.update(IRM_REQUESTS_PER_MINUTE="5", RESOLUTION_NOTES="false")

    status = shell.run("reconcile", "--timeout", "20", "--output", "json")

    assert (status, shell.document["message"]) == (NOT_EMPTY, "inconsistencies: 3 found, 2 resolved, 1 deferred")


def test_change_that_failed_is_a_failure(shell: Shell) -> None:
    shell.silenced_group()
    shell.environ["GRAFANA_IRM_TOKEN"] = shell.irm.add_user("viewer", role="viewer").token

    assert (shell.run("reconcile"), shell.lines[1].split()[0]) == (FAILED, "failed")


def test_one_failed_change_among_others_is_a_failure_too(shell: Shell) -> None:
    attached = shell.silenced_group("Attached")
    shell.silenced_group("Free")
    shell.irm.attach(attached, shell.active_group("Root"))

    status = shell.run("reconcile", "--output", "json")

    assert (status, shell.document["status"], shell.document["message"]) == (
        FAILED,
        "partial",
        "inconsistencies: 2 found, 1 resolved, 1 failed",
    )


def test_refused_plan_can_be_forced(shell: Shell) -> None:
    stuck = shell.silenced_group()
    shell.environ.update(MAX_CHANGES_PERCENT="0", MAX_CHANGES_MINIMUM="0")

    refused, forced = shell.run("reconcile"), shell.run("reconcile", "--force")

    assert (refused, forced, shell.irm.resolved_ids) == (FAILED, NOTHING_TO_DO, [stuck.id])


def test_system_that_cannot_be_read_is_a_failure(shell: Shell) -> None:
    shell.alertmanager.instead = Answer(status=404)

    status = shell.run("reconcile")

    assert (status, shell.lines[-2:]) == (
        FAILED,
        [
            "FAILED: nothing was changed: the run failed",
            f"error: Alertmanager {shell.alertmanager.url}: list aggregation groups: HTTP 404",
        ],
    )


def test_time_that_is_given_is_kept(shell: Shell) -> None:
    shell.irm.latency_seconds = 5.0

    status = shell.run("plan", "--timeout", "0.2", "--output", "json")

    assert (status, shell.document["error"]) == (
        FAILED,
        "Grafana IRM: list new alert groups, page 1: no complete answer in the time that this run has for it",
    )


# --- explain


def test_explain_shows_why_an_alert_group_would_be_resolved(shell: Shell) -> None:
    stuck = shell.silenced_group()

    status = shell.run("explain", stuck.id)

    alert = shell.alertmanager.groups[0]["alerts"][0]
    assert (status, shell.irm.writes, shell.lines) == (
        NOTHING_TO_DO,
        (),
        [
            f"title of Stuck  ({stuck.id}, firing)",
            f"  http://grafana.example/a/grafana-oncall-app/alert-groups/{stuck.id}",
            "",
            "members in Alertmanager:",
            f'  {alert["fingerprint"]}  suppressed  {{alertname="Stuck", severity="critical"}}',
            f"    silenced by ann until {UNTIL} (silence-of-Stuck): deploy",
            "",
            f"verdict: silenced: its only alert is silenced in Alertmanager by ann (deploy) until {UNTIL}",
            "rule:    some alerts, each under a silence that holds: quieten as SILENCED_ACTION says",
            "would:   resolve",
        ],
    )


def test_explain_as_json_says_why_an_alert_group_is_kept(shell: Shell) -> None:
    paging = shell.active_group()

    status = shell.run("explain", paging.id, "--output", "json")

    alert = shell.alertmanager.groups[0]["alerts"][0]
    assert (status, shell.document) == (
        NOTHING_TO_DO,
        {
            "alert_group_id": paging.id,
            "title": "title of Paging",
            "url": f"http://grafana.example/a/grafana-oncall-app/alert-groups/{paging.id}",
            "state": "firing",
            "verdict": "firing",
            "reason": f"1 of 1 alerts fire in Alertmanager: Paging {alert['fingerprint']}",
            "rule": "one active alert keeps the page, whatever the others are",
            "change": None,
            "silence_seconds": None,
            "members": [
                {
                    "fingerprint": alert["fingerprint"],
                    "state": "active",
                    "labels": {"alertname": "Paging", "severity": "critical"},
                    "silenced_by": [],
                    "inhibited_by": [],
                    "muted_by": [],
                    "silences": [],
                }
            ],
        },
    )


def test_explain_of_a_resolved_alert_group_says_so(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    resolved = shell.silenced_group(state="resolved")

    status = shell.run("explain", resolved.id)

    assert (status, shell.printed, capsys.readouterr().err) == (
        FAILED,
        "",
        f"error: alert group {resolved.id} is resolved: a run looks at open ones only\n",
    )


def test_explain_of_an_unknown_alert_group_says_so(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    status = shell.run("explain", "I/../NOBODY?")

    assert (status, capsys.readouterr().err) == (
        FAILED,
        "error: Grafana IRM: read alert group: HTTP 404: Not found.\n",
    )


# --- colours


@pytest.mark.parametrize(
    ("screen", "no_colour", "is_coloured"),
    [
        pytest.param(Tty, None, True, id="terminal"),
        pytest.param(Tty, "1", False, id="terminal, NO_COLOR"),
        pytest.param(io.StringIO, None, False, id="pipe"),
    ],
)
@pytest.mark.parametrize("command", ["plan", "reconcile", "explain"])
def test_colours_are_for_terminals_only(
    shell: Shell,
    command: str,
    screen: type[io.StringIO],
    no_colour: str | None,
    is_coloured: bool,  # noqa: FBT001 - a table's column
) -> None:
    stuck = shell.silenced_group()
    shell.screen = screen
    if no_colour is not None:
        shell.environ["NO_COLOR"] = no_colour

    shell.run(command, *([stuck.id] if command == "explain" else []))

    assert ("\033[" in shell.printed) is is_coloured


def test_json_has_no_colours_on_a_terminal_either(shell: Shell) -> None:
    shell.silenced_group()
    shell.screen = Tty

    shell.run("plan", "--output", "json")

    assert "\033" not in shell.printed


# --- wrong use, wrong settings


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        pytest.param((), "the following arguments are required: command", id="nothing"),
        pytest.param(("destroy",), "invalid choice: 'destroy'", id="unknown command"),
        pytest.param(("plan", "--output", "xml"), "invalid choice: 'xml'", id="unknown output"),
        pytest.param(("plan", "--dry-run"), "unrecognized arguments: --dry-run", id="option of another command"),
        pytest.param(("explain",), "the following arguments are required: ALERT_GROUP_ID", id="no id"),
        pytest.param(("plan", "--timeout", "soon"), "invalid", id="timeout that is no number"),
        pytest.param(("plan", "--timeout", "0"), "must be more than 0 and at most 86400", id="no time"),
        pytest.param(("plan", "--timeout", "-1"), "must be more than 0 and at most 86400", id="negative time"),
        pytest.param(("plan", "--timeout", "nan"), "must be more than 0 and at most 86400", id="NaN"),
        pytest.param(("plan", "--timeout", "inf"), "must be more than 0 and at most 86400", id="endless time"),
    ],
)
def test_wrong_use_is_a_failure_and_not_a_plan_that_is_not_empty(
    arguments: tuple[str, ...], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status = wrong_use(*arguments)

    written = capsys.readouterr()
    assert (status, written.out, complaint in written.err) == (FAILED, "", True)


def test_help_is_no_failure(capsys: pytest.CaptureFixture[str]) -> None:
    status = wrong_use("--help")

    # Broken into lines by the width of the terminal.
    words = " ".join(capsys.readouterr().out.split())
    assert status == NOTHING_TO_DO
    assert words.endswith(
        "exit status: 0 nothing to do or done; 1 failed; 2 the plan is not empty or something was put off"
    )


def test_every_faulty_setting_has_a_line(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    shell.environ.update(DRY_RUN="maybe", RESOLUTION_NOTES="2")

    status = shell.run("plan")

    assert (status, shell.printed, capsys.readouterr().err) == (
        FAILED,
        "",
        "error: DRY_RUN must be true or false, not 'maybe'\nerror: RESOLUTION_NOTES must be true or false, not '2'\n",
    )


def test_token_that_is_none_is_a_line_without_the_token(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    shell.environ["GRAFANA_IRM_TOKEN"] = "my s3cret"

    status = shell.run("plan")

    assert (status, capsys.readouterr().err) == (
        FAILED,
        "error: secret GRAFANA_IRM_TOKEN does not hold a token: it is empty or has characters no token has\n",
    )
