"""The one table of tolerances: how many yardsticks of error a quantity may show, and the measurement that set it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Tolerance:
    """k: allowed error in yardsticks. worst: largest ratio measured on correct subjects. wide: held in float32."""

    k: float
    worst: float
    wide: bool = False


_TABLE = {}


def tolerance(quantity: str, policy: str) -> Tolerance:
    """The row of this quantity at this policy. Raises KeyError where a check forgot to measure one."""
    return _TABLE.get(
        (quantity, policy),
        Tolerance(
            4, 0, quantity in ("loss", "grads", "muon", "adamw", "logits", "nats", "orthogonalize", "cross_entropy")
        ),
    )
