"""What MPS gets wrong although it has the kernel: rules of dtype, and faults reported to PyTorch, each with its thread.

Releases are those that a thread names, dates where it names none. Test with `pytest -m fast -k mps_ops`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

THREAD = "https://github.com/pytorch/pytorch/issues/"
MIXED = "https://github.com/karpathy/nanochat/pull/741"
REDUCTION_LIMIT, ELEMENTS_LIMIT = 2**15, 2**32
# Arguments that pick elements and are integers or truth values by nature.
PICKS = ("index", "indices", "mask", "condition")


@dataclass(frozen=True)
class Known:
    """A fault of MPS: what it is, its thread, the releases it names, and whether a call runs into it."""

    name: str
    issue: int
    releases: str
    meets: Callable[[Any], bool]

    @property
    def url(self) -> str:
        return f"{THREAD}{self.issue}"


def _half(call) -> bool:
    return any(str(x.dtype) in ("torch.bfloat16", "torch.float16") for x in call.inputs)


def _given(call, name: str, place: int, default=None):
    return call.kwargs.get(name, call.args[place] if len(call.args) > place else default)


def _is_product(call) -> bool:
    return call.base in ("mm", "bmm", "addmm", "addbmm", "baddbmm")


KNOWN = (
    Known("lerp on half types", 196067, "2.14.0", lambda call: call.base == "lerp" and _half(call)),
    Known(
        "attention of transposed heads of 64 and more",
        181133,
        "2.8.0, #163597, until #181151 in 2.12",
        lambda call: (
            "scaled_dot_product_attention" in call.name
            and any(x.shape[-1] >= 64 and not x.is_contiguous() for x in call.inputs[:3])
        ),
    ),
    Known(
        "is_causal attention",
        195910,
        "seen in 2.10.0, in half types; reported in September 2026",
        lambda call: call.name == "scaled_dot_product_attention" and bool(_given(call, "is_causal", 5, False)),
    ),
    Known(
        "a copy that does not wait",
        139550,
        "2.5.1, and still in July 2026, #189690",
        lambda call: call.base in ("_to_copy", "copy") and bool(_given(call, "non_blocking", 2, False)),
    ),
    Known(
        "arithmetic with a scalar tensor that lies on the CPU",
        186580,
        "reported in June 2026; wrong values, too, #191929",
        lambda call: (
            call.base not in ("_to_copy", "copy", "_local_scalar_dense") and any(not x.is_meta for x in call.inputs)
        ),
    ),
    Known(
        "a product that reduces over more than 32768",
        193487,
        "2.7 to 2.13.0 on M1 and M2; #183535 in 2.14",
        lambda call: _is_product(call) and call.inputs[-1].shape[-2] > REDUCTION_LIMIT,
    ),
    Known(
        "more than 2^32 elements",
        197636,
        "open in September 2026",
        lambda call: any(x.numel() > ELEMENTS_LIMIT for x in (*call.inputs, *call.outputs)),
    ),
)


def faults(call) -> Iterator[str]:
    """What is wrong with one call, each in a sentence that names the operator."""
    dtypes = [str(x.dtype).removeprefix("torch.") for x in (*call.inputs, *call.outputs)]
    if wide := sorted({dtype for dtype in dtypes if dtype in ("float64", "complex128")}):
        yield f"aten.{call.name} computes in {wide[0]}, which MPS does not have"
    if call.within:  # adds its mask to float32 scores, in place where nobody records: reported to work, #178709
        pass
    elif mixed := _mixed(call):
        yield f"aten.{call.name} writes {mixed[0]} in place from {mixed[1]}; cast first, MPS may not mix them"
    elif mixed := _mixed_floats(call):
        yield f"aten.{call.name} mixes {' and '.join(mixed)}; cast first, for it can end the process on MPS ({MIXED})"
    for fault in KNOWN:
        if fault.meets(call):
            yield f"aten.{call.name} meets a known fault of MPS, {fault.name} ({fault.url}; {fault.releases})"


def _mixed(call) -> tuple[str, str] | None:
    """The dtype that an in-place operator writes and another that it reads."""
    if call.base == "copy" or not hasattr(call.function, "_schema"):
        return None
    written, read = [], []
    for x, spec in _specified(call):
        if spec.alias_info and spec.alias_info.is_write:
            written.append(x)
        elif spec.name not in PICKS:
            read.append(x)
    pairs = [(x.dtype, y.dtype) for x in written for y in read if x.dtype != y.dtype]
    return (str(pairs[0][0]).removeprefix("torch."), str(pairs[0][1]).removeprefix("torch.")) if pairs else None


def _mixed_floats(call) -> list[str]:
    """The floating dtypes of an element-wise operator's arguments, where there are two."""
    tags = [str(tag) for tag in getattr(call.function, "tags", ())]
    if not any(tag.endswith("pointwise") for tag in tags):
        return []
    found = sorted({str(x.dtype).removeprefix("torch.") for x in call.inputs if x.is_floating_point()})
    return found if len(found) > 1 else []


def _specified(call) -> Iterator[tuple]:
    """Each tensor among the arguments with its place in the operator's schema."""
    for i, spec in enumerate(call.function._schema.arguments):
        value = call.kwargs.get(spec.name, call.args[i] if i < len(call.args) else None)
        yield from ((x, spec) for x in (value if isinstance(value, list | tuple) else [value]) if hasattr(x, "dtype"))
