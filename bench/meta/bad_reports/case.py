"""One bad report: how it is made, and what the check must say about it."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from bench.meta.records import BUDGET_S, valid_record
from impl.spec import preset
from reports.record import Record, save
from reports.schema import Steps


@dataclass(frozen=True)
class Bad:
    """`make` writes the file somewhere below a folder; `part`, `verdict` and `words` are of the finding it must get."""

    name: str
    make: Callable[[Path], Path]
    part: str
    verdict: str
    words: str


def saved(name: str, part: str, verdict: str, words: str, make: Callable[[], Record]) -> Bad:
    """A record that a schema lets pass, under the name that its content gives it."""
    return Bad(name, lambda folder: save(make(), folder), part, verdict, words)


def another(steps: int, seed: int, factor: float = 1.0, nats: float = 1.0e6, **sections) -> Record:
    """A run like the valid one, by its own clock: `steps` in the budget, losses times `factor`."""
    schedule = preset("cpu").schedule
    step_s = (BUDGET_S / steps,) * steps
    progress = tuple(min(seconds / BUDGET_S, 1.0) for seconds in accumulate((0.0, *step_s[:-1])))
    columns = Steps(
        step_s=step_s,
        loss=tuple(max(4.0, 9.0 - 5.0 * i / 32) * (factor if i else 1.0) for i in range(steps)),
        lr=tuple(schedule.lr(p) for p in progress),
        grad_norm=(0.5,) * steps,
        progress=progress,
    )
    run = {"seed": seed, "steps": columns, "evals": (), **sections.pop("run", {})}
    return valid_record(run=run, result={"nats": nats, **sections.pop("result", {})}, **sections)


# Twelve that were accepted, of 34 to 45 steps; the valid record itself, of 32, is none of them.
KNOWN = tuple(another(34 + i, 100 + i, 1 + 0.001 * (i % 5), 1.0e6 - 2e3 * i) for i in range(12))
