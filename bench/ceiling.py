"""What this machine does at best: products, a copy, the cost of a tiny operation; `python -m bench.ceiling`.

Measured once for each chip, its versions and settings, and kept in the cache. Test with `pytest -m fast -k ceiling`.
"""

import argparse
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import count
from pathlib import Path
from statistics import median

import numpy as np
from pydantic import ValidationError

from bench import fingerprint, hardware, identity, subject
from bench.measure import seconds
from bench.meter import Background
from impl import backend as backends
from impl.data import atomic
from impl.data.prepare import default_cache
from reports import peaks, schema
from reports.ceiling import Ceiling, Product
from reports.flags import BUSY

METHOD = 2  # a change of what is measured is a new one, so that nothing kept under the old is used
PRECISIONS = ("bfloat16", "float32")
# Rows, inner, columns: squares, and the products of a model 512 wide over the tokens of one device batch.
SHAPES = {
    "cpu": ((512, 512, 512), (1024, 1024, 1024), (2048, 2048, 2048), (4096, 256, 1024)),
    "gpu": ((2048, 2048, 2048), (4096, 4096, 4096), (8192, 8192, 8192), (16384, 4096, 4096), (65536, 512, 2048)),
}
PRECISION_S = 6.0  # for all shapes of a precision
STRETCH_S = 0.6  # of one shape, in samples that take at least SAMPLE_S: long enough for clocks to settle under load
SAMPLE_S = 0.01
MOST_AT_ONCE = 64  # results that wait for one synchronisation, and
MOST_BYTES_AT_ONCE = 2**31
COPY_BYTES = 2**28  # beyond every cache, and 1 % of the smallest memory
TINY = 1000
REFUSED = 2  # exit status: a wrong call, or a rate that cannot be


@dataclass(frozen=True)
class Position:
    """Where a time stands under the roof: `share` of what the `limit` (compute, bandwidth or launch) allows."""

    share: float
    limit: str


def roofline(
    flop: float, bytes_: float, seconds: float, ceiling: Ceiling | None, precision: str, launches: int = 1
) -> Position | None:
    """The binding limit of work that took `seconds`, and the share of it that was reached; None where none is known.

    `precision` is that of the products. A share above 1 says that the work is not what `flop` and `bytes_` claim, or
    that a cache held its data.
    """
    if ceiling is None:
        return None
    rates = {"compute": (flop, ceiling.flop_per_s(precision)), "bandwidth": (bytes_, ceiling.bytes_per_s)}
    least_s = {name: work / rate for name, (work, rate) in rates.items() if rate and work}
    if ceiling.launch_s:
        least_s["launch"] = launches * ceiling.launch_s
    if not least_s:
        return None
    limit = max(least_s, key=least_s.__getitem__)
    return Position(least_s[limit] / seconds, limit)


def of(backend, machine: schema.Hardware | None = None, again: bool = False) -> Ceiling:
    """The kept ceiling of this backend, chip, versions and power, or a new one. Raises ImpossibleRate for nonsense.

    One that a CPU was seen to reach beside other work is not kept: it is no ceiling.
    """
    machine = machine or hardware.detect(backend.name)
    path = _path(backend, machine)
    found = None if again else _kept(path)
    if found is None:
        found = measure(backend)
        peaks.require_possible(found, machine, backend.name)
        if not _beside_others(backend.name, found):
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic.replacing(path) as temporary:
                temporary.write_text(found.model_dump_json())
    return found


def in_a_child(backend, machine: schema.Hardware) -> Ceiling | None:
    """The same as `of`, measured in a process of its own: its arrays would be this one's peak memory.

    None, and a line that says why, where it could not be measured: no run is lost for that.
    """
    found = _kept(_path(backend, machine))
    if found is not None:
        return found
    command = [sys.executable, "-m", "bench.ceiling", "--backend", backend.name, "--json"]
    done = subprocess.run(command, cwd=identity.ROOT, capture_output=True, text=True)
    last = (done.stderr.strip() or "it said nothing").splitlines()[-1]
    if done.returncode == REFUSED:
        raise peaks.ImpossibleRate(last.removeprefix("error: "))
    if done.returncode:
        print(f"no ceiling: `python -m bench.ceiling --backend {backend.name}` failed ({last})", file=sys.stderr)
        return None
    return Ceiling.model_validate_json(done.stdout.splitlines()[-1])


def key(backend, machine: schema.Hardware) -> str:
    """A hash of all that a rate can hang on: chip, limits, versions, settings, power source."""
    software = identity.software(backend, backend.can_compile()).model_dump(exclude={"compiled"})
    parts = [
        METHOD,
        software,
        identity.packages(),
        machine.model_dump(exclude={"memory_bytes", "gpu_memory_bytes"}),
        hardware.power_state(),
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def measure(backend) -> Ceiling:
    """Everything, within 20 s on all but the slowest BLAS."""
    asked, background = subject.load(backend.name), Background()
    return Ceiling(
        measured_utc=datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        products=tuple(_product(backend, asked, precision) for precision in PRECISIONS),
        copy_bytes=2 * COPY_BYTES,
        copy_s=_copy_s(backend),
        launch_s=_launch_s(backend),
        sync_s=_sync_s(backend),
        background=background.share(),
    )


def _product(backend, asked, precision: str) -> Product:
    """The best of SHAPES, largest rate first met last: a shape that would not fit into the time is left out."""
    best, rate, spent_s = None, None, 0.0
    for shape in SHAPES["cpu" if backend.name.endswith("-cpu") else "gpu"]:
        flop = 2 * shape[0] * shape[1] * shape[2]
        if rate and spent_s + 4 * flop / rate > PRECISION_S:
            continue
        try:
            took_s, of_one_s = _multiplied(backend, precision, shape)
        except (MemoryError, RuntimeError) as error:
            if not backends.out_of_memory(error) or best is None:
                raise
            continue
        spent_s += took_s
        if rate is None or flop / of_one_s > rate:
            best, rate = (shape, of_one_s), flop / of_one_s
    assert best is not None
    observed = fingerprint.observed(asked, precision, ["gemm"])["gemm"]
    return Product.model_validate({"precision": precision, "observed": observed, "shape": best[0], "seconds": best[1]})


def _multiplied(backend, precision: str, shape: tuple[int, int, int]) -> tuple[float, float]:
    """(seconds spent, median seconds of one product over a stretch); of random values, which cost a GPU more power."""
    rng = np.random.default_rng(0)
    a = backend.array(rng.standard_normal(shape[:2], np.float32), precision)
    b = backend.array(rng.standard_normal(shape[1:], np.float32), precision)
    fits = MOST_BYTES_AT_ONCE // (4 * shape[0] * shape[2])
    return _stretch(lambda n: backend.sync([a @ b for _ in range(n)]), most=min(MOST_AT_ONCE, max(1, fits)))


def _copy_s(backend) -> float:
    """Read COPY_BYTES and write as many: an addition, since a copy may be put off until it is written to."""
    x = backend.array(np.ones(COPY_BYTES // 4, np.float32), "float32")
    return _stretch(lambda n: backend.sync([x + 1.0 for _ in range(n)]), most=4)[1]


def _launch_s(backend) -> float:
    """Of one tiny addition in a chain of TINY, each of which needs the one before."""
    x = backend.array(np.ones(8, np.float32), "float32")

    def chain(n):
        y = x
        for _ in range(n * TINY):
            y = y + 1.0
        backend.sync(y)

    return _stretch(chain, most=1)[1] / TINY


def _sync_s(backend) -> float:
    """Of one tiny addition and the wait for it."""
    x = backend.array(np.ones(8, np.float32), "float32")
    return _stretch(lambda n: backend.sync(x + 1.0), most=1)[1]


def _stretch(repeat: Callable[[int], object], most: int = MOST_AT_ONCE) -> tuple[float, float]:
    """(seconds in all, median seconds of one) of `repeat(n)`, called for STRETCH_S with n that fills a sample."""
    first_s = seconds(lambda: repeat(1))
    one_s = seconds(lambda: repeat(1))  # the first also compiles, or chooses a kernel
    n = max(1, min(most, round(SAMPLE_S / one_s)))
    samples: list[float] = []
    for _ in count():
        samples.append(seconds(lambda: repeat(n)))
        if sum(samples) >= STRETCH_S:
            break
    return first_s + one_s + sum(samples), median(samples) / n


def _beside_others(name: str, found: Ceiling) -> bool:
    return name.endswith("-cpu") and (found.background or 0) > BUSY


def _path(backend, machine: schema.Hardware) -> Path:
    return default_cache() / "ceiling" / f"{backend.name}-{key(backend, machine)}.json"


def _kept(path: Path) -> Ceiling | None:
    try:
        return Ceiling.model_validate_json(path.read_text())
    except (OSError, UnicodeDecodeError, ValidationError):
        return None


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.ceiling", description="Measure what this machine does best.")
    parser.add_argument("--backend", metavar="NAME", help="default: the best that is here")
    parser.add_argument("--again", action="store_true", help="measure even where the cache holds an answer")
    parser.add_argument("--json", action="store_true", help="print it as a report keeps it")
    options = parser.parse_args(arguments)
    try:
        backend = backends.load(options.backend)
        machine = hardware.detect(backend.name)
        found = of(backend, machine, options.again)
    except (backends.BackendError, peaks.ImpossibleRate) as error:
        print(f"error: {error}", file=sys.stderr)
        return REFUSED
    if options.json:
        print(found.model_dump_json())
        return 0
    print(f"{backend.name} on {machine.chip}, measured {found.measured_utc}")
    for product in found.products:
        published = peaks.published(machine, backend.name, product.observed or product.precision)
        share = f", {product.flop_per_s / published.flop_per_s:.1%} of {published.name}" if published else ""
        seen = "" if product.observed == product.precision else f" (seen: {product.observed})"
        shape = " x ".join(map(str, product.shape))
        print(f"product   {product.precision}{seen}: {product.flop_per_s / 1e12:.3g} TFLOP/s at {shape}{share}")
    if found.bytes_per_s:
        print(f"copy      {found.bytes_per_s / 1e9:.3g} GB/s, read and written")
    for name in ("launch_s", "sync_s"):
        print(f"{name.removesuffix('_s'):<10}{getattr(found, name) * 1e6:.3g} us")
    if _beside_others(backend.name, found):
        print(f"doubtful  other processes kept {found.background:.0%} of the CPUs busy: not kept, measure again")
    return 0


if __name__ == "__main__":
    sys.exit(main())
