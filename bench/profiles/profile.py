"""Other programs' rules for a score, a time and an MFU: one row each, so that published numbers can be had again.

B rows, T tokens, V vocabulary. Test with `pytest -m fast bench/profiles`.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np

from bench.profiles import byte_table, peak
from bench.profiles.byte_table import ByteTable
from impl.data.batches import batches, encoded
from impl.data.evaluation import BATCH_DOCUMENTS
from impl.data.prepared import Prepared
from impl.data.tokenizer import Tokenizer
from impl.spec import Recipe

CHUNK = 2**19  # tokens that every program counts its evaluation in
STEPS_TAKEN_OFF = 10  # from the steps of an MFU, where one more is not timed


@dataclass(frozen=True, kw_only=True)
class Profile:
    """The rules of one program. None: it has none, or what it did is not known."""

    name: str
    what: str  # the code that was read
    untimed_steps: int
    table: Callable[[Tokenizer], ByteTable]
    bytes_of: str  # the table in words
    scores_empty: bool  # whether tokens that count for no byte cost nats all the same
    eval_tokens: int | None  # of the packed stream, as often as it takes; None: the split once, in a row
    eval_rows: int | None = None  # at a time; None: the device batch
    eval_at_least: int = 0  # steps, where the tokens do not suffice for one
    peak: Callable[[str, int | None], float | None] | None  # by chip and GPU cores
    every_parameter: bool = False  # whether MFU takes 6 FLOP for each, embeddings included, of the last step alone
    newton_schulz: str | None  # the precision of Muon's products; None: no Muon
    loss_limit: float | None  # above which a run fails
    fails_at_nan: bool
    tests: str | None = None  # "last" micro-batch or "mean" of them

    def scored(self, table: ByteTable, targets):  # (...) -> (...) bool
        """Which targets' nats count."""
        return np.ones(targets.shape, bool) if self.scores_empty else table.size[targets] > 0

    def bits_per_byte(self, nats, previous, targets, tokenizer: Tokenizer) -> float:  # 3 x (B, T)
        """The score of these nats, one a target."""
        table = self.table(tokenizer)
        scored = self.scored(table, targets)
        return bits(float(np.sum(nats, where=scored, dtype=np.float64)), int(table.of(previous, targets).sum()))

    def rows(self, recipe: Recipe) -> int | None:
        """Packed rows that an evaluation has; None for the whole split. Raises ValueError where it has none."""
        if self.eval_tokens is None:
            return None
        length, at_once = recipe.model.sequence_len, self.eval_rows or recipe.data.device_batch
        steps = max(self.eval_at_least, self.eval_tokens // (at_once * length))
        if steps == 0:
            raise ValueError(
                f"{self.name}: device_batch={at_once} x sequence_len={length} is more than the {self.eval_tokens} "
                f"tokens that it scores; try device_batch={self.eval_tokens // length}"
            )
        return steps * at_once

    def stream(self, prepared: Prepared, recipe: Recipe, at_once: int) -> Iterator:
        """Pairs of (inputs, targets), (B, T) each, B <= `at_once`, of validation: packed without end, or the split."""
        length = recipe.model.sequence_len
        if self.eval_tokens is None:
            yield from unpacked(prepared, length, at_once)
        else:
            for inputs, targets, _ in batches(prepared, "val", at_once, length, recipe.data):
                yield inputs, targets

    def timed_s(self, step_s: Sequence[float]) -> float:
        """Seconds that count as training."""
        return math.fsum(step_s[self.untimed_steps :])

    def flop_per_s(
        self, step_s: Sequence[float], total_batch: int, flop_per_token: int, parameters: int
    ) -> float | None:
        """The speed that MFU is a share of the peak of; None where it has no MFU, or no step was timed."""
        if self.peak is None or len(step_s) <= self.untimed_steps:
            return None
        if self.every_parameter:
            return 6 * parameters * total_batch / step_s[-1]
        return flop_per_token * total_batch * (len(step_s) - STEPS_TAKEN_OFF) / self.timed_s(step_s)

    def mfu(
        self,
        step_s: Sequence[float],
        total_batch: int,
        flop_per_token: int,
        parameters: int,
        chip: str,
        gpu_cores: int | None,
    ) -> float | None:
        """Share of the peak that it has for the chip; None where it has none."""
        speed = self.flop_per_s(step_s, total_batch, flop_per_token, parameters)
        of = self.peak and self.peak(chip, gpu_cores)
        return speed / of if speed and of else None

    def failed(self, losses: Sequence[float]) -> bool:
        """Whether a step whose micro-batches had these losses ends the run."""
        if self.loss_limit is None:
            return False
        loss = losses[-1] if self.tests == "last" else fmean(losses)
        return loss > self.loss_limit or (self.fails_at_nan and math.isnan(loss))

    def recipe(self, recipe: Recipe) -> Recipe:
        """`recipe` with the precision of its Newton-Schulz; unchanged where it has no Muon."""
        if self.newton_schulz is None:
            return recipe
        dtype = "float32" if self.newton_schulz == "float32" else "compute"
        matrices = replace(recipe.optimizer.matrices, dtype=dtype)
        return replace(recipe, optimizer=replace(recipe.optimizer, matrices=matrices))


def bits(nats: float, bytes_: int) -> float:
    """Bits per byte; infinite where no byte counts."""
    return nats / (math.log(2) * bytes_) if bytes_ else math.inf


def unpacked(prepared: Prepared, length: int, at_once: int) -> Iterator:  # -> pairs of (B, T)
    """Every validation document in a row, BOS before each, in whole windows; the tokens after the last are left out."""
    stream = np.concatenate(
        [document for documents in encoded(prepared, "val", BATCH_DOCUMENTS) for document in documents]
    )
    count = (len(stream) - 1) // length
    inputs, targets = (stream[i : i + count * length].reshape(count, length) for i in (0, 1))
    for start in range(0, count, at_once):
        yield tuple(x[start : start + at_once].astype(np.int64) for x in (inputs, targets))


KARPATHY = Profile(
    name="karpathy",
    what="karpathy/autoresearch 228791f",
    untimed_steps=11,
    table=byte_table.decoded,
    bytes_of="decoded alone, U+FFFD is three",
    scores_empty=False,
    eval_tokens=40 * CHUNK,
    peak=peak.h100,
    newton_schulz="bfloat16",
    loss_limit=100.0,
    fails_at_nan=True,
    tests="last",
)
_ROWS = (
    KARPATHY,
    replace(
        KARPATHY,
        name="elementalcollision",
        what="elementalcollision/autoresearch-unified 5b6a90f",
        eval_tokens=10 * CHUNK,
        peak=peak.by_name,
        newton_schulz="float32",
        tests="mean",
    ),
    replace(
        KARPATHY,
        name="pr205",
        what="karpathy/autoresearch pull request 205, 5fa8a4a",
        table=byte_table.literal("<|reserved_0|>"),
        bytes_of="raw, BOS is the 14 of its name",
        scores_empty=True,
        peak=peak.by_cores,
        newton_schulz="float32",
        tests="mean",
    ),
    replace(
        KARPATHY,
        name="autoresearch-mlx",
        what="trevin-creator/autoresearch-mlx 766a25f",
        untimed_steps=1,
        eval_tokens=3 * CHUNK,
        eval_rows=256,
        peak=None,  # it prints 0.00
        newton_schulz=None,
        fails_at_nan=False,
    ),
    Profile(
        name="nanochat-mlx",
        what="xbsd/nanochat_mlx 7ce8ea3",
        untimed_steps=0,
        table=byte_table.literal("<|bos|>"),
        bytes_of="raw, BOS is the 7 of its name",
        scores_empty=True,
        eval_tokens=20 * CHUNK,
        eval_at_least=1,
        peak=peak.by_chip,
        every_parameter=True,
        newton_schulz="float32",
        loss_limit=None,
        fails_at_nan=False,
    ),
    Profile(
        name="parameter-golf",
        what="openai/parameter-golf 4908dc4, train_gpt.py",
        untimed_steps=0,  # twenty before the clock starts, after which everything is put back
        table=byte_table.spelled,
        bytes_of="SentencePiece's pieces, the space after BOS is none",
        scores_empty=True,
        eval_tokens=None,
        peak=None,
        newton_schulz="bfloat16",
        loss_limit=None,
        fails_at_nan=False,
    ),
)
PROFILES = {row.name: row for row in _ROWS}
