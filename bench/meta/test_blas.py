"""The comparison of two BLAS refuses to compare one with itself. `pytest -m fast -k blas`"""

import pytest

from bench.blas import confusion, table

pytestmark = [pytest.mark.fast, pytest.mark.meta]
FAST, BUNDLED = "OpenBLAS 0.3.21", "the reference BLAS bundled with mlx"


@pytest.mark.parametrize(
    ("fast", "bundled", "words"),
    [
        (FAST, BUNDLED, None),
        (BUNDLED, BUNDLED, "fast side runs the reference BLAS"),
        (FAST, FAST, "bundled side runs OpenBLAS"),
        ("Accelerate", "Accelerate", "unset LD_PRELOAD"),
    ],
)
def test_sides_are_what_they_are_called(fast, bundled, words):
    fault = confusion({"fast": fast, "bundled": bundled})
    assert fault is None if words is None else words in fault


def test_ratio_is_of_the_pairs_of_rounds():
    shown = table({"fast": FAST, "bundled": BUNDLED}, {"fast": [1.0, 2.0, 1.0], "bundled": [8.0, 20.0, 9.0]}, rows=2)
    assert "ratio          9.0 (pairs from 8.0 to 10.0)" in shown
    assert f"1,024 tokens/s  (median of 3)  {FAST}" in shown
    assert f"114 tokens/s  (median of 3)  {BUNDLED}" in shown
