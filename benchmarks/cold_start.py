"""How long Lambda needs to start the function: INIT of the built artefact against that of an empty handler.

Both run alternately under the same emulator on the same interpreter, so that whatever else the machine does meets both.
It is not an AWS number: only the ratio means anything elsewhere.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import tempfile
import zipfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.tables import Row, Table
from tests.support import tools
from tests.support.lambda_runtime import REGION, LambdaRuntime

STARTS = 11
LARGEST_RATIO = 6.0

# What the template sets and what decides what is made during INIT. Nothing is asked of these hosts.
AS_DEPLOYED: Mapping[str, str] = {
    "ALERTMANAGER_URL": "http://alertmanager.invalid:9093",
    "GRAFANA_IRM_URL": "http://irm.invalid/oncall",
    "GRAFANA_IRM_TOKEN_SECRET": "grafana-irm-token",
    "STATE_TABLE": "state",
    "EVENT_BUS": "default",
    "WAKE_UP_GROUP": "wake-ups",
    "WAKE_UP_ROLE_ARN": "arn:aws:iam::123456789012:role/wake-ups",
    "POWERTOOLS_SERVICE_NAME": "benchmark",
    "POWERTOOLS_LOG_LEVEL": "INFO",
}
_HEALTHZ = {"requestContext": {"http": {"method": "GET", "path": "/healthz"}}, "rawPath": "/healthz"}
_EMPTY_HANDLER = "def handle(event, context):\n    return {}\n"

_PROFILES = 5
_PACKAGES_SHOWN = 5
_MARK = "the function's own imports"
_PROFILED = f"import sys, awslambdaric.bootstrap; print({_MARK!r}, file=sys.stderr); import alert_sync.handler"
_IMPORT_TIME = re.compile(r"import time: +(\d+) \| +\d+ \| +(\w+)")


def measure(artifact: Path) -> Table:
    with tempfile.TemporaryDirectory(prefix="empty-handler-") as folder:
        Path(folder, "empty.py").write_text(_EMPTY_HANDLER)
        ours, empty = _alternating_inits(artifact, Path(folder))
    ratio = statistics.median(ours) / statistics.median(empty)
    unzipped, zipped = _sizes(artifact)
    return Table(
        title=f"Cold start: INIT under Lambda's emulator, Python 3.13, {STARTS} alternating starts each",
        columns=("median", "fastest", "slowest"),
        rows=(
            _spread("empty handler, ms", empty),
            _spread("this function, ms", ours),
            Row(
                name="this function / empty handler",
                figures=(f"{ratio:.2f}", "", ""),
                limit=f"<= {LARGEST_RATIO:g}",
                holds=ratio <= LARGEST_RATIO,
            ),
            *(_spread(f"  of it: {package}, ms", times) for package, times in _slowest_packages(artifact)),
            Row(name="artefact unzipped / zipped, MB", figures=(f"{unzipped / 1e6:.1f}", f"{zipped / 1e6:.1f}", "")),
        ),
        remarks=(
            "Packages: -X importtime, which slows each a little. What a module makes while imported counts as its.",
        ),
    )


def _alternating_inits(artifact: Path, empty_folder: Path) -> tuple[Sequence[float], Sequence[float]]:
    """The first start of each only brings the files into the page cache, and does not count."""
    ours = LambdaRuntime(artifact, environment=AS_DEPLOYED)
    empty = LambdaRuntime(empty_folder, handler="empty.handle")
    with ours, empty:
        for start in range(STARTS + 1):
            for function in (ours, empty):
                if start:
                    function.restart()
                if "errorMessage" in (answer := function.invoke(_HEALTHZ)):
                    raise RuntimeError(answer["errorMessage"])
        return ours.init_milliseconds()[1:], empty.init_milliseconds()[1:]


def _spread(name: str, milliseconds: Sequence[float]) -> Row:
    figures = (statistics.median(milliseconds), min(milliseconds), max(milliseconds))
    return Row(name=name, figures=tuple(f"{figure:.0f}" for figure in figures))


def _slowest_packages(artifact: Path) -> Sequence[tuple[str, Sequence[float]]]:
    """The packages that take longest to import, each with its time in every profile."""
    profiles = [_milliseconds_by_package(artifact) for _ in range(_PROFILES)]
    times = {package: [profile.get(package, 0.0) for profile in profiles] for package in profiles[0]}
    return sorted(times.items(), key=lambda item: -statistics.median(item[1]))[:_PACKAGES_SHOWN]


def _milliseconds_by_package(artifact: Path) -> Mapping[str, float]:
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(artifact), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [tools.lambda_python(), "-X", "importtime", "-c", _PROFILED],
        check=True,
        capture_output=True,
        text=True,
        env={**environment, "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION, **AS_DEPLOYED},
    )
    bundled = {path.name.removesuffix(".py") for path in artifact.iterdir()}
    times: defaultdict[str, float] = defaultdict(float)
    for microseconds, package in _IMPORT_TIME.findall(done.stderr.partition(_MARK)[2]):
        times[package if package in bundled else "standard library"] += int(microseconds) / 1000
    return times


def _sizes(artifact: Path) -> tuple[int, int]:
    """Bytes unzipped and zipped."""
    files = sorted(path for path in artifact.rglob("*") if path.is_file())
    with tempfile.TemporaryFile() as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in files:
                archive.write(path, path.relative_to(artifact))
        return sum(path.stat().st_size for path in files), file.seek(0, 2)
