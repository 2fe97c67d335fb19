"""What is measured: each factor over its range with the others at a base case, and the corners where things break.

A full factorial would be 50,000 cases; this is about 600. Test with `pytest -m fast -k newton_schulz`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from bench.newton_schulz.spectra import PLAIN, SPECTRA
from bench.newton_schulz.variants import NORMS, ROUNDED, SHIPPED
from impl.spec import NS5, POLAR_EXPRESS

ORTHOGONALIZERS = {"polar express": POLAR_EXPRESS, "ns5": NS5}
SIZES = (128, 256, 512, 1024, 2048)
LARGE_SIZES = (4096, 8192)
ASPECTS = ((512, 2048), (512, 1024), (512, 512), (1024, 512), (2048, 512))
SCALES = (1e-30, 1e-20, 1e-10, 1e-6, 1e-3, 1.0, 1e3, 1e10, 1e20, 1e30)
BASE = (512, 512)


@dataclass(frozen=True)
class Case:
    """One update: of which matrix, by which polynomial, with which norm and products. `part` names the sweep."""

    part: str
    shape: tuple[int, int]
    spectrum: str
    orthogonalizer: str = "polar express"
    scale: float = 1.0
    norm: str = SHIPPED
    products: str = "float32"

    @property
    def key(self) -> str:
        rows, columns = self.shape
        factors = (self.orthogonalizer, f"{rows}x{columns}", self.spectrum, f"{self.scale:g}", self.norm, self.products)
        return " | ".join(factors)

    @property
    def flop(self) -> float:
        """Of five steps of three products."""
        short, long = sorted(self.shape)
        return 5 * 2 * (2 * short * short * long + short**3)


def cases(sizes: tuple[int, ...], precisions: tuple[str, ...], captured: Mapping[str, tuple[int, int]]) -> list[Case]:
    """Every case, once: those of one matrix beside each other, small ones first. `captured`: shapes by name."""
    chosen = {case.key: case for case in _all(sizes, precisions, captured)}
    return sorted(chosen.values(), key=lambda c: (c.flop, c.spectrum, c.scale, c.orthogonalizer))


def _all(sizes, precisions, captured) -> Iterator[Case]:
    for case in _single(sizes, captured):
        for orthogonalizer in ORTHOGONALIZERS if max(case.shape) <= max(SIZES) else ("polar express",):
            plain = case.norm == SHIPPED and case.part != "scale" and "bfloat16" in precisions
            for products in (*precisions, ROUNDED) if plain else precisions:
                yield replace(case, orthogonalizer=orthogonalizer, products=products)


def _single(sizes, captured) -> Iterator[Case]:
    for size in sizes:
        for spectrum in PLAIN if size <= max(SIZES) else ("gaussian", "rank 16 + 1e-3"):
            yield Case("size", (size, size), spectrum)
    for shape in ASPECTS:
        if max(shape) <= max(sizes):
            yield Case("aspect", shape, "gaussian")
    for spectrum in SPECTRA:
        yield Case("spectrum", BASE, spectrum)
    for scale in SCALES:
        for norm in NORMS[:2]:
            yield Case("scale", (256, 512), "gaussian", scale=scale, norm=norm)
    for norm in NORMS:
        for size in sizes[:5]:
            for spectrum in ("gaussian", "rank 16 + 1e-3", "one huge"):
                yield Case("norm", (size, size), spectrum, norm=norm)
        for name, shape in captured.items():
            yield Case("captured", shape, name, norm=norm)
