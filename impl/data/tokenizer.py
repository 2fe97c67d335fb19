"""Byte-pair encoding: trained by rustbpe, run by tiktoken, kept as JSON with a hash of its content.

Test with `pytest bench/conformance/test_tokenizer.py`.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

import numpy as np
import rustbpe
import tiktoken

from impl import cores
from impl.data import atomic
from impl.data.errors import DataError
from impl.spec import Data

# GPT-4's pattern, but digits go in pairs at most.
PATTERN = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,2}| ?[^\s\p{L}\p{N}]++[\r\n]*"
    r"|\s*[\r\n]|\s+(?!\S)|\s+"
)
SPECIALS = tuple(f"<|reserved_{i}|>" for i in range(4))  # the first is BOS
BYTES = 256
SMALLEST = BYTES + len(SPECIALS)
MOST_THREADS, PARTS = 8, 4  # of a batch, that many a thread: documents are not equally long
REMEDY = "run: python -m impl.data prepare"


class Tokenizer:
    """Immutable. Ids: the 256 bytes, then one id a merge in the order of training, then the special tokens.

    `tokens[i]` are the raw bytes of ordinary token i.
    """

    def __init__(self, tokens: Sequence[bytes], pattern: str = PATTERN):
        self.tokens, self.pattern = tuple(tokens), pattern
        self.vocab_size = len(self.tokens) + len(SPECIALS)
        self.bos = len(self.tokens)
        self._encoding = tiktoken.Encoding(
            name="nanomark",
            pat_str=pattern,
            mergeable_ranks={token: rank for rank, token in enumerate(self.tokens)},
            special_tokens={special: self.bos + i for i, special in enumerate(SPECIALS)},
        )

    @classmethod
    def train(cls, documents: Iterable[str], vocab_size: int, data: Data) -> "Tokenizer":
        """Learn merges from at most `data.tokenizer_chars` characters, `data.tokenizer_doc_chars` a document.

        Raises DataError where `vocab_size` is below the bytes and special tokens, or the text gives too few merges.
        """
        require_size(vocab_size)
        trainer = rustbpe.Tokenizer()
        trainer.train_from_iterator(_capped(documents, data), vocab_size - len(SPECIALS), pattern=PATTERN)
        tokens = [bytes(token) for token, _ in sorted(trainer.get_mergeable_ranks(), key=lambda pair: pair[1])]
        largest = len(tokens) + len(SPECIALS)
        if largest < vocab_size:
            reason = f"vocab_size={vocab_size} is more than the training text gives"
            raise DataError("tokenizer", reason, f"use more text or a vocab_size of at most {largest}")
        return cls(tokens)

    def encode(self, documents: Sequence[str]) -> list:  # -> one (n,) int32 per document, BOS first
        """Token ids; the text of a special token inside a document is ordinary text."""
        threads = min(MOST_THREADS, cores.usable() or 1)
        if threads == 1:
            return [self._encoded(document) for document in documents]
        size = -(-len(documents) // (PARTS * threads)) or 1
        parts = [documents[start : start + size] for start in range(0, len(documents), size)]
        with ThreadPoolExecutor(threads) as pool:
            encoded = pool.map(lambda part: [self._encoded(document) for document in part], parts)
            return [ids for part in encoded for ids in part]

    def _encoded(self, document: str):  # (n,) int32
        # No list of Python's integers in between: making it holds the interpreter, so that threads wait for each other.
        try:
            ids = self._encoding.encode_to_numpy(document, disallowed_special=())
        except UnicodeEncodeError:  # half a surrogate pair, for which tiktoken puts U+FFFD here alone
            ids = self._encoding.encode_ordinary(document)
        return np.concatenate([[self.bos], ids], dtype=np.int32, casting="unsafe")  # every id fits

    def decode(self, ids: Iterable[int]) -> str:
        """Text; bytes that are no UTF-8 become U+FFFD."""
        return self._encoding.decode([int(i) for i in ids])

    @cached_property
    def token_bytes(self):  # (V,) int64
        """Raw bytes of each token, whether or not they are UTF-8 alone; special tokens have 0."""
        return np.array([len(token) for token in self.tokens] + [0] * len(SPECIALS), dtype=np.int64)

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the pattern, the special tokens and the tokens."""
        return hashlib.sha256(json.dumps(self._content(), sort_keys=True).encode()).hexdigest()

    def save(self, path: Path) -> None:
        """Write JSON atomically."""
        with atomic.replacing(path) as temporary:
            temporary.write_text(json.dumps({"sha256": self.hash, **self._content()}, indent=0))

    @classmethod
    def load(cls, path: Path) -> "Tokenizer":
        """Raises DataError for a file that is missing, malformed, or not what `save` wrote."""
        try:
            content = json.loads(path.read_text())
            tokenizer = cls([base64.b64decode(token) for token in content["tokens"]], content["pattern"])
            altered = (tokenizer.hash, list(SPECIALS)) != (content["sha256"], content["special_tokens"])
        except OSError as error:
            raise DataError(path, f"the tokenizer is unreadable: {error.strerror}", REMEDY) from None
        except (ValueError, KeyError, TypeError, binascii.Error) as error:
            raise DataError(path, f"not a tokenizer ({error!r})", REMEDY) from None
        if altered:
            raise DataError(path, "the tokenizer does not match its own hash", REMEDY)
        return tokenizer

    def _content(self) -> dict:
        tokens = [base64.b64encode(token).decode() for token in self.tokens]
        return {"pattern": self.pattern, "special_tokens": list(SPECIALS), "tokens": tokens}


def require_size(vocab_size: int) -> None:
    """Raise DataError for a vocabulary that cannot hold the bytes and the special tokens."""
    if vocab_size < SMALLEST:
        reason = f"vocab_size={vocab_size} is below {BYTES} bytes + {len(SPECIALS)} special tokens"
        raise DataError("tokenizer", reason, f"use at least {SMALLEST}")


def _capped(documents: Iterable[str], data: Data) -> Iterator[str]:
    """Heads of the documents until the characters suffice."""
    characters = 0
    for document in documents:
        head = document[: data.tokenizer_doc_chars]
        characters += len(head)
        yield head
        if characters >= data.tokenizer_chars:
            return
