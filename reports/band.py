"""Runs of the same rules, sizes and text learn alike by tokens, wherever they run: a report held against the others.

Test with `pytest -m fast -k "bad_reports or references"`.
"""

import math
from collections.abc import Iterator
from itertools import takewhile
from statistics import fmean

from reports import derived
from reports.record import Record
from reports.references import References
from reports.verdict import PENDING, REJECTED, Finding, implausible, wrong

BLOCK = 16  # steps that a loss is averaged over: of equal sizes and text, each saw the same tokens
# Three times the furthest that two of 6 seeds of preset cpu in bfloat16 are apart in the first block (4.1 %) and in
# later ones (1.9 %); 10 seeds of tiny in float32 are within 1.4 %, and precisions as near as seeds.
EARLY_LOSS, LOSS = 0.12, 0.056
# Seeds of preset cpu end 0.32 % apart, of tiny with equal tokens 0.13 to 0.36 % (two each); by `bench.noise` their
# standard deviation is 0.21 % (0.15 to 0.39).
SCORE = 0.03
ANNEALED = 0.9  # of the schedule: from there on a score is that of a whole run
FACTS = {"tokens": "result", "unigram_nats": "result", "train_tokens": "run"}
FACT_TOLERANCE = 1e-6


def findings(record: Record, references: References) -> Iterator[Finding]:
    """Silent where no report has the same hashes."""
    yield from _facts(record, references)
    yield from _losses(record, references.of_hashes(record, "recipe", "config", "data"))
    yield from _score(record, references.of_hashes(record, "recipe", "config", "data", "eval"))


def _facts(record: Record, references: References) -> Iterator[Finding]:
    """What the text and its tokenizer alone decide."""
    for name, section in FACTS.items():
        needed = ("data",) if section == "run" else ("data", "eval")
        given = getattr(getattr(record, section), name, None)
        for other in references.of_hashes(record, *needed):
            due = getattr(getattr(other, section), name, None)
            if given and due and not math.isclose(given, due, rel_tol=FACT_TOLERANCE):
                yield wrong(f"{section}.{name}={given}, but other reports of the same text have {due}")
                break


def _losses(record: Record, others: list[Record]) -> Iterator[Finding]:
    """Where the rates are constant, progress plays no part, so that quick and slow chips can be compared by tokens."""
    loss = _constant(record)
    known = [losses for other in others if (losses := _constant(other))]
    untrained = max((losses[0] for losses in known), default=0.0)
    for start in range(0, len(loss) - BLOCK + 1, BLOCK):
        there = [block for losses in known if len(block := losses[start : start + BLOCK]) == BLOCK]
        if not there:
            return
        allowed, due = LOSS if start else EARLY_LOSS, fmean(map(_log, there))
        if math.exp(due) < derived.MEMORISED * untrained:
            return  # learned by heart: what little is left differs by a third between right backends
        away = _log(loss[start : start + BLOCK]) - due
        if abs(away) > allowed:
            at = f"{(start + BLOCK) * record.run.total_batch} tokens"
            band = f"{math.exp(due - allowed):.4g} to {math.exp(due + allowed):.4g} of {_reports(there)}"
            yield _outside(f"loss {math.exp(due + away):.4g} after {at}", away, allowed, band)
            return


def _constant(record: Record) -> tuple[float, ...]:
    """The losses until the rates first move."""
    steps = record.run.steps
    before = takewhile(lambda pair: pair[1] == 1 and pair[0] is not None, zip(steps.loss, steps.lr, strict=True))
    return tuple(loss for loss, _ in before if loss is not None)


def _log(losses: tuple[float, ...]) -> float:
    return fmean(math.log(max(loss, 1e-9)) for loss in losses)


def _score(record: Record, others: list[Record]) -> Iterator[Finding]:
    """More tokens, better score: it lies between those of the nearest runs with fewer and with more."""
    score = _whole(record)
    scores = sorted((derived.tokens(other), bpb, _floor(other, bpb)) for other in others if (bpb := _whole(other)))
    if not score or not scores:
        return
    tokens = derived.tokens(record)
    more = [floor for n, _, floor in scores if n >= tokens]
    fewer = [bpb for n, bpb, _ in scores if n <= tokens]
    least = min(more) * (1 - SCORE) if more else 0.0
    most = fewer[-1] * (1 + SCORE) if fewer and not derived.memory_limited(record) else math.inf
    if not least <= score <= most:
        away = math.log(score / (least / (1 - SCORE) if score < least else most / (1 + SCORE)))
        band = f"{least:.4f} to {most:.4f} of {_reports(scores)}"
        yield _outside(f"{score:.4f} bits per byte after {tokens} tokens", away, SCORE, band)


def _floor(record: Record, score: float) -> float:
    """What no shorter run is below: where the text was read again the training loss, since the score may have risen."""
    last, result = derived.final_loss(record), record.result
    if result is None or last is None or not derived.memory_limited(record):
        return score
    return min(score, derived.bits(last * result.tokens, result.bytes))


def _whole(record: Record) -> float | None:
    """The score of a run that followed its schedule to the end."""
    progress = record.run.steps.progress
    return derived.bits_per_byte(record) if progress and progress[-1] >= ANNEALED else None


def _reports(found: list) -> str:
    return f"{len(found)} report{'s' * (len(found) > 1)} of these hashes"


def _outside(what: str, away: float, allowed: float, band: str) -> Finding:
    """A person looks at what lies outside; twice as far is no run of this recipe."""
    direction = "too good" if away < 0 else "too bad"
    return implausible(f"{what} is {direction}, outside {band}", REJECTED if abs(away) > 2 * allowed else PENDING)
