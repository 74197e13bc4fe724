"""That the runner of the built function behaves as Lambda does, shown with a handler of a few lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.lambda_runtime import LambdaRuntime

TOY = """
import json, os, time

starts = 0

def handler(event, context):
    global starts
    starts += 1
    match event:
        case {"sleep": seconds}:
            time.sleep(seconds)
        case {"fail": message}:
            raise ValueError(message)
        case {"exit": code}:
            os._exit(code)
        case {"allocate": size}:
            bytes(bytearray(os.urandom(1)) * size)
        case {"print": line}:
            print(line)
    return {
        "invocations": starts,
        "event": event,
        "greeting": os.environ.get("GREETING"),
        "milliseconds_left": context.get_remaining_time_in_millis(),
        "memory_mb": context.memory_limit_in_mb,
    }
"""


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy")
    (folder / "toy.py").write_text(TOY)
    return folder


@pytest.fixture
def function(artifact: Path) -> Iterator[LambdaRuntime]:
    environment = {"GREETING": "hello"}
    with LambdaRuntime(artifact, handler="toy.handler", environment=environment, timeout_seconds=1) as running:
        yield running


def invocations(answer: dict[str, Any]) -> int:
    """Return the how-manieth invocation of its environment this was; 1 means that it was cold."""
    return int(answer["invocations"])


def test_an_event_is_answered_with_the_functions_variables_and_limits(function: LambdaRuntime) -> None:
    answer = function.invoke({"name": "é"})

    assert 0 < answer.pop("milliseconds_left") <= 1000
    assert answer == {"invocations": 1, "event": {"name": "é"}, "greeting": "hello", "memory_mb": "256"}


def test_the_second_invocation_is_warm(function: LambdaRuntime) -> None:
    function.invoke({})

    answer = function.invoke({})

    assert (invocations(answer), len(function.init_milliseconds())) == (2, 1)


def test_a_restart_makes_the_next_invocation_cold_with_the_new_variables(function: LambdaRuntime) -> None:
    function.invoke({})

    function.restart({"GREETING": "goodbye"})

    answer = function.invoke({})
    assert (invocations(answer), answer["greeting"], len(function.init_milliseconds())) == (1, "goodbye", 2)


def test_an_invocation_that_takes_too_long_is_ended(function: LambdaRuntime) -> None:
    answer = function.invoke({"sleep": 5})

    assert answer == {"errorMessage": "Task timed out after 1.00 seconds"}


def test_after_a_timeout_the_function_is_cold(function: LambdaRuntime) -> None:
    function.invoke({"sleep": 5})

    answer = function.invoke({})

    assert (invocations(answer), len(function.init_milliseconds())) == (1, 2)


def test_an_exception_is_answered_with_its_type_message_and_trace(function: LambdaRuntime) -> None:
    answer = function.invoke({"fail": "as asked"})

    assert (answer["errorType"], answer["errorMessage"]) == ("ValueError", "as asked")
    assert "raise ValueError(message)" in answer["stackTrace"][0]


def test_a_crash_is_answered_as_an_exit(function: LambdaRuntime) -> None:
    answer = function.invoke({"exit": 3})

    assert answer["errorType"] == "Runtime.ExitError"
    assert invocations(function.invoke({})) == 1


def test_a_handler_that_cannot_be_imported_is_answered_with_the_cause(artifact: Path) -> None:
    with LambdaRuntime(artifact, handler="nowhere.handler") as function:
        answer = function.invoke({})

    assert answer["errorType"] == "Runtime.ImportModuleError"
    assert "No module named 'nowhere'" in answer["errorMessage"]


def test_the_log_holds_what_the_function_wrote_and_no_more(function: LambdaRuntime) -> None:
    metrics = '{"_aws": {"CloudWatchMetrics": []}, "Runs": [1]}'
    for line in ("plain words", '{"level": "INFO"}', metrics):
        function.invoke({"print": line})

    assert function.log_lines() == ("plain words", '{"level": "INFO"}', metrics)
    assert function.log_documents() == (
        {"level": "INFO"},
        {"_aws": {"CloudWatchMetrics": []}, "Runs": [1]},
    )
    assert function.emf_documents() == ({"_aws": {"CloudWatchMetrics": []}, "Runs": [1]},)


def test_a_document_that_is_not_strict_json_is_an_error(function: LambdaRuntime) -> None:
    function.invoke({"print": '{"_aws": {}, "Runs": [NaN]}'})

    with pytest.raises(AssertionError, match=re.escape("NaN is not JSON")):
        function.emf_documents()


def test_the_start_is_measured(function: LambdaRuntime) -> None:
    function.invoke({})

    (start,) = function.init_milliseconds()
    assert start > 0


def test_the_peak_of_memory_is_that_of_the_function(function: LambdaRuntime) -> None:
    function.invoke({})
    before = function.peak_memory_bytes()

    function.invoke({"allocate": 50_000_000})

    assert 45_000_000 < function.peak_memory_bytes() - before < 150_000_000


def test_invocations_at_once_are_answered_one_after_the_other(function: LambdaRuntime) -> None:
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(function.invoke, [{}] * 4))

    assert sorted(map(invocations, answers)) == [1, 2, 3, 4]
