"""`python -m impl.data prepare`: make the data once and say what it is."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from impl.data import corpus
from impl.data.batches import batches
from impl.data.errors import DataError
from impl.data.prepare import Prepared, default_cache, prepare
from impl.data.progress import shown
from impl.data.sources import SOURCES
from impl.spec import Data, Model

MEASURED_TOKENS = 20_000_000  # the packing of one epoch is measured on at most so many

EPILOG = """\
examples:
  python -m impl.data prepare                          the embedded corpus, 4 MB, nothing is downloaded
  python -m impl.data prepare --vocab-size 2048        the same text, a smaller vocabulary
  python -m impl.data prepare --data climbmix          what upstream trains on: 10 shards and the pinned one, 1 GB
  python -m impl.data prepare --data climbmix --shards 2
  python -m impl.data prepare --data enwik8.gz         a copy that you have; `enwik8` alone downloads it
  python -m impl.data prepare --data shards/           your own parquet shards with a `text` column

data sets by name (training takes the same names, and NAME:SHARDS for another number of shards):
{names}

A folder holds *.parquet or *.jsonl with a `text` each, or *.txt, which is cut into passages. Its files named val* are
for validation; without any, the last file by name is. Parquet is linked, not copied; tokens are written once, two
bytes each, so that no run tokenises. Interrupt at any time: finished parts and begun downloads are kept, and running it
again goes on. A prepared directory is found again by content, so a second run with the same text and vocabulary does
nothing.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m impl.data", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser(
        "prepare",
        help="write shards, train the tokenizer, print the hashes",
        description="Write shards, train the tokenizer, print counts and the hashes that make scores comparable.",
        epilog=EPILOG.format(names=_names()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    model = Model()
    command.add_argument("--data", default=corpus.NAME, metavar="NAME|DIR", help=f"default: {corpus.NAME}")
    command.add_argument("--shards", type=int, default=None, metavar="N", help="training shards of a data set by name")
    command.add_argument("--vocab-size", type=int, default=model.vocab_size, metavar="N", help="default: %(default)s")
    command.add_argument(
        "--sequence-len",
        type=int,
        default=model.sequence_len,
        metavar="T",
        help="row length that the discarded fraction is measured at; default: %(default)s",
    )
    command.add_argument(
        "--cache", type=Path, default=None, metavar="DIR", help="default: $NANOMARK_CACHE or ~/.cache/nanomark"
    )
    options = parser.parse_args(arguments)
    data = Data()
    try:
        if options.sequence_len < 1:
            raise DataError("--sequence-len", f"{options.sequence_len} is below 1", f"try {model.sequence_len}")
        with shown() as progress:
            source = options.data if options.shards is None else f"{options.data}:{options.shards}"
            prepared = prepare(source, options.vocab_size, data, options.cache or default_cache(), progress)
        print(summary(prepared, options.sequence_len, data))
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; finished parts are kept, run the same command to go on", file=sys.stderr)
        return 130
    return 0


def _names() -> str:
    return "\n".join(f"  {name:<18}{row.home}; licence {row.licence or 'unknown'}" for name, row in SOURCES.items())


def summary(prepared: Prepared, sequence_len: int, data: Data) -> str:
    """Counts and hashes of a prepared directory, and what packing one epoch into rows of `sequence_len` discards."""
    rows = batches(prepared, "train", 1, sequence_len, data)
    epoch = 1
    while epoch == 1 and rows.packed.read < MEASURED_TOKENS:
        _, _, epoch = next(rows)
    packed = rows.packed
    over = "one epoch" if epoch > 1 else "the beginning of the first epoch"
    train, val = prepared.digest("train"), prepared.digest("val")
    scored = prepared.tokens("val") - val.documents  # every token but BOS
    bytes_per_token = val.text_bytes / scored
    lines = (
        f"directory   {prepared.root}",
        f"train       {train.documents:,} documents, {train.text_bytes:,} bytes, {prepared.tokens('train'):,} tokens",
        f"val         {val.documents:,} documents, {val.text_bytes:,} bytes, {scored:,} scored tokens",
        f"tokenizer   {prepared.tokenizer.vocab_size:,} tokens, {bytes_per_token:.3f} bytes per token of val",
        f"packing     T={sequence_len}: {packed.discarded_fraction:.1%} of the tokens discarded over {over}, "
        f"{packed.read:,} tokens read",
        f"data hash   {prepared.data_hash}",
        f"eval hash   {prepared.eval_hash}",
    )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
