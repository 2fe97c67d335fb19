"""rms_norm(rope(x)) of bfloat16 heads on CUDA: one pass forward, one backward, keeping the result and a number a head.

MLX's own kernels take five passes, and its norm gives 64 threads to a row that needs 16. What that gained
is told in `reports/findings/mlx-cuda-step.md`. The gradient needs the result only: with y = r / rms(r),
dL/dr = (dL/dy - y mean(y dL/dy)) / rms(r), and back through the rotation by the opposite angle.
B batch, T tokens, H heads, D head size. Test with `pytest -m fast -k gpt --backend mlx-cuda`; without a GPU, with
`pytest -m meta -k cuda_kernels`.
"""

import mlx.core as mx

from impl.mlx import cuda

WARPS = 8  # of one block; a warp takes a head


def serves(x):  # (B, T, H, D) -> bool
    """Whether such heads are rotated and normed here."""
    return cuda.serves(x.dtype)


def rotated_norm(x, cos, sin, eps):  # (B, T, H, D) bf16, 2 x (T, D/2) -> (B, T, H, D)
    """RMS norm over D of the heads rotated to their place."""
    function = mx.custom_function(lambda x: tuple(_forward(x, cos, sin, eps)))

    @function.vjp
    def backward(x, cotangents, outputs):
        return _backward(cotangents[0], *outputs, cos, sin)

    return function(x)[0]


def _forward(x, cos, sin, eps):  # -> (B, T, H, D) bf16, (B, T, H) float32: 1 / rms
    inputs = {"x": x, "cos": cos, "sin": sin}
    outputs = {"y": (x.shape, x.dtype), "scale": (x.shape[:3], mx.float32)}
    return _launch("rotate_and_norm", cuda.literal("EPS", eps) + _ROTATE_AND_NORM, inputs, outputs)


def _backward(dy, y, scale, cos, sin):  # (B, T, H, D) x 2, (B, T, H), 2 x (T, D/2) -> (B, T, H, D)
    inputs = {"dy": dy, "y": y, "scale": scale, "cos": cos, "sin": sin}
    return _launch("rotate_and_norm_back", _BACK, inputs, {"dx": (y.shape, y.dtype)})[0]


def _launch(name, source, inputs, outputs):
    batch, tokens, heads, size = next(iter(outputs.values()))[0]
    count = batch * tokens * heads
    constants = {"COUNT": count, "TOKENS": tokens, "HEADS": heads, "HALF": size // 2}
    return cuda.launch(name, _HALVES + source, inputs, outputs, constants, -(-count // WARPS), 32 * WARPS, strided=True)


# Which head a warp takes, and which elements of its halves a thread: every 32nd.
_HALVES = """
constexpr int EACH = (HALF + 31) / 32;
const int lane = threadIdx.x % 32, row = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
if (row >= COUNT) return;
const int head = row % HEADS, token = row / HEADS % TOKENS, batch = row / HEADS / TOKENS;
const int64_t place = int64_t(row) * 2 * HALF;
const int angle = token * HALF;
"""

_ROTATE_AND_NORM = """
const auto* from = x + batch * x_strides[0] + token * x_strides[1] + head * x_strides[2];
float up[EACH], down[EACH], squares = 0;
for (int j = 0; j < EACH; ++j) {
  const int i = lane + 32 * j;
  if (i >= HALF) break;
  const float left = float(from[i * x_strides[3]]), right = float(from[(i + HALF) * x_strides[3]]);
  const float c = float(cos[angle + i]), s = float(sin[angle + i]);
  up[j] = left * c + right * s, down[j] = right * c - left * s;
  squares += up[j] * up[j] + down[j] * down[j];
}
for (int step = 16; step > 0; step /= 2) squares += __shfl_xor_sync(~0u, squares, step);
const float inverse = rsqrtf(squares / (2 * HALF) + EPS);
if (lane == 0) scale[row] = inverse;
for (int j = 0; j < EACH; ++j) {
  const int i = lane + 32 * j;
  if (i >= HALF) break;
  y[place + i] = __float2bfloat16(up[j] * inverse), y[place + i + HALF] = __float2bfloat16(down[j] * inverse);
}
"""

_BACK = """
const auto* from = dy + batch * dy_strides[0] + token * dy_strides[1] + head * dy_strides[2];
float left[EACH], right[EACH], dleft[EACH], dright[EACH], along = 0;
for (int j = 0; j < EACH; ++j) {
  const int i = lane + 32 * j;
  if (i >= HALF) break;
  left[j] = float(y[place + i]), right[j] = float(y[place + i + HALF]);
  dleft[j] = float(from[i * dy_strides[3]]), dright[j] = float(from[(i + HALF) * dy_strides[3]]);
  along += left[j] * dleft[j] + right[j] * dright[j];
}
for (int step = 16; step > 0; step /= 2) along += __shfl_xor_sync(~0u, along, step);
along /= 2 * HALF;
const float inverse = scale[row];
for (int j = 0; j < EACH; ++j) {
  const int i = lane + 32 * j;
  if (i >= HALF) break;
  const float up = (dleft[j] - left[j] * along) * inverse, down = (dright[j] - right[j] * along) * inverse;
  const float c = float(cos[angle + i]), s = float(sin[angle + i]);
  dx[place + i] = __float2bfloat16(up * c - down * s), dx[place + i + HALF] = __float2bfloat16(up * s + down * c);
}
"""
