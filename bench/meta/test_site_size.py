"""What a thousand reports cost: seconds of CPU to build, bytes of the front page. `pytest -m meta -k site_size`"""

import time

import pytest

from bench.meta.boards import collection
from bench.meta.sites import many
from reports.site import build

pytestmark = pytest.mark.meta


def test_a_thousand_reports_take_half_a_minute_and_their_front_page_two_megabytes():
    """Measured on a tenth, in seconds of CPU; the collection's own reading is tested there."""
    found = collection(*many(100))
    start_s = time.process_time()
    pages = dict(build.pages(found))
    assert 10 * (time.process_time() - start_s) <= 30
    assert len(pages[build.INDEX]) * 10 <= 2e6
