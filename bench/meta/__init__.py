"""Tests of the tests: the oracle, the mutants, the layout, the reports."""
