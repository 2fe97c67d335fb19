"""How the rates move: all of them follow progress = timed seconds / budget, except momentum, which follows steps."""

from dataclasses import dataclass

from impl.spec.fields import require_positive, rule


@dataclass(frozen=True)
class Hyper:
    """What one optimizer step is told. `lr` and `weight_decay` multiply the groups' own values."""

    lr: float
    momentum: float
    weight_decay: float


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Upstream's schedules; `warmup` and `warmdown` are fractions of the budget."""

    budget_s: float = rule(300.0)
    warmup: float = rule(0.0)
    warmdown: float = rule(0.5)
    final_lr: float = rule(0.0)
    momentum_start: float = rule(0.85)
    momentum_end: float = rule(0.95)
    momentum_steps: int = rule(300)

    def __post_init__(self):
        require_positive(self, "budget_s", "momentum_steps")
        if min(self.warmup, self.warmdown) < 0 or self.warmup + self.warmdown > 1:
            raise ValueError(
                f"warmup={self.warmup} and warmdown={self.warmdown} must be fractions of one budget; "
                f"try warmdown={max(0.0, 1 - max(0.0, self.warmup))}"
            )

    def lr(self, progress: float) -> float:
        """Multiplier of every learning rate at `progress` in [0, 1]."""
        if progress < self.warmup:
            return progress / self.warmup
        if progress < 1.0 - self.warmdown or self.warmdown == 0:
            return 1.0
        remaining = (1.0 - progress) / self.warmdown
        return remaining + (1.0 - remaining) * self.final_lr

    def momentum(self, step: int) -> float:
        """Muon's momentum at optimizer step `step`, counted from 0."""
        done = min(step / self.momentum_steps, 1.0)
        return (1.0 - done) * self.momentum_start + done * self.momentum_end

    def at(self, step: int, progress: float) -> Hyper:
        """Everything a step needs; weight decay falls linearly. Raises ValueError for progress outside [0, 1]."""
        if not 0 <= progress <= 1:
            raise ValueError(f"progress={progress} lies outside [0, 1]; pass min(timed_s / budget_s, 1)")
        return Hyper(lr=self.lr(progress), momentum=self.momentum(step), weight_decay=1.0 - progress)
