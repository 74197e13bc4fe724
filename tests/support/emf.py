"""Reads a document in CloudWatch's embedded metric format as strictly as CloudWatch: what it would drop is an error.

CloudWatch says nothing about a malformed document: the metrics are just not there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NoReturn

from aws_lambda_powertools.metrics import MetricUnit

LARGEST_EVENT_BYTES = 256 * 1024
"""Of a log event by the older documents; newer ones say 1 MB."""

MOST_METRICS = 100
MOST_VALUES = 100
MOST_DIMENSIONS = 30
LONGEST_NAME = 255

_UNITS = frozenset(unit.value for unit in MetricUnit)


def read_emf(text: str) -> dict[str, Any]:
    """Return the one document in the text.

    Raises:
        ValueError: says what CloudWatch would not take.
    """
    lines = [line for line in text.splitlines() if '"_aws"' in line]
    if len(lines) != 1:
        raise ValueError(f"{len(lines)} documents instead of one")
    if len(lines[0].encode()) > LARGEST_EVENT_BYTES:
        raise ValueError("the document is larger than a log event may be")
    document = json.loads(lines[0], parse_constant=_refuse_constant, object_pairs_hook=_without_repetition)
    for fault in _faults(document):
        raise ValueError(fault)
    return dict(document)


def _faults(document: Any) -> Iterator[str]:
    aws = document["_aws"]
    if not isinstance(aws["Timestamp"], int):
        yield "the timestamp is not a whole number of milliseconds"
    if not aws["CloudWatchMetrics"]:
        yield "there is no directive"
    for directive in aws["CloudWatchMetrics"]:
        if not _is_name(directive["Namespace"]):
            yield "the namespace is not a text of 1 to 255 characters"
        yield from _dimension_faults(document, directive)
        yield from _metric_faults(document, directive)


def _dimension_faults(document: Any, directive: Any) -> Iterator[str]:
    for dimensions in directive["Dimensions"]:
        if not 1 <= len(dimensions) <= MOST_DIMENSIONS:
            yield f"{len(dimensions) or 'no'} dimensions"
        for name in dimensions:
            if not _is_name(document.get(name)):
                yield f"dimension {name} has no text as its value"


def _metric_faults(document: Any, directive: Any) -> Iterator[str]:
    names = [metric["Name"] for metric in directive["Metrics"]]
    if not 1 <= len(names) == len(set(names)) <= MOST_METRICS:
        yield f"{len(names)} metrics, {len(set(names))} names"
    for metric in directive["Metrics"]:
        if metric["Unit"] not in _UNITS:
            yield f"{metric['Name']}: unknown unit {metric['Unit']}"
        if any(metric["Name"] in dimensions for dimensions in directive["Dimensions"]):
            yield f"{metric['Name']} is a dimension as well"
        if not _are_values(document.get(metric["Name"])):
            yield f"{metric['Name']} has no number as its value"


def _are_values(value: Any) -> bool:
    values = value if isinstance(value, list) else [value]
    return 1 <= len(values) <= MOST_VALUES and all(type(each) in (int, float) for each in values)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= LONGEST_NAME


def _refuse_constant(name: str) -> NoReturn:
    message = f"{name} is not JSON"
    raise ValueError(message)


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Python's json takes the last of two equal names, others the first."""
    if len(dict(pairs)) < len(pairs):
        raise ValueError(f"a name is there twice: {sorted(name for name, _ in pairs)}")
    return dict(pairs)
