"""The one comparator: error against float64, measured in units of what rounding at that precision costs.

A subject passes where its error <= k x yardstick + two ULPs, in relative Frobenius norm and in the worst element
relative to the peak. The yardstick is the oracle's own error at the emulated precision, RMS over draws of nearby
inputs: the error of one draw can be near zero by luck, the pooled one cannot.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from bench.subject import Subject, load
from bench.tolerances import Tolerance, tolerance
from impl.oracle.precision import PRECISIONS, precision

Arrays = Mapping[str, np.ndarray]
Ask = Callable[[Subject, Arrays, str], Arrays]  # puts one question to a subject at a policy

DRAWS = 8
JITTER = 2.0**-6  # of each input in a draw: enough to redraw every bfloat16 rounding, too little to change the problem
# Where rounding happens to cost nothing, a kernel may still be this far off: torch-cuda's float32 attention over a
# single key, whose weight is 1, was 1.4 ULPs of the peak away on an H200.
FLOOR_ULPS = 2
INCONCLUSIVE = 0.25  # a limit above this relative error separates nothing; such cases are counted and shown


class Disagreement(AssertionError):
    """A subject is further from the truth than its precision explains."""


@dataclass(frozen=True)
class Error:
    """Relative to the truth's Frobenius norm, and in the worst element relative to the truth's peak."""

    frobenius: float
    worst: float

    @classmethod
    def between(cls, actual, truth) -> "Error":
        difference = np.abs(np.asarray(actual, np.float64) - truth)
        if not np.all(np.isfinite(difference)):
            return cls(np.inf, np.inf)
        norm, peak = np.linalg.norm(truth), np.max(np.abs(truth), initial=0)
        return cls(_ratio(np.linalg.norm(difference), norm), _ratio(np.max(difference, initial=0), peak))

    @classmethod
    def pooled(cls, errors: list["Error"]) -> "Error":
        squares = np.square([(e.frobenius, e.worst) for e in errors])
        return cls(*np.sqrt(squares.mean(axis=0)).tolist())


def _ratio(error, size) -> float:
    return float(error / size) if size else (0.0 if error == 0 else np.inf)


@dataclass(frozen=True)
class Row:
    """One comparison. `ratio`: error over yardstick, the larger of the two norms."""

    subject: str
    quantity: str
    policy: str
    part: str
    ratio: float
    verdict: str  # pass, fail, inconclusive


ROWS: list[Row] = []  # of this session, for the terminal summary and the report


def jittered(inputs: Arrays, rng: np.random.Generator) -> Arrays:
    """Every float multiplied by its own 1 + JITTER x normal; integers stay. Zeros stay zeros."""
    return {
        name: (x * (1 + JITTER * rng.standard_normal(x.shape))).astype(np.float32) if x.dtype.kind == "f" else x
        for name, x in inputs.items()
    }


def rescaled(inputs: Arrays, rng: np.random.Generator) -> Arrays:
    """Every float array multiplied by one number: for quantities that do not depend on scale but do on structure."""
    factor = np.float32(2.0 ** rng.uniform(-1, 1))
    return {name: x * factor if x.dtype.kind == "f" else x for name, x in inputs.items()}


class _Question:
    """A question with its inputs, hashable by content so that every backend shares one reference."""

    def __init__(self, ask: Ask, inputs: Arrays, redraw, key: tuple):
        self.ask, self.inputs, self.redraw = ask, inputs, redraw
        self.key = (key, tuple((name, x.shape, x.tobytes()) for name, x in inputs.items()))

    def __hash__(self):
        return hash(self.key)

    def __eq__(self, other):
        return self.key == other.key

    def draws(self):
        yield self.inputs
        for seed in range(1, DRAWS):
            yield self.redraw(self.inputs, np.random.default_rng(seed))


@lru_cache(maxsize=256)
def _truths(question: _Question) -> list[Arrays]:
    """The float64 answer to each draw, the inputs themselves first."""
    return [question.ask(load("oracle"), draw, "float64") for draw in question.draws()]


@lru_cache(maxsize=256)
def _yardstick(question: _Question, policy: str) -> dict[str, Error]:
    answers = [question.ask(load("oracle"), draw, policy) for draw in question.draws()]
    return {
        part: Error.pooled(
            [Error.between(answer[part], truth[part]) for answer, truth in zip(answers, _truths(question), strict=True)]
        )
        for part in answers[0]
    }


@np.errstate(all="ignore")  # an overflow shows as a value that is not finite, and fails as one
def agree(
    subject: Subject, quantity: str, policy: str, inputs: Arrays, ask: Ask, *, key: tuple = (), redraw=jittered
) -> None:
    """Ask `subject` and the oracle the same and compare every part of the answers.

    `key` holds whatever `ask` closes over (a recipe, attributes): with the inputs it identifies the question.
    Raises Disagreement naming quantity, part, element, sizes and the precision class that the error looks like.
    """
    question = _Question(ask, inputs, redraw, (quantity, *key))
    truth, yardstick = _truths(question)[0], _yardstick(question, policy)
    answer = ask(subject, inputs, policy)
    missing = set(truth) ^ set(answer)
    if missing:
        raise Disagreement(f"{subject.name} {quantity}: parts {sorted(missing)} are on one side only")
    failures = []
    for part in truth:
        verdict = _judge(np.asarray(answer[part]), truth[part], yardstick[part], tolerance(quantity, policy), policy)
        ROWS.append(Row(subject.name, quantity, policy, part, verdict.ratio, verdict.name))
        if verdict.name == "fail":
            failures.append(f"{subject.name} at {policy}: {quantity}[{part}] {verdict.reason}")
    if failures:
        raise Disagreement(f"{failures[0]}; looks like {_class(question, answer, policy)}; {len(failures)} parts fail")


@dataclass(frozen=True)
class Verdict:
    name: str
    ratio: float
    reason: str = ""


def _judge(answer, truth, yardstick: Error, limit: Tolerance, policy: str) -> Verdict:
    if answer.shape != truth.shape:
        return Verdict("fail", np.inf, f"has shape {answer.shape}, should have {truth.shape}")
    error = Error.between(answer, truth)
    ulps = FLOOR_ULPS * precision("float32" if limit.wide else policy).ulp
    if np.any(truth):
        allowed = Error(limit.k * yardstick.frobenius + ulps, limit.k * yardstick.worst + ulps)
    else:
        allowed = Error(0.0, 0.0)
    floor = Error(max(yardstick.frobenius, ulps), max(yardstick.worst, ulps))
    ratio = max(_ratio(error.frobenius, floor.frobenius), _ratio(error.worst, floor.worst))
    if allowed.frobenius > INCONCLUSIVE:
        return Verdict("inconclusive", ratio)
    if error.frobenius <= allowed.frobenius and error.worst <= allowed.worst:
        return Verdict("pass", ratio)
    where = np.unravel_index(np.argmax(np.abs(answer - truth)), truth.shape) if truth.shape else ()
    where = tuple(int(i) for i in where)
    return Verdict(
        "fail",
        ratio,
        f"is off by {error.frobenius:.2g} relative (allowed {allowed.frobenius:.2g}) and {error.worst:.2g} of the peak "
        f"in its worst element (allowed {allowed.worst:.2g}): element {where} is {float(answer[where]):.6g}, "
        f"should be {float(truth[where]):.6g}",
    )


def _class(question: _Question, answer: Arrays, policy: str) -> str:
    """The emulated precision whose error is nearest to the one observed, for the message of a failure."""
    truth = _truths(question)[0]

    def distance(name: str) -> float:
        yardstick = _yardstick(question, name)
        comparable = [part for part in truth if np.shape(answer[part]) == truth[part].shape]
        errors = np.array([Error.between(answer[part], truth[part]).frobenius for part in comparable])
        expected = np.array([yardstick[part].frobenius for part in comparable])
        return float(np.mean(np.abs(np.log((errors + 1e-12) / (expected + 1e-12))))) if comparable else np.inf

    nearest = min((name for name in PRECISIONS if name != "float64"), key=distance)
    return nearest if distance(nearest) < 2 else f"no precision class (nearest {nearest}): a different computation"
