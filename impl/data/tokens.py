"""Token ids of a shard's documents: one Arrow file, a record batch for each row group, mapped into memory when read.

Written once for each tokenizer, so that no later epoch or run tokenises. Test with
`pytest -m fast bench/conformance/test_tokens.py`.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa

from impl.data import atomic, shards
from impl.data.errors import DataError
from impl.data.tokenizer import REMEDY, Tokenizer

COLUMN, MADE_FROM = "tokens", b"made from"
SUFFIX = ".arrow"
ENCODED_DOCUMENTS = 1024  # at a time: in a list an id takes 36 bytes, in the file two or four


def write(path: Path, shard: Path, tokenizer: Tokenizer, made_from: str, on_documents: Callable[[int], None]) -> None:
    """Tokenise `shard`; `path` appears when it is complete. `on_documents` hears how many more are tokenised.

    Ids take two bytes where the vocabulary allows. Raises DataError for a shard that cannot be read.
    """
    dtype = np.uint16 if tokenizer.vocab_size <= 2**16 else np.uint32
    ids = pa.large_list(pa.from_numpy_dtype(dtype))
    schema = pa.schema([(COLUMN, ids)], metadata={MADE_FROM: made_from})
    with atomic.replacing(path) as temporary, pa.ipc.new_file(str(temporary), schema) as writer:
        for group in shards.row_groups(shard):
            lengths, parts = [0], []
            for start in range(0, len(group), ENCODED_DOCUMENTS):
                documents = tokenizer.encode(group[start : start + ENCODED_DOCUMENTS])
                lengths += map(len, documents)
                parts.append(np.concatenate(documents, dtype=dtype, casting="unsafe"))  # every id fits
                on_documents(len(documents))
            column = pa.LargeListArray.from_arrays(np.cumsum(lengths), np.concatenate(parts), type=ids)
            writer.write_batch(pa.record_batch([column], schema=schema))


def made_from(path: Path) -> str | None:
    """What `write` was told; None where there is no whole file."""
    try:
        with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as reader:
            return (reader.schema.metadata or {}).get(MADE_FROM, b"").decode()
    except (pa.ArrowException, OSError):
        return None


def row_groups(path: Path) -> Iterator[list]:
    """One read-only (n,) array for each document, of each row group in turn; what is not touched is not read.

    Raises DataError for a file that is missing, truncated or no file of tokens.
    """
    try:
        with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as reader:
            for index in range(reader.num_record_batches):
                column = reader.get_batch(index).column(COLUMN)
                ids = column.values.to_numpy()
                yield [ids[start:end] for start, end in pairwise(column.offsets.to_numpy().tolist())]
    except FileNotFoundError:
        raise DataError(path, "the tokens are missing", REMEDY) from None
    except (pa.ArrowException, OSError, KeyError, AttributeError) as error:
        raise DataError(path, f"not a whole file of tokens ({error})", REMEDY) from None


def census(paths: Iterable[Path], tokenizer: Tokenizer) -> tuple[int, int]:
    """(tokens, UTF-8 bytes that they stand for) of all the files."""
    seen = np.zeros(tokenizer.vocab_size, dtype=np.int64)
    for path in paths:
        for group in row_groups(path):
            seen += np.bincount(np.concatenate(group), minlength=tokenizer.vocab_size)
    return int(seen.sum()), int(seen @ tokenizer.token_bytes)
