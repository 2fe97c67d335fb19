"""A sweep killed at any time goes on where it ended, runs nothing twice, and compares only what may be compared.

Run with `pytest -m meta bench/meta/test_sweep.py`.
"""

import time
from importlib.util import find_spec
from types import SimpleNamespace

import psutil
import pytest

from bench.meta.command import TIMEOUT_S, only_line, run, start
from bench.meta.records import failed_record, valid_record
from bench.sweep import plan, table
from bench.sweep.__main__ import main
from bench.sweep.plan import Cell, configs
from bench.training import journal
from impl.data import corpus, shards
from reports.record import load, save

pytestmark = pytest.mark.meta


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """Two folders of little text."""
    folder, documents = tmp_path_factory.mktemp("texts"), corpus.read()
    for name, first in (("alpha", 0), ("beta", 500)):
        (folder / name).mkdir()
        shards.write(folder / name / "a.parquet", documents["train"][first : first + 150])
        shards.write(folder / name / "val.parquet", documents["val"][first // 100 : first // 100 + 4])
    return folder


@pytest.fixture(scope="module")
def sweep(texts, tmp_path_factory, pytestconfig):
    """(words, environment) of a sweep of two runs; no conformance run of half a minute each."""
    words = ["-m", "bench.sweep", f"--data={texts / 'alpha'},{texts / 'beta'}", "--preset=tiny", "--seeds=1"]
    words += ["--budget-s=1", "--precision=float32", "--backend", pytestconfig.backends[0]]
    cache = str(tmp_path_factory.mktemp("cache"))
    return words, {"NANOMARK_CACHE": cache, "PYTEST_ADDOPTS": "-p bench.meta.unchecked"}


def until(child, beginning):
    for line in child.stdout:
        if line.startswith(beginning):
            return
    pytest.fail(f"it ended without {beginning!r}")


def wait_for(found):
    deadline_s = time.monotonic() + TIMEOUT_S
    while not found():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def live_files(folder):
    return list(folder.glob(f"*/*{journal.SUFFIX}"))


def test_a_killed_sweep_goes_on_where_it_ended(sweep, tmp_path):
    """Killed alone, its run goes on and is waited for; killed with its run, that run alone is done again."""
    words, environment = sweep
    words = [*words, f"--report={tmp_path}"]
    with start(*words, **environment) as first:
        until(first, "1 of 2, alpha seed 42: running")
        wait_for(lambda: live_files(tmp_path))
        first.kill()
    with start(*words, **environment) as second:
        until(second, "waiting for a run that an earlier sweep started")
        until(second, "1 of 2, alpha seed 42: val_bpb")
        until(second, "2 of 2, beta seed 42: running")
        wait_for(lambda: len(live_files(tmp_path)) == 2)
        (child,) = psutil.Process(second.pid).children()
        second.kill()
        child.kill()
    (kept,) = tmp_path.glob("*/*.json")
    stamp = kept.stat().st_mtime_ns
    status, output = run(*words, **environment)
    assert status == 0, output
    assert ", already there" in only_line(output, "1 of 2, alpha seed 42: val_bpb")
    assert ", already there" not in only_line(output, "2 of 2, beta seed 42: val_bpb")
    assert "only gains in percent are" in output and "| configuration | alpha | beta |" in output
    written = {path.suffix: path.read_text() for path in tmp_path.glob("sweep.*")}
    assert ".md" in written and (".svg" in written or not find_spec("altair"))
    assert str(tmp_path.parent) not in "".join(written.values())
    reports = list(tmp_path.glob("*/*.json"))
    assert len(reports) == 2 and kept.stat().st_mtime_ns == stamp and len(live_files(tmp_path)) == 3
    ends = {name: steps for name, steps in map(last_words, live_files(tmp_path)) if name}
    assert ends == {path.name: len(load(path).run.steps) for path in reports}


def last_words(path):
    """(the report that a live file names at its end, the steps that it tells of)."""
    lines = list(map(journal.parsed, path.read_bytes().splitlines()))
    steps = [line.step for line in lines if line and line.kind == "step"]
    return (lines[-1].report, steps[-1]) if lines[-1] and lines[-1].kind == "end" else (None, 0)


def test_combinations_of_lists_of_settings():
    assert configs([]) == [{}]
    assert configs(["depth=2,4", "matrices.lr=0.02"]) == [
        {"depth": "2", "matrices.lr": "0.02"},
        {"depth": "4", "matrices.lr": "0.02"},
    ]
    assert configs(["betas=[0.8,0.9],[0.9,0.95]"]) == [{"betas": "[0.8,0.9]"}, {"betas": "[0.9,0.95]"}]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--set", "depth"], "--set depth: no KEY=VALUE,VALUE; try --set depth=4,6"),
        (["--set", "depth=2,"], "no KEY=VALUE,VALUE"),
        (["--set", "depth=2", "--set", "depth=3"], "--set names depth twice; give its values in one list"),
        (["--set", "dept=2,3"], "dept"),
        (["--seeds", "0"], "--seeds 0 must be at least 1"),
        (["--budget-s", "0"], "budget_s=0.0 must be above 0"),
        (["--data", ","], "--data=, names no data set"),
        (["--data", "/nowhere"], "/nowhere"),
    ],
)
def test_a_wrong_sweep_is_told_in_one_line_before_anything_is_run(words, message, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(plan, "_hashes", lambda order: pytest.fail("prepared") if order.data == "sotu-v1" else 1 / 0)
    if words[-1] == "/nowhere":
        monkeypatch.undo()
        monkeypatch.setenv("NANOMARK_CACHE", str(tmp_path / "cache"))
    assert main(["--data", "sotu-v1", "--preset", "tiny", "--report", str(tmp_path / "out"), *words]) == 2
    error = capsys.readouterr().err.splitlines()
    assert message in error[-1] and [line for line in error if line.startswith("error: ")] == error[-1:]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "other",
    [
        {"run": {"seed": 43}},
        {"run": {"policy": "float32"}},
        {"identity": {"settings": {"device_batch": "4"}}},
        {"software": {"backend": "mlx-cpu"}},
        {"identity": {"hashes": valid_record().identity.hashes.model_copy(update={"data": "e" * 64})}},
        {"identity": {"hashes": valid_record().identity.hashes.model_copy(update={"config": "e" * 64})}},
    ],
    ids=str,
)
def test_a_report_of_another_run_is_not_taken_for_this_one(other, tmp_path):
    save(valid_record(), tmp_path)
    (key,) = plan.finished(tmp_path)
    save(valid_record(**other), tmp_path)
    assert len(plan.finished(tmp_path)) == 2 and key in plan.finished(tmp_path)


def test_what_is_no_report_is_passed_over_and_the_newest_counts(tmp_path):
    (tmp_path / "chip").mkdir()
    (tmp_path / "chip" / "x.json").write_text("{")
    for day, nats in (("22", 1.1e6), ("21", 1.2e6)):
        save(valid_record(identity={"created_utc": f"2026-11-{day}T07:42:30Z"}, result={"nats": nats}), tmp_path)
    (found,) = plan.finished(tmp_path).values()
    assert found.result.nats == 1.1e6


def swept(scores: dict[tuple[str, str], list[float | None]]):
    """(cells, records) with these megabits of nats, a seed each; None: no report."""
    cells, records = [], []
    for (data, config), nats in scores.items():
        for seed, value in enumerate(nats):
            cells.append(Cell(data, config, SimpleNamespace(seed=seed), ()))
            records.append(None if value is None else valid_record(run={"seed": seed}, result={"nats": value * 1e6}))
    return cells, records


def test_gains_are_of_the_same_seed_and_the_same_data():
    first, second = table.rows(*swept({("a", "x=1"): [1.0, 1.2], ("a", "x=2"): [0.9, 1.14]}))
    assert second.over_first == pytest.approx({0: 10.0, 1: 5.0}) and set(first.over_first.values()) == {0.0}
    assert first.over_unigram[0] == pytest.approx(100 * (1 - 1.0 / 1.45))
    _, of_b = table.rows(*swept({("a", ""): [1.0], ("b", ""): [0.5]}))
    assert of_b.over_first == {0: 0.0}  # never over another data set


def test_the_best_is_told_from_the_others_only_where_seeds_allow_it():
    far = table.rows(*swept({("a", "x=1"): [1.2, 1.21, 1.19], ("a", "x=2"): [1.0, 1.01, 1.0]}))
    assert table.best(far, "a") == (far[1], [])
    near = table.rows(*swept({("a", "x=1"): [1.0, 1.1, 1.05], ("a", "x=2"): [1.02, 1.0, 1.1]}))
    assert table.best(near, "a") == (near[1], [near[0]])
    once = table.rows(*swept({("a", "x=1"): [1.2], ("a", "x=2"): [1.0]}))
    assert table.best(once, "a") == (once[1], [once[0]])
    part = table.rows(*swept({("a", "x=1"): [1.2, 1.2], ("a", "x=2"): [1.0, None]}))
    assert table.best(part, "a") == (part[0], [])
    assert table.best(table.rows(*swept({("a", "x=1"): [None]})), "a") == (None, [])


def test_bits_per_byte_of_different_data_never_stand_in_one_table():
    page = table.markdown(table.rows(*swept({("/home/z/a", ""): [1.0, 1.0], ("b", ""): [0.5, None]})), "Sweep")
    text = "\n".join(page)
    across = text[text.index("## Across") :]
    assert table.APART in across and "1.4439" in text and "1.4439" not in across and "0.7220" not in across
    assert "| the preset's | 1 of 2 | 0.7220 |" in text and "/home" not in text
    assert "Across" not in "\n".join(table.markdown(table.rows(*swept({("a", ""): [1.0]})), "Sweep"))


def test_a_run_that_failed_has_no_score():
    cells, _ = swept({("a", ""): [1.0]})
    (row,) = table.rows(cells, [failed_record()])
    assert not row.scores and "| 0 of 1 | none |" in "\n".join(table.markdown([row], "Sweep"))


def test_folders_of_one_name_are_numbered():
    rows = table.rows(*swept({("/x/text", ""): [1.0], ("/y/text", ""): [1.0]}))
    assert [row.data for row in rows] == ["text (1)", "text (2)"]
