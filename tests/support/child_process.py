"""Run a program beside the tests, with its output in a file and an end that leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

_SECONDS_TO_STOP = 10.0


class ChildProcess:
    """A program in a process group of its own, so that what it starts ends with it."""

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        output: Path,
        errors: Path | None = None,
        environment: Mapping[str, str] | None = None,
        working_folder: Path | None = None,
    ) -> None:
        """Start it; both streams go to `output` unless `errors` is given, after what an earlier process wrote there."""
        self._is_gone = False
        with output.open("ab") as standard_output, (errors or output).open("ab") as standard_error:
            self._process = subprocess.Popen(
                command,
                cwd=working_folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=standard_output,
                stderr=standard_error,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def stop(self) -> None:
        """Ask it to end, and kill it if it does not."""
        self._signal(signal.SIGCONT)
        self._signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_SECONDS_TO_STOP)
        self.kill()

    def kill(self) -> None:
        """End it and whatever it started, without a chance to tidy up."""
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._is_gone = True

    def freeze(self) -> None:
        """Stop it where it is: its sockets stay open, and nobody answers. Returns when it has stopped, not before."""
        self._signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WNOWAIT)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._is_gone:
            return  # its number may belong to another process by now
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on; another process may take it before it is used."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
