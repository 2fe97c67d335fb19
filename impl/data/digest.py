"""What a text is known by: how many documents, how many UTF-8 bytes, and one hash over them in order."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Digest:
    """`sha256` is over the documents joined by a zero byte, so it does not depend on the cut into shards."""

    documents: int
    text_bytes: int
    sha256: str

    @classmethod
    def of(cls, documents: Iterable[str]) -> "Digest":
        """Read `documents` once."""
        count = text_bytes = 0
        sha = hashlib.sha256()
        for document in documents:
            if count:
                sha.update(b"\x00")
            encoded = document.encode()
            sha.update(encoded)
            count += 1
            text_bytes += len(encoded)
        return cls(count, text_bytes, sha.hexdigest())
