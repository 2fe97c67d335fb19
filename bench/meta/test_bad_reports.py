"""Every bad report of the corpus is rejected or pending, and for its own reason.

Run with `pytest -m fast bench/meta/test_bad_reports.py`.
"""

import pytest

from bench.meta.bad_reports import CORPUS
from bench.meta.bad_reports.case import KNOWN
from bench.meta.records import valid_record
from reports import check as checking
from reports.check import ACCEPTED, check, check_record
from reports.record import save
from reports.references import References

pytestmark = [pytest.mark.fast, pytest.mark.meta]
REFERENCES = References((f"known-{i}.json", record) for i, record in enumerate(KNOWN))


@pytest.fixture(autouse=True)
def held_against_known_ones(monkeypatch):
    monkeypatch.setattr(checking, "committed", lambda: REFERENCES)


def test_what_they_are_made_from_is_accepted(tmp_path):
    assert check(save(valid_record(), tmp_path)).name == ACCEPTED
    assert [finding for record in KNOWN for finding in check_record(record)] == []


def test_the_corpus_is_large_and_its_names_differ():
    assert len({bad.name for bad in CORPUS}) == len(CORPUS) >= 60


@pytest.mark.parametrize("bad", CORPUS, ids=lambda bad: bad.name)
def test_bad_report(bad, tmp_path):
    verdict = check(bad.make(tmp_path))
    assert verdict.name == bad.verdict, verdict.findings
    assert any(
        (finding.part, finding.verdict) == (bad.part, bad.verdict) and bad.words in finding.reason
        for finding in verdict.findings
    ), verdict.findings
    assert all(finding.reason.isprintable() and finding.reason.isascii() for finding in verdict.findings)
