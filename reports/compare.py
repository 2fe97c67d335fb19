"""Groups of runs against a baseline: val_bpb of an equal budget, of equal tokens, and speed, each refused where it
would compare what must not be. Test with `pytest -m fast -k compare`; the statistics are those of `reports.effect`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp, log
from statistics import fmean

from reports import derived, standing
from reports.effect import ALPHA, BETTER, CANNOT_TELL, WORSE, Effect, Noise, effect
from reports.group import Group, by_seed, score
from reports.record import Record
from reports.standing import EQUAL_BUDGET, EQUAL_TOKENS, SHOWN

# One standard deviation from seed to seed: where two means are nearer, which of two single runs comes out lower is
# right in less than 76 of 100 cases. Five minutes of preset cpu on torch-cpu: 0.0034 over seeds 42 to 44, of 495 to 545
# steps; the seeds' part in reports/findings/noise.md, 0.21 % of val_bpb, is 0.0027 there. On mlx-cpu it was 0.033,
# of 89 to 114 steps.
MARGIN_BPB = 0.0025
MARGIN_SPEED = 0.015  # half of the 3 % that must be seen, as for timings
AVERAGED = 20  # steps whose training loss stands for one
FOLLOWS = 1e-3  # of the budget: schedules nearer than this are one schedule


@dataclass(frozen=True)
class Answer:
    """One question about B against A. `refused` says why there is no effect; `notes` what to know beside it."""

    question: str
    quantity: str
    effect: Effect | None
    refused: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """B against A, three questions."""

    a: Group
    b: Group
    answers: tuple[Answer, ...]


def compare(
    groups: Sequence[Group],
    margin: float = MARGIN_BPB,
    prior: Noise | None = None,
    unranked: bool = False,
) -> list[Comparison]:
    """Every group against the first. Several comparisons share ALPHA, so that any false claim is as rare as of one."""
    first, *others = groups
    alpha = ALPHA / len(others)
    return [
        Comparison(
            first,
            other,
            (
                _at_equal_budget(first, other, margin, alpha, prior, unranked),
                _at_equal_tokens(first, other, margin, alpha),
                _speed(first, other, alpha),
            ),
        )
        for other in others
    ]


def _at_equal_budget(a: Group, b: Group, margin: float, alpha: float, prior: Noise | None, unranked: bool) -> Answer:
    question, quantity = "fixed budget", "val_bpb"
    if refused := _refused(a, b, EQUAL_BUDGET):
        return Answer(question, quantity, None, refused)
    followers = [g.name for g in (a, b) if any(r.run.mode == "fixed-tokens" for r in g.scored)]
    if followers:
        return Answer(
            question, quantity, None, f"{', '.join(followers)} followed another run's progress, not the clock"
        )
    reasons = sorted({reason for g in (a, b) for r in g.scored for reason in standing.unranked(r)})
    if reasons and not unranked:
        return Answer(question, quantity, None, f"not ranked: {'; '.join(reasons)}; --unranked compares nevertheless")
    notes = [f"not ranked: {reason}" for reason in reasons]
    limited = [g.name for g in (a, b) if any(derived.memory_limited(r) for r in g.scored)]
    notes += [f"memory-limited: {', '.join(limited)}"] if limited else []
    divisions = sorted({r.identity.division for g in (a, b) for r in g.scored})
    notes += [f"divisions {' and '.join(divisions)} are ranked apart"] if len(divisions) > 1 else []
    return _answered(question, quantity, a, b, score, margin, alpha, prior, notes)


def _at_equal_tokens(a: Group, b: Group, margin: float, alpha: float) -> Answer:
    """val_bpb where every run ended, or was evaluated, after the same step; else training loss."""
    question = "fixed tokens"
    if refused := _refused(a, b, EQUAL_TOKENS):
        return Answer(question, "val_bpb", None, refused)
    runs = [*a.scored, *b.scored]
    shared = set.intersection(*(set(_scores_by_step(record)) for record in runs))
    steps = max(shared) if shared else min(len(record.run.steps) for record in runs)
    columns = [record.run.steps.progress[:steps] for record in runs]
    apart = max((max(at) - min(at) for at in zip(*columns, strict=True)), default=0.0)
    notes = []
    if apart > FOLLOWS:
        notes = [f"schedules differ by up to {apart:.0%} of the budget, so timing is in it; --replay takes it out"]
    if shared:
        name = f"val_bpb after {steps} steps"
        return _answered(question, name, a, b, lambda r: _scores_by_step(r)[steps], margin, alpha, None, notes)
    window = min(AVERAGED, steps)
    name = f"training loss in nats, steps {steps - window} to {steps - 1}"
    if not window or any(None in record.run.steps.loss[steps - window : steps] for record in runs):
        return Answer(question, name, None, "a run has no finite loss there; train longer")
    nats = margin * log(2) * _bytes_per_token(runs)
    return _answered(
        question, name, a, b, lambda r: fmean(r.run.steps.loss[steps - window : steps]), nats, alpha, None, notes
    )


def _bytes_per_token(runs: Sequence[Record]) -> float:
    """Of the scored text: a margin in bits per byte, times this and ln 2, is one in nats per token."""
    return fmean(record.result.bytes / record.result.tokens for record in runs if record.result)


def _scores_by_step(record: Record) -> dict[int, float]:
    scores = {e.step: derived.bits(e.nats, e.bytes) for e in record.run.evals if e.step}
    if record.result:
        scores[len(record.run.steps)] = score(record)
    return scores


def _speed(a: Group, b: Group, alpha: float) -> Answer:
    """Differences of the logarithm of seconds a token, run by run: what varies from run to run is in it."""
    question, quantity = "speed", "tokens/s"
    if not (a.scored and b.scored):
        return Answer(question, quantity, None, _unscored(a, b))
    differing = _differing(a, b, ("config",))
    notes = ["the config hash differs: tokens of models of different cost"] if differing else []
    return _answered(
        question,
        quantity,
        a,
        b,
        lambda r: -log(derived.tokens_per_s(r) or 1.0),
        log(1 + MARGIN_SPEED),
        alpha,
        None,
        notes,
    )


def ratio(found: Effect) -> tuple[float, float | None, float | None]:
    """B's speed over A's and its interval, from an effect on the logarithm of seconds."""
    low, high = (None if x is None else exp(-x) for x in (found.high, found.low))
    return exp(-found.difference), low, high


def _answered(question, quantity, a: Group, b: Group, value, margin, alpha, prior, notes) -> Answer:
    found = effect(by_seed(a.scored, value), by_seed(b.scored, value), margin, alpha, prior)
    more = [f"{g.name}: {n} runs of {m} seeds" for g in (a, b) if (n := len(g.scored)) > (m := _seeds(g))]
    lost = [f"{g.name} also has {', '.join(g.ended)}: its other runs are a selection" for g in (a, b) if g.ended]
    if (found.verdict, bool(b.ended)) == (BETTER, True) or (found.verdict, bool(a.ended)) == (WORSE, True):
        found = replace(found, verdict=CANNOT_TELL)
    if found.prior_dropped:
        more.append("these runs scatter more than the noise given, which is not used")
    return Answer(question, quantity, found, notes=(*notes, *more, *lost))


def _seeds(group: Group) -> int:
    return len({record.run.seed for record in group.scored})


def _refused(a: Group, b: Group, hashes: tuple[str, ...]) -> str | None:
    if not (a.scored and b.scored):
        return _unscored(a, b)
    apart = _differing(a, b, hashes)
    words = [f"{name} hash {one[:SHOWN]} is not {other[:SHOWN]}" for name, one, other in apart]
    return f"not comparable: {', '.join(words)}" if words else None


def _differing(a: Group, b: Group, hashes: tuple[str, ...]) -> list[tuple[str, str, str]]:
    one, other = a.scored[0], b.scored[0]
    names = standing.differing(one, other, hashes)
    return [(name, getattr(one.identity.hashes, name), getattr(other.identity.hashes, name)) for name in names]


def _unscored(a: Group, b: Group) -> str:
    return f"{', '.join(g.name for g in (a, b) if not g.scored)}: no run has a score"
