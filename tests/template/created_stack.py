"""What CloudFormation would create from an expanded template: conditions decided, parameters filled in.

Knows the intrinsic functions that the template uses and no others. What only AWS can know reads as `<LogicalId>` or
`<LogicalId.Attribute>`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.support.expand_template import REGION, Template

STACK_NAME = "a-stack"
PSEUDO_PARAMETERS = {
    "AWS::StackName": STACK_NAME,
    "AWS::Region": REGION,
    "AWS::Partition": "aws",
    "AWS::AccountId": "123456789012",
    "AWS::URLSuffix": "amazonaws.com",
}

_LEFT_OUT = object()
"""What `AWS::NoValue` stands for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedStack:
    """Resources that exist, by logical id, and the stack's outputs."""

    resources: dict[str, dict[str, Any]]
    outputs: dict[str, Any]

    def of_type(self, kind: str) -> dict[str, dict[str, Any]]:
        """Return the properties of every resource of the type, by logical id."""
        return {name: body.get("Properties", {}) for name, body in self.resources.items() if body["Type"] == kind}

    def only(self, kind: str) -> dict[str, Any]:
        """Return the properties of the one resource of the type."""
        (properties,) = self.of_type(kind).values()
        return properties


def create(template: Template, parameters: Mapping[str, str]) -> CreatedStack:
    """Decide conditions and fill in values; parameters that are not given have their defaults."""
    values = _Values(template, parameters)
    resources = {name: values.of(body) for name, body in template["Resources"].items() if values.exists(body)}
    outputs = {name: values.of(body["Value"]) for name, body in template["Outputs"].items() if values.exists(body)}
    return CreatedStack(resources=resources, outputs=outputs)


def broken_rules(template: Template, parameters: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names of the template's rules that refuse these parameter values."""
    values = _Values(template, parameters)
    return tuple(name for name, rule in template["Rules"].items() if not values.keeps(rule))


def refused_values(template: Template, values: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names of the parameters that refuse the value given."""
    return tuple(name for name, value in values.items() if not _accepts(template["Parameters"][name], value))


def _accepts(parameter: Mapping[str, Any], value: str) -> bool:
    allowed = [str(option) for option in parameter.get("AllowedValues", [value])]
    matches = re.fullmatch(parameter.get("AllowedPattern", ".*"), value) is not None
    short = len(value) <= int(parameter.get("MaxLength", len(value)))
    return value in allowed and matches and short and _within_range(parameter, value)


def _within_range(parameter: Mapping[str, Any], value: str) -> bool:
    if parameter["Type"] != "Number":
        return True
    lowest, highest = float(parameter.get("MinValue", "-inf")), float(parameter.get("MaxValue", "inf"))
    return lowest <= float(value) <= highest


class _Values:
    def __init__(self, template: Template, parameters: Mapping[str, str]) -> None:
        self._template = template
        defaults = {name: str(body["Default"]) for name, body in template["Parameters"].items() if "Default" in body}
        self._parameters = {**PSEUDO_PARAMETERS, **defaults, **parameters}
        self._functions: dict[str, Callable[[Any], Any]] = {
            "Ref": self._ref,
            "Condition": self._condition,
            "Fn::GetAtt": lambda path: f"<{'.'.join(path)}>",
            "Fn::Sub": self._sub,
            "Fn::If": lambda branches: self.of(branches[1 if self._condition(branches[0]) else 2]),
            "Fn::Equals": lambda sides: str(self.of(sides[0])) == str(self.of(sides[1])),
            "Fn::Not": lambda facts: not self.of(facts[0]),
            "Fn::And": lambda facts: all(self.of(fact) for fact in facts),
            "Fn::Or": lambda facts: any(self.of(fact) for fact in facts),
            "Fn::FindInMap": self._find_in_map,
            "Fn::Split": lambda arguments: self.of(arguments[1]).split(arguments[0]),
            "Fn::Select": lambda arguments: self.of(arguments[1])[int(arguments[0])],
        }

    def of(self, value: Any) -> Any:
        """Return the value with every intrinsic function replaced by its result."""
        if isinstance(value, list):
            return [found for found in map(self.of, value) if found is not _LEFT_OUT]
        if not isinstance(value, dict):
            return value
        if len(value) == 1 and (function := self._functions.get(next(iter(value)))):
            return function(next(iter(value.values())))
        resolved = {key: self.of(content) for key, content in value.items()}
        return {key: content for key, content in resolved.items() if content is not _LEFT_OUT}

    def exists(self, body: Mapping[str, Any]) -> bool:
        return "Condition" not in body or self._condition(body["Condition"])

    def keeps(self, rule: Mapping[str, Any]) -> bool:
        applies = self.of(rule.get("RuleCondition", True))
        return not applies or all(self.of(assertion["Assert"]) for assertion in rule["Assertions"])

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return _LEFT_OUT
        return self._parameters.get(name, f"<{name}>") if name not in self._template["Resources"] else f"<{name}>"

    def _condition(self, name: str) -> bool:
        return bool(self.of(self._template["Conditions"][name]))

    def _sub(self, arguments: str | list[Any]) -> str:
        text, extra = (arguments, {}) if isinstance(arguments, str) else arguments
        known = {name: self.of(value) for name, value in extra.items()}
        return re.sub(r"\$\{([^!}]+)\}", lambda found: str(known.get(found[1], self._ref(found[1]))), text)

    def _find_in_map(self, keys: Iterable[Any]) -> Any:
        found: Any = self._template["Mappings"]
        for key in keys:
            found = found[str(self.of(key))]
        return found
