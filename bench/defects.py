"""Releases of the frameworks that are known not to compute in the class they were asked for, each with its link.

Test with `pytest -m fast bench/conformance/test_precision.py`.
"""

import re
from dataclasses import dataclass

from bench.subject import Subject

SUMS = ("norm", "sum of all", "sum of rows", "sum of columns")


@dataclass(frozen=True, kw_only=True)
class Defect:
    """What is seen instead of `policy` on `backend`. fixed_in: the first release that is right, None while none is.

    measured: seen here, release by release. Otherwise it was read in the source, and a right answer is as good.
    """

    backend: str
    families: tuple[str, ...]
    policy: str
    observed: str
    fixed_in: tuple[int, ...] | None
    link: str
    measured: bool


DEFECTS = (
    Defect(  # 0.26.5, 0.27.1, 0.28.0, 0.29.4, 0.30.6, 0.31.2, 0.32.0, 0.32.1, 0.32.2 are wrong, 0.32.3 and 0.32.4 not
        backend="mlx-cpu",
        families=SUMS,
        policy="bfloat16",
        observed="bfloat16-sums",
        fixed_in=(0, 32, 3),
        link="https://github.com/ml-explore/mlx/pull/4387",
        measured=True,
    ),
    Defect(  # 0.32.4, on an H200; its norm is right
        backend="mlx-cuda",
        families=SUMS[1:],
        policy="bfloat16",
        observed="bfloat16-sums",
        fixed_in=None,
        link="https://github.com/ml-explore/mlx/issues/488",
        measured=True,
    ),
    Defect(  # its kernels' accumulators have the type of the output
        backend="mlx-metal",
        families=SUMS,
        policy="bfloat16",
        observed="bfloat16-sums",
        fixed_in=None,
        link="https://github.com/ml-explore/mlx/issues/488",
        measured=False,
    ),
)


def known(subject: Subject, family: str, policy: str) -> Defect | None:
    """The defect of this subject's release that touches the family at the policy."""
    backend = getattr(subject, "backend", None)
    for defect in DEFECTS:
        if defect.backend == subject.name and family in defect.families and policy == defect.policy and backend:
            version = backend.versions()[backend.framework]
            if defect.fixed_in is None or _numbers(version) < defect.fixed_in:
                return defect
    return None


def _numbers(version: str) -> tuple[int, ...]:
    """(0, 32, 3) of "0.32.3.dev1"."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])
