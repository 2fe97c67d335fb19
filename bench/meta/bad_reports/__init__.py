"""What a stranger might hand in, by accident or to mislead: every kind with the verdict and words that it must get."""

from bench.meta.bad_reports.case import Bad
from bench.meta.bad_reports.files import FILES
from bench.meta.bad_reports.numbers import NUMBERS
from bench.meta.bad_reports.origins import ORIGINS
from bench.meta.bad_reports.words import WORDS

CORPUS: tuple[Bad, ...] = (*FILES, *NUMBERS, *ORIGINS, *WORDS)
