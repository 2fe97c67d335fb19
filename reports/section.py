"""What every section of a report is made of: strict models, and types whose bounds keep every sum finite.

Test with `pytest -m fast -k reports`.
"""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Precision = Literal["float32", "tf32", "bfloat16", "float16"]
Observed = Literal[Precision, "bfloat16-sums", "float16-sums", "none"]  # -sums: accumulated narrowly too


def _a_second(value: str) -> str:
    if len(value) != 20 or not value.isascii():
        raise ValueError("must read like 2026-11-21T07:42:30Z")
    datetime.strptime(value, "%Y-%m-%dT%H:%M:%SZ")
    return value


LONGEST_TEXT = 1000  # characters

# The bounds are far outside what any machine gives, and keep every sum below finite.
Text = Annotated[str, Field(max_length=LONGEST_TEXT)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, le=10**18)]
Positive = Annotated[int, Field(ge=1, le=10**18)]
Seconds = Annotated[float, Field(ge=0, le=1e8)]
Nats = Annotated[float, Field(ge=0, le=1e15)]
Size = Annotated[float, Field(ge=0, le=1e39)]  # above float32's largest
Fraction = Annotated[float, Field(ge=0, le=1)]
SECOND = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$"
Second = Annotated[str, AfterValidator(_a_second), Field(json_schema_extra={"pattern": SECOND})]  # 2026-11-21T07:42:30Z


class Section(BaseModel):
    """Unknown fields, NaN, infinities and values of another type are errors; a field that is absent is null."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        allow_inf_nan=False,
        str_max_length=LONGEST_TEXT,
        protected_namespaces=(),
    )
