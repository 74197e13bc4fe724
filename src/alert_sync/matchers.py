"""Alertmanager's matcher syntax: `severity=~"critical|warning", namespace!="dev"`. Pure.

The difference to Alertmanager: values must be quoted, and regexes are Python's (Alertmanager's are RE2, which lacks
look-around and back-references; what both understand means the same).
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping

from alert_sync.model import Matcher

_QUOTED = r'"(?:[^"\\\n]|\\.)*"'
_MATCHER = re.compile(rf"\s*(?P<name>[^\s\"{{}}!=~,]+|{_QUOTED})\s*(?P<op>=~|!~|!=|=)\s*(?P<value>{_QUOTED})\s*(?:,|$)")
_EXAMPLE = 'severity=~"critical|warning", namespace!="dev"'


def parse_matchers(text: str) -> tuple[Matcher, ...]:
    """Read comma-separated matchers, braces optional.

    Raises:
        ValueError: says where the text stops making sense and shows a correct example.
    """
    body = _without_braces(text.strip())
    matchers: list[Matcher] = []
    position = 0
    while body[position:].strip():
        found = _MATCHER.match(body, position)
        if found is None:
            message = f'cannot read {body[position:].strip()!r}; expected name="value", for example {_EXAMPLE}'
            raise ValueError(message)
        matchers.append(_matcher(found["name"], found["op"], found["value"]))
        position = found.end()
    return tuple(matchers)


def matches(matchers: Iterable[Matcher], labels: Mapping[str, str]) -> bool:
    """Whether all matchers hold. A label that is absent counts as empty, as in Alertmanager."""
    return all(_holds(matcher, labels.get(matcher.name, "")) for matcher in matchers)


def _without_braces(text: str) -> str:
    return text[1:-1] if text.startswith("{") and text.endswith("}") else text


def _matcher(name: str, operator: str, value: str) -> Matcher:
    matcher = Matcher(
        name=_unquote(name), value=_unquote(value), is_regex="~" in operator, is_equal="!" not in operator
    )
    if matcher.is_regex:
        try:
            _check_regex(matcher.value)
        except (re.error, FutureWarning) as error:
            message = f"the regular expression {matcher.value!r} is not valid: {error}"
            raise ValueError(message) from error
    return matcher


def _check_regex(text: str) -> None:
    with warnings.catch_warnings():
        # Python's word about [[:alpha:]], which it takes for something else than Alertmanager does.
        warnings.simplefilter("error", FutureWarning)
        re.compile(text)


def _unquote(text: str) -> str:
    if not text.startswith('"'):
        return text
    # Any other backslash is meant as one, as in "web\d+" and "\bweb\b".
    return re.sub(r'\\(["\\n])', lambda found: "\n" if found[1] == "n" else found[1], text[1:-1])


def _holds(matcher: Matcher, value: str) -> bool:
    found = re.fullmatch(matcher.value, value) is not None if matcher.is_regex else matcher.value == value
    return found == matcher.is_equal
