"""Two ways to one answer: what a subject says along both may differ by no more than both may be off from the truth.

Where the arithmetic is the same on both ways, a property needs no tolerance and compares bits instead.
Test with `pytest -m meta bench/meta/test_properties_fail.py`.
"""

import numpy as np

from bench.check import FLOOR_ULPS, INCONCLUSIVE, ROWS, Disagreement, Row, allowed
from bench.error import Error, ratio
from bench.subject import Subject
from bench.tolerances import tolerance
from bench.yardstick import Arrays, Ask, Question, truths, yardstick
from impl.oracle.precision import precision

# Each answer may be as far off as the quantity's row allows. Over 200 seeds torch-cpu used 0.16 of this limit, mlx-cpu
# 0.44: on a CPU both ways round nearly alike.
SIDES = 2


@np.errstate(all="ignore")  # an overflow shows as a value that is not finite, and fails as one
def same(
    subject: Subject, quantity: str, policy: str, inputs: Arrays, ask: Ask, other: Ask, *, key: tuple = ()
) -> None:
    """Ask `subject` both and compare every part; `key` holds whatever `ask` closes over.

    Every part's row goes to ROWS. Raises Disagreement naming the first part that differs.
    """
    question = Question(ask, inputs, (quantity, *key))
    truth, sticks, limit = truths(question)[0], yardstick(question, policy), tolerance(quantity, policy)
    one, two = ask(subject, inputs, policy), other(subject, inputs, policy)
    if not set(one) == set(two) == set(truth):
        raise Disagreement(f"{subject.name} {quantity}: the answers have not the same parts")
    rows, floor = [], FLOOR_ULPS * precision("float32" if limit.wide else policy).ulp
    for part, true in truth.items():
        most = allowed(sticks[part], limit, policy, true)
        verdict, apart, used, reason = _judge(one[part], two[part], true, most)
        yardsticks = ratio(apart.frobenius, SIDES * max(sticks[part].frobenius, floor))
        rows.append(
            Row(subject.name, quantity, policy, part, verdict, apart, yardsticks, used, size=true.size, reason=reason)
        )
    ROWS.extend(rows)
    for row in rows:
        if row.verdict == "fail":
            raise Disagreement(f"{subject.name} at {policy}: two ways to the same {quantity}[{row.part}] {row.reason}")


def _judge(one, two, truth, most: Error) -> tuple[str, Error, float, str]:
    """(verdict, how far apart the two are, as a share of what is allowed, reason)."""
    one, two = np.asarray(one, np.float64), np.asarray(two, np.float64)
    if not one.shape == two.shape == truth.shape:
        nothing = Error(np.inf, np.inf, np.inf)
        return "fail", nothing, np.inf, f"have shapes {one.shape} and {two.shape}, should have {truth.shape}"
    apart = Error.between(truth + (one - two), truth)
    limits = SIDES * most.frobenius, SIDES * most.worst
    used = max(ratio(apart.frobenius, limits[0]), ratio(apart.worst, limits[1]))
    if limits[0] > INCONCLUSIVE:
        return "inconclusive", apart, used, ""
    reason = (
        f"differ by {apart.frobenius:.2g} relative (allowed {limits[0]:.2g}) and by {apart.worst:.2g} of the peak in "
        f"the worst element (allowed {limits[1]:.2g})"
    )
    return ("pass" if used <= 1 else "fail"), apart, used, reason
