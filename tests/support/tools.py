"""Where the programs are that `make` sets up in `.tools/`.

A test asks for the program it needs and is skipped, with the reason, on a machine that cannot have it. Where CI is set
nothing may be missing: the test fails instead.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
TOOLS = PROJECT / ".tools"


def sam() -> Path:
    """The SAM command line."""
    return _program("sam", "bin/sam")


def sam_python() -> Path:
    """The interpreter that can import samcli, samtranslator and cfnlint."""
    return _program("sam", "bin/python")


def runtime_emulator() -> Path:
    """AWS's Lambda runtime interface emulator."""
    return _program("sam", "bin/aws-lambda-rie", noted_as="aws-lambda-rie")


def ministack_python() -> Path:
    """The interpreter that can import ministack."""
    return _program("ministack", "bin/python")


def lambda_python(version: str = "3.13") -> Path:
    """An interpreter like that of the Lambda runtime: awslambdaric, and nothing else beside the standard library."""
    return _program(f"lambda-{version}", "bin/python")


def alertmanager() -> Path:
    """A real Alertmanager, 0.25 or newer."""
    return _program("alertmanager", "alertmanager")


def uv() -> Path:
    """The installer that `sam build` calls to fill the bundle."""
    return _program("uv", "bin/uv")


def _program(tool: str, path: str, *, noted_as: str = "") -> Path:
    program = TOOLS / tool / path
    if program.exists():
        return program
    note = TOOLS / f"{noted_as or tool}.missing"
    reason = note.read_text().strip() if note.exists() else "`make test` has not set it up"
    message = f"{program.name} is missing here: {reason}"
    if "CI" in os.environ:
        pytest.fail(message)
    pytest.skip(message)
