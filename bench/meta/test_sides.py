"""Sides take turns, their first rounds do not count, and one that dies is noticed. `pytest -m fast -k sides`"""

from types import SimpleNamespace

import pytest

from bench import sides

pytestmark = [pytest.mark.fast, pytest.mark.meta]


def test_sides_take_turns_after_rounds_that_do_not_count():
    told = []

    def pipe(side):
        return SimpleNamespace(send=lambda asked: told.append((side, asked)), recv=lambda: len(told))

    answers = sides.turns({"a": pipe("a"), "b": pipe("b")}, "step", rounds=2, warmup=1)
    assert told == [("a", "step"), ("b", "step")] * 3
    assert answers == {"a": [3, 5], "b": [4, 6]}


def test_a_side_that_dies_is_noticed():
    with pytest.raises((EOFError, ConnectionError)), sides.opened(len, {"a": ()}) as pipes:
        sides.turns(pipes, "step", rounds=1, warmup=0)


def test_ratios_are_of_the_pairs():
    assert sides.paired([1.0, 2.0, 1.0], [8.0, 20.0, 9.0], digits=1) == "9.0 (pairs from 8.0 to 10.0)"
