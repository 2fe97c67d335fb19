"""Another program run to its end or its time limit: no shell, no input but what is given, nothing left running.

Test with `pytest -m meta bench/meta/test_share_host.py`.
"""

import os
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from reports.share.error import ShareError


@dataclass(frozen=True)
class Ended:
    """How a program ended and what it wrote."""

    status: int
    out: bytes
    err: str

    def text(self) -> str:
        return self.out.decode("utf-8", "replace").strip()


def run(
    command: list[str], name: str, folder: Path, environment: dict[str, str], limit_s: float, given: bytes = b""
) -> Ended:
    """In a session of its own: no terminal to ask on, and what it started ends with it.

    Raises ShareError, by `name`, where it cannot start or does not end.
    """
    try:
        child = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise ShareError(
            command[0], f"cannot be run ({error.strerror})", "install it, or see to its permissions"
        ) from None
    try:
        out, err = child.communicate(given, timeout=limit_s)
    except BaseException as error:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            raise ShareError(name, f"no end after {limit_s:g} s", "see to the network and try again") from None
        raise
    return Ended(child.returncode, out, err.decode("utf-8", "replace"))
