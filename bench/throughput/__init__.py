"""How fast each operation runs, on every backend alike: `pytest -m bench`; two runs: `python -m bench.throughput`."""
