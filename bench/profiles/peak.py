"""The peaks that published MFUs are shares of, as each program has them: by chip, right or wrong, in FLOP/s.

Ours, with their sources, are in `reports/chips.py`. Test with `pytest -m fast bench/profiles`.
"""

import re

TERA = 1e12
GPU_CORES = {  # by generation: base, Pro, Max, Ultra, whatever the machine has
    "m1": (8, 16, 32, 64),
    "m2": (10, 19, 38, 76),
    "m3": (10, 18, 40, 76),
    "m4": (10, 20, 40, 80),
    "m5": (10, 20, 40, 80),
}
TIERS = ("base", "pro", "max", "ultra")
TFLOP_PER_CORE = {"m1": 0.5, "m2": 0.55, "m3": 0.65, "m4": 0.7, "m5": 0.85}
UNKNOWN_TFLOP_PER_CORE = 0.65
TFLOP = {  # nanochat-mlx, by generation: base, Pro, Max, Ultra
    "m1": (2.6, 5.2, 10.4, 21.0),
    "m2": (3.6, 6.8, 13.6, 27.2),
    "m3": (2.5, 3.5, 6.0, 22.0),
    "m4": (3.0, 4.0, 6.8, 28.0),
}


def h100(chip: str, gpu_cores: int | None) -> float | None:
    """karpathy/autoresearch: an H100's, whatever runs it."""
    return 989.5 * TERA


def by_name(chip: str, gpu_cores: int | None) -> float | None:
    """elementalcollision: Apple's by cores guessed from the name; of NVIDIA's the PCIe card's, or twice a GeForce's."""
    if apple := _apple(chip):
        generation, tier = apple
        cores = GPU_CORES.get(generation)
        return cores and cores[tier] * TFLOP_PER_CORE[generation] * TERA
    nvidia = {"h100": 756.0, "h200": 756.0, "4090": 330.0, "5090": 419.0}
    return next((tflop * TERA for name, tflop in nvidia.items() if name in chip.lower()), None)


def by_cores(chip: str, gpu_cores: int | None) -> float | None:
    """Pull request 205: the cores that the machine has; a generation later than M4 is unknown to it."""
    apple = _apple(chip)
    if apple is None or gpu_cores is None:
        return None
    per_core = UNKNOWN_TFLOP_PER_CORE if apple[0] == "m5" else TFLOP_PER_CORE.get(apple[0], UNKNOWN_TFLOP_PER_CORE)
    return gpu_cores * per_core * TERA


def by_chip(chip: str, gpu_cores: int | None) -> float | None:
    """nanochat-mlx: a table of chips up to M4; it prints an MFU of 0 for all others."""
    apple = _apple(chip)
    row = apple and TFLOP.get(apple[0])
    return row[apple[1]] * TERA if apple and row else None


def _apple(chip: str) -> tuple[str, int] | None:
    """("m5", 2) for an Apple M5 Max: generation, and tier in `TIERS`; None for other makers."""
    found = re.fullmatch(r"apple (m\d+)(?: (pro|max|ultra))?", chip.lower())
    return (found[1], TIERS.index(found[2] or "base")) if found else None
