"""A live file that never was, written by the journal itself along a made-up run."""

from pathlib import Path
from types import SimpleNamespace

from bench.meta.records import valid_record
from bench.training import journal
from bench.training.journal import Journal
from bench.training.loop import Run
from impl.spec import preset
from reports.chips import Peak
from reports.schema import Eval, Probe

STEP_S, LOSSES = 0.5, (9.0, 7.0, 5.0, 4.0, 3.5, 3.25)
BYTES, TOKENS = 999_144, 207_939
MEMORY_BYTES = 3 * 2**20


def job(chip: str = "AMD EPYC 9554 64-Core Processor", data: str = "sotu-v1") -> SimpleNamespace:
    """As much of one as a header says."""
    return SimpleNamespace(
        machine=SimpleNamespace(chip=chip),
        backend=SimpleNamespace(name="torch-cpu"),
        order=SimpleNamespace(seed=42, data=data),
        recipe=preset("cpu"),
        pace=SimpleNamespace(replay=None),
        policy="bfloat16",
        preset="cpu",
    )


def begun(folder: Path, **of_job) -> Journal:
    """Warm, scored at its start, and about to train."""
    writer = Journal(folder)
    writer.begin(job(**of_job), valid_record().identity)
    writer.phase("warming up")
    writer.start(
        Eval(step=0, nats=2.0e6, bytes=BYTES, tokens=TOKENS, seconds=1.0), Peak("made up", 1e12, "nowhere", True)
    )
    return writer


def trained(run: Run, loss: float, step_s: float = STEP_S) -> Run:
    """One step more."""
    for name, value in {"step_s": step_s, "loss": loss, "lr": 1.0, "grad_norm": 0.5, "progress": 0.0}.items():
        getattr(run, name).append(value)
    run.timed_s += step_s
    return run


def told(writer: Journal, run: Run, share: float) -> None:
    """A line for the steps since the last one, as if its time had come."""
    writer._due_s = 0.0
    writer.step(run, share, lambda: MEMORY_BYTES, None)


def written(folder: Path, losses=LOSSES, **of_job) -> Path:
    """The file of a run that has come half way; a score and a probe after its fourth step."""
    writer, run = begun(folder, **of_job), Run()
    with writer:
        for i, loss in enumerate(losses):
            trained(run, loss)
            if i == 3:
                run.evals.append(Eval(step=4, nats=1.5e6, bytes=BYTES, tokens=TOKENS, seconds=1.0))
                run.probes.append(Probe(when="during", flop=10**9, seconds=0.01, precision="float32"))
            told(writer, run, (i + 1) / (2 * len(losses)))
    (path,) = folder.glob(f"*/*{journal.SUFFIX}")
    return path
