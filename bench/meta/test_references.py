"""What a report is held against stays few, however many are committed, and never itself.

Run with `pytest -m fast bench/meta/test_references.py`.
"""

from itertools import pairwise

import pytest

from bench.meta.boards import run
from reports.references import MOST, References

pytestmark = [pytest.mark.fast, pytest.mark.meta]


@pytest.fixture(scope="module")
def records():
    return [run(1.4, seed=seed) for seed in range(3 * MOST)]


def test_few_of_many_are_taken_evenly(records):
    references = References((f"{i}.json", record) for i, record in enumerate(records))
    new = run(1.4, seed=900)
    for found in (references.of_hashes(new, "recipe", "config", "data"), references.of_chip(new)):
        seeds = [record.run.seed for record in found]
        assert MOST / 2 < len(seeds) <= MOST and seeds[0] == 0 and seeds[-1] > 2.8 * MOST
        assert len({b - a for a, b in pairwise(seeds)}) == 1


def test_none_is_its_own_reference(records):
    references = References((f"{i}.json", record) for i, record in enumerate(records[:3]))
    assert [record.run.seed for record in references.of_chip(records[1])] == [0, 2]
    assert references.of_column(records[1], "step_s") == []
    signed = records[1].model_copy(update={"consent": records[1].consent.model_copy(update={"contributor": "x"})})
    assert [name for name, _ in references.of_column(signed, "step_s")] == ["1.json"]
