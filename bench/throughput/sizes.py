"""What is measured where: shapes that a CPU does in milliseconds, and shapes that fill a GPU.

Letters as in `impl/torch/gpt.py`. Test with `pytest -m bench --collect-only`.
"""

from dataclasses import dataclass, replace

from bench import hardware
from impl.spec import Recipe


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Shapes of each operation; `budget_s` of samples for each row, and in each visit `settle_s` of others before."""

    gemm: tuple[tuple[str, int], ...]  # (precision, n) of an n x n x n product
    rows: tuple[tuple[int, int], ...]  # (N, C)
    heads: tuple[tuple[int, int, int, int], ...]  # (B, T, H, D)
    losses: tuple[tuple[int, int, int], ...]  # (N, C, V)
    stacks: tuple[tuple[int, int, int], ...]  # (S, m, n)
    evaluation_rows: int
    budget_s: float
    settle_s: float


def _products(float32: tuple[int, ...], bfloat16: tuple[int, ...]) -> tuple[tuple[str, int], ...]:
    return (*(("float32", n) for n in float32), *(("bfloat16", n) for n in bfloat16))


# A reference BLAS does a few GFLOP/s, and a CPU backend must be done in three minutes.
CPU = Sizes(
    gemm=_products((256, 512), (256,)),
    rows=((4096, 256),),
    heads=((2, 256, 2, 64),),
    losses=((128, 128, 8192),),
    stacks=((4, 128, 128), (2, 512, 128)),
    evaluation_rows=16,
    budget_s=0.5,
    settle_s=0.05,
)
CPU_FULL = replace(
    CPU,
    gemm=_products((256, 512, 1024, 2048), (256, 512, 1024)),
    rows=((4096, 256), (4096, 512)),
    heads=((2, 512, 2, 128), (8, 512, 2, 128)),
    losses=((512, 256, 8192), (4096, 256, 8192)),
    stacks=((4, 256, 256), (16, 256, 256), (4, 1024, 256)),
    evaluation_rows=64,
    budget_s=2.0,
)
GPU = Sizes(
    gemm=_products((1024, 4096), (2048, 4096, 8192)),  # 1024 in bfloat16 is a launch: 3 % from session to session
    rows=((65536, 512),),
    heads=((16, 2048, 4, 128),),
    losses=((32768, 512, 8192),),
    stacks=((32, 512, 512), (8, 2048, 512)),
    evaluation_rows=128,
    budget_s=0.6,
    settle_s=0.15,
)
GPU_FULL = replace(
    GPU,
    gemm=_products((1024, 2048, 4096, 8192), (1024, 2048, 4096, 8192)),
    rows=((65536, 512), (65536, 1280), (262144, 512)),
    heads=((16, 2048, 4, 128), (16, 2048, 6, 128), (32, 2048, 4, 128), (128, 2048, 4, 128)),
    losses=((32768, 512, 8192), (65536, 512, 8192), (262144, 512, 8192)),
    stacks=((32, 512, 512), (8, 2048, 512), (8, 512, 2048), (1, 2048, 2048), (1, 4096, 4096)),
    evaluation_rows=512,
    budget_s=2.0,
)


def of(backend_name: str, full: bool) -> Sizes:
    """The sizes for this backend's device."""
    if backend_name.endswith("-cpu"):
        return CPU_FULL if full else CPU
    return GPU_FULL if full else GPU


def precision(backend_name: str, order) -> str:
    """What the model runs in: as asked, else float32 on CPUs, so that their backends compare, and bfloat16 on GPUs."""
    return order.precision or ("float32" if backend_name.endswith("-cpu") else "bfloat16")


def recipe(backend_name: str, full: bool, order) -> Recipe:
    """The preset asked for, else this chip's; without `full` a smaller one, which still accumulates."""
    if order.preset:
        return order.build(order.preset)
    name, _ = hardware.suggest_preset(hardware.detect(backend_name), backend_name)
    built = order.build(name if full or not backend_name.endswith("-cpu") else "tiny")
    rows = built.data.device_batch if full else max(1, built.data.device_batch // 4)
    tokens = 2 * rows * built.model.sequence_len
    total = max(tokens, built.data.total_batch) if full else tokens
    return replace(built, data=replace(built.data, total_batch=total, device_batch=rows))
