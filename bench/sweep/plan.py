"""What a sweep runs, and which report in a folder is of which of its runs.

Test with `pytest -m meta bench/meta/test_sweep.py`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from bench.training.order import Order
from impl.data import progress as preparation
from impl.data.prepare import prepare
from reports import record
from reports.record import Record

FIRST_SEED = 42
OUTSIDE_BRACKETS = r",(?![^\[]*\])"

Key = tuple  # what two runs of one cell have in common, and no other run has


@dataclass(frozen=True)
class Cell:
    """One run. `config` says what it has of the lists of settings, "" where there are none."""

    data: str  # as asked for
    config: str
    order: Order
    key: Key

    @property
    def words(self) -> list[str]:
        """The main job's options."""
        order = self.order
        words = ["--backend", order.backend, "--recipe", order.recipe, "--preset", order.preset]
        words += ["--precision", order.precision, f"--data={order.data}", "--seed", order.seed]
        words += ["--budget-s", order.budget_s] if order.budget_s else []
        return [str(word) for word in words] + [
            word for key, value in order.settings.items() for word in ("--set", f"{key}={value}")
        ]


def configs(texts: Sequence[str]) -> list[dict[str, str]]:
    """Every combination of `KEY=VALUE1,VALUE2,...`. Raises ValueError for one that is none."""
    lists = []
    for text in texts:
        key, equals, values = text.partition("=")
        chosen = list(dict.fromkeys(re.split(OUTSIDE_BRACKETS, values)))
        if not (key and equals and all(chosen)):
            raise ValueError(f"--set {text}: no KEY=VALUE,VALUE; try --set depth=4,6")
        lists.append([(key, value) for value in chosen])
    names = [pairs[0][0] for pairs in lists]
    if len(set(names)) < len(names):
        raise ValueError(f"--set names {max(names, key=names.count)} twice; give its values in one list")
    return [dict(pairs) for pairs in product(*lists)]


def cells(data: Sequence[str], settings: Sequence[str], seeds: int, **order) -> list[Cell]:
    """Seeds innermost. `order` has what all share: backend, recipe, preset, precision, budget_s.

    Prepares the data, because its hashes are part of a run's identity. Raises ValueError or DataError, in one line.
    """
    chosen = configs(settings)
    varied = {key for config in chosen for key in config if len({other[key] for other in chosen}) > 1}
    orders = [
        [Order(data=name, settings=config, seed=FIRST_SEED + i, **order) for i in range(seeds)]
        for name in data
        for config in chosen
    ]  # all are checked before anything is prepared
    found = []
    for alike in orders:
        first = alike[0]
        hashes = _hashes(first)
        config = " ".join(f"{key}={value}" for key, value in first.settings.items() if key in varied)
        found += [Cell(each.data, config, each, _key(each, hashes)) for each in alike]
    return found


def finished(folder: Path) -> dict[Key, Record]:
    """The newest report of each run in `folder`; what is no report is passed over."""
    found: dict[Key, Record] = {}
    for path in sorted(path for pattern in ("*.json", "*/*.json") for path in folder.glob(pattern)):
        try:
            loaded = record.load(path)
        except record.ReportError:
            continue
        key = _key_of(loaded)
        if key not in found or found[key].identity.created_utc <= loaded.identity.created_utc:
            found[key] = loaded
    return found


def _hashes(order: Order) -> tuple[str, ...]:
    recipe = order.build(str(order.preset))
    with preparation.shown() as report:
        prepared = prepare(order.data, recipe.model.vocab_size, recipe.data, progress=report)
    return recipe.hash("recipe"), recipe.hash("config"), prepared.data_hash, prepared.eval_hash


def _key(order: Order, hashes: tuple[str, ...]) -> Key:
    return (*hashes, order.backend, order.preset, tuple(sorted(order.settings.items())), order.precision, order.seed)


def _key_of(found: Record) -> Key:
    identity, run = found.identity, found.run
    hashes = identity.hashes
    return (
        *(hashes.recipe, hashes.config, hashes.data, hashes.eval),
        found.software.backend,
        identity.preset,
        tuple(sorted(identity.settings.items())),
        run.policy,
        run.seed,
    )
