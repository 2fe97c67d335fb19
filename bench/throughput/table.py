"""The table at the end of a session: backend by operation, with rates, the share of the roofline and peak memory.

Test with `pytest -m meta bench/meta/test_roof.py`.
"""

from collections.abc import Iterable, Mapping
from statistics import median

from bench.ceiling import Position, roofline
from bench.throughput.case import PRODUCT
from bench.throughput.clock import DEVICE, WALL
from bench.throughput.compare import interval
from bench.throughput.saved import Row
from bench.verdict import LEAST
from reports.ceiling import Ceiling, Product
from reports.flags import BUSY, slow_stretches

NOISY = 0.05  # an interval of the median wider than this share of it, on either side, is flagged
LIFT = 1.25  # a rest was seen to make products 1.2 times as quick
HEADER = f"{'operation':<31}{'shape':<19}{'precision':<10}{'backend':<11}{'median':>9}{'interval':>15}{'rate':>21}"


def show(rows: Iterable[Row], reporter, ceilings: Mapping[str, Ceiling | None]) -> None:
    """One line a row, the backends of one operation beneath each other."""
    rows = list(rows)
    roofs = {name: ceiling and lifted(ceiling, rows, name) for name, ceiling in ceilings.items()}
    reporter.write_line(f"{HEADER}{'roofline':>15}{'peak':>12}  flags")
    for row in sorted(rows, key=lambda row: row.key):
        reporter.write_line(line(row, position(row, roofs.get(row.backend))))


def lifted(ceiling: Ceiling, rows: Iterable[Row], backend: str) -> Ceiling:
    """The ceiling's products are sustained, and power lets a device that has rested be quicker: the best of `rows`.

    But no more than LIFT times: beyond, it is no product of that size.
    """
    rested = [
        row
        for row in rows
        if row.backend == backend and row.operation == PRODUCT and row.clock == DEVICE and not row.queued_late
    ]

    def quickest(product: Product) -> Product:
        rates = ((row.flop or 0) / median(row.samples_s) for row in rested if row.precision == product.precision)
        lift = min(LIFT, max(1.0, max(rates, default=0.0) / product.flop_per_s))
        return product.model_copy(update={"seconds": product.seconds / lift})

    return ceiling.model_copy(update={"products": tuple(map(quickest, ceiling.products))})


def position(row: Row, ceiling: Ceiling | None) -> Position | None:
    """Where a call stands under the roof of its backend. What was queued in time waits for no launch."""
    launches = int(row.clock == WALL or row.queued_late)
    return roofline(row.flop or 0, row.bytes or 0, median(row.samples_s), ceiling, row.precision, launches)


def line(row: Row, place: Position | None) -> str:
    """What cannot be known is a dash."""
    middle_s, (low_s, high_s) = median(row.samples_s), interval(row)
    peak = "-" if row.peak_bytes is None else f"{row.peak_bytes / 2**20:,.1f} MiB"
    share = "-" if place is None or not (row.flop or row.bytes) else f"{place.share:.0%} {place.limit}"
    spread = f"{low_s / middle_s - 1:+.1%} {high_s / middle_s - 1:+.1%}"
    return (
        f"{row.operation:<31}{row.shape:<19}{row.precision:<10}{row.backend:<11}{_time(middle_s):>9}{spread:>15}"
        f"{rate(row, middle_s):>21}{share:>15}{peak:>12}  {', '.join(flags(row, place))}"
    ).rstrip()


def rate(row: Row, call_s: float) -> str:
    """Tokens where they are counted, else FLOP where a product dominates, else bytes."""
    if row.tokens:
        return f"{row.tokens / call_s:,.0f} tokens/s"
    if row.flop:
        return f"{row.flop / call_s / 1e9:,.1f} GFLOP/s"
    return f"{row.bytes / call_s / 1e9:,.1f} GB/s" if row.bytes else "-"


def flags(row: Row, place: Position | None) -> list[str]:
    """What makes a row doubtful; its samples are kept."""
    middle_s, (low_s, high_s) = median(row.samples_s), interval(row)
    found = [f"{len(row.samples_s)} samples"] if len(row.samples_s) < LEAST else []
    found += ["noisy"] if max(high_s / middle_s - 1, 1 - low_s / middle_s) > NOISY else []
    found += ["queued late"] if row.queued_late else []
    found += ["slow stretch"] if slow_stretches(row.samples_s) else []
    found += [f"others busy {row.background:.0%}"] if row.background and row.background > BUSY else []
    found += ["throttled"] if row.throttled else []
    if place and round(place.share, 2) > 1:
        found.append("above the roof")
    return found


def _time(call_s: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if call_s >= size:
            return f"{call_s / size:.3g} {unit}"
    return f"{call_s / 1e-9:.3g} ns"
