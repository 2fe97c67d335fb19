"""Prepared data that the conformance tests share: the embedded corpus, and a folder of small shards cut from it."""

from pathlib import Path

import pytest

from impl.data import corpus, shards
from impl.data.prepare import prepare
from impl.data.prepared import Prepared
from impl.spec import Data

TRAIN_DOCUMENTS, VAL_DOCUMENTS = 150, 10  # of these, enough merges for 1024 tokens come out


@pytest.fixture(scope="session")
def cache(tmp_path_factory) -> Path:
    """A cache directory of this session."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def sotu(cache) -> Prepared:
    """The whole embedded corpus at a small vocabulary."""
    return prepare(corpus.NAME, 300, Data(), cache)


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """Two training shards of three row groups each and a validation shard."""
    return cut(tmp_path_factory.mktemp("folder"))


def cut(folder: Path) -> Path:
    """The first documents of the embedded corpus as shards in `folder`."""
    folder.mkdir(exist_ok=True)
    documents = corpus.read()
    train, half = documents["train"][:TRAIN_DOCUMENTS], TRAIN_DOCUMENTS // 2
    shards.write(folder / "a.parquet", train[:half], group_documents=30)
    shards.write(folder / "b.parquet", train[half:], group_documents=30)
    shards.write(folder / "c.parquet", documents["val"][:VAL_DOCUMENTS])
    return folder


@pytest.fixture(scope="session", params=[300, 1024], ids="V={}".format)
def small(request, folder, cache) -> Prepared:
    """The folder of small shards, prepared at each of two vocabularies."""
    return prepare(folder, request.param, Data(), cache)
