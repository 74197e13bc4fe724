"""The fingerprint of an alert must be the one that Alertmanager computes: otherwise no alert is ever found."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alert_sync.fingerprint import fingerprint

RECORDED = json.loads((Path(__file__).parent / "data" / "fingerprints_alertmanager_0.33.1.json").read_text())
"""Label sets, most with Unicode in names and values, and the fingerprints that a real Alertmanager gave them."""

label_sets = st.dictionaries(st.text(min_size=1), st.text())


@pytest.mark.parametrize("recorded", RECORDED, ids=[recorded["fingerprint"] for recorded in RECORDED])
def test_real_alertmanager_gives_the_same(recorded: dict[str, Any]) -> None:
    assert fingerprint(recorded["labels"]) == recorded["fingerprint"]


def test_no_labels_give_the_offset_of_the_hash() -> None:
    assert fingerprint({}) == "cbf29ce484222325"


def test_small_fingerprint_has_its_leading_zeros() -> None:
    recorded = [each["fingerprint"] for each in RECORDED if each["fingerprint"].startswith("00")]

    assert recorded, "the recordings should hold one"
    assert {len(each) for each in recorded} == {16}


@given(label_sets, st.randoms(use_true_random=False))
def test_order_of_labels_does_not_matter(labels: dict[str, str], random: Random) -> None:
    shuffled = list(labels.items())
    random.shuffle(shuffled)

    assert fingerprint(dict(shuffled)) == fingerprint(labels)


@given(label_sets)
def test_labels_with_an_empty_value_do_not_count(labels: dict[str, str]) -> None:
    present = {name: value for name, value in labels.items() if value}

    assert fingerprint({**labels, "an empty one": ""}) == fingerprint(present)


def test_border_between_name_and_value_counts() -> None:
    assert fingerprint({"ab": "c"}) != fingerprint({"a": "bc"})
