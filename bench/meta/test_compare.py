"""Two configurations stand beside each other only where the rules allow it, and few runs never tell much.

`pytest -m fast bench/meta/test_compare.py`
"""

import json

import pytest

from bench.meta.records import failed_record, valid_record
from reports.__main__ import main
from reports.compare import compare
from reports.effect import BETTER, CANNOT_TELL, SAME, WORSE
from reports.group import Group, by_seed, mixed, noise, score, split
from reports.record import save
from reports.schema import Eval, Steps

pytestmark = [pytest.mark.fast, pytest.mark.meta]

BYTES = valid_record().result.bytes
SPREAD = (-1e3, 0.0, 1e3)  # nats: from 1.4425 to 1.4454 bits per byte


def group(name, nats=1.0e6, spread=SPREAD, hashes=None, **sections):
    """A run a seed, by hand, apart from each other by `spread`."""
    records = []
    for seed, more in enumerate(spread):
        fields = {
            **sections,
            "run": {**sections.get("run", {}), "seed": seed},
            "result": {"nats": nats + more, **sections.get("result", {})},
        }
        record = valid_record(**fields)
        if hashes:
            changed = record.identity.hashes.model_copy(update=dict.fromkeys(hashes, "0" * 64))
            record = record.model_copy(update={"identity": record.identity.model_copy(update={"hashes": changed})})
        records.append(record)
    return Group(name, tuple(records))


def answers(a, b, **more):
    """By question."""
    (found,) = compare([a, b], **{"unranked": True, **more})
    return {answer.question: answer for answer in found.answers}


def verdict(a, b, question="fixed budget", **more):
    return answers(a, b, **more)[question].effect.verdict


def test_better_worse_same_and_cannot_tell():
    a = group("a")
    assert verdict(a, group("b", 0.98e6)) == BETTER and verdict(a, group("b", 1.02e6)) == WORSE
    assert verdict(a, group("b", 1.001e6)) == CANNOT_TELL
    assert verdict(a, group("b", 1.0001e6, spread=(-10, 0, 10)), margin=0.01) == SAME
    assert verdict(a, group("b", 0.5e6, spread=(0.0,))) == CANNOT_TELL, "a single run"


@pytest.mark.parametrize("name", ["recipe", "data", "eval", "config"])
def test_what_must_be_equal_is_named_where_it_is_not(name):
    found = answers(group("a"), group("b", hashes=[name]))
    shown = getattr(valid_record().identity.hashes, name)[:8]
    assert found["fixed tokens"].refused == f"not comparable: {name} hash {shown} is not 00000000"
    assert bool(found["fixed budget"].refused) == (name != "config")


def test_unranked_scores_are_compared_only_when_asked_for():
    found = answers(group("a"), group("b"), unranked=False)["fixed budget"]
    assert "its budget of 4 s is not 300 s" in found.refused and "--unranked" in found.refused
    assert "not ranked: its budget of 4 s is not 300 s" in answers(group("a"), group("b"))["fixed budget"].notes


def test_a_follower_of_progress_is_no_five_minute_score():
    follows = group("b", run={"mode": "fixed-tokens"})
    found = answers(group("a"), follows)
    assert "b followed another run's progress" in found["fixed budget"].refused
    assert found["fixed tokens"].effect


def test_equal_tokens_are_told_by_the_best_that_both_have():
    a, b = group("a"), group("b", 0.98e6)
    assert answers(a, b)["fixed tokens"].quantity == "val_bpb after 32 steps"
    columns = valid_record().run.steps.model_dump()
    half = Steps(**{name: values[:20] for name, values in columns.items()})
    found = answers(a, group("b", run={"steps": half}))["fixed tokens"]
    assert found.quantity == "val_bpb after 16 steps" and found.effect.verdict == CANNOT_TELL  # equal in every run
    found = answers(group("a", run={"evals": ()}), group("b", run={"steps": half, "evals": ()}))["fixed tokens"]
    assert found.quantity == "training loss in nats, steps 0 to 19"


def test_a_schedule_of_another_pace_is_said():
    columns = valid_record().run.steps.model_dump()
    slower = Steps(**{**columns, "progress": tuple(p / 2 for p in columns["progress"])})
    notes = answers(group("a"), group("b", run={"steps": slower}))["fixed tokens"].notes
    assert any("timing is in it" in note for note in notes)
    evals = (Eval(step=16, nats=1.2e6, bytes=BYTES, tokens=207_939, seconds=2.0),)
    assert not answers(group("a"), group("b", run={"evals": evals}))["fixed tokens"].notes


def test_speed_is_told_from_run_to_run():
    columns = valid_record().run.steps.model_dump()

    def at(pace):
        records = []
        for seed in range(3):
            step_s = tuple(pace * (1 + seed / 1000) * s for s in columns["step_s"])
            records.append(valid_record(run={"seed": seed, "steps": Steps(**{**columns, "step_s": step_s})}))
        return Group(f"x{pace}", tuple(records))

    assert verdict(at(1.0), at(0.9), "speed") == BETTER and verdict(at(1.0), at(1.1), "speed") == WORSE
    assert verdict(at(1.0), at(1.0), "speed") == SAME


def test_runs_of_one_seed_count_once():
    twice = Group("b", (*group("b").records, valid_record(run={"seed": 2}, result={"nats": 9e5})))
    assert len(by_seed(twice.records, score)) == 3
    assert "b: 4 runs of 3 seeds" in answers(group("a"), twice)["fixed budget"].notes


def test_runs_that_blew_up_are_not_left_out_of_a_claim():
    b = group("b", 0.98e6)
    lost = Group("b", (*b.records, failed_record()))
    found = answers(group("a"), lost)["fixed budget"]
    assert found.effect.verdict == CANNOT_TELL and any("are a selection" in note for note in found.notes)
    assert answers(group("a"), Group("b", (failed_record(),)))["fixed budget"].refused == "b: no run has a score"


def test_a_group_is_one_configuration():
    assert mixed(group("a")) == []
    other = valid_record(software={"backend": "mlx-cpu", "frameworks": {"mlx": "0.32.4"}})
    assert mixed(Group("a", (valid_record(), other))) == ["backend", "release"]
    assert mixed(Group("a", (*group("a").records, *group("a", hashes=["config"]).records))) == ["config hash"]


def test_what_differs_in_one_thing_alone_stands_side_by_side():
    mlx = {"backend": "mlx-cpu", "frameworks": {"mlx": "0.32.4"}}
    records = [*group("a").records, *group("b", software=mlx).records, *group("c", hashes=["data"]).records]
    (cell,) = split(records, "backend")
    assert [(g.name, len(g.records)) for g in cell] == [("mlx-cpu", 3), ("torch-cpu", 3)]
    assert split(records, "chip") == []


def test_noise_is_pooled_within_configurations():
    found = noise([*group("a").records, *group("b", 2e6, hashes=["config"]).records])
    assert found.degrees == 4 and found.sd == pytest.approx(1e3 / 0.6931472 / BYTES, rel=1e-6)
    with pytest.raises(ValueError, match="no noise"):
        noise(group("a", spread=(0.0,)).records)


def test_command(tmp_path, capsys):
    for name, nats in (("a", 1.0e6), ("b", 0.98e6)):
        for record in group(name, nats).records:
            save(record, tmp_path / name)
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    assert main(["compare", a, b, "--unranked"]) == 0
    assert "BETTER" in capsys.readouterr().out
    assert main(["compare", a, b]) == 1
    assert "REFUSED" in capsys.readouterr().out
    assert main(["compare", a, b, "--unranked", "--json", "--effect", "0.01"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["answers"][0]["effect"]["verdict"] == BETTER and found["answers"][0]["effect"]["runs_needed"] == 2
    for wrong in ([a], [a, a], [a, str(tmp_path)], ["--by", "chip", a], [a, str(tmp_path / "absent")]):
        assert main(["compare", *wrong]) == 2
        assert capsys.readouterr().err.startswith("error: ")
