"""Was the recipe run? The first losses of a report are computed again and must lie as near as an ULP at the start lets.

    python -m bench.replay FILE                              on the best backend here that is not the report's own
    python -m bench.replay FILE --backend oracle --steps 3   NumPy, for small presets
    python -m bench.replay FILE --seed 7                     and the report must be of seed 7, as was asked for

It shows that the recipe was run, not where: whoever has the recipe can compute these losses on any machine. A seed that
a maintainer chooses afterwards (`pytest -m slow --seed 7`) shows that it was run after the question was put.
Exit status: 0 all losses in the envelope, 1 one outside or another seed, 2 the question cannot be asked.
Test with `pytest -m meta bench/meta/test_replayed.py`.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from rich.console import Console

from bench.subject import Params, Subject, load
from bench.trajectory import Course, nudged
from impl import backend as backends
from impl.data import progress as preparation
from impl.data.batches import batches
from impl.data.errors import DataError
from impl.data.prepare import prepare
from impl.data.prepared import Prepared
from impl.data.sources import SOURCES
from impl.init import init
from impl.spec import Recipe
from impl.spec.optimizer import count
from reports import derived, record
from reports.record import Record

STEPS = 8
NUDGES = 4
MOST_PARAMETERS = 3e9  # a report may claim any size
# Where a sign hangs on an ULP, runs part at once: of preset cpu in float32, mlx-cpu's report lies 6.9 spreads from
# torch-cpu's replay; of tiny, seeds 42 to 44 in both precisions, no more than 1.1.
LIMIT = 15.0
MOST = 0.12  # no two of 10 seeds of tiny and 6 of cpu lie further apart at any step (0.026 and 0.094)
# The first loss knows no such signs: torch-cpu, mlx-cpu and the oracle differ by 8e-7 of it at most, seeds of tiny by
# 1e-4. Products of bfloat16 on GPUs were not measured.
FLOOR = {"float32": 3e-6, "bfloat16": 1e-5}


class Unanswerable(ValueError):
    """The report cannot be replayed here; one line with the remedy."""


@dataclass(frozen=True)
class Step:
    """One loss of the report beside ours; `away` and `allowed` are relative."""

    step: int
    loss: float
    ours: float
    allowed: float

    @property
    def away(self) -> float:
        return abs(float(np.log(self.loss / self.ours))) if self.loss > 0 else np.inf

    @property
    def inside(self) -> bool:
        return self.away <= self.allowed


def recipe_of(report: Record) -> Recipe:
    """The report's recipe in this checkout. Raises Unanswerable where it has another or none of that name."""
    identity = report.identity
    try:
        recipe = derived.recipe(report)
        others = derived.other_hashes(report, recipe)
    except (ValueError, TypeError, ArithmeticError, RecursionError) as error:  # settings are a stranger's text
        raise Unanswerable(f"this checkout cannot rebuild the recipe: {ascii(str(error))[1:-1]}") from None
    if others:
        at = identity.commit or f"of version {identity.suite_version!a}"
        raise Unanswerable(f"hashes.{others[0]} is not this checkout's; check out {at} and ask again")
    if recipe.model.depth != report.run.depth or count(recipe.model) > MOST_PARAMETERS:
        layers = f"{recipe.model.depth} layers, of {report.run.depth} by its own account"
        raise Unanswerable(f"a model of {layers}, is not replayed; see `python -m reports check`")
    if not len(report.run.steps):
        raise Unanswerable("it holds no step; give the report of a run that trained")
    return recipe


def text_of(report: Record, asked: str | None) -> str:
    """The data set's name: what was asked for or the report's own, which may name a set but never a path."""
    named = report.identity.text
    if asked or named in SOURCES:
        return asked or str(named)
    if named is None:
        return next(iter(SOURCES))  # reports of schema 0.2 do not say; the hash decides
    raise Unanswerable(f"its text {named!a} is no set of this checkout; give the same text as --data")


def course_of(recipe: Recipe, report: Record, prepared: Prepared, steps: int) -> Course:
    """The report's first steps: its own seed's parameters, its text in order, its progress."""
    data, accumulation = recipe.data, recipe.accumulation()
    source = batches(prepared, "train", data.device_batch, recipe.model.sequence_len, data)
    progress = report.run.steps.progress[:steps]
    drawn = [[(x, y) for x, y, _ in islice(source, accumulation)] for _ in progress]
    return Course(recipe, init(recipe.model, report.run.seed), drawn, progress)


def replay(subject: Subject, course: Course, policy: str, losses: Sequence[float | None]) -> Iterator[Step]:
    """Each loss beside ours. What is allowed is a multiple of how far runs from an ULP away have come by then."""

    def trained(params: Params) -> np.ndarray:
        return subject.train(course.recipe, params, course.steps, list(course.progress), policy).losses

    ours = trained(course.params)
    near = [trained(nudged(course.recipe, course.params, policy, seed)) for seed in range(NUDGES)]
    spread = np.sqrt(np.mean(np.log(np.array(near) / ours) ** 2, axis=0))
    allowed = np.clip(LIMIT * np.maximum.accumulate(spread), FLOOR[policy], MOST)
    for step, loss in enumerate(losses[: len(ours)]):
        yield Step(step, np.nan if loss is None else loss, float(ours[step]), float(allowed[step]))


def chosen(asked: str | None, own: str) -> str:
    """The backend asked for, or the best here other than the report's own, or that. Raises BackendError for none."""
    if asked:
        return asked if asked == "oracle" else backends.resolve(asked)
    here = [name for name, state in backends.discover().items() if isinstance(state, backends.Found)]
    return next((name for name in here if name != own), None) or backends.resolve()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.replay", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="a report")
    parser.add_argument("--backend", metavar="NAME", help="a backend, or oracle")
    parser.add_argument("--seed", type=int, metavar="N", help="the seed that the report was asked to use")
    parser.add_argument("--steps", type=int, default=STEPS, metavar="K", help="the first K losses (%(default)s)")
    parser.add_argument("--data", metavar="NAME", help="a set or a folder; default: the set that the report names")
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")
    options = parser.parse_args(arguments)
    if options.steps < 1:
        parser.error(f"--steps {options.steps} must be at least 1")
    try:
        return _answered(options, Console(highlight=False, soft_wrap=True))
    except (record.ReportError, Unanswerable, DataError, backends.BackendError) as error:
        print(f"error: {error}", file=sys.stderr)
    except (MemoryError, RuntimeError) as error:
        if not backends.out_of_memory(error):
            raise
        print("error: out of memory; replay it on a machine that holds the model", file=sys.stderr)
    return 2


def _answered(options, console: Console) -> int:
    report = record.load(options.file)
    if options.seed is not None and report.run.seed != options.seed:
        return _told(
            options, console, [], f"no: it is of seed {report.run.seed}, and seed {options.seed} was asked for"
        )
    recipe = recipe_of(report)
    backend = chosen(options.backend, report.software.backend)
    name, policy, subject = text_of(report, options.data), report.run.policy, load(backend)
    if policy not in subject.policies or policy not in FLOOR:
        raise Unanswerable(f"{backend} does not compute in {policy}; name another --backend")
    with preparation.shown() as progress:
        prepared = prepare(name, recipe.model.vocab_size, recipe.data, progress=progress)
        if prepared.data_hash != report.identity.hashes.data:
            raise Unanswerable(f"hashes.data is not that of {name}; give the text that it was trained on as --data")
        course = course_of(recipe, report, prepared, options.steps)
        progress(f"{len(course.progress)} steps on {backend}, {NUDGES + 1} times", 0, 1)
        steps = list(replay(subject, course, policy, report.run.steps.loss))
        progress(f"{len(course.progress)} steps on {backend}, {NUDGES + 1} times", 1, 1)
    outside = next((step for step in steps if not step.inside), None)
    seed = f"seed {report.run.seed}{' as asked for' if options.seed is not None else ''}"
    answer = f"yes: {seed}, the first {len(steps)} losses lie in the envelope"
    if outside:
        answer = f"no: {seed}, the loss of step {outside.step} lies outside of the envelope"
    return _told(options, console, steps, answer, backend)


def _told(options, console: Console, steps: list[Step], answer: str, backend: str | None = None) -> int:
    """Print the answer; its exit status."""
    meaning = "this shows whether the recipe was run, not on which machine"
    if options.json:
        rows = [{**asdict(step), "inside": step.inside} for step in steps]
        print(json.dumps({"answer": answer, "backend": backend, "meaning": meaning, "steps": rows}, indent=1))
    else:
        for step in steps:
            line = f"step {step.step:<3} {step.loss:.6f}  here {step.ours:.6f}"
            console.print(f"{line}  {step.away:.1e} away of {step.allowed:.1e}{'' if step.inside else '  OUTSIDE'}")
        console.print(answer)
        console.print(meaning)
    return 0 if answer.startswith("yes") else 1


if __name__ == "__main__":
    sys.exit(main())
