"""The GPT of the recipe and its gradient by hand. Reads top to bottom like the mathematics.

B batch, T tokens, C width, H heads, K key/value heads, D head size, V vocabulary.
"""

from dataclasses import dataclass

import numpy as np

from impl.oracle import ops
from impl.oracle.precision import Precision
from impl.spec import Model

Params = dict[str, np.ndarray]


@dataclass
class Layer:
    """What one block keeps for its backward pass."""

    entered: np.ndarray  # x before the residual scalars
    x: np.ndarray  # after them
    n: np.ndarray  # normed input of the attention
    rotated: tuple[np.ndarray, np.ndarray]  # q and k after RoPE, before their norm
    qkv: tuple[np.ndarray, np.ndarray, np.ndarray]
    gate: np.ndarray | None  # (B, T, K, 1)
    ve: np.ndarray | None  # (B, T, K, D)
    y: np.ndarray  # attention output, (B, T, C)
    middle: np.ndarray  # x after the attention
    m: np.ndarray  # normed input of the MLP
    hidden: np.ndarray  # before the activation


class GPT:
    """One model at one precision: parameters rounded to it once, as a kernel that reads them would."""

    def __init__(self, model: Model, params: Params, p: Precision):
        self.model, self.p = model, p
        self.w = {name: p.kernel(p.array(value)) for name, value in params.items()}

    def forward(self, tokens):  # (B, T) -> (B, T, C)
        """The final normed activations; keeps what `backward` needs, and `activations` by name."""
        model, p, w = self.model, self.p, self.w
        self.tokens = tokens
        self.layers: list[Layer] = []
        self.rope = ops.rope_tables(tokens.shape[1], model.head_dim, model.rope_base, p)
        x = x0 = ops.rms_norm(w["transformer.wte.weight"][tokens], model.norm_eps, p)
        self.x0 = x0
        self.activations = {"embed": x}
        for i, window in enumerate(model.windows()):
            entered = x
            x = p.kernel(w["resid_lambdas"][i] * x + w["x0_lambdas"][i] * x0)
            x = self._block(i, entered, x, window)
        self.last = x
        self.activations["final"] = ops.rms_norm(x, model.norm_eps, p)
        return self.activations["final"]

    def _block(self, i: int, entered, x, window: int):
        model, p, w, h = self.model, self.p, self.w, f"transformer.h.{i}"
        n = ops.rms_norm(x, model.norm_eps, p)
        q, k, v = (self._split(p.matmul(n, w[f"{h}.attn.c_{name}.weight"].T)) for name in "qkv")
        gate = ve = None
        if i in model.value_layers():
            ve = self._split(w[f"value_embeds.{i}.weight"][self.tokens])
            gate = self._gate(n, w[f"{h}.attn.ve_gate.weight"])
            v = p.kernel(v + gate * ve)
        rotated = tuple(ops.rope(x, *self.rope, p) for x in (q, k))
        q, k = (ops.rms_norm(x, model.norm_eps, p) for x in rotated)
        y = ops.attention(q, k, v, window, p).reshape(x.shape)
        middle = p.kernel(x + p.matmul(y, w[f"{h}.attn.c_proj.weight"].T))
        m = ops.rms_norm(middle, model.norm_eps, p)
        hidden = p.matmul(m, w[f"{h}.mlp.c_fc.weight"].T)
        active = getattr(ops, model.activation)(hidden, p)
        out = p.kernel(middle + p.matmul(active, w[f"{h}.mlp.c_proj.weight"].T))
        self.layers.append(Layer(entered, x, n, rotated, (q, k, v), gate, ve, y, middle, m, hidden))
        self.activations[f"h.{i}.attn"], self.activations[f"h.{i}"] = middle, out
        return out

    def _split(self, x):  # (B, T, heads * D) -> (B, T, heads, D)
        return x.reshape(*x.shape[:2], -1, self.model.head_dim)

    def _gate(self, n, weight):  # (B, T, C), (K, G) -> (B, T, K, 1)
        p, scale = self.p, self.model.gate_scale
        return p.kernel(scale / (1 + np.exp(-p.matmul(n[..., : self.model.gate_channels], weight.T))))[..., None]

    def logits(self, tokens):  # (B, T) -> (B, T, V)
        return ops.softcap(self.p.matmul(self.forward(tokens), self.w["lm_head.weight"].T), self.model.softcap)

    def nats(self, tokens, targets):  # 2 x (B, T) -> (B,)
        """Summed over the scored targets of each row."""
        logits = self.logits(tokens)
        nats = ops.token_nats(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1), self.p)
        return self.p.sum(nats.reshape(targets.shape), axis=1)

    def loss_and_grads(self, tokens, targets) -> tuple[float, Params]:
        """Mean nats over targets >= 0, and its derivative by every parameter."""
        model, p, w = self.model, self.p, self.w
        final = self.forward(tokens)
        flat, targets = final.reshape(-1, model.width), targets.reshape(-1)
        raw = p.matmul(flat, w["lm_head.weight"].T)
        loss = ops.cross_entropy(raw, targets, model.softcap, p)
        draw = ops.cross_entropy_backward(raw, targets, model.softcap, p)
        self.grads = {name: np.zeros_like(value) for name, value in w.items()}
        self.grads["lm_head.weight"] = p.matmul(draw.T, flat)
        dx = p.matmul(draw, w["lm_head.weight"]).reshape(final.shape)
        dx = ops.rms_norm_backward(dx, self.last, model.norm_eps, p)
        dx0 = np.zeros_like(self.x0)
        for i in reversed(range(model.depth)):
            dx = self._block_backward(i, dx)
            self.grads["resid_lambdas"][i] = p.kernel(p.sum(dx * self.layers[i].entered))
            self.grads["x0_lambdas"][i] = p.kernel(p.sum(dx * self.x0))
            dx0 = p.kernel(dx0 + p.kernel(w["x0_lambdas"][i] * dx))
            dx = p.kernel(w["resid_lambdas"][i] * dx)
        embedded = w["transformer.wte.weight"][tokens]
        dx = ops.rms_norm_backward(p.kernel(dx + dx0), embedded, model.norm_eps, p)
        ops.add_rows(self.grads["transformer.wte.weight"], tokens, dx)
        return float(loss), self.grads

    def _block_backward(self, i: int, dout):
        """From the derivative by the block's output to that by its input (after the residual scalars)."""
        model, p, h, saved = self.model, self.p, f"transformer.h.{i}", self.layers[i]
        activation, derivative = (getattr(ops, model.activation + suffix) for suffix in ("", "_backward"))
        dactive = self._linear_backward(f"{h}.mlp.c_proj.weight", activation(saved.hidden, p), dout)
        dhidden = derivative(dactive, saved.hidden, p)
        dm = self._linear_backward(f"{h}.mlp.c_fc.weight", saved.m, dhidden)
        dmiddle = p.kernel(dout + ops.rms_norm_backward(dm, saved.middle, model.norm_eps, p))
        dy = self._linear_backward(f"{h}.attn.c_proj.weight", saved.y, dmiddle)
        dq, dk, dv = ops.attention_backward(self._split(dy), *saved.qkv, model.windows()[i], p)
        dq, dk = (
            ops.rope_backward(ops.rms_norm_backward(d, x, model.norm_eps, p), *self.rope, p)
            for d, x in zip((dq, dk), saved.rotated, strict=True)
        )
        dn = np.zeros_like(saved.n)
        for name, d in zip("qkv", (dq, dk, dv), strict=True):
            dn = p.kernel(dn + self._linear_backward(f"{h}.attn.c_{name}.weight", saved.n, d.reshape(*d.shape[:2], -1)))
        if saved.gate is not None:
            ops.add_rows(
                self.grads[f"value_embeds.{i}.weight"],
                self.tokens,
                p.kernel(dv * saved.gate).reshape(*dv.shape[:2], -1),
            )
            dgate = p.kernel(p.sum(dv * saved.ve, axis=-1))
            dgate = p.kernel(dgate * (saved.gate * (1 - saved.gate / model.gate_scale))[..., 0])
            channels = saved.n[..., : model.gate_channels]
            dn[..., : model.gate_channels] += self._linear_backward(f"{h}.attn.ve_gate.weight", channels, dgate)
            dn = p.kernel(dn)
        return p.kernel(dmiddle + ops.rms_norm_backward(dn, saved.x, model.norm_eps, p))

    def _linear_backward(self, name: str, x, dy):  # (B, T, in), (B, T, out) -> (B, T, in)
        """For y = x W': stores dW = dy' x, returns dx = dy W."""
        self.grads[name] = self.p.matmul(dy.reshape(-1, dy.shape[-1]).T, x.reshape(-1, x.shape[-1]))
        return self.p.matmul(dy, self.w[name])
