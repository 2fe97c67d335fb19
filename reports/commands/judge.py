"""`python -m reports judge`: run a candidate several times; keep it, discard it, or say that the runs cannot tell.

For any loop of "edit, train, keep or discard". The command after -- is run once a seed, which it finds in the
environment (SEED, or --seed-variable) and wherever its words hold {seed}. It must print `val_bpb: 0.9979` at the
beginning of a line, as autoresearch and its ports do, or parameter-golf's final roundtrip line. A run that takes
longer than --kill-s is ended, with everything that it started.

The baseline is a folder of logs (*.log) or reports (*.json). Where it holds none, this command's runs become it. A
kept candidate was chosen for being low: run it again for the next baseline. One experiment is one line of results.tsv.

Exit status: 0 kept, or the baseline was made; 1 discarded; 2 wrong call; 3 cannot tell; 4 crashed; 5 not comparable.

    python -m reports judge --baseline runs/baseline --runs 3 -- python train.py
"""

import shutil
import subprocess
import sys
import tempfile
from argparse import ArgumentParser, Namespace
from contextlib import suppress
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from reports.judge.decision import Decision
    from reports.judge.ledger import Contents, Line
    from reports.judge.output import Outcome

HELP = "run a candidate several times and keep it, discard it, or say that the runs cannot tell"
STATUSES = {"keep": 0, "baseline": 0, "discard": 1, "cannot tell": 3, "crash": 4, "skip": 5}
STYLES = {"keep": "bold green", "baseline": "bold", "discard": "red", "cannot tell": "yellow", "crash": "bold red"}


def add(parser: ArgumentParser) -> None:
    """Its arguments."""
    from reports.commands.compare import positive

    parser.add_argument("--baseline", type=Path, required=True, metavar="DIR", help="its logs or reports")
    parser.add_argument("--runs", type=_count, default=3, metavar="N", help="of the candidate; default: %(default)s")
    parser.add_argument("--first-seed", type=int, default=42, metavar="N", help="default: %(default)s")
    parser.add_argument("--seed-variable", default="SEED", metavar="NAME", help="default: %(default)s")
    parser.add_argument(
        "--kill-s", type=positive, default=600.0, metavar="S", help="a run's time; default: %(default)s"
    )
    parser.add_argument("--margin", type=positive, metavar="BPB", help="what is too small to matter; default: 0.0025")
    parser.add_argument("--noise", type=Path, metavar="PATH", help="reports of several seeds, whose spread counts")
    parser.add_argument("--results", type=Path, default=Path("results.tsv"), help="default: %(default)s")
    parser.add_argument(
        "--dialect", type=int, choices=(5, 9, 10, 11, 14), default=5, help="columns of a new results.tsv"
    )
    parser.add_argument("--description", default="", help="what the candidate changes")
    parser.add_argument("--logs", type=Path, metavar="DIR", help="keep the candidate's logs there")
    parser.add_argument("candidate", nargs="+", metavar="-- COMMAND", help="what trains and prints val_bpb")


def run(options: Namespace) -> int:
    """Run, decide, write down, show."""
    from reports.compare import MARGIN_BPB
    from reports.group import noise, read
    from reports.judge import decision, ledger
    from reports.record import ReportError

    try:
        against = decision.baseline(options.baseline)
        prior = noise(read([options.noise])) if options.noise else None
        if options.results.exists() and options.results.stat().st_size:
            ledger.read(options.results)  # before hours of training
        if options.logs and options.logs.is_dir() and any(options.logs.iterdir()):
            raise ValueError(f"{options.logs}: holds files already; name an empty folder for --logs")
        home = options.logs if against else options.baseline
        with tempfile.TemporaryDirectory(prefix="judge-") as folder:
            runs = _runs(options, Path(folder))
            decided = decision.decide(runs, against, options.margin or MARGIN_BPB, prior)
            if home and (against or decided.name == ledger.BASELINE):
                home.mkdir(parents=True, exist_ok=True)
                for log in sorted(Path(folder).glob("*.log")):
                    shutil.move(log, home / log.name)
        name, before = ledger.add(options.results, _row(options, runs, decided, against), options.dialect)
    except (decision.BaselineError, ledger.LedgerError, ReportError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: what ran was ended, and nothing was written down", file=sys.stderr)
        return 130
    _show(options, name, runs, against, decided, before)
    return STATUSES[decided.name]


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(f"{text} is not above 0")
    return number


def _runs(options: Namespace, folder: Path) -> "list[Outcome]":
    """Until the first crash: what crashes once is no candidate."""
    from reports.judge.attempt import attempt
    from reports.judge.output import of_attempt

    found = []
    for seed in range(options.first_seed, options.first_seed + options.runs):
        done = attempt(options.candidate, seed, folder / f"seed-{seed}.log", options.kill_s, options.seed_variable)
        found.append(of_attempt(done))
        score = found[-1].crash or f"val_bpb {found[-1].val_bpb:.6f}"
        print(f"seed {seed}: {score}, {done.wall_s:.0f} s", flush=True)
        if found[-1].crash:
            break
    return found


def _row(options: Namespace, runs: "list[Outcome]", decided: "Decision", against: "list[Outcome]") -> dict:
    """For every dialect: the names of the longest, and of the shortest."""
    from reports.judge.decision import scores
    from reports.judge.ledger import CRASH

    whole = [] if decided.name == CRASH else runs
    note = f"{decided.name}, n={len(runs)}"
    if decided.effect and decided.effect.low is not None and decided.effect.high is not None:
        found = decided.effect
        note += f", {found.difference:+.5f} [{found.low:+.5f} {found.high:+.5f}] against n={found.runs[0]}"
    elif decided.name in STATUSES and decided.name != "baseline":
        note += f", {decided.reason}"
    memory = _of("memory_mb", whole, max)
    commit = _commit()
    return {
        "commit": commit,
        "val_bpb": fmean(scores(whole)) if whole else None,
        "memory_gb": memory and memory / 1024,
        "peak_mem_gb": memory and memory / 1024,
        "status": decided.status,
        "description": options.description or " ".join(options.candidate),
        "notes": note,
        "tok_sec": _of("tokens_per_s", whole),
        "mfu": _of("mfu_percent", whole),
        "steps": _of("steps", whole),
        "gpu_name": next((run.chip for run in (*runs, *against) if run.chip), None),
        "baseline_sha": commit if not against else None,
        "watts": _of("watts", whole),
        "joules_per_token": _of("joules_per_token", whole),
        "total_energy_joules": _of("joules", whole),
    }


def _of(name: str, runs: "list[Outcome]", summed=fmean) -> float | None:
    """Over the runs; None where one lacks it."""
    values = [getattr(run, name) for run in runs]
    return summed(values) if values and None not in values else None


def _commit() -> str:
    """Of the working folder; empty where there is none."""
    with suppress(OSError, subprocess.SubprocessError):
        command = ["git", "rev-parse", "--short=7", "HEAD"]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    return ""


def _show(options, name: str, runs, against, decided: "Decision", before: "Contents") -> None:
    from reports.effect import ALPHA
    from reports.judge import front, ledger

    console = Console(highlight=False)
    if before.cut:
        console.print(f"{options.results}: its last line was cut short; it stays, and this one stands below it")
    elif before.damaged:
        console.print(f"{options.results}: {before.damaged} lines are none of its dialect's; they are left out here")
    for line in next((run.tail for run in runs if run.crash), ()):
        console.print(Text(f"  | {line}", style="dim"), soft_wrap=True)
    console.print(Text.assemble((decided.name, STYLES.get(decided.name, "")), f": {decided.reason}"), soft_wrap=True)
    found = decided.effect
    if found and found.low is not None and found.high is not None:
        told = f"{found.difference:+.5f}, 90 % [{found.low:+.5f}, {found.high:+.5f}]"
        console.print(f"val_bpb {found.means[0]:.5f} to {found.means[1]:.5f}, {told}", soft_wrap=True)
    if found and found.sd and found.detectable is not None:
        floor = f"noise floor: {found.sd:.5f} from run to run; {found.runs[1]} against {found.runs[0]} runs tell"
        console.print(f"{floor} {found.detectable:.5f} in 80 % of cases", soft_wrap=True)
    contents = ledger.read(options.results)
    tried = sum(line.status in (ledger.KEEP, ledger.DISCARD) for line in contents.lines)
    if tried > 1:
        console.print(f"{tried} candidates so far: were all of them useless, {tried * ALPHA:.1f} would be kept by luck")
    picture = front.plot(contents.lines)
    if decided.name != ledger.CRASH and picture:
        console.print(Text(picture), soft_wrap=True)
        best = front.front(contents.lines)
        names = "; ".join(f"{_called(line)} {line.val_bpb:.4f} at {line.memory_gb:.1f} GB" for line in best)
        console.print(
            Text(f"o: no other has both less memory and a lower val_bpb: {ascii(names)[1:-1]}"), soft_wrap=True
        )


def _called(line: "Line") -> str:
    return line.name or line.description[:30]
