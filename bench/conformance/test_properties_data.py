"""What must hold of the training data whatever the documents: epochs, rows and tokens lose and invent nothing unseen.

`pytest -m fast bench/conformance/test_properties_data.py`
"""

from collections import Counter
from itertools import chain, islice, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from impl.data import shards
from impl.data.batches import batches, refills
from impl.data.prepare import prepare
from impl.data.prepared import Prepared
from impl.spec import Data

pytestmark = pytest.mark.fast

TEXTS = st.lists(st.text(max_size=30), min_size=1, max_size=12)
SMALLEST = 260  # the bytes and the special tokens: nothing to learn, so that any text will do


def prepared_of(root, texts: list[str], group_documents: int, cut: int) -> Prepared:
    """`texts` as one training shard or two, and a validation text."""
    texts = texts if any(texts) else [*texts, "a"]  # a text of no byte is refused
    cut = min(cut, len(texts))
    for name, part in (("a", texts[:cut]), ("b", texts[cut:])):
        if part:
            shards.write(root / f"{name}.parquet", part, group_documents)
    shards.write(root / "val.parquet", ["b"])
    return prepare(root, SMALLEST, Data(), root / "cache")


@given(texts=TEXTS, group_documents=st.integers(1, 6), cut=st.integers(1, 12), refill_documents=st.integers(1, 4))
def test_every_epoch_has_every_document_once_in_order(tmp_path_factory, texts, group_documents, cut, refill_documents):
    """BOS before each, at most `refill_documents` at a time, never of two row groups."""
    prepared = prepared_of(tmp_path_factory.mktemp("epochs"), texts, group_documents, cut)
    bos, documents = prepared.tokenizer.bos, list(prepared.documents("train"))
    sizes = [len(group) for path in prepared.paths("train") for group in shards.row_groups(path)]
    cuts = [min(refill_documents, size - start) for size in sizes for start in range(0, size, refill_documents)]
    drawn = list(islice(refills(prepared, "train", refill_documents), 3 * len(cuts)))
    assert [len(tokens) for tokens, _ in drawn] == 3 * cuts
    assert [epoch for _, epoch in drawn] == sorted([1, 2, 3] * len(cuts))
    for start in range(0, len(drawn), len(cuts)):
        seen = list(chain.from_iterable(tokens for tokens, _ in drawn[start : start + len(cuts)]))
        assert all(tokens[0] == bos and bos not in tokens[1:] for tokens in seen)
        assert [prepared.tokenizer.decode(tokens[1:]) for tokens in seen] == documents


@given(texts=TEXTS, rows=st.integers(1, 4), sequence_len=st.integers(1, 40), buffer_documents=st.integers(1, 9))
def test_rows_are_heads_of_documents_and_start_with_bos(tmp_path_factory, texts, rows, sequence_len, buffer_documents):
    """Cut at every BOS, a row gives whole documents, save that the last may have lost its tail; none is padding."""
    prepared = prepared_of(tmp_path_factory.mktemp("rows"), texts, 5, 12)
    bos, data = prepared.tokenizer.bos, Data(buffer_documents=buffer_documents, refill_documents=3)
    whole = {tuple(tokens.tolist()) for tokens in prepared.tokenizer.encode(list(prepared.documents("train")))}
    drawn = batches(prepared, "train", rows, sequence_len, data)
    epochs, placed = [], Counter()
    for _ in range(6):
        inputs, targets, epoch = next(drawn)
        assert inputs.shape == targets.shape == (rows, sequence_len)
        assert np.array_equal(inputs[:, 1:], targets[:, :-1])
        assert (inputs[:, 0] == bos).all()
        epochs.append(epoch)
        for row in np.concatenate([inputs, targets[:, -1:]], axis=1):
            starts = [*np.flatnonzero(row == bos), len(row)]
            *complete, last = (tuple(row[a:b].tolist()) for a, b in pairwise(starts))
            assert all(document in whole for document in complete)
            assert any(document[: len(last)] == last for document in whole)
            placed.update([*complete, last])
    packed = drawn.packed
    assert packed.emitted == 6 * rows * (sequence_len + 1) == sum(n * len(part) for part, n in placed.items())
    assert packed.read == packed.emitted + packed.discarded + packed.buffered
    assert min(packed.discarded, packed.buffered) >= 0 and epochs == sorted(epochs)
