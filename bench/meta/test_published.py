"""Scores of others are set apart with their reasons, and none can be taken for a report.

Run with `pytest -m fast bench/meta/test_published.py`.
"""

from dataclasses import replace

import pytest

from bench.profiles.profile import PROFILES
from reports.chips import CHIPS
from reports.collection import Entry
from reports.published import PUBLISHED, Published
from reports.ranking import Row

pytestmark = [pytest.mark.fast, pytest.mark.meta]


def test_every_row_has_a_source_and_reasons():
    assert len(set(PUBLISHED)) == len(PUBLISHED) >= 20
    for row in PUBLISHED:
        assert row.source.count("/") == 1 and "://" not in row.source and 0.5 < row.val_bpb < 2
        assert len(row.reasons) >= 3
        assert not isinstance(row, (Row, Entry))


def test_chips_are_named_as_reports_name_them():
    apple = {row.chip for row in PUBLISHED if row.chip.startswith("Apple")}
    assert apple and apple <= {name for name, _ in CHIPS}


def test_rules_are_those_that_the_profiles_compute_by():
    """Said in both places, because reports may not import what bench knows."""
    by_source = {"karpathy/autoresearch": "karpathy", "elementalcollision/autoresearch": "elementalcollision"}
    by_source["trevin-creator/autoresearch-mlx"] = "autoresearch-mlx"
    for source, name in by_source.items():
        rows = [row for row in PUBLISHED if row.source == source]
        profile = PROFILES[name]
        assert rows and {row.eval_tokens for row in rows} == {profile.eval_tokens}
        assert {row.untimed_steps for row in rows} == {profile.untimed_steps}


def test_reasons_follow_from_what_is_known():
    row = Published(chip="Apple M1", val_bpb=1.5, source="a/b")
    assert "its text is not stated" in row.reasons and "scored on a sample of unknown size" in row.reasons
    known = replace(row, data="sotu-v1", whole_split=True, untimed_steps=0, budget_s=300.0)
    assert known.reasons == ("a text and tokenizer of its own, sotu-v1", "one run, as far as is stated")
    assert "a budget of 600 s, not 300 s" in replace(known, budget_s=600.0).reasons
    assert "1 trained but untimed step" in replace(known, untimed_steps=1).reasons
    assert "11 trained but untimed steps" in replace(known, untimed_steps=11).reasons
    assert "the best that a search found, from 2.0" in replace(known, start=2.0).reasons
