"""Mistakes in the model: its kernels, its forward and backward pass, the precision it runs in.

Not here, because no error bound can see them: norm before RoPE (a rotation keeps the norm, so it is the same function),
an additive mask of -1e9, and a float32 residual stream under bfloat16, which is nearer to the truth than the recipe.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from bench import oracle
from bench.mutants.subject import Mutant, instead
from impl.oracle import gpt, ops
from impl.oracle.precision import to_bfloat16
from impl.spec import Model, Recipe


def sharp(*quantities: str) -> tuple[str, ...]:
    """The rows of these quantities that only float32 can see: bfloat16 is wider than the mistake."""
    return tuple(f"{quantity}:float32" for quantity in quantities)


FORWARD = ("activations", "logits", "nats", "loss", "grads", *sharp("trajectory", "val_nats"))
SLIGHT = sharp("activations", "logits", "nats", "loss", "grads", "trajectory")
CAPPED = sharp("logits", "nats", "val_nats", "loss", "grads", "trajectory")
BACKWARD = ("grads", *sharp("trajectory"))
SCORED = ("cross_entropy", "nats", "val_nats", "loss")
KERNELS = sharp("matmul", "large_matmul", "attention", "cross_entropy")
UPDATES = sharp("orthogonalize", "optimizer", "optimizer_state")


def with_model(**changes) -> Callable[[Recipe], Recipe]:
    return lambda recipe: replace(recipe, model=replace(recipe.model, **changes))


def without(word: str) -> Callable:
    """A patch of GPT's constructor: parameters whose name holds `word` count as zero."""

    def wrap(original):
        def construct(self, model, params, p):
            original(self, model, {name: 0 * x if word in name else x for name, x in params.items()}, p)

        return construct

    return wrap


def swapped_scalars(original):
    def construct(self, model, params, p):
        swap = {"resid_lambdas": params["x0_lambdas"], "x0_lambdas": params["resid_lambdas"]}
        original(self, model, {**params, **swap}, p)

    return construct


def short_window(tokens, window):
    distance = np.arange(tokens)[:, None] - np.arange(tokens)[None, :]
    return (distance >= 0) & (distance < max(window, 1))


def no_window(tokens, window):
    return np.tri(tokens, dtype=bool)


def future_seen(tokens, window):
    return np.abs(np.arange(tokens)[:, None] - np.arange(tokens)[None, :]) <= window


def short_last_layer(original):
    return lambda self: (*original(self)[:-1], self.sequence_len // 2 if "S" in self.window_pattern else 1)


def quarter_windows(original):
    return lambda self: tuple(w // 2 if w < self.sequence_len else w for w in original(self))


def interleaved(x, cos, sin, p):
    x1, x2 = x[..., ::2], x[..., 1::2]
    return p.kernel(np.stack([x1 * cos + x2 * sin, x2 * cos - x1 * sin], axis=-1).reshape(x.shape))


def coarse_angles(tokens, head_dim, base, p):
    frequency = to_bfloat16(base ** (-np.arange(0, head_dim, 2) / head_dim))
    angle = to_bfloat16(np.arange(tokens)[:, None, None] * frequency)
    return p.kernel(p.array(np.cos(angle))), p.kernel(p.array(np.sin(angle)))


def positions_from_one(original):
    return lambda tokens, *rest: tuple(table[1:] for table in original(tokens + 1, *rest))


def tiled_heads(x, repeats):
    return np.tile(x.transpose(0, 2, 1, 3), (1, repeats, 1, 1))


def scaled_queries(factor: Callable[[int], float]) -> Callable:
    """A patch of a function of (q, k, ...): the queries times factor(head size)."""
    return lambda original: lambda q, *rest: original(q * q.dtype.type(factor(q.shape[-1])), *rest)


def capped_too_early(original):
    return lambda x, cap: to_bfloat16(original(to_bfloat16(x), cap)).astype(x.dtype)


def plain_relu(original):
    return lambda x, p: p.kernel(np.maximum(x, 0))


def signed_square(original):
    return lambda x, p: p.kernel(x * np.abs(x))


def gate_of_last_channels(original):
    return lambda self, n, weight: original(self, n[..., ::-1], weight)


def mean_over_all(original):
    return lambda raw, targets, cap, p: original(raw, targets, cap, p) * np.mean(targets >= 0)


def summed_loss(original):
    return lambda raw, targets, cap, p: original(raw, targets, cap, p) * np.sum(targets >= 0)


def padded_vocabulary(original):
    """Rows that no token has, to the next multiple of 64, left in the softmax."""

    def nats(logits, targets, p):
        extra = -logits.shape[-1] % 64
        return original(np.pad(logits, ((0, 0), (0, extra))), targets, p)

    return nats


def unscored_counted(original):
    return lambda logits, targets, p: original(logits, np.abs(targets), p)


def norm_gradient_without_mean(dy, x, eps, p):
    return p.kernel(ops.inverse_rms(x, eps, p) * dy)


def cap_without_gradient(original):
    def backward(raw, targets, cap, p):
        slope = 1 - (ops.softcap(raw, cap) / cap) ** 2
        return p.kernel(original(raw, targets, cap, p) / np.maximum(slope, 1e-3))

    return backward


def unshared(dx, repeats, p):
    batch, heads, tokens, size = dx.shape
    return dx.reshape(batch, heads // repeats, repeats, tokens, size)[:, :, 0].transpose(0, 2, 1, 3)


def half_slope(original):
    return lambda dy, x, p: original(dy, x, p) / 2


def assigned(table, tokens, rows):
    table[tokens] = rows


def narrow_products(original):
    """Products added up one by one in bfloat16."""

    def precision(name):
        p = original(name)
        return p if name == "float64" else replace(original("bfloat16-sums"), name=name, chunk=1)

    return precision


MODEL_MUTANTS = (
    Mutant("window of W keys", (*FORWARD, "attention"), ((ops, "visible", instead(short_window)),)),
    Mutant("window ignored", (*FORWARD, "attention"), ((ops, "visible", instead(no_window)),)),
    Mutant("future keys seen", (*FORWARD, "attention"), ((ops, "visible", instead(future_seen)),)),
    Mutant("last layer not long", FORWARD, ((Model, "windows", short_last_layer),)),
    Mutant("short window half as long", FORWARD, ((Model, "windows", quarter_windows),)),
    Mutant("RoPE on interleaved pairs", (*FORWARD, "rope"), ((ops, "rope", instead(interleaved)),)),
    Mutant(
        "RoPE by plus theta",
        (*FORWARD, "rope"),
        ((ops, "rope", lambda rope: lambda x, cos, sin, p: rope(x, cos, -sin, p)),),
    ),
    Mutant("RoPE base 1e5", FORWARD, recipe=with_model(rope_base=1e5)),
    Mutant("RoPE angles in bfloat16", (*SLIGHT, "rope"), ((ops, "rope_tables", instead(coarse_angles)),)),
    Mutant("RoPE from position 1", ("rope",), ((ops, "rope_tables", positions_from_one),)),
    Mutant("norm eps 1e-5", SLIGHT, recipe=with_model(norm_eps=1e-5)),
    Mutant("norm eps of bfloat16", SLIGHT, recipe=with_model(norm_eps=2.0**-7)),
    Mutant("queries and keys times 1.2", FORWARD, ((ops, "probabilities", scaled_queries(lambda size: 1.44)),)),
    Mutant("scores not scaled", (*FORWARD, "attention"), ((ops, "probabilities", scaled_queries(lambda s: s**0.5)),)),
    Mutant("query heads tiled over key heads", (*FORWARD, "attention"), ((ops, "_heads_first", instead(tiled_heads)),)),
    Mutant("softcap 30", CAPPED, recipe=with_model(softcap=30.0)),
    Mutant("softcap dropped", (*CAPPED, "cross_entropy"), ((ops, "softcap", instead(lambda x, cap: x)),)),
    Mutant("softcap in bfloat16", (*CAPPED, *sharp("cross_entropy")), ((ops, "softcap", capped_too_early),)),
    Mutant("relu not squared", FORWARD, ((ops, "relu_squared", plain_relu),)),
    Mutant("square keeps the sign", FORWARD, ((ops, "relu_squared", signed_square),)),
    Mutant("x0 not mixed in", FORWARD, ((gpt.GPT, "__init__", without("x0_lambdas")),)),
    Mutant("residual scalars swapped", FORWARD, ((gpt.GPT, "__init__", swapped_scalars),)),
    Mutant("value embeddings dropped", FORWARD, ((gpt.GPT, "__init__", without("value_embeds")),)),
    Mutant("gate scale 1", FORWARD, recipe=with_model(gate_scale=1.0)),
    Mutant("gate scale 3", FORWARD, recipe=with_model(gate_scale=3.0)),
    Mutant("gate reads the last channels", FORWARD, ((gpt.GPT, "_gate", gate_of_last_channels),)),
    Mutant(
        "mean over unscored targets too",
        ("loss", "cross_entropy", "trajectory"),
        ((ops, "cross_entropy", mean_over_all),),
    ),
    Mutant("loss summed", ("loss", "cross_entropy", "trajectory"), ((ops, "cross_entropy", summed_loss),)),
    Mutant("padded vocabulary scored", SCORED, ((ops, "token_nats", padded_vocabulary),)),
    Mutant(
        "unscored targets scored",
        ("cross_entropy", "nats", "loss", "trajectory"),
        ((ops, "token_nats", unscored_counted),),
    ),
    Mutant(
        "norm's gradient without its mean", BACKWARD, ((ops, "rms_norm_backward", instead(norm_gradient_without_mean)),)
    ),
    Mutant(
        "softcap without gradient",
        sharp("grads", "trajectory"),
        ((ops, "cross_entropy_backward", cap_without_gradient),),
    ),
    Mutant("shared heads' gradients not summed", BACKWARD, ((ops, "_shared", instead(unshared)),)),
    Mutant("squared ReLU's gradient halved", BACKWARD, ((ops, "relu_squared_backward", half_slope),)),
    Mutant("a token's last gradient counts", BACKWARD, ((ops, "add_rows", instead(assigned)),)),
    Mutant("TF32 where float32 was asked", (*KERNELS, *SLIGHT, *UPDATES), policy=lambda policy: "tf32"),
    Mutant(
        "bfloat16 where float32 was asked",
        (*KERNELS, *SLIGHT, *UPDATES, *sharp("rms_norm", "rope")),
        policy=lambda policy: "bfloat16",
    ),
    Mutant(
        "float16 where bfloat16 was asked",
        ("rms_norm", *KERNELS, *SLIGHT, *UPDATES, *sharp("rope")),
        policy=lambda policy: "float16",
    ),
    Mutant(
        "sums in bfloat16",
        ("rms_norm", *KERNELS, *SLIGHT, *UPDATES),
        policy=lambda policy: "bfloat16-sums",
    ),
    Mutant("products accumulate in bfloat16", ("matmul", "large_matmul"), ((oracle, "precision", narrow_products),)),
)
