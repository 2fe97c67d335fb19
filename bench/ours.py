"""impl/<framework> as a subject: one adapter for every backend, since the frameworks' modules mirror each other."""

from collections.abc import Generator, Iterator
from importlib import import_module

import numpy as np

from bench.evaluation import evaluate
from bench.subject import POLICIES, BitsPerByte, Params, Trajectory, Unsupported
from impl.data.batches import batches
from impl.data.evaluation import windows
from impl.init import init
from impl.spec import Hyper, Recipe

READY = 2  # micro-batches drawn ahead, or a step's if it takes more


class Ours(Unsupported):
    """Our implementation on one backend."""

    policies = POLICIES

    def __init__(self, backend):
        self.backend, self.name = backend, backend.name
        modules = ("gpt", "loss", "muon", "train", "loader")
        self.gpt, self.loss, self.muon, self._train, self._loader = (
            import_module(f"impl.{backend.framework}.{module}") for module in modules
        )

    def init(self, recipe, seed):
        return init(recipe.model, seed)

    def op(self, name, arrays, attrs, policy):
        arrays = tuple(self.backend.array(x, policy if x.dtype.kind == "f" else None) for x in arrays)
        return self.backend.numpy(getattr(self, f"_{name}")(*arrays, policy=policy, **attrs))

    def _matmul(self, a, b, policy):
        return a @ b

    def _strided(self, *arrays, op, how, policy, **attrs):
        """`op` on arrays of the same values that do not lie in a row in memory."""
        arrays = tuple(self._spread(x, how, policy) if x.ndim > 1 else x for x in arrays)
        return getattr(self, f"_{op}")(*arrays, policy=policy, **attrs)

    def _spread(self, x, how, policy):
        x = self.backend.numpy(x)
        if how == "transposed":
            return self.backend.array(np.ascontiguousarray(x.swapaxes(-1, -2)), policy).swapaxes(-1, -2)
        return self.backend.array(np.repeat(x, 2, axis=-1), policy)[..., ::2]

    def _matmul_rows(self, a, b, rows, policy):
        """Some rows of a product that is computed whole."""
        return (a @ b)[rows]

    def _sum(self, x, axis, policy):
        """The framework's own reduction: what we ship casts to float32 before it adds."""
        return x.sum() if axis is None else x.sum(axis)

    def _norm(self, x, policy):
        """The framework's own Frobenius norm, which we do not ship."""
        return import_module("mlx.core" if self.backend.framework == "mlx" else "torch").linalg.norm(x)

    def _rms_norm(self, x, eps, policy):
        return self.gpt.rms_norm(x, eps)

    def _rope(self, x, base, policy):
        tables = self.gpt.rope_tables(x.shape[1], x.shape[3], base, policy)
        return self.gpt.rope(x, *(self.backend.array(self.backend.numpy(table), policy) for table in tables))

    def _attention(self, q, k, v, window, policy):
        return self.gpt.attention(q, k, v, window)

    def _cross_entropy(self, x, weight, targets, softcap, policy):
        return self.loss.cross_entropy(x, weight, targets, softcap)

    def _row_nats(self, x, weight, targets, softcap, policy):
        return self.loss.row_nats(x, weight, targets, softcap)

    def activations(self, recipe, params, tokens, policy):
        return self.trainer(recipe, params, policy).activations(tokens)

    def logits(self, recipe, params, tokens, policy):
        return self.backend.numpy(self.trainer(recipe, params, policy).logits(tokens))

    def loss_and_grads(self, recipe, params, tokens, targets, policy):
        loss, grads = self.trainer(recipe, params, policy).loss_and_grads(tokens, targets)
        return float(self.backend.numpy(loss)), {name: self.backend.numpy(grad) for name, grad in grads.items()}

    def nats(self, recipe, params, tokens, targets, policy):
        return self.backend.numpy(self.trainer(recipe, params, policy).nats(tokens, targets))

    def orthogonalize(self, matrix, orthogonalizer, policy):
        stack = self.backend.array(matrix[None], "float32")
        return self.backend.numpy(self.muon.orthogonalize(stack, orthogonalizer, policy))[0]

    def optimizer(self, recipe, params, policy):
        return Session(self.trainer(recipe, params, policy))

    def train(self, recipe, params, steps, progress, policy, tap=None):
        trainer = self.trainer(recipe, params, policy, compiled=True)
        rows = []
        for i, (micro_batches, done) in enumerate(zip(steps, progress, strict=True)):
            rows.append(trainer.step(micro_batches, recipe.schedule.at(i, done)))
            if tap:
                tap(trainer.parameters())
        losses, norms = np.array(rows).T
        return Trajectory(losses, norms, trainer.parameters())

    def batches(self, recipe, data, split):
        return batches(data, split, recipe.data.device_batch, recipe.model.sequence_len, recipe.data)

    def bits_per_byte(self, recipe, params, data, policy) -> BitsPerByte:
        trainer, text = self.trainer(recipe, params, policy), windows(data, recipe.model.sequence_len)
        return evaluate(trainer.nats, text, recipe.data.device_batch, self.backend.numpy)

    def prefetch(self, batches: Iterator, micro_batches: int = 1) -> Generator:
        """`batches` drawn ahead of need and on the device: (inputs, targets, epoch); all of a step are kept ready."""
        return self._loader.prefetch(batches, self.backend, max(READY, micro_batches))

    def sent(self, batch: tuple) -> tuple:
        """(inputs, targets) of one batch on the device, made and sent by the thread that asks."""
        return tuple(self._loader.sent(self._loader.staged(tokens, self.backend), self.backend) for tokens in batch[:2])

    def trainer(self, recipe: Recipe, params: Params, policy: str, compiled: bool = False):
        """The shipped trainer; questions of a new shape each are asked without compiling, training with it."""
        return self._train.Trainer(self.backend, recipe, dict(params), policy, compiled=compiled)


class Session:
    """An optimizer of ours between steps."""

    def __init__(self, trainer):
        self.trainer = trainer

    def step(self, grads: Params, hyper: Hyper) -> Params:
        held = {name: self.trainer.backend.array(grads[name], "float32") for name in self.trainer.params}
        self.trainer.update(held, self.trainer.rates(hyper))
        return self.trainer.parameters()

    def state(self) -> Params:
        moments = ("first.", "second.")
        return {name: kept for name, kept in self.trainer.state().items() if name.startswith(moments)}
