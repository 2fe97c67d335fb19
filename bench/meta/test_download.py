"""Whatever a server does, a data set ends whole or in one clear line; whenever it is killed, nothing wrong is left."""

from pathlib import Path

import pytest

from bench.meta import web
from impl.data import corpus, download, shards, sources
from impl.data.errors import DataError
from impl.data.progress import silent

pytestmark = pytest.mark.meta

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
    monkeypatch.setattr(download, "TIMEOUT_S", 0.4)
    with web.serving() as server:
        server.files.update(files)
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


def resolve(tmp_path: Path, count: int = 2):
    return sources.resolve(f"climbmix:{count}", tmp_path, silent)[1]


def requests(server: web.Web, name: str = FIRST) -> list[str | None]:
    return [wanted for file, wanted in server.asked if file == name]


GOES_WELL = {
    "nothing wrong": ([], 1),
    "cut once": (["cut", "well"], 2),
    "cut again and again": (["cut"] * 8 + ["well"], 9),  # each brings more
    "truncated": (["shorter", "well"], 2),
    "slow": (["slow", "well"], 1),
    "stalled": (["stall", "well"], 2),
    "says more than it sends": (["says more", "well"], 1),
    "says less than it sends": (["says less", "well"], 2),
    "sends more than is published": (["longer", "well"], 2),
    "sends something else": (["other", "well"], 2),
    "too many requests": (["429 0", "429 0.01", "well"], 3),
    "down for a while": (["503", "500", "well"], 3),
    "elsewhere": (["redirect", "well"], 2),
    "cut, then elsewhere": (["cut", "redirect", "well"], 3),
    "begins anew": (["cut", "no ranges", "well"], 2),
    "another part": (["cut", "wrong range", "well"], None),
}


@pytest.mark.parametrize("moods", GOES_WELL)
def test_a_download_that_can_be_mended_is(tmp_path, hub, published, moods):
    hub.moods[FIRST], times = GOES_WELL[moods]
    found = resolve(tmp_path)
    assert [list(shards.documents([path])) for path in found["train"]] == [published[name] for name in NAMES[:2]]
    assert list(shards.documents(found["val"])) == published["shard_06542"]
    assert times is None or len(requests(hub)) == times
    assert not list(tmp_path.rglob("*.part")) + list(tmp_path.rglob("*.tmp"))


ENDS = {
    "gone": (["404"], "shard_00000.parquet: the server answers 404; check the name"),
    "not for everybody": (["403"], r"answers 403; log in"),
    "always busy": (["429 0"], "answers 429, again and again"),
    "always down": (["503"], "answers 503, again and again"),
    "always shorter": (["shorter"], r"bytes of \d+ arrive, again and again"),
    "always longer": (["longer"], r"more than its \d+ bytes arrive, again"),
    "always other": (["other"], "its SHA-256 is not the published one, again"),
    "in a circle": (["circle"], "no answer .TooManyRedirects"),
}


@pytest.mark.parametrize("moods", ENDS)
def test_a_download_that_cannot_be_mended_ends_in_one_line_and_leaves_nothing_wrong(tmp_path, hub, moods, files):
    hub.moods[FIRST], message = ENDS[moods]
    with pytest.raises(DataError, match=message) as caught:
        resolve(tmp_path)
    assert "\n" not in str(caught.value)
    for path in (tmp_path / "downloads" / "climbmix").glob("*.parquet"):
        assert path.read_bytes() == files[f"{HOME}/{path.name}"]
    hub.moods[FIRST] = ["well"]
    assert len(resolve(tmp_path)["train"]) == 2  # the next start goes on
