"""A pull request of reports, judged without running or checking out anything of it: its files are read as data.

    python -m reports.incoming BASE HEAD > comment.md

Git is asked what changed between two revisions that are in this repository. The comment is Markdown in which nothing of
a stranger's mentions, links or formats. Exit status: 0 nothing refused, 1 something refused. Test with
`pytest -m meta bench/meta/test_incoming.py`.
"""

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from reports.check import ACCEPTED, PENDING, REJECTED, check
from reports.fence import fenced
from reports.privacy import traces
from reports.record import SIZE_LIMIT, ReportError, chip_slug, load
from reports.schema import BACKENDS
from reports.share import process
from reports.share.error import ShareError

PLACE = re.compile(
    rf"reports/data/[a-z0-9]+(?:-[a-z0-9]+)*/\d{{4}}-\d\d-\d\d-(?:{'|'.join(BACKENDS)})-[0-9a-f]{{12}}\.json", re.ASCII
)
FILE, ABSENT = "100644", "000000"
KINDS = {"120000": "a symbolic link", "100755": "an executable file", "160000": "a submodule", "040000": "a folder"}
MOST = 50  # files told of, and reports checked, in one request
LONGEST = 60_000  # characters; the host takes 65,536
LIMIT_S = 60.0


@dataclass(frozen=True)
class Change:
    """One path of a request; modes and ids as git gives them."""

    path: str
    before: str
    after: str
    blob: str


@dataclass(frozen=True)
class Judged:
    """A path with its verdict and the reasons."""

    path: str
    verdict: str
    reasons: tuple[str, ...] = ()


def judge(repository: Path, base: str, head: str) -> list[Judged]:
    """Every path that `head` changes since it left `base`. Raises ShareError where git cannot tell."""
    changes = list(changed(repository, base, head))
    judged = [_judged(repository, change) for change in changes[:MOST]]
    if len(changes) > MOST:
        judged.append(Judged("...", REJECTED, (f"{len(changes)} files are changed; at most {MOST} in one request",)))
    return judged or [Judged("...", REJECTED, ("nothing is changed",))]


def changed(repository: Path, base: str, head: str) -> Iterator[Change]:
    """A renamed file is one that went and one that came."""
    base, head = (_commit(repository, revision) for revision in (base, head))
    fork = _git(repository, "merge-base", base, head).decode().strip()
    options = ("-r", "-z", "--raw", "--no-renames", "--no-abbrev", "--no-ext-diff", "--ignore-submodules=none")
    raw = os.fsdecode(_git(repository, "diff-tree", *options, fork, head, "--"))
    fields = raw.split("\0")[:-1]
    for told, path in zip(fields[::2], fields[1::2], strict=True):
        before, after, _, blob, _ = told.removeprefix(":").split(" ")
        yield Change(path, before, after, blob)


def _commit(repository: Path, revision: str) -> str:
    return _git(repository, "rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}").decode().strip()


def _judged(repository: Path, change: Change) -> Judged:
    refused = _refused(change)
    if not refused:
        size = int(_git(repository, "cat-file", "-s", change.blob))
        if size > SIZE_LIMIT:
            refused = f"has {size} bytes, more than {SIZE_LIMIT}; a report is smaller"
    if refused:
        return Judged(change.path, REJECTED, (refused,))
    with TemporaryDirectory() as folder:
        path = Path(folder) / PurePosixPath(change.path).name  # of PLACE's characters only
        path.write_bytes(_git(repository, "cat-file", "blob", change.blob))
        found = check(path)
        reasons = [f"{finding.part}: {finding.reason}" for finding in found.findings]
        verdict = found.name
        if verdict != REJECTED:
            wrong = list(_misplaced(change, path))
            verdict, reasons = (REJECTED if wrong else verdict), [*wrong, *reasons]
    return Judged(change.path, verdict, tuple(reason.replace(folder, "") for reason in reasons))


def _refused(change: Change) -> str | None:
    """Why a change is no new report, whatever it holds."""
    if change.after == ABSENT:
        return "is taken away; reports are only ever added"
    if change.before != ABSENT:
        return "is changed; reports are only ever added"
    if change.after != FILE:
        return f"is {KINDS.get(change.after, 'of an unknown kind')}; a report is a plain file"
    if not PLACE.fullmatch(change.path):
        return (
            "is no place of a report; a request holds files reports/data/CHIP/DATE-BACKEND-HASH.json and nothing else"
        )
    return None


def _misplaced(change: Change, path: Path) -> Iterator[str]:
    """What holds for a published report beyond its own soundness."""
    try:
        record = load(path)
        due = chip_slug(record.hardware.chip)
    except ReportError as error:
        yield str(error)
        return
    if PurePosixPath(change.path).parent.name != due:
        yield f"arithmetic: hardware.chip belongs into the folder {due}"
    for field, kind, text in traces(record.model_dump()):
        yield f"privacy: {field} holds {kind}, {text!a}; no report may"


def comment(judged: list[Judged]) -> str:
    """Markdown; all that comes from the request stands in a code block."""
    counts = {name: sum(one.verdict == name for one in judged) for name in (ACCEPTED, PENDING, REJECTED)}
    told = ", ".join(f"{n} {name}" for name, n in counts.items() if n)
    lines = [line for one in judged for line in (f"{one.verdict:<9} {one.path}", *(f"  {r}" for r in one.reasons))]
    shown = [line if len(line) <= 500 else f"{line[:497]}..." for line in lines]
    while len(text := fenced(shown)) > LONGEST:
        shown = [*shown[: len(shown) * 3 // 4], "..."]
    remedy = {
        REJECTED: "A rejected file cannot be taken as it is; the reason says what to mend.",
        PENDING: "A pending report waits for a maintainer's look.",
        ACCEPTED: "Nothing speaks against it.",
    }[next(name for name in (REJECTED, PENDING, ACCEPTED) if counts[name])]
    return f"**`python -m reports check`**: {told}\n\n{text}\n\n{remedy} Nothing of this request was run.\n"


def main(arguments: list[str]) -> int:
    if len(arguments) != 2:
        print("give two revisions: BASE HEAD", file=sys.stderr)
        return 2
    try:
        judged = judge(Path.cwd(), *arguments)
    except ShareError as error:
        print(error, file=sys.stderr)
        return 2
    print(comment(judged), end="")
    return int(any(one.verdict == REJECTED for one in judged))


def _git(repository: Path, *arguments: str) -> bytes:
    """Reads only, and from this repository only: what is not here is not fetched."""
    environment = {**os.environ, "GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    ended = process.run(["git", *arguments], f"git {arguments[0]}", repository, environment, LIMIT_S)
    if ended.status:
        raise ShareError(f"git {arguments[0]}", ended.err, "are both revisions in this repository?")
    return ended.out


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
