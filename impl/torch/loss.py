"""Softcapped linear cross-entropy that never holds more than a fixed number of bytes of float32 logits.

Rows are taken in chunks. The gradient is found in the forward pass while a chunk's logits are at hand, so nothing is
computed twice: with t = tanh(z / s), dL/dz = (softmax(s t) - onehot) (1 - t^2) / count.
N rows, C width, V vocabulary. Test with `pytest -m fast -k loss`.
"""

from importlib.util import find_spec

import torch

if find_spec("triton"):  # comes with PyTorch for CUDA
    from impl.torch import logit_kernel
else:
    logit_kernel = None

CHUNK_BYTES = {"cpu": 2**24, "cuda": 2**28, "mps": 2**28}  # of logits, as float32, for one product
BLOCK_BYTES = {"cpu": 2**20, "cuda": 2**28, "mps": 2**28}  # of those, for the element-wise operations: a CPU's cache


def softcapped(logits, softcap):  # (..., V) -> (..., V) float32
    """softcap * tanh(logits / softcap), after the cast to float32."""
    return softcap * torch.tanh(logits.float() / softcap)


def row_nats(x, weight, targets, softcap):  # (N, C), (V, C), (N,) -> (N,) float32
    """Each row's cross-entropy in nats, 0 where the target is -1; no gradient."""
    table = weight.to(x.dtype)
    nats = []
    for chunk, chunk_targets in _split(CHUNK_BYTES, len(table), x, targets):
        for block, block_targets in _split(BLOCK_BYTES, len(table), chunk @ table.T, chunk_targets):
            nats.append(_nats(block, block_targets, softcap)[0])
    return torch.cat(nats)


def cross_entropy(x, weight, targets, softcap):  # (N, C), (V, C) float32, (N,) -> () float32
    """Mean nats over the targets that are not -1; differentiable in x and weight, whose gradient sums in float32."""
    return _CrossEntropy.apply(x, weight, targets, softcap)


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, targets, softcap):
        if not any(ctx.needs_input_grad):
            return row_nats(x, weight, targets, softcap).sum() / _count(targets)
        loss, dx, dweight = _loss_and_grads(x, weight, targets, softcap)
        ctx.save_for_backward(dx, dweight)
        return loss

    @staticmethod
    def backward(ctx, cotangent):
        dx, dweight = ctx.saved_tensors
        return cotangent.to(dx.dtype) * dx, cotangent * dweight, None, None


def _loss_and_grads(x, weight, targets, softcap):  # -> (), (N, C), (V, C) float32
    count = _count(targets)
    table = weight.to(x.dtype)
    nats, dx, dweight = [], [], torch.zeros_like(weight)
    one_pass = logit_kernel is not None and x.device.type == "cuda" and x.dtype == torch.bfloat16
    for chunk, chunk_targets in _split(CHUNK_BYTES, len(table), x, targets):
        logits = chunk @ table.T
        if one_pass:
            nats.append(logit_kernel.cross_entropy(logits, chunk_targets, count, softcap))
            dlogits = logits
        else:
            chunk_nats, dlogits = _in_blocks(logits, chunk_targets, count, softcap)
            nats.append(chunk_nats)
        dx.append(dlogits @ table)
        dweight += (dlogits.T @ chunk).float()
    return torch.cat(nats).sum() / count, torch.cat(dx), dweight


def _in_blocks(logits, targets, count, softcap):  # (n, V), (n,), () -> (n,) float32, (n, V)
    """Each row's cross-entropy and the derivative of their sum / count, in the logits' dtype."""
    nats, dlogits = [], []
    for block, block_targets in _split(BLOCK_BYTES, logits.shape[1], logits, targets):
        block_nats, tanh, exps, total = _nats(block, block_targets, softcap)
        nats.append(block_nats)
        dlogits.append(_dlogits(tanh, exps, total, block_targets, count).to(logits.dtype))
    return torch.cat(nats), dlogits[0] if len(dlogits) == 1 else torch.cat(dlogits)


def _nats(logits, targets, softcap):  # (n, V), (n,) -> (n,), 2 x (n, V), (n, 1); float32
    """Cross-entropy, tanh(z / s), exp(s tanh(z / s)) and its sum: the softcap bounds it, so it needs no shift."""
    tanh = logits.float().div_(softcap).tanh_()
    exps = torch.mul(tanh, softcap).exp_()
    total = exps.sum(-1, keepdim=True)
    picked = softcap * tanh.gather(-1, targets.clamp(min=0)[:, None])
    return torch.where(targets >= 0, (torch.log(total) - picked)[:, 0], 0.0), tanh, exps, total


def _dlogits(tanh, exps, total, targets, count):  # -> (n, V) float32, in place of tanh and exps
    share, index = (targets >= 0)[:, None] / count, targets.clamp(min=0)[:, None]
    slope = tanh.square_().neg_().add_(1)
    at_target = -share * slope.gather(-1, index)
    return exps.mul_(slope).mul_(share / total).scatter_add_(-1, index, at_target)


def _count(targets):  # (N,) -> () float32
    return (targets >= 0).sum().clamp(min=1).float()


def _split(limit_bytes, vocabulary, x, targets):  # (n, ...), (n,) -> pairs of rows
    """`x` and `targets` in pieces whose rows of float32 logits stay within the limit of x's device."""
    rows = max(1, limit_bytes[x.device.type] // (4 * vocabulary))
    return zip(x.split(rows), targets.split(rows), strict=True)
