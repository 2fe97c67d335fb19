"""A prepared directory: shards of two splits, their tokenizer, and the hashes that say what may be compared.

    train/*.parquet  val/*.parquet  tokenizer.json  tokens/{train,val}/*.arrow  meta.json

Shards of a user's own folder are symbolic links; each has a file of tokens.
Test with `pytest bench/conformance/test_prepare.py`.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

from impl.data import atomic, shards, tokens
from impl.data.digest import Digest
from impl.data.errors import DataError
from impl.data.tokenizer import Tokenizer

FORMAT = 2
EVALUATION_RULE = "every-byte-once-1"
SPLITS = ("train", "val")
META, TOKENIZER, TOKENS = "meta.json", "tokenizer.json", "tokens"
REMEDY = "run: python -m impl.data prepare"
BLOCK_BYTES = 2**20


def sha256(*parts: object) -> str:
    """Over the JSON of `parts`."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def stamps(paths: Iterable[Path]) -> list[list]:
    """[name, bytes, modification time in ns] of each file: while they stand, its content is taken to stand."""
    return [[path.name, (stat := path.stat()).st_size, stat.st_mtime_ns] for path in paths]


@dataclass(frozen=True)
class Prepared:
    """A prepared directory, opened by `Prepared.open`."""

    root: Path

    @classmethod
    def open(cls, path: Path | str) -> "Prepared":
        """Check and open. Raises DataError naming the first file that is missing or altered.

        A shard is altered if its size is; one of another modification time makes its split be read and hashed. The
        same goes for files of tokens.
        """
        prepared = cls(Path(path))
        meta = prepared._meta
        if prepared.tokenizer.hash != meta["tokenizer"]:
            raise DataError(prepared.root / TOKENIZER, "not the tokenizer that meta.json names", REMEDY)
        for split in SPLITS:
            prepared._require_unaltered(split)
            prepared._require_tokens(split)
        return prepared

    @classmethod
    def seal(cls, root: Path, source: str, digests: dict[str, Digest]) -> None:
        """Write meta.json for a directory whose shards (of the texts `digests`), tokenizer and tokens are complete.

        Raises DataError where the tokens do not stand for the bytes of the text.
        """
        tokenizer = Tokenizer.load(root / TOKENIZER)
        meta: dict = {"format": FORMAT, "source": source, "tokenizer": tokenizer.hash}
        for split in SPLITS:
            paths = sorted((root / split).glob("*.parquet"))
            files = [token_file(root, path) for path in paths]
            count, text_bytes = tokens.census(files, tokenizer)
            if text_bytes != digests[split].text_bytes:
                reason = f"the {split} tokens stand for {text_bytes} bytes of {digests[split].text_bytes}"
                raise DataError(root / TOKENS, reason, REMEDY)
            kept = {"count": count, "sha256": _content(files), "stamps": stamps(files)}
            meta[split] = {**asdict(digests[split]), "stamps": stamps(paths), "tokens": kept}
        with atomic.replacing(root / META) as temporary:
            temporary.write_text(json.dumps({**meta, "sha256": sha256(meta)}, indent=1) + "\n")

    @property
    def source(self) -> str:
        """What it was prepared from: "sotu-v1", or "folder" for shards of the user's own."""
        return self._meta["source"]

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return Tokenizer.load(self.root / TOKENIZER)

    def paths(self, split: str) -> list[Path]:
        """Shards of "train" or "val" in order."""
        return [self.root / split / name for name, _, _ in self._meta[split]["stamps"]]

    def documents(self, split: str) -> Iterator[str]:
        """Every document of a split in order."""
        return shards.documents(self.paths(split))

    def token_files(self, split: str) -> list[Path]:
        """Tokens of each shard of "train" or "val" in order, for `impl.data.tokens`."""
        return [token_file(self.root, path) for path in self.paths(split)]

    def tokens(self, split: str) -> int:
        """Tokens of one epoch, BOS included."""
        return self._meta[split]["tokens"]["count"]

    def digest(self, split: str) -> Digest:
        """Documents, UTF-8 bytes and SHA-256 of a split's text."""
        known = self._meta[split]
        return Digest(known["documents"], known["text_bytes"], known["sha256"])

    @property
    def val_bytes(self) -> int:
        """UTF-8 bytes that every evaluation scores."""
        return self.digest("val").text_bytes

    @property
    def data_hash(self) -> str:
        """SHA-256 of what is trained on: text and tokenizer."""
        return sha256(self.digest("train").sha256, self._meta["tokenizer"])

    @property
    def eval_hash(self) -> str:
        """SHA-256 of what is scored and how: validation text and rule, whatever the tokenizer."""
        return sha256(self.digest("val").sha256, EVALUATION_RULE)

    @cached_property
    def _meta(self) -> dict:
        path = self.root / META
        try:
            meta = json.loads(path.read_text())
            stated = meta.pop("sha256")
            format_found = meta["format"]
        except OSError as error:
            raise DataError(path, f"not a prepared directory: {error.strerror}", REMEDY) from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(path, f"malformed ({error!r})", REMEDY) from None
        if format_found != FORMAT:
            raise DataError(path, f"format {format_found} is not {FORMAT}", REMEDY)
        if sha256(meta) != stated:
            raise DataError(path, "altered: it does not match its own hash", REMEDY)
        return meta

    def _require_unaltered(self, split: str) -> None:
        known = self._meta[split]["stamps"]
        paths = self.paths(split)
        for path in paths:
            if not path.exists():
                raise DataError(path, "the shard is missing", REMEDY)
        found = stamps(paths)
        changed = [path for path, now, then in zip(paths, found, known, strict=True) if now != then]
        resized = [path for path, now, then in zip(paths, found, known, strict=True) if now[1] != then[1]]
        if resized or (changed and Digest.of(self.documents(split)) != self.digest(split)):
            raise DataError((resized or changed)[0], "altered after preparing", REMEDY)

    def _require_tokens(self, split: str) -> None:
        """As for shards: their size must stand, and their content where the modification time does not."""
        known, files = self._meta[split]["tokens"], self.token_files(split)
        for path in files:
            if not path.exists():
                raise DataError(path, "the tokens are missing", REMEDY)
        found = stamps(files)
        changed = [path for path, now, then in zip(files, found, known["stamps"], strict=True) if now != then]
        if changed and _content(files) != known["sha256"]:
            raise DataError(changed[0], "the tokens were altered after preparing", REMEDY)


def token_file(root: Path, shard: Path) -> Path:
    """Where the tokens of a shard of the prepared directory `root` are."""
    return root / TOKENS / shard.parent.name / f"{shard.stem}{tokens.SUFFIX}"


def _content(files: Iterable[Path]) -> str:
    """SHA-256 over the files' bytes in order."""
    sha = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                sha.update(block)
    return sha.hexdigest()
