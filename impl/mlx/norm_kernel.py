"""RMS norm of bfloat16 rows on CUDA: one pass forward, one backward, keeping the result and a number a row.

MLX's own reads its weight, a one where none is given, from the host's memory in every block. The gradient needs the
result only: with y = x / rms(x), dL/dx = (dL/dy - y mean(y dL/dy)) / rms(x). N elements of a row.
Test with `pytest -m fast -k "norm or gpt" --backend mlx-cuda`; without a GPU, with `pytest -m meta -k cuda_kernels`.
"""

import math

import mlx.core as mx

from impl.mlx import cuda

WARPS = 8  # of one block; a warp takes a row
MOST = 2**13  # elements of a row, of which a thread holds its share in registers


def serves(x):  # (..., N) -> bool
    """Whether such rows are normed here."""
    return cuda.serves(x.dtype) and x.shape[-1] <= MOST


def rms_norm(x, eps):  # (..., N) bf16 -> (..., N)
    """x / sqrt(mean(x^2) + eps) over the last axis."""
    function = mx.custom_function(lambda x: tuple(_forward(x, eps)))

    @function.vjp
    def backward(x, cotangents, outputs):
        return _backward(cotangents[0], *outputs)

    return function(x)[0]


def _forward(x, eps):  # -> (..., N) bf16, (...) float32: 1 / rms
    outputs = {"y": (x.shape, x.dtype), "scale": (x.shape[:-1], mx.float32)}
    return _launch("rms_norm", cuda.literal("EPS", eps) + _NORM, {"x": x}, outputs)


def _backward(dy, y, scale):  # 2 x (..., N), (...) -> (..., N)
    return _launch("rms_norm_back", _BACK, {"dy": dy, "y": y, "scale": scale}, {"dx": (y.shape, y.dtype)})[0]


def _launch(name, source, inputs, outputs):
    (*rows, size), _ = next(iter(outputs.values()))
    width, count = cuda.width(size, 8), math.prod(rows)
    constants = {"ROWS": count, "PACKS": size // width, "WIDTH": width, "EACH": -(-size // (32 * width))}
    return cuda.launch(name, cuda.PACK + _ROW + source, inputs, outputs, constants, -(-count // WARPS), 32 * WARPS)


# Which row a warp takes. Every 32nd pack of it is a thread's, and stays in its registers.
_ROW = """
const int lane = threadIdx.x % 32;
const int64_t row = int64_t(blockIdx.x) * (blockDim.x / 32) + threadIdx.x / 32;
if (row >= ROWS) return;
"""

_NORM = """
Pack held[EACH];
float squares = 0;
#pragma unroll
for (int j = 0; j < EACH; ++j) {
  const int i = lane + 32 * j;
  if (i < PACKS) {
    held[j] = reinterpret_cast<const Pack*>(x)[row * PACKS + i];
    #pragma unroll
    for (int k = 0; k < WIDTH; ++k) squares += __bfloat162float(held[j].of[k]) * __bfloat162float(held[j].of[k]);
  }
}
for (int step = 16; step > 0; step /= 2) squares += __shfl_xor_sync(~0u, squares, step);
const float inverse = rsqrtf(squares / (PACKS * WIDTH) + EPS);
if (lane == 0) scale[row] = inverse;
#pragma unroll
for (int j = 0; j < EACH; ++j) {
  const int i = lane + 32 * j;
  if (i < PACKS) {
    #pragma unroll
    for (int k = 0; k < WIDTH; ++k) held[j].of[k] = __float2bfloat16(__bfloat162float(held[j].of[k]) * inverse);
    reinterpret_cast<Pack*>(y)[row * PACKS + i] = held[j];
  }
}
"""

_BACK = """
Pack result[EACH], slope[EACH];
float along = 0;
#pragma unroll
for (int j = 0; j < EACH; ++j) {
  const int i = lane + 32 * j;
  if (i < PACKS) {
    result[j] = reinterpret_cast<const Pack*>(y)[row * PACKS + i];
    slope[j] = reinterpret_cast<const Pack*>(dy)[row * PACKS + i];
    #pragma unroll
    for (int k = 0; k < WIDTH; ++k) along += __bfloat162float(result[j].of[k]) * __bfloat162float(slope[j].of[k]);
  }
}
for (int step = 16; step > 0; step /= 2) along += __shfl_xor_sync(~0u, along, step);
along /= PACKS * WIDTH;
const float inverse = scale[row];
#pragma unroll
for (int j = 0; j < EACH; ++j) {
  const int i = lane + 32 * j;
  if (i < PACKS) {
    Pack pack;
    #pragma unroll
    for (int k = 0; k < WIDTH; ++k) {
      const float across = __bfloat162float(slope[j].of[k]) - __bfloat162float(result[j].of[k]) * along;
      pack.of[k] = __float2bfloat16(across * inverse);
    }
    reinterpret_cast<Pack*>(dx)[row * PACKS + i] = pack;
  }
}
"""
