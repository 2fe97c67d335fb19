"""Each check of shapes fails on a subject that is wrong only there: past a size, in one row, by stride, by history.

Run with `pytest -m meta bench/meta/test_shapes.py`.
"""

import numpy as np
import pytest

from bench.check import Disagreement
from bench.conformance import test_shapes as shapes
from bench.oracle import Oracle

pytestmark = pytest.mark.meta


class Damaged(Oracle):
    """The oracle, whose answers `damage(name, arrays, answer)` changes in place."""

    name = "damaged"

    def __init__(self, damage):
        self.damage = damage

    def op(self, name, arrays, attrs, policy):
        answer = super().op(name, arrays, attrs, policy).copy()
        self.damage(name, arrays, answer)
        return answer


def row(index: int):
    """Row `index` of the answer, where there is one, has a wrong sign."""

    def damage(name, arrays, answer):
        if answer.ndim and answer.shape[0] > index:
            answer[index] *= -1

    return damage


def many_rows(name, arrays, answer):
    """Products of more than 8 rows are wrong in one column of their ninth, as a tile's edge would be."""
    if name == "matmul" and len(answer) > 8:
        answer[8, -1] = 0


def far(name, arrays, answer):
    """Positions from 2^15 on are those of 2^15 before."""
    if name == "rope" and answer.shape[1] > shapes.EDGE:
        answer[:, shapes.EDGE :] = answer[:, : answer.shape[1] - shapes.EDGE]


def nans(name, arrays, answer):
    """One value in the last row that does not repeat."""
    answer.reshape(-1)[-1] = np.nan


def short_sum(name, arrays, answer):
    """Sums leave out the last of more than 2^15 terms."""
    x = arrays[0]
    if name == "sum" and answer.ndim == 1 and x.shape[0] > shapes.EDGE:
        answer -= x[-1]


@pytest.mark.parametrize(
    ("damage", "check"),
    [
        (many_rows, shapes.test_products_of_few_and_many_rows),
        (row(1023), shapes.test_products_of_few_and_many_rows),
        (row(shapes.EDGE), shapes.test_norms_of_many_rows),
        (row(0), shapes.test_norms_of_many_rows),
        (nans, shapes.test_norms_of_many_rows),
        (row(shapes.EDGE), shapes.test_cross_entropy_of_many_rows),
        (row(shapes.EDGE - 3), shapes.test_cross_entropy_of_many_rows),
    ],
    ids=["M > 8", "row 1023", "norm of row 2^15", "of row 0", "nan", "nats of row 2^15", "of row 2^15 - 3"],
)
def test_wrong_rows_are_found(damage, check):
    with pytest.raises(Disagreement):
        check(Damaged(damage), "float32")


@pytest.mark.parametrize(
    "check",
    [shapes.test_products_of_few_and_many_rows, shapes.test_norms_of_many_rows, shapes.test_cross_entropy_of_many_rows],
)
def test_right_rows_pass(check):
    check(Damaged(lambda *_: None), "float32")


def test_positions_that_wrap_are_found():
    with pytest.raises(Disagreement):
        shapes.test_rope_of_many_positions(Damaged(far), "bfloat16", shapes.EDGE + 1)
    shapes.test_rope_of_many_positions(Damaged(far), "bfloat16", shapes.EDGE)


def test_a_sum_that_stops_early_is_found():
    with pytest.raises(AssertionError):
        shapes.test_sums_of_integers_are_exact(Damaged(short_sum), shapes.EDGE + 1, 0)


def test_a_vocabulary_cut_short_is_found():
    class Short(Oracle):
        def _row_nats(self, x, weight, targets, softcap, p):
            return super()._row_nats(x, weight[: shapes.EDGE], np.minimum(targets, shapes.EDGE - 1), softcap, p)

    with pytest.raises(Disagreement):
        shapes.test_cross_entropy_of_a_wide_vocabulary(Short(), "float32", shapes.EDGE + 1)


def test_the_counter_that_wraps_is_found():
    """Rows past the limit are looked at, not the first ones."""

    class Wrapping(Oracle):
        def _matmul_rows(self, a, b, rows, p):
            return super()._matmul_rows(a, b, rows - rows[0], p)

    question = shapes.ask_past(shapes.BYTES)
    rng = np.random.default_rng(0)
    inputs = {name: rng.standard_normal(shape) for name, shape in {"a": (shapes.PERIOD, 2), "b": (2, 2**20)}.items()}
    right, wrapped = (question(subject, inputs, "float32")[""] for subject in (Oracle(), Wrapping()))
    assert not np.allclose(right, wrapped)
    assert np.allclose(right, question(Damaged(lambda *_: None), inputs, "float32")[""])


@pytest.mark.parametrize("how", ["transposed", "every other"])
@pytest.mark.parametrize("name", ["matmul", "rms_norm", "attention"])
def test_strides_that_are_ignored_are_found(how, name):
    class Blind(Oracle):
        def _strided(self, *arrays, op, how, p, **attrs):
            return super()._strided(*(self._misread(x, how) for x in arrays), op=op, how=how, p=p, **attrs)

        def _misread(self, x, how):
            memory = x.swapaxes(-1, -2).reshape(-1) if how == "transposed" else np.repeat(x, 2, axis=-1).reshape(-1)
            return memory[: x.size].reshape(x.shape)

    shapes.test_inputs_that_are_not_contiguous(Damaged(lambda *_: None), "bfloat16", name, how)
    with pytest.raises(Disagreement):
        shapes.test_inputs_that_are_not_contiguous(Blind(), "bfloat16", name, how)


@pytest.mark.parametrize("name", shapes.CHANGES)
def test_what_another_shape_leaves_behind_is_found(name):
    class Stale(Oracle):
        seen = None

        def op(self, name, arrays, attrs, policy):
            answer = super().op(name, arrays, attrs, policy)
            changed, self.seen = self.seen not in (None, arrays[0].shape), arrays[0].shape
            return answer * 1.5 if changed else answer

    with pytest.raises(AssertionError):
        shapes.test_a_shape_gives_the_same_after_another(Stale(), "float32", name)
    shapes.test_a_shape_gives_the_same_after_another(Oracle(), "float32", name)
