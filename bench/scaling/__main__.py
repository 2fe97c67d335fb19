"""Sweep depth, sequence length and batch, and fit how the cost of a step grows: `python -m bench.scaling --help`.

Test with `pytest -m meta bench/meta/test_throughput.py -k exponent`.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from bench.scaling import figure
from bench.scaling.law import fit
from bench.scaling.sweep import SWEEPS, points
from bench.subject import POLICIES, load
from bench.throughput import saved
from impl import backend as backends
from impl.data import atomic

OUT = Path("runs") / "scaling.json"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.scaling", description="How the cost of a step grows.")
    parser.add_argument("--backend", action="append", metavar="NAME", help="repeatable; default: the best that is here")
    parser.add_argument("--sweep", action="append", choices=SWEEPS, help="repeatable; default: all")
    parser.add_argument("--precision", choices=POLICIES, help="default: float32 on a CPU, bfloat16 on a GPU")
    parser.add_argument("--out", type=Path, default=OUT, help=f"data, taken up again where it ended ({OUT})")
    parser.add_argument("--draw", type=Path, nargs="+", metavar="FILE", help="measure nothing, draw what these hold")
    options = parser.parse_args(arguments)
    try:
        if options.draw:
            document = {"rows": [row for path in options.draw for row in _read(path)["rows"]]}
        else:
            document = _measure(options)
    except (backends.BackendError, ValueError, OSError) as error:
        raise SystemExit(f"{parser.prog}: {error}") from None
    for line in table(document["rows"]):
        print(line)
    if options.draw or options.out.suffix == ".json":
        _draw(document["rows"], options.out.with_suffix(".svg"))


def table(rows: list[dict[str, Any]]) -> list[str]:
    """One line a sweep and quantity: the exponent, its interval, and that of the FLOP count."""
    lines = [
        f"{'backend':<11}{'precision':<10}{'along':<14}{'of':<9}{'exponent':>9}{'interval':>16}{'of FLOP':>9}  sizes"
    ]
    for series in sorted({(row["backend"], row["precision"]) for row in rows}):
        for sweep in SWEEPS:
            held = [row for row in rows if (row["backend"], row["precision"]) == series and row["sweep"] == sweep]
            held.sort(key=lambda row: row["size"])
            for quantity in figure.QUANTITIES:
                lines += [_line(series, sweep, quantity, held)] if held else []
    return lines


def _line(series, sweep: str, quantity: str, held) -> str:
    counted = [row for row in held if figure.values(row, quantity)]
    sizes = [row["size"] for row in counted]
    law = fit(sizes, [figure.values(row, quantity) for row in counted])
    flop = fit(sizes, [[row["flop"]] for row in counted]) if quantity == "seconds" else None
    told = f"{law.exponent:>9.2f}{f'{law.low:.2f} {law.high:.2f}':>16}" if law else f"{'-':>9}{'-':>16}"
    failed = [f"{row['failure']} at {row['size']}" for row in held if row["failure"]]
    span = ", ".join([" ".join(map(str, sizes)), *failed])
    theirs = f"{flop.exponent:.2f}" if flop else "-"
    return f"{series[0]:<11}{series[1]:<10}{sweep:<14}{quantity:<9}{told}{theirs:>9}  {span}"


def _measure(options) -> dict[str, Any]:
    names = [backends.resolve(name) for name in options.backend or [None]]
    document = _read(options.out) if options.out.exists() else {"machine": {}, "rows": []}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    for name in names:
        subject = load(name)
        precision = options.precision or ("float32" if name.endswith("-cpu") else "bfloat16")
        document["machine"][name] = saved.machines([name], {})["backends"][name]
        for sweep in options.sweep or SWEEPS:
            for row in points(subject, precision, sweep, [r for r in document["rows"] if r["backend"] == name]):
                document["rows"].append(row)
                saved.make_private(document)
                with atomic.replacing(options.out) as temporary:
                    temporary.write_text(json.dumps(document, indent=1))
    return document


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text("utf-8"))
        for row in document["rows"]:
            for name in ("backend", "precision", "sweep", "size", "samples_s", "peak_bytes", "flop", "failure"):
                row[name]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} holds no sweep ({error}); name a file of this command") from None
    return document


def _draw(rows, path: Path) -> None:
    try:
        figure.draw(rows).save(path)
    except ModuleNotFoundError as error:
        print(f"no figure: {error.name} is not installed, try `pip install altair vl-convert-python`")
    else:
        print(path)


if __name__ == "__main__":
    main()
