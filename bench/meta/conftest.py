"""What the checks of the checks share."""

import pytest

from bench.conformance.conftest import cache, folder

__all__ = ["cache", "folder"]  # fixtures of the conformance tests that run here on wrong subjects


@pytest.fixture(scope="session")
def backend(pytestconfig) -> str:
    """One backend, for tests of what is the same on all."""
    if not pytestconfig.backends:
        pytest.skip("no backend is here")
    return pytestconfig.backends[0]
