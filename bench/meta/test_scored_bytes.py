"""The whole validation text is scored, the same bytes in the same order, for every row length and vocabulary.

`pytest -m meta bench/meta/test_scored_bytes.py`
"""

import hashlib

import numpy as np
import pytest

from impl.data import corpus
from impl.data.evaluation import UNSCORED, windows
from impl.data.prepare import prepare
from impl.spec import Data

pytestmark = pytest.mark.meta
LENGTHS, VOCABULARIES = (256, 512, 1024, 2048), (1024, 8192)


@pytest.fixture(scope="module", params=VOCABULARIES, ids="V={}".format)
def prepared(request, tmp_path_factory):
    return prepare(corpus.NAME, request.param, Data(), tmp_path_factory.mktemp("cache"))


def digest(prepared, targets):  # (N, T)
    """Of the bytes that the scored targets stand for, in order."""
    tokens = prepared.tokenizer.tokens
    return hashlib.sha256(b"".join(tokens[i] for i in targets[targets != UNSCORED])).hexdigest()


@pytest.mark.parametrize("length", LENGTHS)
def test_the_same_bytes_are_scored(prepared, length):
    whole = hashlib.sha256("".join(prepared.documents("val")).encode()).hexdigest()
    text = windows(prepared, length)
    assert text.total_bytes == prepared.val_bytes == corpus.EXPECTED["val"].text_bytes
    assert digest(prepared, text.targets) == whole


def test_a_byte_less_is_seen(prepared):
    whole = hashlib.sha256("".join(prepared.documents("val")).encode()).hexdigest()
    targets = windows(prepared, LENGTHS[0]).targets.copy()
    targets[np.unravel_index(np.flatnonzero(targets != UNSCORED)[-1], targets.shape)] = UNSCORED
    assert digest(prepared, targets) != whole
