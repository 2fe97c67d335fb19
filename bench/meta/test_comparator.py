"""The comparator at its edges: what an error is, when a case decides nothing, and what it refuses all the same.

`pytest -m meta bench/meta/test_comparator.py`
"""

import numpy as np
import pytest

from bench import check
from bench.check import Disagreement, agree, compare
from bench.error import Error
from bench.oracle import Oracle
from bench.strategies import matrix_of
from bench.subject import Subject, load
from bench.yardstick import Question, rescaled, yardstick
from impl.spec import POLAR_EXPRESS

pytestmark = pytest.mark.meta

TRUTH = np.array([[3.0, 0.0], [0.0, -4.0]])


def ask_orthogonalize(subject, inputs, policy):
    return {"": subject.orthogonalize(inputs["matrix"], POLAR_EXPRESS, policy)}


def answering(change):
    """The oracle, whose updates are changed."""

    class Changed(Oracle):
        name = "changed"

        def orthogonalize(self, x, orthogonalizer, policy):
            return change(np.asarray(super().orthogonalize(x, orthogonalizer, policy)))

    return Changed()


def judged(subject: Subject, seed: int):
    """The one row of an update of a low-rank matrix in bfloat16, whose yardstick is wider than the answer."""
    inputs = {"matrix": matrix_of((24, 40), "rank 4 + 1e-3", seed)}
    question = Question(ask_orthogonalize, inputs, ("comparator",), rescaled)
    start = len(check.ROWS)
    compare(subject, "orthogonalize", "bfloat16", question)
    return check.ROWS[start]


def test_errors_are_relative_to_norm_and_peak():
    answer = TRUTH + np.array([[0.0, 0.5], [0.0, 0.0]])
    error = Error.between(answer, TRUTH)
    assert (error.frobenius, error.worst) == (0.1, 0.125) and error.p99 < error.worst
    assert Error.between(TRUTH, TRUTH) == Error(0.0, 0.0, 0.0)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_what_is_not_finite_is_infinitely_wrong(wrong):
    assert Error.between(np.where(TRUTH == 0, wrong, TRUTH), TRUTH) == Error(np.inf, np.inf, np.inf)


def test_something_where_nothing_should_be_is_infinitely_wrong():
    assert Error.between(np.ones(2), np.zeros(2)).frobenius == np.inf
    assert Error.between(np.zeros(2), np.zeros(2)).frobenius == 0


def test_one_lucky_draw_does_not_narrow_the_yardstick():
    assert Error.pooled([Error(0.0, 0.0, 0.0), Error(2.0, 4.0, 6.0)]).frobenius == pytest.approx(2**0.5)


def test_a_case_wider_than_its_answer_decides_nothing_but_finiteness():
    """Noise lifted to full size: any finite answer may be right, NaN is not."""
    inconclusive = [seed for seed in range(8) if judged(load("oracle"), seed).verdict == "inconclusive"]
    assert inconclusive, "no case is wide"
    for seed in inconclusive:
        assert judged(answering(np.zeros_like), seed).verdict == "inconclusive"
        assert judged(answering(lambda update: update * np.nan), seed).verdict == "fail"


def test_a_wrong_shape_fails_by_name():
    inputs = {"matrix": matrix_of((24, 40), "gaussian", 0)}
    with pytest.raises(Disagreement, match=r"has shape \(40, 24\), should have \(24, 40\)"):
        agree(
            answering(np.transpose), "orthogonalize", "float32", inputs, ask_orthogonalize, key=("c",), redraw=rescaled
        )


def test_answers_share_the_yardstick_by_content():
    """Two backends that are asked the same share one reference; another input has its own."""
    one, same, other = (
        Question(ask_orthogonalize, {"matrix": matrix_of((8, 8), "gaussian", seed)}, ("k",)) for seed in (0, 0, 1)
    )
    assert one == same and one != other
    assert yardstick(one, "float32") is yardstick(same, "float32")
    assert yardstick(one, "float32") is not yardstick(other, "float32")
