"""The one comparator: error against float64, measured in units of what rounding at that precision costs.

A subject passes where its error <= k x yardstick + two ULPs, in relative Frobenius norm and in the worst element
relative to the peak. Every comparison is kept in ROWS, whatever its verdict.
"""

from dataclasses import dataclass

import numpy as np

from bench.diagnosis import diagnosis
from bench.error import Error, ratio
from bench.subject import Subject
from bench.tolerances import Tolerance, tolerance
from bench.yardstick import Arrays, Ask, Question, jittered, masks, truths, yardstick
from impl.oracle.precision import precision

# Where rounding happens to cost nothing, a kernel may still be this far off: torch-cuda's float32 attention over a
# single key, whose weight is 1, was 1.4 ULPs of the peak away on an H200.
FLOOR_ULPS = 2
# A limit above this relative error separates nothing but what is finite from what is not; such cases are counted.
INCONCLUSIVE = 0.25


class Disagreement(AssertionError):
    """A subject is further from the truth than its precision explains."""


@dataclass(frozen=True)
class Row:
    """One comparison. `ratio`: error over yardstick; `used`: error over what is allowed, both in the worse norm.

    `excluded`: elements that hang on a sign nobody can know, of `size`. verdict: pass, fail, inconclusive.
    """

    subject: str
    quantity: str
    policy: str
    part: str
    verdict: str
    error: Error
    ratio: float
    used: float
    excluded: int = 0
    size: int = 1
    reason: str = ""


ROWS: list[Row] = []  # of this session, for the terminal summary and the report


def agree(
    subject: Subject,
    quantity: str,
    policy: str,
    inputs: Arrays,
    ask: Ask,
    *,
    key: tuple = (),
    redraw=jittered,
    undecided=None,
) -> None:
    """Ask `subject` and the oracle the same and compare every part of the answers.

    `key` holds whatever `ask` closes over (a recipe, attributes): with the inputs it identifies the question.
    Raises Disagreement naming quantity, part, element and sizes, the precision class that the error looks like, and
    the known mistake whose answer is nearest.
    """
    question = Question(ask, inputs, (quantity, *key), redraw, undecided)
    answer, failed = compare(subject, quantity, policy, question)
    if failed:
        cause = diagnosis(question, quantity, policy, answer, [row.part for row in failed])
        more = f"; {len(failed) - 1} more parts fail" if failed[1:] else ""
        raise Disagreement(
            f"{subject.name} at {policy}: {quantity}[{failed[0].part}] {failed[0].reason}; {cause}{more}"
        )


@np.errstate(all="ignore")  # an overflow shows as a value that is not finite, and fails as one
def compare(subject: Subject, quantity: str, policy: str, question: Question) -> tuple[Arrays, list[Row]]:
    """The subject's answer and the rows of its parts that fail; every part's row goes to ROWS.

    Raises Disagreement where the answer lacks a part, or has one that the oracle does not.
    """
    truth, sticks = truths(question)[0], yardstick(question, policy)
    answer, undecided = question.answer(subject, policy), masks(question)[0]
    odd = set(truth) ^ set(answer)
    if odd:
        raise Disagreement(f"{subject.name} {quantity}: parts {sorted(odd)} are on one side only")
    limit, failed = tolerance(quantity, policy), []
    for part in truth:
        verdict, error, yardsticks, used, reason = _judge(answer[part], truth[part], sticks[part], limit, policy)
        excluded, size = int(np.sum(undecided[part])) if part in undecided else 0, truth[part].size
        row = Row(subject.name, quantity, policy, part, verdict, error, yardsticks, used, excluded, size, reason)
        ROWS.append(row)
        failed += [row] if verdict == "fail" else []
    return answer, failed


def allowed(stick: Error, limit: Tolerance, policy: str, truth) -> Error:
    """The largest error that passes; nothing but zero where the truth is zero throughout."""
    if not np.any(truth):
        return Error(0.0, 0.0, 0.0)
    ulps = FLOOR_ULPS * precision("float32" if limit.wide else policy).ulp
    return Error(*(limit.k * size + ulps for size in (stick.frobenius, stick.worst, stick.p99)))


def _judge(answer, truth, stick: Error, limit: Tolerance, policy: str) -> tuple[str, Error, float, float, str]:
    """(verdict, error, ratio, used, reason)."""
    if answer.shape != truth.shape:
        nothing = Error(np.inf, np.inf, np.inf)
        return "fail", nothing, np.inf, np.inf, f"has shape {answer.shape}, should have {truth.shape}"
    error, most = Error.between(answer, truth), allowed(stick, limit, policy, truth)
    ulps = FLOOR_ULPS * precision("float32" if limit.wide else policy).ulp
    yardsticks = max(ratio(error.frobenius, max(stick.frobenius, ulps)), ratio(error.worst, max(stick.worst, ulps)))
    used = max(ratio(error.frobenius, most.frobenius), ratio(error.worst, most.worst))
    if most.frobenius > INCONCLUSIVE and (np.all(np.isfinite(answer)) or not np.isfinite(stick.frobenius)):
        return "inconclusive", error, yardsticks, used, ""
    return ("pass" if used <= 1 else "fail"), error, yardsticks, used, _reason(answer, truth, error, most)


def _reason(answer, truth, error: Error, most: Error) -> str:
    where = np.unravel_index(np.argmax(np.abs(answer - truth)), truth.shape) if truth.shape else ()
    where = tuple(int(i) for i in where)
    return (
        f"is off by {error.frobenius:.2g} relative (allowed {most.frobenius:.2g}) and {error.worst:.2g} of the peak "
        f"in its worst element (allowed {most.worst:.2g}): element {where} is {float(answer[where]):.6g}, "
        f"should be {float(truth[where]):.6g}"
    )
