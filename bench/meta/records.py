"""A report that never was: every part consistent with every other, so that a test can break one."""

from dataclasses import replace
from itertools import accumulate
from typing import Any

from impl.flops import flop_per_token
from impl.spec import preset
from impl.spec.optimizer import count
from reports.check import check_record
from reports.record import Record
from reports.references import References
from reports.schema import (
    Conformance,
    Consent,
    Eval,
    Failure,
    Hardware,
    Hashes,
    Identity,
    Probe,
    Result,
    Row,
    Run,
    Software,
    State,
    Steps,
    Warmup,
)

BUDGET_S = 4.0
STEP_S = 0.125  # a binary fraction, so that the budget is met exactly
BYTES = 999_144
EVAL_HASH = "de6c1d96f72105aad6fe1df0ccde1b24c1e43abdf2b4a1edf39d6dbce281e1af"  # sotu-v1


def valid_record(**sections: dict[str, Any]) -> Record:
    """32 steps of preset `cpu` on an EPYC; `run={"seed": 3}` and the like replace fields of a section."""
    recipe = preset("cpu")
    recipe = replace(recipe, schedule=replace(recipe.schedule, budget_s=BUDGET_S))
    step_s = (STEP_S,) * int(BUDGET_S / STEP_S)
    progress = tuple(seconds / BUDGET_S for seconds in accumulate((0.0, *step_s[:-1])))
    steps = Steps(
        step_s=step_s,
        loss=tuple(9.0 - 5.0 * p for p in progress),
        lr=tuple(recipe.schedule.lr(p) for p in progress),
        grad_norm=(0.5,) * len(step_s),
        progress=progress,
    )
    hashes = Hashes(recipe=recipe.hash("recipe"), config=recipe.hash("config"), data="d" * 64, eval=EVAL_HASH)
    fields: dict[str, Any] = {
        "identity": {
            "suite_version": "0.1.0",
            "commit": "fd1c1f7",
            "dirty": False,
            "created_utc": "2026-11-21T07:42:30Z",
            "recipe": "autoresearch",
            "preset": "cpu",
            "settings": {},
            "division": "tier",
            "hashes": hashes,
        },
        "hardware": {"chip": "AMD EPYC 9554 64-Core Processor", "cpu_cores": 2, "memory_bytes": 2**34},
        "software": {
            "os": "Linux 6.1",
            "python": "3.11.9",
            "backend": "torch-cpu",
            "frameworks": {"torch": "2.13.0+cpu"},
            "blas": "mkl",
            "compiled": False,
            "environment": {"OMP_NUM_THREADS": "2"},
        },
        "state": {
            "load_average": (0.1, 0.2, 0.3),
            "probes": (Probe(when="before", flop=2 * 512**3, seconds=0.002, precision="float32"),),
        },
        "run": {
            "seed": 42,
            "policy": "bfloat16",
            "precision_observed": "bfloat16",
            "mode": "fixed-budget",
            "budget_s": BUDGET_S,
            "device_batch": recipe.data.device_batch,
            "total_batch": recipe.data.total_batch,
            "sequence_len": recipe.model.sequence_len,
            "depth": recipe.model.depth,
            "parameters": count(recipe.model),
            "flop_per_token": flop_per_token(recipe.model),
            "warmup": Warmup(steps=3, seconds=1.5),
            "compile_s": None,
            "excluded_steps": 0,
            "steps": steps,
            "evals": (Eval(step=16, nats=1.4e6, bytes=BYTES, tokens=207_939, seconds=2.0),),
            "epochs": 1.0,
            "train_tokens": 2_400_000,
            "discarded": 0.03,
            "failure": None,
        },
        "result": {
            "nats": 1.0e6,  # 1.444 bits per byte
            "bytes": BYTES,
            "tokens": 207_939,
            "initial_nats": 1.87e6,
            "unigram_nats": 1.45e6,
            "eval_s": 2.0,
            "total_s": 12.0,
            "peak_memory_bytes": 2**30,
            "peak_memory_method": "resident set",
            "joules": None,
            "joules_method": None,
        },
        "conformance": {
            "versions": {"torch": "2.13.0+cpu"},
            "passed": 10,
            "failed": 0,
            "skipped": 1,
            "inconclusive": 0,
            "rows": (Row(quantity="logits", precision="bfloat16", cases=8, worst_ratio=1.2, limit=3.0, passed=True),),
        },
        "consent": {"contributor": None, "licence": None},
    }
    for name, changes in sections.items():
        fields[name] |= changes
    return Record(
        identity=Identity(**fields["identity"]),
        hardware=Hardware(**fields["hardware"]),
        software=Software(**fields["software"]),
        state=State(**fields["state"]),
        run=Run(**fields["run"]),
        result=Result(**fields["result"]) if fields["run"]["failure"] is None else None,
        conformance=Conformance(**fields["conformance"]),
        consent=Consent(**fields["consent"]),
    )


def failed_record() -> Record:
    """The same, stopped by a NaN in its fourth step."""
    whole = valid_record().run.steps
    steps = {name: getattr(whole, name)[:4] for name in Steps.model_fields}
    steps["loss"] = (*steps["loss"][:3], None)
    failure = Failure(kind="loss-not-finite", step=3, message="loss is nan")
    return valid_record(run={"steps": Steps(**steps), "evals": (), "failure": failure})


def with_column(name: str, values: tuple) -> Record:
    """The valid record with one column of its steps replaced."""
    columns = valid_record().run.steps.model_dump()
    return valid_record(run={"steps": Steps(**{**columns, name: values})})


def only(record: Record) -> tuple[str, str, str]:
    """(part, verdict, reason) of the only finding, whatever reports are committed."""
    findings = list(check_record(record, References()))
    assert len(findings) == 1, findings
    return findings[0].part, findings[0].verdict, findings[0].reason
