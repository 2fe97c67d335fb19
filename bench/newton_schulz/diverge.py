"""Training runs on real text that differ in Muon's norm and products only: which of them leave the road, and when.

`python -m bench.newton_schulz diverge --backend torch-cpu`
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress

from bench import sheet
from bench.newton_schulz import spectra, variants
from bench.newton_schulz.variants import EMULATED, FRAMEWORK, ROUNDED, SHIPPED
from bench.ours import Ours
from bench.training.loop import LOSS_LIMIT
from impl.backend import load
from impl.data.batches import batches
from impl.data.prepare import prepare
from impl.init import init
from impl.spec import POLAR_EXPRESS, RECIPES, Data, Recipe
from impl.spec.model import sized

CAPTURE_STEPS = (5, 50)
PROBE_EVERY_STEPS = 10
STEPS = {"small": 60, "full": 200}
WIDTHS = {"small": (512, 256), "full": (512,)}


@dataclass(frozen=True)
class Variant:
    """Muon's products and norm, and where the run starts: a seed, its parameters moved by one ULP or not."""

    name: str
    products: str = "float32"
    norm: str = SHIPPED
    seed: int = 0
    nudged: bool = False


# The band: how far runs come apart that differ by less than any precision, or by what nobody controls.
BAND = (
    Variant("float32"),
    Variant("float32, one ULP away", nudged=True),
    Variant("float32, seed 1", seed=1),
    Variant("float32, seed 2", seed=2),
)
RUNS = (
    *BAND,
    Variant("bfloat16 products, float32 norm", "bfloat16"),
    Variant("bfloat16 products and coefficients, float32 norm", ROUNDED),
    *(Variant(f"bfloat16 products, {norm} norm", "bfloat16", norm) for norm in (FRAMEWORK, *EMULATED)),
    *(Variant(f"float32 products, {norm} norm", "float32", norm) for norm in list(EMULATED)[1:]),
)
NARROWER = ("float32", "bfloat16 products, float32 norm", *(run.name for run in RUNS if "lanes" in run.norm))


def diverge(backend: str, out: Path, size: str, steps: int | None, names: list[str] | None, captured: Path) -> None:
    """Every run of this size that `out` lacks; those of the first width in full, of the others the telling ones."""
    unknown = set(names or ()) - {run.name for run in RUNS}
    if unknown:
        raise ValueError(f"--runs {sorted(unknown)} are unknown; try some of {[run.name for run in RUNS]}")
    subject = ours(backend)
    results = sheet.Sheet.open(out, sheet.origin(subject.backend, "newton-schulz training"))
    steps = steps or STEPS[size]
    todo = [(width, run) for width in WIDTHS[size] for run in RUNS if not names or run.name in names]
    todo = [(width, run) for width, run in todo if width == WIDTHS[size][0] or run.name in NARROWER]
    todo = [(width, run) for width, run in todo if f"{width} | {run.name}" not in results.rows]
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task(subject.name, total=len(todo) * steps)
        for i, (width, run) in enumerate(todo):

            def advance(step, loss, done=i * steps, text=f"{width} {run.name}"):
                progress.update(task, completed=done + step, description=f"{subject.name} {text}: {loss:.3f}")

            row = train(subject, recipe_of(size, width), run, steps, advance, captured)
            results.add(f"{width} | {run.name}", {"width": width, "size": size, **asdict(run), **row})


def ours(backend: str) -> Ours:
    """Our implementation there: the study replaces one of its functions, so that no other subject will do."""
    return Ours(load(backend))


def recipe_of(size: str, width: int) -> Recipe:
    """Full: upstream's depth, tokens a row and vocabulary. Small: what two CPU cores train at this width."""
    if size == "full":
        model = replace(sized(8), width=width, heads=width // 128, kv_heads=width // 128)
        data = Data(device_batch=8, total_batch=8 * model.sequence_len)
    else:
        model = sized(1, aspect=width, head_dim=64, sequence_len=128, vocab_size=1024)
        data = Data(device_batch=4, total_batch=4 * 128)
    return replace(RECIPES["autoresearch"], model=model, data=data)


def train(subject, recipe: Recipe, run: Variant, steps: int, advance: Callable, captured: Path) -> dict:
    """One run with the shipped trainer, as a long one begins: rates do not fall. It ends where nothing comes back."""
    policy = "float32" if subject.name.endswith("-cpu") else "bfloat16"
    orthogonalizer, dtype = variants.asked(POLAR_EXPRESS, run.products)
    matrices = replace(recipe.optimizer.matrices, orthogonalizer=orthogonalizer)
    recipe = replace(recipe, optimizer=replace(recipe.optimizer, matrices=matrices))
    trainer = subject.trainer(recipe, start(recipe, run), policy)  # uncompiled: the norm is replaced in its module
    trainer.muon_dtype = dtype
    losses, norms, probes = [], [], []
    with variants.norm_as(subject, run.norm), np.errstate(all="ignore"):
        for step, micro_batches in enumerate(islice(steps_of(recipe), steps)):
            loss, norm = trainer.step(micro_batches, recipe.schedule.at(step, 0.0))
            losses.append(loss)
            norms.append(norm)
            advance(step + 1, loss)
            if not np.isfinite(loss) or loss > LOSS_LIMIT:
                return _row(policy, recipe, losses, norms, probes) | {"failed_step": step}
            if run == BAND[0] and (step % PROBE_EVERY_STEPS == 0 or step < PROBE_EVERY_STEPS or step in CAPTURE_STEPS):
                matrices = momentum(trainer, recipe)
                probes += probe(matrices, step)
                if step in CAPTURE_STEPS and recipe.model.width == 512:
                    keep(matrices, recipe, step, captured)
    return _row(policy, recipe, losses, norms, probes) | {"failed_step": None}


def _row(policy, recipe, losses, norms, probes) -> dict:
    model = recipe.model
    sizes = {"depth": model.depth, "sequence_len": model.sequence_len, "vocab_size": model.vocab_size}
    tokens = {"tokens_per_step": recipe.data.total_batch}
    return {"policy": policy, **sizes, **tokens, "losses": losses, "grad_norms": norms, "probes": probes}


def start(recipe: Recipe, run: Variant) -> dict:
    """The run's initial parameters."""
    params = init(recipe.model, run.seed)
    if not run.nudged:
        return params
    rng = np.random.default_rng(1)
    return {name: np.nextafter(x, rng.choice([-np.inf, np.inf], x.shape).astype(x.dtype)) for name, x in params.items()}


def steps_of(recipe: Recipe) -> Iterator[list]:
    """Real text, one list of micro-batches a step; the same for every run."""
    prepared = prepare("sotu-v1", recipe.model.vocab_size, recipe.data)
    for inputs, targets, _ in batches(
        prepared, "train", recipe.data.device_batch, recipe.model.sequence_len, recipe.data
    ):
        yield [(inputs, targets)]


def momentum(trainer, recipe: Recipe) -> dict:
    """Muon's first moment of every matrix of the blocks, by name."""
    names = [name for name, shape in recipe.model.shapes().items() if name.startswith("transformer.h.")]
    state = trainer.state()
    return {name: state[f"first.{name}"] for name in names if min(recipe.model.shapes()[name]) > 64}


def probe(matrices: dict, step: int) -> list[dict]:
    """How near to the cliff this momentum would put Polar Express, by norm: the matrix that would be nearest."""
    measured = []
    for name, x in matrices.items():
        true = float(np.linalg.norm(x.astype(np.float64)))
        if not true:
            continue
        norms = {SHIPPED: true, **{norm: emulated(x) for norm, emulated in EMULATED.items()}}
        measured.append((name, spectra.largest(x), true, norms))
    rows = []
    for norm in (SHIPPED, *EMULATED) if measured else ():
        scaled = [
            (sigma / (POLAR_EXPRESS.safety * norms[norm] + POLAR_EXPRESS.eps), n) for n, sigma, _, norms in measured
        ]
        worst, name = max(scaled)
        ratio = max(sigma / true for _, sigma, true, _ in measured)
        rows.append({"step": step, "norm": norm, "scaled_sigma": worst, "matrix": name, "sigma_ratio": ratio})
    return rows


def keep(matrices: dict, recipe: Recipe, step: int, path: Path) -> None:
    """Leave three of the last layer's matrices, in float32, for `measure`."""
    last = f"transformer.h.{recipe.model.depth - 1}"
    chosen = {"c_q": "attn.c_q.weight", "c_fc": "mlp.c_fc.weight", "c_proj": "mlp.c_proj.weight"}
    known = dict(np.load(path, allow_pickle=False)) if path.exists() else {}
    known |= {f"momentum of {name}, step {step}": matrices[f"{last}.{tail}"] for name, tail in chosen.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **known)
