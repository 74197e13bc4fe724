"""ALERT_MATCHERS in Alertmanager's syntax: how it is read, what it matches, what is said when it cannot be read."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alert_sync.matchers import matches, parse_matchers
from alert_sync.model import Matcher

EXAMPLE = 'severity=~"critical|warning", namespace!="dev"'

names = st.text(st.characters(codec="utf-8", exclude_characters='"\n\\', exclude_categories=["Cc"]), min_size=1)
values = st.text(st.characters(codec="utf-8", exclude_characters="\n"))


def equal(name: str, value: str) -> Matcher:
    return Matcher(name=name, value=value, is_regex=False, is_equal=True)


def fault_of(text: str) -> str:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_matchers(text)
    return str(caught.value)


# --- reading


@pytest.mark.parametrize(
    ("operator", "is_regex", "is_equal"),
    [("=", False, True), ("!=", False, False), ("=~", True, True), ("!~", True, False)],
)
def test_four_operators_are_understood(operator: str, is_regex: bool, is_equal: bool) -> None:  # noqa: FBT001 - a table
    (matcher,) = parse_matchers(f'severity{operator}"critical"')

    assert matcher == Matcher(name="severity", value="critical", is_regex=is_regex, is_equal=is_equal)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('a="1",b="2"', id="bare"),
        pytest.param('{a="1",b="2"}', id="braces"),
        pytest.param(' { a = "1" , b = "2" } ', id="blanks"),
        pytest.param('a="1",b="2",', id="comma at the end"),
        pytest.param('a="1",\n\tb="2"', id="two lines"),
        pytest.param('"a"="1","b"="2"', id="quoted names"),
    ],
)
def test_layout_does_not_matter(text: str) -> None:
    assert parse_matchers(text) == (equal("a", "1"), equal("b", "2"))


@pytest.mark.parametrize("text", ["", "  ", "{}", "{ }"])
def test_no_matchers_are_no_conditions(text: str) -> None:
    assert parse_matchers(text) == ()


@pytest.mark.parametrize(
    ("text", "matcher"),
    [
        pytest.param('service.name="x"', equal("service.name", "x"), id="dot in a name"),
        pytest.param('größe="XL"', equal("größe", "XL"), id="Unicode"),
        pytest.param('"a b"="x"', equal("a b", "x"), id="blank in a quoted name"),
        pytest.param('a="x,y=z"', equal("a", "x,y=z"), id="separators in a value"),
        pytest.param('a="}"', equal("a", "}"), id="brace in a value"),
        pytest.param('{a="}"}', equal("a", "}"), id="brace in a value in braces"),
        pytest.param('a=""', equal("a", ""), id="empty value"),
        pytest.param(r'a="say \"hi\""', equal("a", 'say "hi"'), id="escaped quote"),
        pytest.param(r'a="C:\\temp"', equal("a", r"C:\temp"), id="escaped backslash"),
        pytest.param(r'a="one\ntwo"', equal("a", "one\ntwo"), id="escaped newline"),
        pytest.param(r'a="\\n"', equal("a", r"\n"), id="escaped backslash before n"),
        pytest.param(r'a="web\d+"', equal("a", r"web\d+"), id="any other backslash stays"),
        pytest.param(r'a="\bweb\b\t"', equal("a", r"\bweb\b\t"), id="backslashes that JSON would read"),
    ],
)
def test_text_is_taken_as_alertmanager_takes_it(text: str, matcher: Matcher) -> None:
    assert parse_matchers(text) == (matcher,)


@given(st.lists(st.builds(equal, names, values)))
def test_what_was_written_is_read_again(written: list[Matcher]) -> None:
    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    text = ",".join(f"{quoted(matcher.name)}={quoted(matcher.value)}" for matcher in written)

    assert parse_matchers(text) == tuple(written)


@given(st.text())
def test_any_text_is_read_or_refused_with_a_sentence(text: str) -> None:
    try:
        parse_matchers(text)
    except ValueError as error:
        fault = str(error)
    else:
        fault = ""

    assert not fault or fault.startswith(("cannot read ", "the regular expression "))


# --- refusing


@pytest.mark.parametrize(
    ("text", "unread"),
    [
        pytest.param("severity=critical", "severity=critical", id="value without quotes"),
        pytest.param("severity='critical'", "severity='critical'", id="single quotes"),
        pytest.param("severity", "severity", id="name only"),
        pytest.param('="critical"', '="critical"', id="value only"),
        pytest.param('severity=="critical"', 'severity=="critical"', id="unknown operator"),
        pytest.param('a="1" b="2"', 'a="1" b="2"', id="comma forgotten"),
        pytest.param('a="1",b=2', "b=2", id="second one wrong"),
        pytest.param('a="1",,b="2"', ',b="2"', id="comma too many"),
        pytest.param('a="1', 'a="1', id="open quote"),
        pytest.param('{a="1"', '{a="1"', id="open brace"),
        pytest.param('a="1"}', 'a="1"}', id="closing brace only"),
        pytest.param('a="1\n2"', 'a="1\n2"', id="line break in a value"),
    ],
)
def test_malformed_text_is_shown_from_where_it_stops_making_sense(text: str, unread: str) -> None:
    assert fault_of(text) == f'cannot read {unread!r}; expected name="value", for example {EXAMPLE}'


@pytest.mark.parametrize("regex", ["(", "*", "[[:alpha:]]+", "a{2,1}"])
def test_regular_expression_that_means_nothing_here_is_refused(regex: str) -> None:
    assert fault_of(f'a=~"{regex}"').startswith(f"the regular expression {regex!r} is not valid: ")


def test_same_text_is_no_regular_expression_in_an_equality() -> None:
    assert parse_matchers('a="("') == (equal("a", "("),)


# --- matching


@pytest.mark.parametrize(
    ("text", "labels", "expected"),
    [
        pytest.param("", {}, True, id="no conditions"),
        pytest.param('a="1"', {"a": "1"}, True, id="equal"),
        pytest.param('a="1"', {"a": "2"}, False, id="equal to another"),
        pytest.param('a="1"', {}, False, id="equal to nothing"),
        pytest.param('a=""', {}, True, id="absent counts as empty"),
        pytest.param('a!=""', {"a": "1"}, True, id="present"),
        pytest.param('a!=""', {}, False, id="not present"),
        pytest.param('a!="1"', {"a": "2"}, True, id="unequal"),
        pytest.param('a!="1"', {"a": "1"}, False, id="not unequal"),
        pytest.param('a!="1"', {}, True, id="absent is unequal"),
        pytest.param('a=~"x|y"', {"a": "y"}, True, id="regex"),
        pytest.param('a=~"x|y"', {"a": "xy"}, False, id="regex covers the whole value"),
        pytest.param('a=~"x|y"', {"a": "y\n"}, False, id="regex covers a line break at the end too"),
        pytest.param('a=~".*"', {}, True, id="regex of everything matches an absent label"),
        pytest.param('a!~"x.*"', {"a": "y"}, True, id="negated regex"),
        pytest.param('a!~"x.*"', {"a": "xy"}, False, id="negated regex, matched"),
        pytest.param(r'a=~"\bweb\d+\b"', {"a": "web12"}, True, id="backslashes of a regex"),
        pytest.param(r'a=~"web\\d"', {"a": "web1"}, True, id="escaped backslash of a regex"),
        pytest.param('a="1",b="2"', {"a": "1", "b": "2"}, True, id="both"),
        pytest.param('a="1",b="2"', {"a": "1", "b": "3"}, False, id="one of two"),
    ],
)
def test_all_conditions_must_hold(text: str, labels: dict[str, str], expected: bool) -> None:  # noqa: FBT001 - a table
    assert matches(parse_matchers(text), labels) is expected


@given(values)
def test_equality_and_its_negation_never_agree(value: str) -> None:
    text = json.dumps("x")
    held = [matches(parse_matchers(f"a{operator}{text}"), {"a": value}) for operator in ("=", "!=", "=~", "!~")]

    assert held == [value == "x", value != "x", value == "x", value != "x"]
