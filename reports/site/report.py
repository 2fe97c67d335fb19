"""A report's own page: its score, its curves, what was checked, and where it ran.

Test with `pytest -m fast -k site`.
"""

from collections.abc import Sequence

from reports import derived, peaks
from reports.neighbours import Neighbours
from reports.ranking import configuration
from reports.record import Record
from reports.site import curves
from reports.site.page import render
from reports.standing import line, unranked

Pairs = list[tuple[str, object]]


def page(
    record: Record,
    digest: str,
    verdict: str,
    reasons: Sequence[str],
    alone: bool = False,
    standing: Neighbours | None = None,
) -> str:
    """HTML of one report. `alone`: a file by itself, without links to a site; `standing`: what it stands beside."""
    return render(
        "report",
        record=record,
        of=configuration(record),
        digest=digest,
        verdict=verdict,
        reasons=reasons,
        unranked=unranked(record),
        comparable=line(record),
        score=derived.bits_per_byte(record),
        facts=_facts(record),
        flags=derived.flags(record),
        plots=curves.of(record),
        environment=_environment(record),
        alone=alone,
        standing=standing,
    )


def _facts(record: Record) -> dict[str, object]:
    peak, best, result = derived.peak(record), derived.measured_peak(record), record.result
    return {
        "initial": derived.initial_bits_per_byte(record),
        "unigram": derived.unigram_bits_per_byte(record),
        "tokens": derived.tokens(record),
        "tokens_per_s": derived.tokens_per_s(record),
        "training_s": derived.training_s(record),
        "mfu": derived.mfu(record),
        "mfu_of": peak and peak.name,
        "mfu_source": peak and peak.source,
        "measured_mfu": derived.measured_mfu(record),
        "measured_of": best and best.name,
        "shown_of": (shown := peaks.denominator(peak, best)) and shown.name,
        "memory": result and result.peak_memory_bytes,
        "memory_method": result and result.peak_memory_method,
        "joules_per_token": derived.joules_per_token(record),
        "joules": result and result.joules,
        "joules_method": result and result.joules_method,
        "limited": derived.memory_limited(record),
        "memorised": derived.memorised(record),
    }


def _environment(record: Record) -> list[tuple[str, Pairs]]:
    """(heading, [(name, value)]) of everything that the report says about where it ran; null is unknown."""
    identity, run = record.identity, record.run
    return [
        ("Hardware", _pairs(record.hardware)),
        ("Software", _pairs(record.software)),
        ("State of the machine", _pairs(record.state, leave_out=("probes", "ceiling"))),
        ("Run", _pairs(run, leave_out=("steps", "evals", "warmup", "failure")) + _pairs(run.warmup, "warmup ")),
        ("Identity", _pairs(identity, leave_out=("hashes",)) + _pairs(identity.hashes, "hash of ")),
    ]


def _pairs(section, prefix: str = "", leave_out: Sequence[str] = ()) -> Pairs:
    named = ((name, getattr(section, name)) for name in type(section).model_fields if name not in leave_out)
    return [(prefix + name.replace("_", " "), _shown(value)) for name, value in named]


def _shown(value) -> object:
    """As text; None stays, which the page shows as unknown."""
    if value is None or value == "":
        return None if value is None else "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name}={item}" for name, item in sorted(value.items())) or "none"
    if isinstance(value, tuple):
        return ", ".join(map(_shown_item, value)) or "none"
    return _shown_item(value)


def _shown_item(value) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"{value:,}" if isinstance(value, int) and abs(value) >= 100_000 else str(value)
