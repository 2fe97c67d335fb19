"""Softcapped linear cross-entropy that never holds more than a fixed number of bytes of float32 logits.

Rows are taken in chunks. The gradient is found in the forward pass while a chunk's logits are at hand, so nothing is
computed twice: with t = tanh(z / s), dL/dz = (softmax(s t) - onehot) (1 - t^2) / count.
N rows, C width, V vocabulary. Test with `pytest -m fast -k loss`.
"""

import mlx.core as mx

from impl.mlx import logit_kernel
from impl.mlx.gradient import again

CHUNK_BYTES = {"cpu": 2**22, "gpu": 2**28}  # of logits, as float32, for one product and what follows it


def softcapped(logits, softcap):  # (..., V) -> (..., V) float32
    """softcap * tanh(logits / softcap), after the cast to float32."""
    return softcap * mx.tanh(logits.astype(mx.float32) / softcap)


def row_nats(x, weight, targets, softcap):  # (N, C), (V, C), (N,) -> (N,) float32
    """Each row's cross-entropy in nats, 0 where the target is -1; no gradient."""
    table = weight.astype(x.dtype)
    nats = []
    for chunk, chunk_targets in _split(CHUNK_BYTES, len(table), x, targets):
        nats.append(_nats(_after(nats[-1:], chunk) @ table.T, chunk_targets, softcap)[0])
    return mx.concatenate(nats)


def cross_entropy(x, weight, targets, softcap):  # (N, C), (V, C) float32, (N,) -> () float32
    """Mean nats over the targets that are not -1; differentiable in x and weight, whose gradient sums in float32."""
    function = mx.custom_function(lambda x, weight: _loss_and_grads(x, weight, targets, softcap))

    @function.vjp
    def backward(primals, cotangents, outputs):
        cotangent, (_, dx, dweight) = cotangents[0], outputs
        return (cotangent * dx).astype(dx.dtype), cotangent * dweight

    return function(x, weight)[0]


def _loss_and_grads(x, weight, targets, softcap):  # -> (), (N, C), (V, C) float32
    count = _count(targets)
    table = weight.astype(x.dtype)
    nats, dx, dweight = [], [], mx.zeros_like(weight)
    for chunk, chunk_targets in _split(CHUNK_BYTES, len(table), x, targets):
        chunk = _after([dweight, *nats[-1:], *dx[-1:]], chunk)
        logits = chunk @ table.T
        if logit_kernel.serves(logits):
            chunk_nats, dlogits = logit_kernel.cross_entropy(logits, chunk_targets, count, softcap)
        else:
            chunk_nats, dlogits = _twice(logits, chunk_targets, count, softcap)
        nats.append(chunk_nats)
        dx.append(dlogits @ table)
        dweight = dweight + (dlogits.T @ chunk).astype(mx.float32)
    return mx.concatenate(nats).sum() / count, mx.concatenate(dx), dweight


def _twice(logits, targets, count, softcap):  # (n, V), (n,), () -> (n,) float32, (n, V)
    """Each row's cross-entropy and the derivative of their sum / count, in the logits' dtype."""
    nats, tanh, exps, total = _nats(logits, targets, softcap)
    if mx.default_device() != mx.cpu:  # where computing them again takes less time than storing them
        tanh, exps = _exponentials(again(logits), softcap)
    return nats, _dlogits(tanh, exps, total, targets, count).astype(logits.dtype).reshape(logits.shape)


def _exponentials(logits, softcap):  # (..., V) -> 2 x (..., V) float32
    """tanh(z / s) and exp(s tanh(z / s)); the softcap bounds the second, so it needs no shift."""
    tanh = mx.tanh(logits.astype(mx.float32) / softcap)
    return tanh, mx.exp(softcap * tanh)


def _nats(logits, targets, softcap):  # (n, V), (n,) -> (n,), 2 x (n, V), (n, 1); float32
    """Cross-entropy, both exponentials and the second's sum."""
    tanh, exps = _exponentials(logits, softcap)
    total = exps.sum(-1, keepdims=True)
    picked = softcapped(mx.take_along_axis(logits, mx.maximum(targets, 0)[:, None], -1), softcap)
    return mx.where(targets >= 0, (mx.log(total) - picked).squeeze(1), 0.0), tanh, exps, total


def _dlogits(tanh, exps, total, targets, count):  # -> (n, V) float32
    share, onehot = (targets >= 0)[:, None] / count, mx.arange(tanh.shape[-1]) == targets[:, None]
    return (exps / total - onehot) * (1 - tanh.square()) * share


def _count(targets):  # (N,) -> () float32
    return mx.maximum((targets >= 0).sum(), 1).astype(mx.float32)


def _split(limit_bytes, vocabulary, x, targets):  # (n, ...), (n,) -> pairs of rows
    """`x` and `targets` in pieces whose rows of float32 logits stay within the limit of the default device."""
    rows = max(1, limit_bytes["cpu" if mx.default_device() == mx.cpu else "gpu"] // (4 * vocabulary))
    return [(x[i : i + rows], targets[i : i + rows]) for i in range(0, x.shape[0], rows)]


def _after(arrays, x):
    """x, but not before `arrays` are there: else the scheduler may hold the logits of all chunks at once."""
    return mx.where(sum(array.reshape(-1)[:1] for array in arrays) == 0, x, x)
