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
    device = "GPU-7834e710-eedb-2b83-68a2-4d08a8f6c4d4"
    assert privacy.redact(f"{device} of arthur@example.org in /home/arthur/y") == "GPU-~ of ~ in ~/y"


@pytest.mark.parametrize("name", ["vm", "max", "root", "Mac.local"])
def test_common_names_are_not_private(name, monkeypatch):
    monkeypatch.setattr(privacy.socket, "gethostname", lambda: name)
    monkeypatch.setattr(privacy.getpass, "getuser", lambda: name.split(".")[0])
    monkeypatch.setattr(privacy.Path, "home", lambda: Path("/home/max"))
    assert set(privacy.private_strings()) - {"Mac.local"} == {"/home/max"}


SECRETS = {
    "an e-mail address": ("Ford <ford.p+1@mail.h2g2.example>", "a@b.example"),
    "a home path": ("/Users/zaphod/x", "in /home/ford", r"C:\Users\ford\x", r"c:\\Users\\ford", "/root/x"),
    "a hardware address": ("de:ad:be:EF:00:01", "ether 00:11:22:33:44:55."),
    "a device's UUID": ("GPU-8f5e2b1c-0d3a-4e6f-9b7a-1c2d3e4f5a6b",),
}
HARMLESS = """x @ y|torch@2.13.0|gpu@0|a@b|@everyone|/usr/lib/libopenblas.so|/home|Users/home|12:34:56|Mac15,9
|applegpu_g17s|00:11:22:33:44:55:66:77|0000000000000000000000000000000000000000000000000000000000000000|2026-11-21T07:42:30Z"""


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in SECRETS.items() for text in texts])
def test_what_names_somebody_is_seen(kind, text):
    assert {(field, told) for field, told, _ in privacy.traces({"a": [0, {"b": text}]})} == {("a.1.b", kind)}


def test_what_names_nobody_is_not_seen():
    assert not list(privacy.traces(HARMLESS.split("|")))
