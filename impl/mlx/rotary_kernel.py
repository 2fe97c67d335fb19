"""rms_norm(rope(x)) of bfloat16 heads on CUDA: one pass forward, one backward, keeping the result and a number a head.

MLX's own kernels take five passes, and its norm gives 64 threads to a row that needs 16. Both of these are 3 % of a
step's kernels on an H200 at preset h100 (`python -m bench.kernels mlx-cuda`); what that gained is told in
`reports/findings/mlx-cuda-step.md`. The gradient needs the result only: with y = r / rms(r),
dL/dr = (dL/dy - y mean(y dL/dy)) / rms(r), and back through the rotation by the opposite angle.
B batch, T tokens, H heads, D head size. Test with `pytest -m fast -k gpt --backend mlx-cuda`.
"""

from functools import lru_cache

import mlx.core as mx

WARPS = 8  # of one block; a warp takes a head


def serves(x):  # (B, T, H, D) -> bool
    """Whether such heads are rotated and normed here."""
    if x.dtype != mx.bfloat16 or mx.default_device() == mx.cpu or not hasattr(mx.fast, "cuda_kernel"):
        return False
    return mx.cuda.is_available()


def rotated_norm(x, cos, sin, eps):  # (B, T, H, D) bf16, 2 x (T, D/2) -> (B, T, H, D)
    """RMS norm over D of the heads rotated to their place."""
    function = mx.custom_function(lambda x: tuple(_forward(x, cos, sin, eps)))

    @function.vjp
    def backward(x, cotangents, outputs):
        return _backward(cotangents[0], *outputs, cos, sin)

    return function(x)[0]


def _forward(x, cos, sin, eps):  # -> (B, T, H, D) bf16, (B, T, H) float32: 1 / rms
    kernel = _kernel("rotate_and_norm", ("x", "cos", "sin", "eps"), ("y", "scale"), _ROTATE_AND_NORM)
    return _launch(kernel, x, [x, cos, sin, eps], {x.shape: x.dtype, x.shape[:3]: mx.float32})


def _backward(dy, y, scale, cos, sin):  # (B, T, H, D) x 2, (B, T, H), 2 x (T, D/2) -> (B, T, H, D)
    kernel = _kernel("back", ("dy", "y", "scale", "cos", "sin"), ("dx",), _BACK)
    return _launch(kernel, y, [dy, y, scale, cos, sin], {y.shape: y.dtype})[0]


@lru_cache
def _kernel(name, inputs, outputs, source):
    return mx.fast.cuda_kernel(name, inputs, outputs, _HALVES + source, ensure_row_contiguous=False)


def _launch(kernel, x, arrays, outputs):
    batch, tokens, heads, size = x.shape
    count = batch * tokens * heads
    return kernel(
        inputs=arrays,
        template=[("COUNT", count), ("TOKENS", tokens), ("HEADS", heads), ("HALF", size // 2)],
        grid=(-(-count // WARPS) * WARPS * 32, 1, 1),
        threadgroup=(WARPS * 32, 1, 1),
        output_shapes=list(outputs),
        output_dtypes=list(outputs.values()),
    )


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
const float inverse = rsqrtf(squares / (2 * HALF) + eps[0]);
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
