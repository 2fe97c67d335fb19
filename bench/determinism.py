"""Whether the same seed gives the same bits twice: a fact about a backend, not a requirement.

`python -m bench.fingerprint --backend NAME` reports it.
"""

from dataclasses import replace

import numpy as np

from bench.subject import NotSupported, Params, Subject
from impl.spec import Data, preset

ROWS, ACCUMULATION, STEPS = 2, 2, 2


def repeats(subject: Subject, policy: str) -> dict[str, bool | None]:
    """Bit for bit, in one process: a gradient, an optimizer step, a short training run; None: cannot be asked."""
    tiny = preset("tiny")
    tokens = ROWS * ACCUMULATION * tiny.model.sequence_len
    recipe = replace(tiny, data=Data(device_batch=ROWS, total_batch=tokens))
    shape = (STEPS, ACCUMULATION, 2, ROWS, tiny.model.sequence_len)
    batches = np.random.default_rng(0).integers(0, tiny.model.vocab_size, shape)
    steps = [[(inputs, targets) for inputs, targets in step] for step in batches]
    try:
        params = subject.init(recipe, 0)
    except NotSupported:
        return dict.fromkeys(("gradient", "optimizer step", "training"))

    def gradient() -> Params:
        inputs, targets = steps[0][0]
        loss, grads = subject.loss_and_grads(recipe, params, inputs, targets, policy)
        return {**grads, "loss": np.array(loss)}

    def update() -> Params:
        rng = np.random.default_rng(1)
        grads = {name: rng.standard_normal(x.shape).astype(np.float32) for name, x in params.items()}
        return subject.optimizer(recipe, params, policy).step(grads, recipe.schedule.at(0, 0.0))

    def training() -> Params:
        run = subject.train(recipe, params, steps, [i / STEPS for i in range(STEPS)], policy)
        return {**run.params, "losses": run.losses}

    asked = {"gradient": gradient, "optimizer step": update, "training": training}
    return {name: _twice(ask) for name, ask in asked.items()}


def _twice(ask) -> bool | None:
    try:
        first, second = ask(), ask()
    except NotSupported:
        return None
    return all(np.asarray(first[name]).tobytes() == np.asarray(second[name]).tobytes() for name in first)
