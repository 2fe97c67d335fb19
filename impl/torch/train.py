"""The training step: accumulated gradients, their norm, then Muon and AdamW over the recipe's groups.

Test with `pytest -m fast -k train`.
"""

import numpy as np
import torch
from torch import nn

from impl.backend import compiles
from impl.spec import Hyper, Muon, Recipe
from impl.torch import adamw, cpu, muon
from impl.torch.gpt import GPT


class Trainer:
    """A model and its optimizer on one backend, held in float32 at one policy's compute dtype.

    `params` are float32 by upstream name; `compiled` says whether the framework's compiler is in use: asked for, worth
    its while on this backend, and able to run. Raises KeyError for a parameter that is missing.
    """

    def __init__(self, backend, recipe: Recipe, params: dict[str, np.ndarray], policy: str, compiled: bool = True):
        self.backend, self.recipe, self.policy = backend, recipe, policy
        self.compiled = compiled and _pays(backend) and compiles(backend)
        self.groups = recipe.optimizer.groups(recipe.model)
        dtypes, matrices = recipe.dtypes.under(policy), recipe.optimizer.matrices
        self.stored = {name: dtypes.masters for name in recipe.model.shapes()}
        self.stored |= {name: dtypes.embeddings for name in self.stored if "wte" in name or "value_embeds" in name}
        self.muon_dtype = policy if matrices.dtype == "compute" else matrices.dtype
        self.model = GPT(recipe.model, recipe.dtypes, policy).to(backend.device)
        self.params = dict(self.model.named_parameters())
        if self.compiled:
            torch._dynamo.reset()  # after eight shapes, other trainers' among them, it would silently stop compiling
        maybe_compiled = torch.compile(dynamic=False) if self.compiled else lambda function: function
        self._adamw_step = cpu.adamw_step if backend.device.type == "cpu" else adamw.step
        self._loss, self._compiled_advance = maybe_compiled(self.model.loss), maybe_compiled(self._advance)
        self.load({"step": np.array(0)} | params | self._no_moments())

    def step(self, micro_batches, hyper: Hyper) -> tuple[float, float]:
        """One optimizer step on the mean over micro-batches of (inputs, targets), (B, T) each: loss, gradient norm.

        Waits once, at the end, for the loss, the parameters and the optimizer's state.
        """
        rates = self.rates(hyper)  # first: sent later, it would wait for all that is under way
        loss, norm = self.begin(micro_batches, rates)
        self.backend.sync(loss, norm, self.params, self.moments)
        return loss.item(), norm.item()

    def begin(self, micro_batches, rates):  # -> () loss, () norm
        """A step, of `rates`, that is not waited for."""
        losses, grads = [], None
        for inputs, targets in micro_batches:
            loss, new = self.loss_and_grads(inputs, targets)
            losses.append(loss)
            if grads is not None:
                torch._foreach_add_(list(new.values()), list(grads.values()))
            grads = new
        if len(losses) > 1:
            torch._foreach_div_(list(grads.values()), len(losses))
        norm = self.update(grads, rates)
        return sum(losses) / len(losses), norm

    def loss_and_grads(self, inputs, targets):  # 2 x (B, T) -> (), {name: float32}
        """Mean nats over targets that are not -1, and its derivative by every parameter, on the device."""
        loss = self._loss(self._tokens(inputs), self._tokens(targets))
        grads = torch.autograd.grad(loss, list(self.params.values()))
        return loss.detach(), dict(zip(self.params, grads, strict=True))

    def rates(self, hyper: Hyper):  # -> (groups, 3)
        """Every group's rates for the coming step, as one array, so that new values compile nothing anew."""
        self.steps += 1
        rates = [_rule(group).rates(group.rule, group.lr, hyper, self.steps) for group in self.groups]
        return self.backend.array(np.array(rates, np.float32))

    @torch.no_grad()
    def update(self, grads, rates):  # {name: float32}, (groups, 3) -> () float32, the norm of the gradients
        """The optimizer's part of a step, from gradients on the device; does not wait for it."""
        held = [[self._gathered(group, x) for x in (self.params, grads)] for group in self.groups]
        new = self._compiled_advance(held, self.moments, rates)
        self.moments = [moments for _, *moments in new]
        each = [zip(group.names, params, strict=True) for group, (params, *_) in zip(self.groups, new, strict=True)]
        self._write({name: param for params in each for name, param in params})
        return nn.utils.get_total_norm(grads.values())

    @torch.no_grad()
    def nats(self, inputs, targets):  # 2 x (B, T) -> (B,) float32
        """Each row's sum over targets that are not -1, on the device; does not wait for it."""
        return self.model.nats(self._tokens(inputs), self._tokens(targets))

    @torch.no_grad()
    def logits(self, tokens):  # (B, T) -> (B, T, V) float32
        """Softcapped, on the device."""
        return self.model.logits(self._tokens(tokens))

    @torch.no_grad()
    def activations(self, tokens) -> dict[str, np.ndarray]:
        """What `GPT.hidden` taps, by name, float32."""
        taps = {}
        self.model.hidden(self._tokens(tokens), lambda name, x: taps.update({name: self.backend.numpy(x)}))
        return taps

    def parameters(self) -> dict[str, np.ndarray]:
        """Every parameter by upstream name, float32."""
        return {name: self.backend.numpy(param) for name, param in self.params.items()}

    def state(self) -> dict[str, np.ndarray]:
        """Parameters, moments ("first.NAME", "second.NAME") and the number of steps taken ("step"), for `load`."""
        state = {"step": np.array(self.steps)} | self.parameters()
        for group, (first, second) in zip(self.groups, self.moments, strict=True):
            for name, m, v in zip(group.names, first, second, strict=True):
                state |= {f"first.{name}": self.backend.numpy(m), f"second.{name}": self.backend.numpy(v)}
        return state

    def load(self, state: dict[str, np.ndarray]) -> None:
        """Take over what `state` returned, rounded to the recipe's storage dtypes."""
        self.steps = int(state["step"])
        self._write({name: self._kept(name, state[name]) for name in self.params})
        self.moments = [
            [self._gathered(group, {name: self._kept(name, state[f"{moment}.{name}"]) for name in group.names})
             for moment in ("first", "second")]
            for group in self.groups
        ]  # fmt: skip

    def _no_moments(self) -> dict[str, np.ndarray]:
        """The moments before the first step, as `state` names them."""
        shapes, matrices = self.recipe.model.shapes(), self.recipe.optimizer.rule_of
        seconds = {name: muon.second_shape(s) if isinstance(matrices(name), Muon) else s for name, s in shapes.items()}
        zeros = {f"first.{name}": np.zeros(shape, np.float32) for name, shape in shapes.items()}
        return zeros | {f"second.{name}": np.zeros(shape, np.float32) for name, shape in seconds.items()}

    def _advance(self, held, moments, rates):  # [parameters, gradients] and [first, second] of each group
        """Every group's new parameters and moments, in one function, so that it compiles into one call."""
        new = []
        for i, group in enumerate(self.groups):
            if isinstance(group.rule, Muon):
                step = muon.step(*held[i], *moments[i], rates[i], group.rule, self.muon_dtype)
            else:
                dtype = self.stored[group.names[0]]
                each = zip(*held[i], *moments[i], strict=True)
                step = zip(*[self._adamw_step(*x, rates[i], group.rule, dtype) for x in each], strict=True)
            new.append([_float32(x) for x in step])
        return new

    def _gathered(self, group, arrays):
        """Muon works on a stack of its group's matrices, AdamW on one array after the other."""
        arrays = [arrays[name] for name in group.names]
        return torch.stack(arrays) if isinstance(group.rule, Muon) else arrays

    @torch.no_grad()
    def _write(self, params):
        torch._foreach_copy_([self.params[name] for name in params], list(params.values()))

    def _kept(self, name, values):
        """`values` in float32, on the grid of the dtype that `name` is stored in."""
        return self.backend.array(values, self.stored[name]).float()

    def _tokens(self, tokens):  # NumPy or device, any integers -> (B, T) int64 on the device
        return tokens if isinstance(tokens, torch.Tensor) else self.backend.array(tokens, "int64")


def _pays(backend) -> bool:
    """On the CPU, torch.compile made upstream's step three times slower; on MPS it is young."""
    return backend.name == "torch-cuda"


def _rule(group):
    """The module with the group's rule."""
    return muon if isinstance(group.rule, Muon) else adamw


def _float32(x):
    """A stack or a list of arrays as float32."""
    return x.float() if isinstance(x, torch.Tensor) else [y.float() for y in x]
