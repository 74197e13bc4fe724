"""Random histories never break what the service promises.

Always the same ones, so that a change is tested and not its luck. MODEL_EXAMPLES=20000 makes so many others, for a
nightly run; MODEL_SHRINK=no stops at the first failure, to see whether a mutant of the core is caught.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.model.histories import Histories

_EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "0"))
_SHRINKING = [] if os.environ.get("MODEL_SHRINK") == "no" else [Phase.shrink]

pytestmark = pytest.mark.timeout(0 if _EXAMPLES else 900)  # finding the smallest history may take 5 minutes

TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=_EXAMPLES or 600,
    stateful_step_count=40,
    derandomize=not _EXAMPLES,
    database=None,
    deadline=None,
    print_blob=False,
    phases=[Phase.generate, *_SHRINKING],
    suppress_health_check=list(HealthCheck),
)
