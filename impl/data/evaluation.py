"""The validation text as windows that score every byte exactly once, and the unigram bar on the same bytes.

N windows, T tokens, V vocabulary. Test with `pytest bench/conformance/test_evaluation.py`.
"""

from typing import NamedTuple

import numpy as np

from impl.data.batches import encoded
from impl.data.errors import DataError
from impl.data.prepared import REMEDY, Prepared
from impl.data.tokenizer import SPECIALS

UNSCORED = -1
BATCH_DOCUMENTS = 128
BLOCK_TOKENS = 2**20  # NumPy counts in int64: not the whole text at once
FIT_TOKENS = 2**25  # enough for any unigram, and bounds the time on a large set


class Windows(NamedTuple):
    """`targets` are `UNSCORED` where nothing is scored: at every BOS and in the padding of the last window."""

    inputs: np.ndarray  # (N, T) int16, or int32 for a vocabulary beyond it
    targets: np.ndarray  # (N, T) of the same
    total_bytes: int


def windows(prepared: Prepared, sequence_len: int) -> Windows:
    """Every validation document in order, BOS before each, concatenated and cut into windows of T tokens.

    Raises DataError if the tokens do not stand for exactly the bytes of the validation text.
    """
    tokenizer, tokens = prepared.tokenizer, prepared.tokens("val")
    count = -(-(tokens - 1) // sequence_len)
    dtype = np.int16 if tokenizer.vocab_size <= 2**15 else np.int32
    stream = np.full(count * sequence_len + 1, tokenizer.bos, dtype)
    filled, scored = 0, np.zeros(tokenizer.vocab_size, dtype=np.int64)
    for documents in encoded(prepared, "val", BATCH_DOCUMENTS):
        part = np.concatenate(documents)
        stream[filled : filled + len(part)] = part
        filled += len(part)
    inputs, targets = stream[:-1].copy(), stream[1:]
    inputs[tokens - 1 :] = tokenizer.bos
    targets[targets == tokenizer.bos] = UNSCORED
    for start in range(0, len(targets), BLOCK_TOKENS):
        part = targets[start : start + BLOCK_TOKENS]
        scored += np.bincount(part[part != UNSCORED], minlength=tokenizer.vocab_size)
    total_bytes = int(scored @ tokenizer.token_bytes)
    if total_bytes != prepared.val_bytes:
        reason = f"the windows score {total_bytes} bytes of {prepared.val_bytes}"
        raise DataError(prepared.root, reason, REMEDY)
    return Windows(inputs.reshape(count, sequence_len), targets.reshape(count, sequence_len), total_bytes)


def unigram_bpb(prepared: Prepared) -> float:
    """Bits per validation byte of token frequencies alone.

    p(t) = (n(t) + 1) / sum over ordinary tokens of (n + 1), n counted over the (first `FIT_TOKENS`) training tokens;
    special tokens are neither counted nor scored.
    """
    size = prepared.tokenizer.vocab_size
    fitted = np.zeros(size, dtype=np.int64)
    for documents in encoded(prepared, "train", BATCH_DOCUMENTS):
        fitted += np.bincount(np.concatenate(documents), minlength=size)
        if fitted.sum() >= FIT_TOKENS:
            break
    scored = np.zeros(size, dtype=np.int64)
    for documents in encoded(prepared, "val", BATCH_DOCUMENTS):
        scored += np.bincount(np.concatenate(documents), minlength=size)
    smoothed = fitted[: -len(SPECIALS)] + 1
    bits = -np.log2(smoothed / smoothed.sum()) @ scored[: -len(SPECIALS)]
    return float(bits / prepared.val_bytes)
