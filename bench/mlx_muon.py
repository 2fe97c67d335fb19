"""Our Muon step over a preset's matrices against MLX's own, `mlx.optimizers.Muon`, interleaved in one process.

    python -m bench.mlx_muon --backend mlx-cuda            preset h100: depth 8, width 512
    python -m bench.mlx_muon --backend mlx-cpu --preset tiny --rounds 16

In float32 both hold and multiply float32. In bfloat16 MLX's holds bfloat16 throughout, ours multiplies it and holds
float32. Ours also normalises the variance and decays, which MLX's does not; both orthogonalise in five steps.
Test with `pytest -m fast -k mlx_muon`.
"""

import argparse
import sys
from collections.abc import Callable

import numpy as np

from bench.verdict import Comparison, compare
from impl import backend as backends
from impl.spec import Muon, Recipe
from impl.spec.presets import PRESETS, preset

PRECISIONS = ("float32", "bfloat16")
WARMUP = 3


def groups_of(recipe: Recipe) -> list[tuple[Muon, tuple[str, ...], float]]:
    """Muon's groups: rule, names and rate of each."""
    groups = recipe.optimizer.groups(recipe.model)
    return [(group.rule, group.names, group.lr) for group in groups if isinstance(group.rule, Muon)]


def matrices_of(recipe: Recipe, seed: int) -> dict[str, np.ndarray]:
    """Every parameter that Muon updates, by name, normal and of the size of weights."""
    rng, shapes = np.random.default_rng(seed), recipe.model.shapes()
    return {
        name: np.float32(0.02) * rng.standard_normal(shapes[name], np.float32)
        for _, names, _ in groups_of(recipe)
        for name in names
    }


def ours(backend, recipe: Recipe, precision: str, compiled: bool) -> Callable[[], dict]:
    """A step that waits for its results, and returns the matrices by name."""
    import mlx.core as mx

    from impl.mlx import muon

    groups = groups_of(recipe)
    params, grads = ({n: mx.array(x) for n, x in matrices_of(recipe, seed).items()} for seed in range(2))
    shapes = [(len(names), *params[names[0]].shape) for _, names, _ in groups]
    state = [[mx.zeros(shape), mx.zeros((shape[0], *muon.second_shape(shape[1:])))] for shape in shapes]
    hyper = recipe.schedule.at(0, 0.0)
    rates = mx.array([muon.rates(rule, lr, hyper, 1) for rule, _, lr in groups])

    def step():
        for i, (rule, names, _) in enumerate(groups):
            param, grad = (mx.stack([arrays[name] for name in names]) for arrays in (params, grads))
            first, second = state[i]
            new, *state[i] = muon.step(param, grad, first, second, rates[i], rule, precision)
            params.update(zip(names, new, strict=True))

    held = [params, state]
    run = mx.compile(step, inputs=held, outputs=held) if compiled else step

    def waiting():
        run()
        backend.sync(held)
        return params

    return waiting


def theirs(backend, recipe: Recipe, precision: str, compiled: bool) -> Callable[[], dict]:
    """The same with `mlx.optimizers.Muon` at its defaults. Raises NotImplementedError where MLX is older than it."""
    import mlx.core as mx
    from mlx import optimizers

    if not hasattr(optimizers, "Muon"):
        raise NotImplementedError(f"mlx {mx.__version__} has no mlx.optimizers.Muon; install a later one")
    dtype = getattr(mx, precision)
    params, grads = ({n: mx.array(x, dtype) for n, x in matrices_of(recipe, seed).items()} for seed in range(2))
    optimizer = optimizers.Muon(learning_rate=0.02)
    optimizer.init(params)

    def step():
        params.update(optimizer.apply_gradients(grads, params))

    held = [params, optimizer.state]
    run = mx.compile(step, inputs=held, outputs=held) if compiled else step

    def waiting():
        run()
        backend.sync(held)
        return params

    return waiting


def measured(backend, recipe: Recipe, precision: str, rounds: int) -> Comparison:
    """MLX's against ours; both compiled, save on the CPU, where steps are as quick without."""
    compiled = backend.name != "mlx-cpu" and backends.compiles(backend)
    a, b = (side(backend, recipe, precision, compiled) for side in (ours, theirs))
    for _ in range(WARMUP):
        a()
        b()
    return compare(a, b, rounds)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.mlx_muon", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backend", default="mlx", metavar="NAME", help="one of MLX's; default: the best here")
    parser.add_argument("--preset", default="h100", choices=PRESETS, help="whose matrices (h100)")
    parser.add_argument("--rounds", type=int, default=40, help="pairs of steps (40)")
    options = parser.parse_args(arguments)
    try:
        backend = backends.load(options.backend)
    except backends.BackendError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if backend.framework != "mlx":
        print(f"error: {backend.name} is not MLX's; try --backend mlx", file=sys.stderr)
        return 2
    for precision in PRECISIONS:
        try:
            found = measured(backend, preset(options.preset), precision, options.rounds)
        except NotImplementedError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        mine, other = (1e3 * float(np.median(samples)) for samples in (found.a_s, found.b_s))
        print(
            f"{backend.name} {options.preset} {precision:<9} ours {mine:.3f} ms, mlx.optimizers.Muon {other:.3f} ms, "
            f"ratio {found.ratio:.2f} [{found.low:.2f}, {found.high:.2f}]"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
