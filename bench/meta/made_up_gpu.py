"""A made-up CUDA device and its host, for tests of the clock that reads them: both go by the times they are told.

Test with `pytest -m meta bench/meta/test_clock.py`.
"""

from types import SimpleNamespace

from bench.throughput import clock

GPU_HZ = 1.98e9
EPOCH_S = 1e6  # the device's clock is another
STAMP_S = 8e-6  # a kernel that tells the time


class Machine:
    """A host whose launches take their time, and a device that does one thing after another, as the clock asks them.

    `now_s` is the host's time, `free_s` when the device is through with what it was given, `rested_s` what it waited as
    asked. Its queue has `room` for so many calls: the host waits where it is full.
    """

    room = 1000

    def __init__(self, monkeypatch):
        self.now_s = self.free_s = self.rested_s = 0.0
        self.ends_s = []
        monkeypatch.setattr(clock.time, "perf_counter", lambda: self.now_s)
        machine = self

        class Event:
            def __init__(self, enable_timing):
                assert enable_timing

            def record(self):
                self.at_s = max(machine.free_s, machine.now_s)

            def query(self):
                return machine.now_s >= self.at_s

            def synchronize(self):
                machine.now_s = max(machine.now_s, self.at_s)

            def elapsed_time(self, other):
                assert other.query(), "an event that has not come to pass has no time"
                return (other.at_s - self.at_s) * 1e3

        def hold(seconds):
            self.rest(seconds)
            self.work(STAMP_S)
            stamp = Event(enable_timing=True)
            stamp.record()
            return lambda: stamp.synchronize() or round(1e9 * (stamp.at_s + EPOCH_S))

        torch = SimpleNamespace(cuda=SimpleNamespace(Event=Event, _sleep=lambda ticks: self.rest(ticks / GPU_HZ)))
        self.evaluated = []
        core = SimpleNamespace(fast=SimpleNamespace(cuda_kernel=None), async_eval=self.evaluated.append)
        self.backends = [SimpleNamespace(name="torch-cuda", torch=torch), SimpleNamespace(name="mlx-cuda", mx=core)]
        monkeypatch.setattr(clock.Mlx, "_hold", lambda queue, rest_s: hold(rest_s))

    def rest(self, seconds):
        self.rested_s += seconds
        self.work(seconds)

    def work(self, device_s):
        self.free_s = max(self.free_s, self.now_s) + device_s

    def launch(self, host_s, device_s):
        self.now_s += host_s
        if len(self.ends_s) >= self.room:
            self.now_s = max(self.now_s, self.ends_s[-self.room])
        self.work(device_s)
        self.ends_s.append(self.free_s)
        return len(self.ends_s)

    def wait(self, _=None):
        self.now_s = max(self.now_s, self.free_s)
