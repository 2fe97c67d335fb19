"""Subjects with one known mistake each, taken from what public ports of the recipe really do.

A mutant is the oracle with one function replaced or one rule of the recipe changed, only while it answers.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from unittest.mock import patch

import numpy as np

from bench.oracle import Oracle, Session
from impl.oracle import adamw, gpt, muon, ops, train
from impl.oracle.precision import precision
from impl.spec import NS5, Group, Recipe


@dataclass(frozen=True)
class Mutant:
    """`patches`: (owner, name, wrapper of the original). `check`: module.test that must fail on it."""

    name: str
    check: str
    patches: tuple[tuple[object, str, Callable], ...] = ()
    recipe: Callable[[Recipe], Recipe] = lambda recipe: recipe
    policy: Callable[[str], str] = lambda policy: policy

    def subject(self) -> "Mutated":
        return Mutated(self)

    @contextmanager
    def alive(self) -> Iterator[None]:
        """Inside, the oracle has the mistake."""
        with ExitStack() as stack:
            for owner, name, wrap in self.patches:
                stack.enter_context(patch.object(owner, name, wrap(getattr(owner, name))))
            yield


class Mutated(Oracle):
    """The oracle with a mutant's mistake."""

    def __init__(self, mutant: Mutant):
        self.mutant, self.name = mutant, mutant.name

    def _answer(self, method: str, *arguments):
        *arguments, policy = (self.mutant.recipe(a) if isinstance(a, Recipe) else a for a in arguments)
        with self.mutant.alive():
            return getattr(Oracle, method)(self, *arguments, self.mutant.policy(policy))

    def op(self, *arguments):
        return self._answer("op", *arguments)

    def activations(self, *arguments):
        return self._answer("activations", *arguments)

    def logits(self, *arguments):
        return self._answer("logits", *arguments)

    def nats(self, *arguments):
        return self._answer("nats", *arguments)

    def loss_and_grads(self, *arguments):
        return self._answer("loss_and_grads", *arguments)

    def orthogonalize(self, *arguments):
        return self._answer("orthogonalize", *arguments)

    def train(self, *arguments):
        return self._answer("train", *arguments)

    def optimizer(self, *arguments):
        return MutatedSession(self.mutant, self._answer("optimizer", *arguments))


@dataclass
class MutatedSession:
    """Optimizer steps with the mistake alive."""

    mutant: Mutant
    session: Session = field(repr=False)

    def step(self, grads, hyper):
        with self.mutant.alive():
            return self.session.step(grads, hyper)


def _model(**changes) -> Callable[[Recipe], Recipe]:
    return lambda recipe: replace(recipe, model=replace(recipe.model, **changes))


def _matrices(**changes) -> Callable[[Recipe], Recipe]:
    def changed(recipe: Recipe) -> Recipe:
        matrices = replace(recipe.optimizer.matrices, **changes)
        return replace(recipe, optimizer=replace(recipe.optimizer, matrices=matrices))

    return changed


def _adamw(**changes) -> Callable[[Recipe], Recipe]:
    kinds = ("lm_head", "wte", "value_embeds", "resid_lambdas", "x0_lambdas")

    def changed(recipe: Recipe) -> Recipe:
        rules = {kind: replace(getattr(recipe.optimizer, kind), **changes) for kind in kinds}
        return replace(recipe, optimizer=replace(recipe.optimizer, **rules))

    return changed


def _instead(replacement) -> Callable:
    """A patch that does not need the original."""
    return lambda original: replacement


def _interleaved(x, cos, sin, p):
    x1, x2 = x[..., ::2], x[..., 1::2]
    return p.kernel(np.stack([x1 * cos + x2 * sin, x2 * cos - x1 * sin], axis=-1).reshape(x.shape))


def _short_window(tokens, window):
    distance = np.arange(tokens)[:, None] - np.arange(tokens)[None, :]
    return (distance >= 0) & (distance < max(window, 1))


def _tiled_heads(x, repeats):
    return np.tile(x.transpose(0, 2, 1, 3), (1, repeats, 1, 1))


def _adamw_step(*, bias_correction=True, eps_inside=False, lr_dtype="float32", state_dtype="float32"):
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


def _muon_step(*, nesterov=True, lerp=True, cautious=True, lr_dtype="float32", coupled=False):
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


def _without_restoration(update, state, rule, p):
    mean_square = np.mean(update**2, axis=1 if update.shape[0] >= update.shape[1] else 0, keepdims=True)
    state.variance = state.variance + (1 - p.dtype(rule.beta2)) * (mean_square - state.variance)
    return update / np.sqrt(np.maximum(state.variance, rule.variance_floor))


def _last_axis_variance(original):
    def normalize(update, state, rule, p):
        if update.shape[0] >= update.shape[1]:
            return original(update, state, rule, p)
        state.variance = np.zeros((update.shape[0], 1), p.dtype) if state.variance.shape[0] == 1 else state.variance
        mean_square = np.mean(update**2, axis=1, keepdims=True)
        state.variance = state.variance + (1 - p.dtype(rule.beta2)) * (mean_square - state.variance)
        scaled = update / np.sqrt(np.maximum(state.variance, rule.variance_floor))
        return scaled * np.linalg.norm(update) / np.linalg.norm(scaled)

    return normalize


def _groups(change: Callable[[Group], Group]) -> Callable:
    """A patch of the trainer that changes its groups."""

    def wrap(original):
        def construct(self, *arguments):
            original(self, *arguments)
            self.groups = tuple(change(group) for group in self.groups)

        return construct

    return wrap


def _base_lr(group: Group) -> Group:
    return replace(group, lr=group.rule.lr)


def _schedule_never_reaches_muon(original):
    def updated(self, name, group, grad, hyper):
        is_muon = name.startswith("transformer.h")
        return original(self, name, group, grad, replace(hyper, lr=1.0) if is_muon else hyper)

    return updated


def _constant_decay(original):
    return lambda self, name, group, grad, hyper: original(self, name, group, grad, replace(hyper, weight_decay=1.0))


def _lr_compounds(original):
    """`group['lr'] *= aspect` in place, and nobody resets it: the second step has the aspect twice."""

    def updated(self, name, group, grad, hyper):
        self.compounded = getattr(self, "compounded", {})
        aspect = group.lr / group.rule.lr if name.startswith("transformer.h") else 1.0
        self.compounded[name] = self.compounded.get(name, 1 / aspect) * aspect
        return original(self, name, replace(group, lr=group.lr * self.compounded[name]), grad, hyper)

    return updated


def _summed_accumulation(original):
    def loss_and_grads(self, micro_batches):
        loss, grads = original(self, micro_batches)
        return loss, {name: grad * len(micro_batches) for name, grad in grads.items()}

    return loss_and_grads


def _mean_over_all(original):
    return lambda raw, targets, cap, p: original(raw, targets, cap, p) * np.mean(targets >= 0)


def _relu(original):
    return lambda x, p: p.kernel(np.maximum(x, 0))


def _no_x0(original):
    def construct(self, model, params, p):
        original(self, model, {**params, "x0_lambdas": 0 * params["x0_lambdas"]}, p)

    return construct


def _gate_of_last_channels(original):
    return lambda self, n, weight: original(self, n[..., ::-1], weight)


MODEL, OPTIM, OPS, RUN = "test_gpt", "test_optim", "test_ops", "test_train"
LOGITS, GRADS = f"{MODEL}.test_logits_match_oracle", f"{MODEL}.test_loss_and_gradients_match_oracle"
STEPS, TRAIN = f"{OPTIM}.test_optimizer_steps_match_oracle", f"{RUN}.test_twenty_steps_match_oracle"
POLAR = f"{OPTIM}.test_orthogonalizer_matches_oracle"


def _low(p_name: str) -> Callable:
    """Orthogonalise at another precision than the one asked for."""
    return lambda original: lambda x, o, p: original(x, o, precision(p_name)) if p.name != "float64" else x


MUTANTS = (
    Mutant("window of W keys", LOGITS, ((ops, "visible", _instead(_short_window)),)),
    Mutant("window ignored", LOGITS, ((ops, "visible", _instead(lambda t, w: np.tri(t, dtype=bool))),)),
    Mutant("window of W keys in the kernel", f"{OPS}.test_attention_matches_oracle",
           ((ops, "visible", _instead(_short_window)),)),
    Mutant("RoPE on interleaved pairs", LOGITS, ((ops, "rope", _instead(_interleaved)),)),
    Mutant("RoPE by plus theta", f"{OPS}.test_rope_matches_oracle",
           ((ops, "rope", lambda rope: lambda x, cos, sin, p: rope(x, cos, -sin, p)),)),
    Mutant("norm eps 1e-5", LOGITS, recipe=_model(norm_eps=1e-5)),
    Mutant("norm accumulated in bfloat16", f"{OPS}.test_rms_norm_matches_oracle",
           policy=lambda policy: "bfloat16-sums"),
    Mutant("softcap 30", LOGITS, recipe=_model(softcap=30.0)),
    Mutant("softcap dropped", f"{OPS}.test_cross_entropy_matches_oracle",
           ((ops, "softcap", _instead(lambda x, cap: x)),)),
    Mutant("relu not squared", LOGITS, ((ops, "relu_squared", _relu),)),
    Mutant("x0 not mixed in", LOGITS, ((gpt.GPT, "__init__", _no_x0),)),
    Mutant("gate scale 1", LOGITS, recipe=_model(gate_scale=1.0)),
    Mutant("gate reads the last channels", LOGITS, ((gpt.GPT, "_gate", _gate_of_last_channels),)),
    Mutant("query heads tiled over key heads", f"{OPS}.test_attention_matches_oracle",
           ((ops, "_heads_first", _instead(_tiled_heads)),)),
    Mutant("mean over unscored targets too", GRADS, ((ops, "cross_entropy", _mean_over_all),)),
    Mutant("TF32 where float32 was asked", f"{OPS}.test_matmul_matches_oracle", policy=lambda policy: "tf32"),
    Mutant("bfloat16 where float32 was asked", LOGITS, policy=lambda policy: "bfloat16"),
    Mutant("NS5 for Polar Express", STEPS, recipe=_matrices(orthogonalizer=NS5)),
    Mutant("no safety factor", POLAR,
           ((muon, "orthogonalize", lambda f: lambda x, o, p: f(x, replace(o, safety=1.0) if o.safety != 1 else o, p)),)),
    Mutant("four iterations", POLAR,
           ((muon, "orthogonalize", lambda f: lambda x, o, p: f(x, replace(o, steps=4), p)),)),
    Mutant("bfloat16 Newton-Schulz", STEPS, ((muon, "orthogonalize", _low("bfloat16")),)),
    Mutant("variance over the last axis always", STEPS, ((muon, "normalize_variance", _last_axis_variance),)),
    Mutant("norm not restored", STEPS, ((muon, "normalize_variance", _instead(_without_restoration)),)),
    Mutant("no Nesterov", STEPS, ((muon, "step", _instead(_muon_step(nesterov=False))),)),
    Mutant("momentum as a sum", STEPS, ((muon, "step", _instead(_muon_step(lerp=False))),)),
    Mutant("decay not cautious", STEPS, ((muon, "step", _instead(_muon_step(cautious=False))),)),
    Mutant("decay added to the gradient", STEPS, ((muon, "step", _instead(_muon_step(coupled=True))),)),
    Mutant("decay constant", STEPS, ((train.Trainer, "_updated", _constant_decay),)),
    Mutant("Muon's lr in bfloat16", STEPS, ((muon, "step", _instead(_muon_step(lr_dtype="bfloat16"))),)),
    Mutant("no aspect or width scaling of lr", STEPS, ((train.Trainer, "__init__", _groups(_base_lr)),)),
    Mutant("schedule never reaches Muon", STEPS, ((train.Trainer, "_updated", _schedule_never_reaches_muon),)),
    Mutant("aspect compounds step by step", STEPS, ((train.Trainer, "_updated", _lr_compounds),)),
    Mutant("NorMuon beta2 0.9", STEPS, recipe=_matrices(beta2=0.9)),
    Mutant("AdamW eps 1e-8", STEPS, recipe=_adamw(eps=1e-8)),
    Mutant("AdamW betas (0.9, 0.95)", STEPS, recipe=_adamw(betas=(0.9, 0.95))),
    Mutant("AdamW eps inside the root", STEPS, ((adamw, "step", _instead(_adamw_step(eps_inside=True))),)),
    Mutant("AdamW without bias correction", STEPS, ((adamw, "step", _instead(_adamw_step(bias_correction=False))),)),
    Mutant("AdamW's lr in bfloat16", STEPS, ((adamw, "step", _instead(_adamw_step(lr_dtype="bfloat16"))),)),
    Mutant("AdamW's moments in bfloat16", STEPS, ((adamw, "step", _instead(_adamw_step(state_dtype="bfloat16"))),)),
    Mutant("gradients summed over micro-batches", TRAIN, ((train.Trainer, "loss_and_grads", _summed_accumulation),)),
)  # fmt: skip
