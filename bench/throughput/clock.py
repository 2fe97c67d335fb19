"""The clock of a benchmark: the wall's or, for work that torch queues on a CUDA device, that device's own.

A GPU works off a queue. Where launching takes longer than the work, the wall times Python: on an H200 the gradients of
attention took 0.53 to 1.0 ms, as the host pleased. In training the host is ahead, so here it is too: the device is told
to wait until all is queued, and two events in its queue say what it took. MLX and MPS have no wait to queue behind.

Test with `pytest -m meta bench/meta/test_clock.py`.
"""

import time
from collections.abc import Callable
from typing import Any

AHEAD, FORGOTTEN = 1.5, 0.8  # the wait, in the longest launch of late; what is left of one after each later
LONGEST_S = 0.04  # a launch that compiles, or itself waits for the device, is not waited for
TICKS_PER_S = 2e9  # a wait is counted in ticks of the GPU's clock, which is slower, so that it is no shorter than asked
WALL, DEVICE = "wall", "device"


class Clock:
    """`read` is pytest-benchmark's timer; `follow` says, before a case, what it reads."""

    def __init__(self):
        self._torch, self._device_s, self._launch_s = None, 0.0, 0.0

    @property
    def kind(self) -> str:
        """WALL or DEVICE."""
        return DEVICE if self._torch else WALL

    def follow(self, backend, waits: bool) -> None:
        """The device's own clock, where it has one and the work does not wait for itself. `backend` may be None."""
        queued = backend is not None and backend.name == "torch-cuda" and not waits
        self._torch, self._device_s, self._launch_s = backend.torch if queued else None, 0.0, 0.0

    def read(self) -> float:
        """Seconds since some moment; the device's stand still while nothing is timed."""
        return self._device_s if self._torch else time.perf_counter()

    def timed(self, launch: Callable[[], Any], wait: Callable[[Any], object]) -> Any:
        """What `launch` returns, after `wait` has waited for it."""
        if not self._torch:
            output = launch()
            wait(output)
            return output
        cuda = self._torch.cuda
        start, end = (cuda.Event(enable_timing=True) for _ in range(2))
        cuda._sleep(int(AHEAD * self._launch_s * TICKS_PER_S))
        start.record()
        begun_s = time.perf_counter()
        output = launch()
        launch_s = time.perf_counter() - begun_s
        end.record()
        wait(output)
        self._device_s += start.elapsed_time(end) / 1e3
        self._launch_s = min(LONGEST_S, max(launch_s, FORGOTTEN * self._launch_s))
        return output


CLOCK = Clock()  # one, because pytest-benchmark takes its timer when tests are collected


def read() -> float:
    """The timer of every benchmark."""
    return CLOCK.read()
