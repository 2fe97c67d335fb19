"""The whole model: forward, gradients, each optimizer, the shipped step and the same without the compiler, evaluation.

`pytest -m bench bench/throughput/test_model.py`
"""

import math
from math import prod

import numpy as np
import pytest

from bench.evaluation import evaluate
from bench.throughput.case import ALLOWED, Case, WrongOutput, release
from bench.throughput.draws import drawn
from impl.data.evaluation import Windows
from impl.flops import flop_per_token
from impl.spec import AdamW, Muon, preset

pytestmark = pytest.mark.bench
PROGRESS = 0.1  # of the schedule: where rates are full
REPLAYED = 2  # steps that are taken again after the timing


class Trained:
    """A trainer with its dummy micro-batches, on the device."""

    def __init__(self, subject, recipe, precision, compiled):
        self.subject, self.recipe, self.precision = subject, recipe, precision
        self.trainer = subject.trainer(recipe, subject.init(recipe, 42), precision, compiled=compiled)
        rng = np.random.default_rng(0)
        size = (recipe.accumulation() + 1, 2, recipe.data.device_batch, recipe.model.sequence_len)
        token = "int64" if subject.backend.framework == "torch" else "int32"
        drawn = rng.integers(0, recipe.model.vocab_size, size)
        self.micro = [tuple(subject.backend.array(x, token) for x in pair) for pair in drawn]
        self.start = self.trainer.state()
        self.hyper = recipe.schedule.at(0, PROGRESS)

    @staticmethod
    def compiles(subject, precision) -> bool:
        """Whether this backend's trainer uses its compiler when it may."""
        recipe = preset("tiny")
        return subject.trainer(recipe, subject.init(recipe, 0), precision, compiled=True).compiled

    def case(self, operation, call, inputs, share=1.0, tokens=None, **more) -> Case:
        """`share` of the FLOP of `tokens`, by default one micro-batch's."""
        recipe = self.recipe
        tokens = tokens or recipe.data.device_batch * recipe.model.sequence_len
        return Case(
            operation=operation,
            shape=f"depth {recipe.model.depth}, {tokens} tok",
            precision=self.precision,
            call=call,
            inputs=inputs,
            flop=int(share * tokens * flop_per_token(recipe.model)),
            tokens=tokens,
            **more,
        )

    def steps(self):
        """Inputs of steps: the micro-batches, each time another one left out."""
        count = self.recipe.accumulation()
        return [([*self.micro[i:], *self.micro[:i]][:count],) for i in range(len(self.micro))]


@pytest.fixture(scope="module")
def trained(request, subject, bench_recipe, bench_precision):
    """ "shipped" is compiled where that pays on this backend; "eager" is the same without the compiler."""
    compiled = request.param == "shipped"
    if not compiled and not Trained.compiles(subject, bench_precision):
        pytest.skip(f"{subject.name} trains without its compiler: the row of the step is the eager one")
    release()  # of the trainer before; at its own end pytest still held it
    yield Trained(subject, bench_recipe, bench_precision, compiled)


@pytest.fixture(scope="module")
def updating(request, subject, bench_recipe, bench_precision):
    """The rule, and a trainer that has its groups alone; MLX and torch compile for these."""
    release()
    one = Trained(subject, bench_recipe, bench_precision, compiled=True)
    kinds = {"muon": Muon, "adamw": AdamW, "optimizer": (Muon, AdamW)}[request.param]
    chosen = [i for i, group in enumerate(one.trainer.groups) if isinstance(group.rule, kinds)]
    one.trainer.moments[:] = [one.trainer.moments[i] for i in chosen]
    one.trainer.groups = [one.trainer.groups[i] for i in chosen]
    yield request.param, one


shipped = pytest.mark.parametrize("trained", ("shipped",), indirect=True)
both = pytest.mark.parametrize("trained", ("shipped", "eager"), indirect=True)


def named(operation: str, request) -> str:
    return operation + (", eager" if request.node.callspec.params["trained"] == "eager" else "")


@shipped
def test_forward(measured, trained):
    """Each row's nats without gradients, as evaluation asks for them."""
    case = trained.case("forward", trained.trainer.nats, trained.micro, 1 / 3)
    measured(lambda: case, trained.subject.backend)


@both
def test_forward_backward(request, measured, trained):
    case = trained.case(named("forward+backward", request), trained.trainer.loss_and_grads, trained.micro)
    measured(lambda: case, trained.subject.backend)


@both
def test_step(request, measured, trained):
    """An optimizer step over all micro-batches, from rates on the device; its first losses must come out again."""
    trainer, hyper, backend = trained.trainer, trained.hyper, trained.subject.backend
    inputs = trained.steps()
    name = named("step", request)

    def replayed():
        trainer.load(trained.start)
        return [trainer.step(*given, hyper)[0] for given in inputs[:REPLAYED]]

    def build():
        losses, rates = replayed(), trainer.rates(hyper)

        def call(batches):
            return *trainer.begin(batches, rates), trainer.params, trainer.moments

        def check(output):
            again, last = replayed(), [float(backend.numpy(x)) for x in output[:2]]
            apart = max(abs(one - other) / abs(one) for one, other in zip(losses, again, strict=True))
            finite = all(map(math.isfinite, last))
            if not (finite and apart <= ALLOWED[trained.precision] and losses[0] > 1):
                raise WrongOutput(
                    f"{name}: losses {losses} before the timing, {again} after it; its time is not counted"
                )

        return trained.case(name, call, inputs, tokens=trained.recipe.data.total_batch, check=check)

    measured(build, backend)


@pytest.mark.parametrize("updating", ("muon", "adamw", "optimizer"), indirect=True)
def test_optimizer(measured, updating):
    """One rule's groups of the whole model alone, or all of them, from their gradients on the device."""
    rule, one = updating
    backend, recipe = one.subject.backend, one.recipe

    def build():
        trainer = one.trainer
        names = [name for group in trainer.groups for name in group.names]
        shapes = {name: recipe.model.shapes()[name] for name in names}
        trainer.load(one.start)  # after 306 steps at one rate bfloat16 holds embeddings that no step moves
        rates = trainer.rates(one.hyper)
        sets = drawn(backend, "float32", *shapes.values())
        grads = [({name: 1e-3 * draw for name, draw in zip(shapes, one_set, strict=True)},) for one_set in sets]
        backend.sync(grads)
        before = {name: backend.numpy(trainer.params[name]) for name in names}

        def call(grads):
            norm = trainer.update(grads, rates)
            return norm, trainer.params, trainer.moments

        def check(_):
            after = {name: backend.numpy(trainer.params[name]) for name in names}
            still = [name for name in names if np.array_equal(before[name], after[name])]
            wild = [name for name in names if not np.all(np.isfinite(after[name]))]
            if still or wild:
                raise WrongOutput(f"{rule}: after its steps, {still} have not moved, {wild} are not finite")

        return Case(
            operation=f"{rule} step" if rule != "optimizer" else "both optimizers' step",
            shape=f"depth {recipe.model.depth}, {len(names)} arrays",
            precision="float32",
            call=call,
            inputs=grads,
            flop=_flop(trainer.groups, shapes),
            # Read parameter, gradient and both moments, write all but the gradient.
            bytes=7 * 4 * sum(map(prod, shapes.values())),
            check=check,
        )

    measured(build, backend)


def _flop(groups, shapes) -> int | None:
    """Of the orthogonaliser's products; AdamW's arithmetic says nothing."""
    total = 0
    for group in groups:
        if isinstance(group.rule, Muon):
            short, long = sorted(shapes[group.names[0]])
            total += len(group.names) * group.rule.orthogonalizer.steps * 2 * (2 * short**2 * long + short**3)
    return total or None


@shipped
def test_evaluation(measured, trained, bench_sizes):
    """Windows of random tokens through the shipped evaluation, the copies to the host included."""
    recipe, backend, rng = trained.recipe, trained.subject.backend, np.random.default_rng(2)
    size = (2, bench_sizes.evaluation_rows, recipe.model.sequence_len)
    texts = [(Windows(*rng.integers(0, recipe.model.vocab_size, size), 1),) for _ in range(2)]

    def call(text):
        return evaluate(trained.trainer.nats, text, recipe.data.device_batch, backend.numpy).nats

    case = trained.case("evaluation", call, texts, 1 / 3, prod(size[1:]), waits=True)
    measured(lambda: case, backend)
