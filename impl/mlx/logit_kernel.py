"""Cross-entropy of bfloat16 logits and its derivative in one pass over them on CUDA.

MLX's compiler passes over them three times, twice through the exponentials. tanh is computed from an exponential: off
by up to 1e-7, which float32 logits would show and bfloat16's, whose grid is 4e-3 wide, do not. n rows, V vocabulary.
Test with `pytest -m fast -k loss --backend mlx-cuda`; without a GPU, with `pytest -m meta -k cuda_kernels`.
"""

import mlx.core as mx

from impl.mlx import cuda

THREADS = 512  # of a row
MOST = 2**15  # of a vocabulary, of which a thread holds its share in registers


def serves(logits):  # (n, V) -> bool
    """Whether such logits are passed over here."""
    return cuda.serves(logits.dtype) and logits.shape[1] <= MOST


def cross_entropy(logits, targets, count, softcap):  # (n, V) bf16, (n,), () float32 -> (n,) float32, (n, V) bf16
    """Each row's nats, 0 where the target is -1, and the derivative of the sum over rows / count."""
    rows, vocabulary = logits.shape
    width = cuda.width(vocabulary, 8)
    return cuda.launch(
        "cross_entropy",
        cuda.literal("SOFTCAP", softcap) + _ROW,
        {"logits": logits, "targets": targets, "count": count},
        {"nats": ((rows,), mx.float32), "dlogits": (logits.shape, logits.dtype)},
        {"VOCABULARY": vocabulary, "WIDTH": width, "EACH": -(-vocabulary // (width * THREADS)), "THREADS": THREADS},
        blocks=rows,
        threads=THREADS,
    )


# One row a block, held in registers. With s the softcap, p = 1 / (1 + exp(2 z / s)): tanh(z / s) = 1 - 2 p. Only p is
# held: exponentials found twice leave room for more rows at a time, and a GPU's are of base 2.
_ROW = (
    cuda.PACK
    + """
constexpr int PACKS = VOCABULARY / WIDTH;
constexpr float LOG2_E = 1.4426950408889634f;
const int64_t row = blockIdx.x;
const auto* from = reinterpret_cast<const Pack*>(logits) + row * PACKS;
auto* to = reinterpret_cast<Pack*>(dlogits) + row * PACKS;
constexpr float s = SOFTCAP, rate = 2 * LOG2_E / s, top = s * LOG2_E;
float p[EACH][WIDTH], total = 0;
#pragma unroll
for (int j = 0; j < EACH; ++j) {
  const int i = threadIdx.x + j * THREADS;
  if (i < PACKS) {
    const Pack pack = from[i];
    #pragma unroll
    for (int k = 0; k < WIDTH; ++k) {
      p[j][k] = __fdividef(1.0f, 1.0f + exp2f(rate * __bfloat162float(pack.of[k])));
      total += exp2f(top - 2 * top * p[j][k]);  // the softcap bounds them: no shift
    }
  }
}
__shared__ float of_warps[THREADS / 32];
for (int step = 16; step > 0; step /= 2) total += __shfl_xor_sync(~0u, total, step);
if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = total;
__syncthreads();
total = 0;
for (int i = 0; i < THREADS / 32; ++i) total += of_warps[i];
const int target = targets[row];
if (threadIdx.x == 0) {
  const float capped = target < 0 ? 0 : s * tanhf(__bfloat162float(logits[row * VOCABULARY + target]) / s);
  nats[row] = target < 0 ? 0 : logf(total) - capped;
}
const float share = target < 0 ? 0 : 1 / count[0], shift = top - log2f(total);
#pragma unroll
for (int j = 0; j < EACH; ++j) {
  const int i = threadIdx.x + j * THREADS;
  if (i < PACKS) {
    Pack pack;
    #pragma unroll
    for (int k = 0; k < WIDTH; ++k) {
      const float softmax = exp2f(shift - 2 * top * p[j][k]), slope = 4 * p[j][k] * (1 - p[j][k]);  // 1 - tanh^2
      pack.of[k] = __float2bfloat16((softmax - (i * WIDTH + k == target)) * slope * share);
    }
    to[i] = pack;
  }
}
"""
)
