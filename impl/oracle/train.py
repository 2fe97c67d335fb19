"""A whole training step: accumulated gradients, then Muon and AdamW over the recipe's groups."""

from typing import Any

import numpy as np

from impl.oracle import adamw, muon
from impl.oracle.gpt import GPT, Params
from impl.oracle.precision import precision
from impl.spec import Hyper, Muon, Recipe


class Trainer:
    """The recipe trained at one precision; parameters are on their storage dtypes' grid at once and after each step."""

    def __init__(self, recipe: Recipe, params: Params, policy: str):
        self.recipe, self.p = recipe, precision(policy)
        self.dtypes = recipe.dtypes.under(policy)
        # The optimizer works in float32 whatever the policy, unless the recipe gives Muon the policy's own.
        self.wide = self.p if self.p.dtype is np.float64 else precision("float32")
        self.muon = self.p if recipe.optimizer.matrices.dtype == "compute" or policy == "tf32" else self.wide
        self.groups = recipe.optimizer.groups(recipe.model)
        self.params = {name: self._store(name)(self.p.array(value)) for name, value in params.items()}
        self.states: dict[str, Any] = {name: self._zeros(name, value.shape) for name, value in params.items()}

    def _store(self, name: str):
        embedding = name.startswith(("transformer.wte", "value_embeds"))
        dtype = self.dtypes.embeddings if embedding else self.dtypes.masters
        return precision(dtype).kernel

    def _zeros(self, name: str, shape):
        kind = muon if isinstance(self.recipe.optimizer.rule_of(name), Muon) else adamw
        return kind.State.zeros(shape, self.p)

    def loss_and_grads(self, micro_batches) -> tuple[float, Params]:
        """Mean over micro-batches of (tokens, targets), each (B, T)."""
        model, p = self.recipe.model, self.p
        total, sums = 0.0, {}
        for tokens, targets in micro_batches:
            loss, grads = GPT(model, self.params, p).loss_and_grads(tokens, targets)
            total += loss
            sums = {name: sums.get(name, 0) + grad for name, grad in grads.items()}
        count = p.dtype(len(micro_batches))
        return total / len(micro_batches), {name: grad / count for name, grad in sums.items()}

    def update(self, grads: Params, hyper: Hyper) -> None:
        """One optimizer step over every group."""
        for group in self.groups:
            for name in group.names:
                self.params[name] = self._updated(name, group, self.wide.array(grads[name]), hyper)

    def _updated(self, name: str, group, grad, hyper: Hyper):
        param, state, lr = self.params[name], self.states[name], group.lr * hyper.lr
        if isinstance(group.rule, Muon):
            decay = group.rule.weight_decay * hyper.weight_decay
            return muon.step(param, grad, state, group.rule, lr, decay, hyper.momentum, self.muon)
        return adamw.step(param, grad, state, group.rule, lr, self._store(name), self.wide)

    def step(self, micro_batches, hyper: Hyper) -> tuple[float, float]:
        """Loss and gradient norm of one whole step."""
        loss, grads = self.loss_and_grads(micro_batches)
        norm = np.sqrt(sum(self.p.sum(grad.astype(self.wide.dtype) ** 2) for grad in grads.values()))
        self.update(grads, hyper)
        return loss, float(norm)
