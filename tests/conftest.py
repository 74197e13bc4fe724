"""What holds for every test: nothing outside this machine is reached, and nothing of its AWS set-up leaks in."""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from pathlib import Path

import hypothesis
import pytest

from tests.support.lambda_runtime import build_artifact

hypothesis.settings.register_profile("here", deadline=None)
# In CI the same examples every time: luck must not decide whether a change lands.
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis.settings.load_profile("ci" if "CI" in os.environ else "here")


class OutsideWorldError(RuntimeError):
    """A test tried to reach, or to be reached from, something that is not on this machine."""


def pytest_configure() -> None:
    for name in [name for name in os.environ if name.startswith(("AWS_", "ALERTMANAGER_", "GRAFANA_", "POWERTOOLS_"))]:
        del os.environ[name]
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        os.environ.pop(name, None)
        os.environ.pop(name.lower(), None)
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
    sys.addaudithook(refuse_the_outside_world)


def refuse_the_outside_world(event: str, arguments: tuple[object, ...]) -> None:
    """Let sockets connect, send and listen on the loopback only; names of other hosts do not exist."""
    if event in {"socket.connect", "socket.sendto", "socket.bind"}:
        address = arguments[1]
        if isinstance(address, tuple) and not is_loopback(address[0]):
            message = f"{event} {address!r}: tests stay on this machine"
            raise OutsideWorldError(message)
    if event == "socket.getaddrinfo" and not is_loopback(arguments[0]):
        raise socket.gaierror(socket.EAI_NONAME, "tests know no names of other hosts")


def is_loopback(host: object) -> bool:
    name = host.decode() if isinstance(host, bytes) else str(host)
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name in {"None", "localhost"}


@pytest.fixture(scope="session")
def built_function(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `sam build` makes of the function: built once, for all workers."""
    shared = tmp_path_factory.getbasetemp()
    return build_artifact(shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared)
