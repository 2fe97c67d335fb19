"""Softcapped linear cross-entropy that never holds more than a fixed number of bytes of float32 logits.

Rows are taken in chunks. The gradient is found in the forward pass while a chunk's logits are at hand, so nothing is
computed twice: with c = s tanh(z / s), dL/dz = (softmax(c) - onehot) (1 - (c / s)^2) / count.
N rows, C width, V vocabulary. Test with `pytest -m fast -k loss`.
"""

import torch

CHUNK_BYTES = {"cpu": 2**22, "cuda": 2**28, "mps": 2**28}  # float32 logits of a chunk: a CPU's cache, a GPU's memory


def chunk_rows(x, vocab_size):  # (N, C) -> rows of a chunk
    """How many rows' float32 logits fit into a chunk on x's device."""
    return max(1, CHUNK_BYTES[x.device.type] // (4 * vocab_size))


def softcapped(logits, softcap):  # (..., V) -> (..., V) float32
    """softcap * tanh(logits / softcap), after the cast to float32."""
    return softcap * torch.tanh(logits.float() / softcap)


def row_nats(x, weight, targets, softcap):  # (N, C), (V, C), (N,) -> (N,) float32
    """Each row's cross-entropy in nats, 0 where the target is -1."""
    table = weight.to(x.dtype)
    rows = chunk_rows(x, weight.shape[0])
    chunks = zip(x.split(rows), targets.split(rows), strict=True)
    return torch.cat([_nats(softcapped(x @ table.T, softcap), targets) for x, targets in chunks])


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
        return (cotangent * dx).to(dx.dtype), cotangent * dweight, None, None


def _loss_and_grads(x, weight, targets, softcap):  # -> (), (N, C), (V, C) float32
    count = _count(targets)
    table = weight.to(x.dtype)
    rows = chunk_rows(x, weight.shape[0])
    nats, dx, dweight = [], [], torch.zeros_like(weight)
    for chunk, target in zip(x.split(rows), targets.split(rows), strict=True):
        capped = softcapped(chunk @ table.T, softcap)
        nats.append(_nats(capped, target))
        onehot = (torch.arange(weight.shape[0], device=x.device) == target[:, None]).float()
        scale = (target >= 0)[:, None] / count
        dlogits = ((torch.softmax(capped, -1) - onehot) * (1 - (capped / softcap).square()) * scale).to(x.dtype)
        dx.append(dlogits @ table)
        dweight = dweight + (dlogits.T @ chunk).float()
    return torch.cat(nats).sum() / count, torch.cat(dx), dweight


def _nats(capped, targets):  # (n, V) float32, (n,) -> (n,) float32
    picked = torch.take_along_dim(capped, targets.clamp(min=0)[:, None], -1)[:, 0]
    return torch.where(targets >= 0, torch.logsumexp(capped, -1) - picked, 0.0)


def _count(targets):  # (N,) -> () float32
    return (targets >= 0).sum().clamp(min=1).float()
