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


AS_DEPLOYED = {
    "GRAFANA_IRM_TOKEN_SECRET": "irm",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "STATE_TABLE": "state",
    "EVENT_BUS": "default",
    "WAKE_UP_GROUP": "wake-ups",
    "WAKE_UP_ROLE_ARN": "arn:aws:iam::123456789012:role/wake-ups",
}


@pytest.fixture(scope="module", params=[{}, AS_DEPLOYED], ids=["nothing set", "as deployed"])
def loaded(request: pytest.FixtureRequest) -> frozenset[str]:
    """The modules that are there once the handler is, without and with a secret to be read and a memory."""
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
        "prometheus_client",
        "alert_sync.__main__",
        "alert_sync.terminal",
        "alert_sync.asking",
        "alert_sync.memory.archive",
        "alert_sync.memory.listing",
    ],
)
def test_module_is_not_loaded(loaded: frozenset[str], module: str) -> None:
    assert [name for name in loaded if name == module or name.startswith(f"{module}.")] == []


@pytest.mark.parametrize(
    "module",
    [
        "alert_sync.reconcile",
        "alert_sync.plan",
        "alert_sync.memory.ledger",
        "alert_sync.memory.table",
        "alert_sync.event_bus",
        "alert_sync.wake_up",
        "alert_sync.secrets_store",
        "urllib3",
    ],
)
def test_what_every_run_needs_is_loaded_while_the_cpu_is_free(loaded: frozenset[str], module: str) -> None:
    assert module in loaded
