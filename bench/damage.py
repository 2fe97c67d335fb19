"""Reports as accident or malice leaves them: one random change or a few, to the JSON tree or to its text.

Test with `pytest -m fast -k damage`.
"""

import json
import math
from collections.abc import Callable
from random import Random
from typing import Any

# Of every type, at and beyond every bound; strings that some renderer, path or terminal could mind.
NUMBERS = (0, -0.0, 1, -1, 0.5, 1e-320, 1e15, 1e39, 1e308, -1e308, 10**18, 10**18 + 1, 2**64 - 1, 2**64, 10**39)
STRINGS = (
    "",
    "0.2",
    "1.0",
    "1.1",
    "x" * 1001,
    "../../etc/passwd",
    "<script>alert(1)</script>",
    "\x1b[2J\x00\n",
    "Аpple M3 Max",  # its first letter is Cyrillic
    "\u202e\u200b",
    "\ud800",
    "芯片",
    "٣",
    "2026-02-30T00:00:00Z",
    "9" * 5000,
    "1e999",
    "1+" * 3000 + "1",
    "fixed",
    "open",
    "torch-cuda",
    "NVIDIA H200",
    "Apple M3 Max",
    "f" * 64,
)
SETTINGS = ("depth", "width", "schedule.warmdown", "matrices.lr", "total_batch", "head_dim", "aspect", "__class__")
LITERALS = (
    *("NaN", "Infinity", "-Infinity", "1e999", "-1e999", '"\\ud800"', "\\u0000"),
    *("9" * 4000, "9" * 41, "0" * 50, "[" * 2000, '{"a":' * 900),
)


def damaged(text: str, random: Random) -> str:
    """`text` changed at one to four places. What is no JSON to begin with is changed as text."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return _of_text(text, random)
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        document = _changed(document, random)
    try:
        written = json.dumps(document)
    except RecursionError:
        return text
    return _of_text(written, random) if random.random() < 0.05 else written


def bits_flipped(text: str, random: Random) -> bytes:
    """The text's bytes, one in twenty times with a bit or a few in another state, so that they may be no text."""
    data = bytearray(text.encode(errors="surrogatepass"))
    for _ in range(random.choice((1, 2, 8)) if data and random.random() < 0.05 else 0):
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    return bytes(data)


def _changed(node: Any, random: Random) -> Any:
    """A copy with one change somewhere below; every level is as likely as any other to be the last."""
    children = list(node) if isinstance(node, dict) else list(range(len(node))) if isinstance(node, list) else []
    if not children or random.random() < 0.05:
        return random.choice(CHANGES)(node, random)
    key = random.choice(children)
    if key == "schema_version" and random.random() < 0.9:  # another version is refused at once
        key = random.choice(children)
    if random.random() < 0.02:
        return _without(node, key)
    copy = dict(node) if isinstance(node, dict) else list(node)
    copy[key] = _changed(copy[key], random)
    return copy


def _without(node: Any, key: Any) -> Any:
    if isinstance(node, dict):
        return {name: value for name, value in node.items() if name != key}
    return node[:key] + node[key + 1 :]


def _any(node: Any, random: Random) -> Any:
    simple = [None, True, False, [], {}, [[]], {"": None}, random.choice(NUMBERS), random.choice(STRINGS)]
    return random.choice([*simple, [random.choice(NUMBERS)] * 3, {random.choice(STRINGS): random.choice(STRINGS)}])


def _nudged(node: Any, random: Random) -> Any:
    """A number near this one, of its type; else a string or an element more."""
    if node is None:
        return random.choice((1, 0.5, "ac", False))
    if isinstance(node, bool):
        return not node
    if isinstance(node, int):
        return node + random.choice((-1, 1, node, 10**6, -2 * node))
    if isinstance(node, float):
        factors = (math.nextafter(node, 1e300), node * (1 + 1e-6), node * 1e3, node / 1e3, -node, 0.0, node // 1)
        return random.choice([value for value in factors if math.isfinite(value)])
    if isinstance(node, str):
        cut = random.randrange(len(node) + 1)
        return random.choice((random.choice(STRINGS), node[:cut] + random.choice((*STRINGS, "a", "é")) + node[cut:]))
    if isinstance(node, list):
        return random.choice([node * 2, node[: len(node) // 2], node[1:], node[::-1], node * 40])
    return {**node, random.choice((*STRINGS, *SETTINGS)): random.choice([*STRINGS, *map(str, NUMBERS), None])}


def _nested(node: Any, random: Random) -> Any:
    for _ in range(random.choice((1, 5, 150, 800))):
        node = {"a": node} if random.random() < 0.5 else [node]
    return node


def _shuffled(node: Any, random: Random) -> Any:
    """Values of one object or list in each other's places."""
    if isinstance(node, dict):
        return dict(zip(node, random.sample(list(node.values()), len(node)), strict=True))
    return random.sample(node, len(node)) if isinstance(node, list) else _any(node, random)


# Most changes are small, or hardly any input would get past the schema.
CHANGES: tuple[Callable[[Any, Random], Any], ...] = (_any, _nested, _shuffled, *[_nudged] * 9)


def _of_text(text: str, random: Random) -> str:
    """A cut, a literal that only some parsers know, a key that stands twice, a character in place of another."""
    at = random.randrange(len(text) + 1)
    kind = random.randrange(4)
    if kind == 0:
        return text[:at]
    if kind == 1:
        colon = text.find(": ", at)
        end = min((found for mark in ",}" if (found := text.find(mark, colon)) > 0), default=colon + 2)
        return text[: colon + 2] + random.choice(LITERALS) + text[end:]
    if kind == 2:
        line = text[text.find("{", at) + 1 :].split(",", 1)[0]
        return text.replace(line, f"{line},{line}", 1)
    return text[:at] + random.choice('{}[]",:\\ 0-.eE\n\x00é') + text[at + 1 :]
