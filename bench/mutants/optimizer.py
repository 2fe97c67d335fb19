"""Mistakes in the optimizers: orthogonalisation, Muon, AdamW, groups and rates, accumulation.

Not here, because it is the same polynomial: iterating a tall matrix on its longer side.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from bench.mutants.model import sharp
from bench.mutants.subject import Mutant, instead
from impl.oracle import adamw, muon, train
from impl.oracle.precision import precision, to_bfloat16
from impl.spec import NS5, Group, Hyper, Muon, Recipe
from impl.spec.optimizer import Optimizer

STEPS = ("optimizer", *sharp("trajectory"))
STATE = ("optimizer_state", *STEPS)
POLAR = (*STATE, *sharp("orthogonalize"))
POLAR_WIDELY = (*STATE, "orthogonalize")
ACCUMULATED = sharp("trajectory")
ROTATED = (1, 2, 3, 4, 0)


def with_matrices(**changes) -> Callable[[Recipe], Recipe]:
    def changed(recipe: Recipe) -> Recipe:
        matrices = replace(recipe.optimizer.matrices, **changes)
        return replace(recipe, optimizer=replace(recipe.optimizer, matrices=matrices))

    return changed


def with_adamw(*kinds: str, **changes) -> Callable[[Recipe], Recipe]:
    kinds = kinds or ("lm_head", "wte", "value_embeds", "resid_lambdas", "x0_lambdas")

    def changed(recipe: Recipe) -> Recipe:
        rules = {kind: replace(getattr(recipe.optimizer, kind), **changes) for kind in kinds}
        return replace(recipe, optimizer=replace(recipe.optimizer, **rules))

    return changed


def with_orthogonalizer(**changes) -> Callable:
    """A patch of `orthogonalize` that uses other constants than it is given."""
    return lambda original: lambda x, orthogonalizer, p: original(x, replace(orthogonalizer, **changes), p)


def rotated_coefficients(original):
    def orthogonalize(x, orthogonalizer, p):
        rows = orthogonalizer.coefficients
        rows = tuple(rows[i] for i in ROTATED) if len(rows) == len(ROTATED) else rows
        return original(x, replace(orthogonalizer, coefficients=rows), p)

    return orthogonalize


def short_norm(original):
    """The Frobenius norm rounded down to bfloat16, as summing in bfloat16 leaves it."""

    def orthogonalize(x, orthogonalizer, p):
        norm = np.sqrt(np.sum(np.asarray(x, np.float64) ** 2))
        safety = orthogonalizer.safety * float(to_bfloat16(norm * 0.996)) / norm if norm else orthogonalizer.safety
        return original(x, replace(orthogonalizer, safety=safety), p)

    return orthogonalize


def low(p_name: str) -> Callable:
    """Orthogonalise at another precision than the one asked for."""
    return lambda original: lambda x, o, p: original(x, o, precision(p_name)) if p.name != "float64" else x


def adamw_step(*, bias_correction=True, late=0, eps_inside=False, lr_dtype="float32", state_dtype="float32"):
    def step(param, grad, state, rule, lr, store, p):
        lr = precision(lr_dtype).kernel(p.dtype(lr)) if lr_dtype != "float32" else p.dtype(lr)
        beta1, beta2 = (p.dtype(beta) for beta in rule.betas)
        state.steps += 1
        first = beta1 * state.first + (1 - beta1) * grad
        second = beta2 * state.second + (1 - beta2) * grad**2
        steps = state.steps + late
        correct1, correct2 = (1 - beta**steps if bias_correction else p.dtype(1) for beta in (beta1, beta2))
        mean_square = second / correct2
        root = np.sqrt(mean_square + rule.eps) if eps_inside else np.sqrt(mean_square) + p.dtype(rule.eps)
        kept = precision(state_dtype).kernel if state_dtype != "float32" else store
        state.first, state.second = kept(first), kept(second)
        return store(param * (1 - lr * p.dtype(rule.weight_decay)) - lr / correct1 * first / root)

    return step


def muon_step(*, nesterov=True, lerp=True, cautious="update", lr_dtype="float32", coupled=False, normed=True):
    def step(param, grad, state, rule, lr, weight_decay, momentum, p):
        lr = precision(lr_dtype).kernel(np.float32(lr)) if lr_dtype != "float32" else p.dtype(lr)
        weight_decay, momentum = p.dtype(weight_decay), p.dtype(momentum)
        grad = grad + weight_decay * param if coupled else grad
        fresh = 1 - momentum if lerp else p.dtype(1)
        state.momentum = momentum * state.momentum + fresh * grad
        direction = fresh * grad + momentum * state.momentum if nesterov else state.momentum
        update = muon.orthogonalize(direction, rule.orthogonalizer, p)
        state.update = update = muon.normalize_variance(update, state, rule, p) if normed else update
        agrees = {"update": update * param >= 0, "gradient": grad * param >= 0, "strictly": update * param > 0}
        mask = agrees.get(cautious, 1)
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


def variance_of_now(original):
    """The running mean starts at the first mean square instead of at zero."""

    def normalize(update, state, rule, p):
        if not np.any(state.variance):
            axis = 1 if update.shape[0] >= update.shape[1] else 0
            state.variance = np.mean(update**2, axis=axis, keepdims=True)
        return original(update, state, rule, p)

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


def inverted_aspect(group: Group) -> Group:
    """The rate of a tall matrix divided by what it should be multiplied with."""
    is_muon = isinstance(group.rule, Muon)
    return replace(group, lr=group.rule.lr**2 / group.lr) if is_muon else group


def to_rule(word: str, kind: str) -> Callable:
    """A patch of the optimizer: parameters whose name holds `word` learn by the rule of another kind."""
    return lambda original: lambda self, name: getattr(self, kind) if word in name else original(self, name)


def schedule_never_reaches_muon(original):
    def updated(self, name, group, grad, hyper):
        is_muon = name.startswith("transformer.h")
        return original(self, name, group, grad, replace(hyper, lr=1.0) if is_muon else hyper)

    return updated


def told(change: Callable[[Hyper], dict]) -> Callable:
    """A patch of the trainer: something else than the schedule says, at every step."""

    def wrap(original):
        def updated(self, name, group, grad, hyper):
            return original(self, name, group, grad, replace(hyper, **change(hyper)))

        return updated

    return wrap


def lr_compounds(original):
    """`group['lr'] *= aspect` in place, and nobody resets it: the second step has the aspect twice."""

    def updated(self, name, group, grad, hyper):
        self.compounded = getattr(self, "compounded", {})
        aspect = group.lr / group.rule.lr if name.startswith("transformer.h") else 1.0
        self.compounded[name] = self.compounded.get(name, 1 / aspect) * aspect
        return original(self, name, replace(group, lr=group.lr * self.compounded[name]), grad, hyper)

    return updated


def bfloat16_masters(original):
    return lambda self, name: precision("bfloat16").kernel


def summed_accumulation(original):
    def loss_and_grads(self, micro_batches):
        loss, grads = original(self, micro_batches)
        return loss, {name: grad * len(micro_batches) for name, grad in grads.items()}

    return loss_and_grads


def last_loss(original):
    def loss_and_grads(self, micro_batches):
        return original(self, micro_batches[-1:])[0], original(self, micro_batches)[1]

    return loss_and_grads


def clipped(original):
    def loss_and_grads(self, micro_batches):
        loss, grads = original(self, micro_batches)
        norm = np.sqrt(sum(np.sum(np.asarray(grad, np.float64) ** 2) for grad in grads.values()))
        return loss, {name: grad / max(1.0, norm) for name, grad in grads.items()}

    return loss_and_grads


def _muon(name: str, rows=STEPS, **changes) -> Mutant:
    return Mutant(name, rows, ((muon, "step", instead(muon_step(**changes))),))


def _adamw(name: str, rows=STEPS, **changes) -> Mutant:
    return Mutant(name, rows, ((adamw, "step", instead(adamw_step(**changes))),))


def _trainer(name: str, method: str, wrap: Callable, rows=STEPS) -> Mutant:
    return Mutant(name, rows, ((train.Trainer, method, wrap),))


OPTIMIZER_MUTANTS = (
    Mutant("NS5 for Polar Express", STATE, recipe=with_matrices(orthogonalizer=NS5)),
    Mutant("no safety factor", POLAR, ((muon, "orthogonalize", with_orthogonalizer(safety=1.0)),)),
    Mutant("safety factor 1.01", POLAR, ((muon, "orthogonalize", with_orthogonalizer(safety=1.01)),)),
    Mutant("four iterations", POLAR_WIDELY, ((muon, "orthogonalize", with_orthogonalizer(steps=4)),)),
    Mutant("coefficients out of order", POLAR_WIDELY, ((muon, "orthogonalize", rotated_coefficients),)),
    Mutant("norm from a bfloat16 sum", POLAR, ((muon, "orthogonalize", short_norm),)),
    Mutant("bfloat16 Newton-Schulz", POLAR, ((muon, "orthogonalize", low("bfloat16")),)),
    Mutant("variance over the last axis always", STATE, ((muon, "normalize_variance", last_axis_variance),)),
    Mutant("norm not restored", STEPS, ((muon, "normalize_variance", instead(without_restoration)),)),
    Mutant("variance not from zero", STATE, ((muon, "normalize_variance", variance_of_now),)),
    _muon("no NorMuon", STATE, normed=False),
    Mutant("NorMuon beta2 0.9", STATE, recipe=with_matrices(beta2=0.9)),
    Mutant("NorMuon beta2 in bfloat16", ("optimizer", "optimizer_state"), recipe=with_matrices(beta2=0.94921875)),
    _muon("no Nesterov", STATE, nesterov=False),
    _muon("momentum as a sum", STATE, lerp=False),
    _muon("decay not cautious", ("optimizer",), cautious="never"),
    _muon("decay asks the gradient", ("optimizer",), cautious="gradient"),
    _muon("decay spares what has no update", ("optimizer",), cautious="strictly"),
    _muon("decay added to the gradient", ("optimizer", "optimizer_state"), coupled=True),
    _trainer("decay constant", "_updated", told(lambda hyper: {"weight_decay": 1.0}), ("optimizer",)),
    _muon("Muon's lr in bfloat16", STEPS, lr_dtype="bfloat16"),
    _trainer("no aspect or width scaling of lr", "__init__", with_groups(base_lr)),
    _trainer("aspect inverted", "__init__", with_groups(inverted_aspect)),
    _trainer("schedule never reaches Muon", "_updated", schedule_never_reaches_muon),
    _trainer("aspect compounds step by step", "_updated", lr_compounds),
    _trainer("momentum not ramped", "_updated", told(lambda hyper: {"momentum": 0.95}), STATE),
    _trainer("momentum follows progress", "_updated", told(lambda h: {"momentum": 0.95 - 0.1 * h.weight_decay}), STATE),
    Mutant("gate learns by AdamW", STATE, ((Optimizer, "rule_of", to_rule("ve_gate", "lm_head")),)),
    Mutant("value embeddings learn by Muon", STATE, ((Optimizer, "rule_of", to_rule("value_embeds", "matrices")),)),
    Mutant("x0 scalars with everyone's betas", STATE, recipe=with_adamw("x0_lambdas", betas=(0.8, 0.95))),
    Mutant(
        "residual scalars at the rate of x0's", ("optimizer", "trajectory"), recipe=with_adamw("resid_lambdas", lr=0.5)
    ),
    Mutant(
        "scalars scaled by width",
        ("optimizer", "trajectory"),
        recipe=with_adamw("x0_lambdas", "resid_lambdas", width_scaled=True),
    ),
    Mutant("AdamW eps 1e-8", STEPS, recipe=with_adamw(eps=1e-8)),
    Mutant("AdamW betas (0.9, 0.95)", STATE, recipe=with_adamw(betas=(0.9, 0.95))),
    Mutant("AdamW decays embeddings", STEPS, recipe=with_adamw(weight_decay=0.2)),
    _adamw("AdamW eps inside the root", STEPS, eps_inside=True),
    _adamw("AdamW without bias correction", STEPS, bias_correction=False),
    _adamw("AdamW's bias a step late", STEPS, late=1),
    _adamw("AdamW's lr in bfloat16", STEPS, lr_dtype="bfloat16"),
    _adamw("AdamW's moments in bfloat16", STATE, state_dtype="bfloat16"),
    _trainer("masters in bfloat16", "_store", bfloat16_masters, STATE),
    _trainer("gradients summed over micro-batches", "loss_and_grads", summed_accumulation, ACCUMULATED),
    _trainer("last micro-batch's loss", "loss_and_grads", last_loss, ACCUMULATED),
    _trainer("gradients clipped", "loss_and_grads", clipped, ACCUMULATED),
)
