"""Text by name: what `--data` may say, where it lies, what of it is kept, and what is held out for validation.

One row a data set. Test with `pytest -m fast bench/conformance/test_sources.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from impl.data import corpus, folder, hub, wiki
from impl.data.errors import DataError
from impl.data.hub import Hub
from impl.data.progress import Report
from impl.data.wiki import Wiki

Split = Mapping[str, list[Path]]


@dataclass(frozen=True)
class Embedded:
    """The text that comes with an installed package; `impl.data.corpus` holds its checksums."""

    home: str
    licence: str


# Where the sets but climbmix lie, and the 50 characters, are as in the converter of the autoresearch fork whose scores
# are published. It holds out what it reads last, which depends on the number of shards; here the first 5 MB are.
FINEWEB_EDU = Hub(
    home="HuggingFaceFW/fineweb-edu",
    folder="sample/10BT",
    least_chars=50,
    licence="ODC-By 1.0",
)
SOURCES: dict[str, Embedded | Hub | Wiki] = {
    corpus.NAME: Embedded(home=f"the Python package {corpus.PACKAGE}=={corpus.VERSION}", licence="MIT"),
    # Upstream's set, shuffled; its shards are taken as they are cut. Its own card's licence is not known here, that of
    # the set that it is made from is.
    "climbmix": Hub(
        home="karpathy/climbmix-400b-shuffle",
        validation="shard_06542.parquet",
        licence="CC BY-NC 4.0 (of nvidia/ClimbMix, its source)",
    ),
    "fineweb-edu": FINEWEB_EDU,
    # By `score`; rounded, every document of the set would pass.
    "fineweb-edu-high": FINEWEB_EDU.keeping("score", 3.0),
    "cosmopedia-v2": Hub(
        home="HuggingFaceTB/smollm-corpus",
        folder="cosmopedia-v2",
        least_chars=50,
        licence="ODC-By 1.0",
    ),
    # A sample of 6 billion tokens. The licence is that of each of its seven sources; the card is not known here.
    "slimpajama": Hub(
        home="DKYoon/SlimPajama-6B",
        revision="refs/convert/parquet",
        folder="default/train",
        least_chars=50,
        licence=None,
    ),
    # The usual 90 / 5 / 5 MB. Published figures are of the last 5 MB; those before are for choosing by.
    "enwik8": Wiki(scored=(90_000_000, 95_000_000)),
    "enwik8-test": Wiki(scored=(95_000_000, 100_000_000)),
}
# What users look for here, and why it is not.
ABSENT = {
    "python-edu": (
        "its rows name files of another collection and hold no text",
        f"take one of {', '.join(SOURCES)} or a folder with a 'text' column",
    ),
}


def resolve(source: str | Path, cache: Path, report: Report) -> tuple[str, Split]:
    """(label, shards of each split) of a data set's name, NAME:SHARDS, a folder or a file of enwik8.

    What is not in the cache is downloaded or converted first. Raises DataError, in one line, for what cannot be had.
    """
    name, _, count = str(source).partition(":")
    row = SOURCES.get(name)
    if isinstance(row, Hub):
        return name, hub.shards(name, row, _shards(name, count, row.shards), cache, report)
    if name in ABSENT:
        raise DataError(name, *ABSENT[name])
    path = Path(source)
    if row is None and path.is_dir():
        return "folder", folder.shards(path, cache, report)
    if row is None and path.is_file() and path.name.startswith("enwik8"):
        name, count, row = "enwik8", "", SOURCES["enwik8"]
        assert isinstance(row, Wiki)
        return name, wiki.shards(name, row, cache, report, path)
    if isinstance(row, Wiki) and not count:
        return name, wiki.shards(name, row, cache, report)
    if row:
        raise DataError(source, "only a data set of the hub has a number of shards to choose", f"use --data {name}")
    names = ", ".join(SOURCES)
    raise DataError(source, "neither a data set nor a folder", f"give one of {names}, or a folder of text")


def _shards(name: str, count: str, usual: int) -> int:
    if not count:
        return usual
    if not count.isdecimal() or not int(count):
        raise DataError(f"{name}:{count}", "not a number of shards", f"try {name}:{usual}")
    return int(count)
