"""No committed report, page or figure, and no page of the site, names this machine, a person or a device.

Run with `pytest -m meta bench/meta/test_traces.py`.
"""

import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from bench.meta.command import ROOT
from reports import privacy
from reports.site.build import build

pytestmark = pytest.mark.meta


def own() -> set[str]:
    """Whatever names this machine: its names, numbers and addresses."""
    found = set(privacy.private_strings())
    for file in ("/etc/machine-id", "/var/lib/dbus/machine-id", *Path("/sys/class/dmi/id").glob("*serial")):
        try:
            found.add(Path(file).read_text().strip())
        except OSError:  # absent, or for root only
            continue
    for address in (address for addresses in psutil.net_if_addrs().values() for address in addresses):
        found.add(address.address.partition("%")[0])
    found.add(":".join(re.findall("..", f"{uuid.getnode():012x}")))
    shared = ("127.0.0.1", "0.0.0.0", "00:00:00:00:00:00", "none", "not specified", "to be filled by o.e.m.")
    return {name for name in found if len(name) >= 4 and name.lower() not in shared and set(name) != {"0"}}


def traces_in(text: str) -> Iterator[str]:
    """What in a file's text names this machine or, whoever's, a person or a device."""
    yield from (secret for _, secret in privacy.leaks(text, tuple(own())))
    yield from (found for _, _, found in privacy.traces(text))
    # A serial number has ten to twelve capitals and digits, and would be a value by itself.
    yield from re.findall(r'"((?=(?:[A-Z]*\d){2})(?=(?:\d*[A-Z]){2})[A-Z0-9]{10,12})"', text)


@pytest.mark.parametrize(
    "text", ['{"serial": "C02XG2JHJGH5"}', "ford@h2g2.example", "<p>/home/ford/x</p>", *sorted(own())]
)  # fmt: skip
def test_a_trace_in_a_file_is_found(text):
    assert list(traces_in(f"<td>{text}</td>"))


def test_no_committed_report_page_or_figure_names_this_machine_or_anybody():
    files = [file for file in (ROOT / "reports").rglob("*") if file.is_file() and file.suffix not in (".py", ".pyc")]
    assert {".json", ".md", ".svg"} <= {file.suffix for file in files}
    assert not {str(file): found for file in files if (found := list(traces_in(file.read_text("utf-8"))))}


def test_the_site_names_no_machine_and_nobody(tmp_path):
    build(ROOT / "reports" / "data", tmp_path / "site")
    files = [file for file in (tmp_path / "site").rglob("*") if file.is_file()]
    assert len(files) > 1
    assert not {file.name: found for file in files if (found := list(traces_in(file.read_text("utf-8"))))}
