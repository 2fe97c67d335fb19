"""How the cost of a step grows with depth, sequence length and batch: `python -m bench.scaling`."""
