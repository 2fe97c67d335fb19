"""What a session says at its start and its end: the machine and its backends, then one line a quantity."""

import json
import os
import platform
from collections import defaultdict
from pathlib import Path

from bench.check import Row
from bench.tolerances import tolerance
from impl import backend as backends


def missing_backends() -> list[str]:
    """One line for each backend that is not here: the reason and the command that brings it."""
    states = backends.discover()
    return [
        f"{name}: {state.reason}, try `{state.install}`"
        for name, state in states.items()
        if isinstance(state, backends.Missing)
    ]


def header(chosen: list[str]) -> list[str]:
    """Chip, backends found and missing, and the environment that can change a number."""
    from bench.hardware import detect, environment

    hardware = detect(chosen[0]) if chosen else None
    chip = hardware.chip if hardware and hardware.chip else platform.processor() or platform.machine()
    lines = [f"nanomark: {chip}", f"backends: {', '.join(chosen) or 'none'}"]
    lines += [f"missing: {line}" for line in missing_backends()]
    for name in chosen:
        backend = backends.load(name)
        versions = " ".join(f"{key} {value}" for key, value in backend.versions().items())
        blas = f", BLAS {backend.blas()}" if backend.blas() else ""
        lines.append(f"{name}: {versions}{blas}, compiler: {'found' if backend.can_compile() else 'none'}")
    settings = environment()
    lines.append("environment: " + (" ".join(f"{key}={value}" for key, value in settings.items()) or "nothing set"))
    return lines


def aggregate(rows: list[Row]) -> list[dict]:
    """One dict for each (subject, quantity, policy): cases, worst ratio, verdict counts, the limit k."""
    groups = defaultdict(list)
    for row in rows:
        groups[row.subject, row.quantity, row.policy].append(row)
    return [
        {
            "subject": subject,
            "quantity": quantity,
            "precision": policy,
            "cases": len(group),
            "failed": sum(row.verdict == "fail" for row in group),
            "inconclusive": sum(row.verdict == "inconclusive" for row in group),
            "worst_ratio": max((row.ratio for row in group if row.verdict != "inconclusive"), default=None),
            "limit": tolerance(quantity, policy).k,
        }
        for (subject, quantity, policy), group in sorted(groups.items())
    ]


def print_rows(rows: list[Row], reporter) -> None:
    """A table: error over yardstick, worst case, against the limit k."""
    table = aggregate(rows)
    if not table:
        return
    reporter.section("error against float64, in yardsticks of the same precision")
    reporter.write_line("subject    quantity        precision   cases   worst  limit  remarks")
    for row in table:
        worst = "-" if row["worst_ratio"] is None else f"{row['worst_ratio']:.2f}"
        remarks = [f"{row[key]} {key}" for key in ("failed", "inconclusive") if row[key]]
        reporter.write_line(
            f"{row['subject']:<11}{row['quantity']:<16}{row['precision']:<11}{row['cases']:>6}{worst:>8}"
            f"{row['limit']:>7.3g}  {', '.join(remarks)}"
        )


def write_rows(rows: list[Row], counts: dict[str, int], path: str) -> None:
    """The aggregated rows and the session's counts of tests as JSON, whole or not at all."""
    target = Path(path)
    temporary = target.with_suffix(".tmp")
    temporary.write_text(json.dumps({**counts, "rows": aggregate(rows)}))
    os.replace(temporary, target)
