"""Someone else's program beside ours, from a checkout given by path, whose code it runs.

    python -m bench.peers --upstream PATH                 one interleaved measurement of a training step
    python -m bench.peers --upstream PATH --score-s 300   the peer's own recipe for 300 s, scored by our rule

Both at depth 4, width 256, 512 tokens, vocabulary 8192, 4096 tokens a step, bfloat16, on the CPU.
"""

import argparse
import sys
import time
from dataclasses import replace
from math import log
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

import numpy as np

from bench.measure import seconds
from bench.ours import Ours
from bench.upstream import UNTIMED_STEPS, Upstream
from impl import backend as backends
from impl.data.batches import batches
from impl.data.evaluation import windows
from impl.data.prepare import prepare
from impl.init import init
from impl.spec import RECIPES, Data, Recipe
from impl.spec.model import sized

RECIPE = replace(RECIPES["autoresearch"], model=sized(4, sequence_len=512), data=Data(total_batch=4096, device_batch=8))
WARMUP_ROUNDS = 3
REST_S = 0.3  # OpenMP threads spin on after their work; the other side must not pay for that
SIDES = ("ours", "upstream")


def serve(side: str, checkout: Path, pipe: Connection) -> None:
    """One side in a process of its own: times one step for each message, until told to stop."""
    shape = (2, RECIPE.data.device_batch, RECIPE.model.sequence_len)
    tokens, targets = np.random.default_rng(0).integers(0, RECIPE.model.vocab_size, shape)
    step = _our_step(RECIPE) if side == "ours" else _upstream(checkout, 0).step
    while pipe.recv():
        pipe.send(seconds(lambda: step(tokens, targets)))


def _our_step(recipe: Recipe):
    trainer = Ours(backends.load("torch-cpu")).trainer(recipe, init(recipe.model, 0), "bfloat16", compiled=True)
    hyper = recipe.schedule.at(0, 0.0)
    return lambda tokens, targets: trainer.step([(tokens, targets)], hyper)


def _upstream(checkout: Path, seed: int):
    return Upstream(checkout, RECIPE, seed)


def interleaved(checkout: Path, rounds: int) -> dict[str, list[float]]:
    """Seconds of each round, A B A B ..., after warm-up rounds that do not count.

    Each side has its own process, or it would run with the other's allocator settings; the one that waits is idle.
    """
    context = get_context("spawn")
    pipes = {}
    for side in SIDES:
        pipes[side], theirs = context.Pipe()
        context.Process(target=serve, args=(side, checkout, theirs), daemon=True).start()
        theirs.close()
    samples: dict[str, list[float]] = {side: [] for side in SIDES}
    for round_ in range(WARMUP_ROUNDS + rounds):
        for side, pipe in pipes.items():
            pipe.send(True)
            taken_s = pipe.recv()
            if round_ >= WARMUP_ROUNDS:
                samples[side].append(taken_s)
            time.sleep(REST_S)
    for pipe in pipes.values():
        pipe.send(False)
    return samples


def score(checkout: Path, budget_s: float, seed: int) -> tuple[float, int, float]:
    """(val_bpb over every validation byte, steps, seconds a step) of upstream's recipe after its untimed steps."""
    peer, model = _upstream(checkout, seed), RECIPE.model
    prepared = prepare("sotu-v1", model.vocab_size, RECIPE.data)
    source = batches(prepared, "train", RECIPE.data.device_batch, model.sequence_len, RECIPE.data)
    step, timed_s = 0, 0.0
    while timed_s < budget_s:
        tokens, targets, _ = next(source)
        taken_s = seconds(lambda: peer.step(tokens, targets, step, min(timed_s / budget_s, 1.0)))  # noqa: B023
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
    parser.add_argument("--rounds", type=int, default=12, help="counted rounds of each side (12)")
    parser.add_argument("--score-s", type=float, metavar="SECONDS", help="train the peer this long and score it")
    parser.add_argument("--seed", type=int, default=42, help="of the scored run (42)")
    arguments = parser.parse_args()
    if not (arguments.upstream / "train.py").is_file():
        parser.error(f"--upstream {arguments.upstream} holds no train.py; pass a checkout of karpathy/autoresearch")
    if arguments.score_s:
        bpb, steps, step_s = score(arguments.upstream, arguments.score_s, arguments.seed)
        print(f"upstream  val_bpb {bpb:.6f}, {steps} steps, {RECIPE.data.total_batch / step_s:,.0f} tokens/s")
        return
    try:
        samples = interleaved(arguments.upstream, arguments.rounds)
    except EOFError:
        sys.exit("one side died; its traceback is above")
    for name, taken in samples.items():
        print(f"{name:<10}{RECIPE.data.total_batch / median(taken):>10,.0f} tokens/s (median of {len(taken)} steps)")
    ratios = [theirs / mine for mine, theirs in zip(samples["ours"], samples["upstream"], strict=True)]
    print(f"ratio     {median(ratios):>10.2f} (pairs from {min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
