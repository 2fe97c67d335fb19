"""What must never leave a machine: its name, its user, its home path.

Test with `pytest -m fast -k private`.
"""

import getpass
import re
import socket
from collections.abc import Iterator
from pathlib import Path

# Whoever's: what names one person, account or device wherever it stands.
TRACES = {
    "an e-mail address": re.compile(r"[\w.+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}\b"),
    "a home path": re.compile(r"(?:/home|/Users|/root|[A-Za-z]:\\+Users)(?=[/\\])[/\\]+[\w.-]+"),
    "a hardware address": re.compile(r"(?<![0-9A-Fa-f:])[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}(?![0-9A-Fa-f:])"),
    "a device's UUID": re.compile(r"\b[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\b"),
}
SHORTEST = 3  # shorter names turn up in any text by chance
# Names that thousands of machines and users share, or that the suite itself writes, tell nothing about anyone.
PUBLIC = {
    "localhost",
    "root",
    "user",
    "admin",
    "runner",
    "ubuntu",
    "debian",
    "fedora",
    "linux",
    "darwin",
    "mac",
    "macbook",
    "imac",
    "apple",
    "nvidia",
    "intel",
    "amd",
    "pro",
    "max",
    "ultra",
    "base",
    "fixed",
    "cpu",
    "gpu",
    "cuda",
    "torch",
    "mlx",
    "python",
    "home",
    "users",
}


def private_strings() -> tuple[str, ...]:
    """This machine's host name (short and full), user name and home path, longest first."""
    home = str(Path.home())
    host = socket.gethostname()
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = Path.home().name
    names = {host, host.split(".")[0], user, Path.home().name}
    chosen = {name for name in names if len(name) >= SHORTEST and name.lower() not in PUBLIC}
    return tuple(sorted(chosen | ({home} if len(home) >= SHORTEST else set()), key=len, reverse=True))


def leaks(document: object, private: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """(field, private string) for each string in nested dicts and sequences that holds one as a whole word."""
    for path, text in _strings(document, ""):
        for secret in private:
            if _pattern(secret).search(text):
                yield path, secret


def traces(document: object) -> Iterator[tuple[str, str, str]]:
    """(field, kind, text) for each string of nested dicts and sequences that holds one of TRACES."""
    for path, text in _strings(document, ""):
        for kind, pattern in TRACES.items():
            for found in pattern.findall(text):
                yield path, kind, found


def redact(text: str, private: tuple[str, ...] | None = None) -> str:
    """`text` with every private string, and whatever names somebody or a device, replaced by `~`."""
    for secret in private_strings() if private is None else private:
        text = _pattern(secret).sub("~", text)
    for pattern in TRACES.values():
        text = pattern.sub("~", text)
    return text


def _pattern(secret: str) -> re.Pattern:
    """Whole words only: a host called `mac` must not forbid the model `Mac15,9`."""
    return re.compile(rf"(?<![0-9A-Za-z]){re.escape(secret)}(?![0-9A-Za-z])", re.IGNORECASE)


def _strings(node: object, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, str):
        yield path, node
    elif isinstance(node, dict):
        for key, value in node.items():
            yield f"{path}.{key}".lstrip("."), str(key)
            yield from _strings(value, f"{path}.{key}".lstrip("."))
    elif isinstance(node, (list, tuple)):
        for i, value in enumerate(node):
            yield from _strings(value, f"{path}.{i}")
