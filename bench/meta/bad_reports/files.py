"""Files that are no report: cut, padded, of another kind or encoding, or with fields and values that none has."""

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path

from bench.meta.bad_reports.case import Bad
from bench.meta.records import valid_record
from reports.record import SIZE_LIMIT, save, to_json

TEXT = to_json(valid_record())


def _written(name: str, content: bytes | str, words: str) -> Bad:
    def make(folder: Path) -> Path:
        path = folder / "report.json"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return Bad(name, make, "schema", "rejected", words)


def _replaced(name: str, old: str, new: str, words: str) -> Bad:
    assert old in TEXT, old
    return _written(name, TEXT.replace(old, new, 1), words)


def _changed(name: str, change: Callable[[dict], object], words: str) -> Bad:
    document = json.loads(TEXT)
    change(document)
    return _written(name, json.dumps(document), words)


def _set(name: str, field: str, value: object, words: str) -> Bad:
    *sections, last = field.split(".")

    def change(document: dict) -> None:
        for section in sections:
            document = document[section]
        document[last] = value

    return _changed(name, change, words)


def _made(name: str, make: Callable[[Path], object], words: str) -> Bad:
    def made(folder: Path) -> Path:
        path = folder / "report.json"
        make(path)
        return path

    return Bad(name, made, "schema", "rejected", words)


def _hundred_megabytes(path: Path) -> None:
    with open(path, "wb") as file:
        file.write(TEXT.encode())
        file.truncate(100 * 10**6)  # a hole: it takes no room


def _linked(path: Path) -> None:
    path.symlink_to(save(valid_record(), path.parent / "elsewhere"))


NO_JSON, COLUMNS = "is no JSON that a report may be", json.loads(TEXT)["run"]["steps"]
FILES = (
    _written("empty", "", NO_JSON),
    _written("cut in the middle", TEXT[: len(TEXT) // 2], NO_JSON),
    _written("cut before the last brace", TEXT[:-3], NO_JSON),
    _written("two reports in one file", TEXT * 2, NO_JSON),
    _written("a comma too many", TEXT[:-3] + ",}", NO_JSON),
    _written("a comment", "// mine\n" + TEXT, NO_JSON),
    _written("compressed", gzip.compress(TEXT.encode()), "is not UTF-8"),
    _written("byte order mark", b"\xef\xbb\xbf" + TEXT.encode(), "BOM"),
    _written("UTF-16", TEXT.encode("utf-16"), "is not UTF-8 at byte 0"),
    _written("UTF-16 without a mark", TEXT.encode("utf-16-le"), NO_JSON),
    _written("Latin-1", TEXT.replace("EPYC", "ÉPYC").encode("latin-1"), "is not UTF-8"),
    _written("a NUL in the middle", TEXT[:50] + "\0" + TEXT[50:], NO_JSON),
    _written("nested lists", "[" * 100_000, "nested too deeply"),
    _written("nested objects", '{"a":' * 100_000, "nested too deeply"),
    _written("a list", f"[{TEXT}]", "schema_version=None"),
    _written("a number", "1", "schema_version=None"),
    _written("more than the limit", TEXT + " " * SIZE_LIMIT, f"more than {SIZE_LIMIT}"),
    _made("100 MB", _hundred_megabytes, "has 100000000 bytes, more than"),
    _made("a symbolic link to a report", _linked, "is a symbolic link"),
    _made("a symbolic link to a device", lambda path: path.symlink_to("/dev/zero"), "is a symbolic link"),
    _made("a pipe", os.mkfifo, "is no regular file"),
    _made("a folder", os.mkdir, "is no regular file"),
    _made("nothing", lambda path: None, "is no regular file"),
    _replaced("NaN", '"nats": 1000000.0', '"nats": NaN', "NaN is not a number"),
    _replaced("infinity", '"nats": 1000000.0', '"nats": -Infinity', "-Infinity is not a number"),
    _replaced("a number beyond float64", '"nats": 1000000.0', '"nats": 1e999', "result.nats"),
    _replaced("1e308", '"nats": 1000000.0', '"nats": 1e308', "result.nats=1e+308"),
    _replaced("an integer of 5,000 digits", '"seed": 42', f'"seed": {"9" * 5000}', "an integer of 5000 digits"),
    _replaced("a key twice", '"seed": 42', '"seed": 41, "seed": 42', "key 'seed' stands twice"),
    _replaced("half a surrogate pair", '"python": "3.11.9"', '"python": "\\ud800"', NO_JSON),
    _set("future schema", "schema_version", "7.0", "schema_version='7.0', but"),
    _set("schema as a number", "schema_version", 1.0, "schema_version=1.0, but"),
    _set("schema that never was", "schema_version", "../0.2", "schema_version='../0.2', but"),
    _set("unknown field", "run.score", 0.9, "has no such field"),
    _set("a prototype for scripts", "__proto__", {"polluted": True}, "has no such field"),
    _changed("no steps", lambda d: d["run"].pop("steps"), "run.steps"),
    _changed("no hardware", lambda d: d.pop("hardware"), "hardware"),
    _changed("a column cut short", lambda d: d["run"]["steps"]["loss"].pop(), "columns differ in length"),
    _set("a column that is text", "run.steps.loss", "9.0", "run.steps.loss"),
    _set("loss is null in mid-run", "run.steps.loss", [*COLUMNS["loss"][:5], None, *COLUMNS["loss"][6:]], "at step 5"),
    _set("negative time", "run.steps.step_s", [-0.125, *COLUMNS["step_s"][1:]], "run.steps.step_s.0=-0.125"),
    _set("no time at all", "run.steps.step_s", [0.0, *COLUMNS["step_s"][1:]], "run.steps.step_s.0=0.0"),
    _set("a loss of 1e308", "run.steps.loss", [1e308, *COLUMNS["loss"][1:]], "run.steps.loss.0=1e+308"),
    _set("progress beyond the end", "run.steps.progress", [1.5, *COLUMNS["progress"][1:]], "run.steps.progress.0=1.5"),
    _set("a number as text", "run.seed", "42", "run.seed='42'"),
    _set("a truth for a number", "run.seed", True, "run.seed"),
    _set("a negative seed", "run.seed", -1, "run.seed=-1"),
    _set("negative energy", "result.joules", -5.0, "result.joules=-5.0"),
    _set("no result and no failure", "result", None, "result must be null where run.failure is given"),
    _set("no such day", "identity.created_utc", "2026-13-40T00:00:00Z", "identity.created_utc"),
    _set("a path as commit", "identity.commit", "../../../../etc/passwd", "identity.commit"),
    _set("a hash that is none", "identity.hashes.eval", "<script>" * 8, "identity.hashes.eval"),
    _set("an unknown backend", "software.backend", "torch-hpu/../..", "software.backend"),
    _set("a division of its own", "identity.division", "winners", "identity.division"),
    _set("a chip without a name", "hardware.chip", "", "hardware.chip=''"),
    _set("a chip name of 10,000 letters", "hardware.chip", "x" * 10_000, "at most 100 characters"),
    _set("a text of 10,000 letters", "software.os", "x" * 10_000, "at most 1000 characters"),
)
