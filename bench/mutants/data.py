"""Every known mistake in data, score, schedules and loop, each with the check of the fast run that kills it.

`pytest -m meta bench/meta/test_data_mutants.py`
"""

from bench.mutants.checked import DataMutant
from bench.mutants.packing import PACKING_MUTANTS
from bench.mutants.schedule import LOOP_MUTANTS, SCHEDULE_MUTANTS
from bench.mutants.sources import SOURCE_MUTANTS
from bench.mutants.text import SCORE_MUTANTS, TEXT_MUTANTS
from bench.mutants.tokens import TOKEN_MUTANTS

DATA_MUTANTS = (
    *PACKING_MUTANTS,
    *TEXT_MUTANTS,
    *TOKEN_MUTANTS,
    *SOURCE_MUTANTS,
    *SCORE_MUTANTS,
    *SCHEDULE_MUTANTS,
    *LOOP_MUTANTS,
)

__all__ = ["DATA_MUTANTS", "DataMutant"]
