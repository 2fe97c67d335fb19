"""How far an answer is from the truth, in the three ways that conformance looks at: Frobenius, worst element, p99.

Test with `pytest -m meta bench/meta/test_comparator.py`.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Error:
    """Relative to the truth's Frobenius norm; in the worst element and at the 99th percentile relative to its peak."""

    frobenius: float
    worst: float
    p99: float

    @classmethod
    def between(cls, answer, truth) -> "Error":
        """Of `answer` against `truth`, two arrays of one shape; infinite where the answer is not finite."""
        difference = np.abs(np.asarray(answer, np.float64) - truth)
        if not np.all(np.isfinite(difference)):
            return cls(np.inf, np.inf, np.inf)
        norm, peak = np.linalg.norm(truth), np.max(np.abs(truth), initial=0)
        p99 = np.quantile(difference, 0.99) if difference.size else 0.0
        return cls(
            ratio(np.linalg.norm(difference), norm), ratio(np.max(difference, initial=0), peak), ratio(p99, peak)
        )

    @classmethod
    def pooled(cls, errors: list["Error"]) -> "Error":
        """Their root mean square: one error can be near zero by luck, the pooled one cannot."""
        squares = np.square([(e.frobenius, e.worst, e.p99) for e in errors])
        return cls(*np.sqrt(squares.mean(axis=0)).tolist())


def ratio(error, size) -> float:
    """error / size; of an error where nothing should be, infinite."""
    return float(error / size) if size else (0.0 if error == 0 else np.inf)
