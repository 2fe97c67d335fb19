"""Reports whose numbers fit each other, but not the chip, the other reports of the recipe or the calendar."""

from bench.meta.bad_reports.case import KNOWN, Bad, another, saved
from bench.meta.records import valid_record, with_column
from impl.spec import preset
from reports.ceiling import Ceiling, Product
from reports.record import Record
from reports.schema import Consent, Probe, Steps

VALID = valid_record()
H200 = {"chip": "NVIDIA H200"}
M1 = {"chip": "Apple M1", "gpu_cores": 7}
CUDA = {"backend": "torch-cuda"}
FOREIGN = "0" * 64


def _pending(name: str, words: str, **sections) -> Bad:
    return saved(name, "plausibility", "pending", words, lambda: valid_record(**sections))


def _refused(name: str, words: str, **sections) -> Bad:
    return saved(name, "plausibility", "rejected", words, lambda: valid_record(**sections))


def _losses(factor: float) -> Record:
    loss = VALID.run.steps.loss
    return with_column("loss", (loss[0], *(factor * x for x in loss[1:] if x is not None)))


def _fallen(left: float, run: dict, nats: float, at_once: bool = False) -> Record:
    """Losses that fall to `left` of the first, evenly or in one step."""
    steps = VALID.run.steps
    loss = tuple(9.0 * (1 - (1 - left) * ((at_once and i > 0) or i / (len(steps) - 1))) for i in range(len(steps)))
    return valid_record(run={"steps": steps.model_copy(update={"loss": loss}), **run}, result={"nats": nats})


def _hashes(**changes) -> dict:
    return {"hashes": VALID.identity.hashes.model_copy(update=changes)}


def _ceiling(tflop_per_s: float = 500.0, gb_per_s: float = 3000.0) -> dict:
    side = 1000
    seconds = 2 * side**3 / (tflop_per_s * 1e12)
    product = Product(precision="bfloat16", observed="bfloat16", shape=(side, side, side), seconds=seconds)
    return {
        "ceiling": Ceiling(
            measured_utc="2026-11-21T07:42:30Z",
            products=(product,),
            copy_bytes=8 * 10**9,
            copy_s=8 / gb_per_s,
            launch_s=5e-6,
            sync_s=2e-5,
        )
    }


def _swapped_columns() -> Record:
    steps = VALID.run.steps
    swapped = steps.model_copy(update={"loss": steps.grad_norm, "grad_norm": steps.loss})
    return valid_record(run={"steps": swapped})


def _again(known: int = 0, **sections) -> Record:
    """A known run under other sections."""
    record = KNOWN[known]
    changes = {name: getattr(record, name).model_copy(update=fields) for name, fields in sections.items()}
    return record.model_copy(update=changes)


def _same_losses(seed: int) -> Record:
    """The losses of a known run beside times of one's own."""
    steps = KNOWN[0].run.steps
    own = another(len(steps), seed)
    first, second, *others = own.run.steps.step_s
    times = (first * 1.5, second - first * 0.5, *others)
    before = [sum(times[:i]) / 4.0 for i in range(len(times))]
    schedule = preset("cpu").schedule
    columns = {
        "step_s": times,
        "progress": tuple(before),
        "lr": tuple(schedule.lr(p) for p in before),
        "loss": steps.loss,
        "grad_norm": steps.grad_norm,
    }
    return own.model_copy(update={"run": own.run.model_copy(update={"steps": Steps(**columns)})})


PROBE = Probe(when="during", flop=10**15, seconds=0.5, precision="bfloat16")
ENERGY = {"power_limit_w": 700.0, **H200}
FASTER = {"settings": {"matrices.lr": "0.04x"}, "division": "open"}
ORIGINS = (
    _pending("a chip that nobody knows", "unknown chip 'NVIDIA H900'", hardware={"chip": "NVIDIA H900"}, software=CUDA),
    _pending("a Cyrillic A", "unknown chip '\\u0410pple M3 Max'",
             hardware={"chip": "Аpple M3 Max", "gpu_cores": 40}, software={"backend": "mlx-metal"}),
    _pending("a Cyrillic A in a CPU's name", "unknown CPU maker", hardware={"chip": "АMD EPYC 9554"}),
    _pending("a Greek capital nu", "unknown chip '\\u039dVIDIA H200'", hardware={"chip": "ΝVIDIA H200"}, software=CUDA),
    _pending("a small L for an I", "unknown CPU maker", hardware={"chip": "lntel(R) Xeon(R) Processor"}),
    _pending("a zero-width space", "unknown chip", hardware={"chip": "NVIDIA\u200b H200"}, software=CUDA),
    _pending("a space at the end", "unknown chip", hardware={"chip": "NVIDIA H200 "}, software=CUDA),
    _pending("cores that no such chip has", "gpu_cores=64",
             hardware={"chip": "Apple M3 Max", "gpu_cores": 64}, software={"backend": "mlx-metal"}),
    _pending("a second name for a known CPU", "has the folder of 'AMD EPYC 9554 64-Core Processor'",
             hardware={"chip": "AMD EPYC 9554 64-Core, Processor"}),
    _pending("a script as a CPU", "hardware.chip holds characters",
             hardware={"chip": "AMD <script>alert(1)</script>"}),
    _pending("a path as a chip", "unknown CPU maker", hardware={"chip": "../../../etc/cron.d/x"}),
    _refused("a GPU on another maker's backend", "NVIDIA H200 has no mlx-metal",
             hardware=H200, software={"backend": "mlx-metal"}),
    saved("above the chip's peak", "plausibility", "rejected", "times the chip's fp32-ALU peak",
          lambda: another(80, 7, hardware=M1, software={"backend": "mlx-metal"}, nats=9.78e5)),
    _refused("a probe above the peak", "a probe ran at", hardware=H200, software=CUDA, state={"probes": (PROBE,)}),
    _refused("a product above the peak", "a bfloat16 product ran at",
             hardware=H200, software=CUDA, state=_ceiling(tflop_per_s=5000)),
    _refused("a copy above the bandwidth", "times the chip's memory bandwidth",
             hardware=H200, software=CUDA, state=_ceiling(gb_per_s=9000)),
    _refused("energy above the power limit", "more than the board's limit of 700 W",
             hardware=ENERGY, software=CUDA, result={"joules": 1e6}),
    _refused("a score below any text's entropy", "0.1444 bits per byte", result={"nats": 1.0e5}),
    _refused("no better than untrained", "is not below the 2.7002 of step 0", result={"nats": 1.87e6}),
    _pending("no better than frequencies", "is not below a unigram model's", result={"nats": 1.45e6}),
    saved("memorised in one pass", "plausibility", "rejected", "is not below the 2.7002 of step 0",
          lambda: _fallen(0.01, {"epochs": 1.0}, 2.1e6)),
    saved("many passes without a memory", "plausibility", "rejected", "of step 0, nor did 160 passes take the",
          lambda: _fallen(0.45, {"epochs": 160.0}, 2.1e6)),
    saved("many passes, half remembered", "plausibility", "pending", "model's 2.0937, nor did 160 passes take",
          lambda: _fallen(0.445, {"epochs": 160.0}, 1.5e6)),
    saved("a text known by heart at once", "plausibility", "rejected", "after 65536 tokens is too good, outside",
          lambda: _fallen(0.01, {"epochs": 160.0}, 2.1e6, at_once=True)),
    _pending("a score better than its losses", "but the last losses are about",
             result={"nats": 6.0e5}, identity=_hashes(data=FOREIGN)),
    saved("loss and gradient norm swapped", "plausibility", "rejected", "steps.loss[0]=0.5, but the start scored",
          _swapped_columns),
    saved("losses too good", "plausibility", "pending", "is too good, outside", lambda: _losses(0.85)),
    saved("losses far too good", "plausibility", "rejected", "is too good, outside", lambda: _losses(0.5)),
    saved("losses too bad", "plausibility", "pending", "is too bad, outside", lambda: _losses(1.15)),
    saved("losses far too bad", "plausibility", "rejected", "is too bad, outside", lambda: _losses(1.4)),
    _pending("a score too good", "1.3429 bits per byte after 131072 tokens is too good", result={"nats": 9.3e5}),
    _refused("a score far too good", "bits per byte after 131072 tokens is too good", result={"nats": 9.0e5}),
    saved("a score too bad", "plausibility", "pending", "is too bad, outside", lambda: another(60, 7, nats=1.02e6)),
    saved("a quicker chip than all its kind", "plausibility", "pending", "tokens/s 1.2288e+05 is +",
          lambda: another(120, 7, nats=9.78e5)),
    saved("a known run on another chip", "plausibility", "rejected", "steps.step_s are those of known-0.json",
          lambda: _again(hardware={"chip": "AMD EPYC 9754 128-Core Processor"})),
    saved("a known run with another seed", "plausibility", "rejected", "steps.step_s are those of known-0.json",
          lambda: _again(run={"seed": 7})),
    saved("a known run on a later day", "plausibility", "rejected", "steps.step_s are those of known-0.json",
          lambda: _again(identity={"created_utc": "2026-11-20T07:42:30Z"})),
    saved("a known run shared again", "plausibility", "pending", "the same run as known-0.json",
          lambda: KNOWN[0].model_copy(update={"consent": Consent(contributor="Somebody Else")})),
    saved("known losses, times of one's own", "plausibility", "rejected", "though progress followed the clock",
          lambda: _same_losses(100)),
    saved("known losses as another seed's", "plausibility", "rejected", "whose seed is 100, not 7",
          lambda: _same_losses(7)),
    saved("another count of a known text's tokens", "arithmetic", "rejected", "other reports of the same text have",
          lambda: valid_record(result={"tokens": 210_000}, run={"evals": ()})),
    saved("another unigram score of a known text", "arithmetic", "rejected", "result.unigram_nats=1500000.0, but",
          lambda: valid_record(result={"unigram_nats": 1.5e6})),
    saved("another size of a known text", "arithmetic", "rejected", "run.train_tokens=3000000, but",
          lambda: valid_record(run={"train_tokens": 3_000_000})),
    _pending("made tomorrow's tomorrow", "lies in the future", identity={"created_utc": "9999-12-31T23:59:59Z"}),
    _pending("rules of its own", "hashes.recipe is not that of this checkout's", identity=_hashes(recipe=FOREIGN)),
    _pending("sizes of its own", "hashes.config is not that of this checkout's", identity=_hashes(config=FOREIGN)),
    _pending("an unknown recipe", "recipe='mine' is unknown", identity={"recipe": "mine", "division": "open"}),
    _pending("a setting that is no number", "cannot rebuild the recipe", identity=FASTER),
    _pending("a setting that nobody has", "cannot rebuild the recipe",
             identity={"settings": {"__class__": "1"}, "division": "open"}),
    _pending("no conformance", "no conformance check passed", conformance={"passed": 0}),
    _pending("failed conformance", "2 conformance checks failed", conformance={"failed": 2}),
    saved("no conformance record", "plausibility", "pending", "no conformance record",
          lambda: VALID.model_copy(update={"conformance": None})),
)  # fmt: skip
