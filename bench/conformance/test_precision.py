"""Every family of operations computes in the precision that was asked for, as its errors show.

`pytest -m fast bench/conformance/test_precision.py`
"""

import pytest

from bench.defects import known
from bench.families import FAMILIES
from bench.fingerprint import classify, message

pytestmark = pytest.mark.fast


@pytest.mark.parametrize("family", FAMILIES)
def test_class_is_the_one_asked_for(subject, policy, family):
    """Families marked "framework" are reductions that we do not ship: a release known to get them wrong is an xfail."""
    finding, defect = classify(subject, FAMILIES[family], policy), known(subject, family, policy)
    if defect and finding.observed == defect.observed:
        pytest.xfail(f"{finding.observed}: {defect.link}")
    assert finding.expected, message(subject.name, finding)
    assert not (defect and defect.measured), f"{family} is right in this release; end its row in bench/defects.py there"
