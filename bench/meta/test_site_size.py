"""What a thousand reports cost, in seconds of CPU and bytes of the front page; and that no page tells of its machine.

`pytest -m meta -k site_size`
"""

import time

import pytest

from bench.meta.boards import collection
from bench.meta.sites import many
from reports.collection import read
from reports.commands.site import DATA
from reports.privacy import leaks, private_strings
from reports.site import build

pytestmark = pytest.mark.meta


def test_a_thousand_reports_take_half_a_minute_and_their_front_page_two_megabytes():
    """Measured on a tenth, in seconds of CPU; the collection's own reading is tested there."""
    found = collection(*many(100))
    start_s = time.process_time()
    pages = dict(build.pages(found))
    assert 10 * (time.process_time() - start_s) <= 30
    assert len(pages[build.INDEX]) * 10 <= 2e6


def test_no_page_of_the_committed_reports_holds_what_is_private_to_this_machine():
    pages = dict(build.pages(read(DATA)))
    assert not list(leaks(pages, private_strings()))
    secret = "nobody-elses-host"
    pages[build.INDEX] += f"<p>{secret}</p>"
    assert list(leaks(pages, (secret,)))
