"""A score says what it may be held against, and every reason that keeps it out of a ranking is given.

`pytest -m fast bench/meta/test_standing.py`
"""

import pytest

from bench.meta.records import failed_record, valid_record
from impl.spec import RECIPES
from reports import standing

pytestmark = [pytest.mark.fast, pytest.mark.meta]
BUDGET_S = RECIPES["autoresearch"].schedule.budget_s


def ranked(**sections):
    """A record without any reason against it; `run` and the like replace fields."""
    return valid_record(**{**sections, "run": {"budget_s": BUDGET_S, **sections.get("run", {})}})


def test_nothing_speaks_against_a_whole_run():
    assert standing.unranked(ranked()) == ()
    assert standing.line(ranked()).endswith("ranked in division tier")
    assert standing.line(ranked(run={"epochs": 1.5})).endswith("ranked in division tier, memory-limited")


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (valid_record(), "its budget of 4 s is not 300 s"),
        (ranked(identity={"preset": "tiny"}), "preset tiny is for trying out"),
        (ranked(run={"mode": "fixed-tokens"}), "it followed another run's progress"),
        (ranked().model_copy(update={"conformance": None}), "no correctness check of these versions passed"),
        (failed_record(), "it failed"),
    ],
)
def test_every_reason_is_given(record, reason):
    assert reason in standing.unranked(record)
    assert reason in standing.line(record)


def test_an_unknown_recipe_has_a_standing():
    """Such reports are pending, and shown."""
    assert standing.unranked(ranked(identity={"recipe": "another"})) == ()


def test_hashes_that_differ_are_named():
    record = ranked()
    for name in standing.EQUAL_TOKENS:
        hashes = record.identity.hashes.model_copy(update={name: "0" * 64})
        changed = record.model_copy(update={"identity": record.identity.model_copy(update={"hashes": hashes})})
        expected = () if name == "config" else (name,)
        assert standing.differing(record, changed) == expected
        assert standing.differing(record, changed, standing.EQUAL_TOKENS) == (name,)
