"""MiniStack, an emulator of AWS without containers: the real `sam` deploys to it, and functions really run.

Started fresh for each use, on loopback, with IAM enforced; what it still lacks is in `ministack_shim`. Asserts nothing.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import botocore.session
import urllib3
from botocore.config import Config
from botocore.credentials import Credentials

from tests.support import ministack_shim
from tests.support.child_process import ChildProcess, free_port
from tests.support.life_cycle import Running
from tests.support.waiting import wait_for

REGION = "eu-west-1"
ROOT = Credentials("test", "test")
"""MiniStack's administrator: IAM lets it do everything."""

_SHIM = Path(__file__).with_name("ministack_shim.py")
_ATTEMPTS_TO_START = 3
"""A free port may be taken by another process before MiniStack listens on it."""


class MiniStack(Running):
    """One emulated account. A context manager; nothing of it is left afterwards.

    Example:
        with MiniStack(tools.ministack_python(), lambda_pythons={"3.13": tools.lambda_python()}) as aws:
            subprocess.run(["sam", "deploy"], env={**os.environ, **aws.environment()})
    """

    def __init__(
        self, python: Path, *, lambda_pythons: Mapping[str, Path], seconds_a_minute_takes: float = 60.0
    ) -> None:
        """`lambda_pythons` are the interpreters of functions, by version; schedules run on the shortened minute."""
        self._python = python
        self._settings = {
            ministack_shim.SECONDS_A_MINUTE_TAKES: str(seconds_a_minute_takes),
            **{f"{ministack_shim.LAMBDA_PYTHON}{version}": str(path) for version, path in lambda_pythons.items()},
        }
        self._folder = tempfile.TemporaryDirectory(prefix="ministack-")
        self._port = 0
        self._process: ChildProcess | None = None
        self._http = urllib3.PoolManager(retries=False, timeout=60.0)
        self._session = botocore.session.Session()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def log(self) -> str:
        """What MiniStack wrote so far, for the message of a failing test."""
        return self._log.read_text(errors="replace")

    def environment(self) -> dict[str, str]:
        """Return the variables that make AWS's tools use this account, and nothing of the person's own."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": str(ROOT.access_key),
            "AWS_SECRET_ACCESS_KEY": str(ROOT.secret_key),
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def client(self, service: str) -> Any:
        """Return the administrator's client of an AWS service."""
        return self._session.create_client(
            service,
            region_name=REGION,
            endpoint_url=self.url,
            aws_access_key_id=ROOT.access_key,
            aws_secret_access_key=ROOT.secret_key,
            config=Config(retries={"total_max_attempts": 1}, read_timeout=150),
        )

    def log_lines(self, log_group: str) -> tuple[str, ...]:
        """Return every line of a log group, oldest first."""
        events = self.client("logs").filter_log_events(logGroupName=log_group)["events"]
        return tuple(event["message"] for event in events)

    def start(self) -> None:
        for _ in range(_ATTEMPTS_TO_START):
            self._port = free_port()
            self._process = ChildProcess(
                # -P: beside the shim lies this module, which has the name of the package that the shim imports.
                [self._python, "-P", _SHIM],
                output=self._log,
                environment=self._own_environment(),
                working_folder=self._home,
            )
            if wait_for(self._first_answer, what="MiniStack to listen") == "answers":
                return
        message = f"MiniStack does not start: {self.log[-2000:]}"
        raise RuntimeError(message)

    def _own_environment(self) -> dict[str, str]:
        """Functions inherit this, so it holds nothing that they would not find on AWS."""
        return {
            "PATH": "/usr/bin:/bin",
            "HOME": str(self._home),
            "TMPDIR": str(self._home),
            "STATE_DIR": str(self._home / "state"),
            "LANG": "C.UTF-8",
            "AUTH": "true",
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(self._port),
            "MINISTACK_HOST": "127.0.0.1",
            "MINISTACK_REGION": REGION,
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            **self._settings,
        }

    def _first_answer(self) -> str:
        """Return "" while it is starting, then "answers" or "ended"."""
        if self._process is None or self._process.has_ended:
            return "ended"
        try:
            self._http.request("GET", f"{self.url}/_ministack/health", timeout=1.0)
        except urllib3.exceptions.HTTPError:
            return ""
        return "answers"

    @property
    def _home(self) -> Path:
        return Path(self._folder.name)

    @property
    def _log(self) -> Path:
        return self._home / "ministack.log"

    def tidy_up(self) -> None:
        if self._process is not None:
            self._process.stop()
        self._http.clear()
        self._folder.cleanup()
