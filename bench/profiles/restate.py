"""A finished run under another program's rules: its score, seconds and MFU, beside ours and what was published.

B rows, T tokens. Test with `pytest -m fast bench/profiles`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bench.profiles.byte_table import ByteTable
from bench.profiles.profile import Profile, bits
from bench.profiles.published import results
from bench.subject import BitsPerByte
from impl.data.evaluation import UNSCORED
from impl.data.prepared import Prepared
from impl.flops import flop_per_token
from impl.spec import Recipe
from impl.spec.optimizer import count
from reports.schema import Hardware


@dataclass(frozen=True)
class Restated:
    """One run as `profile` counts it. None: the profile has no such number, or none for this chip."""

    profile: Profile
    chip: str
    score: BitsPerByte
    timed_s: float
    flop_per_s: float | None
    mfu: float | None

    @property
    def bits_per_byte(self) -> float:
        return bits(self.score.nats, self.score.bytes)


def restate(
    nats: Callable,
    prepared: Prepared,
    recipe: Recipe,
    step_s: Sequence[float],
    machine: Hardware,
    profiles: Iterable[Profile],
    at_once: int | None = None,
) -> list[Restated]:
    """The run whose steps took `step_s` under each profile; `nats` of (inputs, targets), (B, T), is (B,), as in
    `bench.evaluation`, `at_once` rows at a time or else the device batch.

    Raises ValueError where a profile's evaluation has no whole step.
    """
    chosen = list(profiles)
    scores = score(nats, prepared, recipe, chosen, at_once or recipe.data.device_batch)
    of_run = (step_s, recipe.data.total_batch, flop_per_token(recipe.model), count(recipe.model))
    return [
        Restated(
            profile=profile,
            chip=machine.chip,
            score=found,
            timed_s=profile.timed_s(step_s),
            flop_per_s=profile.flop_per_s(*of_run),
            mfu=profile.mfu(*of_run, machine.chip, machine.gpu_cores),
        )
        for profile, found in zip(chosen, scores, strict=True)
    ]


def score(nats: Callable, prepared: Prepared, recipe: Recipe, profiles: Sequence[Profile], at_once: int):
    """-> [BitsPerByte], one a profile. Rows that several of them score are computed once: their streams begin alike."""
    tallies = [_Tally(profile, profile.table(prepared.tokenizer), profile.rows(recipe)) for profile in profiles]
    for packed in (True, False):
        some = [tally for tally in tallies if (tally.rows is not None) == packed]
        if some:
            _follow(some[0].profile.stream(prepared, recipe, at_once), some, nats, at_once)
    return [BitsPerByte(nats=tally.nats, bytes=tally.bytes, tokens=tally.tokens) for tally in tallies]


@dataclass
class _Tally:
    """Sums of one profile; `rows` are those that it has still to score, None for all there are."""

    profile: Profile
    table: ByteTable
    rows: int | None
    nats: float = 0.0
    bytes: int = 0
    tokens: int = 0

    def add(self, inputs, targets, scored, row_nats) -> None:  # 3 x (B, T), (B,)
        rows = len(inputs) if self.rows is None else min(self.rows, len(inputs))
        self.nats += float(np.sum(row_nats[:rows], dtype=np.float64))
        self.bytes += int(self.table.of(inputs[:rows], targets[:rows]).sum())
        self.tokens += int(scored[:rows].sum())
        self.rows = None if self.rows is None else self.rows - rows


def _follow(stream: Iterator, tallies: list[_Tally], nats: Callable, at_once: int) -> None:
    for inputs, targets in stream:
        known: dict[bytes, np.ndarray] = {}
        for tally in tallies:
            scored = tally.profile.scored(tally.table, targets)
            asked = np.where(scored, targets, UNSCORED)
            key = asked.tobytes()
            if key not in known:
                known[key] = nats(_filled(inputs, at_once), _filled(asked, at_once))[: len(inputs)]
            tally.add(inputs, targets, scored, known[key])
        tallies = [tally for tally in tallies if tally.rows is None or tally.rows > 0]
        if not tallies:
            return


def _filled(x, rows: int):  # (B, T) -> (rows, T)
    """One shape for all, hence one compilation; what stands in the rows added is not looked at."""
    return np.pad(x, ((0, rows - len(x)), (0, 0)))


def summary(restated: Restated, ours: float, data: str) -> dict[str, str]:
    """Lines for the block at the end of a run, whose score is `ours`, on the data set of this name.

    Published figures are those of this chip, or else the program's best known.
    """
    profile, score = restated.profile, restated.score
    found = restated.bits_per_byte
    lines = {
        "profile": f"{profile.name} ({profile.what})",
        "profile_bpb": f"{found:.6f}, {100 * (found / ours - 1):+.2f} % of our rule's {ours:.6f}",
        "profile_scored": f"{score.nats:.1f} nats, {score.bytes} bytes, {score.tokens} tokens; {profile.bytes_of}",
        "profile_seconds": f"{restated.timed_s:.1f}, without the first {profile.untimed_steps} steps",
        "profile_mfu": "none" if restated.mfu is None else f"{100 * restated.mfu:.2f} % of its own peak",
    }
    known = list(results(profile.name, restated.chip)) or list(results(profile.name))[:1]
    for i, row in enumerate(known, 1):
        comparable = "" if row.data == data else "; other data, not comparable"
        lines[f"published_{i}"] = f"{row.val_bpb} on {row.chip}, {row.data}{comparable} ({row.source})"
    return lines
