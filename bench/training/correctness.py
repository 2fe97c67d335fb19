"""The correctness suite before a score: its record is kept, and used again until anything that it hangs on changes.

`pytest -m fast -k correctness`
"""

import hashlib
import json
import math
import os
import re
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich.console import Console

from bench import identity
from impl.backend import Backend
from impl.data import atomic, progress
from impl.data.prepare import default_cache
from reports import schema

CHECKS = "bench/conformance"
LINES_KEPT = 50
SOURCES = ("conftest.py", "pyproject.toml", "impl/**/*", "bench/**/*", "reports/*.py")


def conform(job, console: Console) -> schema.Conformance:
    """The record of the suite on the job's backend: the one kept under this very `key`, or else a new one.

    Only a passing record is kept, so that a failure that was chance is not held for ever.
    """
    backend = job.backend
    path = default_cache() / "conformance" / f"{backend.name}-{key(backend, job.machine)}.json"
    found = None if job.order.recheck else kept(path)
    if found is not None:
        console.print(
            f"{found.passed} checks passed on {found.checked_utc}, nothing has changed since (--recheck asks again)"
        )
        return found
    console.print(f"checking {backend.name} against the oracle first")
    found = suite(backend)
    console.print(f"{found.passed} checks passed, {found.failed} failed, {found.skipped} skipped")
    if not found.failed:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic.replacing(path) as temporary:
            temporary.write_text(found.model_dump_json())
    return found


def key(backend: Backend, machine: schema.Hardware) -> str:
    """A hash of all that an answer can hang on: sources as they lie there, packages, settings, the chip, its driver."""
    digest = hashlib.sha256()
    for path in _sources(identity.ROOT):
        digest.update(f"\0{path.relative_to(identity.ROOT).as_posix()}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    digest.update(identity.software(backend, backend.can_compile()).model_dump_json().encode())
    digest.update(json.dumps(identity.packages()).encode())
    chip = machine.model_dump(include={"chip", "architecture", "gpu_cores", "cpu", "cpu_flags", "driver"})
    digest.update(json.dumps(chip, sort_keys=True).encode())
    return digest.hexdigest()[:16]


def kept(path: Path) -> schema.Conformance | None:
    """The record at `path`; None where there is none that can be read."""
    try:
        return schema.Conformance.model_validate_json(path.read_text())
    except (OSError, UnicodeDecodeError, ValidationError):
        return None


def suite(backend: Backend) -> schema.Conformance:
    """Run the suite in a process of its own, so that it leaves no memory behind."""
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.json"
        command = [sys.executable, "-m", "pytest", "-v", "-m", "conformance", "--backend", backend.name]
        with progress.shown() as report:
            said = followed([*command, f"--rows-to={rows}", CHECKS], partial(report, f"checks of {backend.name}"))
        found: dict[str, Any] = json.loads(rows.read_text()) if rows.exists() else {"passed": 0}
    if not found["passed"]:
        raise RuntimeError(f"the correctness suite did not run: {said.strip()[-500:]}")
    facts = found["fingerprint"][backend.name]
    document = {
        "versions": backend.versions(),
        "checked_utc": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        **{count: found[count] for count in ("passed", "failed", "skipped")},
        "xfailed": found.get("xfailed"),
        "inconclusive": sum(row["inconclusive"] for row in found["rows"]),
        "rows": [_only(schema.Row, {**row, "passed": not row["failed"]}) for row in found["rows"]],
        "onsets": [_only(schema.Onset, run) for run in found["onsets"]],
        "classes": [_only(schema.Observation, row) for row in facts["classes"]],
        "alternatives": facts["alternatives"],
        "repeats": facts["repeats"],
    }
    return schema.Conformance.model_validate_json(json.dumps(document))


def followed(command: list[str], report: Callable[[int, int], None]) -> str:
    """The end of what `command` prints; `report` gets (percent done, 100) as pytest tells it at its lines' ends."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTEST_ADDOPTS"}
    said: deque[str] = deque(maxlen=LINES_KEPT)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "errors": "replace"}
    with subprocess.Popen(command, cwd=identity.ROOT, env=environment, **pipes) as child:
        try:
            for line in child.stdout or ():
                said.append(line)
                if done := re.search(r"\[ *(\d+)%\]$", line.rstrip()):
                    report(int(done[1]), 100)
        except BaseException:
            child.kill()
            raise
    return "".join(said)


def _only(section: type[schema.Section], values: dict[str, Any]) -> dict[str, Any]:
    """What of `values` the section has fields for; numbers that are not finite become null."""
    finite = {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in values.items()
    }
    return {name: finite[name] for name in section.model_fields if name in finite}


def _sources(root: Path) -> Iterator[Path]:
    """Committed or not, in a fixed order; what Python compiles from them says nothing new."""
    found = sorted({path for pattern in SOURCES for path in root.glob(pattern)})
    return (path for path in found if path.is_file() and "__pycache__" not in path.parts)
