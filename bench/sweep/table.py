"""What a sweep found: bits per byte within a data set, and gains in percent, which may stand beside another set's.

Test with `pytest -m meta bench/meta/test_sweep.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev

from bench.equivalence import t_quantile
from bench.sweep.plan import Cell
from reports import derived
from reports.record import Record

ALPHA = 0.05
APART = (
    "Each data set has a tokenizer and a validation text of its own: bits per byte are compared within one data set. "
    "Across them only gains in percent are."
)


@dataclass(frozen=True)
class Row:
    """One configuration on one data set, over the seeds that have a score; gains are in percent of bits per byte."""

    data: str
    config: str
    asked: int  # seeds
    scores: dict[int, float]  # bits per byte by seed
    tokens: float
    epochs: float
    over_unigram: dict[int, float]
    over_first: dict[int, float]  # than the first configuration's, seed by seed


def rows(cells: Sequence[Cell], records: Sequence[Record | None]) -> list[Row]:
    """In the order of the sweep."""
    pairs = list(zip(cells, records, strict=True))
    found: list[Row] = []
    for name, config in dict.fromkeys((cell.data, cell.config) for cell in cells):
        alike = [(cell, record) for cell, record in pairs if (cell.data, cell.config) == (name, config)]
        scored = {cell.order.seed: record for cell, record in alike if record and record.result}
        scores = {seed: derived.bits_per_byte(record) or 0.0 for seed, record in scored.items()}
        unigram = {seed: derived.unigram_bits_per_byte(record) or 0.0 for seed, record in scored.items()}
        label = _label(name, cells)
        first = next((row.scores for row in found if row.data == label), scores)
        found.append(
            Row(
                data=label,
                config=config,
                asked=len(alike),
                scores=scores,
                tokens=fmean([derived.tokens(record) for record in scored.values()] or [0]),
                epochs=fmean([record.run.epochs for record in scored.values()] or [0]),
                over_unigram=_gains(scores, unigram),
                over_first=_gains(scores, first),
            )
        )
    return found


def best(rows: Sequence[Row], data: str) -> tuple[Row | None, list[Row]]:
    """(the configuration of the lowest mean, those that it cannot be told from); only of those with every seed.

    By a t interval of the differences seed by seed, at 95 % for all the comparisons together.
    """
    complete = [row for row in rows if row.data == data and row.scores and len(row.scores) == row.asked]
    if not complete:
        return None, []
    first = min(complete, key=lambda row: fmean(row.scores.values()))
    others = [row for row in complete if row is not first]
    return first, [row for row in others if not _worse(row, first, ALPHA / len(others))]


def _worse(row: Row, first: Row, alpha: float) -> bool:
    differences = [score - first.scores[seed] for seed, score in row.scores.items()]
    if len(differences) < 2:
        return False
    half = t_quantile(1 - alpha / 2, len(differences) - 1) * stdev(differences) / len(differences) ** 0.5
    return fmean(differences) > half


def markdown(rows: Sequence[Row], title: str) -> list[str]:
    """The page's lines."""
    names = list(dict.fromkeys(row.data for row in rows))
    lines = [f"# {title}", ""]
    for name in names:
        lines += [f"## {name}", "", *_of_one(rows, name), ""]
    if len(names) > 1:
        lines += ["## Across data sets", "", APART, "", *_across(rows, names), ""]
    return lines


def _of_one(rows: Sequence[Row], name: str) -> list[str]:
    held = [row for row in rows if row.data == name]
    several = len(held) > 1
    gain = " gain over the first |" if several else ""
    lines = [
        f"| configuration | seeds | val_bpb | lowest to highest | M tokens | epochs | over unigram |{gain}",
        f"|---|---|---|---|---|---|---|{'---|' if several else ''}",
    ]
    for row in held:
        if not row.scores:
            cells = [row.config or "the preset's", f"0 of {row.asked}", *["none"] * 5]
        else:
            values = row.scores.values()
            cells = [
                row.config or "the preset's",
                f"{len(values)}" if len(values) == row.asked else f"{len(values)} of {row.asked}",
                f"{fmean(values):.4f}",
                f"{min(values):.4f} to {max(values):.4f}",
                f"{row.tokens / 1e6:.3g}",
                f"{row.epochs:.2f}{', memory-limited' if row.epochs > 1 else ''}",
                _percent(row.over_unigram),
            ]
        cells += ["-" if row is held[0] else _percent(row.over_first)] if several else []
        lines.append(f"| {' | '.join(cells)} |")
    if several:
        first, alike = best(rows, name)
        told = first.config if first else "none has every seed"
        doubt = f"; cannot tell it from {', '.join(row.config for row in alike)} by these seeds" if alike else ""
        lines += ["", f"Best configuration: {told}{doubt}."]
    return lines


def _across(rows: Sequence[Row], names: Sequence[str]) -> list[str]:
    """Gains over the first configuration, or, where there is one only, over a unigram model of the same text."""
    configs = list(dict.fromkeys(row.config for row in rows))
    several = len(configs) > 1
    over = f"the first configuration ({configs[0]})" if several else "a unigram model of the same tokens"
    lines = [f"Gain over {over}:", "", f"| configuration | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    for config in configs[1:] if several else configs:
        of = {row.data: row.over_first if several else row.over_unigram for row in rows if row.config == config}
        lines.append(f"| {config or 'the preset'} | {' | '.join(_percent(of[name]) for name in names)} |")
    return lines


def _gains(scores: dict[int, float], reference: dict[int, float]) -> dict[int, float]:
    """Seed by seed, where both have a score."""
    return {seed: 100 * (1 - score / reference[seed]) for seed, score in scores.items() if reference.get(seed)}


def _percent(gains: dict[int, float]) -> str:
    if not gains:
        return "none"
    spread = f" ({min(gains.values()):+.2f} to {max(gains.values()):+.2f})" if len(gains) > 1 else ""
    return f"{fmean(gains.values()):+.2f} %{spread}"


def _label(name: str, cells: Sequence[Cell]) -> str:
    """The last part of a path, numbered where two are alike: folders above it may name a person."""
    paths = list(dict.fromkeys(cell.data for cell in cells))
    alike = [path for path in paths if Path(path).name == Path(name).name]
    return Path(name).name + (f" ({alike.index(name) + 1})" if len(alike) > 1 else "")
