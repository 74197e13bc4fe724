"""The replay server gives recorded answers, and fails a test that asks for anything else or for less."""

import http.client
import urllib.parse

import pytest

from tests.support.recordings import ReplayServer, load


def get(url: str, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=5)
    connection.request("GET", urllib.parse.urlsplit(url).path + path)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, body


def test_recorded_answer_is_replayed_below_the_prefix() -> None:
    recording = load("irm/retrieve/200")

    with ReplayServer([recording], path_prefix="/oncall") as server:
        answer = get(server.url, "/api/v1/alert_groups/I2GWAK6GHIZ9H/")

    assert answer == (200, recording.body)


def test_order_of_parameters_does_not_matter() -> None:
    with ReplayServer([load("irm/list/perpage=1_page=2")]) as server:
        status, _ = get(server.url, "/api/v1/alert_groups/?page=2&perpage=1")

    assert status == 200


def test_ignored_parameter_may_have_any_value() -> None:
    recording = load("irm/list/perpage=1")

    with ReplayServer([recording], ignored_parameters=("started_at",)) as server:
        status, _ = get(server.url, "/api/v1/alert_groups/?perpage=1&started_at=whenever")

    assert status == 200


def test_answers_to_one_question_come_in_the_order_given() -> None:
    question = load("irm/list/perpage=1")
    refused = load("irm/ratelimit/list_301").asked_as("GET", question.target)

    with ReplayServer([refused, question]) as server:
        statuses = [get(server.url, question.target)[0] for _ in range(2)]

    assert statuses == [429, 200]


def test_unexpected_request_fails_the_test() -> None:
    server = ReplayServer([])

    with pytest.raises(AssertionError, match=r"unexpected requests: \['GET /api/v1/info/'\]"), server:
        assert get(server.url, "/api/v1/info/")[0] == 501


def test_recording_never_asked_for_fails_the_test() -> None:
    with (
        pytest.raises(AssertionError, match=r"never asked for: \['irm/info/get'\]"),
        ReplayServer([load("irm/info/get")]),
    ):
        pass


def test_failure_of_the_test_itself_is_not_covered_up() -> None:
    with pytest.raises(ZeroDivisionError), ReplayServer([load("irm/info/get")]):
        _ = 1 / 0


def test_recording_with_a_cut_body_is_not_replayed() -> None:
    with pytest.raises(ValueError, match="irm/list/default_page1"):
        ReplayServer([load("irm/list/default_page1")])
