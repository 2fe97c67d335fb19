"""Compare two saved runs row by row: `python -m bench.throughput OLD.json NEW.json`.

Test with `pytest -m meta bench/meta/test_throughput.py`.
"""

import argparse
from pathlib import Path

from bench.throughput import saved
from bench.throughput.compare import APART_HOST, compare, line, summaries, unlike_machines
from bench.verdict import APART


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.throughput",
        description="Compare two saved runs of `pytest -m bench`, row by row: the ratio of their quick tenths, its "
        f"interval, and SAME (within {APART:.0%}), FASTER, SLOWER or CANNOT TELL. What a core of the host does is "
        f"compared within {APART_HOST:.0%}, by the quick quarters of what it took beside a fixed piece of Python.",
    )
    parser.add_argument("old", type=Path, metavar="OLD.json", help="as the run printed: raw samples")
    parser.add_argument("new", type=Path, metavar="NEW.json", help="the same, later or with other code")
    options = parser.parse_args(arguments)
    try:
        old, new = saved.load(options.old), saved.load(options.new)
    except ValueError as error:
        parser.error(str(error))
    changes, both = compare(old, new), old.keys() & new.keys()
    if not both:
        parser.error(f"{options.old} and {options.new} have no row in common; run the same backends in both")
    print(f"{'operation':<31}{'shape':<19}{'precision':<10}{'backend':<11}{'new/old':>8}{'interval':>16}  verdict")
    for key, change in changes.items():
        print(line(key, change, old[key], new[key]))
    for key in sorted(both - changes.keys()):
        print(f"timed by the {old[key].clock}'s clock and the {new[key].clock}'s, not compared: {' '.join(key)}")
    for name, keys in (("old", old.keys() - new.keys()), ("new", new.keys() - old.keys())):
        for key in sorted(keys):
            print(f"only in the {name} run: {' '.join(key)}")
    if changes:
        print(*summaries(changes), *unlike_machines(old, new), sep="\n")


if __name__ == "__main__":
    main()
