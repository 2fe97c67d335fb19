"""What the checks of the checks share."""

import signal

import pytest

from bench.conformance.conftest import cache, folder
from bench.meta.forge import forge, forged

__all__ = ["cache", "folder", "forge", "forged"]  # the first two: the conformance tests', for wrong subjects


@pytest.fixture(scope="session", autouse=True)
def heeded():
    """Ctrl-C, by what the tests start: of a suite in the background they would inherit that it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def backend(pytestconfig) -> str:
    """One backend, for tests of what is the same on all."""
    if not pytestconfig.backends:
        pytest.skip("no backend is here")
    return pytestconfig.backends[0]
