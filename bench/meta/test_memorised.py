"""A text learned by heart: its score is plausible, told as what it is, and bounds no other run's.

Run with `pytest -m fast bench/meta/test_memorised.py`; what stays refused is in bench/meta/bad_reports/origins.py.
"""

from types import SimpleNamespace

import pytest

from bench.meta.bad_reports.case import another
from bench.meta.boards import collection
from bench.meta.boards import run as whole
from bench.meta.records import valid_record
from bench.training import summary, test_score
from bench.training.display import HANDFUL, forecast
from bench.training.loop import Pace
from impl.spec import preset
from reports import band
from reports.check import check_record
from reports.ranking import LIMITED, RANKED, boards
from reports.record import save
from reports.references import References
from reports.site import build

pytestmark = [pytest.mark.fast, pytest.mark.meta]
ABOVE_START, ABOVE_UNIGRAM = 2.1e6, 1.5e6  # nats; both of a made-up run that starts at 1.87e6
BACKEND = SimpleNamespace(name="torch-cpu")


def memorised(nats=ABOVE_START, left=0.01, epochs=160.0, **result):
    """A run of many passes with little left of its loss at the start."""
    return by_heart(valid_record(run={"epochs": epochs, "evals": ()}, result={"nats": nats, **result}), left)


def by_heart(record, left=0.01):
    """The same with losses that fall evenly to `left` of the first."""
    steps = record.run.steps
    loss = tuple(9.0 * (1 - (1 - left) * i / (len(steps) - 1)) for i in range(len(steps)))
    return with_run(record, steps=steps.model_copy(update={"loss": loss}))


def with_run(record, **fields):
    return record.model_copy(update={"run": record.run.model_copy(update=fields)})


@pytest.mark.parametrize("nats", [ABOVE_START, ABOVE_UNIGRAM, 1.0e6])
def test_a_memorised_text_gives_any_score(nats):
    assert list(check_record(memorised(nats))) == []


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (memorised(epochs=1.0), "2.7002 of step 0"),
        (memorised(left=0.31), "2.7002 of step 0, nor did 160 passes take the training loss below 2.79"),
        (memorised(ABOVE_UNIGRAM, left=0.4), "2.0937, nor did 160 passes take the training loss below 3.6"),
    ],
    ids=["one pass", "loss near the limit", "above frequencies only"],
)
def test_without_either_sign_the_score_is_refused(record, reason):
    (finding,) = check_record(record)
    assert finding.reason.endswith(reason)


@pytest.mark.parametrize("record", [memorised(), memorised(1.0e6)])
def test_the_main_job_passes_where_the_text_was_memorised(record, tmp_path, monkeypatch):
    monkeypatch.setattr(test_score, "_run", lambda *_: (record, save(record, tmp_path)))
    test_score.test_training_learns_real_text(SimpleNamespace(backend=BACKEND), None)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (memorised(epochs=1.0), "is not below the 2.7002 of step 0; the steps are in "),
        (memorised(ABOVE_UNIGRAM, epochs=1.0), "is not below a unigram model's 2.0937; the steps are in "),
        (memorised(left=0.5), "nor did 160 passes take the training loss below 4.5; the steps are in "),
        (memorised(bytes=999_145), "but the text of hashes.eval has 999144; the report is "),
        (valid_record(conformance={"failed": 2}), "says which checks of correctness fail"),
    ],
    ids=["one pass", "frequencies", "loss that stayed", "refused report", "conformance"],
)
def test_the_main_job_fails_in_one_line(record, reason, tmp_path, monkeypatch):
    monkeypatch.setattr(test_score, "_run", lambda *_: (record, save(record, tmp_path)))
    with pytest.raises(pytest.fail.Exception) as failed:
        test_score.test_training_learns_real_text(SimpleNamespace(backend=BACKEND), None)
    assert reason in failed.value.msg and "\n" not in failed.value.msg and not failed.value.pytrace


def test_a_shorter_run_may_score_better_than_one_that_overfitted():
    """But not better than what the longer one still had to learn of a text that it knew."""
    known = References([("longer.json", memorised(left=0.2))])
    assert not [f for f in band.findings(another(31, 7, nats=1.4e6), known) if "bits per byte" in f.reason]
    (finding,) = (f for f in band.findings(another(31, 7, nats=3.5e5), known) if "bits per byte" in f.reason)
    assert "is too good, outside" in finding.reason


def test_what_is_left_of_a_memorised_text_is_not_compared():
    """Two right backends differ by a third there; above, they are held to the band."""

    def ended(factor, start):
        steps = another(320, 7).run.steps
        loss = (9.0,) * start + (0.5 * factor,) * (320 - start)
        return with_run(another(320, 7), steps=steps.model_copy(update={"loss": loss}), epochs=50.0)

    known = References([("one.json", ended(1.0, 64))])
    assert not [f for f in band.findings(ended(1.4, 64), known) if "loss" in f.reason]
    assert [f for f in band.findings(ended(1.4, 32), known) if "loss" in f.reason]  # by heart, where the other was not


def test_energy_is_asked_for_a_score_that_was_learned():
    """Not for one that the untrained model had."""
    overfitted = [by_heart(whole(2.9, seed=i, run={"epochs": 160.0})) for i in (1, 2)]
    learned = [whole(1.45, seed=i, hardware={"chip": "Intel(R) Xeon(R) Processor"}) for i in (1, 2, 3)]
    (board,) = boards(collection(*learned, *overfitted))
    assert [row.place for row in board.rows] == [RANKED, LIMITED] and board.target == pytest.approx(1.5)


def test_the_site_says_what_the_score_tells():
    """On the run's page and in its row, and of no run that learned."""
    pages = dict(build.pages(collection(by_heart(whole(2.9, run={"epochs": 160.0})))))
    (report,) = (text for name, text in pages.items() if name.startswith("report-"))
    assert "the text was learned by heart" in report and "over-fitted by 160 passes" in pages["index.html"]
    assert not any("over-fitted" in text for _, text in build.pages(collection(whole(1.4, run={"epochs": 1.3}))))


def test_the_summary_says_what_the_score_tells():
    told = summary.own_keys(memorised())["memorised"]
    assert told.startswith("over-fitted by 160 passes: training loss down to 0.09, val_bpb above step 0's 2.7002; ")
    assert "--data=climbmix" in told and "\n" not in told
    assert "above step 0" not in summary.own_keys(memorised(1.0e6))["memorised"]
    assert "memorised" not in summary.own_keys(valid_record()) | summary.own_keys(memorised(left=0.5))


def test_many_passes_are_told_before_training():
    """By the step's time, or by the steps of the report that is followed."""
    recipe = preset("cpu")
    told = forecast(recipe, Pace(300.0), 0.25, 40_960)
    assert told and told.startswith("about 120 passes (1200 steps x 4096 tokens / 40960 tokens of text)")
    assert "--data=climbmix" in told and "\n" not in told
    assert forecast(recipe, Pace(300.0, (0.0,) * 60), 0.25, 40_960) == told.replace("120 ", "6 ").replace(
        "1200 ", "60 "
    )
    enough = 1200 * recipe.data.total_batch // HANDFUL
    assert forecast(recipe, Pace(300.0), 0.25, enough) is None and forecast(recipe, Pace(300.0), 0.25, enough - 1)
