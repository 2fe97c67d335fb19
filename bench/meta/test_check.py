"""`reports check` accepts a consistent report and refuses each broken one for its own reason.

Run with `pytest -m fast bench/meta/test_check.py`.
"""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.meta.records import BUDGET_S, BYTES, EVAL_HASH, failed_record, only, valid_record, with_column
from impl.spec import RECIPES, override, preset
from reports import check as checking
from reports import derived
from reports.__main__ import main
from reports.check import ACCEPTED, PENDING, REJECTED, check, check_record
from reports.record import save, to_json
from reports.schema import Eval, Failure, Hashes, Steps

pytestmark = [pytest.mark.fast, pytest.mark.meta]


def columns(steps: int = 32) -> Steps:
    """The first `steps` of the valid run."""
    whole = valid_record().run.steps
    return Steps(**{name: getattr(whole, name)[:steps] for name in Steps.model_fields})


@pytest.mark.parametrize("make", [valid_record, failed_record])
def test_a_consistent_report_is_accepted(make, tmp_path):
    verdict = check(save(make(), tmp_path))
    assert verdict.findings == () and verdict.verdict == ACCEPTED


def test_wrong_file_name(tmp_path):
    path = save(valid_record(), tmp_path)
    renamed = path.rename(path.with_name(path.name.replace("torch-cpu", "mlx-cpu")))
    verdict = check(renamed)
    assert verdict.verdict == REJECTED
    assert verdict.findings[0].reason.endswith(f"does not fit the content, which gives {path.name}")


def test_changed_content(tmp_path):
    path = save(valid_record(), tmp_path)
    path.write_text(path.read_text().replace('"nats": 1000000.0', '"nats": 900000.0'))
    assert [f.part for f in check(path).findings] == ["arithmetic"]
    assert "does not fit the content" in check(path).findings[0].reason


def test_unreadable_is_a_schema_finding(tmp_path):
    path = tmp_path / "x.json"
    path.write_text("{")
    (finding,) = check(path).findings
    assert (finding.part, finding.verdict) == ("schema", REJECTED) and "is no JSON" in finding.reason


# Arithmetic


def test_shifted_bytes(monkeypatch):
    monkeypatch.setitem(checking.PINNED_BYTES, EVAL_HASH, BYTES)
    assert not list(check_record(valid_record()))
    evals = (Eval(step=16, nats=1.4e6, bytes=BYTES + 1, tokens=207_939, seconds=2.0),)
    shifted = valid_record(result={"bytes": BYTES + 1}, run={"evals": evals})
    assert [f.reason for f in check_record(shifted)] == [
        f"run.evals[0].bytes={BYTES + 1}, but the text of hashes.eval has {BYTES}",
        f"result.bytes={BYTES + 1}, but the text of hashes.eval has {BYTES}",
    ]


def test_evaluations_over_different_bytes():
    reason = f"run.evals[0].bytes={BYTES}, but result.bytes={BYTES + 1}"
    assert only(valid_record(result={"bytes": BYTES + 1})) == ("arithmetic", REJECTED, reason)


def test_altered_lr():
    lr = list(valid_record().run.steps.lr)
    lr[20] += 1e-4
    part, verdict, reason = only(with_column("lr", tuple(lr)))
    assert (part, verdict) == ("arithmetic", REJECTED)
    assert reason.startswith("steps.lr[20]=0.7501, but the schedule gives 0.75 at progress 0.625")


def test_altered_progress():
    progress = list(valid_record().run.steps.progress)
    progress[3] += 1e-4  # within the flat part of the schedule, where lr does not tell
    part, verdict, reason = only(with_column("progress", tuple(progress)))
    assert (part, verdict) == ("arithmetic", REJECTED)
    assert reason == f"steps.progress[3]={progress[3]}, but the steps before it give 0.09375"


def test_altered_step_time():
    step_s = list(valid_record().run.steps.step_s)
    step_s[-1] *= 0.5
    part, verdict, reason = only(with_column("step_s", tuple(step_s)))
    assert (part, verdict, reason) == (
        "arithmetic", REJECTED, "steps.step_s sum to 3.938 s, less than the budget of 4.0 s",
    )  # fmt: skip


def test_training_beyond_the_budget():
    late = {"step_s": 0.125, "loss": 4.0, "lr": 0.0, "grad_norm": 0.5, "progress": 1.0}
    steps = Steps(**{name: (*getattr(columns(), name), value, value) for name, value in late.items()})
    assert only(valid_record(run={"steps": steps}))[2] == "training went on after 4.125 s of a budget of 4.0 s"


def test_cut_run():
    assert "less than the budget of 4.0 s" in only(valid_record(run={"steps": columns(20)}))[2]


def test_excluded_steps_count_in_nothing():
    """A profile that imitates upstream trains its first steps outside the budget."""
    step_s = (9.0, 9.0, *columns().step_s)
    before = [max(0.0, (i - 2) * 0.125) / BUDGET_S for i in range(len(step_s))]
    schedule = preset("cpu").schedule
    steps = Steps(
        step_s=step_s,
        loss=(5.0,) * len(step_s),
        lr=tuple(schedule.lr(p) for p in before),
        grad_norm=(None,) * len(step_s),
        progress=tuple(before),
    )
    record = valid_record(run={"steps": steps, "excluded_steps": 2}, result={"total_s": 30.0})
    assert not list(check_record(record)) and derived.training_s(record) == BUDGET_S
    assert list(check_record(valid_record(run={"steps": steps, "excluded_steps": 1}, result={"total_s": 30.0})))


def test_fixed_tokens_replays_any_rising_progress():
    run = {"mode": "fixed-tokens", "steps": Steps(**{**columns().model_dump(), "step_s": (0.5,) * 32})}
    assert not list(check_record(valid_record(run=run, result={"total_s": 30.0})))
    progress = (*columns().progress[:-1], 0.0)
    lr = (*columns().lr[:-1], 1.0)
    fallen = Steps(**{**columns().model_dump(), "progress": progress, "lr": lr})
    assert only(valid_record(run={"mode": "fixed-tokens", "steps": fallen}))[2] == "steps.progress falls"


@pytest.mark.parametrize("field", ["total_batch", "depth", "parameters", "flop_per_token"])
def test_sizes_that_the_recipe_does_not_have(field):
    value = getattr(valid_record().run, field)
    findings = list(check_record(valid_record(run={field: value * 2})))
    assert [f.reason for f in findings] == [f"run.{field}={value * 2}, but the recipe's sizes give {value}"]


def test_device_batch_that_does_not_divide():
    assert "is no multiple of device_batch x sequence_len" in only(valid_record(run={"device_batch": 7}))[2]


def test_more_tokens_than_the_text_has():
    assert "exceed 1 passes over 100000 tokens" in only(valid_record(run={"train_tokens": 100_000}))[2]
    assert not list(check_record(valid_record(run={"train_tokens": 100_000, "epochs": 2.0})))


def test_total_seconds():
    assert "result.total_s=5.0 is less than training and evaluation" in only(valid_record(result={"total_s": 5.0}))[2]


def test_evaluations_out_of_order():
    late = (Eval(step=99, nats=1.4e6, bytes=BYTES, tokens=207_939, seconds=2.0),)
    assert "do not rise within the 32 steps" in only(valid_record(run={"evals": late}))[2]


def test_failure_after_the_last_step():
    failure = Failure(kind="error", step=40, message="lost")
    run = {"steps": columns(4), "failure": failure, "evals": ()}
    assert "failure.step=40, but only 4 steps" in only(valid_record(run=run))[2]


@pytest.mark.parametrize(
    ("identity", "reason"),
    [
        ({"division": "fixed"}, "division 'fixed' with preset 'cpu'; it must be 'fixed'"),
        ({"preset": None}, "division 'tier' with preset None"),
    ],
)
def test_division(identity, reason):
    findings = [f for f in check_record(valid_record(identity=identity)) if f.verdict == REJECTED]
    assert [f.part for f in findings] == ["arithmetic"] and reason in findings[0].reason


def test_settings_belong_to_the_open_division():
    chosen = override(preset("cpu"), {"matrices.lr": "0.02", "budget_s": str(BUDGET_S)})
    hashes = valid_record().identity.hashes.model_copy(update={"config": chosen.hash("config")})
    identity = {"settings": {"matrices.lr": "0.02"}, "hashes": hashes}
    assert not list(check_record(valid_record(identity={**identity, "division": "open"})))
    assert "with settings ['matrices.lr']; it must be 'open'" in only(valid_record(identity=identity))[2]


# Plausibility


def test_other_rules_are_pending():
    hashes = Hashes(**{**valid_record().identity.hashes.model_dump(), "recipe": "0" * 64})
    part, verdict, reason = only(valid_record(identity={"hashes": hashes}))
    assert (part, verdict) == ("plausibility", PENDING) and reason.startswith("hashes.recipe is not that of")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("depth", "1e400"),
        ("depth", "[" * 990),
        ("depth", "9" * 900),
        ("nonsense", "1"),
        ("width", "-1"),
        ("warmdown", "NaN"),
    ],
)
def test_hostile_settings_neither_crash_nor_hang(key, value):
    findings = list(check_record(valid_record(identity={"settings": {key: value}, "division": "open"})))
    assert findings and all(f.verdict == PENDING for f in findings)


def test_hostile_depth_with_its_own_hash():
    chosen = override(preset("cpu"), {"depth": "9" * 15})
    hashes = valid_record().identity.hashes.model_copy(update={"config": chosen.hash("config")})
    identity = {"settings": {"depth": "9" * 15}, "hashes": hashes, "division": "open"}
    assert only(valid_record(identity=identity))[2] == f"run.depth=4, but the recipe's sizes give {'9' * 15}"


def test_unknown_recipe_is_pending():
    part, verdict, reason = only(valid_record(identity={"recipe": "mine", "division": "open"}))
    assert (part, verdict) == ("plausibility", PENDING) and "recipe='mine' is unknown" in reason
    assert "mine" not in RECIPES


@pytest.mark.parametrize(
    ("nats", "verdict", "reason"),
    [
        (1.0e5, REJECTED, "0.1444 bits per byte; five minutes give between 0.2 and 8"),
        (1.87e6, REJECTED, "2.7002 bits per byte is not below the 2.7002 of step 0"),
        (1.5e6, PENDING, "2.1659 bits per byte is not below a unigram model's 2.0937"),
    ],
)
def test_implausible_score(nats, verdict, reason):
    assert only(valid_record(result={"nats": nats})) == ("plausibility", verdict, reason)


# The command


def test_command(tmp_path, capsys):
    accepted = save(valid_record(), tmp_path / "data")
    pending = save(valid_record(hardware={"chip": "[bold]x[/]"}), tmp_path / "data")
    assert main(["check", str(tmp_path / "data")]) == 0
    out = capsys.readouterr().out
    assert "1 accepted, 1 pending" in out and "1.4439" in out
    assert "unknown CPU maker in hardware.chip='[bold]x[/]'" in out
    (tmp_path / "data" / "broken.json").write_text("{")
    assert main(["check", str(tmp_path / "data"), "--json"]) == 1
    found = {Path(v["file"]).name: v for v in json.loads(capsys.readouterr().out)}
    assert {name: v["verdict"] for name, v in found.items()} == {
        accepted.name: ACCEPTED, pending.name: PENDING, "broken.json": REJECTED,
    }  # fmt: skip
    assert found["broken.json"]["findings"][0]["part"] == "schema"


def test_command_called_wrongly(tmp_path, capsys):
    assert main(["check", str(tmp_path)]) == 2
    assert main(["check", str(tmp_path / "absent.json")]) == 2
    assert "no report there" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stop:
        main(["check"])
    assert stop.value.code == 2


def test_help_teaches(capsys):
    with pytest.raises(SystemExit):
        main(["check", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "schema" in text and "pending" in text and "Exit status: 0" in text and "reports/data" in text


# Anything at all

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_value_anywhere_crashes_the_check(data, tmp_path_factory):
    document = json.loads(to_json(valid_record()))
    node = document
    while True:
        key = data.draw(st.sampled_from(sorted(node)) if isinstance(node, dict) else st.integers(0, len(node) - 1))
        if not node[key] or not isinstance(node[key], (dict, list)) or data.draw(st.booleans()):
            break
        node = node[key]
    node[key] = data.draw(JSON)
    path = tmp_path_factory.mktemp("any") / "report.json"
    path.write_text(json.dumps(document))
    assert check(path).verdict == REJECTED  # its name alone is wrong
