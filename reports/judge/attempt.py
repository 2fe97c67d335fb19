"""One run of the user's own command: its output in a file, and an end to it and all that it started.

Test with `pytest -m meta bench/meta/test_attempt.py`.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psutil

GRACE_S = 5.0  # to write a last line after SIGTERM
MARK = "NANOMARK_ATTEMPT"  # in the environment of whatever the command starts, in whichever group or session


@dataclass(frozen=True)
class Attempt:
    """How a run ended; a negative status is the signal that ended it."""

    seed: int
    log: Path
    status: int
    killed: bool  # after its time
    wall_s: float


def attempt(command: Sequence[str], seed: int, log: Path, kill_s: float, seed_variable: str) -> Attempt:
    """Run `command` with `{seed}` in its words replaced. Raises OSError where it cannot be started at all."""
    mark = uuid4().hex
    environment = {**os.environ, MARK: mark, seed_variable: str(seed), "PYTHONUNBUFFERED": "1"}
    words = [word.replace("{seed}", str(seed)) for word in command]
    begun_s, killed = time.monotonic(), False
    with open(log, "wb") as output, _raised_on_sigterm():
        child = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
        try:
            child.wait(kill_s)
        except subprocess.TimeoutExpired:
            killed = True
        finally:  # an interrupt of ours ends it too, and so does its own end what it left behind
            _end(child, mark)
    return Attempt(seed, log, child.returncode, killed, time.monotonic() - begun_s)


@contextmanager
def _raised_on_sigterm() -> Iterator[None]:
    """A SIGTERM of ours must end what was started, too."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _end(child: subprocess.Popen, mark: str) -> None:
    """Ask, then kill; whatever the command started while that happens is found in the next turn."""
    for sign, patience_s in ((signal.SIGTERM, GRACE_S), (signal.SIGKILL, GRACE_S), (signal.SIGKILL, GRACE_S)):
        child.poll()
        left = _marked(mark)
        if child.returncode is not None and not left:
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, sign)
        for process in left:
            with suppress(psutil.Error):
                process.send_signal(sign)
        with suppress(subprocess.TimeoutExpired):
            child.wait(patience_s)
        psutil.wait_procs(left, patience_s)
    child.wait()


def _marked(mark: str) -> list[psutil.Process]:
    """Living processes that inherited the mark; those of other users cannot be read, and are none of ours."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found
