"""Nothing is claimed of a report that no other can be held against, and honest runs pass beside each other.

Run with `pytest -m fast bench/meta/test_references.py`; what must be found is in test_bad_reports.py.
"""

import pytest

from bench.meta.bad_reports.case import KNOWN, another
from bench.meta.records import valid_record
from reports import band, copies, outliers
from reports.check import check_record
from reports.record import save
from reports.references import References, committed

pytestmark = [pytest.mark.fast, pytest.mark.meta]
NONE = References()
ALL = References((f"known-{i}.json", record) for i, record in enumerate(KNOWN))
ELSEWHERE = {"hashes": valid_record().identity.hashes.model_copy(update={"data": "0" * 64})}


@pytest.mark.parametrize("factor", [0.5, 1.4])
def test_without_a_reference_of_these_hashes_the_band_is_silent(factor):
    strange = another(34, 7, factor)
    assert list(band.findings(strange, ALL)) and not list(band.findings(strange, NONE))
    assert not list(band.findings(another(34, 7, factor, identity=ELSEWHERE), ALL))


def test_beyond_the_tokens_of_others_no_loss_is_expected():
    """Where the rates of every other run have begun to fall, theirs say nothing about a longer run's."""
    quick = another(320, 7)
    loss = (*quick.run.steps.loss[:32], *(2.0,) * 288)
    steps = quick.run.steps.model_copy(update={"loss": loss})
    ahead = quick.model_copy(update={"run": quick.run.model_copy(update={"steps": steps})})
    assert not [found for found in band.findings(ahead, ALL) if "loss" in found.reason]


def test_a_run_over_its_text_again_may_score_worse():
    assert [found.verdict for found in band.findings(another(60, 7, nats=1.02e6), ALL)] == ["pending"]
    assert not list(band.findings(another(60, 7, nats=1.02e6, run={"epochs": 2.0}), ALL))


def test_of_few_or_equal_reports_no_outlier_is_claimed():
    quick = another(120, 7)
    assert list(outliers.findings(quick, ALL))
    assert not list(
        outliers.findings(quick, References(("few.json", record) for record in KNOWN[: outliers.LEAST - 1]))
    )
    alike = [another(34, 200 + i) for i in range(12)]  # the same speed and score twelve times: their spread is 0
    assert not list(outliers.findings(quick, References(("alike.json", record) for record in alike)))


def test_a_replay_on_the_same_machine_is_no_copy():
    """Along one progress with one seed a CPU gives the same losses to the last bit."""
    steps = KNOWN[0].run.steps.model_copy(update={"step_s": tuple(2 * s for s in KNOWN[0].run.steps.step_s)})
    run = KNOWN[0].run.model_copy(update={"steps": steps, "mode": "fixed-tokens"})
    assert not list(copies.findings(KNOWN[0].model_copy(update={"run": run}), ALL))


def test_a_report_is_never_its_own_reference():
    assert not list(copies.findings(KNOWN[0], ALL))
    assert len(ALL.of_hashes(KNOWN[0], "recipe", "config", "data", "eval")) == len(KNOWN) - 1


def test_only_what_is_accepted_by_itself_is_a_reference(tmp_path):
    folder = tmp_path / "data"
    save(valid_record(), folder)
    save(valid_record(result={"nats": 1.0e5}), folder)
    (folder / "broken.json").write_text("{")
    known = committed(folder)
    assert len(known.of_hashes(another(34, 7), "data")) == 1
    assert not list(check_record(another(34, 7), known))
