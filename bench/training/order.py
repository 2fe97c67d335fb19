"""What a user asked of the main job, checked before anything long begins.

Test with `pytest -m meta bench/meta/test_bad_options.py`.
"""

from dataclasses import dataclass, field, replace

from bench.profiles import PROFILES
from bench.subject import POLICIES
from impl.spec import PRESETS, Recipe, override, preset

LONGEST_S = 1e6  # a report holds no longer budget
MORE_TEXT = "for more text: --data=climbmix, --data=fineweb-edu or --data=FOLDER"


@dataclass(frozen=True, kw_only=True)
class Order:
    """None means the default for this machine. Raises ValueError, in one line, for a value that nobody can have."""

    backend: str | None = None
    recipe: str = "autoresearch"
    preset: str | None = None
    settings: dict[str, str] = field(default_factory=dict)
    precision: str | None = None
    budget_s: float | None = None
    eval_every: int | None = None
    seed: int = 42
    data: str = "sotu-v1"
    replay: str | None = None
    recheck: bool = False
    profiles: tuple[str, ...] = ()

    @classmethod
    def of(cls, option) -> "Order":
        """From pytest's parsed options; the backend is chosen later, because finding one imports frameworks."""
        return cls(
            recipe=option.recipe,
            preset=option.preset,
            settings=dict(_pair(text) for text in option.set),
            precision=option.precision,
            budget_s=option.budget_s,
            eval_every=option.eval_every,
            seed=option.seed,
            data=option.data,
            replay=option.replay,
            recheck=option.recheck,
            profiles=tuple(dict.fromkeys(option.profile)),
        )

    def __post_init__(self):
        if self.precision not in (None, *POLICIES):
            raise ValueError(f"precision={self.precision!r} is unknown; try one of {list(POLICIES)}")
        if self.budget_s is not None and not 0 < self.budget_s <= LONGEST_S:
            raise ValueError(f"budget_s={self.budget_s} must be above 0 and at most {LONGEST_S:g}; try 300")
        if self.eval_every is not None and self.eval_every < 1:
            raise ValueError(f"eval_every={self.eval_every} must be at least 1; leave it out to score the end only")
        if unknown := [name for name in self.profiles if name not in PROFILES]:
            raise ValueError(f"profile={unknown[0]!r} is unknown; try one of {list(PROFILES)}")
        if not 0 <= self.seed < 2**64:
            raise ValueError(f"seed={self.seed} must lie in [0, 2^64); try {abs(self.seed) % 2**64}")
        if self.preset is None:
            preset(next(iter(PRESETS)), self.recipe)  # settings may fit this machine's preset and no other
        else:
            self.build(self.preset)

    def build(self, preset_name: str) -> Recipe:
        """The recipe at a preset's size, with this order's changes. Raises ValueError where they do not fit."""
        recipe = override(preset(preset_name, self.recipe), self.settings)
        if self.budget_s is None:
            return recipe
        return replace(recipe, schedule=replace(recipe.schedule, budget_s=self.budget_s))


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise ValueError(f"--set {text}: no KEY=VALUE; try --set depth=6")
    return key, value
