"""A stack of release 1.0 that has run for a while, upgraded by `sam deploy` as its owner would.

Which properties replace a resource on AWS is checked by tests/template/test_upgrade.py: the emulator replaces nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.deploy.conftest import Stack, Upstreams
from tests.deploy.sam_project import SamProject
from tests.support.ministack import MiniStack
from tests.template.test_upgrade import RELEASES

CHOSEN = {"ReconcileInterval": "0", "LogRetentionDays": "7", "MaxChangesPercent": "40", "DryRun": "true"}
"""What the owner has chosen when the stack was made, and does not repeat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the owner sees of the stack."""

    physical_ids: dict[str, str]
    parameters: dict[str, str]
    token: str
    reports: int


@pytest.fixture(scope="module")
def old_stack(aws: MiniStack, project: SamProject, upstreams: Upstreams) -> Stack:
    code = ("CodeUri: src/", "CodeUri: ReconcilerFunction")
    release = project.built_with("release", code, *_from_the_build_folder(), template=RELEASES[0])
    project.deploy("long-lived", {**upstreams.parameters(), **CHOSEN}, template=release)
    stack = Stack("long-lived", aws)
    stack.put_token(upstreams.irm.admin.token)
    report = stack.run({})
    assert report.get("status") == "success", f"without memory a run fails: {report}"
    return stack


def _from_the_build_folder() -> tuple[tuple[str, str], ...]:
    return tuple((f"Url: {file}\n", f"Url: ../../{file}\n") for file in ("LICENSE", "README.md"))


@pytest.fixture(scope="module")
def before(old_stack: Stack) -> Seen:
    return _seen(old_stack)


@pytest.fixture(scope="module")
def upgraded(project: SamProject, upstreams: Upstreams, old_stack: Stack, before: Seen) -> Stack:
    assert before.reports == 1
    project.deploy("long-lived", upstreams.parameters())
    return old_stack


def _seen(stack: Stack) -> Seen:
    secret = {"SecretId": stack.output("GrafanaTokenSecretArn")}
    return Seen(
        physical_ids=stack.physical_ids(),
        parameters={each["ParameterKey"]: each["ParameterValue"] for each in stack.describe()["Parameters"]},
        token=stack.aws.client("secretsmanager").get_secret_value(**secret)["SecretString"],
        reports=len(stack.reports("invoke")),
    )


def test_every_resource_of_the_old_stack_is_the_same_one_afterwards(upgraded: Stack, before: Seen) -> None:
    after = _seen(upgraded)

    assert {name: after.physical_ids.get(name) for name in before.physical_ids} == before.physical_ids
    assert {"StateTable", "TriggerPolicy"} <= after.physical_ids.keys() - before.physical_ids.keys()


def test_parameters_that_nobody_gave_again_keep_their_values(upgraded: Stack, before: Seen) -> None:
    after = _seen(upgraded)

    assert {name: after.parameters[name] for name in before.parameters} == before.parameters
    assert {name: after.parameters[name] for name in CHOSEN} == CHOSEN
    assert (after.parameters["Memory"], after.parameters["GoneAction"]) == ("true", "resolve")


def test_token_and_log_are_still_there(upgraded: Stack, before: Seen) -> None:
    after = _seen(upgraded)

    assert (after.token, after.reports >= before.reports) == (before.token, True)


def test_upgraded_stack_runs_and_remembers(upgraded: Stack) -> None:
    report = upgraded.run({})

    assert report.get("status") == "success", report
    assert [item["run_id"]["S"] for item in upgraded.items("job")] == [report["run_id"]]
