"""No report tells whose machine it was.

Run with `pytest -m fast bench/meta/test_privacy.py`.
"""

from pathlib import Path

import pytest

from bench.meta.records import valid_record
from reports import privacy, record
from reports.record import ReportError, save

pytestmark = [pytest.mark.fast, pytest.mark.meta]


@pytest.mark.parametrize(
    ("sections", "field"),
    [
        ({"software": {"environment": {"MLX_CACHE": "/Users/zaphod/cache"}}}, "software.environment.MLX_CACHE"),
        ({"hardware": {"driver": "built on HEARTOFGOLD.local"}}, "hardware.driver"),
        ({"identity": {"suite_version": "0.1-zaphod"}}, "identity.suite_version"),
        ({"software": {"environment": {"zaphod": "1"}}}, "software.environment.zaphod"),
        ({"consent": {"licence": "ask zaphod"}}, "consent.licence"),
    ],
)
def test_private_strings_are_not_saved(sections, field, tmp_path, monkeypatch):
    monkeypatch.setattr(record, "private_strings", lambda: ("/Users/zaphod", "heartofgold", "zaphod"))
    with pytest.raises(ReportError, match="is private to this machine; remove it") as error:
        save(valid_record(**sections), tmp_path)
    assert str(error.value).startswith(field)
    assert not list(tmp_path.iterdir())


def test_a_contributor_is_private_to_nobody(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "private_strings", lambda: ("zaphod",))
    assert save(valid_record(consent={"contributor": "zaphod"}), tmp_path).exists()


def test_private_words_are_whole_words(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "private_strings", lambda: ("epy", "orch"))
    assert save(valid_record(), tmp_path).exists()


def test_this_machine_private_strings(monkeypatch):
    monkeypatch.setattr(privacy.socket, "gethostname", lambda: "Heart-of-Gold.example.org")
    monkeypatch.setattr(privacy.getpass, "getuser", lambda: "ford")
    monkeypatch.setattr(privacy.Path, "home", lambda: Path("/home/ford"))
    assert privacy.private_strings() == ("Heart-of-Gold.example.org", "Heart-of-Gold", "/home/ford", "ford")
    assert privacy.redact("/home/ford/x on heart-of-gold by ford, a Fordist") == "~/x on ~ by ~, a Fordist"


@pytest.mark.parametrize("name", ["vm", "max", "root", "Mac.local"])
def test_common_names_are_not_private(name, monkeypatch):
    monkeypatch.setattr(privacy.socket, "gethostname", lambda: name)
    monkeypatch.setattr(privacy.getpass, "getuser", lambda: name.split(".")[0])
    monkeypatch.setattr(privacy.Path, "home", lambda: Path("/home/max"))
    assert set(privacy.private_strings()) - {"Mac.local"} == {"/home/max"}
