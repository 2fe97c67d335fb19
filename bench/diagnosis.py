"""Why an answer is wrong, as far as it can be told: the precision it looks like, and the known mistake nearest to it.

Test with `pytest -m meta -k diagnosis`.
"""

import numpy as np

from bench.mutants import MUTANTS
from bench.subject import NotSupported
from bench.yardstick import Arrays, Question, nearest_class, truths

NEAR = 2.0  # mean |ln| of error over yardstick beyond which an error belongs to no class: seven times off
EXPLAINED = 0.5  # a mistake that accounts for less of the error than this is not named


def diagnosis(question: Question, quantity: str, policy: str, answer: Arrays, parts: list[str]) -> str:
    """One clause for a person: expected class, observed class, likely cause. `parts` are those that failed."""
    observed, distance = nearest_class(question, answer)
    if distance >= NEAR:
        observed = f"no precision class (nearest {observed}): a different computation"
    cause, share = likely_cause(question, quantity, policy, answer, parts)
    cause = f"{cause!r} accounts for {share:.0%} of the error" if cause else "no known mistake is near"
    return f"asked for {policy}, looks like {observed}; likely cause: {cause}"


@np.errstate(all="ignore")
def likely_cause(question: Question, quantity: str, policy: str, answer: Arrays, parts: list[str]):
    """(name, share of the error) of the mutant whose answer is nearest; (None, share) where none comes near."""
    best, share = None, EXPLAINED
    truth = truths(question)[0]
    for mutant in MUTANTS:
        if not mutant.sees(quantity, policy):
            continue
        try:
            theirs = question.answer(mutant.subject(), policy)
        except (NotSupported, ValueError, IndexError):
            continue  # the mistake cannot be made on this question
        explained = float(np.median([_explained(answer.get(p), theirs.get(p), truth[p]) for p in parts]))
        if explained > share:
            best, share = mutant.name, explained
    return best, share


def _explained(answer, theirs, truth) -> float:
    """1 where both are wrong in the same way, 0 and less where knowing the mistake helps nothing."""
    if answer is None or theirs is None or np.shape(answer) != np.shape(truth) or np.shape(theirs) != np.shape(truth):
        return -np.inf
    left, whole = np.linalg.norm(answer - theirs), np.linalg.norm(answer - truth)
    return float(1 - left / whole) if np.isfinite(left) and whole else -np.inf
