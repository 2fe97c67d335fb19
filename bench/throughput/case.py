"""One operation at one shape, and how it is timed: rotated inputs, raw samples, outputs checked after the last of them.

Test with `pytest -m meta bench/meta/test_case.py`.
"""

import gc
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any

import numpy as np

from bench.throughput.clock import CLOCK, DEVICE
from bench.throughput.cores import pace_s, taking_turns
from bench.throughput.memory import peak_of

SAMPLE_S, SHORT = 0.02, 1 / 8  # a call that is no longer than this share of a visit is timed again
VISITS = 4  # of a row, spread over the session, so that its interval holds what drifts
MOST, ENOUGH = 250, 8  # samples a visit
STRETCHED = 4  # times its budget is what a visit may take for enough of them
PATIENCE = 2  # times as many samples, and the time for them, where a core of the host is timed
KEPT_ELEMENTS = 2**14  # of each output, evenly spread, are compared with those from before the timing
# Between two calls on the same inputs only the order of sums may differ, by atomics or another kernel.
INTEGERS = "integers"  # the precision of data
PRODUCT = "gemm"  # the operation that reaches the roof
ALLOWED = {"float32": 2.0**-12, "bfloat16": 2.0**-5, INTEGERS: 0.0}


class WrongOutput(AssertionError):
    """What the timed calls computed is not what the same call computed before."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """`call` is given one of `inputs` and returns arrays that need not be ready or, where it `waits`, anything.

    `flop`, `bytes` and `tokens` are those of one call, None where they say nothing; bytes are the least that must move.
    A call that changes its own state is checked by `check(output)`, which raises AssertionError, instead of by itself.
    """

    operation: str
    shape: str
    precision: str
    call: Callable[..., Any]
    inputs: Sequence[tuple]
    flop: int | None = None
    bytes: int | None = None
    tokens: int | None = None
    waits: bool = False
    check: Callable[[Any], None] | None = None


def prepare(case: Case, backend, settle_s: float) -> None:
    """What comes before the first visit: what is made once, as compiled kernels, and a device at work.

    A GPU waits while its host compiles, and cools: at commit 6be7aae a model's gradients took an H200 30.3 ms then, and
    31.1 to 32.8 in all later visits. Raises WrongOutput.
    """
    target = Target(case, backend)
    _require_varied([target.fingerprint(*given) for given in case.inputs], case)
    _settle(lambda: target.of(case.inputs[:1]), settle_s)


def run(case: Case, benchmark, backend, budget_s: float, settle_s: float, first: bool = True) -> None:
    """Fill `benchmark` with samples of one visit, about `budget_s`, after others that settle the device's clocks.

    The `first` visit asks for the peak memory. Raises WrongOutput; its samples then do not count.
    """
    target = Target(case, backend)
    expected = [target.fingerprint(*given) for given in case.inputs]
    _require_varied(expected, case)
    peak_bytes, method = peak_of(backend, lambda: target.of(case.inputs[:1])) if first else (None, None)
    benchmark.group = f"{case.operation} | {case.shape} | {case.precision}"
    benchmark.extra_info |= {
        "backend": backend.name if backend else "host",
        "operation": case.operation,
        "shape": case.shape,
        "precision": case.precision,
        "flop": case.flop,
        "bytes": case.bytes,
        "tokens": case.tokens,
        "peak_bytes": peak_bytes,
        "peak_method": method,
    }
    with CLOCK.following(backend, case.waits), target.turns() as turn:  # not before: what came so far was waited for
        _sample(target, benchmark, expected, budget_s, settle_s, turn)


def _sample(target: "Target", benchmark, expected: list[list], budget_s: float, settle_s: float, turn) -> None:
    """The samples of a visit. Raises WrongOutput where the last output is not the one `expected` of its inputs."""
    case, taken, paces_s = target.case, count(), []
    patience = PATIENCE if target.hosts else 1
    call_s = target.seconds(case.inputs[:1])
    if call_s < SHORT * budget_s:
        call_s = min(target.seconds(case.inputs[:1]) for _ in range(2))
    calls = 1 if case.waits else int(np.clip(SAMPLE_S / call_s, 1, CLOCK.room))

    def rotated():
        turn()
        if case.precision == INTEGERS:
            paces_s.append(pace_s())
        first = next(taken) * calls
        return ([case.inputs[(first + i) % len(case.inputs)] for i in range(calls)],), {}

    CLOCK.ahead = True
    while CLOCK.kind == DEVICE and CLOCK.rests and _late(target, rotated):
        calls = CLOCK.fewer(calls)
    sample_s = _settle(lambda: target.of(*rotated()[0]), settle_s)
    fitting = patience * budget_s / sample_s
    rounds = int(np.clip(max(fitting, min(patience * ENOUGH, STRETCHED * fitting)), 1, MOST))
    benchmark.extra_info |= {"calls": calls, "clock": CLOCK.kind}
    target.late.clear()
    paces_s.clear()
    try:
        benchmark.pedantic(target.of, setup=rotated, rounds=rounds)
        benchmark.extra_info |= {"late": sum(target.late) / len(target.late), "paces_s": paces_s[:rounds]}
        if case.check:
            case.check(target.output)
        else:
            last = (next(taken) * calls - 1) % len(case.inputs)
            compare(target.kept(target.output), expected[last], case)
    except Exception:
        benchmark.has_error = True  # a wrong answer has no speed
        raise
    finally:
        target.output = None


def _late(target: "Target", rotated: Callable) -> bool:
    """Whether so many calls do not fit into the device's queue: MLX lets ten graphs of a hundred kernels wait."""
    for _ in range(4):
        target.of(*rotated()[0])
    return all(target.late[-2:])  # the first knew of no such launch, and one late launch is an accident


def _settle(sample: Callable[[], None], least_s: float) -> float:
    """Wall seconds of a sample, after as many as fill `least_s`.

    Without this, at commit 77cd2cb, an H200's first bfloat16 products of a visit were 13 % quicker than its last, and
    within 3 % of them after 0.15 s.
    """
    start_s, taken = time.perf_counter(), 0
    while True:
        sample()
        taken += 1
        spent_s = time.perf_counter() - start_s
        if spent_s >= least_s:
            return spent_s / taken


def compare(now: list, before: list, case: Case) -> None:
    """Raises WrongOutput where an output is further from the one before than ALLOWED, not finite, or all are zero."""
    allowed = ALLOWED[case.precision]
    empty = not any(map(np.any, before))
    for i, (one, other) in enumerate(zip(now, before, strict=True)):
        apart = float(np.linalg.norm(one - other)) / (float(np.linalg.norm(other)) or 1.0)
        if empty or not apart <= allowed:
            reason = f"output {i} is {apart:.2g} from the one before the timing, allowed {allowed:.2g}"
            reason = "all that it computed is zero" if empty else reason
            raise WrongOutput(f"{case.operation} {case.shape} {case.precision}: {reason}; its time is not counted")


def _require_varied(expected: list[list], case: Case) -> None:
    """Raises WrongOutput where other inputs give the same outputs: then something was kept, not computed."""
    first, *others = expected
    same = others and all(np.array_equal(a, b) for other in others for a, b in zip(first, other, strict=True))
    if same and case.check is None:
        raise WrongOutput(f"{case.operation} {case.shape} {case.precision}: other inputs give the same outputs")


class Target:
    """The function under the clock, and the last output it left."""

    def __init__(self, case: Case, backend):
        self.case, self.backend, self.output = case, backend, None
        self.late: list[bool] = []  # of every sample, what CLOCK said

    def of(self, several: Sequence[tuple]) -> None:
        """One call for each of `several` inputs, then one wait: for them or, as the clock does, for those before."""
        self.output = CLOCK.timed([partial(self.case.call, *given) for given in several], self._wait)
        self.late.append(CLOCK.late)

    def _wait(self, outputs: list) -> None:
        if not self.case.waits:
            self.backend.sync(outputs)

    @property
    def hosts(self) -> bool:
        """Whether the speed of one core is in what is timed. What a CPU's backend computes takes all of them."""
        device = self.backend and not self.backend.name.endswith("-cpu")
        return self.case.precision == INTEGERS or bool(self.case.waits and device)

    def turns(self):
        """See taking_turns."""
        return taking_turns() if self.hosts else nullcontext(lambda: None)

    def seconds(self, several: Sequence[tuple]) -> float:
        """By the clock that samples are taken by."""
        start_s = CLOCK.read()
        self.of(several)
        return CLOCK.read() - start_s

    def fingerprint(self, *given) -> list:
        """Nothing of a call that changes state and is checked by itself."""
        self.of([given])
        return [] if self.case.check else self.kept(self.output)

    def kept(self, output) -> list:
        """Evenly spread elements of every array in `output`, float64."""
        return [self._spread(leaf) for leaf in leaves(output)]

    def _spread(self, leaf):
        if isinstance(leaf, (int, float, np.ndarray)):
            flat = np.ravel(leaf)
            return flat[:: max(1, flat.size // KEPT_ELEMENTS)].astype(np.float64)
        flat = leaf.reshape(-1)
        return self.backend.numpy(flat[:: max(1, flat.shape[0] // KEPT_ELEMENTS)]).astype(np.float64)


def leaves(tree) -> list:
    """The arrays of nested lists, tuples and dicts, in order."""
    if isinstance(tree, dict):
        tree = list(tree.values())
    return [leaf for branch in tree for leaf in leaves(branch)] if isinstance(tree, (list, tuple)) else [tree]


def release(lasting: bool = True) -> None:
    """Give freed device memory back, so that neither the next case nor the other framework lacks it.

    Without `lasting`, what was there at a row's start is not looked at: a compiler's modules take Python's
    collector 0.2 s each time.
    """
    if lasting:
        gc.unfreeze()
    gc.collect()
    torch, mx = sys.modules.get("torch"), sys.modules.get("mlx.core")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
    if mx is not None:
        mx.synchronize()  # of a row that failed, too: what is under way may be writing to what is given back
        (mx.clear_cache if hasattr(mx, "clear_cache") else mx.metal.clear_cache)()
