"""Lists what the shipped steps call: aten operators as MPS would run them, MLX primitives, and what is wrong with any.

`python -m bench.operators` prints how the lists differ from the committed ones; `--write` commits the lists of now.
"""

import argparse
import sys

from bench.operators import shipped, snapshot, table


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.operators", description=__doc__)
    parser.add_argument("--write", action="store_true", help="replace the snapshots with what is called now")
    parser.add_argument("framework", nargs="*", help="torch or mlx (both)")
    options = parser.parse_args()
    wrong = set()
    for framework in options.framework or ("torch", "mlx"):
        if framework not in ("torch", "mlx"):
            parser.error(f"framework={framework!r} is unknown; torch or mlx")
        lines, faults = _lists(framework)
        wrong |= faults
        if options.write:
            snapshot.path(framework).write_text(snapshot.text(snapshot.release(framework), lines), "utf-8")
        else:
            print(snapshot.difference(framework, lines) or f"{framework}: as committed")
    for fault in sorted(wrong):
        print(fault, file=sys.stderr)
    return 1 if wrong else 0


def _lists(framework: str) -> tuple[set[str], set[str]]:
    """What is called, and what is wrong with it."""
    if framework == "mlx":
        graph = shipped.record_mlx()
        return graph.names, graph.faults()
    if reason := table.missing():
        sys.exit(reason)
    recording = shipped.record_torch()
    return recording.lines, recording.faults | recording.unresolved()


if __name__ == "__main__":
    sys.exit(main())
