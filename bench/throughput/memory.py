"""The peak memory of one call, and how it was read; None where it cannot be.

Test with `pytest -m meta bench/meta/test_throughput.py`.
"""

import os
import tracemalloc
from collections.abc import Callable


def peak_of(backend, action: Callable[[], object]) -> tuple[int | None, str]:
    """(bytes, method). A device's peak counts what was held before the call too; the host's only what the call takes.

    `backend` is None for work of NumPy and Python alone.
    """
    if backend is None:
        return _of_python(action), "tracemalloc, above the start of the call"
    if backend.name == "torch-cpu":  # where the process's resident set would show every earlier case
        return _of_torch(backend.torch, action), "torch.profiler, above the start of the call"
    backend.reset_peak_memory()
    action()
    return backend.peak_memory_bytes(), backend.memory_method


def _of_python(action) -> int:
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _of_torch(torch, action) -> int | None:
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else the profiler writes to the terminal each time it starts
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        action()
    events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak if events else None
