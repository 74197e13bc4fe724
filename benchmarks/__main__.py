"""`python -m benchmarks [cold_start] [economy] [memory] [scale] [--quick]`: all by default, in some six minutes."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks import cold_start, economy, memory, scale
from benchmarks.tables import Table
from tests.support.lambda_runtime import build_artifact


def main() -> int:
    arguments = _parse_arguments()
    began = time.monotonic()
    broken: list[str] = []
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
        for name in arguments.benchmarks or _benchmarks(Path(folder), quick=False):
            for table in _benchmarks(Path(folder), quick=arguments.quick)[name]():
                print(f"\n{table.text()}\n", flush=True)
                broken += table.broken
    print(f"{time.monotonic() - began:.0f} s.", end=" ")
    print(f"NOT within its limits: {'; '.join(broken)}." if broken else "Every limit holds.")
    return 1 if broken else 0


def _benchmarks(folder: Path, *, quick: bool) -> Mapping[str, Callable[[], Sequence[Table]]]:
    return {
        "cold_start": lambda: [cold_start.measure(build_artifact(folder))],
        "economy": lambda: [economy.measure()],
        "memory": memory.measure,
        "scale": lambda: [scale.measure(build_artifact(folder), quick=quick)],
    }


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure; compare with the limits.")
    names = tuple(_benchmarks(Path(), quick=True))
    parser.add_argument("benchmarks", nargs="*", metavar="BENCHMARK", help=f"{', '.join(names)}; none means all")
    parser.add_argument("--quick", action="store_true", help="scale: leave out the runs that wait for request budget")
    arguments = parser.parse_args()
    if unknown := set(arguments.benchmarks) - set(names):
        parser.error(f"unknown benchmark: {', '.join(sorted(unknown))}")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
