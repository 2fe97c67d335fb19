"""A mistake where there is no oracle to compare with: a patch of what runs, and the check that kills it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from unittest.mock import patch


@dataclass(frozen=True)
class DataMutant:
    """One mistake where there is no oracle to compare with. `check`: module.test of the fast run that must fail.

    `patches`: (owner, name, wrapper of the original).
    """

    name: str
    check: str
    patches: tuple[tuple[object, str, Callable], ...]

    @contextmanager
    def alive(self) -> Iterator[None]:
        """Inside, everything has the mistake."""
        with ExitStack() as stack:
            for owner, name, wrap in self.patches:
                stack.enter_context(patch.object(owner, name, wrap(getattr(owner, name))))
            yield


def mutant(name: str, check: str, owner: object, attribute: str, wrap: Callable) -> DataMutant:
    return DataMutant(name, check, ((owner, attribute, wrap),))
