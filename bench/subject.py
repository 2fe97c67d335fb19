"""Anything under test behind one protocol: our implementation on a backend, the oracle, a mutant, someone's port.

NumPy in, NumPy out; parameters by upstream name; a method that a subject lacks raises NotSupported, which is a skip.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NoReturn, Protocol, cast

import numpy as np

from impl.spec import Hyper, Orthogonalizer, Recipe

Params = Mapping[str, np.ndarray]
Tap = Callable[[Params], None]  # is shown the parameters after each training step
POLICIES = ("float32", "bfloat16")  # what may be asked of our implementation


class NotSupported(Exception):
    """The subject cannot be asked this; the message says why."""


@dataclass(frozen=True)
class Trajectory:
    """What a run of the shipped step left behind: one loss and gradient norm a step, and the final parameters."""

    losses: np.ndarray
    grad_norms: np.ndarray
    params: Params


@dataclass(frozen=True)
class BitsPerByte:
    """Sums over the validation text; the score is nats / (ln 2 x bytes)."""

    nats: float
    bytes: int
    tokens: int


class OptimizerSession(Protocol):
    """An optimizer with its state, fed gradients from outside; moments are "first.NAME" and "second.NAME"."""

    def step(self, grads: Params, hyper: Hyper) -> Params: ...

    def state(self) -> Params: ...


class Subject(Protocol):
    """Every method may raise NotSupported. `policy` is the precision asked for; what is observed is measured."""

    name: str
    policies: tuple[str, ...]

    def init(self, recipe: Recipe, seed: int) -> Params: ...

    def op(self, name: str, arrays: tuple, attrs: dict, policy: str) -> np.ndarray: ...

    def activations(self, recipe: Recipe, params: Params, tokens, policy: str) -> Params: ...

    def logits(self, recipe: Recipe, params: Params, tokens, policy: str) -> np.ndarray: ...

    def loss_and_grads(self, recipe: Recipe, params: Params, tokens, targets, policy: str) -> tuple[float, Params]: ...

    def nats(self, recipe: Recipe, params: Params, tokens, targets, policy: str) -> np.ndarray: ...

    def orthogonalize(self, matrix, orthogonalizer: Orthogonalizer, policy: str) -> np.ndarray: ...

    def optimizer(self, recipe: Recipe, params: Params, policy: str) -> OptimizerSession: ...

    def train(
        self, recipe: Recipe, params: Params, steps: list, progress: list[float], policy: str, tap: Tap | None = None
    ) -> Trajectory: ...

    def batches(self, recipe: Recipe, data, split: str) -> Iterator[tuple[np.ndarray, np.ndarray, int]]: ...

    def bits_per_byte(self, recipe: Recipe, params: Params, data, policy: str) -> BitsPerByte: ...


class Unsupported:
    """A base that supports nothing: what a subject does not define is a skip with this reason, never a pass."""

    name = "nothing"
    policies: tuple[str, ...] = POLICIES

    def __getattr__(self, method: str):
        if method.startswith("_") or method not in Subject.__dict__:
            raise AttributeError(f"{type(self).__name__} has no attribute {method!r}")

        def unsupported(*args, **kwargs) -> NoReturn:
            raise NotSupported(f"{self.name} has no {method}")

        return unsupported


def load(name: str) -> Subject:
    """Our subject on a backend, or "oracle". Raises impl.backend.BackendError for a backend that is not here."""
    if name == "oracle":
        from bench.oracle import Oracle

        return cast(Subject, Oracle())  # what it lacks, `Unsupported` answers
    from bench.ours import Ours
    from impl.backend import load as load_backend

    return cast(Subject, Ours(load_backend(name)))
