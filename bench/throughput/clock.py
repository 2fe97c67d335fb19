"""The clock of a benchmark: the wall's or, for work that is queued on a CUDA device, that device's own.

A GPU works off a queue. Where launching takes longer than the work, the wall times the host: on an H200 the gradients
of attention took 0.53 to 1.0 ms, as Python pleased. In training the host is ahead, so here it is too: the device is
told to wait until all is queued. MPS and Metal have nothing that waits so.

Test with `pytest -m meta bench/meta/test_clock.py`.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

AHEAD, FORGOTTEN = 1.5, 0.8  # the wait, in the longest launch of late; what is left of one after each later
LONGEST_S = 0.04  # a launch that compiles, or itself waits for the device, is not waited for much longer
WALL, DEVICE = "wall", "device"


class Clock:
    """`read` is pytest-benchmark's timer; within `following` it may be the device's."""

    def __init__(self):
        self.late = False  # whether the last launch outlasted the wait: the device then worked as the host pleased
        self._queue, self._device_s, self._launch_s = None, 0.0, 0.0

    @property
    def kind(self) -> str:
        """WALL or DEVICE."""
        return DEVICE if self._queue else WALL

    @contextmanager
    def following(self, backend, waits: bool) -> Iterator[None]:
        """The device's own clock, where it has one and the work does not wait for itself. `backend` may be None."""
        self._queue = None if backend is None or waits else _queue(backend)
        self._device_s = self._launch_s = 0.0
        try:
            yield
        finally:
            self._queue, self.late = None, False

    def read(self) -> float:
        """Seconds since some moment; the device's stand still while nothing is timed."""
        return self._device_s if self._queue else time.perf_counter()

    def timed(self, launch: Callable[[], Any], wait: Callable[[Any], object]) -> Any:
        """What `launch` returns, after `wait` has waited for it."""
        if not self._queue:
            output = launch()
            wait(output)
            return output
        ahead_s = AHEAD * self._launch_s
        output, launch_s, device_s = self._queue.timed(ahead_s, launch, wait)
        self.late = launch_s > ahead_s
        self._device_s += device_s
        self._launch_s = min(LONGEST_S, max(launch_s, FORGOTTEN * self._launch_s))
        return output


class Torch:
    """Two events in the queue say what is between them took."""

    TICKS_PER_S = 3e9  # a wait is counted in ticks of the GPU's clock, which is slower: it is no shorter than asked

    def __init__(self, backend):
        self.cuda = backend.torch.cuda

    def timed(self, ahead_s: float, launch, wait) -> tuple[Any, float, float]:
        """The output, seconds of the launch, seconds on the device."""
        start, end = (self.cuda.Event(enable_timing=True) for _ in range(2))
        self.cuda._sleep(int(ahead_s * self.TICKS_PER_S))
        start.record()
        begun_s = time.perf_counter()
        output = launch()
        launch_s = time.perf_counter() - begun_s
        end.record()
        wait(output)
        return output, launch_s, start.elapsed_time(end) / 1e3


class Mlx:
    """MLX has no events that tell the time: a kernel does, at the end of the wait and, without one, after the work."""

    HOLD = """
        unsigned long long now;
        asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
        const unsigned long long until = now + nanoseconds[0];
        while (now < until) asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
        at[0] = now;
    """

    def __init__(self, backend):
        self.mx = backend.mx

    def timed(self, ahead_s: float, launch, wait) -> tuple[Any, float, float]:
        """The output, seconds of the launch, seconds on the device."""
        start = self._hold(ahead_s)
        begun_s = time.perf_counter()
        output = launch()
        self.mx.async_eval(output)
        launch_s = time.perf_counter() - begun_s
        end = self._hold(0.0)
        wait(output)
        return output, launch_s, (end.item() - start.item()) / 1e9

    def _hold(self, ahead_s: float):  # -> (1,) uint64: the device's nanoseconds when it ends; launched alone
        from impl.mlx import cuda

        nanoseconds = self.mx.array([round(ahead_s * 1e9)], self.mx.uint32)
        (at,) = cuda.launch("hold", self.HOLD, {"nanoseconds": nanoseconds}, {"at": ((1,), self.mx.uint64)}, {}, 1, 1)
        self.mx.async_eval(at)
        return at


def _queue(backend) -> Torch | Mlx | None:
    if backend.name == "torch-cuda":
        return Torch(backend)
    if backend.name == "mlx-cuda" and hasattr(backend.mx.fast, "cuda_kernel"):  # not in early releases
        return Mlx(backend)
    return None


CLOCK = Clock()  # one, because pytest-benchmark takes its timer when tests are collected
