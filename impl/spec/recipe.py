"""A recipe is the whole frozen description; its hashes say what may be compared with what."""

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from difflib import get_close_matches
from typing import Any

from impl.spec.data import Data
from impl.spec.fields import rule
from impl.spec.model import Model
from impl.spec.optimizer import Optimizer
from impl.spec.schedule import Schedule

DTYPES = ("compute", "float32", "bfloat16", "float16")


@dataclass(frozen=True, kw_only=True)
class Dtypes:
    """Storage and working dtypes; "compute" stands for the policy, so that policy float32 is float32 throughout."""

    masters: str = rule("float32")
    embeddings: str = rule("compute")  # wte, value embeddings and their AdamW moments
    rope: str = rule("compute")
    residual: str = rule("compute")
    logits: str = rule("float32")

    def under(self, policy: str) -> "Dtypes":
        """The same with every "compute" replaced by `policy`."""
        named = {f.name: getattr(self, f.name) for f in fields(self)}
        return Dtypes(**{name: policy if dtype == "compute" else dtype for name, dtype in named.items()})


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Model, optimizer, schedule, data and dtypes. Raises ValueError for those that do not fit."""

    name: str
    model: Model = field(default_factory=Model)
    optimizer: Optimizer = field(default_factory=Optimizer)
    schedule: Schedule = field(default_factory=Schedule)
    data: Data = field(default_factory=Data)
    dtypes: Dtypes = field(default_factory=Dtypes)

    def __post_init__(self):
        self.accumulation()
        for name, dtype in vars(self.dtypes).items():
            if dtype not in DTYPES:
                raise ValueError(f"{name}={dtype!r} is no dtype here; try one of {list(DTYPES)}")

    def accumulation(self) -> int:
        """Forward passes per optimizer step."""
        return self.data.accumulation(self.model.sequence_len)

    def hash(self, which: str) -> str:
        """SHA-256 over the fields of one kind: "recipe" (the rules) or "config" (the sizes)."""
        chosen = _chosen(self, which)
        return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()


def _chosen(node: Any, which: str) -> dict:
    """The fields of `node`, nested, whose metadata names this hash."""
    chosen = {}
    for f in fields(node):
        value = getattr(node, f.name)
        if f.metadata.get("later") and value == f.default:
            continue
        if f.metadata.get("hash") == which:
            chosen[f.name] = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
        elif is_dataclass(value) and "hash" not in f.metadata:
            chosen[f.name] = _chosen(value, which)
    return chosen


def override(recipe: Recipe, settings: dict[str, str]) -> Recipe:
    """`recipe` with fields replaced by name: `depth`, `total_batch` or, where it stands twice, `matrices.lr`.

    Values are JSON, or plain text for strings; all are replaced before sizes are held against each other. Raises
    ValueError naming the unknown or ambiguous key.
    """
    return _rebuilt(recipe, dict(_change(recipe, key, text) for key, text in settings.items()))


def _change(recipe: Recipe, key: str, text: str) -> tuple[tuple[str, ...], Any]:
    """The path of the field that `key` names, and its new value."""
    paths = [path for path in _paths(recipe) if ".".join(path).endswith(f".{key}")]
    if len(paths) != 1:
        known = sorted({path[-1] for path in _paths(recipe)})
        choices = [".".join(path[1:]) for path in paths] or get_close_matches(key, known) or known
        fault = "ambiguous" if paths else "unknown"
        raise ValueError(f"--set {key}={text}: {key} is {fault}; try one of {choices}")
    (path,) = paths
    current: Any = recipe
    for name in path:
        current = getattr(current, name)
    return path, _parsed(current, key, text)


def _paths(node: Any, prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The path of every leaf field below `node`."""
    found = []
    for f in fields(node):
        value: Any = getattr(node, f.name)
        path = (*prefix, f.name)
        if is_dataclass(value):
            found += _paths(value, path)
        elif prefix:
            found.append(path)
    return found


def _rebuilt(node: Any, changes: dict[tuple[str, ...], Any]) -> Any:
    """`node` with the values at these paths, all at once: sizes that fit together may be given in any order."""
    values = {path[0]: value for path, value in changes.items() if len(path) == 1}
    for head in {path[0] for path in changes if len(path) > 1}:
        inner = {path[1:]: value for path, value in changes.items() if path[0] == head}
        values[head] = _rebuilt(getattr(node, head), inner)
    return replace(node, **values)


def _parsed(current: Any, key: str, text: str) -> Any:
    """`text` as the type that `current` has."""
    if isinstance(current, str):
        return text
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        value = None
    if isinstance(current, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if isinstance(current, tuple) and isinstance(value, list):
        value = tuple(tuple(row) if isinstance(row, list) else row for row in value)
    if type(value) is not type(current):
        raise ValueError(f"--set {key}={text}: {key} is of type {type(current).__name__}; now it is {current}")
    return value


RECIPES = {"autoresearch": Recipe(name="autoresearch")}
