"""Documents of earlier schemas as documents of today's: one function a version step, from plain dict to plain dict.

A file of an earlier version stays as it is on disk; only what is read of it is brought up to date.
Test with `pytest -m fast -k migrations`.
"""

from collections.abc import Callable
from typing import Any

from reports.schema import SCHEMA_VERSION


class MigrationError(ValueError):
    """A document that is of no released version, or holds what its version did not have: `field`, value, remedy."""


def current(document: Any) -> Any:
    """The document at SCHEMA_VERSION, not yet validated. Raises MigrationError, never anything else."""
    version = document.get("schema_version") if isinstance(document, dict) else None
    while version != SCHEMA_VERSION:
        if not isinstance(version, str) or version not in STEPS:
            raise MigrationError(f"schema_version={short(version)}, but {_remedy(version)}")
        document = STEPS[version](document)
        version = document["schema_version"] = VERSIONS[VERSIONS.index(version) + 1]
    return document


def _from_0_2(document: dict) -> dict:
    """Fields that came with 1.0 are unknown in all that was written before."""
    for path, names in {
        ("identity",): ("text",),
        ("hardware",): ("form_factor",),
        ("software",): ("numpy",),
        ("state", "probes", "*"): ("at_s", "temperature_c", "clock_mhz", "power_w"),
        ("conformance",): ("xfailed",),
    }.items():
        document = _with_unknown(document, path, names, "0.2")
    return {**document}


STEPS: dict[str, Callable[[dict], dict]] = {"0.2": _from_0_2}  # every released version, oldest first
VERSIONS = (*STEPS, SCHEMA_VERSION)


def _with_unknown(node: Any, path: tuple[str, ...], names: tuple[str, ...], version: str) -> Any:
    """A copy in which the section at `path` has `names` as null; what is of another shape is left to validation."""
    if path[:1] == ("*",):
        return [_with_unknown(item, path[1:], names, version) for item in node] if isinstance(node, list) else node
    if not isinstance(node, dict):
        return node
    if path:
        inner = {path[0]: _with_unknown(node[path[0]], path[1:], names, version)} if path[0] in node else {}
        return {**node, **inner}
    if early := [name for name in names if name in node]:
        raise MigrationError(f"{early[0]}: schema {version} has no such field; remove it, or write {SCHEMA_VERSION}")
    return {**node, **dict.fromkeys(names)}


def _remedy(version: Any) -> str:
    """What this checkout reads, and what to do about a version that it does not."""
    read = " and ".join(map(repr, VERSIONS))
    if isinstance(version, str) and _parts(version) > _parts(SCHEMA_VERSION):
        return f"this checkout reads {read}: update the checkout (git pull)"
    return f"this checkout reads {read}: write the report with reports.record.save"


def _parts(version: str) -> tuple[int, ...]:
    """Numbers to compare by; () for what is no version."""
    parts = version.split(".")
    good = len(version) < 20 and all(part.isascii() and part.isdigit() for part in parts)
    return tuple(map(int, parts)) if good else ()


def short(value: Any) -> str:
    """A hostile value made harmless: escaped, and cut to 60 characters."""
    text = ascii(value[:60]) if isinstance(value, str) else ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
