"""What a report says held against what is known: scores that training gives, chips, peaks, power limits.

Test with `pytest -m fast -k check`.
"""

import math
from collections.abc import Iterator

from reports import derived, peaks
from reports.chips import known_cpu
from reports.record import Record
from reports.schema import Probe
from reports.verdict import PENDING, REJECTED, Finding, implausible

START = 0.05  # relative: untrained, all text looks alike; the committed reports differ by 0.0001
END = 0.75  # of the last twentieth's mean loss; the committed reports end between 0.96 and 1.04
MAKERS = {"mlx-metal": "Apple ", "torch-mps": "Apple ", "mlx-cuda": "NVIDIA ", "torch-cuda": "NVIDIA "}
OVERDRAW = 1.2  # boards exceed their limit for moments; the energy counter is within a few percent


def findings(record: Record) -> Iterator[Finding]:
    """What in the record is not to be believed, or not unseen."""
    yield from _scores(record)
    yield from _chip(record)
    yield from _power(record)
    yield from _conformance(record)


def unlearned(record: Record) -> Finding | None:
    """Why the score tells of no learning. One over-fitted to its text may be above any: its training loss tells."""
    result = record.result
    if result is None or derived.memorised(record):
        return None
    score, end = derived.bits(result.nats, result.bytes), derived.final_loss(record)
    again = derived.memory_limited(record) and end is not None
    passes = f", nor did {record.run.epochs:.3g} passes take the training loss below {end:.3g}" if again else ""
    if result.nats >= result.initial_nats:
        initial = derived.bits(result.initial_nats, result.bytes)
        return implausible(f"{score:.4f} bits per byte is not below the {initial:.4f} of step 0{passes}")
    if result.nats >= result.unigram_nats:
        unigram = derived.bits(result.unigram_nats, result.bytes)
        return implausible(f"{score:.4f} bits per byte is not below a unigram model's {unigram:.4f}{passes}", PENDING)
    return None


def _scores(record: Record) -> Iterator[Finding]:
    """The final score better than no training at all, and no better than the losses that led to it."""
    result, loss = record.result, record.run.steps.loss
    if result is None:
        return
    score = derived.bits(result.nats, result.bytes)
    if not 0.2 < score < 8:
        yield implausible(f"{score:.4g} bits per byte; five minutes give between 0.2 and 8")
    yield from filter(None, [unlearned(record)])
    initial = result.initial_nats / result.tokens
    if loss and loss[0] is not None and abs(loss[0] - initial) > START * initial:
        yield implausible(f"steps.loss[0]={loss[0]}, but the start scored {initial:.4f} nats a token")
    last, final = derived.final_loss(record), result.nats / result.tokens
    if last is not None and score > 0.2 and final < END * last:
        yield implausible(f"{final:.4f} nats a token, but the last losses are about {last:.4f}", PENDING)


def _chip(record: Record) -> Iterator[Finding]:
    """Known chips only are accepted unseen; nothing runs faster than its peak."""
    name, cores = record.hardware.chip, record.hardware.gpu_cores
    if record.software.backend.endswith("-cpu"):
        if not known_cpu(name):
            yield implausible(f"unknown CPU maker in hardware.chip={name!a}", PENDING)
    elif derived.chip(record) is None:
        yield implausible(f"unknown chip {name!a} with gpu_cores={cores}; add a row to reports/chips.py", PENDING)
    elif not name.startswith(MAKERS[record.software.backend]):
        yield implausible(f"{name} has no {record.software.backend}")
    flop_per_s = (derived.tokens_per_s(record) or 0.0) * record.run.flop_per_token
    speeds = [("training", flop_per_s, derived.peak(record))]
    speeds += [("a probe", p.flop / p.seconds, derived.peak(record, _seen(record, p))) for p in record.state.probes]
    for what, speed, peak in speeds:
        if peak and speed > peak.flop_per_s:
            reason = f"{what} ran at {speed / peak.flop_per_s:.3g} times the chip's {peak.name} peak"
            yield implausible(reason, REJECTED if peak.certain else PENDING)
    if record.state.ceiling:
        for reason, certain in peaks.impossible(record.state.ceiling, record.hardware, record.software.backend):
            yield implausible(reason, REJECTED if certain else PENDING)
    share = derived.measured_mfu(record)
    if share and share > 1:
        yield implausible(f"training ran at {share:.3g} times the best product measured on this machine", PENDING)


def _power(record: Record) -> Iterator[Finding]:
    """Joules at a power that the board may draw."""
    result = record.result
    limit_w, seconds = record.hardware.power_limit_w, math.fsum(record.run.steps.step_s)
    if result and result.joules and limit_w and seconds and record.software.backend.endswith("-cuda"):
        drawn_w = result.joules / seconds
        if drawn_w > OVERDRAW * limit_w:
            yield implausible(f"training drew {drawn_w:.0f} W, more than the board's limit of {limit_w:.0f} W")


def _seen(record: Record, probe: Probe) -> str:
    """The class of a probe: asked for like the run's own products, it was computed like them."""
    asked = probe.precision
    return record.run.precision_observed or asked if asked == record.run.policy else asked


def _conformance(record: Record) -> Iterator[Finding]:
    """A score counts beside a passing correctness suite of the same versions."""
    found = record.conformance
    if found is None:
        yield implausible("no conformance record; a score is ranked with a passing one", PENDING)
        return
    if found.failed or not found.passed:
        reason = f"{found.failed} conformance checks failed" if found.failed else "no conformance check passed"
        yield implausible(f"{reason}; a score is ranked with a passing one", PENDING)
