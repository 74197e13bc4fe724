"""Runs what `sam build` made as Lambda does, without Docker: AWS's runtime interface emulator and its Python client.

The emulator enforces the timeout and starts the function cold after one, as Lambda does. It does not enforce memory,
takes one call at a time (it crashes on two), and its measure of memory is made up: ask `peak_memory_bytes`.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import urllib3

from tests.support import tools
from tests.support.child_process import ChildProcess, free_port
from tests.support.life_cycle import Running
from tests.support.waiting import wait_for

HANDLER = "alert_sync.handler.lambda_handler"
REGION = "eu-west-1"

_INVOCATIONS = "/2015-03-31/functions/function/invocations"
_INIT_REPORT = re.compile(r"INIT REPORT\(durationMs: ([\d.]+)\)")
_EMULATORS_OWN_LINE = re.compile(r"(START|END|REPORT) RequestId: ")
_ATTEMPTS_TO_START = 3
"""A free port may be taken by another process before the emulator listens on it."""


class LambdaRuntime(Running):
    """A function's execution environment; a context manager. The function starts cold with the first invocation.

    Example:
        with LambdaRuntime(built_function, environment={"DRY_RUN": "true"}) as function:
            report = function.invoke({})
    """

    def __init__(
        self,
        artifact: Path,
        *,
        handler: str = HANDLER,
        environment: Mapping[str, str] | None = None,
        timeout_seconds: int = 60,
        memory_mb: int = 256,
        python: Path | None = None,
        emulator: Path | None = None,
    ) -> None:
        """`environment` comes on top of what Lambda itself sets; its credentials are dummies."""
        self._artifact = artifact
        self._handler = handler
        self._environment = dict(environment or {})
        self._timeout_seconds = timeout_seconds
        self._memory_mb = memory_mb
        self._python = python or tools.lambda_python()
        self._emulator = emulator or tools.runtime_emulator()
        self._folder = tempfile.TemporaryDirectory(prefix="lambda-")
        self._http = urllib3.PoolManager(retries=False, timeout=timeout_seconds + 30.0)
        self._one_at_a_time = threading.Lock()
        self._port = 0
        self._process: ChildProcess | None = None

    def start(self) -> None:
        for _ in range(_ATTEMPTS_TO_START):
            self._port = free_port()
            self._process = ChildProcess(
                self._command(),
                output=self._log,
                errors=self._emulators_log,
                environment=self._whole_environment(),
                working_folder=self._artifact,
            )
            if wait_for(self._first_answer, what="the runtime emulator to listen") == "answers":
                return
        message = f"the runtime emulator does not start: {self._emulators_log.read_text()[-2000:]}"
        raise RuntimeError(message)

    def restart(self, environment: Mapping[str, str] | None = None) -> None:
        """End the environment, so that the next invocation is cold; with other variables if they are given."""
        if environment is not None:
            self._environment = dict(environment)
        self._running().stop()
        self.start()

    def invoke(self, event: object) -> Any:
        """Invoke and return the answer. As on Lambda, a failed invocation answers with an `errorMessage`."""
        with self._one_at_a_time:
            response = self._http.request("POST", f"http://127.0.0.1:{self._port}{_INVOCATIONS}", json=event)
            if response.status == 200:
                wait_for(self._has_reported, what="the end of the invocation's log")
        try:
            return json.loads(response.data)
        except ValueError:
            return {"errorMessage": response.data.decode()}

    # --- what it wrote

    def log_lines(self) -> tuple[str, ...]:
        """Return what the function wrote since it was first started, on either stream."""
        return tuple(line for line in self._log_text().splitlines() if not _EMULATORS_OWN_LINE.match(line))

    def log_documents(self) -> tuple[dict[str, Any], ...]:
        """Return those of the log lines that are JSON objects, strictly read: CloudWatch does not accept NaN."""
        return tuple(document for line in self.log_lines() if (document := _strict_object(line)) is not None)

    def emf_documents(self) -> tuple[dict[str, Any], ...]:
        """Return the log's documents in CloudWatch's embedded metric format."""
        return tuple(document for document in self.log_documents() if "_aws" in document)

    def init_milliseconds(self) -> tuple[float, ...]:
        """Return how long each start took, from starting the interpreter until the handler was loaded."""
        return tuple(float(found) for found in _INIT_REPORT.findall(self._emulators_log.read_text()))

    def peak_memory_bytes(self) -> int:
        """Return the largest resident size so far of the process that runs the function now."""
        for status in _statuses_of_children(self._running().pid):
            return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) * 1024
        message = "the function is not running"
        raise RuntimeError(message)

    # --- inside

    def _command(self) -> list[str | Path]:
        emulator: list[str | Path] = [
            self._emulator,
            "--runtime-interface-emulator-address",
            f"127.0.0.1:{self._port}",
            "--runtime-api-address",
            f"127.0.0.1:{free_port()}",
            "--log-level",
            "info",
        ]
        return [*emulator, self._python, "-m", "awslambdaric", self._handler]

    def _whole_environment(self) -> dict[str, str]:
        lambda_sets = {
            "PATH": "/usr/bin:/bin",
            "HOME": self._folder.name,
            "LANG": "en_US.UTF-8",
            "TZ": ":UTC",
            "PYTHONPATH": str(self._artifact),
            "PYTHONDONTWRITEBYTECODE": "1",  # the function's folder is read-only on Lambda
            "LAMBDA_TASK_ROOT": str(self._artifact),
            "_HANDLER": self._handler,
            "AWS_LAMBDA_FUNCTION_NAME": "function",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(self._memory_mb),
            "AWS_LAMBDA_FUNCTION_TIMEOUT": str(self._timeout_seconds),
            "AWS_LAMBDA_LOG_FORMAT": "JSON",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_SESSION_TOKEN": "testing",
        }
        return lambda_sets | self._environment

    def _first_answer(self) -> str:
        """Return "" while it is starting, then "answers" or "ended"."""
        if self._running().has_ended:
            return "ended"
        try:
            self._http.request("GET", f"http://127.0.0.1:{self._port}/", timeout=1.0)
        except urllib3.exceptions.HTTPError:
            return ""
        return "answers"

    def _has_reported(self) -> bool:
        """Whether the emulator has closed the log of the last invocation, which it does after answering."""
        *_, last = re.findall(r"^START RequestId: (\S+)", self._log_text(), re.MULTILINE)
        return f"REPORT RequestId: {last}" in self._log_text()

    def _log_text(self) -> str:
        return self._log.read_text()

    @property
    def _log(self) -> Path:
        return Path(self._folder.name) / "log"

    @property
    def _emulators_log(self) -> Path:
        return Path(self._folder.name) / "emulator.log"

    def _running(self) -> ChildProcess:
        assert self._process is not None, "the runtime was never started"
        return self._process

    def tidy_up(self) -> None:
        if self._process is not None:
            self._process.stop()
        self._http.clear()
        self._folder.cleanup()


def _strict_object(line: str) -> dict[str, Any] | None:
    try:
        document = json.loads(line, parse_constant=_refuse)
    except json.JSONDecodeError:
        return None
    return document if isinstance(document, dict) else None


def _refuse(constant: str) -> None:
    message = f"{constant} is not JSON; CloudWatch would drop the document"
    raise AssertionError(message)


def _statuses_of_children(parent: int) -> Iterator[str]:
    for entry in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):  # a process that has just ended
            status = entry.read_text()
            if f"\nPPid:\t{parent}\n" in status:
                yield status


# --- sam build


def build_artifact(cache: Path) -> Path:
    """Return the function's folder as `sam build` makes it; built once for the same sources, whoever else asks."""
    folder = cache / f"sam-build-{_digest_of_sources()}"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "sam-build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "template.yaml").exists():
            sam_build(folder)
    (function,) = (entry for entry in folder.iterdir() if entry.is_dir())
    return function


def sam_build(folder: Path) -> None:
    """Run `sam build` on the project, into this folder and nowhere else."""
    work = folder.with_suffix(".work")
    command: list[str | Path] = [
        tools.sam(),
        "build",
        "--template-file",
        tools.PROJECT / "template.yaml",
        "--build-dir",
        work / "build",
    ]
    done = subprocess.run(
        [*command, "--cache-dir", work / "cache"],
        check=False,
        cwd=tools.PROJECT,
        env=sam_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        message = f"sam build failed: {done.stdout[-2000:]}{done.stderr[-4000:]}"
        raise RuntimeError(message)
    (work / "build").rename(folder)
    shutil.rmtree(work)


def sam_environment() -> dict[str, str]:
    """Return what sam needs: a Python of the runtime to compile for, uv to install with, a region, no telemetry."""
    programs = (tools.sam(), tools.uv(), tools.lambda_python())
    path = os.pathsep.join([*(str(program.parent) for program in programs), os.environ["PATH"]])
    return dict(os.environ) | {"PATH": path, "SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": REGION}


def _digest_of_sources() -> str:
    digest = hashlib.sha256()
    for path in sorted([*tools.PROJECT.glob("*.yaml"), *tools.PROJECT.glob("samconfig.toml"), *_files_below("src")]):
        digest.update(str(path.relative_to(tools.PROJECT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _files_below(folder: str) -> Iterator[Path]:
    for path in (tools.PROJECT / folder).rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path
