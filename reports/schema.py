"""The sections of a report: what one run measured, strictly typed; unknown is null, and nothing derivable is stored.

Test with `pytest -m fast -k reports`.
"""

from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from reports.ceiling import Ceiling
from reports.section import (
    Count,
    Fraction,
    Nats,
    Observed,
    Positive,
    Precision,
    Second,
    Seconds,
    Section,
    Sha256,
    Size,
    Text,
)

SCHEMA_VERSION = "1.0"  # another one needs a step in reports.migrations
Backend = Literal["mlx-metal", "mlx-cuda", "mlx-cpu", "torch-mps", "torch-cuda", "torch-cpu"]
FormFactor = Literal["portable", "desktop", "server"]
BACKENDS: tuple[str, ...] = get_args(Backend)


class Hashes(Section):
    """What may be compared: the rules, the sizes, the training text with its tokenizer, the evaluated bytes."""

    recipe: Sha256
    config: Sha256
    data: Sha256
    eval: Sha256


class Identity(Section):
    """Which suite ran which recipe on which text, and when; `settings` holds what `--set` overrode, by its name there.

    `division` follows from preset and settings by the presets of that time, which a checkout may have changed since.
    """

    suite_version: Text
    commit: Annotated[str, Field(pattern=r"^[0-9a-f]{7,40}$")] | None
    dirty: bool | None
    created_utc: Second
    recipe: Text
    preset: Text | None
    settings: dict[Text, Text]
    division: Literal["fixed", "tier", "open"]
    text: Text | None = None  # what was trained on, by the name that `--data` takes; "folder": the user's own
    hashes: Hashes


class Hardware(Section):
    """The part that computed. `chip` is the name that its driver reports: the GPU's, or the CPU's on CPU backends."""

    chip: Annotated[str, Field(min_length=1, max_length=100)]
    model_id: Text | None = None  # Mac15,9
    architecture: Text | None = None  # applegpu_g17s, sm_90, x86_64
    gpu_cores: Positive | None = None
    gpu_memory_bytes: Positive | None = None  # on a Mac: what the system advises a GPU to use at most
    gpu_max_clock_mhz: Positive | None = None
    cpu: Text | None = None
    cpu_cores: Positive | None = None  # those this process may run on
    cpu_performance_cores: Positive | None = None  # of the fastest kind, where there are kinds
    cpu_flags: tuple[Text, ...] = ()
    cpu_governor: Text | None = None
    memory_bytes: Positive | None = None  # that this process may use
    driver: Text | None = None
    power_limit_w: Annotated[float, Field(gt=0, le=1e5)] | None = None
    virtualised: bool | None = None
    form_factor: FormFactor | None = None


class Software(Section):
    """Versions, and the environment variables that can change a number."""

    os: Text
    os_build: Text | None = None
    python: Text
    numpy: Text | None = None  # which draws the initial parameters
    backend: Backend
    frameworks: dict[Text, Text]  # {"torch": "2.13.0+cpu"}
    blas: Text | None = None
    compiled: bool | None = None
    environment: dict[Text, Text]


class Probe(Section):
    """One timing of a fixed matrix product, `flop` operations in `seconds`, and what the chip's sensors said then."""

    when: Literal["before", "during", "after"]
    flop: Positive
    seconds: Annotated[float, Field(gt=0, le=1e8)]
    precision: Precision
    at_s: Seconds | None = None  # timed seconds of training before it
    temperature_c: Annotated[float, Field(ge=-100, le=1000)] | None = None
    clock_mhz: Annotated[float, Field(ge=0, le=1e6)] | None = None
    power_w: Annotated[float, Field(ge=0, le=1e5)] | None = None


class State(Section):
    """What else the machine was doing."""

    power_source: Literal["ac", "battery"] | None = None
    low_power_mode: bool | None = None
    load_average: tuple[Size, Size, Size] | None = None
    thermal: Text | None = None  # the system's own word for it, at the end
    throttled: Text | None = None  # why the chip was held back; "" where it says that it was not
    background: Fraction | None = None  # of all CPUs, busy for other processes meanwhile
    swap_bytes: Count | None = None  # of the whole machine, in use at the end
    probes: tuple[Probe, ...] = ()
    ceiling: Ceiling | None = None


class Warmup(Section):
    """Untimed steps on dummy data, undone before the run."""

    steps: Count
    seconds: Seconds


class Steps(Section):
    """One entry an optimizer step. `progress` is the schedule's, before the step; `loss` is null where not finite."""

    step_s: tuple[Annotated[float, Field(gt=0, le=1e8)], ...]
    loss: tuple[Size | None, ...]
    lr: tuple[Annotated[float, Field(ge=0, le=1e3)], ...]  # the multiplier of every group's rate
    grad_norm: tuple[Size | None, ...]
    progress: tuple[Fraction, ...]

    @model_validator(mode="after")
    def _equal_lengths(self):
        lengths = {name: len(getattr(self, name)) for name in type(self).model_fields}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"columns differ in length: {', '.join(f'{k} {v}' for k, v in lengths.items())}")
        return self

    def __len__(self) -> int:
        return len(self.step_s)


class Eval(Section):
    """The whole validation text scored after `step` steps, outside the budget."""

    step: Count
    nats: Nats
    bytes: Positive
    tokens: Positive
    seconds: Seconds
    joules: Annotated[float, Field(gt=0, le=1e15)] | None = None  # spent on training until then


class Failure(Section):
    """Why a run stopped early; `step` counts from 0."""

    kind: Literal["loss-not-finite", "loss-too-high", "interrupted", "out-of-memory", "error"]
    step: Count
    message: Text


class Run(Section):
    """What was trained, step by step."""

    seed: Annotated[int, Field(ge=0, lt=2**64)]
    policy: Precision  # asked for
    precision_observed: Observed | None
    mode: Literal["fixed-budget", "fixed-tokens"]
    budget_s: Annotated[float, Field(gt=0, le=1e6)]
    device_batch: Positive  # rows in one forward pass
    total_batch: Positive  # tokens in one optimizer step
    sequence_len: Positive
    depth: Annotated[int, Field(ge=1, le=10_000)]
    parameters: Positive
    flop_per_token: Positive
    warmup: Warmup
    compile_s: Seconds | None
    excluded_steps: Count  # trained but not counted against the budget: 0 except in profiles that imitate others
    steps: Steps
    evals: tuple[Eval, ...]
    epochs: Annotated[float, Field(ge=0, le=1e9)]  # passes over the training text begun (or the fraction read)
    train_tokens: Positive | None  # in one pass
    discarded: Fraction | None  # share of the tokens read that packing dropped
    failure: Failure | None

    @model_validator(mode="after")
    def _null_losses_only_in_a_failure(self):
        first = next((i for i, loss in enumerate(self.steps.loss) if loss is None), None)
        if first is not None and (self.failure is None or self.failure.step > first):
            raise ValueError(f"steps.loss is null at step {first}, before any failure")
        return self


class Result(Section):
    """The score, as it was counted. `initial_nats` and `unigram_nats` are over the same bytes."""

    nats: Nats
    bytes: Positive
    tokens: Positive
    initial_nats: Nats  # at step 0
    unigram_nats: Nats
    eval_s: Seconds
    total_s: Seconds  # from start to report
    peak_memory_bytes: Positive | None
    peak_memory_method: Text | None
    joules: Annotated[float, Field(gt=0, le=1e15)] | None
    joules_method: Text | None


class Row(Section):
    """One quantity's cases: the worst error in units of the yardstick, beside the limit k; null where not finite.

    frobenius, worst_element, p99: the largest relative errors; excluded: elements that hang on a sign nobody can know.
    """

    quantity: Text
    precision: Precision
    cases: Count
    inconclusive: Count = 0
    excluded: Count | None = None
    worst_ratio: Size | None
    worst_part: Text | None = None
    frobenius: Size | None = None
    worst_element: Size | None = None
    p99: Size | None = None
    limit: Size
    passed: bool


class Observation(Section):
    """The precision class that a family of operations was seen in, and its errors on the inputs that tell."""

    family: Text
    policy: Precision  # asked for
    observed: Observed
    errors: tuple[Size, ...]


class Onset(Section):
    """A whole run held against float64, inside the band that an ULP at its start opens.

    comparable: steps until runs of one recipe are no longer one run with noise. onset: the first step outside the
    band, null where there is none. worst: the largest share of the band; quantity: whose.
    """

    course: Text
    policy: Precision
    steps: Positive
    comparable: Count
    onset: Count | None
    quantity: Text
    worst: Size | None


class Conformance(Section):
    """The correctness suite on the same versions; `checked_utc` is before the run where it was not asked again."""

    versions: dict[Text, Text]
    checked_utc: Second | None = None
    passed: Count
    failed: Count
    skipped: Count
    xfailed: Count | None = None  # known faults of a release, seen again
    inconclusive: Count
    rows: tuple[Row, ...]
    onsets: tuple[Onset, ...] = ()
    classes: tuple[Observation, ...] = ()
    alternatives: dict[Text, dict[Text, Observed]] = Field(default_factory=dict)  # float32 with other settings
    repeats: dict[Text, dict[Text, bool | None]] = Field(default_factory=dict)  # same seed twice, by policy: bit-equal?


class Consent(Section):
    """Filled in by whoever shares the report."""

    contributor: Text | None = None
    licence: Text | None = None
