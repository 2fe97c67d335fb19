"""A candidate against a baseline, from what their runs printed: keep, discard, crash or cannot tell.

Test with `pytest -m meta bench/meta/test_judge.py`; the statistics are those of `reports.effect`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from reports.effect import BETTER, CANNOT_TELL, Effect, Noise, effect
from reports.file import reports_in
from reports.judge.ledger import BASELINE, CRASH, DISCARD, KEEP, SKIP
from reports.judge.output import Outcome, of_file

UNDECIDED = "cannot tell"


class BaselineError(ValueError):
    """A baseline that nothing can be held against; one line with the folder, the fault and the remedy."""


@dataclass(frozen=True)
class Decision:
    """`name`: baseline, keep, discard, crash, skip or cannot tell; `effect` where both sides have scores."""

    name: str
    reason: str
    effect: Effect | None = None

    @property
    def status(self) -> str:
        """As results.tsv says it: what is not shown to be better is not kept."""
        return DISCARD if self.name == UNDECIDED else self.name


def baseline(folder: Path) -> list[Outcome]:
    """Its runs: logs and reports; empty where there are none yet. Raises BaselineError for a run without a score."""
    files = sorted([*folder.glob("[!.]*.log"), *reports_in(folder)])
    found = [of_file(file) for file in files]
    for file, run in zip(files, found, strict=True):
        if run.crash:
            raise BaselineError(f"{file}: {run.crash}; a baseline needs runs with a score, take this one away")
    if len({run.rules for run in found if run.rules}) > 1:
        raise BaselineError(f"{folder}: its runs differ in recipe, data or eval hash; keep those of one kind")
    return found


def decide(runs: Sequence[Outcome], against: Sequence[Outcome], margin: float, prior: Noise | None = None) -> Decision:
    """Without anything to be held against, the runs are the baseline."""
    crashed = next((run for run in runs if run.crash), None)
    if crashed:
        return Decision(CRASH, f"{crashed.crash} (seed {crashed.seed})")
    if not against:
        return Decision(BASELINE, f"{len(runs)} runs, mean val_bpb {fmean(scores(runs)):.6f}")
    rules, others = ({run.rules for run in of if run.rules} for of in (runs, against))
    if rules and others and rules != others:
        return Decision(SKIP, f"not comparable: recipe, data and eval hash {_hashes(rules)} are not {_hashes(others)}")
    found = effect(scores(against), scores(runs), margin, prior=prior)
    if found.verdict == CANNOT_TELL:
        return Decision(UNDECIDED, _doubt(found), found)
    words = "better" if found.verdict == BETTER else f"not better: {found.verdict}"
    return Decision(KEEP if found.verdict == BETTER else DISCARD, words, found)


def scores(runs: Sequence[Outcome]) -> list[float]:
    """One a seed, where it is known: two runs of one seed are not two draws of the seed's noise."""
    seeds: dict[int, list[float]] = {}
    for index, run in enumerate(runs):
        if run.val_bpb is not None:
            seeds.setdefault(-1 - index if run.seed is None else run.seed, []).append(run.val_bpb)
    return [fmean(values) for values in seeds.values()]


def _doubt(found: Effect) -> str:
    if min(found.runs) < 2:
        return "a single run cannot tell noise from effect; give two seeds a side or more"
    if not found.sd:
        return "all runs printed the same val_bpb: does the command use its seed?"
    needed = found.needed(abs(found.difference))
    return f"{needed or 'over 1000'} runs a side would tell a difference as large as this one"


def _hashes(rules: set[tuple[str, ...]]) -> str:
    return " and ".join(" ".join(one) for one in sorted(rules))
