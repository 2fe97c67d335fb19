"""Every validation byte is scored exactly once, whatever the window and the vocabulary."""

from math import log2

import numpy as np
import pytest

from impl.data import evaluation, shards
from impl.data.errors import DataError
from impl.data.prepare import prepare
from impl.spec import Data

pytestmark = pytest.mark.fast


@pytest.mark.parametrize("sequence_len", [7, 64, 512])
def test_every_byte_is_scored_once(small, sequence_len):
    inputs, targets, total_bytes = evaluation.windows(small, sequence_len)
    tokenizer = small.tokenizer
    documents = list(small.documents("val"))
    assert inputs.shape == targets.shape == (len(inputs), sequence_len)
    assert inputs.dtype == targets.dtype == np.int16  # a fourth of int64: a whole validation text is held
    assert total_bytes == small.val_bytes == sum(len(document.encode()) for document in documents)
    stream = [int(token) for tokens in tokenizer.encode(documents) for token in tokens]
    padding = -(len(stream) - 1) % sequence_len
    assert inputs.ravel().tolist() == stream[:-1] + [tokenizer.bos] * padding
    assert targets.ravel().tolist() == [-1 if t == tokenizer.bos else t for t in stream[1:]] + [-1] * padding
    scored = targets[targets >= 0]
    assert b"".join(tokenizer.tokens[token] for token in scored) == "".join(documents).encode()


def test_the_embedded_corpus_is_scored_whole(sotu):
    _, targets, total_bytes = evaluation.windows(sotu, 2048)
    assert total_bytes == 999_144 == sotu.tokenizer.token_bytes[targets[targets >= 0]].sum()


def test_windows_that_miss_bytes_are_refused(small, monkeypatch):
    lost = small.tokenizer.token_bytes.copy()
    lost[small.tokenizer.tokens.index(b"e")] = 0
    monkeypatch.setitem(vars(small.tokenizer), "token_bytes", lost)
    with pytest.raises(DataError, match=f"the windows score .* bytes of {small.val_bytes}"):
        evaluation.windows(small, 64)


def test_validation_hash_does_not_depend_on_the_vocabulary(folder, cache):
    few, many = (prepare(folder, vocab_size, Data(), cache) for vocab_size in (300, 1024))
    assert few.eval_hash == many.eval_hash and few.val_bytes == many.val_bytes
    assert few.data_hash != many.data_hash


def test_unigram_matches_counting_by_hand(tmp_path):
    shards.write(tmp_path / "a.parquet", ["ab", "a", "a"])
    shards.write(tmp_path / "b.parquet", ["aab"])
    prepared = prepare(tmp_path, 260, Data(), tmp_path / "cache")
    bits = -2 * log2((3 + 1) / (4 + 256)) - log2((1 + 1) / (4 + 256))
    assert evaluation.unigram_bpb(prepared) == pytest.approx(bits / 3, rel=1e-12)


def test_unigram_is_a_bar_worth_passing(small):
    assert 2 < evaluation.unigram_bpb(small) < log2(small.tokenizer.vocab_size)
