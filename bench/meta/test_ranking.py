"""What is ranked, against what, and what is not: ties, too few seeds, pending, memory-limited and failed runs.

Run with `pytest -m fast bench/meta/test_ranking.py`.
"""

from statistics import median

import pytest

from bench.meta.boards import M4_MAX, METAL, collection, run
from reports import ranking
from reports.ranking import FAILED, LIMITED, PENDING, PROVISIONAL, RANKED, UNRANKED, boards

pytestmark = [pytest.mark.fast, pytest.mark.meta]

QUICK = {"hardware": M4_MAX, "software": METAL}
OTHER = {"hardware": {"chip": "Intel(R) Xeon(R) Processor"}}


def runs(scores, first_seed=42, **sections):
    return [run(score, seed=first_seed + i, **sections) for i, score in enumerate(scores)]


def only(*records, pending=()):
    """The rows of the only board."""
    (board,) = boards(collection(*records, pending=tuple(pending)))
    return board.rows


def test_a_row_is_the_median_of_all_its_runs():
    (row,) = only(*runs([1.40, 1.41, 1.45]))
    assert (row.place, row.rank, row.runs, row.seeds, row.failed) == (RANKED, 1, 3, 3, 0)
    assert row.bits_per_byte == pytest.approx(1.41)  # not the best, not the mean
    assert row.low < 1.42 < row.high and (row.low + row.high) / 2 == pytest.approx(1.42)
    assert row.tokens_per_s == pytest.approx(32 * 4096 / 300, rel=1e-3)
    assert row.mfu is None and row.joules_per_token is None and row.joules_to_target is None  # not 0


def test_an_interval_is_students():
    assert ranking.interval([1.0]) is None and ranking.interval([]) is None
    assert ranking.interval([1.0, 2.0, 3.0]) == pytest.approx((2 - 4.303 / 3**0.5, 2 + 4.303 / 3**0.5), rel=1e-3)


def test_rows_share_a_rank_where_their_intervals_overlap():
    clear = only(
        *runs([1.300, 1.301, 1.302]), *runs([1.400, 1.401, 1.402], **OTHER), *runs([1.4, 1.401, 1.403], **QUICK)
    )
    assert [row.rank for row in clear] == [1, 2, 2]
    assert clear[0].configuration.chip.startswith("AMD")
    noisy = only(*runs([1.30, 1.35, 1.40]), *runs([1.36, 1.40, 1.44], **OTHER))
    assert [row.rank for row in noisy] == [1, 1]
    # One that scatters shares the rank of both, which differ: its own is the best that it may have.
    between = only(
        *runs([1.300, 1.301, 1.302]), *runs([1.20, 1.35, 1.55], **QUICK), *runs([1.4, 1.401, 1.402], **OTHER)
    )
    assert sorted(row.rank for row in between) == [1, 1, 2]


def test_fewer_than_three_seeds_are_listed_without_a_rank():
    rows = only(*runs([1.40, 1.41, 1.42]), *runs([1.2, 1.201], **OTHER), run(1.1, **QUICK))
    assert [(row.place, row.rank) for row in rows] == [(RANKED, 1), (PROVISIONAL, None), (PROVISIONAL, None)]
    single = next(row for row in rows if row.runs == 1)
    assert single.low is None and single.high is None and single.bits_per_byte == pytest.approx(1.1)


def test_a_seed_run_often_counts_once():
    (row,) = only(*(run(1.4 + i / 1000, seed=42, speed=1 + i / 100) for i in range(5)), run(1.5, seed=43))
    assert (row.runs, row.seeds, row.place) == (6, 2, PROVISIONAL)
    assert row.bits_per_byte == pytest.approx(median([1.402, 1.5]))


@pytest.mark.parametrize("which", ["recipe", "data", "eval"])
def test_other_rules_text_or_bytes_are_another_board(which):
    mixed = [*runs([1.4, 1.41, 1.42]), *runs([1.1, 1.11, 1.12], hashes={which: "e" * 64})]
    assert [len(board.rows) for board in boards(collection(*mixed))] == [1, 1]
    assert all(row.rank == 1 for board in boards(collection(*mixed)) for row in board.rows)


@pytest.mark.parametrize(
    "sections",
    [
        {"hashes": {"config": "e" * 64}},
        {"software": {"blas": "another"}},
        {"software": {"frameworks": {"torch": "2.14.0"}}},
        {"hardware": {"cpu_cores": 64}},
        {"run": {"precision_observed": "float32"}},
        {"run": {"precision_observed": None}},
        {"identity": {"preset": "fixed"}},
    ],
    ids=lambda sections: "-".join(name for section in sections.values() for name in section),
)
def test_other_configurations_are_another_row(sections):
    """One BLAS is fifteen times another, and 64 cores are not two: no median of both."""
    given = {**sections, "run": {**sections.get("run", {})}}
    first, second = run(1.4), run(1.1, seed=43)
    changes = {
        name: getattr(second, name).model_copy(update=values) for name, values in given.items() if name != "hashes"
    }
    if "hashes" in given:
        hashes = second.identity.hashes.model_copy(update=given["hashes"])
        changes["identity"] = second.identity.model_copy(update={"hashes": hashes})
    assert [row.runs for row in only(first, second.model_copy(update=changes))] == [1, 1]


def test_divisions_are_ranked_apart():
    records = [run(1.4, seed=42 + i, identity={"division": name}) for i, name in enumerate(("open", "tier", "fixed"))]
    assert [board.division for board in boards(collection(*records))] == ["fixed", "tier", "open"]


def test_pending_reports_stand_apart():
    better = runs([1.1, 1.11, 1.12], first_seed=50)
    rows = only(*runs([1.4, 1.41, 1.42]), pending=better)
    assert [(row.place, row.rank, row.runs) for row in rows] == [(RANKED, 1, 3), (PENDING, None, 3)]
    assert rows[0].bits_per_byte == pytest.approx(1.41)


def test_memory_limited_rows_have_ranks_of_their_own():
    limited = runs([1.1, 1.11, 1.12], **OTHER, run={"epochs": 1.3})
    rows = only(*runs([1.4, 1.41, 1.42]), *limited)
    assert [(row.place, row.rank) for row in rows] == [(RANKED, 1), (LIMITED, 1)]
    few = runs([1.0, 1.01], **QUICK, run={"epochs": 1.3})
    assert [row.rank for row in only(*few, *limited)] == [1, None]  # whatever the score of two seeds
    one_of_three = only(*runs([1.40, 1.41]), run(1.2, seed=60, run={"epochs": 1.01}))
    assert [(row.place, row.runs) for row in one_of_three] == [(LIMITED, 3)]  # no run is chosen out


def test_failed_runs_count_and_are_never_scored():
    (row,) = only(*runs([1.4, 1.41, 1.42]), run(None, seed=60))
    assert (row.place, row.runs, row.failed, row.seeds) == (RANKED, 3, 1, 3)
    (row,) = only(run(None))
    assert (row.place, row.rank, row.runs, row.failed, row.bits_per_byte) == (FAILED, None, 0, 1, None)


def test_what_has_no_place_in_a_ranking_says_why():
    rows = only(*runs([1.4, 1.41, 1.42]), *runs([1.1, 1.11, 1.12], run={"mode": "fixed-tokens"}))
    assert [(row.place, row.rank) for row in rows] == [(RANKED, 1), (UNRANKED, None)]
    assert rows[1].reasons == ("it followed another run's progress",)


def test_energy_to_a_score():
    """To the score, rounded up to a tenth, that half of the rows reached."""
    joules = {"joules": 600.0, "joules_method": "counter"}
    rows = only(*runs([1.41, 1.42, 1.43], result=joules), *runs([1.51, 1.52, 1.53], result=joules, **OTHER))
    (board,) = boards(collection(*(e.record for row in rows for e in row.entries)))
    assert board.target == pytest.approx(1.5)
    assert [row.joules_to_target for row in rows] == [600.0, None]
    assert rows[0].joules_per_token == pytest.approx(600 / (32 * 4096), rel=1e-3)


def test_mfu_is_of_todays_peak():
    (row,) = only(*runs([1.4, 1.41, 1.42], **QUICK))
    assert row.mfu_of == "fp32-ALU"
    assert row.mfu == pytest.approx(row.tokens_per_s * row.entries[0].record.run.flop_per_token / 16.16e12, rel=1e-3)


def test_every_run_is_on_one_row():
    records = [*runs([1.4, 1.41]), run(None, seed=50), *runs([1.3], hashes={"data": "e" * 64}), run(1.2, **OTHER)]
    found = boards(collection(*records, pending=(run(1.0, seed=70),)))
    assert sum(len(row.entries) for board in found for row in board.rows) == len(records) + 1


def test_nothing_to_rank():
    assert boards(collection()) == ()
