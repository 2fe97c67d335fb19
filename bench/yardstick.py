"""What rounding at a precision costs a question: the oracle's own error there, pooled over draws of nearby inputs.

The answers of the oracle are cached by the question's content, so that every backend shares one reference.
Test with `pytest -m meta bench/meta/test_comparator.py`.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np

from bench.error import Error
from bench.subject import Subject, load
from impl.oracle.precision import PRECISIONS

Arrays = Mapping[str, np.ndarray]
Ask = Callable[[Subject, Arrays, str], Arrays]  # puts one question to a subject at a policy
Redraw = Callable[[Arrays, np.random.Generator], Arrays]  # nearby inputs

JITTER = 2.0**-6  # of each input in a draw: enough to redraw every bfloat16 rounding, too little to change the problem


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


# An update of rank one is one number: in half of the draws float32 is off by 5e-7, in the other half, by one ULP of the
# norm that the polynomial amplifies, by 2e-5. Eight draws missed the second kind in one case of 300.
DRAWS: dict[Redraw, int] = {jittered: 8, rescaled: 32}


@dataclass(frozen=True, eq=False)
class Question:
    """What is asked, of which inputs. Equal where `key` (all that `ask` closes over) and the inputs' bytes are.

    `undecided(inputs)`: masks of the elements that hang on a sign no precision can know; they count as zero.
    """

    ask: Ask
    inputs: Arrays
    key: tuple
    redraw: Redraw = jittered
    undecided: Callable[[Arrays], Mapping[str, np.ndarray]] | None = field(default=None)

    @cached_property
    def content(self) -> tuple:
        return (self.key, tuple((name, x.shape, x.tobytes()) for name, x in self.inputs.items()))

    def __hash__(self):
        return hash(self.content)

    def __eq__(self, other):
        return self.content == other.content

    def draws(self) -> Iterator[Arrays]:
        """The inputs themselves, then nearby ones."""
        yield self.inputs
        for seed in range(1, DRAWS[self.redraw]):
            yield self.redraw(self.inputs, np.random.default_rng(seed))

    def answer(self, subject: Subject, policy: str) -> Arrays:
        """Of `subject` to the inputs themselves, with what cannot be decided set to zero."""
        return _decided(self.ask(subject, self.inputs, policy), masks(self)[0])

    def answers(self, policy: str) -> list[Arrays]:
        """Of the oracle to each draw, likewise."""
        oracle = load("oracle")
        return [_decided(self.ask(oracle, x, policy), m) for x, m in zip(self.draws(), masks(self), strict=True)]


def _decided(answer: Arrays, masks: Arrays) -> Arrays:
    return {part: np.where(masks[part], 0, x) if part in masks else np.asarray(x) for part, x in answer.items()}


@lru_cache(maxsize=256)
def masks(question: Question) -> list[Mapping[str, np.ndarray]]:
    """For each draw, part by part, True where nothing can be decided; empty where everything can."""
    return [question.undecided(draw) if question.undecided else {} for draw in question.draws()]


@lru_cache(maxsize=256)
def truths(question: Question) -> list[Arrays]:
    """The float64 answer to each draw, the inputs themselves first."""
    return question.answers("float64")


@lru_cache(maxsize=256)
def yardstick(question: Question, policy: str) -> dict[str, Error]:
    """The emulated precision's error, part by part."""
    answers = question.answers(policy)
    return {
        part: Error.pooled(
            [Error.between(answer[part], truth[part]) for answer, truth in zip(answers, truths(question), strict=True)]
        )
        for part in answers[0]
    }


def nearest_class(question: Question, answer: Arrays) -> tuple[str, float]:
    """The emulated precision whose errors are nearest to the answer's, and how far: mean |ln ratio| over the parts."""
    truth = truths(question)[0]
    comparable = [part for part in truth if np.shape(answer[part]) == truth[part].shape]
    errors = np.array([Error.between(answer[part], truth[part]).frobenius for part in comparable])

    def distance(name: str) -> float:
        expected = np.array([yardstick(question, name)[part].frobenius for part in comparable])
        return float(np.mean(np.abs(np.log((errors + 1e-12) / (expected + 1e-12))))) if comparable else np.inf

    nearest = min((name for name in PRECISIONS if name != "float64"), key=distance)
    return nearest, distance(nearest)
