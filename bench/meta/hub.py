"""Fixtures: `climbmix` as a server on this machine publishes it, four files of a few documents.

Test with `pytest -m meta bench/meta/test_download.py`.
"""

import pytest

from bench.meta import web
from impl.data import corpus, download, shards

HOME = "karpathy/climbmix-400b-shuffle@main"
FIRST = f"{HOME}/shard_00000.parquet"
NAMES = ("shard_00000", "shard_00001", "shard_00002", "shard_06542")


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> dict[str, list[str]]:
    """Documents of each published file."""
    documents = corpus.read()["train"]
    return {name: documents[60 * i : 60 * i + 60] for i, name in enumerate(NAMES)}


@pytest.fixture(scope="module")
def files(published, tmp_path_factory) -> dict[str, bytes]:
    folder, found = tmp_path_factory.mktemp("published"), {}
    for name, documents in published.items():
        shards.write(folder / name, documents, group_documents=16)
        found[f"{HOME}/{name}.parquet"] = (folder / name).read_bytes()
    return found


@pytest.fixture
def hub(files, monkeypatch):
    pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(download, "PAUSE_S", 0.005)
    monkeypatch.setattr(download, "TIMEOUT_S", 10.0)
    with web.serving() as server:
        server.files.update(files)
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server
