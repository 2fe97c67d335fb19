"""Mistakes in the text: its split, its tokens and their bytes, and what of it is scored.

`pytest -m meta bench/meta/test_data_mutants.py`
"""

from collections.abc import Callable

import numpy as np

from bench import evaluation as scoring
from bench.mutants.checked import mutant
from bench.mutants.subject import instead
from bench.subject import BitsPerByte
from impl.data import evaluation, shards, tokenizer
from impl.data.errors import DataError
from impl.data.tokenizer import SPECIALS, Tokenizer
from impl.spec import Data


def empty_training(find):
    def found(folder):
        try:
            return find(folder)
        except DataError:
            return {"train": [], "val": sorted(folder.glob("*.parquet"))}

    return found


def split_by(choose):
    """Every file of the folder in order, split by `choose`."""

    def wrap(find):
        def found(folder):
            paths = sorted(path for part in find(folder).values() for path in part)
            return choose(paths)

        return found

    return wrap


def bos_last(encode):
    return lambda self, documents: [np.roll(tokens, -1) for tokens in encode(self, documents)]


def specials_read(self, documents):
    encoded = self._encoding.encode_batch(list(documents), allowed_special="all")
    return [np.array([self.bos, *ids], dtype=np.int32) for ids in encoded]


def decoded_bytes(self):
    return np.array([len(self.decode([i]).encode()) for i in range(self.bos)] + [0] * len(SPECIALS))


def special_bytes(self):
    return np.array([len(self._encoding.decode_single_token_bytes(i)) for i in range(self.vocab_size)])


def retargeted(change: Callable) -> Callable:
    """A patch of `windows`: other (inputs, targets) of (N, T)."""

    def wrap(windows):
        def changed(prepared, sequence_len):
            text = windows(prepared, sequence_len)
            inputs, targets = change(text.inputs, text.targets, prepared.tokenizer.bos)
            return text._replace(inputs=inputs, targets=targets)

        return changed

    return wrap


def bos_scored(inputs, targets, bos):
    following = np.append(inputs.ravel()[1:], 0).reshape(targets.shape)
    return inputs, np.where((targets < 0) & (following == bos), bos, targets)


def windows_apart(inputs, targets, bos):
    return inputs, np.where(np.arange(targets.shape[1]) == 0, -1, targets)


def whole_batches(evaluate):
    def scored(nats, text, rows):
        whole = len(text.inputs) // rows * rows
        return evaluate(nats, text._replace(inputs=text.inputs[:whole], targets=text.targets[:whole]), rows)

    return scored


def fill_scored(evaluate):
    def scored(nats, text, rows):
        fill = ((0, -len(text.inputs) % rows), (0, 0))
        inputs, targets = (np.pad(x, fill) for x in (text.inputs, text.targets))
        return evaluate(nats, text._replace(inputs=inputs, targets=targets), rows)

    return scored


def added_in_float32(evaluate):
    def scored(nats, text, rows):
        score, total = evaluate(nats, text, rows), np.float32(0)
        for row in range(len(text.inputs)):
            total += np.float32(nats(*(np.repeat(x[row][None], rows, 0) for x in text[:2]))[0])
        return BitsPerByte(nats=float(total), bytes=score.bytes, tokens=score.tokens)

    return scored


def tokens_with_bos(evaluate):
    def scored(nats, text, rows):
        score = evaluate(nats, text, rows)
        return BitsPerByte(nats=score.nats, bytes=score.bytes, tokens=text.targets.size)

    return scored


SPLIT = "test_shards.test_validation_is_the_last_file_unless_some_are_named_so"
REFUSED = "test_shards.test_a_folder_without_a_training_shard_is_refused"
ROWS = "test_properties_data.test_rows_are_heads_of_documents_and_start_with_bos"
ROUND_TRIP = "test_tokenizer.test_text_comes_back_and_every_byte_is_counted"
BYTES = "test_tokenizer.test_token_bytes_are_raw_bytes"
HEADS = "test_tokenizer.test_only_the_head_of_a_document_and_of_the_text_is_learned_from"
DIGITS = "test_tokenizer.test_digits_go_in_pairs"
WINDOWS = "test_evaluation.test_every_byte_is_scored_once"
UNIGRAM = "test_evaluation.test_unigram_matches_counting_by_hand"
ANY_TEXT = "test_properties_score.test_every_byte_of_any_text_is_scored_once"
SCORE = "test_properties_score.test_a_score_adds_up_every_window_once_in_float64"

TEXT_MUTANTS = (
    mutant("first file for validation", SPLIT, shards, "find", split_by(lambda p: {"train": p[1:], "val": p[:1]})),
    mutant("val*.parquet trained on", SPLIT, shards, "find", split_by(lambda p: {"train": p[:-1], "val": p[-1:]})),
    mutant(
        "validation trained on",
        SPLIT,
        shards,
        "find",
        lambda of: lambda path: {**of(path), "train": of(path)["train"] + of(path)["val"]},
    ),
    mutant(
        "no training shard needed",
        REFUSED,
        shards,
        "find",
        empty_training,
    ),
    mutant(
        "no BOS", ROWS, Tokenizer, "encode", lambda of: lambda self, documents: [x[1:] for x in of(self, documents)]
    ),
    mutant("BOS after the document", ROWS, Tokenizer, "encode", bos_last),
    mutant(
        "special tokens read in text",
        ROUND_TRIP,
        Tokenizer,
        "encode",
        instead(specials_read),
    ),
    mutant(
        "whole documents learned from",
        HEADS,
        tokenizer,
        "_capped",
        lambda of: lambda documents, _: of(documents, Data()),
    ),
    mutant(
        "digits in threes",
        DIGITS,
        tokenizer,
        "PATTERN",
        lambda of: of.replace("{1,2}", "{1,3}"),
    ),
)
SCORE_MUTANTS = (
    mutant("bytes of decoded text", BYTES, Tokenizer, "token_bytes", instead(property(decoded_bytes))),
    mutant("special tokens have bytes", BYTES, Tokenizer, "token_bytes", instead(property(special_bytes))),
    mutant("BOS scored", WINDOWS, evaluation, "windows", retargeted(bos_scored)),
    mutant("short last window dropped", WINDOWS, evaluation, "windows", retargeted(lambda x, y, bos: (x[:-1], y[:-1]))),
    mutant("no target at a window's start", ANY_TEXT, evaluation, "windows", retargeted(windows_apart)),
    mutant(
        "documents in another order",
        WINDOWS,
        evaluation,
        "encoded",
        lambda of: lambda *some: [d[::-1] for d in of(*some)],
    ),
    mutant(
        "unigrams of the validation text",
        UNIGRAM,
        evaluation,
        "encoded",
        lambda of: lambda p, _, n: of(p, "val", n),
    ),
    mutant("whole batches scored", SCORE, scoring, "evaluate", whole_batches),
    mutant("filling rows scored", SCORE, scoring, "evaluate", fill_scored),
    mutant("nats added in float32", SCORE, scoring, "evaluate", added_in_float32),
    mutant("BOS among the tokens", SCORE, scoring, "evaluate", tokens_with_bos),
)
