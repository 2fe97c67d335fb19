"""The suite's own commands as a user types them, each in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PYTEST = ("-m", "pytest", "-p", "no:cacheprovider")
MAIN_JOB = (*PYTEST, "bench/training", "-m", "slow")
TRAIN = (*MAIN_JOB, "-p", "bench.meta.unchecked", "--preset=tiny")  # the conformance run would take half a minute
TIMEOUT_S = 120


def start(*arguments, **environment: str) -> subprocess.Popen:
    """Python with these arguments; standard error joins standard output."""
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env={**_neutral(), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(*arguments, **environment: str) -> tuple[int, str]:
    """Exit status and output; whatever does not end by itself is killed and fails the test."""
    with start(*arguments, **environment) as child:
        try:
            output, _ = child.communicate(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            child.kill()
            raise
    assert "Traceback" not in output, output
    return child.returncode, output


def only_line(output: str, beginning: str) -> str:
    """The one line that begins so."""
    lines = [line for line in output.splitlines() if line.startswith(beginning)]
    assert len(lines) == 1, output
    return lines[0]


def _neutral() -> dict[str, str]:
    """This process's environment without what chooses a backend or adds options."""
    ours = ("AUTORESEARCH_BACKEND", "PYTEST_ADDOPTS")
    return {**{k: v for k, v in os.environ.items() if k not in ours}, "PYTHONUNBUFFERED": "1"}
