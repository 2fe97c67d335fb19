"""What a score may be held against: its division, the hashes that must be equal, and what keeps it out of a ranking.

Test with `pytest -m fast -k standing`.
"""

from impl.spec import PRESETS, RECIPES
from reports import derived
from reports.record import Record

EQUAL_BUDGET = ("recipe", "data", "eval")  # the budget is a rule of the recipe
EQUAL_TOKENS = (*EQUAL_BUDGET, "config")
SHOWN = 8  # digits of a hash
FAILED = "it failed"


def unranked(record: Record) -> tuple[str, ...]:
    """Why the score has no place in a ranking; empty where it has one."""
    identity, run, checks = record.identity, record.run, record.conformance
    budget_s = RECIPES[identity.recipe].schedule.budget_s if identity.recipe in RECIPES else None
    known = PRESETS.get(identity.preset or "")
    reasons = {
        FAILED: run.failure is not None,
        f"its budget of {run.budget_s:g} s is not {budget_s or 0:g} s": budget_s not in (None, run.budget_s),
        f"preset {identity.preset} is for trying out": identity.division != "open" and known and not known.ranked,
        "it followed another run's progress": run.mode == "fixed-tokens",
        "no correctness check of these versions passed": checks is None or checks.failed or not checks.passed,
    }
    return tuple(reason for reason, holds in reasons.items() if holds)


def differing(one: Record, other: Record, hashes: tuple[str, ...] = EQUAL_BUDGET) -> tuple[str, ...]:
    """The hashes in which two records differ though they must not."""
    return tuple(name for name in hashes if getattr(one.identity.hashes, name) != getattr(other.identity.hashes, name))


def line(record: Record) -> str:
    """For the summary of a run."""
    equal = ", ".join(f"{name} {getattr(record.identity.hashes, name)[:SHOWN]}" for name in EQUAL_BUDGET)
    words = f"scores of equal {equal}; step by step only of config {record.identity.hashes.config[:SHOWN]} too"
    if reasons := unranked(record):
        return f"{words}; not ranked: {'; '.join(reasons)}"
    apart = ", memory-limited" if derived.memory_limited(record) else ""
    return f"{words}; ranked in division {record.identity.division}{apart}"
