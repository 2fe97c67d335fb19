"""Does the device wait for data? A training run whose waits for batches are timed, and the same steps without any.

    python -m bench.feeding --backend torch-cuda --preset h100

Ends with 1 where the device is idle for data for 1 % of the time or more. Test with `pytest -m meta -k feeding`.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from statistics import median

from rich.console import Console

from bench.measure import seconds
from bench.ours import READY, Ours
from bench.training.order import Order
from bench.training.score import Job, warm
from bench.verdict import Comparison, compare
from impl import backend as backends
from impl.data import progress as preparation
from impl.data.batches import batches
from impl.data.errors import DataError
from impl.data.prepare import prepare
from impl.spec import Recipe

MOST_IDLE = 0.01
LEAST_PAIRS = 16  # below it no interval is told
UNKEPT = 256  # micro-batches drawn where only the loader is timed


@dataclass(frozen=True)
class Waits:
    """Of consecutive steps: seconds in which the loop waited for its batches, and seconds in all, waits included."""

    wait_s: tuple[float, ...]
    step_s: tuple[float, ...]

    @property
    def share(self) -> float:
        """Of the time of all steps."""
        return sum(self.wait_s) / sum(self.step_s)


def watch(draw: Callable[[], list], step: Callable[[list], object], budget_s: float) -> Waits:
    """Draw and step until the steps have taken `budget_s`. `step` must wait for its own results."""
    wait_s, step_s = [], []
    while sum(step_s) < budget_s:
        drawn: list = []
        wait_s.append(seconds(lambda: drawn.extend(draw())))  # noqa: B023
        step_s.append(wait_s[-1] + seconds(lambda: step(drawn)))  # noqa: B023
    return Waits(tuple(wait_s), tuple(step_s))


def starved(waits: Waits, against_held: Comparison) -> str | None:
    """Why the device counts as waiting for data, or None.

    The waits say how long the loop stood still; only steps on batches that are already there say what the loader costs
    beside them, as it takes turns with the loop in one interpreter. Those must be slower beyond doubt.
    """
    if waits.share >= MOST_IDLE:
        return f"the loop waited for data {waits.share:.2%} of the time"
    if against_held.low >= 1 + MOST_IDLE:
        return f"steps with the loader are {against_held.ratio - 1:.2%} longer than without"
    return None


def report(console: Console, waits: Waits, against_held: Comparison, loader_s: float, recipe: Recipe) -> None:
    """Three lines of what was found, and how long a step's batches take to make."""
    step_s, tokens = median(waits.step_s), recipe.data.total_batch
    told = f"{waits.share:.3%} of {sum(waits.step_s):.1f} s, {len(waits.step_s)} steps of {step_s * 1e3:.1f} ms"
    each = f"median {median(waits.wait_s) * 1e3:.2f} ms a step, longest {max(waits.wait_s) * 1e3:.2f} ms"
    console.print(f"waited     {told}; {each}")
    spare = f"{tokens / loader_s / 1e6:.0f} M tokens/s alone, {tokens / step_s / 1e6:.2f} M tokens/s are trained on"
    console.print(f"loader     {loader_s * 1e3:.2f} ms for a step's {tokens:,} tokens: {spare}")
    console.print(f"beside it  against batches that are already on the device: {against_held}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.feeding", description="Time how long training waits for data."
    )
    parser.add_argument("--backend", metavar="NAME", help="default: the best that is here")
    parser.add_argument("--preset", metavar="NAME", help="sizes; default: this machine's")
    parser.add_argument("--data", default="sotu-v1", metavar="NAME", help="a set or a folder; default: %(default)s")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each of the two parts; default: %(default)s")
    options = parser.parse_args(arguments)
    console = Console(highlight=False, soft_wrap=True)
    try:
        job = Job.of(Order(backend=options.backend, preset=options.preset, data=options.data))
        with preparation.shown() as progress:
            prepared = prepare(options.data, job.recipe.model.vocab_size, job.recipe.data, progress=progress)
    except (backends.BackendError, DataError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    recipe, subject = job.recipe, Ours(job.backend)
    micro, data = recipe.accumulation(), recipe.data
    shape = f"{micro} x {data.device_batch} x {recipe.model.sequence_len} tokens a step"
    console.print(f"{job.backend.name}, preset {job.preset}, {job.policy}, {shape}, {max(READY, micro)} kept ready")
    trainer = subject.trainer(recipe, subject.init(recipe, 0), job.policy, compiled=True)
    warm(trainer, recipe)

    def source() -> Iterator:
        return batches(prepared, "train", data.device_batch, recipe.model.sequence_len, data)

    def step(drawn: list) -> None:
        trainer.step([(inputs, targets) for inputs, targets, _ in drawn], recipe.schedule.at(0, 0.0))

    loader_s = micro * alone(source())
    with closing(subject.prefetch(source(), micro)) as ahead:

        def draw() -> list:
            return [next(ahead) for _ in range(micro)]

        held = draw()
        step(held)
        waits = watch(draw, step, options.seconds)
        pairs = max(LEAST_PAIRS, round(options.seconds / median(waits.step_s) / 2))
        against_held = compare(lambda: step(held), lambda: step(draw()), pairs)
    report(console, waits, against_held, loader_s, recipe)
    why = starved(waits, against_held)
    console.print(f"starved: {why}" if why else f"fed: less than {MOST_IDLE:.0%} of the time goes to waiting for data")
    return 1 if why else 0


def alone(source: Iterator) -> float:
    """Seconds a micro-batch takes where nothing else runs, without the way to the device."""
    next(source)
    return seconds(lambda: [next(source) and None for _ in range(UNKEPT)]) / UNKEPT


if __name__ == "__main__":
    sys.exit(main())
