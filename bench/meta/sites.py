"""Reports of many chips that never were, and hostile ones, for tests of the site."""

import random
from collections.abc import Iterator
from itertools import accumulate, product
from math import exp, log

from bench.meta.boards import run
from bench.meta.records import BYTES
from reports import derived
from reports.chips import CHIPS
from reports.record import Record
from reports.schema import Eval, Probe, Steps

RELEASES = {"mlx-metal": ("mlx", ("0.32.3", "0.32.4")), "torch-mps": ("torch", ("2.13.0", "2.14.1"))}
RELEASES |= {"torch-cuda": RELEASES["torch-mps"], "mlx-cuda": RELEASES["mlx-metal"]}
INJECTIONS = (
    "<script>document.title='taken'</script>",
    "<img src=x onerror=\"document.title='taken'\">",
    "\"><svg onload=document.title='taken'>",
    "javascript:document.title='taken'",
    "</style></script></title><b>bold</b>",
    "{{ 7 * 7 }}{% raw %}",
    "datum['constructor']('return 1')()",
    "\u0410pple M5",  # a Cyrillic capital A
    "\u202elitrever\u202c\u200b\x00\n",
    "W" * 100,
    "&lt;b&gt;",
    "../../../../etc/passwd",
)


def many(count: int, steps: int = 500) -> Iterator[Record]:
    """`count` runs over chips, backends, releases and seeds, with noise, evaluations, energy and slow stretches."""
    draw = random.Random(1)
    names = sorted({name for name, _ in CHIPS})
    rows = [(chip, backend) for chip in names for backend in RELEASES if ("cuda" in backend) == ("NVIDIA" in chip)]
    cases = product(range(42, 42 + 1000), range(2), rows)
    for i, (seed, release, (chip, backend)) in zip(range(count), cases, strict=False):
        framework, versions = RELEASES[backend]
        place = names.index(chip)
        score = 1.6 - 0.008 * place + 0.02 * ("torch" in backend) - 0.01 * release + draw.gauss(0, 0.004)
        whole = run(score, seed, steps)
        yield whole.model_copy(
            update={
                "hardware": whole.hardware.model_copy(
                    update={"chip": chip, "gpu_cores": next(cores for name, cores in CHIPS if name == chip)}
                ),
                "software": whole.software.model_copy(
                    update={"backend": backend, "frameworks": {framework: versions[release]}, "blas": None}
                ),
                "state": whole.state.model_copy(update={"probes": _probes(draw)}),
                "conformance": whole.conformance
                and whole.conformance.model_copy(update={"versions": {framework: versions[release]}}),
                "run": _noisy(whole, draw, i % 5 == 0),
                "result": whole.result and whole.result.model_copy(update={"joules": 9e3 + 40 * place}),
            }
        )


def _noisy(whole: Record, draw: random.Random, slow: bool):
    columns = whole.run.steps
    n = len(columns)
    factors = [exp(draw.gauss(0, 0.02)) * (1.3 if slow and n // 2 < i < n * 3 // 4 else 1.0) for i in range(n)]
    share = 300.0 / sum(f * s for f, s in zip(factors, columns.step_s, strict=True)) * (1 + 1e-9)
    step_s = tuple(s * f * share for s, f in zip(columns.step_s, factors, strict=True))
    loss = tuple(9.0 * (i + 1) ** -0.12 + draw.gauss(0, 0.08) for i in range(n))
    points = [(n * k // 5, 2.7 - 1.1 * (k / 5) ** 0.3, 2e3 * k) for k in range(1, 5)]
    evals = tuple(
        Eval(step=step, nats=score * log(2) * BYTES, bytes=BYTES, tokens=207_939, seconds=2.0, joules=spent)
        for step, score, spent in points
    )
    spent_s = [min(seconds, 300.0) for seconds in accumulate((0.0, *step_s[:-1]))]
    progress = tuple(seconds / 300.0 for seconds in spent_s)
    lr = tuple(derived.recipe(whole).schedule.lr(p) for p in progress)
    steps = Steps(step_s=step_s, loss=loss, lr=lr, grad_norm=columns.grad_norm, progress=progress)
    return whole.run.model_copy(update={"steps": steps, "evals": evals})


def _probes(draw: random.Random) -> tuple[Probe, ...]:
    when = ("before", *["during"] * 6, "after")
    sensors = [{"temperature_c": 55 + 4 * i + draw.random(), "clock_mhz": 1600 - 20.0 * i} for i in range(len(when))]
    timed = [
        {"when": name, "flop": 2**28, "precision": "bfloat16", "at_s": 300.0 * i / 7} for i, name in enumerate(when)
    ]
    seconds = [1e-3 * (1 + 0.1 * draw.random() + 0.02 * i) for i in range(len(when))]
    return tuple(
        Probe(seconds=s, power_w=30.0 + i, **read, **made)
        for i, (s, read, made) in enumerate(zip(seconds, sensors, timed, strict=True))
    )


def hostile(text: str, whole: Record | None = None) -> Record:
    """A record with `text` wherever the schema takes any."""
    whole = whole or run()
    software, checks = whole.software, whole.conformance
    assert checks
    rows = tuple(row.model_copy(update={"quantity": text, "worst_part": text}) for row in checks.rows)
    return whole.model_copy(
        update={
            "identity": whole.identity.model_copy(
                update={
                    "suite_version": text,
                    "recipe": text,
                    "preset": text,
                    "settings": {text: text},
                    "division": "open",
                }
            ),
            "hardware": whole.hardware.model_copy(
                update=dict.fromkeys(("chip", "model_id", "architecture", "cpu", "driver"), text[:100])
                | {"cpu_flags": (text,)}
            ),
            "software": software.model_copy(
                update={"os": text, "python": text, "blas": text, "frameworks": {"torch": text, text: text}}
                | {"environment": {text: text}}
            ),
            "state": whole.state.model_copy(update={"thermal": text, "throttled": text}),
            "result": whole.result
            and whole.result.model_copy(update={"peak_memory_method": text, "joules": 5.0, "joules_method": text}),
            "conformance": checks.model_copy(update={"versions": {text: text}, "rows": rows}),
        }
    )
