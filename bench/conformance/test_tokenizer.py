"""The tokenizer gives every text back, counts raw bytes, and is kept in a file that cannot be altered unseen."""

import json
from itertools import cycle

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from impl import cores
from impl.data import corpus
from impl.data.errors import DataError
from impl.data.tokenizer import SPECIALS, Tokenizer
from impl.spec import Data

pytestmark = pytest.mark.fast


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return corpus.read()["train"][:60]


@pytest.fixture(scope="module")
def tokenizer(texts) -> Tokenizer:
    return Tokenizer.train(texts, 400, Data())


@given(text=st.text(max_size=200))
@example("")
@example("<|reserved_0|> is text, not a token")
@example("\x00\r\n \u2028\ufeff e\u0301 👩‍🚀 12345 it's")
def test_text_comes_back_and_every_byte_is_counted(tokenizer, text):
    (ids,) = tokenizer.encode([text])
    assert ids.dtype == np.int32 and ids[0] == tokenizer.bos and tokenizer.bos not in ids[1:]
    assert tokenizer.decode(ids[1:]) == text
    assert tokenizer.token_bytes[ids].sum() == len(text.encode())


def test_half_a_surrogate_pair_becomes_the_replacement_character(tokenizer):
    (ids,) = tokenizer.encode(["a\ud800b"])
    assert ids.dtype == np.int32 and tokenizer.decode(ids[1:]) == "a\ufffdb"


@pytest.mark.parametrize("usable", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 7, 41])
def test_threads_give_each_document_its_own_tokens_in_order(tokenizer, texts, usable, count, monkeypatch):
    monkeypatch.setattr(cores, "usable", lambda: usable)
    documents = [text[: 50 * (i % 9)] for i, text in zip(range(count), cycle(texts), strict=False)]
    found = tokenizer.encode(documents)
    assert [ids.dtype for ids in found] == [np.int32] * count
    assert [int(ids[0]) for ids in found] == [tokenizer.bos] * count
    assert [tokenizer.decode(ids[1:]) for ids in found] == documents


def test_ids_are_bytes_then_merges_then_specials(tokenizer):
    assert tokenizer.vocab_size == 256 + 140 + len(SPECIALS) == len(tokenizer.token_bytes)
    assert tokenizer.bos == 256 + 140
    assert sorted(tokenizer.tokens[:256]) == [bytes([value]) for value in range(256)]
    assert [tokenizer.decode([tokenizer.bos + i]) for i in range(4)] == [f"<|reserved_{i}|>" for i in range(4)]


def test_token_bytes_are_raw_bytes(tokenizer):
    lone = tokenizer.tokens.index(b"\x80")
    assert tokenizer.decode([lone]) == "\N{REPLACEMENT CHARACTER}"  # three bytes in UTF-8, but the token is one
    assert tokenizer.token_bytes[lone] == 1
    assert (tokenizer.token_bytes[tokenizer.bos :] == 0).all()
    assert tokenizer.token_bytes[:256].tolist() == [1] * 256
    assert all(tokenizer.token_bytes[i] == len(token) for i, token in enumerate(tokenizer.tokens))


def test_training_again_gives_the_same_tokenizer(tokenizer, texts):
    assert Tokenizer.train(texts, 400, Data()).hash == tokenizer.hash
    assert Tokenizer.train(texts, 401, Data()).hash != tokenizer.hash


def test_only_the_head_of_a_document_and_of_the_text_is_learned_from():
    unseen = "zq" * 500
    capped = Tokenizer.train(["abab " + unseen], 261, Data(tokenizer_doc_chars=5))
    assert capped.tokens[256] == b"ab"
    stopped = Tokenizer.train(["abab", "abab", unseen], 261, Data(tokenizer_chars=8))
    assert stopped.tokens[256] == b"ab"
    assert Tokenizer.train(["abab", "abab", unseen], 261, Data()).tokens[256] in (b"zq", b"qz")


def test_digits_go_in_pairs():
    text = ["123 456 789 " * 50]
    assert Tokenizer.train(text, 263, Data()).tokens[256:] == (b"12", b"45", b"78")
    with pytest.raises(DataError, match="at most 263"):
        Tokenizer.train(text, 264, Data())


@pytest.mark.parametrize("vocab_size", [0, 259])
def test_a_vocabulary_below_the_bytes_is_refused(vocab_size):
    with pytest.raises(DataError, match=f"vocab_size={vocab_size} .*at least 260"):
        Tokenizer.train(["text"], vocab_size, Data())


def test_too_little_text_for_the_vocabulary_is_said():
    with pytest.raises(DataError, match=r"vocab_size=1024 is more than the training text gives; .*at most 262"):
        Tokenizer.train(["ab ab"], 1024, Data())


def test_a_saved_tokenizer_is_the_same(tokenizer, texts, tmp_path):
    tokenizer.save(tmp_path / "t.json")
    loaded = Tokenizer.load(tmp_path / "t.json")
    assert (loaded.hash, loaded.vocab_size, loaded.bos) == (tokenizer.hash, tokenizer.vocab_size, tokenizer.bos)
    assert np.array_equal(loaded.encode(texts[:1])[0], tokenizer.encode(texts[:1])[0])


def test_a_missing_truncated_or_altered_file_is_refused(tokenizer, tmp_path):
    path = tmp_path / "t.json"
    with pytest.raises(DataError, match=r"t\.json: the tokenizer is unreadable"):
        Tokenizer.load(path)
    tokenizer.save(path)
    whole = path.read_text()
    path.write_text(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"t\.json: not a tokenizer"):
        Tokenizer.load(path)
    path.write_text("[]")
    with pytest.raises(DataError, match=r"t\.json: not a tokenizer"):
        Tokenizer.load(path)
    content = json.loads(whole)
    content["tokens"][300], content["tokens"][301] = content["tokens"][301], content["tokens"][300]
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="does not match its own hash"):
        Tokenizer.load(path)
