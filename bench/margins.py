"""How far the limits are from correct subjects on one side and from known mistakes on the other, measured.

Test with `pytest -m meta -k margins`.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from unittest.mock import patch

from hypothesis import seed

from bench import check
from bench.check import Row
from bench.conformance.rows import CHECKS, ask
from bench.mutants import MUTANTS, Mutant
from bench.subject import Subject


@dataclass(frozen=True)
class Margin:
    """One row of the tolerance table, from both sides.

    `ratio`: the largest error of a correct subject in yardsticks. `used`: the largest share of the limit that one took,
    None where no case was decided. `mutants`: each own mutant's largest share; up to 1 it goes unseen.
    """

    quantity: str
    policy: str
    ratio: float | None
    used: float | None
    cases: int
    inconclusive: int
    mutants: dict[str, float]

    @property
    def below(self) -> float | None:
        """How many times the worst correct error fits into the limit."""
        return 1 / self.used if self.used else None

    @property
    def above(self) -> tuple[str, float] | None:
        """The own mutant nearest to the limit, and how many limits away it is."""
        return min(self.mutants.items(), key=lambda item: item[1], default=None)


@contextmanager
def recording() -> Iterator[list[Row]]:
    """Inside, `agree` keeps its rows in this list and raises for nothing: a test runs through all its examples."""
    rows: list[Row] = []

    def noted(subject, quantity, policy, inputs, ask, *, key=(), redraw=check.jittered, undecided=None):
        check.compare(subject, quantity, policy, check.Question(ask, inputs, (quantity, *key), redraw, undecided))

    with ExitStack() as stack:
        stack.enter_context(patch.object(check, "ROWS", rows))
        for name in {test.__module__ for test in CHECKS.values()}:
            stack.enter_context(patch.object(import_module(name), "agree", noted))
        yield rows


def rows_of(subject: Subject, quantity: str, policy: str) -> list[Row]:
    """What the quantity's test finds on this subject, over all its examples; a part that is missing fails."""
    with recording() as rows:
        try:
            ask(quantity, subject, policy)
        except check.Disagreement as odd:  # parts on one side only: nothing to compare
            nothing = check.Error(float("inf"), float("inf"), float("inf"))
            rows.append(
                Row(subject.name, quantity, policy, "", "fail", nothing, float("inf"), float("inf"), reason=str(odd))
            )
    return [row for row in rows if row.quantity == quantity]


def used(rows: list[Row]) -> float | None:
    """The largest share of a limit, over the decided cases."""
    return max((row.used for row in rows if row.verdict != "inconclusive"), default=None)


def margin(subjects: list[Subject], quantity: str, policy: str, mutants: tuple[Mutant, ...] = MUTANTS) -> Margin:
    """One row from both sides, over the examples of the Hypothesis profile that was loaded first."""
    correct = [row for subject in subjects for row in rows_of(subject, quantity, policy)]
    own = {
        mutant.name: used(rows_of(mutant.subject(), quantity, policy)) or 0.0
        for mutant in mutants
        if mutant.sees(quantity, policy)
    }
    decided = [row for row in correct if row.verdict != "inconclusive"]
    ratio = max((row.ratio for row in decided), default=None)
    return Margin(quantity, policy, ratio, used(correct), len(correct), len(correct) - len(decided), own)


def alarms(subjects: list[Subject], quantity: str, policy: str, number: int) -> list[Row]:
    """The failed rows of correct subjects on the examples that this seed draws."""
    test = CHECKS[quantity]
    if not hasattr(test, "hypothesis"):
        return []  # the same inputs whatever the seed
    with patch.dict(CHECKS, {quantity: seed(number)(test)}):
        rows = [row for subject in subjects for row in rows_of(subject, quantity, policy)]
    return [row for row in rows if row.verdict == "fail"]
