"""What follows from a record: computed when rendering, never stored, so that a corrected peak corrects history.

Test with `pytest -m fast -k reports`.
"""

from dataclasses import replace
from math import fsum, log
from statistics import fmean

from impl.spec import RECIPES, Recipe, override, preset
from reports import flags as disturbances
from reports import peaks
from reports.chips import Chip, Peak
from reports.record import Record

# Of the loss at the start. On a text of 57,000 tokens preset tiny scored worse than a unigram model from 0.28 on, with
# depth 4 from 0.21, on one of 65,000 preset cpu from 0.22; the committed runs of up to 8 passes end at 0.33 and above.
MEMORISED = 0.3


def bits_per_byte(record: Record) -> float | None:
    """The score: val_bpb = nats / (ln 2 x bytes), None for a failed run."""
    return record.result and bits(record.result.nats, record.result.bytes)


def initial_bits_per_byte(record: Record) -> float | None:
    """The same at step 0."""
    return record.result and bits(record.result.initial_nats, record.result.bytes)


def unigram_bits_per_byte(record: Record) -> float | None:
    """A unigram model's on the same bytes."""
    return record.result and bits(record.result.unigram_nats, record.result.bytes)


def tokens(record: Record) -> int:
    """Trained tokens."""
    return len(record.run.steps) * record.run.total_batch


def training_s(record: Record) -> float:
    """Seconds counted against the budget."""
    return fsum(record.run.steps.step_s[record.run.excluded_steps :])


def tokens_per_s(record: Record) -> float | None:
    """Over every step, counted or not; None before the first."""
    seconds = fsum(record.run.steps.step_s)
    return tokens(record) / seconds if seconds else None


def chip(record: Record) -> Chip | None:
    """The chip's row; None where it is unknown, and on CPU backends, for which no peak is claimed."""
    return peaks.chip(record.hardware, record.software.backend)


def peak(record: Record, precision: str | None = None) -> Peak | None:
    """The chip's peak at `precision`, by default the one that the run was observed at, else asked for."""
    seen = precision or record.run.precision_observed or record.run.policy
    return peaks.published(record.hardware, record.software.backend, seen)


def measured_peak(record: Record) -> Peak | None:
    """The best product measured on this machine, of the run's policy."""
    return peaks.measured(record.state.ceiling, record.state.probes, record.run.policy)


def mfu(record: Record) -> float | None:
    """Share of the published peak; None where peak or speed is unknown."""
    return _share(record, peak(record))


def measured_mfu(record: Record) -> float | None:
    """Share of the best product measured here."""
    return _share(record, measured_peak(record))


def _share(record: Record, of: Peak | None) -> float | None:
    speed = tokens_per_s(record)
    return speed * record.run.flop_per_token / of.flop_per_s if of and speed else None


def flags(record: Record) -> tuple[str, ...]:
    """What makes the run's samples doubtful."""
    return disturbances.flags(record.state, record.run.steps.step_s)


def joules_per_step(record: Record) -> float | None:
    """Energy of training over its steps; None where no counter was read."""
    joules = record.result and record.result.joules
    return joules / len(record.run.steps) if joules else None


def joules_per_token(record: Record) -> float | None:
    """The same over tokens."""
    joules = record.result and record.result.joules
    return joules / tokens(record) if joules else None


def joules_to(record: Record, bits_per_byte: float) -> float | None:
    """Energy until the first score at or below this one; None where none is, or no counter was read."""
    scores = [(bits(e.nats, e.bytes), e.joules) for e in record.run.evals]
    if record.result:
        scores.append((bits(record.result.nats, record.result.bytes), record.result.joules))
    return next((joules for score, joules in scores if score <= bits_per_byte), None)


def memory_limited(record: Record) -> bool:
    """Whether the training text was passed over more than once: the score then shows memory, not learning."""
    return record.run.epochs > 1


def final_loss(record: Record) -> float | None:
    """Mean nats a token of the last twentieth of the steps; None where none is finite."""
    loss = record.run.steps.loss
    last = [x for x in loss[-max(1, len(loss) // 20) :] if x is not None]
    return fmean(last) if last else None


def memorised(record: Record) -> bool:
    """Whether the text was learned by heart: read more than once, until little of its loss at the start was left."""
    start, end = (record.run.steps.loss or (None,))[0], final_loss(record)
    return memory_limited(record) and start is not None and end is not None and end < MEMORISED * start


def recipe(record: Record) -> Recipe:
    """The recipe as this checkout defines it. Raises ValueError for a name or setting it does not have."""
    identity = record.identity
    if identity.recipe not in RECIPES:
        raise ValueError(f"recipe={identity.recipe!r} is unknown; try one of {sorted(RECIPES)}")
    base = preset(identity.preset, identity.recipe) if identity.preset else RECIPES[identity.recipe]
    chosen = override(base, identity.settings)
    return replace(chosen, schedule=replace(chosen.schedule, budget_s=record.run.budget_s))


def other_hashes(record: Record, recipe: Recipe) -> tuple[str, ...]:
    """Those of the rules and sizes that are not `recipe`'s."""
    hashes = record.identity.hashes
    return tuple(which for which in ("recipe", "config") if recipe.hash(which) != getattr(hashes, which))


def bits(nats: float, bytes_: int) -> float:
    """nats over bytes, in bits per byte."""
    return nats / (log(2) * bytes_)
