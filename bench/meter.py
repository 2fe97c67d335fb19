"""What training cost and what disturbed it: energy, throttling, other processes; nothing is read inside a timed step.

Test with `pytest -m fast -k meter`.
"""

import time
from collections.abc import Callable
from contextlib import contextmanager

import psutil

from bench import sensors
from bench.sensors import Reading


class Meter:
    """Runs while training does and stands still in between; `joules` is None once any stretch could not be read."""

    def __init__(self, read: Callable[[], Reading]):
        self.read = read
        self.joules: float | None = 0.0
        self.method: str | None = None
        self.reasons: list[str] = []
        self.can_tell = True
        self.thermal: str | None = None  # the system's own word for it, when last read
        self._since: Reading | None = None

    def __enter__(self) -> "Meter":
        self._since = self.read()
        self._background = Background()
        return self

    def __exit__(self, *_) -> None:
        self._add()
        self._since = None
        self.background = self._background.share()

    @contextmanager
    def paused(self):
        """For what is not training; `joules` is up to date inside."""
        self._add()
        try:
            yield
        finally:
            self._since = self.read()

    @property
    def throttled(self) -> str | None:
        """Why the chip was held back; "" where it says that it was not, None where it cannot say."""
        return "; ".join(dict.fromkeys(self.reasons)) or ("" if self.can_tell else None)

    def _add(self) -> None:
        if self._since is None:
            return
        now = self.read()
        grown = sensors.energy_j(self._since, now)
        self.joules = None if grown is None or self.joules is None else self.joules + grown
        self.method = now.energy_method if self.joules is not None else None
        reason = sensors.throttled(self._since, now)
        self.reasons += [reason] if reason else []
        self.thermal = now.thermal
        self.can_tell &= sensors.can_tell(self._since, now)


class Background:
    """The share of all CPUs that other processes kept busy since this was made."""

    def __init__(self):
        self.at_s, self.busy_s, self.own_s = time.monotonic(), _busy_s(), _own_s()

    def share(self) -> float | None:
        """In [0, 1]; None where the time is too short for counters that tick in hundredths of a second."""
        elapsed_s = time.monotonic() - self.at_s
        cpus = psutil.cpu_count() or 0
        if elapsed_s < 0.5 or not cpus:
            return None
        others_s = (_busy_s() - self.busy_s) - (_own_s() - self.own_s)
        return min(1.0, max(0.0, others_s / (elapsed_s * cpus)))


def _busy_s() -> float:
    """Of all CPUs, for anyone."""
    times = psutil.cpu_times()
    return sum(getattr(times, name, 0.0) for name in ("user", "nice", "system", "irq", "softirq"))


def _own_s() -> float:
    """Of this process and its children, those that ended included."""
    process = psutil.Process()
    times = process.cpu_times()
    total_s = times.user + times.system + getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
    for child in process.children(recursive=True):
        try:
            of_child = child.cpu_times()
        except psutil.Error:  # it has just ended
            continue
        total_s += of_child.user + of_child.system
    return total_s
