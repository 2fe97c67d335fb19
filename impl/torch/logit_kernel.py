"""Cross-entropy of bfloat16 logits and its derivative in one pass over them on CUDA, the derivative in their place.

PyTorch's compiler passes over them three times, the gradient once in float32. tanh is computed from an exponential: off
by up to 1e-7, which float32 logits would show and bfloat16's, whose grid is 4e-3 wide, do not. n rows, V vocabulary.
Test with `pytest -m fast -k loss --backend torch-cuda`.
"""

import torch
import triton
import triton.language as tl
from triton.language.extra import libdevice

LOG2_E = tl.constexpr(1.4426950408889634)


@torch.library.custom_op("nanomark::cross_entropy", mutates_args=("logits",))
def cross_entropy(
    logits: torch.Tensor, targets: torch.Tensor, count: torch.Tensor, softcap: float
) -> torch.Tensor:  # (n, V) bf16, (n,) int64, () float32 -> (n,) float32
    """Each row's nats, 0 where the target is -1; `logits` then hold the derivative of the sum over rows / count."""
    rows, vocabulary = logits.shape
    nats = torch.empty(rows, dtype=torch.float32, device=logits.device)
    width = triton.next_power_of_2(vocabulary)
    _row[(rows,)](logits, targets, count, nats, vocabulary, softcap, width, num_warps=min(16, max(1, width // 512)))
    return nats


@cross_entropy.register_fake
def _shapes(logits, targets, count, softcap):
    return torch.empty(logits.shape[0], dtype=torch.float32, device=logits.device)


@triton.jit
def _row(logits, targets, count, nats, vocabulary, softcap, width: tl.constexpr):
    """One row a program, held in registers. With s the softcap, p = 1 / (1 + exp(2 z / s)): tanh(z / s) = 1 - 2 p.

    Only p is held: exponentials found twice leave room for more rows at a time, and a GPU's are of base 2.
    """
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, width)
    inside = column < vocabulary
    place = logits + row * vocabulary
    target = tl.load(targets + row)
    at_target = tl.load(place + tl.maximum(target, 0)).to(tl.float32)
    top = softcap * LOG2_E
    z = tl.load(place + column, mask=inside, other=0.0).to(tl.float32)
    p = libdevice.fast_dividef(1.0, 1.0 + tl.exp2(2.0 * LOG2_E / softcap * z))
    total = tl.sum(tl.where(inside, tl.exp2(top - 2.0 * top * p), 0.0), 0)  # the softcap bounds them: no shift
    scored = target >= 0
    capped = softcap - 2.0 * softcap / (1.0 + tl.exp(2.0 / softcap * at_target))
    tl.store(nats + row, tl.where(scored, tl.log(total) - capped, 0.0))
    share = tl.where(scored, 1.0 / tl.load(count), 0.0)
    slope = 4.0 * p * (1.0 - p)  # 1 - tanh^2
    softmax = tl.exp2(top - tl.log2(total) - 2.0 * top * p)
    dlogits = (softmax - tl.where(column == target, 1.0, 0.0)) * slope * share
    tl.store(place + column, dlogits.to(tl.bfloat16), mask=inside)
