"""The block at the end of a run: upstream's keys first, in its order and form, then what it does not print."""

from pathlib import Path

from rich.console import Console

from bench import profiles
from bench.profiles import Restated
from bench.training.order import MORE_TEXT
from reports import derived, peaks, standing
from reports.record import Record, ReportError
from reports.site import own


def print_summary(record: Record, total_s: float, console: Console) -> None:
    """`key: value` lines after `---`; scripts that read upstream's block can read this one."""
    console.print("---", highlight=False)
    for key, value in {**upstream_keys(record, total_s), **own_keys(record)}.items():
        print_row(key, value, console)


def print_restated(restated: list[Restated], ours: float | None, data: str, console: Console) -> None:
    """A run on `data` by other programs' rules, beside `ours` and what they published."""
    for one in restated:
        assert ours, "a run without a score was restated"
        for key, value in profiles.summary(one, ours, data).items():
            print_row(key, value, console)


def print_page(report: Path, console: Console) -> None:
    """How the run stands beside the committed reports, and where its page lies; neither can take the run away."""
    try:
        page, stands = own.write(report)
    except ReportError as error:
        print_row("page", str(error), console)
        return
    print_row("stands", stands, console)
    print_row("page", str(page), console)


def print_row(key: str, value: str, console: Console) -> None:
    """One line of the block."""
    console.print(f"{key + ':':<18}{value}", highlight=False, soft_wrap=True, markup=False)


def upstream_keys(record: Record, total_s: float) -> dict[str, str]:
    """The keys of karpathy/autoresearch and its ports. Without a result there is no val_bpb, as upstream has none."""
    run, result = record.run, record.result
    memory = result and result.peak_memory_bytes
    keys = {"val_bpb": f"{derived.bits_per_byte(record):.6f}"} if result else {}
    return keys | {
        "training_seconds": f"{derived.training_s(record):.1f}",
        "total_seconds": f"{total_s:.1f}",
        "peak_vram_mb": f"{memory / 2**20:.1f}" if memory else "n/a",
        "mfu_percent": _percent(derived.mfu(record) if derived.peak(record) else derived.measured_mfu(record)),
        "total_tokens_M": f"{derived.tokens(record) / 1e6:.1f}",
        "num_steps": f"{len(run.steps)}",
        "num_params_M": f"{run.parameters / 1e6:.1f}",
        "depth": f"{run.depth}",
        "backend": record.software.backend,
        "chip": record.hardware.chip,
    }


def own_keys(record: Record) -> dict[str, str]:
    """What makes the score above mean something."""
    run, result = record.run, record.result
    passes, best = f"{run.epochs:.2f}", derived.measured_peak(record)
    peak = peaks.denominator(derived.peak(record), best)
    if derived.memory_limited(record):
        passes += " (more than one pass over the text: memory-limited, ranked apart)"
    keys = {
        "preset": f"{record.identity.preset}, division {record.identity.division}",
        "compare_with": standing.line(record),
        "precision": run.policy,
        "mfu_of": peak.name if peak else "n/a",
        "mfu_measured": f"{_percent(derived.measured_mfu(record))} % of {best.name}" if best else "n/a",
        "tokens_per_s": f"{derived.tokens_per_s(record) or 0:.0f}",
        "warmup": f"{run.warmup.seconds:.1f} s, {run.warmup.steps} steps, compile {run.compile_s or 0:.1f} s",
        "epochs": passes,
    }
    if derived.memorised(record):
        keys["memorised"] = _memorised(record)
    if result:
        keys |= {
            "scored": f"{result.nats:.1f} nats, {result.bytes} bytes, {result.tokens} tokens, {result.eval_s:.1f} s",
            "at_step_0": f"{derived.initial_bits_per_byte(record):.6f} bpb",
            "unigram": f"{derived.unigram_bits_per_byte(record):.6f} bpb",
        }
    joules = derived.joules_per_step(record)
    if result and joules:
        keys["joules"] = f"{joules:.4g} a step, {derived.joules_per_token(record):.3g} a token; {result.joules_method}"
    keys["flags"] = "; ".join(derived.flags(record)) or "none"
    checks = record.conformance
    if checks:
        keys["conformance"] = f"{checks.passed} passed, {checks.failed} failed, {checks.inconclusive} inconclusive"
    return keys


def _memorised(record: Record) -> str:
    score, start = derived.bits_per_byte(record), derived.initial_bits_per_byte(record)
    above = f", val_bpb above step 0's {start:.4f}" if score and start and score >= start else ""
    over = f"over-fitted by {record.run.epochs:.0f} passes"
    return f"{over}: training loss down to {derived.final_loss(record):.3g}{above}; {MORE_TEXT}"


def _percent(share: float | None) -> str:
    return "n/a" if share is None else f"{100 * share:.2f}"
