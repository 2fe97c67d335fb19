"""From release to release: in their order, of one configuration, and without a verdict where the runs cannot tell.

Run with `pytest -m fast bench/meta/test_change.py`.
"""

import pytest

from bench.meta.boards import M4_MAX, METAL, collection, run
from reports.change import histories
from reports.compare import ratio
from reports.effect import BETTER, CANNOT_TELL, WORSE
from reports.ranking import boards

pytestmark = [pytest.mark.fast, pytest.mark.meta]


def runs(release, scores, **given):
    given = {"hardware": M4_MAX, "software": {**METAL, "frameworks": {"mlx": release}}, **given}
    return [run(score, seed=42 + i, **given) for i, score in enumerate(scores)]


def changes(*records):
    (history,) = histories(boards(collection(*records)))
    return history


def test_releases_stand_in_their_order():
    names = ["0.9.0", "0.31.2", "0.32.0rc1", "0.32.0", "not a version"]
    history = changes(*(record for name in reversed(names) for record in runs(name, [1.4])))
    assert [row.configuration.release for row in history.rows] == ["not a version", *names[:-1]]
    assert len(history.changes) == 4 and history.of.release is None


def test_a_clear_change_is_told():
    better = changes(*runs("0.31.0", [1.40, 1.401, 1.402]), *runs("0.32.0", [1.30, 1.301, 1.302], speed=1.5)).changes[0]
    assert better.score.verdict == BETTER and better.score.difference == pytest.approx(-0.1)
    assert better.speed.verdict == BETTER and ratio(better.speed)[0] == pytest.approx(1.5, rel=0.01)
    worse = changes(*runs("0.31.0", [1.30, 1.301, 1.302], speed=1.5), *runs("0.32.0", [1.40, 1.401, 1.402])).changes[0]
    assert worse.score.verdict == worse.speed.verdict == WORSE


def test_too_few_or_too_noisy_runs_cannot_tell():
    few = changes(*runs("0.31.0", [1.4]), *runs("0.32.0", [1.3])).changes[0]
    assert few.score.verdict == CANNOT_TELL and few.score.low is None
    noisy = changes(*runs("0.31.0", [1.3, 1.4, 1.5]), *runs("0.32.0", [1.31, 1.36, 1.5])).changes[0]
    assert noisy.score.verdict == CANNOT_TELL


def test_a_score_is_not_held_against_a_memory_limited_one():
    more = runs("0.32.0", [1.2, 1.201, 1.202], run={"epochs": 1.2})
    change = changes(*runs("0.31.0", [1.40, 1.401, 1.402]), *more).changes[0]
    assert change.score is None and change.speed is not None


def test_never_from_one_board_or_configuration_to_another():
    apart = runs("0.32.0", [1.3], hashes={"eval": "e" * 64}), runs("0.32.0", [1.3], identity={"preset": "fixed"})
    for others in apart:
        assert histories(boards(collection(*runs("0.31.0", [1.4]), *others))) == ()
