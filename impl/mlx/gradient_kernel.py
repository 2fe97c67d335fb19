"""Gradients of `impl.mlx.gradient` for bfloat16 on CUDA, each in one pass over its arrays.

MLX's products of two vectors give each row a block of which one warp works; its gather copies at a tenth of the
memory's speed. Test with `pytest -m fast -k "gpt or pieces" --backend mlx-cuda`; without a GPU, with `pytest -m meta -k
cuda_kernels`.
"""

import math

import mlx.core as mx

from impl.mlx import cuda

BLOCKS, THREADS = 1024, 256  # that walk over all elements


def scaled_sum(dy, x, start, keep, add):  # 3 x (..., C) bf16, 2 x () float32 -> 2 x (..., C), 2 x () float32
    """Those of keep * x + add * start."""
    width = cuda.width(x.size, 8)
    dx, dstart, parts = cuda.launch(
        "scaled_sum_back",
        _SCALED_SUM,
        {"dy": dy, "x": x, "start": start, "keep": keep, "add": add},
        {"dx": (x.shape, x.dtype), "dstart": (x.shape, x.dtype), "parts": ((BLOCKS, 2), mx.float32)},
        {"PACKS": x.size // width, "WIDTH": width},
        BLOCKS,
        THREADS,
    )
    dkeep, dadd = parts.sum(0)
    return dx, dstart, dkeep, dadd


def scaled_rows(dy, y, scale):  # 2 x (..., N) bf16, (...) float32 -> (..., N), (...) float32
    """Those of y and scale in x + scale * y."""
    width, warps = cuda.width(y.shape[-1], 4), THREADS // 32
    return cuda.launch(
        "scaled_rows_back",
        _SCALED_ROWS,
        {"dy": dy, "y": y, "scale": scale},
        {"dx": (y.shape, y.dtype), "dscale": (scale.shape, mx.float32)},
        {"ROWS": scale.size, "PACKS": y.shape[-1] // width, "WIDTH": width},
        -(-scale.size // warps),
        THREADS,
    )


def joined(parts, ranges, shape):  # [(B, t, H, D)] bf16, (B, T, H, D) -> (B, T, H, D)
    """The sum of what `parts` hold of each token; each holds a range."""
    (_, tokens, heads, size), names = shape, [f"x{i}" for i in range(len(parts))]
    width = cuda.width(size, 8)
    packs = math.prod(shape) // width
    adds = (_ADD_PART.format(x=x, start=r.start, stop=r.stop) for x, r in zip(names, ranges, strict=True))
    return cuda.launch(
        "joined",
        _JOINED.replace("ADD_PARTS", "".join(adds)),
        dict(zip(names, parts, strict=True)),
        {"y": (shape, parts[0].dtype)},
        {"COUNT": packs, "TOKENS": tokens, "HEADS": heads, "PACKS": size // width, "WIDTH": width},
        -(-packs // THREADS),
        THREADS,
        strided=True,
    )[0]


def rows(table, tokens):  # (V, C) bf16, (B, T) -> (B, T, C)
    """Copies of the table's rows: no gradient, but as slow in MLX."""
    width = cuda.width(table.shape[1], 8)
    packs = tokens.size * table.shape[1] // width
    return cuda.launch(
        "take_rows",
        _TAKE_ROWS,
        {"table": table, "tokens": tokens},
        {"y": ((*tokens.shape, table.shape[1]), table.dtype)},
        {"COUNT": packs, "PACKS": table.shape[1] // width, "WIDTH": width},
        -(-packs // THREADS),
        THREADS,
    )[0]


def rows_back(dy, tokens, shape):  # (B, T, C) bf16, (B, T) -> (V, C) float32
    """The gradient of the table."""
    width = cuda.width(shape[1], 4)
    packs = dy.size // width
    return cuda.launch(
        "add_rows",
        _ADD_ROWS,
        {"dy": dy, "tokens": tokens},
        {"dtable": (shape, mx.float32)},
        {"COUNT": packs, "PACKS": shape[1] // width, "WIDTH": width},
        -(-packs // THREADS),
        THREADS,
        init_value=0,
    )[0]


_SCALED_SUM = (
    cuda.PACK
    + """
const float k = keep[0], a = add[0];
float sums[2] = {0, 0};
for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < PACKS; i += int64_t(gridDim.x) * blockDim.x) {
  const Pack d = reinterpret_cast<const Pack*>(dy)[i], p = reinterpret_cast<const Pack*>(x)[i];
  const Pack q = reinterpret_cast<const Pack*>(start)[i];
  Pack u, v;
  #pragma unroll
  for (int j = 0; j < WIDTH; ++j) {
    const float by = __bfloat162float(d.of[j]);
    sums[0] += by * __bfloat162float(p.of[j]), sums[1] += by * __bfloat162float(q.of[j]);
    u.of[j] = __float2bfloat16(k * by), v.of[j] = __float2bfloat16(a * by);
  }
  reinterpret_cast<Pack*>(dx)[i] = u, reinterpret_cast<Pack*>(dstart)[i] = v;
}
__shared__ float of_warps[2][32];
for (int s = 0; s < 2; ++s) {
  for (int step = 16; step > 0; step /= 2) sums[s] += __shfl_xor_sync(~0u, sums[s], step);
  if (threadIdx.x % 32 == 0) of_warps[s][threadIdx.x / 32] = sums[s];
}
__syncthreads();
if (threadIdx.x < 2) {
  float total = 0;
  for (int w = 0; w < blockDim.x / 32; ++w) total += of_warps[threadIdx.x][w];
  parts[2 * blockIdx.x + threadIdx.x] = total;
}
"""
)

# A warp takes a row.
_SCALED_ROWS = (
    cuda.PACK
    + """
const int64_t row = int64_t(blockIdx.x) * (blockDim.x / 32) + threadIdx.x / 32;
if (row >= ROWS) return;
const float by = scale[row];
float along = 0;
for (int i = threadIdx.x % 32; i < PACKS; i += 32) {
  const Pack d = reinterpret_cast<const Pack*>(dy)[row * PACKS + i];
  const Pack p = reinterpret_cast<const Pack*>(y)[row * PACKS + i];
  Pack u;
  #pragma unroll
  for (int j = 0; j < WIDTH; ++j) {
    along += __bfloat162float(d.of[j]) * __bfloat162float(p.of[j]);
    u.of[j] = __float2bfloat16(by * __bfloat162float(d.of[j]));
  }
  reinterpret_cast<Pack*>(dx)[row * PACKS + i] = u;
}
for (int step = 16; step > 0; step /= 2) along += __shfl_xor_sync(~0u, along, step);
if (threadIdx.x % 32 == 0) dscale[row] = along;
"""
)

_JOINED = (
    cuda.PACK
    + """
const int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
if (i >= COUNT) return;
const int column = i % PACKS * WIDTH, head = i / PACKS % HEADS, token = i / PACKS / HEADS % TOKENS;
const int batch = i / PACKS / HEADS / TOKENS;
float sums[WIDTH] = {};
ADD_PARTS
Pack sum;
for (int j = 0; j < WIDTH; ++j) sum.of[j] = __float2bfloat16(sums[j]);
reinterpret_cast<Pack*>(y)[i] = sum;
"""
)
_ADD_PART = """
if (token >= {start} && token < {stop}) {{
  const int64_t step = {x}_strides[3];
  const auto* from = {x} + batch * {x}_strides[0] + (token - {start}) * {x}_strides[1] + head * {x}_strides[2];
  if (step == 1) {{
    const Pack pack = *reinterpret_cast<const Pack*>(from + column);
    for (int j = 0; j < WIDTH; ++j) sums[j] += __bfloat162float(pack.of[j]);
  }} else {{
    for (int j = 0; j < WIDTH; ++j) sums[j] += __bfloat162float(from[(column + j) * step]);
  }}
}}
"""

_TAKE_ROWS = (
    cuda.PACK
    + """
const int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
if (i >= COUNT) return;
reinterpret_cast<Pack*>(y)[i] = reinterpret_cast<const Pack*>(table)[int64_t(tokens[i / PACKS]) * PACKS + i % PACKS];
"""
)

_ADD_ROWS = (
    cuda.PACK
    + """
const int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
if (i >= COUNT) return;
const Pack d = reinterpret_cast<const Pack*>(dy)[i];
float* to = dtable + (int64_t(tokens[i / PACKS]) * PACKS + i % PACKS) * WIDTH;
#if __CUDA_ARCH__ >= 900  // which adds four at once
if constexpr (WIDTH == 4) {
  const auto at = [&](int j) { return __bfloat162float(d.of[j]); };
  atomicAdd(reinterpret_cast<float4*>(to), make_float4(at(0), at(1), at(2), at(3)));
} else
#endif
  for (int j = 0; j < WIDTH; ++j) atomicAdd(to + j, __bfloat162float(d.of[j]));
"""
)
