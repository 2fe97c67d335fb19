"""The runs of a study one after another on one warm trainer, each kept as soon as it ends.

Training, pace and score are the main job's, without its correctness suite and its search for the machine's best. Test
with `pytest -m meta bench/meta/test_noise.py`.
"""

import time
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from rich.progress import Progress

from bench import sensors, sheet
from bench.evaluation import evaluate
from bench.measure import probe_gemm
from bench.meter import Meter
from bench.noise.plan import PILOTS, SEED, Cell, reference, todo
from bench.ours import Ours
from bench.training.loop import Pace, Run, scored, train
from bench.training.score import Job, warm
from impl.data.batches import batches
from impl.data.evaluation import windows
from impl.data.prepared import Prepared

WHAT = "noise"
SAME = ("preset", "policy", "seconds", "hashes", "device_batch")
DIGITS = 9


def path_of(folder: Path, backend: str, preset: str) -> Path:
    return folder / f"noise-{backend}-{preset}.json"


def study(job: Job, prepared: Prepared, folder: Path, runs: int, progress: Progress) -> Path:
    """Every run that the file in `folder` lacks. Raises ValueError where it is of another machine or recipe."""
    path = path_of(folder, job.backend.name, job.preset)
    results = sheet.Sheet.open(path, _origin(job, prepared), SAME, DIGITS)
    if not todo(runs, results.rows):
        return path
    task = progress.add_task(f"{job.backend.name}: warming up", total=runs)
    stand = Stand(job, prepared)
    results.rows.setdefault("windows", {"key": "windows", "kind": "windows", **stand.windows()})
    since_s, done = time.monotonic(), 0
    while left := todo(runs, results.rows):
        cell = left[0]
        followed = reference(results.rows.values()) if cell.replays else None

        def show(share: float, done: int = done, left: int = len(left), name: str = cell.key) -> None:
            each_s = (time.monotonic() - since_s) / (done + share)
            told = f"{job.backend.name} {name}, about {each_s * (left - share) / 60:.0f} min left"
            progress.update(task, total=done + left, completed=done + share, description=told)

        if cell.replays and followed is None:
            raise ValueError(f"{path}: none of the first {PILOTS} runs by the clock has a score; give more --seconds")
        row = stand.run(cell, followed["progress"] if followed else None, show)
        row["follows"] = followed["key"] if followed else None
        results.add(cell.key, row)
        done += 1
        minutes = (time.monotonic() - since_s) / done * len(todo(runs, results.rows)) / 60
        progress.console.print(f"{job.backend.name} {cell.key}: {_told(row)}; about {minutes:.0f} min left")
    progress.remove_task(task)
    return path


def _told(row: dict[str, Any]) -> str:
    if row["failure"]:
        return row["failure"]
    return f"val_bpb {row['nats'] / (np.log(2) * row['bytes']):.5f} after {row['steps']} steps"


def _origin(job: Job, prepared: Prepared) -> dict[str, Any]:
    hashes = {which: job.recipe.hash(which) for which in ("recipe", "config")}
    return {
        **sheet.origin(job.backend, WHAT),
        "preset": job.preset,
        "policy": job.policy,
        "seconds": job.recipe.schedule.budget_s,
        "hashes": {**hashes, "data": prepared.data_hash, "eval": prepared.eval_hash},
        "device_batch": job.recipe.data.device_batch,
        "total_batch": job.recipe.data.total_batch,
        "train_tokens": prepared.tokens("train"),
    }


class Stand:
    """One warm trainer and its data, for run after run."""

    def __init__(self, job: Job, prepared: Prepared):
        self.job, self.prepared, self.backend = job, prepared, job.backend
        recipe, self.subject = job.recipe, Ours(job.backend)
        self.scoring = windows(prepared, recipe.model.sequence_len)
        self.trainer = self.subject.trainer(recipe, self.subject.init(recipe, SEED), job.policy, compiled=True)
        self.fresh = self.trainer.state()
        warm(self.trainer, recipe)

    def windows(self) -> dict[str, list[int]]:
        """Of each window that is scored: its bytes, and the document that it begins in."""
        targets, inputs = self.scoring.targets, self.scoring.inputs  # (N, T) each
        tokenizer = self.prepared.tokenizer
        scored = np.where(targets >= 0, np.asarray(tokenizer.token_bytes)[targets.clip(0)], 0)
        begun = np.cumsum((inputs == tokenizer.bos).ravel()).reshape(inputs.shape)[:, 0]
        return {"bytes": scored.sum(axis=1).tolist(), "documents": begun.tolist()}

    def run(self, cell: Cell, recorded: list[float] | None, show: Callable[[float], None]) -> dict[str, Any]:
        """Train from the cell's seed, by the clock or along a recorded progress, and score: a row."""
        recipe, trainer, data = self.job.recipe, self.trainer, self.job.recipe.data
        trainer.load(self.fresh | self.subject.init(recipe, cell.seed))
        pace = Pace(recipe.schedule.budget_s, None if recorded is None else tuple(recorded))
        source = batches(self.prepared, "train", data.device_batch, recipe.model.sequence_len, data)
        meter = Meter(lambda: sensors.read(self.backend.name))
        nats: list[np.ndarray] = []

        def kept(row_nats):
            nats.append(self.backend.numpy(row_nats))
            return nats[-1]

        def score():
            nats.clear()
            return evaluate(trainer.nats, self.scoring, data.device_batch, kept)

        with closing(self.subject.prefetch(source, recipe.accumulation())) as ahead:
            run = train(
                trainer,
                recipe,
                ahead,
                pace=pace,
                show=lambda run: show(pace.share(run)),
                evaluate=score,
                eval_every=None,
                probe=lambda at_s: probe_gemm(self.backend, self.job.policy, "during"),
                meter=meter,
            )
        final = None if run.failure else scored(run, score)
        row = {
            "kind": cell.kind,
            "seed": cell.seed,
            "steps": len(run.step_s),
            "timed_s": run.timed_s,
            "median_step_s": median(run.step_s),
            "background": meter.background,
            "failure": run.failure and run.failure.message,
            "nats": final and final.nats,
            "bytes": final and final.bytes,
            "digest": _digest(run, final and final.nats),
        }
        if cell.kind == "clock" and cell.index < PILOTS and final:
            row["progress"] = run.progress
        if cell.kind == "both" and final:
            row["window_nats"] = [round(float(x), 2) for x in np.concatenate(nats)[: len(self.scoring.inputs)]]
        return row


def _digest(run: Run, nats: float | None) -> str:
    """Of every step's loss and the score, bit for bit."""
    return sha256(np.array([*run.loss, nats or 0.0], np.float64).tobytes()).hexdigest()[:16]
