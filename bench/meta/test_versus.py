"""Backends beside each other take the same step, and the ratio is the second's speed. `pytest -m fast -k versus`"""

import pytest

from bench import versus
from impl.spec.presets import preset

pytestmark = pytest.mark.fast


def test_the_ratio_is_of_the_second_to_the_first():
    lines = versus.table({"slow": [(2.0, 10**9)] * 3, "quick": [(1.0, 2 * 10**9)] * 3}, "tiny").splitlines()
    tokens = preset("tiny").data.total_batch
    assert lines[0].split()[:3] == ["slow", f"{tokens / 2:,.0f}", "tokens/s"] and "peak 1.00 GB" in lines[0]
    assert lines[2].split()[:2] == ["ratio", "2.00"]


def test_a_step_is_the_whole_of_its_recipe():
    recipe = preset("h100")
    pairs = versus.micro_batches_of(recipe)
    assert sum(tokens.size for tokens, _ in pairs) == recipe.data.total_batch
    assert all(targets.shape == tokens.shape for tokens, targets in pairs)


@pytest.mark.parametrize("names", [["torch-cpu", "torch-cpu"], ["torch-cpu", "abacus"]])
def test_what_cannot_be_compared_is_refused(names, capsys):
    try:
        assert versus.main(names) == 2
    except SystemExit as stop:
        assert stop.code == 2
    assert names[1] in capsys.readouterr().err
