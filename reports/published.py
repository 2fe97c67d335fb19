"""Scores that the field quotes, as they were published: to look at beside checked reports, never to rank with them.

Scores are what pages and threads claim, rules what the code of their repository says, which a pull request may have
changed; None is not known. None of them ran here. Test with `pytest -m fast -k published`.
"""

from dataclasses import dataclass

from impl.spec import RECIPES

CHUNK = 2**19  # tokens that upstream and its ports count an evaluation in
MB = 2**20  # what the ports' `peak_vram_mb` counts

UPSTREAM = "karpathy/autoresearch"
ELEMENTAL = "elementalcollision/autoresearch"
UNIFIED = "elementalcollision/autoresearch-unified"
PORT = "trevin-creator/autoresearch-mlx"
GOLF = "openai/parameter-golf"

NO_REPORT = "no report stands behind it: nothing can be computed again, and no correctness check ran beside it"


@dataclass(frozen=True, kw_only=True)
class Published:
    """One quoted score. `chip` as its source names it; `source` is a public repository, with the number of a pull
    request or thread; `start` the score its search began from; `differs` what of the recipe is known to be another.
    """

    chip: str
    val_bpb: float
    source: str
    backend: str | None = None
    memory_gb: int | None = None  # of the machine
    data: str | None = None
    eval_tokens: int | None = None
    whole_split: bool = False  # scored instead of a sample
    untimed_steps: int | None = None
    budget_s: float | None = None
    differs: str | None = None
    start: float | None = None
    steps: int | None = None
    tokens: float | None = None
    parameters: float | None = None
    tokens_per_s: float | None = None
    peak_bytes: float | None = None
    note: str | None = None

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it cannot be held against a checked report."""
        budget_s = RECIPES["autoresearch"].schedule.budget_s
        sample = "scored on a sample of unknown size"
        if self.eval_tokens:
            sample = f"scored on {self.eval_tokens:,} tokens of a packed stream, not on every byte once"
        found = {
            f"a text and tokenizer of its own, {self.data}": self.data is not None,
            "its text is not stated": self.data is None,
            sample: not self.whole_split,
            f"{self.untimed_steps} trained but untimed step{'s' * (self.untimed_steps != 1)}": bool(self.untimed_steps),
            "how many steps it leaves untimed is not stated": self.untimed_steps is None,
            f"a budget of {self.budget_s or 0:g} s, not {budget_s:g} s": self.budget_s not in (None, budget_s),
            f"another recipe: {self.differs}": self.differs is not None,
            f"the best that a search found, from {self.start}": self.start is not None,
            "one run, as far as is stated": True,
        }
        return tuple(reason for reason, holds in found.items() if holds)


def _upstream(chip: str, val_bpb: float, **known) -> Published:
    rules = {"data": "climbmix", "eval_tokens": 40 * CHUNK, "untimed_steps": 11, "budget_s": 300.0}
    return Published(chip=chip, val_bpb=val_bpb, **{"source": UPSTREAM, **rules, **known})


def _elemental(chip: str, val_bpb: float, **known) -> Published:
    """Their text varies from score to score: it is named where they name it."""
    rules = {"eval_tokens": 10 * CHUNK, "untimed_steps": 11, "budget_s": 300.0}
    return Published(chip=chip, val_bpb=val_bpb, **{"source": ELEMENTAL, **rules, **known})


def _port(chip: str, val_bpb: float, thread: str = "", **known) -> Published:
    rules = {"data": "climbmix", "eval_tokens": 3 * CHUNK, "untimed_steps": 1, "budget_s": 300.0}
    return Published(chip=chip, val_bpb=val_bpb, source=PORT + thread, backend="mlx-metal", **{**rules, **known})


def _golf(chip: str, val_bpb: float, **known) -> Published:
    differs = "parameter-golf: other model, tokenizer and metric, 16 MB in all"
    return Published(
        chip=chip, val_bpb=val_bpb, source=GOLF, data="fineweb", whole_split=True, differs=differs, **known
    )


M5_MAX, M4_MAX, M4_PRO = "Apple M5 Max", "Apple M4 Max", "Apple M4 Pro"

PUBLISHED = (
    _upstream(
        "H100", 0.997900, backend="torch-cuda", steps=953, tokens=499.6e6, peak_bytes=45_060 * MB,
        note="its MFU of 39.80 % follows from 953 steps in 300.1 s and 989.5 TFLOP/s",
    ),
    _upstream(
        M4_MAX, 1.280, source=f"{UPSTREAM}#351", data=None, eval_tokens=None, untimed_steps=None, budget_s=None,
        differs="Muon, Peri-LN",
    ),
    _elemental(M5_MAX, 1.2959, memory_gb=64, data="climbmix"),
    _elemental(M5_MAX, 1.295, memory_gb=64, data="fineweb-edu", note="their wiki says 1.342"),
    _elemental(
        M5_MAX, 1.3196, memory_gb=64, steps=312, tokens=10.2e6, peak_bytes=26_742 * MB,
        note="its MFU of 23.35 % computes again as 23.14 %, or as 48.6 % of 16.2 TFLOP/s",
    ),
    _elemental(M5_MAX, 0.961, data="cosmopedia-v2"),
    _elemental(M5_MAX, 1.346, data="fineweb-edu-high"),
    _elemental(M5_MAX, 1.526, data="slimpajama"),
    _elemental(
        M5_MAX, 1.3669, source=UNIFIED, memory_gb=64, differs="width 256",
        note="468 to 499 steps, 51,000 to 54,000 tokens/s, 20.8 W",
    ),
    _elemental(M5_MAX, 1.3041, source=UNIFIED, memory_gb=64, differs="width 256", note="the row above on another day"),
    _elemental(M4_PRO, 1.4294, memory_gb=24, steps=751, tokens=6.2e6, parameters=21.9e6, peak_bytes=4_511 * MB),
    _elemental("Apple M1 Max", 1.621, memory_gb=64, start=2.094, note="about 210 steps, 11.3 GB"),
    _port(M5_MAX, 1.235, "#21", memory_gb=128, start=1.574, tokens_per_s=120e3, note="about 1900 steps"),
    _port("Apple M3 Max", 1.2809, "#4", memory_gb=48, start=1.764, differs="Muon, SwiGLU"),
    _port(M4_MAX, 1.294526, start=1.597, differs="AdamW"),
    _port(M4_MAX, 1.330509, start=1.808, differs="AdamW"),
    _port("Mac Mini", 1.353329, start=1.922, differs="Muon"),
    _port("Apple M2", 1.555172, "#31", memory_gb=32, steps=284, tokens=18.6e6, parameters=11.0e6,
          peak_bytes=20_681 * MB),
    _golf("8 x H100", 1.2244, backend="torch-cuda", budget_s=600.0),
    _golf(M4_PRO, 1.9011, backend="mlx-metal"),
    _golf("Mac", 1.9588, note="14 layers"),
)  # fmt: skip
