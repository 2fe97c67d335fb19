"""What a machine was measured to do at best, as a report keeps it.

Test with `pytest -m fast -k ceiling`.
"""

from typing import Annotated

from pydantic import Field

from reports.section import Fraction, Observed, Positive, Precision, Second, Section


class Product(Section):
    """The quickest matrix product of one precision: `shape` is rows, inner, columns; `seconds` of one, sustained."""

    precision: Precision  # asked for
    observed: Observed | None
    shape: tuple[Positive, Positive, Positive]
    seconds: Annotated[float, Field(gt=0, le=1e8)]

    @property
    def flop_per_s(self) -> float:
        rows, inner, columns = self.shape
        return 2 * rows * inner * columns / self.seconds


class Ceiling(Section):
    """What this machine was seen to do at best: a product a precision, bytes read and written, a tiny operation."""

    measured_utc: Second
    products: tuple[Product, ...]
    copy_bytes: Positive | None
    copy_s: Annotated[float, Field(gt=0, le=1e8)] | None
    launch_s: Annotated[float, Field(gt=0, le=1e8)] | None  # of one among many
    sync_s: Annotated[float, Field(gt=0, le=1e8)] | None  # of one that is waited for
    background: Fraction | None = None  # of all CPUs, busy for other processes meanwhile

    @property
    def bytes_per_s(self) -> float | None:
        return self.copy_bytes / self.copy_s if self.copy_bytes and self.copy_s else None

    def flop_per_s(self, precision: str) -> float | None:
        """Of the product asked for in `precision`; None where none was measured."""
        return next((product.flop_per_s for product in self.products if product.precision == precision), None)
