"""The mistakes that mutants are made of: changes of a recipe, and wrappers of the oracle's functions."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from impl.oracle import muon
from impl.oracle.precision import precision
from impl.spec import Group, Recipe


def with_model(**changes) -> Callable[[Recipe], Recipe]:
    return lambda recipe: replace(recipe, model=replace(recipe.model, **changes))


def with_matrices(**changes) -> Callable[[Recipe], Recipe]:
    def changed(recipe: Recipe) -> Recipe:
        matrices = replace(recipe.optimizer.matrices, **changes)
        return replace(recipe, optimizer=replace(recipe.optimizer, matrices=matrices))

    return changed


def with_adamw(**changes) -> Callable[[Recipe], Recipe]:
    kinds = ("lm_head", "wte", "value_embeds", "resid_lambdas", "x0_lambdas")

    def changed(recipe: Recipe) -> Recipe:
        rules = {kind: replace(getattr(recipe.optimizer, kind), **changes) for kind in kinds}
        return replace(recipe, optimizer=replace(recipe.optimizer, **rules))

    return changed


def instead(replacement) -> Callable:
    """A patch that does not need the original."""
    return lambda original: replacement


def interleaved(x, cos, sin, p):
    x1, x2 = x[..., ::2], x[..., 1::2]
    return p.kernel(np.stack([x1 * cos + x2 * sin, x2 * cos - x1 * sin], axis=-1).reshape(x.shape))


def short_window(tokens, window):
    distance = np.arange(tokens)[:, None] - np.arange(tokens)[None, :]
    return (distance >= 0) & (distance < max(window, 1))


def no_window(tokens, window):
    return np.tri(tokens, dtype=bool)


def tiled_heads(x, repeats):
    return np.tile(x.transpose(0, 2, 1, 3), (1, repeats, 1, 1))


def adamw_step(*, bias_correction=True, eps_inside=False, lr_dtype="float32", state_dtype="float32"):
    def step(param, grad, state, rule, lr, store, p):
        lr = precision(lr_dtype).kernel(p.dtype(lr)) if lr_dtype != "float32" else p.dtype(lr)
        beta1, beta2 = (p.dtype(beta) for beta in rule.betas)
        state.steps += 1
        first = beta1 * state.first + (1 - beta1) * grad
        second = beta2 * state.second + (1 - beta2) * grad**2
        correct1, correct2 = (1 - beta**state.steps if bias_correction else p.dtype(1) for beta in (beta1, beta2))
        mean_square = second / correct2
        root = np.sqrt(mean_square + rule.eps) if eps_inside else np.sqrt(mean_square) + p.dtype(rule.eps)
        kept = precision(state_dtype).kernel if state_dtype != "float32" else store
        state.first, state.second = kept(first), kept(second)
        return store(param * (1 - lr * p.dtype(rule.weight_decay)) - lr / correct1 * first / root)

    return step


def muon_step(*, nesterov=True, lerp=True, cautious=True, lr_dtype="float32", coupled=False):
    def step(param, grad, state, rule, lr, weight_decay, momentum, p):
        lr = precision(lr_dtype).kernel(np.float32(lr)) if lr_dtype != "float32" else p.dtype(lr)
        weight_decay, momentum = p.dtype(weight_decay), p.dtype(momentum)
        grad = grad + weight_decay * param if coupled else grad
        fresh = 1 - momentum if lerp else p.dtype(1)
        state.momentum = momentum * state.momentum + fresh * grad
        direction = fresh * grad + momentum * state.momentum if nesterov else state.momentum
        update = muon.normalize_variance(muon.orthogonalize(direction, rule.orthogonalizer, p), state, rule, p)
        mask = update * param >= 0 if cautious else 1
        return param - lr * update - (0 if coupled else lr * weight_decay * param * mask)

    return step


def without_restoration(update, state, rule, p):
    mean_square = np.mean(update**2, axis=1 if update.shape[0] >= update.shape[1] else 0, keepdims=True)
    state.variance = state.variance + (1 - p.dtype(rule.beta2)) * (mean_square - state.variance)
    return update / np.sqrt(np.maximum(state.variance, rule.variance_floor))


def last_axis_variance(original):
    def normalize(update, state, rule, p):
        if update.shape[0] >= update.shape[1]:
            return original(update, state, rule, p)
        state.variance = np.zeros((update.shape[0], 1), p.dtype) if state.variance.shape[0] == 1 else state.variance
        mean_square = np.mean(update**2, axis=1, keepdims=True)
        state.variance = state.variance + (1 - p.dtype(rule.beta2)) * (mean_square - state.variance)
        scaled = update / np.sqrt(np.maximum(state.variance, rule.variance_floor))
        return scaled * np.linalg.norm(update) / np.linalg.norm(scaled)

    return normalize


def with_groups(change: Callable[[Group], Group]) -> Callable:
    """A patch of the trainer that changes its groups."""

    def wrap(original):
        def construct(self, *arguments):
            original(self, *arguments)
            self.groups = tuple(change(group) for group in self.groups)

        return construct

    return wrap


def base_lr(group: Group) -> Group:
    return replace(group, lr=group.rule.lr)


def schedule_never_reaches_muon(original):
    def updated(self, name, group, grad, hyper):
        is_muon = name.startswith("transformer.h")
        return original(self, name, group, grad, replace(hyper, lr=1.0) if is_muon else hyper)

    return updated


def constant_decay(original):
    return lambda self, name, group, grad, hyper: original(self, name, group, grad, replace(hyper, weight_decay=1.0))


def lr_compounds(original):
    """`group['lr'] *= aspect` in place, and nobody resets it: the second step has the aspect twice."""

    def updated(self, name, group, grad, hyper):
        self.compounded = getattr(self, "compounded", {})
        aspect = group.lr / group.rule.lr if name.startswith("transformer.h") else 1.0
        self.compounded[name] = self.compounded.get(name, 1 / aspect) * aspect
        return original(self, name, replace(group, lr=group.lr * self.compounded[name]), grad, hyper)

    return updated


def summed_accumulation(original):
    def loss_and_grads(self, micro_batches):
        loss, grads = original(self, micro_batches)
        return loss, {name: grad * len(micro_batches) for name, grad in grads.items()}

    return loss_and_grads


def mean_over_all(original):
    return lambda raw, targets, cap, p: original(raw, targets, cap, p) * np.mean(targets >= 0)


def plain_relu(original):
    return lambda x, p: p.kernel(np.maximum(x, 0))


def no_x0(original):
    def construct(self, model, params, p):
        original(self, model, {**params, "x0_lambdas": 0 * params["x0_lambdas"]}, p)

    return construct


def gate_of_last_channels(original):
    return lambda self, n, weight: original(self, n[..., ::-1], weight)


def with_orthogonalizer(**changes) -> Callable:
    """A patch of `orthogonalize` that uses other constants than it is given."""
    return lambda original: lambda x, orthogonalizer, p: original(x, replace(orthogonalizer, **changes), p)


def low(p_name: str) -> Callable:
    """Orthogonalise at another precision than the one asked for."""
    return lambda original: lambda x, o, p: original(x, o, precision(p_name)) if p.name != "float64" else x
