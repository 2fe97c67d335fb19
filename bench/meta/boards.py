"""Whole runs of five minutes that never were, and collections of them, for tests of what is ranked."""

from itertools import accumulate
from math import log
from pathlib import Path

from bench.meta.records import BYTES, EVAL_HASH, valid_record
from impl.spec import preset
from reports.collection import Collection, Entry
from reports.record import Record, content_hash
from reports.schema import Hashes, Steps
from reports.verdict import PENDING, Verdict, implausible

BUDGET_S = 300.0
M4_MAX = {"chip": "Apple M4 Max", "gpu_cores": 40, "memory_bytes": 64 * 2**30}
METAL = {"backend": "mlx-metal", "frameworks": {"mlx": "0.32.4"}, "blas": None}


def run(
    bits_per_byte: float | None = 1.444, seed: int = 42, steps: int = 32, speed: float = 1.0, **sections: dict
) -> Record:
    """Preset `cpu` at its whole budget, in `steps` steps, `speed` times as fast; without a score: a failed run."""
    recipe = preset("cpu")
    step_s = BUDGET_S / steps / speed * (1 + 1e-7 * (seed % 1000))  # no two seeds alike
    count = next(n for n in range(int(steps * speed) - 1, 10**6) if n * step_s >= BUDGET_S)
    progress = [seconds / BUDGET_S for seconds in accumulate([0.0] + [step_s] * (count - 1))]
    columns = Steps(
        step_s=(step_s,) * count,
        loss=tuple(9.0 - 5.0 * p for p in progress),
        lr=tuple(recipe.schedule.lr(p) for p in progress),
        grad_norm=(0.5,) * count,
        progress=tuple(progress),
    )
    hashes = Hashes(recipe=recipe.hash("recipe"), config=recipe.hash("config"), data="d" * 64, eval=EVAL_HASH)
    hashes = hashes.model_copy(update=sections.pop("hashes", {}))
    ran = {"seed": seed, "budget_s": BUDGET_S, "steps": columns, "evals": ()}
    if bits_per_byte is None:
        ran["failure"] = {"kind": "error", "step": count, "message": "lost"}
    given = {"identity": {"hashes": hashes}, "run": ran, "result": {"total_s": 400.0}}
    if bits_per_byte is not None:
        given["result"]["nats"] = bits_per_byte * log(2) * BYTES
    return valid_record(**{name: {**given.get(name, {}), **sections.get(name, {})} for name in {*given, *sections}})


def collection(*records: Record, pending: tuple[Record, ...] = ()) -> Collection:
    """As if read from a folder that the checks took no offence at, but for `pending`."""
    entries = [_entry(i, record, ()) for i, record in enumerate(records)]
    entries += [_entry(i, record, (implausible("far off", PENDING),)) for i, record in enumerate(pending, len(entries))]
    return Collection(Path("reports"), tuple(entries))


def _entry(i: int, record: Record, findings: tuple) -> Entry:
    name = f"{i}.json"
    return Entry(Path(name), Verdict(name, findings), record, content_hash(record))
