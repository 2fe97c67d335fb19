"""A saved run of `pytest -m bench`: what pytest-benchmark writes, with this chip's record and no name of the machine.

Test with `pytest -m meta bench/meta/test_throughput.py`.
"""

import json
import math
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from bench import ceiling, hardware, identity
from bench.throughput.clock import WALL
from impl import backend as backends
from reports.ceiling import Ceiling
from reports.peaks import ImpossibleRate
from reports.privacy import leaks, private_strings, redact

LARGEST_BYTES = 2**26
LATE = 0.5


@dataclass(frozen=True, kw_only=True)
class Row:
    """One operation on one backend; `samples_s` are seconds a call, in the order they were taken."""

    backend: str
    operation: str
    shape: str
    precision: str
    samples_s: tuple[float, ...]
    flop: int | None
    bytes: int | None
    tokens: int | None
    peak_bytes: int | None
    throttled: str | None = None  # as in a report's state
    background: float | None = None
    visits: int = 1  # stretches of the session that the samples were taken in
    clock: str = WALL
    probes_s: Mapping[tuple, float] = field(default_factory=dict)  # the quickest of each product that probed its device
    paces_s: tuple[float, ...] = ()  # of the core, just before each sample that one core takes
    host: tuple[str, str] | None = None  # the CPU and the Python that a pace is one of
    late: float = 0.0  # share of a visit's samples, the most of any, that were not queued before the device began

    @classmethod
    def of(cls, benchmark: dict[str, Any]) -> "Row":
        """From one entry of pytest-benchmark's file. Raises KeyError, TypeError or ValueError for anything else."""
        told = benchmark["extra_info"]
        samples_s = tuple(float(sample) / told["calls"] for sample in benchmark["stats"]["data"])
        if not samples_s or not all(map(_timed, samples_s)):
            raise ValueError("its samples are not all seconds above 0")
        paces_s = tuple(float(pace_s) for pace_s in told.get("paces_s", ()))
        if len(paces_s) not in (0, len(samples_s)) or not all(map(_timed, paces_s)):
            raise ValueError("its paces are not all seconds above 0, one a sample")
        names = ("backend", "operation", "shape", "precision")
        work = {name: told[name] for name in ("flop", "bytes", "tokens", "peak_bytes")}
        around = {name: told.get(name) for name in ("throttled", "background")}
        timed = {
            "samples_s": samples_s,
            "paces_s": paces_s,
            "clock": str(told.get("clock", WALL)),
            "late": float(told.get("late", 0.0)),
        }
        return cls(**{name: str(told[name]) for name in names}, **work, **around, **timed)

    @property
    def queued_late(self) -> bool:
        """Whether the host's speed may be in what the device's clock says: more than LATE of a visit's samples."""
        return self.late > LATE

    @property
    def in_paces(self) -> tuple[float, ...]:
        """Each sample in what its core took beside it for the same piece of Python; () where that is not known."""
        if len(self.paces_s) != len(self.samples_s):
            return ()
        return tuple(sample / pace for sample, pace in zip(self.samples_s, self.paces_s, strict=True))

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What is measured, first, and where."""
        return self.operation, self.shape, self.precision, self.backend


def _timed(seconds: float) -> bool:
    """Whether anything takes so long: within these bounds the ratio of any two is finite."""
    return 1e-12 < seconds < 1e8


def load(path: Path) -> dict[tuple, Row]:
    """The rows of a file by key. Raises ValueError, in one line, for a file that holds none."""
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise ValueError(f"it is larger than {LARGEST_BYTES} bytes")
        document = json.loads(path.read_text("utf-8"))
        rows = merged(map(Row.of, document["benchmarks"]))
        backends = document.get("machine_info", {}).get("backends", {})
        probes_s, host = _probes_s(backends), _host(backends)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}; name a file of `pytest -m bench`") from None
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is no saved run ({error}); name a file of `pytest -m bench`") from None
    if not rows:
        raise ValueError(f"{path} holds no benchmark; name another file of `pytest -m bench`")
    return {key: replace(row, probes_s=_of_device(row.backend, probes_s), host=host) for key, row in rows.items()}


def _host(backends: dict[str, Any]) -> tuple[str, str] | None:
    for one in backends.values():
        cpu, python = ((one.get(part) or {}).get(name) for part, name in (("hardware", "cpu"), ("software", "python")))
        if cpu and python:
            return str(cpu), str(python)
    return None


def _probes_s(backends: dict[str, Any]) -> dict[tuple, float]:
    """By (backend, flop, precision), the quickest probe."""
    found = {}
    for name, one in backends.items():
        for probe in (one.get("state") or {}).get("probes", []):
            key, probe_s = (name, probe["flop"], probe["precision"]), float(probe["seconds"])
            if not _timed(probe_s):
                raise ValueError("its probes are not all seconds above 0")
            found[key] = min(probe_s, found.get(key, math.inf))
    return found


def _of_device(backend: str, probes_s: Mapping[tuple, float]) -> dict[tuple, float]:
    """What no backend does is the host's, as are the products of a CPU's."""
    return {
        (name, *product): probe_s
        for (name, *product), probe_s in probes_s.items()
        if name == backend or (backend == "host" and name.endswith("-cpu"))
    }


def merged(visits: Iterable[Row]) -> dict[tuple, Row]:
    """One row of each key: all samples in order, the first visit's peak, and the worst of what was around."""
    rows: dict[tuple, Row] = {}
    for visit in visits:
        row = rows.setdefault(visit.key, visit)
        if row is not visit:
            rows[visit.key] = replace(
                row,
                samples_s=row.samples_s + visit.samples_s,
                paces_s=row.paces_s + visit.paces_s,
                visits=row.visits + visit.visits,
                late=max(row.late, visit.late),
                throttled=row.throttled or visit.throttled,
                background=max((x for x in (row.background, visit.background) if x is not None), default=None),
            )
    return rows


def reject(benchmarks: Iterable) -> None:
    """A row that was wrong in one visit has no speed: pytest-benchmark is told so of its others."""

    def row(benchmark):
        return tuple(benchmark.extra_info.get(name) for name in ("operation", "shape", "precision", "backend"))

    wrong = {row(benchmark) for benchmark in benchmarks if benchmark.has_error}
    for benchmark in benchmarks:
        benchmark.fixture.has_error |= row(benchmark) in wrong


def machines(names: list[str], probes: Mapping[str, list]) -> dict[str, Any]:
    """By backend, the chip, the software and, of those that were probed, the ceiling and the machine's state.

    Takes the place of pytest-benchmark's record, which names the node.
    """
    found = {}
    for name in names:
        backend = backends.load(name)
        sections = {"hardware": hardware.detect(name), "software": identity.software(backend, backend.can_compile())}
        if name in probes:
            sections |= {"state": identity.state(probes[name]), "ceiling": _ceiling(name)}
        found[name] = {key: section and section.model_dump(mode="json") for key, section in sections.items()}
    return {"backends": found, "suite_version": identity.suite_version()}


def ceilings(names: Iterable[str]) -> dict[str, Ceiling | None]:
    """What each backend does at best here; None where that could not be measured."""
    return {name: _ceiling(name) for name in names}


@lru_cache
def _ceiling(name: str) -> Ceiling | None:
    try:
        return ceiling.in_a_child(backends.load(name), hardware.detect(name))
    except (ImpossibleRate, OSError) as error:
        print(f"no roofline for {name}: {error}", file=sys.stderr)
        return None


def commit() -> dict[str, Any]:
    """The checkout's; pytest-benchmark's own would add the project's path or remote."""
    sha, dirty = identity.commit()
    return {"id": sha, "dirty": dirty}


def make_private(document: dict[str, Any]) -> None:
    """Replace this machine's private strings, in place, wherever they stand."""
    secrets = private_strings()
    if any(leaks(document, secrets)):
        clean = json.loads(redact(json.dumps(document, default=str), secrets))
        document.clear()
        document.update(clean)
