"""Which releases there are, and one of them measured in its own tox environment.

Test with `pytest -m meta bench/meta/test_matrix.py`.
"""

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.matrix.record import SELECT, Kind, MatrixError, Quantity, Release, number, order
from reports.privacy import redact

ROOT = Path(__file__).parents[2]
INSTALL_S, SUITE_S, FACTS_S = 1800, 3600, 1800  # after which a step counts as hanging
MOST_FAILURES = 20  # named; all are counted
FRAMEWORKS = ("mlx", "torch")


def declared(framework: str, tox_ini: Path = ROOT / "tox.ini") -> list[str]:
    """The releases of tox.ini's [testenv:FRAMEWORK-{...}], oldest first. Raises MatrixError where there are none."""
    found = re.search(rf"^\[testenv:{framework}-\{{([\d.,]+)\}}\]", tox_ini.read_text("utf-8"), re.MULTILINE)
    if not found:
        raise MatrixError(f"tox.ini names no release of {framework}; try a backend of {' or '.join(FRAMEWORKS)}")
    return sorted(found[1].split(","), key=order)


def require_tox() -> None:
    """Raises MatrixError where this Python has no tox."""
    if importlib.util.find_spec("tox") is None:
        raise MatrixError(
            f"{Path(sys.executable).name} has no tox, which builds an environment a release; pip install tox"
        )


@dataclass(frozen=True)
class Environment:
    """One release's tox environment; `workdir` is where tox keeps them, results and logs included."""

    backend: str
    release: str
    workdir: Path
    select: str = SELECT
    keyword: str | None = None

    @property
    def name(self) -> str:
        return f"{self.backend.split('-')[0]}-{self.release}"

    def measured(self, commit: str | None, say: Callable[[str], None]) -> Release:
        """Install, run the suite, ask for the facts. What fails is recorded with its reason; the rest goes on."""
        suite, facts, failures = self.file("suite.json"), self.file("facts.json"), {}
        for stale in (suite, facts):
            stale.unlink(missing_ok=True)
        say("installing")
        status, output = self.tox("install", INSTALL_S, "run", "--notest")
        if status:
            failures["install"] = _reason(output, status)
        else:
            say("the suite")
            chosen = ("-m", self.select, *(("-k", self.keyword) if self.keyword else ()))
            pytest = ("-m", "pytest", "-p", "no:cacheprovider", *chosen, "--backend", self.backend)
            status, output = self.python("suite", SUITE_S, *pytest, f"--rows-to={suite}")
            failures |= _failed_tests(output) if suite.exists() else {"suite": _reason(output, status)}
            say("facts")
            matrix = ("-m", "bench.matrix.facts", "--backend", self.backend, "--json", facts)
            status, output = self.python("facts", FACTS_S, *matrix)
            failures |= {} if facts.exists() else {"facts": _reason(output, status)}
        return self.collected(_read(suite), _read(facts), failures, commit)

    def collected(self, suite: dict, facts: dict, failures: dict[str, str], commit: str | None) -> Release:
        """One record of what the steps left behind."""
        quantities = (
            *(Quantity.model_validate(fact) for fact in facts.get("quantities", ())),
            *fingerprint(suite.get("fingerprint", {}).get(self.backend, {})),
            *rows(suite.get("rows", ())),
        )
        counts = {outcome: suite.get(outcome, 0) for outcome in ("passed", "failed", "skipped")}
        return Release(
            release=self.release,
            build=facts.get("build"),
            blas=facts.get("blas"),
            commit=commit,
            select=asked(self.select, self.keyword),
            failures=failures,
            quantities=quantities,
            **counts,
        )

    def file(self, suffix: str) -> Path:
        """In a folder beside the environments."""
        folder = self.workdir / "matrix"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{self.backend}-{self.release}-{suffix}"

    def python(self, step: str, limit_s: int, *arguments) -> tuple[int, str]:
        """The environment's own Python in this checkout."""
        return self.tox(step, limit_s, "exec", "--", "python", *map(str, arguments))

    def tox(self, step: str, limit_s: int, verb: str, *arguments: str) -> tuple[int, str]:
        """Exit status and output of one tox command, kept as a log; 124 where it ran past `limit_s`."""
        place = ("-e", self.name, "--workdir", str(self.workdir))
        command = (sys.executable, "-m", "tox", verb, *place, *arguments)
        log = self.file(f"{step}.log")
        with log.open("w", encoding="utf-8") as out:
            try:
                status = run(command, out, limit_s)
            except subprocess.TimeoutExpired:
                status = 124
                out.write(f"\nERROR: not done after {limit_s} s\n")
        return status, log.read_text("utf-8", errors="replace")


def asked(select: str, keyword: str | None) -> str:
    """Which tests, as pytest's options say it."""
    return f"{select}, -k {keyword}" if keyword else select


def run(command: tuple[str, ...], out, limit_s: int) -> int:
    """The one place that starts a process; tests put another in its place."""
    environment = {**os.environ, "NO_COLOR": "1", "TOX_COLORED": "no"}
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=out, stderr=subprocess.STDOUT, timeout=limit_s)
    return done.returncode


def rows(aggregated) -> tuple[Quantity, ...]:
    """Of each conformance row the error in yardsticks; where cases failed, how many."""
    found = []
    for row in aggregated:
        name = f"{row['quantity']}, {row['precision']}"
        worst = row["worst_ratio"]
        found.append(_quantity(f"{name}: error in yardsticks", "error", None if worst is None else number(worst)))
        found.append(_quantity(f"{name}: cases failed", "value", float(row["failed"])))
    return tuple(found)


def fingerprint(found: dict) -> tuple[Quantity, ...]:
    """The precision class seen in each family of operations, and whether runs repeat to the last bit."""
    classes = [
        _quantity(f"{c['family']}, {c['policy']}: class", "class", c["observed"]) for c in found.get("classes", ())
    ]
    words = {True: "equal bits", False: "differs", None: "not supported"}
    repeats = [
        _quantity(f"{what} twice, {policy}", "class", words[equal])
        for policy, answers in found.get("repeats", {}).items()
        for what, equal in answers.items()
    ]
    return (*classes, *repeats)


def _quantity(name: str, kind: Kind, value: float | str | None) -> Quantity:
    return Quantity(name=name, kind=kind, value=value)


def _read(path: Path) -> dict:
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


def _failed_tests(output: str) -> dict[str, str]:
    """The suite's own list of failures, by test."""
    lines = [line.split(" ", 1)[1] for line in output.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    found = (line.partition(" - ")[::2] for line in lines[:MOST_FAILURES])
    return {test: _public(reason) for test, reason in found}


def _reason(output: str, status: int) -> str:
    """The line that says why a command failed: the last that names an error, or else the last of all."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"(E\s|ERROR|\w*(Error|Exception):)", line)]
    causes = [line for line in lines if " depends on " in line or "The user requested" in line]
    return _public("; ".join([*(errors or lines)[-1:], *causes]) or f"exit status {status}")


def _public(text: str) -> str:
    """Without names of this machine and without its paths, and short enough for a record."""
    return redact(re.sub(r"(/[\w.+-]+){2,}/?", "~", text))[:500]
