"""Energy follows from what a counter said, is unknown without one, and no report has more than its board can draw.

`pytest -m fast bench/meta/test_energy.py`
"""

import pytest

from bench.meta.records import BUDGET_S, BYTES, failed_record, only, valid_record
from reports import derived
from reports.check import check_record
from reports.schema import Eval

pytestmark = [pytest.mark.fast, pytest.mark.meta]


def scored(step: int, nats: float, joules: float | None) -> Eval:
    return Eval(step=step, nats=nats, bytes=BYTES, tokens=207_939, seconds=2.0, joules=joules)


def with_energy(joules: float | None, evals: tuple[Eval, ...] = (), limit_w: float | None = 700.0):
    return valid_record(
        result={"joules": joules, "joules_method": joules and "a counter"},
        run={"evals": evals},
        hardware={"chip": "NVIDIA H200", "power_limit_w": limit_w},
        software={"backend": "torch-cuda"},
        state={"probes": ()},
    )


def test_joules_by_step_and_token():
    record = with_energy(640.0)
    assert derived.joules_per_step(record) == 640.0 / 32
    assert derived.joules_per_token(record) == 640.0 / (32 * record.run.total_batch)
    assert not list(check_record(record))


def test_joules_to_a_score():
    record = with_energy(900.0, (scored(10, 1.5e6, 300.0), scored(20, 1.2e6, 600.0)))
    for nats, joules in ((1.6e6, 300.0), (1.5e6, 300.0), (1.4e6, 600.0), (1.0e6, 900.0), (0.9e6, None)):
        assert derived.joules_to(record, derived.bits(nats, BYTES)) == joules


@pytest.mark.parametrize("make", [valid_record, failed_record])
def test_without_a_counter_nothing_is_known(make):
    assert derived.joules_per_step(make()) is derived.joules_per_token(make()) is derived.joules_to(make(), 8.0) is None


def test_energy_that_falls_is_wrong():
    part, verdict, reason = only(with_energy(500.0, (scored(10, 1.5e6, 600.0),)))
    assert (part, verdict, reason) == ("arithmetic", "rejected", "joules fall from one score to a later one")


def test_more_than_the_board_draws_is_implausible():
    part, verdict, reason = only(with_energy(1000.0 * BUDGET_S))
    assert (part, verdict) == ("plausibility", "rejected") and reason.startswith("training drew 1000 W, more than")
    for record in (with_energy(700.0 * BUDGET_S), with_energy(1000.0 * BUDGET_S, limit_w=None)):
        assert not list(check_record(record))
