"""What was found: the schema of a run's record, the chips it may have run on, and the checks it must pass."""
