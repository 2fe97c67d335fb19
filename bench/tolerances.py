"""The one table of tolerances: how many yardsticks of error a quantity may show, and the measurement that set it.

`worst` is the largest ratio seen on correct subjects: torch-cpu and mlx-cpu over 50 examples
(`pytest -m conformance --hypothesis-profile=deep`), torch-cuda and mlx-cuda on an H200 over 12. k is at least twice
that. From the other side, `pytest -m meta -k mutants` shows that every known mistake fails, and on every row but
val_nats, which needs a prepared text, an answer of zeros.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerance:
    """k: allowed error in yardsticks. worst: largest ratio measured. wide: held in float32 whatever the policy.

    why: the reason for a margin below 1.5, on either side.
    """

    k: float
    worst: float
    wide: bool = False
    why: str = ""


TABLE = {
    # Long sums: BLAS and MLX's reductions add in other orders than NumPy, some of them one by one.
    ("matmul", "float32"): Tolerance(10, 4.4),
    ("matmul", "bfloat16"): Tolerance(2, 0.4),
    ("large_matmul", "float32"): Tolerance(12, 5.0),
    ("large_matmul", "bfloat16"): Tolerance(2, 0.4),
    # 2048 numbers a row: MLX's CPU kernel adds them in few partial sums, NumPy in pairs.
    ("rms_norm", "float32"): Tolerance(14, 1.9),
    ("rms_norm", "bfloat16"): Tolerance(2, 0.4),
    ("rope", "float32"): Tolerance(2, 0.5),
    ("rope", "bfloat16"): Tolerance(2, 0.5),
    ("attention", "float32"): Tolerance(4, 1.6),
    ("attention", "bfloat16"): Tolerance(2, 0.5),
    # One number, or one a row: RMS over draws says little about the tail of a single draw.
    ("cross_entropy", "float32"): Tolerance(4, 1.1, wide=True),
    ("cross_entropy", "bfloat16"): Tolerance(6, 2.6, wide=True),
    ("nats", "float32"): Tolerance(3, 0.7, wide=True),
    ("nats", "bfloat16"): Tolerance(6, 2.8, wide=True),
    ("val_nats", "float32"): Tolerance(2, 0.1, wide=True),
    ("val_nats", "bfloat16"): Tolerance(6, 2.2, wide=True),
    ("loss", "float32"): Tolerance(4, 0.9, wide=True),
    ("loss", "bfloat16"): Tolerance(8, 3.7, wide=True),
    ("activations", "float32"): Tolerance(5, 2.2),
    ("activations", "bfloat16"): Tolerance(4, 1.9),
    ("logits", "float32"): Tolerance(5, 2.1, wide=True),
    ("logits", "bfloat16"): Tolerance(4, 1.7, wide=True),
    ("grads", "float32"): Tolerance(10, 4.9, wide=True),
    ("grads", "bfloat16"): Tolerance(6, 3.0, wide=True),
    ("orthogonalize", "float32"): Tolerance(10, 4.8, wide=True),
    ("orthogonalize", "bfloat16"): Tolerance(8, 3.7),
    ("optimizer", "float32"): Tolerance(5, 2.4, wide=True),
    ("optimizer", "bfloat16"): Tolerance(5, 2.4, wide=True),
    ("optimizer_state", "float32"): Tolerance(5, 1.7, wide=True),
    ("optimizer_state", "bfloat16"): Tolerance(5, 1.7, wide=True),
    # Without decay, whose signs part correct runs; 4.0 on mlx-cuda.
    ("trajectory", "float32"): Tolerance(10, 4.8, wide=True),
    ("trajectory", "bfloat16"): Tolerance(
        4, 1.8, wide=True, why="parameters part company within the run; bench/trajectory.py judges it by its own spread"
    ),
}


def tolerance(quantity: str, policy: str) -> Tolerance:
    """The row of this quantity at this policy. Raises KeyError for a check whose row nobody has measured."""
    return TABLE[quantity, policy]
