"""Train one model, then score it under every profile: how much of a published gap is bookkeeping.

    python -m bench.profiles [--data sotu-v1] [--preset tiny] [--seconds 60] [--profile NAME ...]

A packed evaluation of 40 x 524288 tokens takes minutes on a CPU, whatever the length of training.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import fsum

from rich import box
from rich.console import Console
from rich.table import Table

from bench import sensors
from bench.evaluation import evaluate
from bench.measure import probe_gemm
from bench.meter import Meter
from bench.ours import Ours
from bench.profiles import PROFILES, PUBLISHED, Restated, byte_table, restate
from bench.profiles.profile import bits
from bench.subject import BitsPerByte
from bench.training.loop import Pace, Run, train
from bench.training.order import Order
from bench.training.score import Job, warm
from impl import backend as backends
from impl.data import progress as preparation
from impl.data.batches import batches
from impl.data.errors import DataError
from impl.data.evaluation import windows
from impl.data.prepare import prepare
from impl.data.prepared import Prepared
from impl.flops import flop_per_token
from impl.spec import PRESETS, Recipe
from reports import chips

ROWS = 64  # at once in an evaluation
WIDTH = 150  # of tables, which are to be pasted whole
PEAKS_OF = (("Apple M1 Max", 32), ("Apple M4 Pro", 20), ("Apple M5 Max", 40), ("NVIDIA H100 80GB HBM3", None))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.profiles", description="One model under everybody's rules.")
    parser.add_argument("--data", default="sotu-v1", help="what `python -m impl.data prepare` takes (sotu-v1)")
    parser.add_argument("--preset", default="tiny", choices=PRESETS, help="sizes (tiny)")
    parser.add_argument("--seconds", type=float, default=60.0, help="timed seconds of training (60)")
    parser.add_argument("--backend", help="the best found")
    parser.add_argument("--seed", type=int, default=42, help="of the initial parameters (42)")
    parser.add_argument("--profile", action="append", choices=PROFILES, help="only this one; repeatable")
    asked = parser.parse_args(arguments)
    console = Console(highlight=False, width=WIDTH)
    names = tuple(asked.profile or PROFILES)
    try:
        job = Job.of(
            Order(
                backend=asked.backend,
                preset=asked.preset,
                budget_s=asked.seconds,
                seed=asked.seed,
                data=asked.data,
                profiles=names,
            )
        )
        recipe, backend = job.recipe, job.backend
        with preparation.shown() as report:
            prepared = prepare(asked.data, recipe.model.vocab_size, recipe.data, progress=report)
    except (backends.BackendError, DataError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    subject = Ours(backend)
    trainer = subject.trainer(recipe, subject.init(recipe, asked.seed), job.policy, compiled=True)
    console.print(f"training preset {asked.preset} on {backend.name} for {asked.seconds:g} s")

    def nats(inputs, targets):
        return backend.numpy(trainer.nats(inputs, targets))

    def score():
        return evaluate(trainer.nats, windows(prepared, recipe.model.sequence_len), ROWS, backend.numpy)

    run, ours = trained(trainer, recipe, prepared, backend, score), score()
    if run.failure:
        print(f"error: {run.failure.message}", file=sys.stderr)
        return 1
    console.print(f"{len(run.step_s)} steps; scoring under {len(names)} profiles")
    chosen = [PROFILES[name] for name in names]
    plain = [replace(profile, table=byte_table.raw, scores_empty=False) for profile in chosen]  # its text, our bytes
    found = restate(nats, prepared, recipe, run.step_s, job.machine, [*chosen, *plain], ROWS)
    speed = flop_per_token(recipe.model) * recipe.data.total_batch * len(run.step_s) / fsum(run.step_s)
    console.print(gaps(found, ours, run.timed_s, speed, prepared.tokens("val")))
    console.print(peaks())
    console.print(published(names))
    return 0


def trained(trainer, recipe: Recipe, prepared: Prepared, backend, score: Callable[[], BitsPerByte]) -> Run:
    """A run by our rules: warmed up, every step timed, no score in between."""
    warm(trainer, recipe)
    return train(
        trainer,
        recipe,
        batches(prepared, "train", recipe.data.device_batch, recipe.model.sequence_len, recipe.data),
        pace=Pace(recipe.schedule.budget_s),
        show=lambda run: None,
        evaluate=score,
        eval_every=None,
        probe=lambda at_s: probe_gemm(backend, trainer.policy, "during"),
        meter=Meter(lambda: sensors.read(backend.name)),
    )


def gaps(found: list[Restated], ours: BitsPerByte, timed_s: float, flop_per_s: float, text: int) -> Table:
    """The same model by every rule, our own first; `text` tokens are one pass over the validation split.

    The second half of `found` are the same profiles with our byte table, which parts the gap in two.
    """
    headings = (
        "rules",
        "val_bpb",
        "to ours",
        "by text",
        "by bytes",
        "tokens",
        "passes",
        "timed s",
        "MFU's speed",
    )
    table = Table(box=box.MARKDOWN)
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "rules" else "right", no_wrap=True)
    score = bits(ours.nats, ours.bytes)
    table.add_row("ours", f"{score:.4f}", "", "", "", f"{ours.tokens:,}", "1.0", f"{timed_s:.2f}", "")
    half = len(found) // 2
    for row, plain in zip(found[:half], found[half:], strict=True):
        parts = (row.bits_per_byte / score, plain.bits_per_byte / score, row.bits_per_byte / plain.bits_per_byte)
        speed = "none" if row.flop_per_s is None else _percent(row.flop_per_s / flop_per_s)
        counts = (f"{row.score.tokens:,}", f"{row.score.tokens / text:.1f}", f"{row.timed_s:.2f}")
        table.add_row(row.profile.name, f"{row.bits_per_byte:.4f}", *map(_percent, parts), *counts, speed)
    return table


def _percent(ratio: float) -> str:
    return f"{100 * (ratio - 1):+.2f} %"


def peaks() -> Table:
    """What each program divides by, in TFLOP/s, for some chips whose results were published."""
    table = Table("chip", box=box.MARKDOWN)
    with_peaks = {name: profile.peak for name, profile in PROFILES.items() if profile.peak}
    for heading in ("ours, float32", "ours, bfloat16", *with_peaks):
        table.add_column(heading, justify="right")
    for name, cores in PEAKS_OF:
        chip = chips.find(name, cores)
        own = [chip and chip.peaks.get(precision) for precision in ("float32", "bfloat16")]
        rates = [peak and peak.flop_per_s for peak in own] + [peak(name, cores) for peak in with_peaks.values()]
        shown = name if cores is None else f"{name}, {cores} cores"
        table.add_row(shown, *("none" if rate is None else f"{rate / 1e12:.4g}" for rate in rates))
    return table


def published(names: Sequence[str]) -> Table:
    """What these programs reported, and where."""
    table = Table("rules", "chip", "data", "val_bpb", "steps", "source", "", box=box.MARKDOWN)
    for row in PUBLISHED:
        if row.profile in names:
            steps = "" if row.steps is None else f"{row.steps}"
            table.add_row(row.profile, row.chip, row.data, f"{row.val_bpb}", steps, row.source, row.note)
    return table


if __name__ == "__main__":
    sys.exit(main())
