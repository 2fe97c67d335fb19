"""The packer against a plain transcription of upstream's rule, row for row, and its account of tokens."""

from itertools import count, islice

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bench.conformance.plain_packer import plain_rows
from impl.data.batches import batches, refills
from impl.data.packing import Packer
from impl.data.tokenizer import Tokenizer
from impl.spec import Data

pytestmark = pytest.mark.fast
ROWS = 25


def endless(epoch_lengths):
    """Refills of documents of the given lengths, epoch after epoch; no token occurs twice, so order shows."""
    start = 0
    for epoch in count(1):
        for refill in epoch_lengths:
            documents = []
            for length in refill:
                documents.append(np.arange(start, start + length))
                start += length
            yield documents, epoch


@given(
    epoch_lengths=st.lists(st.lists(st.integers(1, 30), min_size=1, max_size=6), min_size=1, max_size=8),
    capacity=st.integers(2, 20),
    buffer_documents=st.integers(1, 12),
)
@example([[3, 3, 3]], 6, 3).via("ties: the oldest goes first")
@example([[5, 5], [9, 9]], 4, 3).via("nothing ever fits: the first shortest is cropped")
@example([[30, 21, 30]], 20, 2).via("every document is longer than a row")
@example([[20], [20, 20]], 20, 1).via("exact fits, a buffer of one")
@example([[20, 20, 20]], 20, 3).via("an epoch a buffer")
@example([[1] * 6], 20, 12).via("many epochs in one row")
def test_rows_and_epochs_match_the_plain_packer(epoch_lengths, capacity, buffer_documents):
    packer = Packer(endless(epoch_lengths), capacity, buffer_documents)
    for row, epoch in islice(plain_rows(endless(epoch_lengths), capacity, buffer_documents), ROWS):
        filled = np.empty((1, capacity), dtype=np.int64)
        assert (packer.fill(filled), filled[0].tolist()) == (epoch, row)


@given(
    epoch_lengths=st.lists(st.lists(st.integers(1, 30), min_size=1, max_size=6), min_size=1, max_size=8),
    capacity=st.integers(2, 20),
    buffer_documents=st.integers(1, 12),
)
def test_every_token_read_is_emitted_discarded_or_buffered(epoch_lengths, capacity, buffer_documents):
    read = []

    def watched():
        for documents, epoch in endless(epoch_lengths):
            read.extend(token for document in documents for token in document)
            yield documents, epoch

    packer = Packer(watched(), capacity, buffer_documents)
    rows = np.empty((ROWS, capacity), dtype=np.int64)
    packer.fill(rows)
    packed = packer.packed
    left = [d for queue in packer._queues.values() for d in queue] + [d for _, _, d in packer._long]
    assert (packed.read, packed.emitted, packed.buffered) == (len(read), rows.size, sum(map(len, left)))
    assert packed.discarded == len(set(read) - set(rows.ravel()) - {token for d in left for token in d})
    assert packed.discarded_fraction == packed.discarded / (packed.discarded + packed.emitted)


def test_real_text_matches_the_plain_packer_into_the_third_epoch(small):
    data = Data(buffer_documents=40, refill_documents=16)
    plain = plain_rows(refills(small, "train", data.refill_documents), 129, data.buffer_documents)
    drawn = batches(small, "train", 4, 128, data)
    epoch = 1
    while epoch < 3:
        inputs, targets, epoch = next(drawn)
        expected = list(islice(plain, 4))
        assert np.array_equal(np.concatenate([inputs, targets[:, -1:]], axis=1), [row for row, _ in expected])
        assert np.array_equal(inputs[:, 1:], targets[:, :-1])
        assert epoch == expected[-1][1]
    assert (inputs[:, 0] == small.tokenizer.bos).all()
    assert inputs.dtype == targets.dtype == np.int64


def test_rows_do_not_depend_on_the_batch(small):
    one, many = (batches(small, "train", rows, 64, Data(buffer_documents=30)) for rows in (1, 6))
    inputs, targets, _ = next(many)
    for row in range(6):
        one_inputs, one_targets, _ = next(one)
        assert np.array_equal(one_inputs[0], inputs[row]) and np.array_equal(one_targets[0], targets[row])


def test_the_second_epoch_is_the_first_again_and_tokenises_nothing(small, monkeypatch):
    monkeypatch.setattr(Tokenizer, "encode", lambda *_: pytest.fail("tokenised"))
    drawn = islice(refills(small, "train", 16), 20)
    kept = [(epoch, [tokens.tolist() for tokens in documents]) for documents, epoch in drawn]
    assert [epoch for epoch, _ in kept] == [1] * 10 + [2] * 10  # 2 shards of row groups of 30, 30 and 15 documents
    assert small.tokens("train") == sum(len(tokens) for _, documents in kept[:10] for tokens in documents)
    assert [documents for _, documents in kept[:10]] == [documents for _, documents in kept[10:]]


def test_batches_draw_lazily(small):
    drawn = batches(small, "train", 1, 32, Data(buffer_documents=20, refill_documents=16))
    next(drawn)
    first_two = islice(refills(small, "train", 16), 2)
    assert drawn.packed.emitted == 33
    assert drawn.packed.read == sum(len(tokens) for documents, _ in first_two for tokens in documents)
