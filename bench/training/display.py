"""What a run shows while it goes: one live line in a terminal, a plain line every ten seconds elsewhere.

The line has the field's own keys, so that scripts that watch upstream's output can watch ours.
"""

import time
from math import log

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bench.training.loop import Pace, Run
from bench.training.order import MORE_TEXT
from impl.flops import flop_per_token
from impl.spec import Recipe
from reports.chips import Peak

PLAIN_EVERY_S = 10.0
SMOOTHING = 0.9
HANDFUL = 5  # passes; over a small text preset tiny scored best after two, and worse from the third on


def forecast(recipe: Recipe, pace: Pace, step_s: float, train_tokens: int) -> str | None:
    """That the text will be read more than a handful of times, and by which estimate; None where it will not."""
    passes = pace.steps(step_s) * recipe.data.total_batch / train_tokens
    if passes <= HANDFUL:
        return None
    steps = f"{pace.steps(step_s):.0f} steps x {recipe.data.total_batch} tokens / {train_tokens} tokens of text"
    return f"about {passes:.0f} passes ({steps}): the score will tell of memory, not of learning; {MORE_TEXT}"


class Display:
    """A context: call it with the run after each step. `peak` is what MFU is a share of."""

    def __init__(self, recipe: Recipe, pace: Pace, tokens_per_byte: float, peak: Peak | None, console: Console):
        self.recipe, self.pace, self.console = recipe, pace, console
        self.tokens_per_byte, self.peak = tokens_per_byte, peak
        self.live = Live(console=console, refresh_per_second=4, transient=True) if console.is_terminal else None
        self.smooth, self.printed_s = 0.0, float("-inf")

    def __enter__(self):
        if self.live:
            self.live.__enter__()
        return self

    def __exit__(self, *exception):
        if self.live:
            self.live.__exit__(*exception)

    def __call__(self, run: Run) -> None:
        self.smooth = SMOOTHING * self.smooth + (1 - SMOOTHING) * run.loss[-1]
        done = self.pace.share(run) >= 1 or run.failure is not None
        if self.live:
            self.live.update(self._panel(run))
        if (not self.live and time.monotonic() - self.printed_s >= PLAIN_EVERY_S) or done:
            self.printed_s = time.monotonic()
            self.console.print(Text(self._line(run)), soft_wrap=True)

    def _panel(self, run: Run) -> Table:
        table = Table.grid()
        table.add_row(ProgressBar(total=1.0, completed=self.pace.share(run), width=60))
        table.add_row(Text(self._line(run)))
        return table

    def _line(self, run: Run) -> str:
        step, share = len(run.step_s), self.pace.share(run)
        loss = self.smooth / (1 - SMOOTHING**step)
        tokens_per_s = self.recipe.data.total_batch / run.step_s[-1]
        return " | ".join(
            [
                f"step {step - 1:05d} ({100 * share:.1f}%)",
                f"loss: {loss:.6f}",
                f"bpb: ~{loss * self.tokens_per_byte / log(2):.3f}",
                f"lrm: {run.lr[-1]:.2f}",
                f"dt: {run.step_s[-1] * 1000:.0f}ms",
                f"tok/sec: {tokens_per_s:,.0f}",
                f"mfu: {self._mfu_percent(tokens_per_s)}",
                f"epoch: {run.epoch}",
                f"remaining: {run.timed_s * (1 / share - 1):.0f}s",
            ]
        )

    def _mfu_percent(self, tokens_per_s: float) -> str:
        if self.peak is None:
            return "n/a"
        return f"{100 * tokens_per_s * flop_per_token(self.recipe.model) / self.peak.flop_per_s:.1f}%"
