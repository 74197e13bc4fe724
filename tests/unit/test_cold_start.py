"""What Lambda loads while it starts the function: every module that a scheduled run does not use is time lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"

LOAD = """
import json, sys
import alert_sync.handler
print(json.dumps(sorted(sys.modules)))
"""


@pytest.fixture(scope="module", params=[{}, {"GRAFANA_IRM_TOKEN_SECRET": "irm", "AWS_DEFAULT_REGION": "eu-west-1"}])
def loaded(request: pytest.FixtureRequest) -> frozenset[str]:
    """The modules that are there once the handler is, without and with a secret to be read."""
    environment = {**os.environ, **request.param, "PYTHONPATH": str(SOURCE)}
    ran = subprocess.run([sys.executable, "-c", LOAD], env=environment, check=True, capture_output=True, text=True)
    return frozenset(json.loads(ran.stdout))


@pytest.mark.parametrize(
    "module",
    [
        "boto3",
        "botocore.session",
        "botocore.auth",
        "aws_xray_sdk",
        "requests",
        "pydantic",
        "aws_lambda_powertools.event_handler",
        "alert_sync.__main__",
        "alert_sync.terminal",
    ],
)
def test_module_is_not_loaded(loaded: frozenset[str], module: str) -> None:
    assert module not in loaded


@pytest.mark.parametrize("module", ["alert_sync.reconcile", "alert_sync.secrets_store", "urllib3"])
def test_what_every_run_needs_is_loaded_while_the_cpu_is_free(loaded: frozenset[str], module: str) -> None:
    assert module in loaded
