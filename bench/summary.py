"""What a session says at its start and its end: the machine and its backends, then one line a quantity."""

import json
import os
import platform
from collections import defaultdict
from pathlib import Path

from bench.check import Row
from bench.tolerances import tolerance
from bench.trajectory import Onset
from impl import backend as backends

KILLS = "mutant_is_killed"  # in the name of every test that puts one known mistake in


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
    """One dict for each (subject, quantity, policy): verdict counts, worst ratio against k, largest errors, worst part.

    Errors are relative: in Frobenius norm, in the worst element and at the 99th percentile; null where none is finite.
    """
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
            "excluded": sum(row.excluded for row in group),
            "elements": sum(row.size for row in group),
            **_worst([row for row in group if row.verdict != "inconclusive"]),
            "limit": tolerance(quantity, policy).k,
        }
        for (subject, quantity, policy), group in sorted(groups.items())
    ]


def _worst(decided: list[Row]) -> dict:
    """The largest of each measure over the decided cases, and the part nearest to its limit."""
    measures = {"worst_ratio": "ratio", "used": "used"}
    found = {key: max((getattr(row, name) for row in decided), default=None) for key, name in measures.items()}
    for name in ("frobenius", "worst", "p99"):
        key = "worst_element" if name == "worst" else name
        found[key] = max((getattr(row.error, name) for row in decided), default=None)
    return found | {"worst_part": max(decided, key=lambda row: row.used).part if decided else None}


def print_rows(rows: list[Row], reporter) -> None:
    """A table: errors, and the worst in yardsticks against the limit k; what was excluded or stayed open is counted."""
    table = aggregate(rows)
    if not table:
        return
    reporter.section("error against float64; worst: in yardsticks of the same precision")
    reporter.write_line(
        "subject    quantity        precision   cases  frobenius   element       p99   worst  limit  remarks"
    )
    for row in table:
        sizes = "".join(f"{_short(row[key], '.1e'):>10}" for key in ("frobenius", "worst_element", "p99"))
        remarks = [f"{row[key]} {key}" for key in ("failed", "inconclusive") if row[key]]
        remarks += [f"{row['excluded']} of {row['elements']} elements excluded"] if row["excluded"] else []
        reporter.write_line(
            f"{row['subject']:<11}{row['quantity']:<16}{row['precision']:<11}{row['cases']:>6} {sizes}"
            f"{_short(row['worst_ratio'], '.2f'):>8}{row['limit']:>7.3g}  {', '.join(remarks)}"
        )


def _short(number: float | None, form: str) -> str:
    return "-" if number is None else f"{number:{form}}"


def print_onsets(onsets: list[Onset], reporter) -> None:
    """One line for each run that was held against its band: where it left it, and until when runs are comparable."""
    if not onsets:
        return
    reporter.section("training against float64; share: of the band that an ULP at the start opens")
    reporter.write_line(
        "subject    course              precision   steps  comparable  left at  share  nearest quantity"
    )
    for run in onsets:
        left = "-" if run.onset is None else str(run.onset)
        reporter.write_line(
            f"{run.subject:<11}{run.course:<20}{run.policy:<11}{run.steps:>6}{run.comparable:>12}{left:>9}"
            f"{run.worst:>7.2f}  {run.quantity}"
        )


def print_mutants(reporter) -> None:
    """How many known mistakes this session put in, and how many its checks caught."""
    outcomes = {
        outcome: sum(KILLS in getattr(report, "nodeid", "") for report in reporter.stats.get(outcome, ()))
        for outcome in ("passed", "failed")
    }
    if sum(outcomes.values()):
        reporter.section("known mistakes")
        reporter.write_line(f"caught: {outcomes['passed']} of {sum(outcomes.values())}")


def write_rows(path: str, **sections) -> None:
    """The session's `sections` as JSON, whole or not at all."""
    target = Path(path)
    temporary = target.with_suffix(".tmp")
    temporary.write_text(json.dumps(sections))
    os.replace(temporary, target)
