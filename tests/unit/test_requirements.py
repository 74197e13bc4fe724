"""That what is tested is what is shipped: the pins of the function and of the test environment agree."""

from __future__ import annotations

import re

from tests.support.tools import PROJECT


def pins(path: str) -> dict[str, str]:
    """Return the version of each package that a lock names."""
    return dict(re.findall(r"^([a-z0-9-]+)==([^ ;]+)", (PROJECT / path).read_text(), re.MULTILINE))


def test_the_tests_run_with_the_versions_that_the_function_bundles() -> None:
    bundled = pins("src/requirements.txt")

    installed = {name: version for name, version in pins("requirements-dev.txt").items() if name in bundled}

    assert bundled
    assert installed == bundled
