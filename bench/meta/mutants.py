"""Subjects with one known mistake each, taken from what public ports of the recipe really do.

A mutant is the oracle with one function replaced or one rule of the recipe changed, only while it answers.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from unittest.mock import patch

import numpy as np

from bench.meta import mistakes
from bench.meta.mistakes import instead
from bench.oracle import Oracle, Session
from bench.subject import Params, Trajectory
from impl.oracle import adamw, gpt, muon, ops, train
from impl.spec import NS5, Recipe


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
        policy = arguments[-1]
        arguments = tuple(self.mutant.recipe(a) if isinstance(a, Recipe) else a for a in arguments[:-1])
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


class Zeros(Oracle):
    """Answers every question with zeros of the right shape: the laziest mistake, which every row must see."""

    name = "zeros"

    def __getattribute__(self, method: str):
        answer = super().__getattribute__(method)
        if method not in ("op", "activations", "logits", "nats", "loss_and_grads", "orthogonalize", "train"):
            return answer
        return lambda *arguments: _zeroed(answer(*arguments))

    def bits_per_byte(self, *arguments):
        return replace(super().bits_per_byte(*arguments), nats=0.0)

    def optimizer(self, recipe, params, policy):
        return Idle(params)


@dataclass
class Idle:
    """An optimizer that leaves everything where it is."""

    params: Params

    def step(self, grads, hyper):
        return self.params


def _zeroed(answer):
    """The same structure, every number zero."""
    if isinstance(answer, Trajectory):
        return Trajectory(*(_zeroed(part) for part in (answer.losses, answer.grad_norms, answer.params)))
    if isinstance(answer, tuple):
        return tuple(_zeroed(part) for part in answer)
    if isinstance(answer, dict):
        return {name: _zeroed(part) for name, part in answer.items()}
    return np.zeros_like(answer) if isinstance(answer, np.ndarray) else 0.0


@dataclass
class MutatedSession:
    """Optimizer steps with the mistake alive."""

    mutant: Mutant
    session: Session = field(repr=False)

    def step(self, grads, hyper):
        with self.mutant.alive():
            return self.session.step(grads, hyper)


MODEL, OPTIM, OPS, RUN = "test_gpt", "test_optim", "test_ops", "test_train"
LOGITS, GRADS = f"{MODEL}.test_logits_match_oracle", f"{MODEL}.test_loss_and_gradients_match_oracle"
STEPS, TRAIN = f"{OPTIM}.test_optimizer_steps_match_oracle", f"{RUN}.test_twenty_steps_match_oracle"
POLAR = f"{OPTIM}.test_orthogonalizer_matches_oracle"


MUTANTS = (
    Mutant("window of W keys", LOGITS, ((ops, "visible", instead(mistakes.short_window)),)),
    Mutant("window ignored", LOGITS, ((ops, "visible", instead(mistakes.no_window)),)),
    Mutant(
        "window of W keys in the kernel",
        f"{OPS}.test_attention_matches_oracle",
        ((ops, "visible", instead(mistakes.short_window)),),
    ),
    Mutant("RoPE on interleaved pairs", LOGITS, ((ops, "rope", instead(mistakes.interleaved)),)),
    Mutant(
        "RoPE by plus theta",
        f"{OPS}.test_rope_matches_oracle",
        ((ops, "rope", lambda rope: lambda x, cos, sin, p: rope(x, cos, -sin, p)),),
    ),
    Mutant("norm eps 1e-5", LOGITS, recipe=mistakes.with_model(norm_eps=1e-5)),
    Mutant(
        "norm accumulated in bfloat16", f"{OPS}.test_rms_norm_matches_oracle", policy=lambda policy: "bfloat16-sums"
    ),
    Mutant("softcap 30", LOGITS, recipe=mistakes.with_model(softcap=30.0)),
    Mutant(
        "softcap dropped",
        f"{OPS}.test_cross_entropy_matches_oracle",
        ((ops, "softcap", instead(lambda x, cap: x)),),
    ),
    Mutant("relu not squared", LOGITS, ((ops, "relu_squared", mistakes.plain_relu),)),
    Mutant("x0 not mixed in", LOGITS, ((gpt.GPT, "__init__", mistakes.no_x0),)),
    Mutant("gate scale 1", LOGITS, recipe=mistakes.with_model(gate_scale=1.0)),
    Mutant("gate reads the last channels", LOGITS, ((gpt.GPT, "_gate", mistakes.gate_of_last_channels),)),
    Mutant(
        "query heads tiled over key heads",
        f"{OPS}.test_attention_matches_oracle",
        ((ops, "_heads_first", instead(mistakes.tiled_heads)),),
    ),
    Mutant("mean over unscored targets too", GRADS, ((ops, "cross_entropy", mistakes.mean_over_all),)),
    Mutant("TF32 where float32 was asked", f"{OPS}.test_matmul_matches_oracle", policy=lambda policy: "tf32"),
    Mutant("bfloat16 where float32 was asked", LOGITS, policy=lambda policy: "bfloat16"),
    Mutant("NS5 for Polar Express", STEPS, recipe=mistakes.with_matrices(orthogonalizer=NS5)),
    Mutant("no safety factor", POLAR, ((muon, "orthogonalize", mistakes.with_orthogonalizer(safety=1.0)),)),
    Mutant("four iterations", POLAR, ((muon, "orthogonalize", mistakes.with_orthogonalizer(steps=4)),)),
    Mutant("bfloat16 Newton-Schulz", STEPS, ((muon, "orthogonalize", mistakes.low("bfloat16")),)),
    Mutant("variance over the last axis always", STEPS, ((muon, "normalize_variance", mistakes.last_axis_variance),)),
    Mutant("norm not restored", STEPS, ((muon, "normalize_variance", instead(mistakes.without_restoration)),)),
    Mutant("no Nesterov", STEPS, ((muon, "step", instead(mistakes.muon_step(nesterov=False))),)),
    Mutant("momentum as a sum", STEPS, ((muon, "step", instead(mistakes.muon_step(lerp=False))),)),
    Mutant("decay not cautious", STEPS, ((muon, "step", instead(mistakes.muon_step(cautious=False))),)),
    Mutant("decay added to the gradient", STEPS, ((muon, "step", instead(mistakes.muon_step(coupled=True))),)),
    Mutant("decay constant", STEPS, ((train.Trainer, "_updated", mistakes.constant_decay),)),
    Mutant("Muon's lr in bfloat16", STEPS, ((muon, "step", instead(mistakes.muon_step(lr_dtype="bfloat16"))),)),
    Mutant(
        "no aspect or width scaling of lr",
        STEPS,
        ((train.Trainer, "__init__", mistakes.with_groups(mistakes.base_lr)),),
    ),
    Mutant("schedule never reaches Muon", STEPS, ((train.Trainer, "_updated", mistakes.schedule_never_reaches_muon),)),
    Mutant("aspect compounds step by step", STEPS, ((train.Trainer, "_updated", mistakes.lr_compounds),)),
    Mutant("NorMuon beta2 0.9", STEPS, recipe=mistakes.with_matrices(beta2=0.9)),
    Mutant("AdamW eps 1e-8", STEPS, recipe=mistakes.with_adamw(eps=1e-8)),
    Mutant("AdamW betas (0.9, 0.95)", STEPS, recipe=mistakes.with_adamw(betas=(0.9, 0.95))),
    Mutant("AdamW eps inside the root", STEPS, ((adamw, "step", instead(mistakes.adamw_step(eps_inside=True))),)),
    Mutant(
        "AdamW without bias correction",
        STEPS,
        ((adamw, "step", instead(mistakes.adamw_step(bias_correction=False))),),
    ),
    Mutant("AdamW's lr in bfloat16", STEPS, ((adamw, "step", instead(mistakes.adamw_step(lr_dtype="bfloat16"))),)),
    Mutant(
        "AdamW's moments in bfloat16",
        STEPS,
        ((adamw, "step", instead(mistakes.adamw_step(state_dtype="bfloat16"))),),
    ),
    Mutant(
        "gradients summed over micro-batches", TRAIN, ((train.Trainer, "loss_and_grads", mistakes.summed_accumulation),)
    ),
)
