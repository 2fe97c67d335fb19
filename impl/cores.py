"""How many cores there are to use.

Test with `pytest -m fast bench/conformance/test_tokenizer.py`.
"""

import os


def usable() -> int | None:
    """Those that this thread may run on; of a system that does not say, all. None where that is unknown too."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
