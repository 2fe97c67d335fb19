"""Whether two runs of the same steps stay together as closely as their precision lets them, and until when.

The band is the system's own sensitivity: runs of the oracle at the subject's precision, from parameters an ULP away,
against float64. Test with `pytest -m fast bench/conformance/test_trajectory.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from bench.check import Disagreement
from bench.error import ratio
from bench.subject import Params, Subject, load
from impl.oracle.precision import precision
from impl.spec import Recipe

RUNS = 9  # of the oracle at the subject's precision: one as it is, the others from an ULP away
SMOOTHING = 2  # steps on either side that a scalar's band is pooled over: nine runs alone make a ragged band
SHARE = 0.05  # of all that is learnt: from here on runs of one recipe are no longer one run with noise
Series = Mapping[str, np.ndarray]  # one number a step, by quantity

# Bands allowed: twice the worst of torch-cpu, mlx-cpu and the oracle, each from 70 starts an ULP apart on the course of
# the fast test: 6.3, 4.7 and 3.9 in float32. The least of the mistakes seen there is 30 limits away, the next 210. In
# bfloat16, from 37 starts of torch-cpu: 10, 8.9 and 5.5; there only gross mistakes leave, 49 of 80.
LIMITS = {
    ("loss", "float32"): 13,
    ("grad_norm", "float32"): 10,
    ("parameters", "float32"): 8,
    ("loss", "bfloat16"): 20,
    ("grad_norm", "bfloat16"): 18,
    ("parameters", "bfloat16"): 11,
}


@dataclass(frozen=True, eq=False)
class Course:
    """What a run is told: recipe, parameters at its start, micro-batches and progress of every step.

    Equal where all of it is, so that every backend shares one envelope.
    """

    recipe: Recipe
    params: Params
    steps: list
    progress: tuple[float, ...]

    @property
    def content(self) -> tuple:
        arrays = [*self.params.values(), *(x for step in self.steps for micro_batch in step for x in micro_batch)]
        return (self.recipe, self.progress, *(x.tobytes() for x in arrays))

    def __hash__(self):
        return hash(self.content)

    def __eq__(self, other):
        return self.content == other.content


def nudged(recipe: Recipe, params: Params, policy: str, seed: int, ulps: int = 1) -> dict[str, np.ndarray]:
    """Every parameter `ulps` up or down, by chance, on the grid it is stored on; zeros stay zeros."""
    rng = np.random.default_rng(seed)
    return {name: _nudge(recipe, name, x, policy, ulps, rng) for name, x in params.items()}


def _nudge(recipe: Recipe, name: str, x, policy: str, ulps: int, rng):
    dtypes = recipe.dtypes.under(policy)
    embedding = name.startswith(("transformer.wte", "value_embeds"))
    p = precision(dtypes.embeddings if embedding else dtypes.masters)
    kept = p.kernel(x)
    _, exponent = np.frexp(kept)
    step = rng.choice([-ulps, ulps], x.shape)
    return np.where(kept == 0, kept, kept + step * np.ldexp(p.ulp, exponent - 1)).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Truth:
    """The float64 run: loss and gradient norm (N,), and the parameters after each step."""

    series: Series
    params: list[Params]


@lru_cache(maxsize=8)
def truth_of(course: Course) -> Truth:
    """The oracle's run in float64."""
    kept: list[Params] = []
    run = load("oracle").train(
        course.recipe, course.params, course.steps, list(course.progress), "float64", tap=kept.append
    )
    return Truth({"loss": run.losses, "grad_norm": run.grad_norms}, kept)


@np.errstate(all="ignore")  # what is not finite leaves the band
def follow(subject: Subject, course: Course, policy: str, start: Params | None = None) -> Series:
    """A subject's loss and gradient norm at each step, and each parameter's distance from the float64 run after it.

    A distance is relative to how far float64 has come from the start. `start` stands for the course's own parameters.
    """
    truth = truth_of(course)
    distances: dict[str, list[float]] = {name: [] for name in course.params}

    def tap(params: Params) -> None:
        there = truth.params[len(distances["lm_head.weight"])]
        for name, right in there.items():
            come, away = right - course.params[name], np.asarray(params[name], np.float64) - right
            distances[name].append(ratio(np.linalg.norm(away), np.linalg.norm(come)))

    params = course.params if start is None else start
    run = subject.train(course.recipe, params, course.steps, list(course.progress), policy, tap=tap)
    return {"loss": run.losses, "grad_norm": run.grad_norms} | {name: np.array(d) for name, d in distances.items()}


@dataclass(frozen=True, eq=False)
class Envelope:
    """The float64 run, and how far runs at `policy` are from it: RMS over the oracle's runs, by quantity and step."""

    policy: str
    truth: Series
    band: Series

    def ratios(self, series: Series) -> Series:
        """How many bands away each of `series` is at each step; 0 where the band itself is no number."""
        return {name: self._ratio(name, np.asarray(x, np.float64)) for name, x in series.items()}

    def _ratio(self, name: str, x):
        with np.errstate(all="ignore"):
            ratios = np.abs(x - self.truth.get(name, 0.0)) / self.band[name]
        return np.where(np.isfinite(self.band[name]), np.where(np.isfinite(x), ratios, np.inf), 0.0)

    def comparable(self) -> int:
        """Steps until runs of one recipe differ among themselves by SHARE of all that is learnt; all, if they never do.

        What comes after, only statistics over seeds can tell: `bench.equivalence`.
        """
        learnt = self.truth["loss"][0] - np.min(self.truth["loss"])
        return first(self.band["loss"] > SHARE * learnt, len(self.band["loss"]))


@lru_cache(maxsize=16)
def envelope(course: Course, policy: str) -> Envelope:
    """Runs of the oracle at `policy`, pooled. An answer in float32 is itself half an ULP off: no band is narrower."""
    oracle, truth = load("oracle"), truth_of(course).series
    starts = [course.params, *(nudged(course.recipe, course.params, policy, seed) for seed in range(1, RUNS))]
    runs = [follow(oracle, course, policy, start) for start in starts]
    half_ulp = precision("float32").ulp / 2
    band = {}
    for name in runs[0]:
        squares = np.mean([(run[name] - truth.get(name, 0.0)) ** 2 for run in runs], axis=0)
        pooled = np.sqrt(_smoothed(squares) if name in truth else squares)
        band[name] = np.maximum(pooled, half_ulp * np.abs(truth.get(name, 1.0)))
    return Envelope(policy, truth, band)


def _smoothed(x):
    """The mean over SMOOTHING steps on either side, as far as there are any."""
    window = np.ones(2 * SMOOTHING + 1)
    return np.convolve(x, window, "same") / np.convolve(np.ones_like(x), window, "same")


def first(where, otherwise: int) -> int:
    """The index of the first True."""
    return int(np.argmax(where)) if np.any(where) else otherwise


@dataclass(frozen=True)
class Onset:
    """One run held against its band. `onset`: first step outside, None if it stays; `comparable` as the envelope's.

    `worst`: the largest share of its limit that any quantity reached; 1 is the limit. `quantity`: the one that left
    first, or came nearest to leaving.
    """

    subject: str
    course: str
    policy: str
    steps: int
    comparable: int
    onset: int | None
    quantity: str
    worst: float


ONSETS: list[Onset] = []  # of this session, for the terminal summary and the report


def limit(name: str, policy: str) -> float:
    """How many bands away a quantity may be."""
    return LIMITS[name if name in ("loss", "grad_norm") else "parameters", policy]


def judge(series: Series, band: Envelope, subject: str, course: str) -> Onset:
    """Where a run from `follow` leaves `band`, if it does."""
    shares = {name: x / limit(name, band.policy) for name, x in band.ratios(series).items()}
    steps = len(band.band["loss"])
    left = {name: first(x > 1, steps) for name, x in shares.items()}
    onset = min(left.values())
    at = {name: (x if onset == steps else x[: onset + 1]).max() for name, x in shares.items()}
    worst = max(float(x.max()) for x in shares.values())
    stays = onset == steps
    return Onset(
        subject,
        course,
        band.policy,
        steps,
        band.comparable(),
        None if stays else onset,
        max(at, key=lambda name: at[name]),
        worst,
    )


def hold(subject: Subject, course: Course, policy: str, name: str) -> Onset:
    """Train `subject` along `course` and hold it to the band; `name` is the course's, for the summary.

    Raises Disagreement naming the first step outside, the quantity, both values, the band and where to look.
    """
    band = envelope(course, policy)
    return held(follow(subject, course, policy), band, subject.name, name)


def held(series: Series, band: Envelope, subject: str, name: str) -> Onset:
    """`judge`, noted in ONSETS. Raises Disagreement as `hold` does."""
    found = judge(series, band, subject, name)
    ONSETS.append(found)
    if found.onset is not None:
        raise Disagreement(_message(found, series, band))
    return found


def _message(found: Onset, series: Series, band: Envelope) -> str:
    step, quantity = found.onset or 0, found.quantity
    ratios = band.ratios(series)
    outside = [name for name, x in ratios.items() if x[step] > limit(name, band.policy)]
    value, allowed = series[quantity][step], limit(quantity, band.policy)
    if quantity in band.truth:
        says = f"{quantity} is {value:.8g}, float64 has {band.truth[quantity][step]:.8g}"
    else:
        says = f"{quantity} is {value:.3g} of its way from the start off float64's"
    return (
        f"{found.subject} at {found.policy} leaves {found.course} at step {step} of {found.steps}: {says}: "
        f"{ratios[quantity][step]:.3g} bands of {band.band[quantity][step]:.2g}, allowed {allowed:g}; "
        f"{len(outside)} of {len(ratios)} quantities outside then; {_reason(step, outside)}"
    )


def _reason(step: int, outside: list[str]) -> str:
    """Where to look, by what left the band first: a step computes loss, gradients and update, in this order."""
    if step == 0 and "loss" in outside:
        return "look at the forward pass: nothing has been learnt yet"
    if step == 0 and "grad_norm" in outside:
        return "look at the backward pass or the accumulation: the loss is right"
    kinds = sorted({name.split(".")[-2] if name.startswith("transformer.h") else name for name in outside})
    if step == 0:
        return f"look at the update: loss and gradients are right, and then {', '.join(kinds)} move differently"
    return (
        f"look at what is kept or changes between steps (moments, momentum, schedules, rounding of {', '.join(kinds)})"
    )
