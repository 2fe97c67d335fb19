"""Two ways of doing one thing, each in a process of its own, timed turn about; the one that waits is idle.

A process of its own keeps what one side loads and sets, its allocator or its BLAS, from the other. Test with
`pytest -m fast -k sides`.
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from statistics import median
from typing import Any

from impl.backend import BackendError


@contextmanager
def opened(serve: Callable, sides: Mapping[str, tuple]) -> Iterator[dict[str, Connection]]:
    """A pipe to `serve(*arguments, pipe)` of each side, which answers messages until it is sent None."""
    context, pipes = get_context("spawn"), {}
    for side, arguments in sides.items():
        pipes[side], theirs = context.Pipe()
        context.Process(target=serve, args=(*arguments, theirs), daemon=True).start()
        theirs.close()
    yield pipes
    for pipe in pipes.values():
        pipe.send(None)


def turns(pipes: Mapping[str, Connection], asked: str, rounds: int, warmup: int, rest_s: float = 0) -> dict[str, list]:
    """The answers of each side to `asked` in rounds A B A B ..., after `warmup` rounds that do not count.

    Raises EOFError or ConnectionError where a side dies.
    """
    answers: dict[str, list[Any]] = {side: [] for side in pipes}
    for round_ in range(warmup + rounds):
        for side, pipe in pipes.items():
            pipe.send(asked)
            answer = pipe.recv()
            if round_ >= warmup:
                answers[side].append(answer)
            time.sleep(rest_s)
    return answers


def paired(ours: Sequence[float], theirs: Sequence[float], digits: int, width: int = 0) -> str:
    """How many times as long the second takes, by the rounds' own ratios; their median at least `width` wide."""
    ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
    middle, low, high = (f"{ratio:.{digits}f}" for ratio in (median(ratios), min(ratios), max(ratios)))
    return f"{middle:>{width}} (pairs from {low} to {high})"


def status(measure: Callable[[], None]) -> int:
    """A command's exit status after `measure`: 2 where a backend is not there, 1 where a side died, in one line."""
    try:
        measure()
    except BackendError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (EOFError, ConnectionError):
        print("error: one side died; its traceback is above", file=sys.stderr)
        return 1
    return 0
