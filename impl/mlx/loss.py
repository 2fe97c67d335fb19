"""Softcapped linear cross-entropy that never holds more than a fixed number of bytes of float32 logits.

Rows are taken in chunks. The gradient is found in the forward pass while a chunk's logits are at hand, so nothing is
computed twice: with c = s tanh(z / s), dL/dz = (softmax(c) - onehot) (1 - (c / s)^2) / count.
N rows, C width, V vocabulary. Test with `pytest -m fast -k loss`.
"""

import mlx.core as mx

CHUNK_BYTES = {"cpu": 2**22, "gpu": 2**28}  # float32 logits of a chunk: a CPU's cache, a GPU's memory


def chunk_rows(x, vocab_size):  # (N, C) -> rows of a chunk
    """How many rows' float32 logits fit into a chunk on the default device."""
    return max(1, CHUNK_BYTES["cpu" if mx.default_device() == mx.cpu else "gpu"] // (4 * vocab_size))


def softcapped(logits, softcap):  # (..., V) -> (..., V) float32
    """softcap * tanh(logits / softcap), after the cast to float32."""
    return softcap * mx.tanh(logits.astype(mx.float32) / softcap)


def row_nats(x, weight, targets, softcap):  # (N, C), (V, C), (N,) -> (N,) float32
    """Each row's cross-entropy in nats, 0 where the target is -1."""
    table = weight.astype(x.dtype)
    rows = chunk_rows(x, weight.shape[0])
    nats = []
    for chunk, target in zip(_split(x, rows), _split(targets, rows), strict=True):
        nats.append(_nats(softcapped(_after(nats[-1:], chunk) @ table.T, softcap), target))
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
    rows = chunk_rows(x, weight.shape[0])
    nats, dx, dweight = [], [], mx.zeros_like(weight)
    for chunk, target in zip(_split(x, rows), _split(targets, rows), strict=True):
        chunk = _after([dweight, *nats[-1:], *dx[-1:]], chunk)
        capped = softcapped(chunk @ table.T, softcap)
        nats.append(_nats(capped, target))
        onehot = mx.arange(weight.shape[0]) == target[:, None]
        scale = (target >= 0)[:, None] / count
        dlogits = ((mx.softmax(capped, -1) - onehot) * (1 - (capped / softcap).square()) * scale).astype(x.dtype)
        dx.append(dlogits @ table)
        dweight = dweight + (dlogits.T @ chunk).astype(mx.float32)
    return mx.concatenate(nats).sum() / count, mx.concatenate(dx), dweight


def _nats(capped, targets):  # (n, V) float32, (n,) -> (n,) float32
    picked = mx.take_along_axis(capped, mx.maximum(targets, 0)[:, None], -1)[:, 0]
    return mx.where(targets >= 0, mx.logsumexp(capped, -1) - picked, 0.0)


def _count(targets):  # (N,) -> () float32
    return mx.maximum((targets >= 0).sum(), 1).astype(mx.float32)


def _split(x, rows):  # (N, ...) -> chunks of at most `rows`
    return [x[start : start + rows] for start in range(0, x.shape[0], rows)]


def _after(arrays, x):
    """x, but not before `arrays` are there: else the scheduler may hold the logits of all chunks at once."""
    return mx.where(sum(array.reshape(-1)[0] for array in arrays) == 0, x, x)
