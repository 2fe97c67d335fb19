"""Calling a test as a function: with each combination of its parameters, and fixtures for the rest.

Used by bench/meta/test_properties_fail.py and bench/meta/test_data_mutants.py.
"""

import inspect
from collections.abc import Callable, Iterator
from itertools import product


def parameters(test: Callable) -> Iterator[dict]:
    """What each case of a test is called with by its parametrize marks; without those that have marks of their own."""
    marks = [mark for mark in getattr(test, "pytestmark", []) if mark.name == "parametrize"]
    kept = [[values for values in mark.args[1] if not getattr(values, "marks", ())] for mark in marks]
    for chosen in product(*kept):
        case = {}
        for mark, values in zip(marks, chosen, strict=True):
            names = mark.args[0] if isinstance(mark.args[0], (list, tuple)) else mark.args[0].split(",")
            case |= dict(zip(names, values if len(names) > 1 else [values], strict=True))
        yield case


def call(test: Callable, request, **given) -> None:
    """Every case of `test`, up to the first that fails; what neither `given` nor a mark says is a fixture."""
    for case in parameters(test):
        known = case | given
        fixtures = {name for name in inspect.signature(test).parameters if name not in known}
        test(**known, **{name: request.getfixturevalue(name) for name in sorted(fixtures)})
