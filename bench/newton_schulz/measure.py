"""One update after the other against float64: error, orthogonality, largest singular value, distance to the cliff.

`python -m bench.newton_schulz measure --backend mlx-cpu`
"""

from collections.abc import Iterable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np
from rich.console import Console
from rich.progress import Progress

from bench import sheet
from bench.error import Error
from bench.newton_schulz import clock, design, spectra, variants
from bench.newton_schulz.design import ORTHOGONALIZERS, Case
from bench.newton_schulz.diverge import ours
from impl.oracle import muon
from impl.oracle.precision import FLOAT64
from impl.spec import Orthogonalizer

AGREEMENT = 1e-12  # of the two float64 references; torch's products add in another order than NumPy's
SLOW_GFLOP = 300  # beyond it float64 is computed on a CUDA device, where torch has one
CAPTURED = Path("runs") / "newton-schulz-captured.npz"


def measure(backend: str, out: Path, sizes: tuple[int, ...], case_s: float, captured: Path | None) -> sheet.Sheet:
    """Every case of the design that this backend finishes within about `case_s` seconds, then the times of a call."""
    subject = ours(backend)
    results = sheet.Sheet.open(out, sheet.origin(subject.backend, "newton-schulz"))
    matrices = dict(np.load(captured, allow_pickle=False)) if captured and captured.exists() else {}
    precisions = clock.precisions(subject)
    shapes = {name: x.shape for name, x in matrices.items()}
    pending = [c for c in design.cases(sizes, precisions, shapes) if c.key not in results.rows]
    rates = {products: clock.flop_per_s(subject, products) for products in precisions}
    slow = [case for case in pending if case.flop / rates.get(case.products, min(rates.values())) > case_s]
    measured = [case for case in pending if case not in slow]
    run(subject, measured, matrices, results)
    clock.add_times(subject, sizes, rates, case_s, results)
    if slow:
        least = f"{min(rates.values()) / 1e9:.1f} GFLOP/s"
        Console().print(f"left out: {len(slow)} cases over {case_s:g} s a call (slowest products: {least})")
    return results


def run(subject, cases: Iterable[Case], matrices: dict, results: sheet.Sheet) -> None:
    """Measure `cases` in order, keeping each at once."""
    cases = list(cases)
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task(subject.name, total=sum(case.flop for case in cases))
        question, known = None, {}
        for case in cases:
            if question != (question := (case.shape, case.spectrum, case.scale, case.orthogonalizer)):
                x = matrix_of(case, matrices)
                known = reference(x, ORTHOGONALIZERS[case.orthogonalizer], case.flop)
            results.add(case.key, {**asdict(case), **update_of(subject, case, known)})
            progress.update(task, advance=case.flop, description=f"{subject.name} {case.key}")


def matrix_of(case: Case, matrices: dict):  # -> (m, n) float32
    """A captured matrix by its name, or one of the named spectrum."""
    x = matrices.get(case.spectrum)
    return spectra.matrix(case.shape, case.spectrum, scale=case.scale) if x is None else x


def reference(x, orthogonalizer: Orthogonalizer, flop: float) -> dict:
    """The float64 update of `x` and what else is known of it before anyone is asked."""
    truth = truth_of(x, orthogonalizer, flop)
    return {
        "x": x,
        "truth": truth,
        "sigma": spectra.largest(x),
        "frobenius": float(np.linalg.norm(x.astype(np.float64))),
        "truth_defect": defect(truth),
        "truth_largest": spectra.largest(truth),
    }


def update_of(subject, case: Case, known: dict) -> dict:
    """What the subject makes of the case's matrix, held against the reference."""
    orthogonalizer, x = ORTHOGONALIZERS[case.orthogonalizer], known["x"]
    with variants.norm_as(subject, case.norm), np.errstate(all="ignore"):
        update = subject.orthogonalize(x, *variants.asked(orthogonalizer, case.products))
    norm = variants.norm_of(subject, x, case.norm)
    scaled = orthogonalizer.safety * norm + orthogonalizer.eps
    error = Error.between(update, known["truth"])
    finite = bool(np.all(np.isfinite(update)))
    return {
        "rows": x.shape[0],
        "columns": x.shape[1],
        "finite": finite,
        "error": error.frobenius,
        "worst": error.worst,
        "defect": defect(update) if finite else np.inf,
        "truth_defect": known["truth_defect"],
        "largest": spectra.largest(update),
        "truth_largest": known["truth_largest"],
        "norm_ratio": norm / known["frobenius"] if known["frobenius"] else None,
        "sigma_ratio": known["sigma"] / known["frobenius"] if known["frobenius"] else None,
        "scaled_sigma": known["sigma"] / scaled,
        "margin": variants.cliff(orthogonalizer) * scaled / known["sigma"] if known["sigma"] else None,
    }


def defect(update) -> float:  # (m, n) -> |UU' - 1| / |1| on the shorter side
    """How far from orthogonal; the exact polynomial has one too, since it maps [0.003, 1] into [0.86, 1.14] only."""
    update = np.asarray(update, np.float32 if update.size > 2**23 else np.float64)
    update = update if update.shape[0] <= update.shape[1] else update.T
    with np.errstate(all="ignore"):
        gram = update @ update.T
        gram[np.diag_indices_from(gram)] -= 1
        return float(np.linalg.norm(gram) / len(gram) ** 0.5)


def truth_of(x, orthogonalizer: Orthogonalizer, flop: float = 0):  # (m, n) -> (m, n) float64
    """The oracle's float64, or where that takes minutes torch's on a CUDA device."""
    device = _float64_device() if flop > SLOW_GFLOP * 1e9 else None
    return muon.orthogonalize(x, orthogonalizer, FLOAT64) if device is None else on_device(x, orthogonalizer, device)


def on_device(x, orthogonalizer: Orthogonalizer, device: str):  # (m, n) -> (m, n) float64
    """The polynomial in torch's float64: the shipped function, its norm replaced by one of float64."""
    import torch

    from impl.torch import muon as torch_muon

    norm = partial(torch.linalg.vector_norm, dim=(1, 2), keepdim=True)
    with patch.object(torch_muon, "frobenius", norm):
        stack = torch.asarray(x[None], dtype=torch.float64, device=device)
        return torch_muon.orthogonalize(stack, orthogonalizer, "float64")[0].cpu().numpy()


def _float64_device() -> str | None:
    """A CUDA device of torch's whose float64 agrees with the oracle's; None without one."""
    try:
        import torch
    except ImportError:
        return None
    if not torch.cuda.is_available():
        return None
    x = spectra.matrix((256, 512), "power law")
    for orthogonalizer in ORTHOGONALIZERS.values():
        ours = muon.orthogonalize(x, orthogonalizer, FLOAT64)
        error = Error.between(on_device(x, orthogonalizer, "cuda"), ours)
        if error.frobenius > AGREEMENT:
            raise ValueError(f"torch's float64 is {error.frobenius:.1g} away from NumPy's; it is no reference")
    return "cuda"
