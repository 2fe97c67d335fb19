"""A starved device is told from a fed one, whether the loop waits or the loader is in its way.

`pytest -m meta bench/meta/test_feeding.py`
"""

import itertools
import time
from math import inf

import pytest

from bench import feeding
from bench.feeding import Waits, starved, watch
from bench.verdict import paired

pytestmark = pytest.mark.meta

HELD = [1.0, 1.01, 0.99, 1.0] * 8
ALIKE = paired(HELD, HELD)


def test_waiting_is_told_from_working():
    """Whatever a sleep really takes, both are timed alike."""
    waits = watch(lambda: time.sleep(0.004) or ["a batch"], lambda drawn: time.sleep(0.004 * len(drawn)), 0.06)
    assert all(0.004 <= wait_s <= step_s - 0.004 for wait_s, step_s in zip(waits.wait_s, waits.step_s, strict=True))
    assert sum(waits.step_s) >= 0.06 > sum(waits.step_s[:-1])
    assert waits.share == sum(waits.wait_s) / sum(waits.step_s)
    assert starved(waits, ALIKE)


def test_what_is_drawn_is_what_is_stepped_on():
    drawn, stepped = itertools.count(), []
    watch(lambda: [next(drawn), next(drawn)], lambda batch: (stepped.append(batch), time.sleep(0.001)), 0.005)
    assert stepped == [[2 * i, 2 * i + 1] for i in range(len(stepped))] and stepped


@pytest.mark.parametrize(
    ("waits", "slower", "why"),
    [
        (Waits((0.0099,), (1.0,)), 1.0, None),
        (Waits((0.01,), (1.0,)), 1.0, "the loop waited for data 1.00% of the time"),
        (Waits((0.5, 0.0), (1.0, 99.0)), 1.0, None),
        (Waits((0.0,), (1.0,)), 1.03, "steps with the loader are 3.00% longer than without"),
        (Waits((0.0,), (1.0,)), 1.004, None),
    ],
)
def test_one_per_cent_is_the_limit(waits, slower, why):
    assert starved(waits, paired(HELD, [slower * held for held in HELD])) == why


def test_too_few_pairs_accuse_nobody():
    few = paired(HELD[:8], [2 * held for held in HELD[:8]])
    assert few.high == inf and starved(Waits((0.0,), (1.0,)), few) is None


@pytest.fixture
def tiny(monkeypatch, cache, folder, backend):
    monkeypatch.setenv("NANOMARK_CACHE", str(cache))
    return ["--backend", backend, "--preset", "tiny", "--data", str(folder), "--seconds", "1"]


def test_a_loader_that_is_too_slow_ends_with_1(tiny, monkeypatch, capsys):
    made = feeding.batches

    def slow(*arguments):
        for batch in made(*arguments):
            time.sleep(0.5)
            yield batch

    monkeypatch.setattr(feeding, "batches", slow)
    monkeypatch.setattr(feeding, "UNKEPT", 2)
    monkeypatch.setattr(feeding, "LEAST_PAIRS", 1)
    assert feeding.main(tiny) == 1
    out = capsys.readouterr().out
    assert "starved: the loop waited for data" in out and "kept ready" in out


@pytest.mark.parametrize("options", [["--backend", "nowhere"], ["--preset", "huge"], ["--data", "nowhere"]])
def test_what_cannot_be_had_ends_in_one_line_and_code_2(tiny, capsys, options):
    assert feeding.main([*tiny, *options]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
