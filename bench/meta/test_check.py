"""`reports check` accepts a consistent report and refuses each broken one for its own reason.

Run with `pytest -m fast bench/meta/test_check.py`.
"""

import pytest

from bench.meta.records import BUDGET_S, BYTES, EVAL_HASH, failed_record, only, valid_record, with_column
from impl.data import corpus
from impl.data.prepared import EVALUATION_RULE, sha256
from impl.spec import RECIPES, override, preset
from reports import arithmetic, derived
from reports.check import ACCEPTED, PENDING, REJECTED, check, check_record
from reports.record import save
from reports.schema import Eval, Failure, Hashes, Row, Steps

pytestmark = [pytest.mark.fast, pytest.mark.meta]


def columns(steps: int = 32) -> Steps:
    """The first `steps` of the valid run."""
    whole = valid_record().run.steps
    return Steps(**{name: getattr(whole, name)[:steps] for name in Steps.model_fields})


@pytest.mark.parametrize("make", [valid_record, failed_record])
def test_a_consistent_report_is_accepted(make, tmp_path):
    verdict = check(save(make(), tmp_path))
    assert verdict.findings == () and verdict.name == ACCEPTED


def test_wrong_file_name(tmp_path):
    path = save(valid_record(), tmp_path)
    renamed = path.rename(path.with_name(path.name.replace("torch-cpu", "mlx-cpu")))
    verdict = check(renamed)
    assert verdict.name == REJECTED
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


def test_the_embedded_text_is_pinned():
    expected = corpus.EXPECTED["val"]
    assert {sha256(expected.sha256, EVALUATION_RULE): expected.text_bytes} == arithmetic.PINNED_BYTES
    assert (EVAL_HASH, BYTES) in arithmetic.PINNED_BYTES.items()


def test_shifted_bytes():
    assert not list(check_record(valid_record()))
    evals = (Eval(step=16, nats=1.4e6, bytes=BYTES + 1, tokens=207_939, seconds=2.0),)
    shifted = valid_record(result={"bytes": BYTES + 1}, run={"evals": evals})
    assert [f.reason for f in check_record(shifted)] == [
        f"run.evals[0].bytes={BYTES + 1}, but the text of hashes.eval has {BYTES}",
        f"result.bytes={BYTES + 1}, but the text of hashes.eval has {BYTES}",
    ]


def test_evaluations_over_different_bytes():
    reason = f"run.evals[0].bytes={BYTES}, but result.bytes={BYTES + 1}"
    elsewhere = {"hashes": valid_record().identity.hashes.model_copy(update={"eval": "e" * 64})}
    assert only(valid_record(result={"bytes": BYTES + 1}, identity=elsewhere)) == ("arithmetic", REJECTED, reason)


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
        loss=tuple(9.0 - 5.0 * p for p in before),
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


# Conformance


def conformance(**changes):
    return valid_record(conformance=changes)


def test_no_score_without_passing_conformance():
    assert only(conformance(failed=2)) == (
        "plausibility",
        PENDING,
        "2 conformance checks failed; a score is ranked with a passing one",
    )
    reason = "no conformance check passed; a score is ranked with a passing one"
    assert only(conformance(passed=0)) == ("plausibility", PENDING, reason)
    reason = "no conformance record; a score is ranked with a passing one"
    assert only(valid_record().model_copy(update={"conformance": None})) == ("plausibility", PENDING, reason)


def test_conformance_of_other_versions():
    reason = "conformance.versions and software.frameworks differ in 'torch'"
    assert only(conformance(versions={"torch": "2.12.0"})) == ("arithmetic", REJECTED, reason)


def test_conformance_that_contradicts_its_rows():
    row = Row(quantity="logits", precision="bfloat16", cases=8, worst_ratio=9.0, limit=3.0, passed=False)
    reason = "conformance.failed=0, but a row did not pass"
    assert only(conformance(rows=(row,))) == ("arithmetic", REJECTED, reason)
    assert only(conformance(rows=(row,), failed=1))[1] == PENDING
