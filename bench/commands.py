"""What other programs print and the kernel's files hold, as strings; "" where they cannot be had.

Test with `pytest -m fast -k hardware`.
"""

import shutil
import subprocess
from pathlib import Path


def output(*command: str) -> str:
    """Standard output, or "" where the command is absent, fails or hangs."""
    if shutil.which(command[0]) is None:
        return ""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def read(path: str | Path) -> str:
    """A file's text, or "" where it is not there or not ours to read."""
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""
