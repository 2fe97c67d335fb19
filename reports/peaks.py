"""The rates that speeds are shares of: published for a chip, or the best measured on this one; and what exceeds them.

Test with `pytest -m fast -k peaks`.
"""

from collections.abc import Iterable, Iterator

from reports import schema
from reports.ceiling import Ceiling
from reports.chips import Chip, Peak, find


class ImpossibleRate(ValueError):
    """A speed above a certain peak: the measurement is wrong, whatever it says."""


def chip(machine: schema.Hardware, backend: str) -> Chip | None:
    """The chip's row; None where it is unknown, and on CPU backends, for which no peak is claimed."""
    return None if backend.endswith("-cpu") else find(machine.chip, machine.gpu_cores)


def published(machine: schema.Hardware, backend: str, precision: str) -> Peak | None:
    """The chip's peak at the precision that products were seen in."""
    row = chip(machine, backend)
    return row and row.peaks.get(precision)


def measured(ceiling: Ceiling | None, probes: Iterable[schema.Probe], policy: str) -> Peak | None:
    """The quickest product asked for in `policy`, of the ceiling's and the run's own probes."""
    rates = [probe.flop / probe.seconds for probe in probes if probe.precision == policy]
    rates += [rate] if ceiling and (rate := ceiling.flop_per_s(policy)) else []
    if not rates:
        return None
    best = max(rates)
    return Peak(f"the best GEMM measured here, {best / 1e9:.0f} GFLOP/s", best, "measured on this machine", False)


def denominator(published: Peak | None, measured: Peak | None) -> Peak | None:
    """What an MFU is a share of where one number is shown: the published peak, or else the best measured."""
    return published or measured


def impossible(ceiling: Ceiling, machine: schema.Hardware, backend: str) -> Iterator[tuple[str, bool]]:
    """(what is faster than the chip can be, whether that is certain) for each of the ceiling's rates."""
    for product in ceiling.products:
        peak = published(machine, backend, product.observed or product.precision)
        if peak and product.flop_per_s > peak.flop_per_s:
            times = product.flop_per_s / peak.flop_per_s
            yield f"a {product.precision} product ran at {times:.3g} times the chip's {peak.name} peak", peak.certain
    row, rate = chip(machine, backend), ceiling.bytes_per_s
    if row and row.bandwidth_bytes_per_s and rate and rate > row.bandwidth_bytes_per_s:
        yield f"a copy ran at {rate / row.bandwidth_bytes_per_s:.3g} times the chip's memory bandwidth", True


def require_possible(ceiling: Ceiling, machine: schema.Hardware, backend: str) -> None:
    """Raises ImpossibleRate for a rate above what is certain about the chip."""
    for reason, certain in impossible(ceiling, machine, backend):
        if certain:
            raise ImpossibleRate(f"{backend} on {machine.chip}: {reason}; the clock or the wait for results is wrong")
