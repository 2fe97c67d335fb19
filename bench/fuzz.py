"""Coverage-guided fuzzing of `reports.check`: whatever a file holds, a verdict in time, and no exception.

    python -m bench.fuzz --seconds 600

Starts from the committed reports and from synthetic ones; bench.damage changes what reached new lines of the code.
Needs the `fuzz` extra. Exit status: 0 nothing found; else what libFuzzer gives, and the input lies in --findings.
Test with `pytest -m meta -k fuzz`.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random

from bench.damage import bits_flipped, damaged

REPORTS = Path(__file__).parents[1] / "reports/data"
LONGEST_BYTES = 2**17  # longer inputs only have more steps; the limit on a file's size is a test's
SLOWEST_S = 5  # for one input, under instrumentation, on a busy machine


def main() -> int:
    """Does not return where fuzzing begins: libFuzzer ends the process."""
    parser = argparse.ArgumentParser(prog="python -m bench.fuzz", description="Fuzz reports.check.")
    parser.add_argument("--seconds", type=int, default=600, help="default: 600")
    parser.add_argument("--seed", type=int, default=1, help="of the fuzzer's random numbers; 0: another each time")
    parser.add_argument("--findings", type=Path, default=Path("findings"), help="folder for inputs that failed")
    options = parser.parse_args()
    if options.seconds < 1:
        parser.error(f"--seconds {options.seconds} must be at least 1; try 600")
    try:
        import atheris
    except ImportError:
        print('no atheris here; pip install -c constraints.txt -e ".[fuzz]", on Linux, Python 3.11+', file=sys.stderr)
        return 2
    with atheris.instrument_imports(include=["reports", "impl"]):  # pyright: ignore[reportAttributeAccessIssue]
        from bench.meta.records import failed_record, valid_record
        from reports.check import check
        from reports.record import to_json
    options.findings.mkdir(parents=True, exist_ok=True)
    memory = Path("/dev/shm")  # every input is a file
    folder = Path(tempfile.mkdtemp(prefix="fuzz-", dir=memory if memory.is_dir() else None))
    seeds = folder / "seeds"
    seeds.mkdir()
    for path in REPORTS.rglob("*.json"):
        shutil.copy(path, seeds)
    for make in (valid_record, failed_record):
        (seeds / f"{make.__name__}.json").write_text(to_json(make()))
    limits = [f"-max_total_time={options.seconds}", f"-max_len={LONGEST_BYTES}", f"-timeout={SLOWEST_S}"]
    where = [f"-artifact_prefix={options.findings}/", f"-seed={options.seed}", "-print_final_stats=1"]
    one = judged(check, folder / "report.json")
    atheris.Setup([sys.argv[0], *limits, *where, str(seeds)], one, custom_mutator=changed)
    atheris.Fuzz()
    return 0


def judged(check: Callable, path: Path) -> Callable[[bytes], None]:
    """What is asked of one input: one of the verdicts, with a part and a reason in one printable line each."""

    def one(data: bytes) -> None:
        path.write_bytes(data)
        verdict = check(path)
        assert verdict.name in ("accepted", "pending", "rejected"), verdict
        assert verdict.findings, "its name fits no content, so that something must be found"
        for finding in verdict.findings:
            assert finding.part in ("schema", "arithmetic", "plausibility"), finding
            assert finding.reason.isascii() and finding.reason.isprintable() and len(finding.reason) <= 600, finding

    return one


def changed(data: bytes, max_size: int, seed: int) -> bytes:
    """The next input from one that was worth keeping."""
    random = Random(seed)
    return bits_flipped(damaged(data.decode(errors="replace"), random), random)[:max_size]


if __name__ == "__main__":
    sys.exit(main())
