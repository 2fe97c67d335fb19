"""PyTorch's own operator table, as shipped inside its package: which aten operators have a kernel for MPS.

Test with `pytest -m fast -k mps_ops`.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path


@dataclass(frozen=True)
class Entry:
    """An operator: the table's row that holds its MPS kernel ("" for none), its composite kernel's key ("" for none),
    and whether it only makes another view of what it was given."""

    kernel: str
    composite: str
    view: bool


def missing() -> str | None:
    """Why there is no table to read here, or None."""
    for module in ("torch", "torchgen", "yaml"):
        try:
            __import__(module)
        except (ImportError, OSError, ValueError) as error:  # the others: a shared library that is not there
            return f"the operator table needs {module}, which does not import: {str(error).splitlines()[0]}"
    return None


@lru_cache
def entries() -> dict[str, Entry]:
    """Every aten operator by "name.overload", generated out= variants left out."""
    import torchgen
    from torchgen.gen import parse_native_yaml
    from torchgen.model import DispatchKey

    folder = Path(str(torchgen.__file__)).parent / "packaged/ATen/native"
    parsed = parse_native_yaml(str(folder / "native_functions.yaml"), str(folder / "tags.yaml"))
    kernels = parsed.backend_indices[DispatchKey.MPS].index

    def entry(function) -> Entry:
        rows = (function.func.name, function.structured_delegate)
        return Entry(
            kernel=next((str(row) for row in rows if row in kernels), ""),
            composite="CompositeExplicitAutograd" * function.has_composite_explicit_autograd_kernel
            or "CompositeExplicitAutogradNonFunctional" * function.has_composite_explicit_autograd_non_functional_kernel
            or "CompositeImplicitAutograd" * function.has_composite_implicit_autograd_kernel,
            view=function.is_view_op,
        )

    return {str(function.func.name): entry(function) for function in parsed.native_functions}
