"""Which parameters learn by which rule: Muon for the matrices of the blocks, AdamW for everything else."""

from dataclasses import dataclass, field
from math import prod

from impl.spec.fields import require_positive, require_rate, rule, size
from impl.spec.model import Model


@dataclass(frozen=True, kw_only=True)
class Orthogonalizer:
    """An odd polynomial iterated on X / (safety * |X|_F + eps): a, b, c of aX + b(XX')X + c(XX')^2 X for each step.

    Where there are fewer coefficient rows than steps, the last row repeats.
    """

    coefficients: tuple[tuple[float, float, float], ...]
    steps: int
    safety: float
    eps: float

    def __post_init__(self):
        require_positive(self, "steps", "safety")
        if not self.coefficients or any(len(row) != 3 for row in self.coefficients):
            raise ValueError(f"coefficients={self.coefficients} must be rows (a, b, c); try POLAR_EXPRESS.coefficients")

    def rows(self) -> tuple[tuple[float, float, float], ...]:
        """One (a, b, c) a step."""
        last = len(self.coefficients) - 1
        return tuple(self.coefficients[min(i, last)] for i in range(self.steps))


POLAR_EXPRESS = Orthogonalizer(
    # Amsel et al., arXiv:2505.16932, as upstream uses it: five steps, and 1.02 of headroom against the cliff.
    coefficients=(
        (8.156554524902461, -22.48329292557795, 15.878769915207462),
        (4.042929935166739, -2.808917465908714, 0.5000178451051316),
        (3.8916678022926607, -2.772484153217685, 0.5060648178503393),
        (3.285753657755655, -2.3681294933425376, 0.46449024233003106),
        (2.3465413258596377, -1.7097828382687081, 0.42323551169305323),
    ),
    steps=5,
    safety=1.02,
    eps=1e-6,
)
# A float32 square overflows above 1.8e19. Matrices whose peak exceeds SQUARABLE are made smaller by SHRINK before their
# norm is taken; both are powers of two, so that no bit of any other norm changes.
SQUARABLE, SHRINK = 2.0**40, 2.0**-96

NS5 = Orthogonalizer(coefficients=((3.4445, -4.7750, 2.0315),), steps=5, safety=1.0, eps=1e-7)


@dataclass(frozen=True, kw_only=True)
class AdamW:
    """Decoupled AdamW; decay first, eps outside the root. `width_scaled`: lr times (width / 768) ** -0.5."""

    lr: float = size(0.6)
    betas: tuple[float, float] = rule((0.8, 0.95))
    eps: float = rule(1e-10)
    weight_decay: float = rule(0.0)
    width_scaled: bool = rule(True)

    def __post_init__(self):
        require_rate(self)
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas={self.betas} must be two numbers in [0, 1); try (0.8, 0.95)")


@dataclass(frozen=True, kw_only=True)
class Muon:
    """Nesterov momentum in lerp form, orthogonalised, NorMuon's variance per row or column, cautious decay.

    `dtype` is that of the orthogonaliser's products, whatever the policy; "compute" is the policy's own.
    """

    lr: float = size(0.04)
    beta2: float = rule(0.95)
    weight_decay: float = size(0.2)
    orthogonalizer: Orthogonalizer = rule(POLAR_EXPRESS)  # noqa: RUF009 - frozen, so sharing it is safe
    dtype: str = rule("float32")
    variance_floor: float = rule(1e-10)

    def __post_init__(self):
        require_rate(self)
        if self.dtype not in ("float32", "compute"):
            raise ValueError(f"dtype={self.dtype!r} of Muon is neither 'float32' nor 'compute'; try 'float32'")


@dataclass(frozen=True)
class Group:
    """Parameters of one shape and one rule; `lr` is the base rate after width and aspect scaling."""

    rule: AdamW | Muon
    names: tuple[str, ...]
    lr: float


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """One rule for each kind of parameter."""

    lm_head: AdamW = field(default=AdamW(lr=0.004))
    wte: AdamW = field(default=AdamW(lr=0.6))
    value_embeds: AdamW = field(default=AdamW(lr=0.6))
    resid_lambdas: AdamW = field(default=AdamW(lr=0.005, width_scaled=False))
    x0_lambdas: AdamW = field(default=AdamW(lr=0.5, betas=(0.96, 0.95), width_scaled=False))
    matrices: Muon = field(default=Muon())

    def rule_of(self, name: str) -> AdamW | Muon:
        """The rule that the parameter of this upstream name learns by."""
        if name.startswith("transformer.h."):
            return self.matrices
        return getattr(self, name.removeprefix("transformer.").split(".")[0])

    def groups(self, model: Model) -> tuple[Group, ...]:
        """Every parameter of `model` in exactly one group; Muon's groups hold matrices of one shape, for stacking."""
        gathered: dict[tuple, list[str]] = {}
        shapes = model.shapes()
        for name, shape in shapes.items():
            kind = name.split(".")[0] if name.startswith("value_embeds") else name
            key = ("matrices", shape) if isinstance(self.rule_of(name), Muon) else (kind, shape)
            gathered.setdefault(key, []).append(name)
        return tuple(self._group(model, names, shapes[names[0]]) for names in gathered.values())

    def _group(self, model: Model, names: list[str], shape: tuple[int, ...]) -> Group:
        group_rule = self.rule_of(names[0])
        if isinstance(group_rule, Muon):
            rows, columns = shape
            return Group(group_rule, tuple(names), group_rule.lr * max(1.0, rows / columns) ** 0.5)
        scale = (model.width / 768) ** -0.5 if group_rule.width_scaled else 1.0
        return Group(group_rule, tuple(names), group_rule.lr * scale)


def count(model: Model) -> int:
    """Number of parameters."""
    return sum(prod(shape) for shape in model.shapes().values())
