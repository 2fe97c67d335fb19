"""What the files of a study say, as tables in Markdown. Standard deviations are in percent of val_bpb.

`python -m bench.noise --page`; test with `pytest -m fast -k noise`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import sqrt
from pathlib import Path
from statistics import fmean

import numpy as np
from scipy.special import ndtri, stdtrit
from scipy.stats import linregress

from bench import sheet
from bench.noise import plan, sample, variance
from bench.noise.study import WHAT
from bench.noise.variance import LEVEL, Estimate, Parts
from bench.page import table
from reports.derived import bits
from reports.effect import ALPHA, POWER, Noise, detectable, runs_needed

EFFECTS = (0.01, 0.005)  # of val_bpb
RUNS = (1, 3, 5)


@dataclass(frozen=True)
class Study:
    """One backend's file."""

    file: dict

    @classmethod
    def load(cls, path: Path) -> "Study":
        """Raises ValueError for what is no study, or one without two scores of every kind."""
        file = sheet.load(path)
        if file.get("what") != WHAT:
            raise ValueError(f"{path}: holds {file.get('what')!r}, not {WHAT!r}; name a file of this study")
        study = cls(file)
        _ = study.parts
        return study

    @property
    def name(self) -> str:
        framework = self.file["backend"].split("-")[0]
        return f"{self.file['backend']} {self.file['versions'][framework].split('+')[0]}, {self.file['preset']}"

    @property
    def rows(self) -> list[dict]:
        return [row for row in self.file["rows"] if row["kind"] in plan.KINDS]

    def of(self, kind: str) -> list[dict]:
        """The runs of one kind that have a score."""
        return [row for row in self.rows if row["kind"] == kind and row["nats"] is not None]

    @cached_property
    def scores(self) -> dict[str, list[float]]:
        """Bits per byte by kind of run."""
        return {kind: [bits(row["nats"], row["bytes"]) for row in self.of(kind)] for kind in plan.KINDS}

    @cached_property
    def parts(self) -> Parts:
        return variance.parts(self.scores, plan.repeats(self.rows))

    @property
    def mean(self) -> float:
        """Of the runs in which everything varies."""
        return fmean(self.scores["both"])

    @property
    def noise(self) -> Noise:
        """As `reports.effect` takes it."""
        return Noise(self.parts.measured.value, self.parts.degrees)

    def sample(self, unit: str, pairs: bool = False) -> Estimate | None:
        """Of the evaluation text: what drawing other windows or documents does to a run, or to a pair's difference."""
        windows = next(row for row in self.file["rows"] if row["kind"] == "windows")
        units = windows["documents"] if unit == "document" else range(len(windows["bytes"]))
        nats = [np.array(row["window_nats"]) for row in self.of("both")]
        nats = [b - a for a, b in list(pairwise(nats))[::2]] if pairs else nats
        return sample.typical([sample.spread(one, windows["bytes"], units) for one in nats])

    def detectable(self, runs: int, known: bool) -> float | None:
        """The least effect told in POWER of all cases by so many runs a side, with this study's noise known or not.

        Single runs tell nothing by themselves; with the noise known, what they tell stands on it alone.
        """
        noise = self.noise
        if runs > 1:
            return detectable(noise.sd, runs, runs, prior=noise if known else None)
        return sqrt(2) * noise.sd * float(stdtrit(noise.degrees, 1 - ALPHA) + ndtri(POWER)) if known else None

    def needed(self, effect: float, sd: float) -> int | None:
        """Runs a side by themselves, for an effect that is a share of val_bpb."""
        return runs_needed(effect * self.mean, sd)

    @property
    def by_steps(self) -> tuple[Estimate, float] | None:
        """By the clock: (percent of the score for one percent more steps, share of its variance that steps tell)."""
        rows = [row for kind in ("clock", "both") for row in self.of(kind)]
        steps = np.log([row["steps"] for row in rows])
        scores = np.log([bits(row["nats"], row["bytes"]) for row in rows])
        if np.ptp(steps) == 0 or len(rows) < 3:
            return None
        slope, _, correlation, _, error = map(float, linregress(steps, scores))
        half = float(stdtrit(len(rows) - 2, (1 + LEVEL) / 2)) * error
        return Estimate(slope, slope - half, slope + half), correlation**2


def studies(folder: Path) -> list[Study]:
    """Raises ValueError where there is none."""
    found = [Study.load(path) for path in sorted(folder.glob("noise-*.json"))]
    if not found:
        raise ValueError(f"{folder} holds no noise-*.json; run the study with --out {folder} first")
    return found


def runs(found: Sequence[Study]) -> str:
    """What was run, and what else the machine did."""
    header = [
        "backend, preset",
        "chip",
        "a run",
        "runs: both, clock, seed, kernel",
        "val_bpb",
        "steps by the clock",
        "tokens / text",
    ]
    lines = []
    for study in found:
        steps = [row["steps"] for kind in ("both", "clock") for row in study.of(kind)]
        busy = [row["background"] for row in study.rows if row["background"] is not None]
        others = f"{100 * min(busy):.0f} to {100 * max(busy):.0f} %" if busy else "unknown"
        counts = ", ".join(str(len(study.of(kind))) for kind in ("both", "clock", "seed", "kernel"))
        asked = f"{study.file['seconds']:g} s, {study.file['policy']}"
        failed = len(study.rows) - sum(len(study.of(kind)) for kind in plan.KINDS)
        counts += f"; {failed} failed" if failed else ""
        lines.append(
            [
                study.name,
                study.file["chip"] or study.file["cpu"] or "unknown",
                asked,
                counts,
                f"{study.mean:.4f}",
                f"{min(steps)} to {max(steps)}",
                f"{max(steps) * study.file['total_batch'] / study.file['train_tokens']:.2g}",
                others,
            ]
        )
    return table([*header, "CPUs busy with other work"], lines)


def parts(found: Sequence[Study]) -> str:
    """Standard deviations, with 95 % intervals."""
    header = ["sd of val_bpb, %", *(study.name for study in found)]
    lines = [[f"from {name}", *(_part(study, name) for study in found)] for name in variance.PARTS]
    lines.append(["these three added", *(_percent(study, study.parts.added) for study in found)])
    lines.append(["**measured, all three varying**", *(_percent(study, study.parts.measured) for study in found)])
    for told, unit, pairs in (
        ("other validation windows", "window", False),
        ("other validation documents", "document", False),
        ("other documents, difference of two runs", "document", True),
    ):
        lines.append([told, *(_percent(study, study.sample(unit, pairs)) for study in found)])
    return table(header, lines)


def shares(found: Sequence[Study]) -> str:
    """Of the variance, with 95 % intervals."""
    header = ["share of the variance, %", *(study.name for study in found)]
    lines = [[name, *(_interval(study.parts.share[name], 100, ".1f") for study in found)] for name in variance.PARTS]
    excess = [_interval(study.parts.excess, 1, ".2g") if study.parts.excess else "unknown" for study in found]
    slopes = [study.by_steps for study in found]
    return table(
        header,
        [
            *lines,
            ["measured variance / added", *excess],
            ["val_bpb for 1 % more steps, %", *(_interval(s[0], 1, "+.2g") if s else "same steps" for s in slopes)],
            [
                "of all runs by the clock, told by their steps",
                *(f"{100 * s[1]:.0f} %" if s else "same steps" for s in slopes),
            ],
        ],
    )


def telling(found: Sequence[Study]) -> str:
    """Runs that an effect takes, and effects that runs tell."""
    header = ["", *(study.name for study in found)]
    lines = [
        [f"runs a side for {100 * effect:g} %, {how}", *(_needed(study, effect, which) for study in found)]
        for how, which in (("by the clock", "measured"), ("by `--replay`", "replayed"))
        for effect in EFFECTS
    ]
    for known, of in ((False, "by themselves"), (True, "with this noise known")):
        for n in RUNS:
            label = f"least effect told by {n} run{'s' if n > 1 else ''} a side, {of}"
            lines.append([label, *(_effect(study, n, known) for study in found)])
    return table(header, lines)


def _effect(study: Study, runs: int, known: bool) -> str:
    size = study.detectable(runs, known)
    return "none" if size is None else f"{_short(100 * size / study.mean, '.2g')} %"


def _needed(study: Study, effect: float, which: str) -> str:
    noise: Estimate = getattr(study.parts, which)
    n, low, high = (study.needed(effect, sd) for sd in (noise.value, noise.low, noise.high))
    return f"{_count(n)} ({_count(low)} to {_count(high)})"


def _count(runs: int | None) -> str:
    return "over 1000" if runs is None else str(runs)


def _part(study: Study, name: str) -> str:
    if name == "kernels" and study.parts.repeats:
        return "0: bit for bit the same"
    return _percent(study, study.parts.sd[name])


def _percent(study: Study, found: Estimate | None) -> str:
    return "unknown" if found is None else _interval(found, 100 / study.mean, ".2g")


def _interval(found: Estimate, scale: float, form: str) -> str:
    value, low, high = (_short(scale * x, form) for x in (found.value, found.low, found.high))
    return f"{value} ({low} to {high})"


def _short(x: float, form: str) -> str:
    """Rounded as `form` has it, without an exponent."""
    return format(float(format(x, form)), "+g" if form.startswith("+") else "g")


TABLES = {"runs": runs, "parts": parts, "shares": shares, "telling": telling}
