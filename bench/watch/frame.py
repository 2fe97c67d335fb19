"""One frame of the view at a width and height: what runs, how it goes, two curves, and the runs before it.

Only the terminal's own colours, so that it reads on light and on dark. Test with
`pytest -m meta bench/meta/test_watch.py`; `python -m bench.watch FILE --once` prints one.
"""

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bench.watch import curve
from bench.watch.following import View
from bench.watch.ledger import Ledger, best
from reports import derived

WIDE = 110  # columns, from which on a ledger's row has everything
LEAST_ROWS, LEDGER_ROWS = 4, 5  # of a curve; of the ledger, where there is room


def frame(view: View, ledger: Ledger, width: int, height: int) -> RenderableType:
    """At most `height` rows of `width` columns."""
    head = [_title(view, str(ledger.folder)), _state(view, width), *_numbers(view)]
    room = height - (5 if view.steps else 2)
    rows = max(LEAST_ROWS, min((room - LEDGER_ROWS - 4), round(0.6 * room)))
    parts: list[RenderableType] = list(head)
    if view.steps:
        parts.append(_curves(view, width, rows))
        room -= rows + 2
    if room > 2:
        parts.append(_past(ledger, width, room - 2))
    return Group(*parts)


def line(view: View) -> str:
    """The same in one line, where there is no terminal."""
    return " | ".join([_doing(view)[0], *(f"{name}: {value}" for name, value in _facts(view).items() if value != "-")])


def _title(view: View, folder: str) -> Text:
    if view.header is None:
        return Text.assemble(("nanomark ", "bold"), f"no run in {shown(folder)} yet", no_wrap=True, overflow="ellipsis")
    header = view.header
    settings = "".join(f" {key}={value}" for key, value in header.settings.items())
    told = f"{header.backend} · {header.preset}{settings}, {header.division} · {header.data} · seed {header.seed}"
    told += f" · {header.policy} · {header.chip}"
    return Text.assemble(("nanomark ", "bold"), shown(told), no_wrap=True, overflow="ellipsis")


def _doing(view: View) -> tuple[str, str]:
    """(what the run does, in which style)."""
    if view.header is None:
        return "waiting", "dim"
    if view.end is not None:
        if view.end.failure:
            return shown(f"failed: {view.end.failure}"), "bold red"
        return "finished", "bold green"
    if view.lost:
        return f"no word for {view.silent_s:.0f} s: killed, or hangs", "bold red"
    if view.phase is not None:
        silence = f" ({view.silent_s:.0f} s)" if view.silent_s >= 1 else ""
        return shown(view.phase.doing) + silence, "bold"
    return ("training", "bold") if view.steps else ("first step", "bold")


def _state(view: View, width: int) -> Table:
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    if not view.steps:
        table.add_row(Text(*_doing(view)))
        return table
    if not (over := view.end is not None or view.lost):
        table.add_column(no_wrap=True, width=min(40, width // 4))
    table.add_column(no_wrap=True, justify="right")
    bar = ProgressBar(total=1.0, completed=view.share, style="dim", complete_style="cyan", finished_style="cyan")
    last, remaining_s = view.steps[-1], view.remaining_s
    clock = f"{view.share:.1%}  {last.timed_s:.0f} s"
    if remaining_s is not None and not over:
        clock += f", {remaining_s:.0f} s remain"
    table.add_row(Text(*_doing(view)), *([] if over else [bar]), Text(clock))
    return table


def _facts(view: View) -> dict[str, str]:
    last, header, start = (view.steps[-1] if view.steps else None), view.header, view.start
    loss, bits = view.loss, view.bits_per_nat
    scored = view.scores[-1] if view.scores else None
    facts = {
        "step": f"{last.step:,}" if last else "-",
        "loss": f"{loss:.4f}" if loss is not None else "-",
        "bpb": f"~{loss * bits:.3f}" if loss is not None and bits else "-",
        "val_bpb": f"{bits_per_byte(scored):.4f} at {scored.step:,}" if scored else "-",
        "dt": f"{1000 * last.step_s:,.0f} ms" if last and last.step_s >= 0.01 else "-",
        "tok/s": f"{view.tokens_per_s:,.0f}" if view.tokens_per_s else "-",
        "mfu": f"{view.mfu:.1%}" if view.mfu is not None else "-",
        "memory": f"{last.memory_bytes / 2**20:,.0f} MiB" if last and last.memory_bytes else "-",
        "epoch": f"{last.epoch}" if last else "-",
        "lrm": f"{last.lr:.2f}" if last else "-",
    }
    if last and last.step_s < 0.01:
        facts["dt"] = f"{1000 * last.step_s:.2f} ms"
    if header and start and scored is None:
        facts["val_bpb"] = f"{bits_per_byte(start):.4f} at 0"
    return facts


def _numbers(view: View) -> list[RenderableType]:
    """A row of figures, and one for whatever disturbs the run."""
    if not view.steps:
        return []
    facts = _facts(view)
    table = Table.grid(padding=(0, 1), expand=True)
    for _ in facts:
        table.add_column(no_wrap=True, justify="right")
    table.add_row(*(Text(name, style="dim") for name in facts))
    table.add_row(*(Text(value) for value in facts.values()))
    disturbed = view.disturbed
    mood = Text(f"disturbed: {shown(disturbed)}", style="bold") if disturbed else Text("undisturbed", style="dim")
    mood.no_wrap, mood.overflow = True, "ellipsis"
    if view.start and view.start.peak:
        mood.append(f" · mfu of {shown(view.start.peak)}", style="dim not bold")
    return [table, mood]


def _curves(view: View, width: int, rows: int) -> Table:
    bits, inner = view.bits_per_nat, (width // 2) - 4
    marks = []
    if bits:
        timed_s = {step.step: step.timed_s for step in view.steps}
        marks = [
            (timed_s.get(scored.step, view.steps[-1].timed_s), bits_per_byte(scored) / bits) for scored in view.scores
        ]
    losses = curve.draw(
        view.losses,
        marks,
        inner,
        rows,
        left=lambda loss: f"{loss:.2f}",
        right=(lambda loss: f"{loss * bits:.2f}") if bits else None,
        style="cyan",
        falling=True,
    )
    times = [(step.timed_s, step.step_s) for step in view.steps]
    steps = curve.draw(times, (), inner, rows, left=_ms, style="magenta")
    table = Table.grid(expand=True)
    table.add_column(ratio=1)
    table.add_column(ratio=1)
    named = {"title_align": "left", "box": box.ROUNDED, "border_style": "dim", "height": rows + 2}
    table.add_row(
        Panel(losses, title="loss · bits per byte · × scored" if bits else "loss", **named),
        Panel(steps, title="time of a step", **named),
    )
    return table


def _ms(step_s: float) -> str:
    return f"{1000 * step_s:.3g} ms" if step_s < 1 else f"{step_s:.3g} s"


def _past(ledger: Ledger, width: int, rows: int) -> RenderableType:
    """The newest runs that there is room for; a star marks the best of each kind."""
    entries, wide, starred = ledger.entries, width >= WIDE, best(ledger.entries)
    above = (
        f"{ledger.unreadable} files are no report of this schema: python -m reports check" if ledger.unreadable else ""
    )
    if not entries:
        return Text(above or "no earlier run here", style="dim")
    table = Table(box=None, expand=True, padding=(0, 1, 0, 0), header_style="dim", pad_edge=False)
    names = ["when (UTC)", "backend", "preset", "seed", "data", "val_bpb", "steps", "tok/s", "mfu"]
    for name in [*names, *(["budget", "tokens", "epochs", "what happened"] if wide else [])]:
        text = name in ("when (UTC)", "backend", "preset", "data", "what happened")
        room = 1 if name == "what happened" else None  # what the others leave
        table.add_column(name, no_wrap=True, justify="left" if text else "right", overflow="ellipsis", ratio=room)
    for i, entry in enumerate(entries[:rows]):
        score = f"{entry.bits_per_byte:.4f}" if entry.bits_per_byte is not None else "none"
        cells = [
            entry.when[2:16].replace("T", " "),
            entry.backend,
            entry.preset,
            entry.seed,
            entry.kind[1][:6] if entry.kind else "",
            f"{'* ' if i in starred else ''}{score}",
            f"{entry.steps:,}" if entry.steps is not None else "-",
            f"{entry.tokens_per_s:,.0f}" if entry.tokens_per_s else "-",
            f"{entry.mfu:.1%}" if entry.mfu is not None else "-",
        ]
        if wide:
            cells += [
                f"{entry.budget_s:g} s" if entry.budget_s else "-",
                f"{entry.tokens / 1e6:.2f} M" if entry.tokens is not None else "-",
                f"{entry.epochs:.2f}" if entry.epochs is not None else "-",
                entry.told,
            ]
        style = "bold" if i in starred else "" if entry.bits_per_byte is not None else "dim"
        table.add_row(*(Text(shown(cell)) for cell in cells), style=style)
    return Group(Text(above, style="dim", no_wrap=True, overflow="ellipsis"), table)


def bits_per_byte(scored) -> float:
    """Of a line that has nats and bytes."""
    return derived.bits(scored.nats, scored.bytes)


def shown(text: str) -> str:
    """What a file says may not steer the terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)
