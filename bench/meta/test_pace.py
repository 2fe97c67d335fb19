"""Work of one core is compared in what that core took beside it for a fixed piece of Python.

`pytest -m meta bench/meta/test_pace.py`
"""

import json

import numpy as np
import pytest

from bench.meta.test_throughput import entry, probe
from bench.throughput import __main__ as command
from bench.throughput import saved
from bench.throughput.compare import compare, unlike_machines

pytestmark = pytest.mark.meta


class Session:
    """A saved session of one row that a core takes, which is as quick as the core was: by turns, of two speeds."""

    cpu, python, paced, probe_s = "a CPU", "3.12.3", True, 1.0

    def __init__(self, path, work: float, slowness: float, **told):
        vars(self).update(told)
        rng = np.random.default_rng(round(100 * slowness))
        paces_s = 1e-3 * slowness * np.where(np.arange(80) % 4 < 2, 1.0, 1.8) * (1 + 0.01 * rng.standard_normal(80))
        row = entry("packing", work * 9 * paces_s)
        row["extra_info"] |= {"precision": "integers"} | ({"paces_s": paces_s.tolist()} if self.paced else {})
        unsaid = {"torch-cpu": {"hardware": {}}}
        of_one = {"hardware": {"cpu": self.cpu}, "software": {"python": self.python}}
        backends = unsaid | {"mlx-cpu": of_one | {"state": {"probes": [probe(self.probe_s)]}}}
        path.write_text(json.dumps({"benchmarks": [row], "machine_info": {"backends": backends}}))
        self.rows = saved.load(path)


@pytest.mark.parametrize(
    ("work", "slowness", "told", "verdict"),
    [
        (1.0, 1.0, {}, "SAME"),
        (1.0, 1.4, {}, "SAME"),
        (1.0, 0.7, {}, "SAME"),
        (1.3, 1.0, {}, "SLOWER"),
        (1.3, 0.7, {}, "SLOWER"),
        (0.7, 1.4, {}, "FASTER"),
        (1.0, 1.4, {"paced": False}, "SLOWER"),
        (1.0, 1.4, {"python": "3.13.0"}, "SLOWER"),
        (1.0, 1.4, {"cpu": "another"}, "SLOWER"),
        (1.0, 1.4, {"cpu": None}, "SLOWER"),
        (1.3, 1.0, {"probe_s": 1.4}, "SLOWER"),
    ],
)
def test_what_a_core_does_is_compared_in_its_own_pace(work, slowness, told, verdict, tmp_path):
    """But only with the pace of the same Python on the same CPU."""
    old, new = (
        Session(tmp_path / "old.json", 1.0, 1.0).rows,
        Session(tmp_path / "new.json", work, slowness, **told).rows,
    )
    (found,) = compare(old, new).values()
    assert found.verdict == verdict and not list(unlike_machines(old, new))
    assert found.ratio == pytest.approx(work * (slowness if told else 1.0), rel=0.02)


@pytest.mark.parametrize("told", [{"paced": False}, {"cpu": None}, {"python": None}])
def test_where_neither_session_knows_its_pace_seconds_are_compared(told, tmp_path):
    old, new = (Session(tmp_path / f"{slowness}.json", 1.0, slowness, **told).rows for slowness in (1.0, 1.4))
    assert [found.verdict for found in compare(old, new).values()] == ["SLOWER"]
    mixed = Session(tmp_path / "mixed.json", 1.0, 1.0).rows
    assert [found.verdict for found in compare(mixed, new).values()] == ["SLOWER"]
    assert [found.verdict for found in compare(new, mixed).values()] == ["FASTER"]


def test_what_was_compared_in_a_pace_says_so(tmp_path, capsys):
    old, new, other = tmp_path / "old.json", tmp_path / "new.json", tmp_path / "other.json"
    for path, told in ((old, {}), (new, {}), (other, {"python": "3.13.0"})):
        Session(path, 1.0, 1.0, **told)
    for path, said in ((new, True), (other, False)):
        command.main([str(old), str(path)])
        output = capsys.readouterr().out
        assert "SAME within 15%" in output and ("in the pace of its core" in output) == said


@pytest.mark.parametrize("paces_s", [[1.0], [1.0, 0.0], [1.0, -1.0], [1.0, float("nan")], [1.0, 1e8]])
def test_paces_that_are_no_seconds_or_not_one_a_sample_are_refused(paces_s):
    row = entry("packing", [1.0, 1.0])
    row["extra_info"]["paces_s"] = paces_s
    with pytest.raises(ValueError, match="its paces are not all seconds above 0, one a sample"):
        saved.Row.of(row)


def test_a_visit_without_a_pace_leaves_its_row_without():
    visits = [entry("packing", [1.0] * 2, calls=1) for _ in range(3)]
    for visit in visits[:2]:
        visit["extra_info"]["paces_s"] = [0.5, 0.25]
    of_two, of_all = (next(iter(saved.merged(map(saved.Row.of, some)).values())) for some in (visits[:2], visits))
    assert (of_two.in_paces, of_all.in_paces) == ((2, 4, 2, 4), ())
