"""The host's cores in turn, for work that one thread does, and how quick each is at the moment.

A core whose neighbour is busy is slow, and the system leaves a thread where it is: on a lent machine packing took 7.3
to 7.9 ms on four of ten cores and 10 to 13 on the others, each for as long as a visit. So every visit asks many cores.
macOS lets no program choose. And all of them are quicker or slower for minutes: see `pace_s`.

Test with `pytest -m meta bench/meta/test_cores.py`.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

LOOPS = 20_000  # a millisecond of Python


def pace_s() -> float:
    """Seconds of a fixed piece of Python, which the core that runs this takes at the moment.

    On two shared cores the quick tenths of packing, tokenising and loading varied by 12 to 15 % (one standard
    deviation) over stretches of four visits in 15 minutes, and their medians in units of this by 3.0, 3.3 and 5.4 %, by
    a script that was not kept.
    """
    start_s, total = time.perf_counter(), 0
    for i in range(LOOPS):
        total += i & 7
    return time.perf_counter() - start_s


@contextmanager
def taking_turns() -> Iterator[Callable[[], None]]:
    """Every second call moves Python's threads on by a core, each to its own; at the end all run where they did.

    Where no program may choose, nothing moves.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield lambda: None
        return
    allowed, turns, found = sorted(os.sched_getaffinity(0)), count(), {}
    for task in _tasks():
        with suppress(OSError):  # it has ended
            found[task] = os.sched_getaffinity(task)

    def move() -> None:
        first = next(turns) // 2  # inputs take turns too: a core meets two of them
        place({t.native_id: {allowed[(first + i) % len(allowed)]} for i, t in enumerate(threading.enumerate())})

    def place(chosen: dict) -> None:
        for task in _tasks():
            # What a library starts meanwhile has its starter's core, on which all of its threads would crowd.
            cores = chosen.get(task) or found.get(task) or allowed
            with suppress(OSError):  # it has ended, or this system refuses
                os.sched_setaffinity(task, cores)

    try:
        yield move
    finally:
        place({})


def _tasks() -> list[int]:
    return [int(task.name) for task in Path("/proc/self/task").iterdir()]
