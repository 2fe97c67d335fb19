"""Which precision a backend really computes in, by family of operations: the class whose emulated error is nearest.

`python -m bench.fingerprint --help`; test with `pytest -m fast bench/conformance/test_precision.py`.
"""

import argparse
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.determinism import repeats
from bench.families import FAMILIES, Family
from bench.subject import POLICIES, NotSupported, Subject, load
from impl import backend as backends

NEAR = 0.6  # decades of error; a class covers its orders of summation, and the next one begins 0.7 or more away
LARGEST, SMALLEST = 1e3, 2.0**-26  # errors beyond count as these: an overflow, a sum that happens to be exact
CLASSES = {
    "float32": ("float32", "tf32", "bfloat16", "bfloat16-sums", "float16"),
    "bfloat16": ("float32", "bfloat16", "bfloat16-sums", "float16"),
    "float16": ("float32", "float16", "float16-sums", "bfloat16"),
}
ROOT = Path(__file__).parents[1]
TF32_OF_MLX = "MLX_ENABLE_TF32"  # read once a process; unset means allowed
TRAINED = ("gemm", "sdpa", "cross-entropy")  # the orthogonalizer has a dtype of its own
MATMUL_PRECISIONS = ("highest", "high", "medium")


@dataclass(frozen=True)
class Finding:
    """What a family was seen to compute in. distances: decades of error from each class, 0 within its range."""

    family: str
    owner: str
    policy: str
    observed: str
    errors: tuple[float, ...]
    distances: dict[str, float]

    @property
    def expected(self) -> bool:
        """Whether the class is the one asked for."""
        return self.observed == self.policy


@np.errstate(all="ignore")  # an overflow is an answer here
def classify(subject: Subject, family: Family, policy: str) -> Finding:
    """Ask `subject` what `family` holds and find the nearest class; "none" where all are further than NEAR."""
    errors = _errors(family.parts(subject, policy), _truth(family.name, policy))
    distances = {}
    for name, (least, most) in yardsticks(family.name, policy).items():
        outside = np.maximum(np.log10(least / errors), np.log10(errors / most))
        distances[name] = round(float(max(0.0, np.max(outside))), 2)
    nearest = min(distances, key=lambda name: distances[name])
    observed = nearest if distances[nearest] <= NEAR else "none"
    return Finding(family.name, family.owner, policy, observed, tuple(float(f"{e:.3g}") for e in errors), distances)


@lru_cache
@np.errstate(all="ignore")
def yardsticks(family: str, policy: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Each class's least and largest error in every part, over its orders of summation."""
    found, oracle, truth = FAMILIES[family], load("oracle"), _truth(family, policy)
    ranges = {}
    for name in CLASSES[policy]:
        if name == "tf32" and not found.products:
            continue
        overflows = name.startswith("float16")  # elsewhere the wide part has the plain one's error
        errors = [_errors(found.parts(oracle, policy, p, wide=overflows), truth) for p in found.orders(name)]
        if found.has_wide_part(policy) and not overflows:
            errors = [np.repeat(e, 2) for e in errors]
        least = np.min(errors, axis=0) if name != "float32" else SMALLEST  # nothing is too exact for it
        ranges[name] = np.broadcast_to(least, errors[0].shape), np.max(errors, axis=0)
    return ranges


@lru_cache
def _truth(family: str, policy: str) -> list[np.ndarray]:
    return FAMILIES[family].parts(load("oracle"), policy, "float64")


def _errors(answers, truths) -> np.ndarray:
    """Relative Frobenius error of every part."""
    pairs = zip(answers, truths, strict=False)
    errors = [np.linalg.norm(a.astype(np.float64) - t) / np.linalg.norm(t) for a, t in pairs]
    return np.clip(np.nan_to_num(errors, nan=LARGEST, posinf=LARGEST), SMALLEST, LARGEST)


def fingerprint(subject: Subject, policies: Iterable[str], families: Iterable[str] = FAMILIES) -> list[Finding]:
    """Every family at every policy that it can be asked; what the subject does not support is left out."""
    findings = []
    for family in (FAMILIES[name] for name in families):
        for policy in policies:
            if policy in family.policies:
                try:
                    findings.append(classify(subject, family, policy))
                except NotSupported:
                    continue
    return findings


def observed(subject: Subject, policy: str, families: Iterable[str] = TRAINED) -> dict[str, str]:
    """The class of each family that a training step at `policy` spends its time in; "none" where it is none of them."""
    return {finding.family: finding.observed for finding in fingerprint(subject, [policy], families)}


def message(subject: str, finding: Finding) -> str:
    """What is wrong and which switch to turn."""
    distances = ", ".join(f"{name} {decades:.1f}" for name, decades in finding.distances.items())
    return (
        f"{subject}: {finding.family} at {finding.policy} should compute in {finding.policy}, but is seen to compute "
        f"in {finding.observed} (decades of error from each class: {distances}); {remedy(subject, finding)}"
    )


def remedy(subject: str, finding: Finding) -> str:
    """The switch that is known to cause this, or what else to do."""
    framework, narrow = subject.split("-")[0], finding.observed.endswith("-sums")
    if framework == "mlx" and finding.observed == "tf32":
        return f"set {TF32_OF_MLX}=0 before mlx is imported"
    if framework == "torch" and finding.policy == "float32" and not narrow:
        return (
            'call torch.set_float32_matmul_precision("highest"), which also clears '
            "torch.backends.cuda.matmul.allow_tf32; from outside, set NVIDIA_TF32_OVERRIDE=0 and unset "
            "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE"
        )
    if narrow and finding.family == "gemm" and framework == "torch":
        return "set torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False"
    if narrow and finding.owner == "framework":
        return "cast to float32 before reducing, as everything in impl/ does"
    return "no switch is known; report it with the versions in the header"


def alternatives(subject: Subject) -> dict[str, dict[str, str]]:
    """What float32 products compute in under the framework's other settings, by family. A fact, not a failure."""
    if subject.name.startswith("mlx"):
        return {f"{TF32_OF_MLX}=1, the default": _in_a_child(subject.name, {TF32_OF_MLX: "1"})}
    if subject.name.startswith("torch"):
        return {f'float32_matmul_precision="{level}"': _with_torch(subject, level) for level in MATMUL_PRECISIONS}
    return {}


def _products() -> list[str]:
    return [name for name, family in FAMILIES.items() if family.products]


def _in_a_child(backend: str, environment: dict[str, str]) -> dict[str, str]:
    """For what a framework reads once a process."""
    command = [sys.executable, "-m", "bench.fingerprint", "--backend", backend, "--policy", "float32", "--plain"]
    command += [f"--family={name}" for name in _products()]
    environment = {**os.environ, **environment}
    done = subprocess.run([*command, "--json=-"], cwd=ROOT, env=environment, capture_output=True, text=True)
    if not done.stdout.startswith("{"):
        raise RuntimeError(f"the fingerprint in a child process did not run: {done.stderr.strip()[-500:]}")
    return {row["family"]: row["observed"] for row in json.loads(done.stdout)["classes"]}


def _with_torch(subject: Subject, level: str) -> dict[str, str]:
    import torch

    before = torch.get_float32_matmul_precision()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some releases call this setting old, others the newer one unfinished
        try:
            torch.set_float32_matmul_precision(level)
            return observed(subject, "float32", _products())
        finally:
            torch.set_float32_matmul_precision(before)


def facts(
    subject: Subject, policies: Iterable[str] = POLICIES, families: Iterable[str] = FAMILIES, plain=False
) -> dict:
    """All of it, ready for JSON; `plain` leaves out what other settings give and whether runs repeat."""
    found = {"classes": [asdict(finding) for finding in fingerprint(subject, policies, families)]}
    if plain:
        return found
    return {**found, "alternatives": alternatives(subject), "repeats": {p: repeats(subject, p) for p in POLICIES}}


def show(subject: str, found: dict, console: Console) -> None:
    """A table, then one line a fact."""
    policies = list(dict.fromkeys(row["policy"] for row in found["classes"]))
    cells = {(row["family"], row["policy"]): _cell(row) for row in found["classes"]}
    table = Table("family", "whose", *policies, title=f"{subject}: precision observed, error, next class in decades")
    for name, family in FAMILIES.items():
        row = [cells.get((name, policy), "") for policy in policies]
        if any(row):
            table.add_row(name, family.owner, *row)
    console.print(table)
    for setting, classes in found.get("alternatives", {}).items():
        console.print(f"float32 with {setting}: " + ", ".join(f"{k} {v}" for k, v in classes.items()), highlight=False)
    words = {True: "bit-equal", False: "differs", None: "not supported"}
    for policy, answers in found.get("repeats", {}).items():
        told = ", ".join(f"{name} {words[equal]}" for name, equal in answers.items())
        console.print(f"same seed twice at {policy}: {told}", highlight=False)


def _cell(row: dict) -> str:
    decades, other = min((decades, name) for name, decades in row["distances"].items() if name != row["observed"])
    observed = row["observed"] if row["observed"] == row["policy"] else f"[bold red]{row['observed']}[/]"
    return f"{observed}  {row['errors'][0]:.0e}\n  {other} {decades:+.1f}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.fingerprint",
        description="Measure which precision a backend computes in, family by family.",
        epilog="Each family is asked for sums and products on inputs that keep the classes apart. Its error against "
        "float64 is compared with that of every emulated class: float32, tf32 (operands of products cut to 10 bits), "
        "bfloat16 (sums in float32), bfloat16-sums (sums in bfloat16 too), float16. The nearest one is reported, or "
        "`none`. Exits with 1 where a class is not the one asked for.",
    )
    parser.add_argument("--backend", metavar="NAME", help="mlx-cpu, torch-cuda, ... (the first one found)")
    parser.add_argument("--policy", action="append", choices=CLASSES, help="repeatable (all three)")
    parser.add_argument("--family", action="append", choices=FAMILIES, help="repeatable (all)")
    parser.add_argument("--json", metavar="FILE", help="write it there, `-` for standard output, instead of a table")
    parser.add_argument("--plain", action="store_true", help="the classes only: no other settings, no repetitions")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Print or write the fingerprint; 1 where a class is not the one asked for, 2 where there is no such backend."""
    asked = _parser().parse_args(arguments)
    try:
        name = backends.resolve(asked.backend)
        subject, versions = load(name), backends.load(name).versions()
    except backends.BackendError as error:
        print(error, file=sys.stderr)
        return 2
    found = facts(subject, asked.policy or list(CLASSES), asked.family or list(FAMILIES), asked.plain)
    found = {"backend": name, "versions": versions, **found}
    if asked.json == "-":
        print(json.dumps(found))
    elif asked.json:
        Path(asked.json).write_text(json.dumps(found, indent=1) + "\n")
    else:
        show(f"{name}: {' '.join(f'{k} {v}' for k, v in versions.items())}", found, Console())
    return int(any(row["observed"] != row["policy"] for row in found["classes"]))


if __name__ == "__main__":
    sys.exit(main())
