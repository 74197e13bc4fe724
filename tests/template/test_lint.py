"""The tools' own checks: SAM's validation of the source, and cfn-lint on the source and on what SAM makes of it.

Three, because none includes another: `sam validate` knows SAM's properties, cfn-lint CloudFormation's, and some faults
(a runtime, an action that IAM does not know) show in the expansion only.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from copy import deepcopy
from pathlib import Path

import pytest

from tests.support import tools
from tests.support.expand_template import REGION, SamError, Template, expand


def _sam_validate(template: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [tools.sam(), "validate", "--region", REGION, "--template", template],
        capture_output=True,
        text=True,
        check=False,
        cwd=tools.PROJECT,
    )


def _lint(files: Iterable[Path]) -> str:
    """Return what cfn-lint finds, with the project's configuration; nothing found is an empty text."""
    program = subprocess.run(
        [tools.sam().with_name("cfn-lint"), "--format", "parseable", *files],
        capture_output=True,
        text=True,
        check=False,
        cwd=tools.PROJECT,
    )
    return program.stdout + program.stderr


def _written(template: Template, file: Path) -> Path:
    file.write_text(json.dumps(template, indent=1))
    return file


def _with_runtime(template: Template, runtime: str) -> Template:
    """Return the template with the runtime written out: cfn-lint's rules about it do not look behind a reference."""
    literal = deepcopy(template)
    literal["Resources"]["ReconcilerFunction"]["Properties"]["Runtime"] = runtime
    del literal["Parameters"]["PythonRuntime"]
    del literal["Metadata"]["AWS::CloudFormation::Interface"]
    return literal


def test_sam_validates_the_template() -> None:
    validation = _sam_validate(tools.PROJECT / "template.yaml")

    assert (validation.returncode, "is a valid SAM Template" in validation.stdout) == (0, True), validation.stderr


def test_template_has_no_finding() -> None:
    assert _lint([tools.PROJECT / "template.yaml"]) == ""


def test_no_runtime_gives_a_finding_in_source_or_expansion(source: Template, tmp_path: Path) -> None:
    files = []
    for runtime in source["Parameters"]["PythonRuntime"]["AllowedValues"]:
        literal = _with_runtime(source, runtime)
        files.append(_written(literal, tmp_path / f"source-{runtime}.json"))
        files.append(_written(expand(literal, sam_python=tools.sam_python()), tmp_path / f"expanded-{runtime}.json"))

    assert _lint(files) == ""


def test_expansion_with_references_has_no_finding(expanded: Template, tmp_path: Path) -> None:
    assert _lint([_written(expanded, tmp_path / "expanded.json")]) == ""


def test_property_that_sam_does_not_know_is_refused(source: Template) -> None:
    misspelt = deepcopy(source)
    misspelt["Resources"]["ReconcilerFunction"]["Properties"]["Evnts"] = {}

    with pytest.raises(SamError, match="property Evnts not defined"):
        expand(misspelt, sam_python=tools.sam_python())


def test_deprecated_runtime_and_unknown_action_are_found_in_the_expansion(source: Template, tmp_path: Path) -> None:
    faulty = _with_runtime(source, "python3.8")
    statements = faulty["Resources"]["ReconcilerRole"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
    statements[0]["Action"] = "logs:PutLogEvent"

    found = _lint([_written(expand(faulty, sam_python=tools.sam_python()), tmp_path / "expanded.json")])

    assert sorted(line.split(":")[5] for line in found.split("\n") if line) == ["W2531", "W3037"], found
