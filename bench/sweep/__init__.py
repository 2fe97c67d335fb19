"""Data sets by settings by seeds, each a run in a process of its own: `python -m bench.sweep`."""
