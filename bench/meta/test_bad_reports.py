"""Every bad report of the corpus is rejected or pending, and for its own reason.

Run with `pytest -m fast bench/meta/test_bad_reports.py`.
"""

import inspect
from collections.abc import Iterator

import pytest

from bench.meta.bad_reports import CORPUS
from bench.meta.bad_reports.case import KNOWN, Bad
from bench.meta.records import valid_record
from reports import arithmetic, band, copies, outliers, plausibility, wording
from reports import check as checking
from reports.check import ACCEPTED, Finding, Verdict, check, check_record
from reports.record import save
from reports.references import References

pytestmark = pytest.mark.meta
REFERENCES = References((f"known-{i}.json", record) for i, record in enumerate(KNOWN))


@pytest.fixture(autouse=True)
def held_against_known_ones(monkeypatch):
    monkeypatch.setattr(checking, "committed", lambda: REFERENCES)


@pytest.mark.fast
def test_what_they_are_made_from_is_accepted(tmp_path):
    assert check(save(valid_record(), tmp_path)).name == ACCEPTED
    assert [finding for record in KNOWN for finding in check_record(record)] == []


@pytest.mark.fast
def test_the_corpus_is_large_and_its_names_differ():
    assert len({bad.name for bad in CORPUS}) == len(CORPUS) >= 60


def _caught(bad: Bad, verdict: Verdict) -> bool:
    """For its own reason, whatever else is found."""
    expected = (bad.part, bad.verdict)
    return any(expected == (found.part, found.verdict) and bad.words in found.reason for found in verdict.findings)


@pytest.mark.fast
@pytest.mark.parametrize("bad", CORPUS, ids=lambda bad: bad.name)
def test_bad_report(bad, tmp_path):
    verdict = check(bad.make(tmp_path))
    assert verdict.name == bad.verdict, verdict.findings
    assert _caught(bad, verdict), verdict.findings
    assert all(finding.reason.isprintable() and finding.reason.isascii() for finding in verdict.findings)


CHECKS = [
    (module, name)
    for module in (arithmetic, band, copies, outliers, plausibility, wording, checking)
    for name, function in inspect.getmembers(module, inspect.isfunction)
    if function.__module__ == module.__name__ and inspect.signature(function).return_annotation == Iterator[Finding]
    if name.startswith("_")
] + [(copies, "findings"), (wording, "findings")]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Each bad report, written once."""
    return [(bad, bad.make(tmp_path_factory.mktemp("bad"))) for bad in CORPUS]


@pytest.mark.parametrize(("module", "name"), CHECKS, ids=lambda part: getattr(part, "__name__", part))
def test_without_any_one_check_something_escapes(module, name, corpus, monkeypatch):
    monkeypatch.setattr(module, name, lambda *_: iter(()))
    escaped = [bad.name for bad, path in corpus if not _caught(bad, check(path))]
    assert escaped
