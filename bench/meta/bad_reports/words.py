"""Texts that are meant for a page, a plot, a shell or a file system, in every field that takes text."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from bench.meta.bad_reports.case import Bad, saved
from bench.meta.records import valid_record
from reports.record import Record
from reports.schema import Observation, Onset

ATTACKS = {
    "script": "<script>alert(1)</script>",
    "Vega": '{"signal": "datum.x", "href": "x"}',
    "address": "javascript:alert(1)",
    "path": "../../../../etc/passwd",
    "right-to-left": "Intel\u202elatem",
}
EVERYWHERE = {name: ATTACKS[name] for name in ("script", "Vega")}
# Words of a fixed list or form, and what another check rejects first.
NOT_FREE = {"schema_version", "created_utc", "commit", "hashes", "backend", "division", "chip", "preset", "versions"}
NOT_FREE |= {"policy", "observed", "precision", "precision_observed", "when", "mode", "alternatives", "frameworks"}
FULL = valid_record(
    hardware={"cpu_flags": ("x",), **dict.fromkeys(("model_id", "architecture", "cpu", "cpu_governor", "driver"), "x")},
    software={"os_build": "x", "numpy": "x"},
    state={"thermal": "x", "throttled": "x"},
    result={"joules_method": "x"},
    conformance={
        "onsets": (
            Onset(course="x", policy="float32", steps=1, comparable=1, onset=None, quantity="x", worst=None),
        ),
        "classes": (Observation(family="x", policy="float32", observed="float32", errors=()),),
        "alternatives": {"x": {"x": "float32"}},
        "repeats": {"x": {"x": True}},
    },
    consent={"licence": "x"},
)  # fmt: skip


def _places(node: Any, path: tuple = ()) -> Iterator[tuple]:
    """Where a text stands; of a sequence, in its first entry."""
    if isinstance(node, str):
        yield path
    elif isinstance(node, dict):
        for key, value in node.items():
            yield from _places(value, (*path, key))
    elif isinstance(node, (list, tuple)) and node and not isinstance(node[0], float):
        yield from _places(node[0], (*path, 0))


def _with(node: Any, path: tuple, text: str) -> Any:
    """A copy of `node` with `text` there."""
    if not path:
        return text
    head, *rest = path
    if isinstance(node, dict):
        return {**node, head: _with(node[head], tuple(rest), text)}
    return (*node[:head], _with(node[head], tuple(rest), text), *node[head + 1 :])


def _attacked(path: tuple, text: str) -> Record:
    return Record.model_validate(_with(FULL.model_dump(), path, text))


def _said(path: tuple, name: str, text: str) -> Bad:
    field = ".".join(step for step in path if isinstance(step, str))
    words = "characters that no run writes" if name == "right-to-left" else "markup, an expression or an address"
    return saved(f"{name} in {field}", "plausibility", "pending", words, lambda: _attacked(path, text))


def _both_versions(text: str) -> Record:
    versions = {"torch": text}
    return valid_record(software={"frameworks": versions}, conformance={"versions": versions})


def _key(section: str, field: str, value: str) -> Bad:
    text = ATTACKS["script"]
    changes = {section: {field: {text: value}}}
    if field == "frameworks":
        changes["conformance"] = {"versions": {text: value}}
    make = partial(valid_record, **changes)
    return saved(f"script as a key of {field}", "plausibility", "pending", f"{section}.{field} holds markup", make)


WORDS = (
    *(
        _said(path, name, text)
        for path in _places(FULL.model_dump())
        if not NOT_FREE & set(path) and path[0] != "consent"
        for name, text in EVERYWHERE.items()
    ),
    *(
        saved(f"{name} in both versions", "plausibility", "pending", "holds", partial(_both_versions, text))
        for name, text in ATTACKS.items()
    ),
    saved(
        "script as contributor",
        "plausibility",
        "pending",
        "consent.contributor holds markup",
        lambda: valid_record(consent={"contributor": ATTACKS["script"]}),
    ),
    _key("software", "frameworks", "1"),
    _key("software", "environment", "1"),
)
