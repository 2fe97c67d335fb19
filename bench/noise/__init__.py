"""How much of a score is noise, and where it comes from: `python -m bench.noise --help`."""
