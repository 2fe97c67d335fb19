"""Whatever is done to a report, `check` gives a verdict: ten thousand damaged ones, and the fuzzer's own workings.

Run with `pytest -m meta bench/meta/test_damage.py`; `pytest -m deep` for all of the ten thousand.
"""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import fuzz
from bench.damage import bits_flipped, damaged
from bench.meta.records import failed_record, valid_record
from reports.check import check
from reports.record import to_json

ROOT = Path(__file__).parents[2]
DATA = sorted((ROOT / "reports/data").rglob("*.json"))
CORPUS = (to_json(valid_record()), to_json(failed_record()), *(path.read_text() for path in DATA[:3]))


@st.composite
def damages(draw) -> bytes:
    """A report after a round of damage, or two."""
    text, random = draw(st.sampled_from(CORPUS)), draw(st.randoms(use_true_random=True))
    for _ in range(draw(st.sampled_from((1, 1, 1, 2)))):
        text = damaged(text, random)
    return bits_flipped(text, random)


def asks_for_a_verdict(examples: int, path: Path) -> Counter:
    """Of so many damaged reports; returns how many had their last finding in each part."""
    parts = Counter()

    def noted(path):
        verdict = check(path)
        parts.update(finding.part for finding in verdict.findings[-1:])
        return verdict

    one = fuzz.judged(noted, path)

    @settings(max_examples=examples, deadline=None, database=None)
    @given(damages())
    def ask(data):
        one(data)

    ask()
    return parts


@pytest.mark.meta
def test_damaged_reports_get_a_verdict(tmp_path):
    assert sum(asks_for_a_verdict(30, tmp_path / "report.json").values()) >= 30


@pytest.mark.deep
@pytest.mark.meta
def test_ten_thousand_damaged_reports_get_a_verdict(tmp_path):
    """A good share gets past the schema, or the rest of the check would not have been asked."""
    parts = asks_for_a_verdict(10_000, tmp_path / "report.json")
    assert sum(parts.values()) >= 10_000
    assert parts["arithmetic"] + parts["plausibility"] > 1000, parts


@pytest.mark.fast
@pytest.mark.meta
def test_damage_is_of_many_kinds():
    """Most of it is still JSON, some is no report any more, and hardly any leaves the text as it was."""
    random, text = Random(0), to_json(valid_record())
    kinds = Counter(_kind(damaged(text, random), json.loads(text)) for _ in range(300))
    assert kinds["no JSON"] > 3 and kinds["other fields"] > 10 and kinds["other values"] > 150, kinds
    assert kinds["unchanged"] < 30, kinds


def _kind(text: str, before: dict) -> str:
    try:
        after = json.loads(text)
    except (ValueError, RecursionError):
        return "no JSON"
    if after == before:
        return "unchanged"
    sections = isinstance(after, dict) and after.keys() == before.keys()
    same = sections and all(not isinstance(v, dict) or _keys(v) == _keys(after[k]) for k, v in before.items())
    return "other values" if same else "other fields"


def _keys(node: object) -> set | None:
    return set(node) if isinstance(node, dict) else None


@pytest.mark.fast
@pytest.mark.meta
def test_the_fuzzer_sees_what_is_wrong(tmp_path):
    """An exception, another verdict, nothing found, a reason that a terminal would obey."""

    class Found:
        def __init__(self, name="rejected", part="schema", reason="x", n=1):
            self.name, self.part, self.reason, self.findings = name, part, reason, (self,) * n

    path = tmp_path / "r.json"
    fuzz.judged(lambda _: Found(), path)(b"{}")
    for wrong in (Found("fine"), Found(n=0), Found(part="mood"), Found(reason="\x1b[2J"), Found(reason="x" * 9999)):
        with pytest.raises(AssertionError):
            fuzz.judged(lambda _, wrong=wrong: wrong, path)(b"{}")
    with pytest.raises(ZeroDivisionError):
        fuzz.judged(lambda _: 1 // 0, path)(b"{}")


@pytest.mark.fast
@pytest.mark.meta
def test_a_setting_that_a_terminal_would_obey_is_escaped(tmp_path):
    """Found by damage: the reason quotes an unknown setting's name."""
    text = to_json(valid_record(identity={"settings": {"\x1b[2J\u202e": "1" * 999}, "division": "open"}))
    fuzz.judged(check, tmp_path / "report.json")(text.encode())


@pytest.mark.meta
def test_the_fuzzer_runs(tmp_path):
    pytest.importorskip("atheris", reason="the `fuzz` extra is not installed")
    command = [sys.executable, "-m", "bench.fuzz", "--seconds", "2", "--findings", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "number_of_executed_units" in done.stderr, done.stderr[-2000:]
    assert not list(tmp_path.iterdir())
