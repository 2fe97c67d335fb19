"""Someone else's program beside ours, from a checkout given by path, whose code it runs.

    python -m bench.peers --upstream PATH                        one interleaved measurement of a training step
    python -m bench.peers --upstream PATH --backend torch-cuda   the same on a GPU, at preset h100
    python -m bench.peers --upstream PATH --score-s 300          the peer's own recipe for 300 s, scored by our rule

On the CPU at depth 4, width 256, 512 tokens, vocabulary 8192, 4096 tokens a step. Both compute in bfloat16,
Newton-Schulz included.
"""

import argparse
import sys
from dataclasses import replace
from math import log
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from types import SimpleNamespace

from bench import hardware, sides
from bench.measure import seconds
from bench.ours import Ours
from bench.upstream import UNTIMED_STEPS, Upstream
from bench.versus import micro_batches_of, timed
from impl import backend as backends
from impl.data.batches import batches
from impl.data.evaluation import windows
from impl.data.prepare import prepare
from impl.flops import flop_per_token
from impl.init import init
from impl.spec import RECIPES, Data, Recipe, preset
from impl.spec.model import sized
from impl.torch.backend import peak_resident_bytes
from reports import peaks

RECIPE = replace(RECIPES["autoresearch"], model=sized(4, sequence_len=512), data=Data(total_batch=4096, device_batch=8))
WARMUP_ROUNDS = 3
REST_S = 0.3  # OpenMP threads spin on after their work; the other side must not pay for that
SIDES = ("ours", "upstream")


def recipe_for(backend: str) -> Recipe:
    """What both sides train: upstream's own sizes on a GPU; the optimizer's products in bfloat16, as upstream's are."""
    recipe = RECIPE if backend == "torch-cpu" else preset("h100")
    matrices = replace(recipe.optimizer.matrices, dtype="compute")
    return replace(recipe, optimizer=replace(recipe.optimizer, matrices=matrices))


def serve(side: str, checkout: Path, backend: str, pipe: Connection) -> None:
    """One side in a process of its own: times what each message names, "step" or "update", until told to stop.

    Answers with seconds and peak bytes.
    """
    recipe = recipe_for(backend)
    micro_batches = micro_batches_of(recipe)
    bare = side == "upstream" and backend == "torch-cpu"  # ours sets the allocator, worth a third of an eager step
    loaded = _bare_cpu() if bare else backends.load(backend)
    if side == "ours":
        actions = _ours(recipe, loaded, micro_batches)
    else:
        actions = _upstream(recipe, loaded, checkout, micro_batches)
    while asked := pipe.recv():
        pipe.send(timed(actions[asked](), loaded))


def _bare_cpu():
    return SimpleNamespace(
        device=SimpleNamespace(type="cpu"),
        sync=lambda: None,
        reset_peak_memory=lambda: None,
        peak_memory_bytes=peak_resident_bytes,
    )


def _ours(recipe: Recipe, backend, micro_batches):
    trainer = Ours(backend).trainer(recipe, init(recipe.model, 0), "bfloat16", compiled=True)
    hyper = recipe.schedule.at(0, 0.0)

    def update():
        _, grads = trainer.loss_and_grads(*micro_batches[0])
        rates = trainer.rates(hyper)
        return lambda: trainer.update(grads, rates)

    return {"step": lambda: lambda: trainer.step(micro_batches, hyper), "update": update}


def _upstream(recipe: Recipe, backend, checkout: Path, micro_batches):
    peer = Upstream(checkout, recipe, 0, backend.device.type)

    def update():
        peer.gradients(micro_batches[:1])
        return peer.optimizer.step

    return {"step": lambda: lambda: peer.step(micro_batches), "update": update}


def interleaved(checkout: Path, backend: str, rounds: int, what: str) -> dict[str, list[tuple[float, int]]]:
    """(seconds, peak bytes) of each counted round of "step" or "update", turn about.

    Side by side in one process, upstream would run with our allocator settings.
    """
    with sides.opened(serve, {side: (side, checkout, backend) for side in SIDES}) as pipes:
        return sides.turns(pipes, what, rounds, WARMUP_ROUNDS, REST_S if backend == "torch-cpu" else 0)


def score(checkout: Path, budget_s: float, seed: int) -> tuple[float, int, float]:
    """(val_bpb over every validation byte, steps, seconds a step) of upstream's recipe after its untimed steps."""
    peer, model = Upstream(checkout, RECIPE, seed, "cpu"), RECIPE.model
    prepared = prepare("sotu-v1", model.vocab_size, RECIPE.data)
    source = batches(prepared, "train", RECIPE.data.device_batch, model.sequence_len, RECIPE.data)
    step, timed_s = 0, 0.0
    while timed_s < budget_s:
        tokens, targets, _ = next(source)
        taken_s = seconds(lambda: peer.step([(tokens, targets)], step, min(timed_s / budget_s, 1.0)))  # noqa: B023
        timed_s += taken_s if step >= UNTIMED_STEPS else 0.0
        step += 1
    scored = windows(prepared, model.sequence_len)
    rows = [slice(start, start + 8) for start in range(0, len(scored.inputs), 8)]
    nats = sum(peer.nats(scored.inputs[part], scored.targets[part]) for part in rows)
    return nats / (log(2) * scored.total_bytes), step, timed_s / max(1, step - UNTIMED_STEPS)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--upstream", type=Path, required=True, help="checkout of karpathy/autoresearch; its code runs")
    parser.add_argument("--backend", choices=["torch-cpu", "torch-cuda"], default="torch-cpu", help="(torch-cpu)")
    parser.add_argument("--rounds", type=int, default=12, help="counted rounds of each side (12)")
    parser.add_argument("--what", choices=["step", "update"], default="step", help="a whole step, or its optimizer")
    parser.add_argument("--score-s", type=float, metavar="SECONDS", help="train the peer this long and score it (CPU)")
    parser.add_argument("--seed", type=int, default=42, help="of the scored run (42)")
    arguments = parser.parse_args()
    if not (arguments.upstream / "train.py").is_file():
        parser.error(f"--upstream {arguments.upstream} holds no train.py; pass a checkout of karpathy/autoresearch")
    if arguments.score_s:
        bpb, steps, step_s = score(arguments.upstream, arguments.score_s, arguments.seed)
        print(f"upstream  val_bpb {bpb:.6f}, {steps} steps, {RECIPE.data.total_batch / step_s:,.0f} tokens/s")
        return
    try:
        backends.load(arguments.backend)
    except backends.BackendError as error:
        parser.error(str(error))
    try:
        samples = interleaved(arguments.upstream, arguments.backend, arguments.rounds, arguments.what)
    except (EOFError, ConnectionError):
        sys.exit("one side died; its traceback is above")
    show(samples, arguments.backend, arguments.what)


def show(samples: dict[str, list[tuple[float, int]]], backend: str, what: str) -> None:
    """Each side's speed, memory and, where the chip's peak is known, MFU; then the ratio."""
    recipe = recipe_for(backend)
    peak = peaks.published(hardware.detect(backend), backend, "bfloat16")
    for name, taken in samples.items():
        step_s, peak_bytes = median(s for s, _ in taken), max(bytes_ or 0 for _, bytes_ in taken)
        per_s = recipe.data.total_batch / step_s
        words = [f"{per_s:,.0f} tokens/s"] if what == "step" else []
        if peak and what == "step":
            mfu = per_s * flop_per_token(recipe.model) / peak.flop_per_s
            words.append(f"MFU {mfu:.1%} of {peak.flop_per_s / 1e12:g} TFLOP/s")
        words += [f"{step_s * 1e3:.1f} ms (median of {len(taken)})", f"peak {peak_bytes / 1e9:.1f} GB"]
        print(f"{name:<10}" + ", ".join(words))
    print(f"ratio     {sides.paired(*([s for s, _ in samples[side]] for side in SIDES), digits=2)}")


if __name__ == "__main__":
    main()
