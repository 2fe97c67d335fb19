"""A mutant: the oracle with one function replaced or one rule of the recipe changed, only while it answers."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import cast
from unittest.mock import patch

import numpy as np

from bench.oracle import Oracle, Session
from bench.subject import Params, Subject, Trajectory
from impl.spec import Recipe


@dataclass(frozen=True)
class Mutant:
    """One known mistake.

    `rows`: the quantities that can see it, as "logits", or "logits:float32" where only one precision can.
    `patches`: (owner, name, wrapper of the original); `recipe` and `policy` change what was asked for.
    """

    name: str
    rows: tuple[str, ...]
    patches: tuple[tuple[object, str, Callable], ...] = ()
    recipe: Callable[[Recipe], Recipe] = lambda recipe: recipe
    policy: Callable[[str], str] = lambda policy: policy

    def sees(self, quantity: str, policy: str) -> bool:
        """Whether that row of the tolerance table is one of this mutant's."""
        return quantity in self.rows or f"{quantity}:{policy}" in self.rows

    def subject(self) -> Subject:
        """The oracle with the mistake."""
        return cast(Subject, Mutated(self))

    @contextmanager
    def alive(self) -> Iterator[None]:
        """Inside, the oracle has the mistake."""
        with ExitStack() as stack:
            for owner, name, wrap in self.patches:
                stack.enter_context(patch.object(owner, name, wrap(getattr(owner, name))))
            yield


class Mutated(Oracle):
    """The oracle with a mutant's mistake."""

    def __init__(self, mutant: Mutant):
        self.mutant, self.name = mutant, mutant.name

    def _answer(self, method: str, *arguments, **named):
        policy = arguments[-1]
        arguments = tuple(self.mutant.recipe(a) if isinstance(a, Recipe) else a for a in arguments[:-1])
        with self.mutant.alive():
            return getattr(Oracle, method)(self, *arguments, self.mutant.policy(policy), **named)

    def op(self, *arguments):
        return self._answer("op", *arguments)

    def activations(self, *arguments):
        return self._answer("activations", *arguments)

    def logits(self, *arguments):
        return self._answer("logits", *arguments)

    def nats(self, *arguments):
        return self._answer("nats", *arguments)

    def bits_per_byte(self, *arguments):
        return self._answer("bits_per_byte", *arguments)

    def loss_and_grads(self, *arguments):
        return self._answer("loss_and_grads", *arguments)

    def orthogonalize(self, *arguments):
        return self._answer("orthogonalize", *arguments)

    def train(self, *arguments, **named):
        return self._answer("train", *arguments, **named)

    def optimizer(self, *arguments):
        return MutatedSession(self.mutant, self._answer("optimizer", *arguments))


class Zeros(Oracle):
    """Answers every question with zeros of the right shape: the laziest mistake, which every row must see."""

    name = "zeros"

    def __getattribute__(self, method: str):
        answer = super().__getattribute__(method)
        if method not in ("op", "activations", "logits", "nats", "loss_and_grads", "orthogonalize", "train"):
            return answer
        return lambda *arguments, **named: _zeroed(answer(*arguments, **named))

    def bits_per_byte(self, *arguments):
        return replace(super().bits_per_byte(*arguments), nats=0.0)

    def optimizer(self, recipe, params, policy):
        return Idle(params, super().optimizer(recipe, params, policy))


@dataclass
class Idle:
    """An optimizer that leaves everything where it is."""

    params: Params
    session: Session = field(repr=False)

    def step(self, grads, hyper):
        self.session.step(grads, hyper)  # for the names of what it would keep
        return self.params

    def state(self):
        return _zeroed(self.session.state())


def _zeroed(answer):
    """The same structure, every number zero."""
    if isinstance(answer, Trajectory):
        return Trajectory(*(_zeroed(part) for part in (answer.losses, answer.grad_norms, answer.params)))
    if isinstance(answer, tuple):
        return tuple(_zeroed(part) for part in answer)
    if isinstance(answer, dict):
        return {name: _zeroed(part) for name, part in answer.items()}
    return np.zeros_like(answer) if isinstance(answer, np.ndarray) else 0.0


@dataclass
class MutatedSession:
    """Optimizer steps with the mistake alive."""

    mutant: Mutant
    session: Session = field(repr=False)

    def step(self, grads, hyper):
        with self.mutant.alive():
            return self.session.step(grads, hyper)

    def state(self):
        return self.session.state()


def instead(replacement) -> Callable:
    """A patch that does not need the original."""
    return lambda original: replacement
