"""How many bytes a token counts for: the answers behind published scores, each as a table over the vocabulary.

V vocabulary. Test with `pytest -m fast bench/profiles`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from impl.data.tokenizer import SPECIALS, Tokenizer

SPACE = "\u2581"  # how SentencePiece writes one
WITHOUT_TEXT = ("control", "unknown", "unused")


@dataclass(frozen=True)
class ByteTable:
    """A token counts for `size` bytes, and for one more where it `leads` with a space and text precedes it."""

    size: np.ndarray  # (V,) int64
    leads: np.ndarray  # (V,) bool
    boundary: np.ndarray  # (V,) bool: tokens without text

    def of(self, previous, targets):  # 2 x (...) -> (...) int64
        """Bytes that each target counts for after the token before it."""
        return self.size[targets] + (self.leads[targets] & ~self.boundary[previous])


def raw(tokenizer: Tokenizer) -> ByteTable:
    """The bytes that each token stands for, none for special tokens: our own rule."""
    return _by_size([len(token) for token in tokenizer.tokens], special_bytes=0)


def decoded(tokenizer: Tokenizer) -> ByteTable:
    """The bytes of each token decoded by itself: a part of a character becomes U+FFFD, which has three."""
    texts = [token.decode("utf-8", errors="replace") for token in tokenizer.tokens]
    return _by_size([len(text.encode()) for text in texts], special_bytes=0)


def literal(bos: str) -> Callable[[Tokenizer], ByteTable]:
    """Raw bytes, and for special tokens the length of their name, which is `bos` for the only one that texts have."""
    return lambda tokenizer: _by_size([len(token) for token in tokenizer.tokens], special_bytes=len(bos))


def spelled(tokenizer: Tokenizer) -> ByteTable:
    """The table of SentencePiece pieces, for our tokens as SentencePiece would spell them.

    For parts of characters it has pieces of one byte only, so that such a token counts for as many as it holds.
    """
    texts = [token.decode("utf-8", errors="replace") for token in tokenizer.tokens]
    parts = [i for i, token in enumerate(tokenizer.tokens) if texts[i].encode() != token]
    pieces = [(text.replace(" ", SPACE), "normal") for text in texts] + [(special, "control") for special in SPECIALS]
    for i in parts:
        pieces[i] = ("", "byte")
    table = of_pieces(pieces)
    table.size[parts] = [len(tokenizer.tokens[i]) for i in parts]
    return table


def of_pieces(pieces: Iterable[tuple[str, str]], vocab_size: int = 0) -> ByteTable:
    """From (piece, "normal", "byte" or one of `WITHOUT_TEXT`) by id; ids beyond them, up to `vocab_size`, have no text.

    The space that a piece begins with is taken off once; each further one keeps the three bytes that it is written in.
    """
    known = list(pieces)
    size = np.zeros(max(len(known), vocab_size), np.int64)
    leads, boundary = np.zeros(len(size), bool), np.ones(len(size), bool)
    for i, (piece, kind) in enumerate(known):
        if kind in WITHOUT_TEXT:
            continue
        boundary[i] = False
        leads[i] = kind == "normal" and piece.startswith(SPACE)
        size[i] = 1 if kind == "byte" else len(piece.removeprefix(SPACE).encode())
    return ByteTable(size, leads, boundary)


def _by_size(sizes: list[int], special_bytes: int) -> ByteTable:
    """No token's bytes depend on the one before it."""
    size = np.array([*sizes, *[special_bytes] * len(SPECIALS)], np.int64)
    nowhere = np.zeros(len(size), bool)
    return ByteTable(size, nowhere, nowhere)
