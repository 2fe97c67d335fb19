"""Reports whose numbers contradict each other, or the recipe."""

from dataclasses import replace
from pathlib import Path

from bench.meta.bad_reports.case import Bad, saved
from bench.meta.records import BYTES, valid_record, with_column
from impl.spec import override, preset
from reports.record import Record, save
from reports.schema import Eval, Failure, Row, Steps

RUN = valid_record().run
STEPS = RUN.steps


def _wrong(name: str, words: str, **sections) -> Bad:
    return saved(name, "arithmetic", "rejected", words, lambda: valid_record(**sections))


def _column(name: str, column: str, values: tuple, words: str) -> Bad:
    return saved(name, "arithmetic", "rejected", words, lambda: with_column(column, values))


def _first(steps: int) -> Steps:
    return Steps(**{name: getattr(STEPS, name)[:steps] for name in Steps.model_fields})


def _swapped(one: str, other: str) -> Steps:
    return STEPS.model_copy(update={one: getattr(STEPS, other), other: getattr(STEPS, one)})


def _scored(step: int = 16, **changes) -> tuple[Eval, ...]:
    return (RUN.evals[0].model_copy(update={"step": step, **changes}),)


def _renamed(folder: Path) -> Path:
    path = save(valid_record(), folder)
    return path.rename(path.with_name(path.name.replace("2026", "2027")))


def _edited(folder: Path) -> Path:
    path = save(valid_record(), folder)
    path.write_text(path.read_text().replace('"seed": 42', '"seed": 43'))
    return path


def _in_another_folder(folder: Path) -> Path:
    path = save(valid_record(), folder / "reports" / "data")
    elsewhere = path.parent.with_name("apple-m1-max")
    path.parent.rename(elsewhere)
    return elsewhere / path.name


def _deep(digits: str) -> Record:
    hashes = valid_record().identity.hashes
    config = override(preset("cpu"), {"depth": digits}).hash("config")
    changes = {"settings": {"depth": digits}, "hashes": hashes.model_copy(update={"config": config})}
    return valid_record(identity={**changes, "division": "open"})


FAILED_ROW = Row(quantity="logits", precision="bfloat16", cases=8, worst_ratio=9.0, limit=3.0, passed=False)
LOST = {"steps": _first(4), "evals": (), "failure": Failure(kind="error", step=40, message="lost")}
LATE = replace(preset("cpu").schedule, warmdown=0.25)
NUMBERS = (
    Bad("renamed", _renamed, "arithmetic", "rejected", "does not fit the content"),
    Bad("edited by hand", _edited, "arithmetic", "rejected", "does not fit the content"),
    Bad("in another chip's folder", _in_another_folder, "arithmetic", "rejected", "lies in 'apple-m1-max'"),
    _wrong("shifted bytes constant", f"result.bytes={BYTES + 9}, but", result={"bytes": BYTES + 9}),
    _wrong("shifted bytes on the way", "run.evals[0].bytes", run={"evals": _scored(bytes=BYTES * 2)}),
    _wrong("another text on the way", "run.evals[0].tokens=5, but", run={"evals": _scored(tokens=5)}),
    _wrong("evaluated after the end", "do not rise within the 32 steps", run={"evals": _scored(99)}),
    _wrong("evaluated backwards", "do not rise", run={"evals": (*_scored(20), *_scored(10))}),
    _column("another schedule", "lr", tuple(LATE.lr(p) for p in STEPS.progress), "but the schedule gives"),
    _column("no schedule", "lr", (1.0,) * 32, "but the schedule gives"),
    _column("progress of another run", "progress", (0.0,) * 32, "but the steps before it give"),
    _column("quicker steps", "step_s", tuple(s / 2 for s in STEPS.step_s), "less than the budget"),
    _column("slower steps", "step_s", tuple(s * 2 for s in STEPS.step_s), "training went on after"),
    _wrong("lr and progress swapped", "but the schedule gives", run={"steps": _swapped("lr", "progress")}),
    _wrong("cut run", "less than the budget", run={"steps": _first(20)}),
    _wrong("a finished run without steps", "less than the budget", run={"steps": _first(0), "evals": ()}),
    _wrong("a bigger batch", "run.total_batch=8192, but", run={"total_batch": 8192, "epochs": 2.0}),
    _wrong("a batch that does not divide", "is no multiple", run={"device_batch": 7}),
    _wrong("more parameters", "run.parameters", run={"parameters": RUN.parameters + 1}),
    _wrong("more operations a token", "run.flop_per_token", run={"flop_per_token": RUN.flop_per_token * 10}),
    _wrong("another depth", "run.depth=12, but", run={"depth": 12}),
    saved("a depth of 15 digits", "arithmetic", "rejected", "but the recipe's sizes give", lambda: _deep("9" * 15)),
    _wrong("more tokens than were read", "exceed 1 passes over 90000", run={"train_tokens": 90_000}),
    _wrong("less time than its parts took", "is less than training and evaluation", result={"total_s": 5.0}),
    _wrong("fixed division, other preset", "it must be 'fixed'", identity={"division": "fixed"}),
    _wrong("settings in a tier", "it must be 'open'", identity={"settings": {"matrices.lr": "0.04"}}),
    _wrong("conformance of other versions", "differ in 'torch'", conformance={"versions": {"torch": "2.12.0"}}),
    _wrong("conformance against its rows", "but a row did not pass", conformance={"rows": (FAILED_ROW,)}),
    _wrong("energy that is given back", "joules fall", run={"evals": _scored(joules=9.0)}, result={"joules": 5.0}),
    _wrong("failed after the last step", "failure.step=40, but only 4 steps", run=LOST),
)
