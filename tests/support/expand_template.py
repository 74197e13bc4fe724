"""Expand a SAM template to plain CloudFormation, offline, as the service would before it creates anything.

Tells too what CloudFormation's own schemas say about the resources.

Imported by tests, which run in an environment without SAM; run as a program by the interpreter that has SAM installed.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

Template = dict[str, Any]
"""A template with its intrinsic functions in long form: {"Fn::Sub": ...}, {"Ref": ...}."""

REGION = "eu-west-1"


class SamError(Exception):
    """SAM does not take this for a template; the message is SAM's own."""


def read_template(path: Path, *, sam_python: Path) -> Template:
    """Read a YAML template without expanding it."""
    return _in_sam_environment({"path": str(path)}, sam_python)


def expand(template: Template, *, sam_python: Path) -> Template:
    """Return what SAM's transform makes of the template.

    Raises:
        SamError: with every fault that SAM names.
    """
    return _in_sam_environment({"template": template}, sam_python)


def replacing_properties(kinds: Iterable[str], *, sam_python: Path) -> dict[str, list[str]]:
    """Return for each type of resource the properties whose change replaces it."""
    return _in_sam_environment({"types": sorted(set(kinds))}, sam_python)


def _in_sam_environment(request: Mapping[str, Any], sam_python: Path) -> Template:
    program = subprocess.run(
        [sam_python, __file__],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "AWS_DEFAULT_REGION": REGION},
    )
    if program.returncode:
        raise SamError(program.stderr)
    expanded: Template = json.loads(program.stdout)
    return expanded


def _answer(request: Mapping[str, Any]) -> Template:
    if "path" in request:
        read: Template = importlib.import_module("samcli.yamlhelper").yaml_parse(Path(request["path"]).read_text())
        return read
    if "types" in request:
        return {kind: _replacing_properties(kind) for kind in request["types"]}
    return _expanded(request["template"])


def _replacing_properties(kind: str) -> list[str]:
    schemas = importlib.import_module("cfnlint.schema.manager").PROVIDER_SCHEMA_MANAGER
    schema = schemas.get_resource_schema(REGION, kind).schema
    listed = [*schema.get("createOnlyProperties", []), *schema.get("conditionalCreateOnlyProperties", [])]
    return [pointer.split("/")[2] for pointer in listed]


def _expanded(template: Template) -> Template:
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            # `sam package` would put the address of the upload here.
            resource["Properties"]["CodeUri"] = "s3://bucket/key"
    translator = importlib.import_module("samtranslator.translator.translator").Translator(
        {},  # of managed policies: the template names none for SAM to look up
        importlib.import_module("samtranslator.parser.parser").Parser(),
        boto_session=importlib.import_module("boto3").Session(region_name=REGION),
    )
    expanded: Template = translator.translate(sam_template=template, parameter_values={}, passthrough_metadata=True)
    return expanded


def _main() -> None:
    faults = importlib.import_module("samtranslator.public.exceptions").InvalidDocumentException
    try:
        json.dump(_answer(json.load(sys.stdin)), sys.stdout, default=str)
    except faults as error:
        sys.exit("\n".join(cause.message for cause in error.causes))


if __name__ == "__main__":
    _main()
