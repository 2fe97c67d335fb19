"""What calibration rests on: every row has its mutants, seeds draw, and a limit of the wrong size shows.

`pytest -m meta -k margins`
"""

from dataclasses import replace
from unittest.mock import patch

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from bench import calibrate
from bench.conformance.rows import CHECKS
from bench.margins import margin, rows_of
from bench.mutants import MUTANTS
from bench.subject import load
from bench.tolerances import TABLE

pytestmark = pytest.mark.meta


@pytest.mark.parametrize("row", TABLE, ids="-".join)
def test_every_row_has_its_check_and_its_mutants(row):
    quantity, policy = row
    assert quantity in CHECKS
    assert any(mutant.sees(quantity, policy) for mutant in MUTANTS), f"no known mistake is said to show in {row}"


def test_mutants_name_rows_of_the_table():
    known = {*TABLE, *((quantity,) for quantity, _ in TABLE)}
    assert {tuple(row.split(":")) for mutant in MUTANTS for row in mutant.rows} <= known
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


def test_a_limit_of_the_wrong_size_shows():
    oracle, (mutant,) = load("oracle"), (m for m in MUTANTS if m.name == "TF32 where float32 was asked")
    tight = margin([oracle], "matmul", "float32", (mutant,))
    assert tight.above[1] > calibrate.ENOUGH and tight.below > calibrate.ENOUGH
    with patch.dict(TABLE, {("matmul", "float32"): replace(TABLE["matmul", "float32"], k=1e5)}):
        assert margin([oracle], "matmul", "float32", (mutant,)).above[1] < 1
    with patch.dict(TABLE, {("matmul", "float32"): replace(TABLE["matmul", "float32"], k=0.01)}):
        assert margin([oracle], "matmul", "float32", ()).below < 1


def drawn(profile: str, number: int) -> list[int]:
    """What a test of that profile is given under this seed."""
    seen = []

    @seed(number)
    @settings(settings.get_profile(profile))
    @given(value=st.integers(0, 2**32 - 1))
    def test(value):
        seen.append(value)

    test()
    return seen


def test_seeds_draw_different_examples():
    one, again, other = drawn("seeds", 1), drawn("seeds", 1), drawn("seeds", 2)
    assert one == again and one != other
    assert not settings.get_profile("seeds").derandomize and settings.get_profile("seeds").database is None


def test_rows_are_recorded_without_raising():
    (mutant,) = (m for m in MUTANTS if m.name == "window ignored")
    rows = rows_of(mutant.subject(), "attention", "float32")
    assert len(rows) > 6 and {row.verdict for row in rows} == {"pass", "fail"}
    assert all(row.error.p99 <= row.error.worst for row in rows)


@pytest.mark.parametrize("arguments", [["--backend", "nowhere"], ["--quantity", "nothing"]])
def test_wrong_arguments_are_answered_in_one_line(arguments, capsys):
    try:
        code = calibrate.main(arguments)
    except SystemExit as error:
        code = error.code
    message = capsys.readouterr().err.strip() or str(code)
    assert code and arguments[1] in message and "\n" not in message
