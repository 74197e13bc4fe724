"""That the documentation names exactly what there is: settings, parameters, metrics, alarms, events, files."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from alert_sync import settings
from alert_sync.metrics import METRICS
from alert_sync.model import Outcome, Verdict
from alert_sync.report import Status, Trigger
from tests.support.tools import PROJECT

PAGES = sorted([*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md")])
NOTHING = "–"


@cache
def readme() -> str:
    return (PROJECT / "README.md").read_text()


@cache
def template() -> dict[str, Any]:
    """Return the template; CloudFormation's short functions (`!Ref name`) become lists such as `["!Ref", "name"]`."""
    yaml = importlib.import_module("yaml")

    class Loader(yaml.SafeLoader):  # type: ignore[misc, name-defined]  # the library has no types
        pass

    def function(loader: Any, tag: str, node: Any) -> list[Any]:
        if isinstance(node, yaml.ScalarNode):
            return [f"!{tag}", loader.construct_scalar(node)]
        children = loader.construct_sequence if isinstance(node, yaml.SequenceNode) else loader.construct_mapping
        return [f"!{tag}", children(node, deep=True)]

    Loader.add_multi_constructor("!", function)
    loaded: dict[str, Any] = yaml.load((PROJECT / "template.yaml").read_text(), Loader)
    return loaded


def table(heading: str) -> list[list[str]]:
    """Return the rows of the table whose first column has this heading, cells without backquotes."""
    lines = readme().partition(f"\n| {heading} |")[2].splitlines()[2:]
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines[: lines.index("")]]
    return [[cell.strip().strip("`") for cell in row] for row in rows]


def links(page: Path) -> Iterator[str]:
    """Return the targets of a page's links and pictures, those inside code left out."""
    prose = re.sub(r"```.*?```|`[^`]*`", "", page.read_text(), flags=re.DOTALL)
    return iter(re.findall(r"\]\(([^)\s]+)\)", prose))


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, made as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


# --- tables of the README


def test_every_setting_is_in_the_table() -> None:
    assert sorted(row[0] for row in table("variable")) == sorted(settings.VARIABLES)


def test_each_setting_names_the_parameter_that_sets_it() -> None:
    variables = template()["Resources"]["ReconcilerFunction"]["Properties"]["Environment"]["Variables"]
    parameters = {name: value[1] for name, value in variables.items() if value[0] == "!Ref"}
    token_secret = {"GRAFANA_IRM_TOKEN_SECRET": "GrafanaTokenSecretArn"}

    told = {row[0]: row[1] for row in table("variable") if row[1] != NOTHING}

    assert told == {name: parameters[name] for name in parameters.keys() & settings.VARIABLES} | token_secret


def test_every_parameter_is_in_a_table() -> None:
    told = [row[1] for row in table("variable") if row[1] != NOTHING] + [row[0] for row in table("template parameter")]

    assert sorted(told) == sorted(template()["Parameters"])


def test_each_default_is_the_template_s() -> None:
    told = {row[1]: row[2] for row in table("variable")} | {row[0]: row[1] for row in table("template parameter")}
    del told[NOTHING]
    defaults = {name: str(each.get("Default", "required")) for name, each in template()["Parameters"].items()}

    assert told == {name: default or NOTHING for name, default in defaults.items()} | {
        "GrafanaTokenSecretArn": "a secret of the stack's own"
    }


def test_every_metric_is_in_the_table_with_its_unit() -> None:
    assert {row[0]: row[1] for row in table("metric")} == {name: unit.value for name, unit in METRICS.items()}


def test_every_alarm_is_in_the_table() -> None:
    alarms = [each["Properties"] for each in template()["Resources"].values() if each["Type"].endswith("::Alarm")]

    assert sorted(row[0] for row in table("alarm")) == sorted(
        alarm["AlarmName"][1].removeprefix("${AWS::StackName}") for alarm in alarms
    )


def test_every_sample_event_is_in_the_table() -> None:
    assert sorted(row[0] for row in table("event")) == sorted(
        str(path.relative_to(PROJECT)) for path in (PROJECT / "events").iterdir()
    )


def test_every_verdict_has_a_row() -> None:
    told = {word for row in table("members in Alertmanager") for word in re.findall(r"\w+", row[1])}

    assert told == {verdict.value for verdict in Verdict}


@pytest.mark.parametrize("words", [Trigger, Status, Outcome])
def test_every_word_of_the_report_is_explained(words: type[Trigger | Status | Outcome]) -> None:
    fields = readme().partition("## Report")[2].partition("## HTTP")[0]

    assert [word for word in words if f"`{word.value}`" not in fields] == []


def test_every_page_of_decisions_is_linked() -> None:
    pages = {f"docs/decisions/{path.name}" for path in (PROJECT / "docs" / "decisions").glob("*.md")}

    assert pages <= set(links(PROJECT / "README.md"))


def test_every_message_of_the_troubleshooting_can_occur() -> None:
    messages = readme().partition("### Messages")[2].partition("## Security")[0]
    cells = "".join(re.findall(r"^\| (`.*?`) \|", messages, re.MULTILINE))
    pieces = {
        piece.strip(" :;,")
        for message in re.findall(r"`([^`]+)`", cells)
        for piece in re.split(r"…|HTTP \d+|; |: ", message)
    }

    known = texts_of_the_code() + texts_of_irm()

    assert len(pieces) > 40
    assert [piece for piece in sorted(pieces) if piece not in known] == []


def texts_of_the_code() -> str:
    """Return the code, in which a text written in several pieces is one, and what is filled in is a gap."""
    code = "".join(path.read_text() for path in sorted((PROJECT / "src").rglob("*.py")))
    return re.sub(r"\{[^{}\n]*\}", "…", re.sub(r'"\n\s*f?"', "", code))


def texts_of_irm() -> str:
    recordings = (PROJECT / "tests" / "contract" / "recordings" / "irm").rglob("*.json")
    return "".join(path.read_text() for path in recordings)


# --- every page


def test_every_link_leads_somewhere() -> None:
    broken = []
    for page in PAGES:
        for link in links(page):
            target, _, anchor = link.partition("#")
            file = (page.parent / target) if target else page
            if "://" in link:
                continue
            if not file.exists() or (anchor and anchor not in anchors(file)):
                broken.append(f"{page.relative_to(PROJECT)}: {link}")

    assert broken == []


def test_every_json_example_is_json() -> None:
    fenced = re.compile(r"^```json\n(.*?)^```", re.MULTILINE | re.DOTALL)
    examples = [text for page in PAGES for text in fenced.findall(page.read_text())]

    assert examples
    for example in examples:
        json.loads(example)


def test_every_picture_says_what_it_shows() -> None:
    for picture in (PROJECT / "docs").rglob("*.svg"):
        text = picture.read_text()
        assert "<title" in text
        assert "<desc" in text
        assert "prefers-color-scheme: dark" in text
