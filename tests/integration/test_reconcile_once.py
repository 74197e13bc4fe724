"""That `make reconcile` does and says what the README promises, run as a program of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta

import pytest

from alert_sync.metrics import METRICS
from examples.scenario import CROWD
from tests.support import tools
from tests.support.alertmanager import Alertmanager, routing_config
from tests.support.fake_irm import FakeIrm
from tests.support.waiting import wait_for

RESOLVED, FIRING = "firing -> resolved (listed on page 2)", "firing, as before"
SILENCED_BY = "its only alert is silenced in Alertmanager by"

# State in IRM, verdict, and what the reason says.
EXPECTED = {
    "stuck": (RESOLVED, "silenced", f"{SILENCED_BY} ann (planned failover) until "),
    "two silences": (RESOLVED, "silenced", "by ann (disk is being replaced), bob (same disk, second node) until "),
    "mixed": (FIRING, "firing", "1 of 2 alerts fire in Alertmanager: CertificateExpiring "),
    "inhibited": (FIRING, "suppressed", "not every one is silenced: NodeDiskSlow "),
    "lost resolve": (FIRING, "gone", "Alertmanager holds none of its alerts any more"),
    "acknowledged": ("acknowledged, as before", "silenced", f"{SILENCED_BY} dora (scaling out) until "),
    "not ours": (FIRING, "unmanaged", "its last payload is not Alertmanager's"),
    "maintenance": (FIRING, "unmanaged", "its last payload is not Alertmanager's"),
}


def reconcile_once(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the program with these settings and no others."""
    path = os.pathsep.join([str(tools.PROJECT / "src"), str(tools.PROJECT)])
    return subprocess.run(
        [sys.executable, "examples/reconcile_once.py", *arguments],
        cwd=tools.PROJECT,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": path, **settings},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def section(output: str, headline: str) -> str:
    """Return what is printed below a headline that begins so, up to the next one."""
    return re.split(r"\n(?=[A-Z]{3})", output.partition(f"\n{headline}")[2])[0]


def rows(output: str, headline: str) -> list[tuple[str, ...]]:
    """Return a section's table, which ends at a blank line; columns are two blanks or more apart."""
    table = section(output, headline).partition("\n\n")[0]
    return [tuple(re.split(r" {2,}", line.strip())) for line in table.splitlines()[1:]]


# --- the embedded scenario


@pytest.fixture(scope="module", params=["with the real Alertmanager", "with the stand-in"])
def run(request: pytest.FixtureRequest) -> subprocess.CompletedProcess[str]:
    if request.param == "with the stand-in":
        return reconcile_once("--stand-in")
    tools.alertmanager()
    return reconcile_once()


def test_it_succeeds(run: subprocess.CompletedProcess[str]) -> None:
    assert (run.returncode, run.stderr) == (0, "")


def test_it_says_that_nothing_outside_this_machine_is_touched(run: subprocess.CompletedProcess[str]) -> None:
    assert "AN EMBEDDED SCENARIO: nothing outside this machine is read or changed" in run.stdout


def test_it_says_whether_alertmanager_is_the_real_program() -> None:
    tools.alertmanager()

    real, stand_in = reconcile_once(), reconcile_once("--stand-in")

    assert "Alertmanager is the real program." in real.stdout
    assert "Alertmanager is a small stand-in, not the real program." in stand_in.stdout


@pytest.mark.parametrize("case", EXPECTED)
def test_each_case_ends_as_it_should(run: subprocess.CompletedProcess[str], case: str) -> None:
    became = {row[0]: row[1:] for row in rows(run.stdout, "WHAT BECAME OF THEM IN IRM")}

    *state_and_verdict, reason = EXPECTED[case]
    assert list(became[case][:2]) == state_and_verdict
    assert reason in became[case][2]


def test_every_case_is_told_of(run: subprocess.CompletedProcess[str]) -> None:
    told = [row[0] for row in rows(run.stdout, "WHAT BECAME OF THEM IN IRM")[1:]]

    assert told == list(EXPECTED)


def test_the_plan_is_shown_before_anything_is_changed(run: subprocess.CompletedProcess[str]) -> None:
    planned = re.findall(r"planned +(\w+) +\w+ +(.+? \(.+?\))", section(run.stdout, "THE PLAN"))

    assert sorted(planned) == [("resolve", "DatabaseDown (eu-1)"), ("resolve", "DiskFilling (eu-2)")]


def test_every_alert_group_that_is_left_alone_is_counted(run: subprocess.CompletedProcess[str]) -> None:
    counts = next(line for line in section(run.stdout, "THE RUN").splitlines() if "kept:" in line)

    assert counts.strip() == f"kept: {CROWD + 2} firing, 1 suppressed, 1 gone, 2 unmanaged, 1 silenced"


def test_a_note_in_the_timeline_says_why(run: subprocess.CompletedProcess[str]) -> None:
    assert re.search(r"Resolved by alertmanager-alert-sync: .+\. Silences: .+ until .+\. Run .+\.", run.stdout)


def test_the_requests_are_listed(run: subprocess.CompletedProcess[str]) -> None:
    requests = [(system, method) for system, method, *_ in rows(run.stdout, "REQUESTS:")]

    assert "REQUESTS: 3 to Alertmanager; 4 reads and 4 writes to Grafana IRM" in run.stdout
    assert requests == [
        *[("Alertmanager", "GET")] * 3,
        *[("Grafana IRM", "GET")] * 4,
        *[("Grafana IRM", "POST")] * 4,
    ]


def test_every_metric_is_shown(run: subprocess.CompletedProcess[str]) -> None:
    table = rows(run.stdout, "METRICS")

    assert {(name, unit) for name, _, unit in table} == {(name, unit.value) for name, unit in METRICS.items()}
    assert {name: value for name, value, _ in table} | {
        "ReconciliationDuration": "",
        "LastReconciliationTimestamp": "",
    } == {
        **dict.fromkeys(METRICS, "0"),
        "ReconciliationTotal": "1",
        "ReconciliationDuration": "",
        "InconsistenciesFound": "3",
        "InconsistenciesResolved": "2",
        "LastReconciliationTimestamp": "",
        "LastReconciliationSuccess": "1",
        "AlertsFetched": str(CROWD + 8),
        "AlertGroupsExamined": str(CROWD + 9),
        "LostResolves": "1",
        "IrmRequests": "8",
        "ColdStart": "1",
    }


@pytest.mark.parametrize("heading", ["## Try it", "## Command line"])
def test_the_readme_shows_what_is_printed(heading: str) -> None:
    tools.alertmanager()
    readme = (tools.PROJECT / "README.md").read_text()
    shown = readme.partition(heading)[2].partition("```text\n")[2].partition("```")[0]

    printed = [without_chance(line) for line in reconcile_once().stdout.splitlines()]

    lines = [without_chance(line.partition("…")[0]) for line in shown.splitlines()]
    assert [line for line in lines if not any(each.startswith(line) for each in printed)] == []


def without_chance(line: str) -> str:
    """Return a line without what differs from run to run: ids, times, durations; nor its indentation."""
    return re.sub(r"IFAKE\d+|\d{4}-\d\d-\d\d \d\d:\d\d|\(\d+\.\d+ s\)", "", line).strip()


def test_log_lines_are_hidden_unless_asked_for() -> None:
    quiet, verbose = reconcile_once("--stand-in"), reconcile_once("--stand-in", "--verbose")

    assert '"message":"Reconciliation finished"' not in quiet.stdout
    assert "4 log lines are not shown. To see them: " in quiet.stdout
    assert '"message":"Reconciliation finished"' in verbose.stdout


def test_settings_of_behaviour_apply_to_the_scenario() -> None:
    done = reconcile_once("--stand-in", DRY_RUN="true", ALERTMANAGER_URL="http://127.0.0.1:9", IRM_TEAM_ID="nobody")

    assert done.returncode == 0
    assert "nothing was changed (dry run)" in section(done.stdout, "THE RUN")
    assert {row[1] for row in rows(done.stdout, "WHAT BECAME OF THEM IN IRM")[1:]} == {
        "firing, as before",
        "acknowledged, as before",
    }


def test_a_faulty_setting_is_named() -> None:
    done = reconcile_once("--stand-in", MAX_CHANGES_PERCENT="abc")

    assert done.returncode == 1
    assert "error: MAX_CHANGES_PERCENT must be a whole number from 0 to 100, not 'abc'" in done.stdout


# --- systems that the environment names


@pytest.fixture
def named() -> Iterator[tuple[FakeIrm, Alertmanager]]:
    """Two systems, in which one alert is silenced and IRM does not know."""
    with FakeIrm() as irm:
        webhook_url = irm.inbound_url(irm.add_alertmanager_integration())
        with Alertmanager(tools.alertmanager(), config=routing_config(webhook_url)) as alertmanager:
            alertmanager.post_alerts({"alertname": "DiskFull", "cluster": "eu"})
            wait_for(irm.alert_groups, what="IRM to be told")
            alertmanager.silence({"alertname": "DiskFull"}, ends_in=timedelta(hours=1))
            irm.forget_requests()
            yield irm, alertmanager


def test_systems_named_by_the_environment_are_reconciled(named: tuple[FakeIrm, Alertmanager]) -> None:
    irm, alertmanager = named

    done = reconcile_once(ALERTMANAGER_URL=alertmanager.url, GRAFANA_IRM_URL=irm.url, GRAFANA_IRM_TOKEN=irm.admin.token)

    assert (done.returncode, done.stderr) == (0, "")
    assert [group.state for group in irm.alert_groups()] == ["resolved"]
    assert re.search(r"applied +resolve +\w+ +DiskFull \(eu\) +its only alert is silenced", done.stdout)


def test_a_real_run_says_first_what_it_talks_to(named: tuple[FakeIrm, Alertmanager]) -> None:
    irm, alertmanager = named

    done = reconcile_once(ALERTMANAGER_URL=alertmanager.url, GRAFANA_IRM_URL=irm.url, GRAFANA_IRM_TOKEN=irm.admin.token)

    assert done.stdout.startswith("\nA REAL RUN, of the systems that the environment names\n")
    assert rows(done.stdout, "A REAL RUN") == [
        ("Alertmanager", alertmanager.url),
        ("Grafana IRM", irm.url),
        ("its token", "GRAFANA_IRM_TOKEN"),
        ("SILENCED_ACTION", "resolve"),
        ("DRY_RUN", "not set: this run may change alert groups"),
    ]
    assert irm.admin.token not in done.stdout


def test_a_dry_run_of_named_systems_writes_nothing(named: tuple[FakeIrm, Alertmanager]) -> None:
    irm, alertmanager = named

    done = reconcile_once(
        ALERTMANAGER_URL=alertmanager.url,
        GRAFANA_IRM_URL=irm.url,
        GRAFANA_IRM_TOKEN=irm.admin.token,
        DRY_RUN="true",
    )

    assert done.returncode == 0
    assert ("DRY_RUN", "set: nothing will be changed") in rows(done.stdout, "A REAL RUN")
    assert irm.writes == ()


def test_a_run_that_fails_is_told_by_the_exit_status() -> None:
    with FakeIrm() as irm:
        done = reconcile_once(
            ALERTMANAGER_URL="http://127.0.0.1:9", GRAFANA_IRM_URL=irm.url, GRAFANA_IRM_TOKEN="no such token"
        )

    assert done.returncode == 1
    assert "FAILED: nothing was changed: the run failed" in done.stdout


def test_settings_that_cannot_be_read_are_told_by_the_exit_status() -> None:
    done = reconcile_once(GRAFANA_IRM_URL="http://user:hunter2@irm.example", GRAFANA_IRM_TOKEN="token")

    assert done.returncode == 1
    assert "GRAFANA_IRM_URL must not hold a user or password" in done.stdout
    assert "hunter2" not in done.stdout + done.stderr
