"""The GPT of karpathy/autoresearch as numbers: sizes, windows, parameter names and shapes.

B batch, T tokens, C width, H heads, K key/value heads, D head size, V vocabulary, L layers.
"""

from dataclasses import dataclass

from impl.spec.fields import later, nearest_multiple, require_positive, rule, size

SOFTCAP_LIMIT = 60.0  # exp of a capped logit, summed over a vocabulary, must fit float32: the losses shift nothing
ACTIVATIONS = ("relu_squared", "gelu", "silu")  # GELU by tanh, as GPT-2's


@dataclass(frozen=True, kw_only=True)
class Model:
    """Sizes and rules of one GPT. Raises ValueError, naming the nearest valid value, for sizes that do not fit."""

    sequence_len: int = size(2048)
    vocab_size: int = size(8192)
    depth: int = size(8)
    width: int = size(512)
    heads: int = size(4)
    kv_heads: int = size(4)
    mlp_ratio: int = size(4)
    activation: str = later("relu_squared")
    window_pattern: str = rule("SSSL")
    norm_eps: float = rule(1.1920929e-7)  # float32's machine epsilon, whatever the dtype of the input
    rope_base: float = rule(10_000.0)
    softcap: float = rule(15.0)
    gate_channels: int = rule(32)
    gate_scale: float = rule(2.0)
    wte_std: float = rule(1.0)
    lm_head_std: float = rule(0.001)
    resid_init: float = rule(1.0)
    x0_init: float = rule(0.1)

    def __post_init__(self):
        require_positive(self, "sequence_len", "vocab_size", "depth", "width", "heads", "kv_heads", "mlp_ratio")
        require_positive(self, "norm_eps", "rope_base", "softcap", "gate_channels")
        if self.softcap > SOFTCAP_LIMIT:
            raise ValueError(f"softcap={self.softcap} exceeds {SOFTCAP_LIMIT}; try softcap={SOFTCAP_LIMIT}")
        if self.width % self.heads:
            nearest = nearest_multiple(self.width, 2 * self.heads)  # of heads that RoPE can split in halves
            raise ValueError(f"width={self.width} is not a multiple of heads={self.heads}; try width={nearest}")
        if self.heads % self.kv_heads:
            nearest = max(k for k in range(1, self.kv_heads + 1) if self.heads % k == 0)
            pair = f"heads={self.heads} is not a multiple of kv_heads={self.kv_heads}"
            raise ValueError(f"{pair}; try kv_heads={nearest}")
        if self.head_dim % 2:
            raise ValueError(
                f"width={self.width} over heads={self.heads} gives an odd head size {self.head_dim}, which RoPE "
                f"cannot split in halves; try width={(self.head_dim + 1) * self.heads}"
            )
        if self.gate_channels > self.width:
            raise ValueError(
                f"gate_channels={self.gate_channels} exceeds width={self.width}; try gate_channels={self.width}"
            )
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation={self.activation!r} is unknown; try one of {list(ACTIVATIONS)}")
        if not self.window_pattern or set(self.window_pattern) - set("SL"):
            raise ValueError(f"window_pattern={self.window_pattern!r} may hold only S and L; try 'SSSL'")

    @property
    def head_dim(self) -> int:
        return self.width // self.heads

    def windows(self) -> tuple[int, ...]:
        """How many earlier keys each layer's queries reach: W, so that W + 1 keys are seen. The last layer is long."""
        reach = {"S": self.sequence_len // 2, "L": self.sequence_len}
        tiled = [reach[self.window_pattern[i % len(self.window_pattern)]] for i in range(self.depth)]
        return (*tiled[:-1], reach["L"])

    def value_layers(self) -> tuple[int, ...]:
        """Layers that mix in a value embedding: every other one, the last always among them."""
        return tuple(i for i in range(self.depth) if i % 2 == (self.depth - 1) % 2)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every parameter's upstream name and shape; linears are [out, in]."""
        kv_width = self.kv_heads * self.head_dim
        shapes: dict[str, tuple[int, ...]] = {"transformer.wte.weight": (self.vocab_size, self.width)}
        for i in range(self.depth):
            h = f"transformer.h.{i}"
            shapes[f"{h}.attn.c_q.weight"] = (self.width, self.width)
            shapes[f"{h}.attn.c_k.weight"] = (kv_width, self.width)
            shapes[f"{h}.attn.c_v.weight"] = (kv_width, self.width)
            shapes[f"{h}.attn.c_proj.weight"] = (self.width, self.width)
            if i in self.value_layers():
                shapes[f"{h}.attn.ve_gate.weight"] = (self.kv_heads, self.gate_channels)
            shapes[f"{h}.mlp.c_fc.weight"] = (self.mlp_ratio * self.width, self.width)
            shapes[f"{h}.mlp.c_proj.weight"] = (self.width, self.mlp_ratio * self.width)
        for i in self.value_layers():
            shapes[f"value_embeds.{i}.weight"] = (self.vocab_size, kv_width)
        shapes["lm_head.weight"] = (self.vocab_size, self.width)
        shapes["resid_lambdas"] = (self.depth,)
        shapes["x0_lambdas"] = (self.depth,)
        return shapes


def sized(depth: int, *, aspect: int = 64, head_dim: int = 128, **sizes) -> Model:
    """Upstream's rule of size: width is depth * aspect rounded up to whole heads of `head_dim`."""
    heads = -(-depth * aspect // head_dim)
    return Model(depth=depth, width=heads * head_dim, heads=heads, kv_heads=heads, **sizes)
