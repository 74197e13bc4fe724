"""A stack of release 1.0 becomes one of this template by `sam deploy`, and loses nothing.

The emulator that the other tests deploy to replaces nothing, so what AWS would replace is read from its own schemas.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support import tools
from tests.support.expand_template import Template, expand, read_template, replacing_properties

RELEASES = sorted(Path(__file__).with_name("data").glob("template-*.yaml"))


@pytest.fixture(scope="module", params=RELEASES, ids=lambda file: file.stem)
def released(request: pytest.FixtureRequest) -> Template:
    return expand(read_template(request.param, sam_python=tools.sam_python()), sam_python=tools.sam_python())


def test_there_is_a_release_to_compare_with() -> None:
    assert [file.name for file in RELEASES] == ["template-1.0.yaml"]


def test_no_resource_of_a_release_vanishes_or_becomes_something_else(released: Template, expanded: Template) -> None:
    assert lost(released, expanded) == ()


def test_no_resource_of_a_release_is_replaced(released: Template, expanded: Template) -> None:
    kinds = [resource["Type"] for resource in released["Resources"].values()]

    assert replaced(released, expanded, replacing_properties(kinds, sam_python=tools.sam_python())) == ()


def test_parameters_of_a_release_are_there_with_their_defaults_and_take_what_they_took(
    released: Template, expanded: Template
) -> None:
    assert changed_parameters(released["Parameters"], expanded["Parameters"]) == ()


def test_every_new_parameter_has_a_default(released: Template, expanded: Template) -> None:
    new = expanded["Parameters"].keys() - released["Parameters"].keys()

    assert [name for name in sorted(new) if "Default" not in expanded["Parameters"][name]] == []


def test_outputs_of_a_release_are_there(released: Template, expanded: Template) -> None:
    assert released["Outputs"].keys() <= expanded["Outputs"].keys()


# --- what is compared


def lost(before: Template, after: Template) -> tuple[str, ...]:
    """Return the resources that are not there any more, or under another condition, or of another type."""
    return tuple(name for name in before["Resources"] if _existence(before, name) != _existence(after, name))


def _existence(template: Template, name: str) -> tuple[Any, ...]:
    """Return what the resource is, when it is there, and whether it stays when it no longer is."""
    resource = template["Resources"].get(name, {})
    condition = template["Conditions"].get(resource.get("Condition"))
    return resource.get("Type"), condition, resource.get("DeletionPolicy")


def replaced(before: Template, after: Template, replacing: Mapping[str, list[str]]) -> tuple[str, ...]:
    """Return the properties that differ and whose change makes CloudFormation replace the resource."""
    return tuple(
        f"{name}.{key}"
        for name, resource in before["Resources"].items()
        for key in replacing[resource["Type"]]
        if _property(before, name, key) != _property(after, name, key)
    )


def _property(template: Template, resource: str, key: str) -> Any:
    return template["Resources"].get(resource, {}).get("Properties", {}).get(key)


def changed_parameters(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the parameters that are not there any more, default to something else, or refuse what they took."""
    return tuple(name for name, body in before.items() if name not in after or not _takes_as_much(after[name], body))


def _takes_as_much(now: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    same = all(now.get(key) == before.get(key) for key in ("Type", "Default", "AllowedPattern", "MaxLength"))
    choices = "AllowedValues" not in now or set(before.get("AllowedValues", ["any"])) <= set(now["AllowedValues"])
    lowest = now.get("MinValue", float("-inf")) <= before.get("MinValue", float("-inf"))
    return same and choices and lowest and now.get("MaxValue", float("inf")) >= before.get("MaxValue", float("inf"))


# --- the comparison bites


@pytest.mark.parametrize(
    ("resource", "change", "found"),
    [
        pytest.param("GrafanaTokenSecret", {"Properties": {"Name": "token"}}, "GrafanaTokenSecret.Name", id="named"),
        pytest.param(
            "ReconcilerLogGroup", {"Properties": {"LogGroupName": "other"}}, "ReconcilerLogGroup.LogGroupName", id="log"
        ),
        pytest.param("DeadLetterQueue", {"Properties": {"FifoQueue": True}}, "DeadLetterQueue.FifoQueue", id="queue"),
    ],
)
def test_change_that_replaces_is_found(released: Template, resource: str, change: dict[str, Any], found: str) -> None:
    kinds = [body["Type"] for body in released["Resources"].values()]
    other = {**released, "Resources": {**released["Resources"], resource: released["Resources"][resource] | change}}

    assert found in replaced(released, other, replacing_properties(kinds, sam_python=tools.sam_python()))


def test_resource_under_another_name_is_found(released: Template) -> None:
    renamed = dict(released["Resources"])
    renamed["TokenSecret"] = renamed.pop("GrafanaTokenSecret")

    assert lost(released, {**released, "Resources": renamed}) == ("GrafanaTokenSecret",)


def test_other_default_and_a_narrower_choice_are_found(released: Template) -> None:
    before = released["Parameters"]
    after = {
        **before,
        "SilencedAction": {**before["SilencedAction"], "Default": "silence"},
        "ReconcileInterval": {**before["ReconcileInterval"], "AllowedValues": [300]},
        "MaxChangesPercent": {**before["MaxChangesPercent"], "MaxValue": 90},
    }

    assert changed_parameters(before, after) == ("ReconcileInterval", "SilencedAction", "MaxChangesPercent")
