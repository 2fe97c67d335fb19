"""What the checks of the checks share."""

import pytest


@pytest.fixture(scope="session")
def backend(pytestconfig) -> str:
    """One backend, for tests of what is the same on all."""
    if not pytestconfig.backends:
        pytest.skip("no backend is here")
    return pytestconfig.backends[0]
