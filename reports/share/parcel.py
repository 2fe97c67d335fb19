"""What would leave the machine: one file, its place in the project and every text in it, in a form to be read.

Test with `pytest -m fast bench/meta/test_share.py`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from reports import derived
from reports.privacy import traces
from reports.record import Record, ReportError, chip_slug, content_hash, file_name, load, save, to_json
from reports.schema import Consent

FOLDER = PurePosixPath("reports/data")


@dataclass(frozen=True)
class Parcel:
    """A record and what follows from it; nothing but its content decides any name."""

    record: Record
    content: bytes

    @classmethod
    def of(cls, path: str | Path, contributor: str | None = None, licence: str | None = None) -> "Parcel":
        """With the consent as the file has it, or as given. Raises ReportError, also for what is private here."""
        record = load(path)
        consent = Consent(
            contributor=record.consent.contributor if contributor is None else contributor or None,
            licence=record.consent.licence if licence is None else licence or None,
        )
        record = record.model_copy(update={"consent": consent})
        for field, kind, text in traces(record.model_dump()):
            raise ReportError(f"{path}: {field} holds {kind}, {text!a}; no report may: run again without it")
        with TemporaryDirectory() as folder:  # looks for this machine's names, too
            save(record, folder)
        return cls(record, to_json(record).encode())

    @property
    def path(self) -> PurePosixPath:
        """In the project."""
        return FOLDER / chip_slug(self.record.hardware.chip) / file_name(self.record)

    @property
    def branch(self) -> str:
        """Named by the content: the same report is the same branch."""
        return f"report-{self.path.stem}"

    @property
    def title(self) -> str:
        return f"report: {chip_slug(self.record.hardware.chip)}, {self.record.software.backend}"

    @property
    def message(self) -> str:
        """Of the commit."""
        return f"{self.title}\n\n{self.path}\nsha256 {content_hash(self.record)}\n"

    def summary(self) -> list[str]:
        """What the run was, in a few lines."""
        record, identity = self.record, self.record.identity
        score = derived.bits_per_byte(record)
        frameworks = ", ".join(f"{name} {version}" for name, version in record.software.frameworks.items())
        return [
            f"chip       {ascii(record.hardware.chip)[1:-1]}",
            f"backend    {record.software.backend}, {ascii(frameworks)[1:-1]}",
            f"recipe     {ascii(identity.recipe)[1:-1]}, preset {identity.preset!a}, division {identity.division}",
            f"val_bpb    {'none: the run failed' if score is None else f'{score:.4f}'}",
            f"trained    {len(record.run.steps)} steps, {derived.tokens(record)} tokens",
            f"sha256     {content_hash(record)}",
        ]

    def sections(self) -> Iterator[tuple[str, list[tuple[str, str]]]]:
        """(section, [(field, value)]) of the whole file: texts word for word, columns of numbers by their ends."""
        document = self.record.model_dump()
        alone = {name: value for name, value in document.items() if not isinstance(value, dict)}
        yield "file", list(_fields(alone, ""))
        for name, section in document.items():
            if isinstance(section, dict):
                yield name, list(_fields(section, ""))


def _fields(node: Any, path: str) -> Iterator[tuple[str, str]]:
    """Tables in a list are shown column by column; nothing that is a text is left out."""
    if isinstance(node, dict) and node:
        for key, value in node.items():
            yield from _fields(value, f"{path}.{ascii(key)[1:-1]}".lstrip("."))
    elif isinstance(node, (list, tuple)) and node:
        tables = [value for value in node if isinstance(value, dict)]
        for key in dict.fromkeys(key for table in tables for key in table):
            yield from _fields([table[key] for table in tables if key in table], f"{path}[].{ascii(key)[1:-1]}")
        inner = [value for value in node if isinstance(value, (list, tuple))]
        if inner:
            yield from _fields([value for values in inner for value in values], f"{path}[]")
        alone = [value for value in node if not isinstance(value, (dict, list, tuple))]
        if alone:
            yield path, _listed(alone)
    else:
        yield path, _shown(node)


def _listed(values: list) -> str:
    """Texts and truths once each; of numbers the ends."""
    words = list(dict.fromkeys(_shown(v) for v in values if isinstance(v, (str, bool)) or v is None))
    numbers = [v for v in values if isinstance(v, (int, float)) and not isinstance(v, bool)]
    if len(numbers) > 4:
        words.append(f"{len(numbers)} numbers, {numbers[0]} ... {numbers[-1]}")
    else:
        words += map(_shown, numbers)
    return ", ".join(words)


def _shown(value: Any) -> str:
    return "null" if value is None else ascii(value)
