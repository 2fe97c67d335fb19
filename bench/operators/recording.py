"""Records every aten operator of a computation on `meta` tensors that take themselves for MPS ones.

Such a tensor answers "mps" when asked for its device, and what is asked of "mps" is made on `meta`, so that code takes
the branches that it takes on a Mac; attention also takes those of PyTorch's own C++ that builds for other systems leave
out. Below autograd every operator is seen with its dtypes, forward and backward, and composites are taken apart until
there is a kernel. What a composite in C++ decides by device without asking for it is not seen.
Test with `pytest -m fast -k mps_ops`.
"""

from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from traceback import extract_stack
from typing import Any
from unittest.mock import patch

from bench.operators import known
from bench.operators.table import Entry, entries

ABSENT = Entry(kernel="", composite="", view=False)
ATTENTION = "scaled_dot_product_attention"
# What the table cannot say. copy_ was read in PyTorch's source; that the view runs everywhere is inferred, not read.
UNKNOWN = {
    "aten._unsafe_view": "another view of one array, made in C++ without another operator",
    "aten.copy_": "its composite kernel branches to mps_copy_ in C++, at the head of Copy.cpp",
}


@dataclass(frozen=True)
class Call:
    """One operator at work, as `known.py` judges it: "name.overload", its function, what it was given and returned."""

    name: str
    function: Any
    args: tuple
    kwargs: dict
    inputs: list
    outputs: list
    within: str = ""  # the call of PyTorch's whose part it is

    @property
    def base(self) -> str:
        """The name without its overload and without the mark of in-place."""
        return self.name.split(".")[0].rstrip("_")


@dataclass
class Recording:
    """Operators with their dtypes and what runs them; and what is wrong with some, each with the line that did it."""

    lines: set[str] = field(default_factory=set)
    faults: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    _children: list[set[str]] = field(default_factory=list)
    _within: str = ""

    @contextmanager
    def on(self):
        """Record what this thread does inside."""
        import torch

        functional, device = torch.nn.functional, torch.Tensor.device
        attention = functional.scaled_dot_product_attention

        def as_on_a_mac(x):  # except to PyTorch itself at work on an operator
            return torch.device("mps") if x.is_meta and not self._children else device.__get__(x)

        with (
            patch.object(torch.Tensor, "device", property(as_on_a_mac)),
            patch.object(functional, "scaled_dot_product_attention", partial(self._attention, attention)),
            _modes(self.operator),
        ):
            yield self

    def operator(self, mode, function, args, kwargs):
        """What `function`, an operator that autograd has had its say about, returns."""
        inputs = _tensors((args, kwargs))
        if not any(x.is_meta for x in inputs) and getattr(kwargs.get("device"), "type", "") != "meta":
            return function(*args, **kwargs)
        namespace, name = str(function).removesuffix(".default").split(".", 1)
        entry = entries().get(name, ABSENT) if namespace == "aten" else ABSENT
        self._children.append(set())
        result = _run(mode, function, args, kwargs, entry)
        children = self._children.pop()
        if self._children:
            self._children[-1].add(name)
        call = Call(name, function, args, kwargs, inputs, _tensors(result), self._within)
        taken, given = _dtypes((*args, *kwargs.values())), _dtypes(result if isinstance(result, tuple) else (result,))
        self.lines.add(f"{namespace}.{name} ({taken}) -> ({given}): {self._how(namespace, name, entry, children)}")
        self._judge(call)
        return result

    def unresolved(self) -> set[str]:
        """Operators of which the table does not say how MPS runs them, and nobody else has."""
        return {
            f"{name} is not resolved; find out how MPS runs it, then list it in UNKNOWN"
            for name in self.unknown - {*UNKNOWN}
        }

    def _attention(self, function, *args, **kwargs):
        """As PyTorch dispatches it on MPS, which builds for other systems leave out."""
        import torch

        self._judge(Call(ATTENTION, function, args, kwargs, inputs := _tensors((args, kwargs)), []))
        differentiated = torch.is_grad_enabled() and any(x.requires_grad for x in inputs)
        self._within = ATTENTION
        try:
            return (function if differentiated else _attention_kernel)(*args, **kwargs)
        finally:
            self._within = ""

    def _how(self, namespace, name, entry, children) -> str:
        if entry.kernel:
            return "kernel" if entry.kernel == name else f"kernel {entry.kernel}"
        if entry.composite and entry.view:
            return "view"
        if entry.composite and children:
            return f"composite of {', '.join(sorted(children))}"
        if entry.composite or namespace != "aten":
            self.unknown.add(f"{namespace}.{name}")
            return "unknown"
        self.faults.add(f"aten.{name} has neither an MPS kernel nor parts that have; {_where()}")
        return "none"

    def _judge(self, call: Call):
        self.faults |= {f"{fault}; {_where()}" for fault in known.faults(call)}


@contextmanager
def _modes(operator):
    """PyTorch's ways to make on `meta` what is asked of "mps", and to hand every operator to `operator`.

    The classes are made here, for PyTorch is imported when asked for.
    """
    import torch
    from torch.overrides import TorchFunctionMode
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_map

    def placed(x):
        is_mps = x == "mps" if isinstance(x, str) else isinstance(x, torch.device) and x.type == "mps"
        return torch.device("meta") if is_mps else x

    class Above(TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            if function is not torch.device:
                args, kwargs = tree_map(placed, (args, kwargs or {}))
            return function(*args, **(kwargs or {}))

    class Below(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            return operator(self, function, args, kwargs or {})

    with Below(), Above():
        yield


def _run(mode, function, args, kwargs, entry: Entry):
    """What the operator returns; a composite without a kernel of its own shows its parts to `mode`."""
    import torch

    if function is torch.ops.aten._local_scalar_dense.default:
        return torch.zeros((), dtype=args[0].dtype).item()
    if function is torch.ops.aten._to_copy.default and getattr(kwargs.get("device"), "type", "") == "cpu":
        with mode:
            args[0].clone()  # the copy that `meta`, which holds no values, cannot make
        return torch.zeros(args[0].shape, dtype=kwargs.get("dtype") or args[0].dtype)
    if entry.kernel or entry.view or not entry.composite:
        return function(*args, **kwargs)
    with mode:
        return function._op_dk(getattr(torch._C.DispatchKey, entry.composite), *args, **kwargs)


def _attention_kernel(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False):
    """PyTorch's attention on MPS where nothing is differentiated: a boolean mask made an additive one, and a kernel."""
    import torch

    if attn_mask is not None and attn_mask.dtype == torch.bool:
        zero, never = (torch.scalar_tensor(x, dtype=query.dtype, device=query.device) for x in (0.0, -torch.inf))
        attn_mask = torch.where(attn_mask, zero, never)
    share = query.shape[-3] // key.shape[-3] if enable_gqa else 1
    key, value = (x.repeat_interleave(share, -3) if share > 1 else x for x in (key, value))
    kernel = torch.ops.aten._scaled_dot_product_attention_math_for_mps
    return kernel(query, key, value, attn_mask, dropout_p, is_causal, None, scale=scale)[0]


def _tensors(tree) -> list:
    """The tensors in lists, tuples and dictionaries."""
    import torch

    if isinstance(tree, torch.Tensor):
        return [tree]
    values = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list | tuple) else ()
    return [x for value in values for x in _tensors(value)]


def _dtypes(values) -> str:
    """The dtypes of tensors among `values`; those of a list, however long, in brackets."""
    names = []
    for value in values:
        found = sorted({str(x.dtype).removeprefix("torch.") for x in _tensors(value)})
        names += [f"[{', '.join(found)}]"] if isinstance(value, list) and found else found
    return ", ".join(names)


def _where() -> str:
    """The innermost line of ours that is being run; a backward pass runs none but the one that asked for it."""
    ours = [frame for frame in extract_stack() if "/impl/" in frame.filename.replace("\\", "/")]
    return f"at {ours[-1].filename.split('impl')[-1][1:]}:{ours[-1].lineno}, {ours[-1].line}" if ours else "not in impl"
