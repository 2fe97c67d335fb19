"""The oracle as a subject: policy "float64" is the truth, any other the emulation that sets the yardstick."""

import numpy as np

from bench.evaluation import evaluate
from bench.subject import Params, Trajectory, Unsupported
from impl.data.evaluation import windows
from impl.oracle import muon, ops
from impl.oracle.gpt import GPT
from impl.oracle.precision import PRECISIONS, precision
from impl.oracle.train import Trainer
from impl.spec import Hyper, Orthogonalizer, Recipe


class Oracle(Unsupported):
    """impl.oracle behind the protocol; a mutant is this class with one thing wrong."""

    name = "oracle"
    policies = tuple(PRECISIONS)

    def op(self, name: str, arrays: tuple, attrs: dict, policy: str) -> np.ndarray:
        p = precision(policy)
        arrays = tuple(p.kernel(p.array(x)) if x.dtype.kind == "f" else x for x in arrays)
        return np.asarray(getattr(self, f"_{name}")(*arrays, p=p, **attrs))

    def _matmul(self, a, b, p):
        return p.matmul(a, b)

    def _strided(self, *arrays, op, how, p, **attrs):
        return getattr(self, f"_{op}")(*arrays, p=p, **attrs)

    def _matmul_rows(self, a, b, rows, p):
        return p.matmul(a[rows], b)

    def _sum(self, x, axis, p):
        return p.kernel(p.sum(x, axis=axis))

    def _norm(self, x, p):
        return p.kernel(np.sqrt(p.kernel(p.sum(p.kernel(x * x)))))

    def _rms_norm(self, x, eps, p):
        return ops.rms_norm(x, eps, p)

    def _rope(self, x, base, p):
        return ops.rope(x, *ops.rope_tables(x.shape[1], x.shape[3], base, p), p)

    def _attention(self, q, k, v, window, p):
        return ops.attention(q, k, v, window, p)

    def _cross_entropy(self, x, weight, targets, softcap, p):
        return ops.cross_entropy(p.matmul(x, weight.T), targets, softcap, p)

    def _row_nats(self, x, weight, targets, softcap, p):
        return ops.token_nats(ops.softcap(p.matmul(x, weight.T), softcap), targets, p)

    def _gpt(self, recipe: Recipe, params: Params, policy: str) -> GPT:
        p = precision(policy)
        return GPT(recipe.model, dict(params), p)

    def activations(self, recipe, params, tokens, policy):
        gpt = self._gpt(recipe, params, policy)
        gpt.forward(tokens)
        return gpt.activations

    def logits(self, recipe, params, tokens, policy):
        return self._gpt(recipe, params, policy).logits(tokens)

    def loss_and_grads(self, recipe, params, tokens, targets, policy):
        return self._gpt(recipe, params, policy).loss_and_grads(tokens, targets)

    def nats(self, recipe, params, tokens, targets, policy):
        return self._gpt(recipe, params, policy).nats(tokens, targets)

    def bits_per_byte(self, recipe, params, data, policy):
        gpt, text = self._gpt(recipe, params, policy), windows(data, recipe.model.sequence_len)
        return evaluate(gpt.nats, text, recipe.data.device_batch)

    def orthogonalize(self, matrix, orthogonalizer: Orthogonalizer, policy):
        return muon.orthogonalize(matrix, orthogonalizer, precision(policy))

    def optimizer(self, recipe, params, policy):
        return Session(self.trainer(recipe, params, policy))

    def train(self, recipe, params, steps, progress, policy, tap=None):
        trainer = self.trainer(recipe, params, policy)
        rows = []
        for i, (micro_batches, done) in enumerate(zip(steps, progress, strict=True)):
            rows.append(trainer.step(micro_batches, recipe.schedule.at(i, done)))
            if tap:
                tap(dict(trainer.params))
        losses, norms = np.array(rows).T
        return Trajectory(losses, norms, trainer.params)

    def trainer(self, recipe, params, policy) -> Trainer:
        return Trainer(recipe, dict(params), policy)


class Session:
    """An optimizer of the oracle between steps."""

    def __init__(self, trainer: Trainer):
        self.trainer = trainer

    def step(self, grads: Params, hyper: Hyper) -> Params:
        self.trainer.update(dict(grads), hyper)
        return dict(self.trainer.params)

    def state(self) -> Params:
        """Moments as "first.NAME" and "second.NAME"."""
        moments = {name: vars(state) for name, state in self.trainer.states.items()}
        first = {f"first.{name}": kept.get("first", kept.get("momentum")) for name, kept in moments.items()}
        return first | {f"second.{name}": kept.get("second", kept.get("variance")) for name, kept in moments.items()}
