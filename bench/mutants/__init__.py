"""Every known mistake, taken from what public ports of the recipe really do: FACTS of the field turned into subjects.

`pytest -m meta -k mutant` shows that each is caught, `python -m bench.calibrate` by what margin.
"""

from bench.mutants.model import MODEL_MUTANTS
from bench.mutants.optimizer import OPTIMIZER_MUTANTS
from bench.mutants.subject import Mutant, Mutated, Zeros

MUTANTS = (*MODEL_MUTANTS, *OPTIMIZER_MUTANTS)

__all__ = ["MUTANTS", "Mutant", "Mutated", "Zeros"]
