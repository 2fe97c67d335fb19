"""Two saved runs beside each other: per row, faster, slower, the same, or cannot tell.

Test with `pytest -m meta bench/meta/test_throughput.py`.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from statistics import median

import numpy as np

from bench.throughput.case import INTEGERS
from bench.throughput.saved import Row
from bench.verdict import APART, CANNOT_TELL, FASTER, SAME, SLOWER, Comparison, drawn_quantiles, independent

LEVEL = 0.95
# What two sessions may differ by in preparing data, which a core of the host does: all cores of a machine are quicker
# for minutes, as their neighbours please. Of 63 intervals between rows of equal sessions on five lent machines, in
# seconds, 48 were within this, by a script that was not kept.
APART_HOST = 0.15
# Of samples in the pace of their core, which slows with them. Of 84 intervals between rows of eight equal sessions on
# two shared cores, 54 of the quick quarters are within APART_HOST; by a script that was not kept, 44 of the medians,
# and 7 of quick tenths in seconds.
PACED = 0.25


def interval(row: Row) -> tuple[float, float]:
    """Where the median of the seconds lies, by a bootstrap of visits."""
    drawn = drawn_quantiles(row.samples_s, 0.5, row.visits)
    low, high = np.quantile(drawn, (0.5 - LEVEL / 2, 0.5 + LEVEL / 2))
    return float(low), float(high)


def compare(old: Mapping[tuple, Row], new: Mapping[tuple, Row]) -> dict[tuple, Comparison]:
    """New against old for each row that both runs have, timed by the same clock."""
    both = ((key, old[key], new[key]) for key in sorted(old.keys() & new.keys()))
    return {key: _compared(a, b, apart(key)) for key, a, b in both if a.clock == b.clock}


def _compared(a: Row, b: Row, apart: float) -> Comparison:
    visits = (a.visits, b.visits)
    if paced(a, b):  # what slows both is not in it, nor is the machine
        return independent(a.in_paces, b.in_paces, visits, apart, share=PACED)
    return independent(a.samples_s, b.samples_s, visits, apart, machine(a, b))


def paced(old: Row, new: Row) -> bool:
    """Whether both runs have the pace of the cores that took their samples, of the same Python on the same CPU."""
    return bool(old.in_paces and new.in_paces and old.host and old.host == new.host)


def machine(old: Row, new: Row) -> float:
    """How much longer a probe product took in the new session, the most of any; 1 where they have none in common."""
    ratios = [new.probes_s[product] / old.probes_s[product] for product in old.probes_s.keys() & new.probes_s.keys()]
    return max(ratios, key=lambda ratio: max(ratio, 1 / ratio), default=1.0)


def unlike_machines(old: Mapping[tuple, Row], new: Mapping[tuple, Row]) -> Iterator[str]:
    """A line for each backend whose machine differs by more than its rows may."""
    both = (key for key in sorted(old.keys() & new.keys()) if not paced(old[key], new[key]))
    found = {key[-1]: machine(old[key], new[key]) for key in both}
    for backend, ratio in found.items():
        if max(ratio, 1 / ratio) > 1 + APART:
            yield (
                f"{backend}: the same product took {ratio:.2f} times as long in the new run; "
                "only what is beyond that is called a change"
            )


def prepares_data(key: tuple[str, str, str, str]) -> bool:
    """Whether a core of the host does what this row measures."""
    _, _, precision, _ = key
    return precision == INTEGERS


def apart(key: tuple[str, str, str, str]) -> float:
    """How far from 1 the ratio of two sessions of this row may be, for nothing to have changed."""
    return APART_HOST if prepares_data(key) else APART


def line(key: tuple[str, str, str, str], found: Comparison, old: Row, new: Row) -> str:
    """A row of the comparison's table."""
    operation, shape, precision, backend = key
    spread = f"{found.low:.3f} {found.high:.3f}"
    name = f"{operation:<31}{shape:<19}{precision:<10}{backend:<11}"
    within = f" within {APART_HOST:.0%}" if prepares_data(key) and found.verdict == SAME else ""
    notes = [", queued late"] if old.queued_late or new.queued_late else []
    notes += [", in the pace of its core"] if paced(old, new) else []
    return f"{name}{found.ratio:>8.3f}{spread:>16}  {found.verdict}{within}{''.join(notes)}"


def summaries(changes: Mapping[tuple, Comparison]) -> Iterator[str]:
    """The rows together; then, where there are both, those of the device and of the host, which others disturb more."""
    host = [change for key, change in changes.items() if prepares_data(key)]
    device = [change for key, change in changes.items() if not prepares_data(key)]
    yield summary("", list(changes.values()))
    if host and device:
        yield summary("computing, ", device)
        yield summary(f"preparing data, compared within {APART_HOST:.0%}, ", host)


def summary(of: str, changes: Sequence[Comparison]) -> str:
    """How many of each verdict, the share of SAME, and the median change, signed and in size."""
    counts = Counter(change.verdict for change in changes)
    words = ", ".join(f"{counts[verdict]} {verdict}" for verdict in (SAME, FASTER, SLOWER, CANNOT_TELL))
    signed = median(change.ratio - 1 for change in changes)
    size = median(abs(change.ratio - 1) for change in changes)
    share = counts[SAME] / len(changes)
    return f"{of}{len(changes)} rows: {words}; SAME {share:.1%}; median change {signed:+.2%}, in size {size:.2%}"
