"""Two ways to one answer: what a subject says along both may differ by no more than both may be off from the truth.

Where the arithmetic is the same on both ways, a property needs no tolerance and compares bits instead.
Test with `pytest -m meta bench/meta/test_properties_fail.py`.
"""

import numpy as np

from bench.check import INCONCLUSIVE, Disagreement, allowed
from bench.error import Error
from bench.subject import Subject
from bench.tolerances import tolerance
from bench.yardstick import Arrays, Ask, Question, truths, yardstick

SIDES = 2  # each of the two answers may be as far off as the quantity's row allows


@np.errstate(all="ignore")  # an overflow shows as a value that is not finite, and fails as one
def same(
    subject: Subject, quantity: str, policy: str, inputs: Arrays, ask: Ask, other: Ask, *, key: tuple = ()
) -> list[str]:
    """Ask `subject` both and compare every part; `key` holds whatever `ask` closes over.

    Returns the parts whose limit separates nothing. Raises Disagreement naming the first part that differs.
    """
    question = Question(ask, inputs, (quantity, *key))
    truth, sticks, limit = truths(question)[0], yardstick(question, policy), tolerance(quantity, policy)
    one, two = ask(subject, inputs, policy), other(subject, inputs, policy)
    if not set(one) == set(two) == set(truth):
        raise Disagreement(f"{subject.name} {quantity}: the answers have not the same parts")
    inconclusive = []
    for part, true in truth.items():
        here, there = (np.asarray(answer[part], np.float64) for answer in (one, two))
        if not here.shape == there.shape == true.shape:
            shapes = f"{here.shape} and {there.shape}"
            raise Disagreement(f"{subject.name} {quantity}[{part}] has shapes {shapes}, should have {true.shape}")
        apart = Error.between(true + (here - there), true)
        most = allowed(sticks[part], limit, policy, true)
        if SIDES * most.frobenius > INCONCLUSIVE:
            inconclusive.append(part)
        elif apart.frobenius > SIDES * most.frobenius or apart.worst > SIDES * most.worst:
            raise Disagreement(
                f"{subject.name} at {policy}: two ways to the same {quantity}[{part}] differ by {apart.frobenius:.2g} "
                f"relative (allowed {SIDES * most.frobenius:.2g}) and {apart.worst:.2g} of the peak in the worst "
                f"element (allowed {SIDES * most.worst:.2g})"
            )
    return inconclusive
