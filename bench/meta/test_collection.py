"""A folder of reports is read once, whatever lies in it, and no run counts twice.

Run with `pytest -m fast bench/meta/test_collection.py`.
"""

import pytest

from bench.meta.boards import run
from reports.collection import read
from reports.record import ReportError, save, to_json

pytestmark = [pytest.mark.fast, pytest.mark.meta]


def test_everything_found_is_kept(tmp_path):
    good = save(run(1.4), tmp_path)
    waiting = save(run(1.4, seed=43, hardware={"chip": "<script>alert(1)</script>"}), tmp_path)
    (tmp_path / "cut.json").write_text(to_json(run())[:1000])
    (tmp_path / "._beside.json").write_text("{")  # as Finder leaves them
    (tmp_path / "notes.md").write_text("not a report")
    found = read(tmp_path)
    assert [entry.path for entry in found.entries] == sorted(entry.path for entry in found.entries)
    assert [tmp_path / entry.path for entry in found.accepted] == [good]
    assert [tmp_path / entry.path for entry in found.pending] == [waiting]
    (broken,) = found.rejected
    assert broken.record is None and broken.digest is None and "JSON" in broken.reasons[0]
    assert found.accepted[0].reasons == () and found.accepted[0].digest[:12] in good.name


def test_a_failed_run_is_kept(tmp_path):
    save(run(None, steps=20), tmp_path)
    (entry,) = read(tmp_path).entries
    assert entry.record.run.failure.message == "lost" and entry.record.result is None


def test_a_run_counts_once(tmp_path):
    first = run(1.4)
    renamed = run(
        1.4, hardware={"chip": "Intel(R) Xeon(R) Processor"}, identity={"created_utc": "2026-11-22T00:00:00Z"}
    )
    signed = first.model_copy(update={"consent": first.consent.model_copy(update={"contributor": "someone"})})
    early_but_pending = run(1.4, hardware={"chip": "unknown"}, identity={"created_utc": "2026-01-01T00:00:00Z"})
    for record in (first, renamed, signed, early_but_pending, run(1.4, seed=43)):
        save(record, tmp_path)
    found = read(tmp_path)
    assert len(found.entries) == 5 and len(found.accepted) == 2 and len(found.duplicates) == 3
    assert {entry.record.run.seed for entry in found.accepted} == {42, 43}
    kept = next(entry.path for entry in found.accepted if entry.record.run.seed == 42)
    assert all(entry.duplicate_of == kept and "the same run as" in entry.reasons[-1] for entry in found.duplicates)
    assert not found.pending  # it would otherwise stand beside the accepted one


def test_runs_that_failed_at_once_are_no_duplicates(tmp_path):
    """Nothing was measured that could be the same."""
    nothing = {name: () for name in ("step_s", "loss", "lr", "grad_norm", "progress")}
    failed = run(None)
    record = failed.model_copy(
        update={
            "run": failed.run.model_copy(
                update={
                    "steps": type(failed.run.steps)(**nothing),
                    "failure": failed.run.failure.model_copy(update={"step": 0}),
                }
            )
        }
    )
    later = record.identity.model_copy(update={"created_utc": "2026-11-23T00:00:00Z"})
    for one in (record, record.model_copy(update={"identity": later})):
        save(one, tmp_path)
    assert len(read(tmp_path).entries) == 2 and not read(tmp_path).duplicates


def test_no_folder():
    with pytest.raises(ReportError, match="no folder there"):
        read("nowhere")
