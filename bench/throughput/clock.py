"""The clock of a benchmark: the wall's or, for work that is queued on a CUDA device, that device's own.

A GPU works off a queue. Where launching takes longer than the work, the wall times the host: on an H200 the gradients
of attention took 0.53 to 1.0 ms, as Python pleased. In training the host is ahead, so here it is too: while the device
works on one sample the next is queued, and before each the device rests, long enough for that.

Power lets a device that has rested be quicker: at commit bace8e3 products of 4096 took MLX on an H200 0.179 ms behind a
rest of half a sample or more, and 0.204 without; cross-entropy 1.69 and 1.79. A host is quicker or slower from visit to
visit, and must not decide which of the two a visit meets: every row rests for as long as it works, at least, and up to
half a second, but for those whose launches no queue holds. MPS and Metal have nothing that waits so.

Test with `pytest -m meta bench/meta/test_clock.py`.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

WORK = 2.0  # a rest and its sample take so many times the sample, and
LAUNCHES = 2.0  # so many times what launching the next takes by itself, whichever is longer
LONGER, LONGER_S = 4, 0.05  # times as many launches, where that was not time enough; up to which
LONGEST_S = 0.5  # of a rest: a launch that is longer is not launching alone, and a rest's nanoseconds are 32 bits
WALL, DEVICE = "wall", "device"


class Clock:
    """`read` is pytest-benchmark's timer; within `following` it may be the device's.

    Each sample is waited for at first, which tells what launching takes by itself: behind a full queue it takes as long
    as the queue. Once `ahead` is set, `read` is one sample behind.
    """

    def __init__(self):
        self._queue, self._device_s = None, 0.0
        self._forget()

    def _forget(self) -> None:
        self.ahead = False  # whether the next sample is queued while one runs
        self._launches = LAUNCHES
        self.late = False  # whether it began with the sample last read before all of it was queued
        self._before = None
        self._call_s, self._launch_s = 0.0, math.inf  # of one call, the last and the quickest

    @property
    def kind(self) -> str:
        """WALL or DEVICE."""
        return DEVICE if self._queue else WALL

    @property
    def room(self) -> int:
        """The most calls of a sample; the queue holds two samples."""
        return self._queue.ROOM if self._queue else Torch.ROOM

    @property
    def rests(self) -> bool:
        """Whether the device is ever told to."""
        return self._launches > 0

    def fewer(self, calls: int) -> int:
        """How many of `calls` to queue, where so many were late and the device `rests`.

        First it rests longer, where that is not too long, and only then there are fewer calls. Where one still does not
        fit, the device begins before all is queued, and goes on without a rest.
        """
        longer = LONGER * self._launches
        if longer * calls * self._launch_s <= LONGER_S:
            self._launches = longer
        elif calls > 1:
            calls //= 2
        else:
            self._launches = 0.0
        return calls

    @contextmanager
    def following(self, backend, waits: bool) -> Iterator[None]:
        """The device's own clock, where it has one and the work does not wait for itself. `backend` may be None."""
        self._queue = None if backend is None or waits else _queue(backend)
        try:
            yield
        finally:
            self._queue = None
            self._forget()  # another row's launches say nothing of the next one's

    def read(self) -> float:
        """Seconds since some moment; the device's are those that it spent on the samples told of."""
        return self._device_s if self._queue else time.perf_counter()

    def timed(self, calls: Sequence[Callable[[], Any]], wait: Callable[[list], object]) -> Any:
        """What the last of `calls` returns.

        By the wall's clock `wait` has then waited for what all of them return, by the device's once it is `ahead` only
        for the sample before.
        """
        if not self._queue:
            outputs = [call() for call in calls]
            wait(outputs)
            return outputs[-1]
        start = self._queue.begin(self._rest_s(len(calls)) if self.ahead else 0.0)
        begun_s = time.perf_counter()
        # Kept until they are computed: MLX gives the memory of what is dropped to what the host writes next.
        outputs = []
        for call in calls:
            outputs.append(call())
            self._queue.launch(outputs[-1])
        launch_s = time.perf_counter() - begun_s
        told = self._queue.end(start)
        if not self.ahead:
            self._launch_s = min(self._launch_s, launch_s / len(calls))
            self._tell(told()[0], len(calls))
            return outputs[-1]
        before, self._before = self._before, (told, outputs)
        if before:
            sample_s, self.late = before[0]()
            self._tell(sample_s, len(before[1]))
        return outputs[-1]

    def _tell(self, sample_s: float, calls: int) -> None:
        self._device_s += sample_s
        self._call_s = sample_s / calls

    def _rest_s(self, calls: int) -> float:
        sample_s = calls * self._call_s
        time_s = max(self._launches * calls * self._launch_s, WORK * sample_s)
        return min(time_s - sample_s, LONGEST_S) if self.rests else 0.0


class Torch:
    """Two events in the queue say what is between them took."""

    ROOM = 32
    TICKS_PER_S = 3e9  # a rest is counted in ticks of the GPU's clock, which is slower: an H200 rests 1.5 times as long

    def __init__(self, backend):
        self.cuda = backend.torch.cuda

    def begin(self, rest_s: float):
        """What `end` is to be given."""
        start = self.cuda.Event(enable_timing=True)
        if rest_s:
            self.cuda._sleep(int(rest_s * self.TICKS_PER_S))
        start.record()
        return start

    def launch(self, output) -> None:
        """Nothing: torch queues what is called."""

    def end(self, start) -> Callable[[], tuple[float, bool]]:
        """What waits for the end: () -> device seconds since `start`, whether it began before all was queued."""
        early, end = start.query(), self.cuda.Event(enable_timing=True)
        end.record()

        def told():
            end.synchronize()
            return start.elapsed_time(end) / 1e3, early

        return told


class Mlx:
    """MLX has no events that tell the time: a kernel does, at the end of the rest and, without one, after the work."""

    ROOM = 8  # of 32 graphs behind a kernel that waits not all found room before it ended; 16 did
    HOLD = """
        unsigned long long now;
        asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
        const unsigned long long until = now + nanoseconds[0];
        while (now < until) asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
        at[0] = now;
    """

    def __init__(self, backend):
        self.mx = backend.mx
        # Of the two clocks, to the tens of microseconds that a wait takes to return.
        self.apart_s = min(-self._hold(0.0)() / 1e9 + time.perf_counter() for _ in range(3))
        self.stamp_s = 0.0
        # A kernel that tells the time takes some itself: at commit 3029dea samples of one call were 8 us longer.
        self.stamp_s = min(self._nothing_s() for _ in range(5))

    def begin(self, rest_s: float):
        """What `end` is to be given."""
        return self._hold(rest_s)

    def launch(self, output) -> None:
        """By itself: what is evaluated together runs side by side, which is no stream's order.

        Of 200 independent products of 1024 an H200 took 0.031 ms each so, and 0.007 for one after another.
        """
        self.mx.async_eval(output)

    def end(self, start) -> Callable[[], tuple[float, bool]]:
        """What waits for the end: () -> device seconds since `start`, whether it began before all was queued."""
        launched_s, end = time.perf_counter(), self._hold(0.0)

        def told():
            ended_ns, started_ns = end(), start()
            sample_s = max((ended_ns - started_ns) / 1e9 - self.stamp_s, 1e-9)  # of a clock that ticks seldom
            return sample_s, started_ns / 1e9 + self.apart_s < launched_s

        return told

    def _nothing_s(self) -> float:
        """A sample of no calls, which is queued while the device rests."""
        start = self.begin(1e-3)
        return self.end(start)()[0]

    def _hold(self, rest_s: float) -> Callable[[], int]:
        """Rest; what is returned waits for the end of it, and gives the device's nanoseconds then."""
        from impl.mlx import cuda

        nanoseconds = self.mx.array([round(rest_s * 1e9)], self.mx.uint32)
        (at,) = cuda.launch("hold", self.HOLD, {"nanoseconds": nanoseconds}, {"at": ((1,), self.mx.uint64)}, {}, 1, 1)
        self.mx.async_eval(at)  # by itself, so that it ends before what follows begins
        return at.item


def _queue(backend) -> Torch | Mlx | None:
    if backend.name == "torch-cuda":
        return Torch(backend)
    if backend.name == "mlx-cuda" and hasattr(backend.mx.fast, "cuda_kernel"):  # not in early releases
        return Mlx(backend)
    return None


CLOCK = Clock()  # one, because pytest-benchmark takes its timer when tests are collected
