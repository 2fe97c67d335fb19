"""What a machine does at best is measured once and kept, no roof is invented, and what no chip can do is an error.

`pytest -m fast bench/meta/test_ceiling.py`
"""

import json
import re
from types import SimpleNamespace

import pytest

from bench import ceiling, hardware, identity
from bench.ceiling import Position, roofline
from bench.meta.records import only, valid_record
from reports import derived, peaks
from reports.ceiling import Ceiling, Product
from reports.check import check_record
from reports.schema import Hardware, Probe

pytestmark = [pytest.mark.fast, pytest.mark.meta]

H200 = Hardware(chip="NVIDIA H200")
SIDE = 1000


def found(tflop_per_s: float = 700.0, gb_per_s: float = 4000.0, precision: str = "bfloat16", **changes) -> Ceiling:
    """A ceiling of one product; `gb_per_s` of 8 GB moved."""
    product = Product(
        precision=precision, observed=precision, shape=(SIDE,) * 3, seconds=2 * SIDE**3 / (tflop_per_s * 1e12)
    )
    fields = {"products": (product,), "copy_bytes": 8 * 10**9, "copy_s": 8 / gb_per_s, "launch_s": 5e-6, "sync_s": 2e-5}
    return Ceiling(measured_utc="2026-11-21T07:42:30Z", **{**fields, **changes})


@pytest.mark.parametrize(
    ("flop", "bytes_", "seconds", "expected"),
    [
        (700e9, 4e6, 2e-3, Position(0.5, "compute")),  # a millisecond of products, a microsecond of memory
        (7e6, 4e9, 1.25e-3, Position(0.8, "bandwidth")),
        (7e6, 4e3, 5e-6, Position(1.0, "launch")),
        (0, 4e9, 2e-3, Position(0.5, "bandwidth")),
    ],
    ids=str,
)
def test_a_position_is_under_the_limit_that_binds(flop, bytes_, seconds, expected):
    position = roofline(flop, bytes_, seconds, found(), "bfloat16")
    assert position is not None
    assert (position.share, position.limit) == (pytest.approx(expected.share), expected.limit)


def test_many_launches_bind_sooner():
    assert roofline(7e6, 4e3, 1e-3, found(), "bfloat16", launches=100) == Position(pytest.approx(0.5), "launch")


def test_what_was_not_measured_is_no_limit():
    bare = found(copy_bytes=None, copy_s=None, launch_s=None)
    assert roofline(7e9, 4e9, 1.0, bare, "float32") is None
    assert roofline(7e9, 4e9, 1.0, None, "bfloat16") is None
    assert roofline(700e9, 4e12, 1e-3, bare, "bfloat16") == Position(pytest.approx(1.0), "compute")


def test_a_possible_ceiling_passes():
    peaks.require_possible(found(980), H200, "torch-cuda")
    peaks.require_possible(found(10**6, 10**6), Hardware(chip="NVIDIA Unheard-of"), "torch-cuda")
    peaks.require_possible(found(10**6, 10**6), H200, "torch-cpu")  # the CPU beside it, for which no peak is claimed


@pytest.mark.parametrize(
    ("rates", "message"),
    [
        ({"tflop_per_s": 1100}, r"a bfloat16 product ran at 1\.11 times the chip's dense bf16 peak"),
        ({"gb_per_s": 9600}, r"a copy ran at 2 times the chip's memory bandwidth"),
    ],
    ids=str,
)
def test_an_impossible_rate_is_an_error_when_measured_and_in_a_report(rates, message):
    with pytest.raises(peaks.ImpossibleRate, match=f"^torch-cuda on NVIDIA H200: {message}; the clock or the wait"):
        peaks.require_possible(found(**rates), H200, "torch-cuda")
    record = valid_record(
        state={"ceiling": found(**rates), "probes": ()},
        hardware={"chip": "NVIDIA H200"},
        software={"backend": "torch-cuda"},
    )
    part, verdict, reason = only(record)
    assert (part, verdict) == ("plausibility", "rejected") and re.fullmatch(message, reason)


def test_a_product_of_another_class_is_held_against_that_class():
    """float32 that computes in TF32 exceeds float32's peak, and is no error: the product says what it is."""
    product = Product(precision="float32", observed="tf32", shape=(SIDE,) * 3, seconds=2 * SIDE**3 / 370e12)
    peaks.require_possible(found(products=(product,)), H200, "mlx-cuda")
    with pytest.raises(peaks.ImpossibleRate, match="fp32 peak"):
        peaks.require_possible(found(products=(product.model_copy(update={"observed": "float32"}),)), H200, "mlx-cuda")


def test_an_mfu_over_1_is_an_error():
    slow = valid_record(hardware={"chip": "NVIDIA H200"}, software={"backend": "torch-cuda"}, state={"probes": ()})
    share = derived.mfu(slow)
    assert share is not None and share < 1
    times = int(1.5 / share)
    with_faster_steps = valid_record(
        hardware={"chip": "NVIDIA H200"},
        software={"backend": "torch-cuda"},
        state={"probes": ()},
        run={"flop_per_token": slow.run.flop_per_token * times},
    )
    reasons = [(found.verdict, found.reason) for found in check_record(with_faster_steps)]
    assert ("rejected", "training ran at 1.5 times the chip's dense bf16 peak") in reasons


def test_training_faster_than_the_best_product_is_looked_at():
    rate = derived.tokens_per_s(valid_record()) * valid_record().run.flop_per_token
    record = valid_record(state={"ceiling": found(rate / 1.25 / 1e12), "probes": ()})
    assert derived.measured_mfu(record) == pytest.approx(1.25)
    _, verdict, reason = only(record)
    assert verdict == "pending" and reason.startswith("training ran at 1.25 times the best product measured")


def test_the_measured_peak_is_the_best_of_ceiling_and_probes():
    policy = valid_record().run.policy
    probe = Probe(when="before", flop=10**12, seconds=2e-3, precision=policy)
    for of_ceiling, best in ((700, 700e12), (400, 500e12)):
        record = valid_record(state={"ceiling": found(of_ceiling, precision=policy), "probes": (probe,)})
        assert derived.measured_peak(record).flop_per_s == pytest.approx(best)


class Backend:
    name = "torch-cpu"
    release = "2.13.0"

    def versions(self):
        return {"torch": self.release}

    def blas(self):
        return None

    def can_compile(self):
        return True


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A cache of its own; counts how often something is measured."""
    asked = []
    monkeypatch.setenv("NANOMARK_CACHE", str(tmp_path))
    monkeypatch.setattr(ceiling, "measure", lambda backend: asked.append(backend.name) or found())
    monkeypatch.setattr(identity, "packages", lambda: [])
    monkeypatch.setattr(hardware, "power_state", lambda: {"power_source": "ac", "low_power_mode": None})
    return asked


def test_it_is_measured_once(machine):
    backend, chip = Backend(), Hardware(chip="AMD EPYC")
    assert ceiling.of(backend, chip) == ceiling.of(backend, chip) == ceiling.in_a_child(backend, chip) == found()
    assert len(machine) == 1
    ceiling.of(backend, chip, again=True)
    assert len(machine) == 2


def test_another_chip_release_or_power_source_is_measured_anew(machine, monkeypatch):
    backend, chip = Backend(), Hardware(chip="AMD EPYC")
    ceiling.of(backend, chip)
    ceiling.of(backend, Hardware(chip="AMD EPYC", cpu_cores=4))
    backend.release = "2.13.1"
    ceiling.of(backend, chip)
    monkeypatch.setattr(hardware, "power_state", lambda: {"power_source": "battery", "low_power_mode": True})
    ceiling.of(backend, chip)
    assert len(machine) == 4


def test_settings_count_where_they_are_read(machine, monkeypatch):
    backend, chip = Backend(), Hardware(chip="AMD EPYC")
    before = ceiling.key(backend, chip)
    monkeypatch.setenv("MLX_ENABLE_TF32", "7")
    assert ceiling.key(backend, chip) == before
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert ceiling.key(backend, chip) != before


def test_what_a_cpu_reached_beside_other_work_is_no_ceiling(machine, monkeypatch, capsys, tmp_path):
    measured = []
    monkeypatch.setattr(ceiling, "measure", lambda backend: measured.append(1) or found(background=0.5))
    backend, chip = Backend(), Hardware(chip="AMD EPYC")
    ceiling.of(backend, chip)
    ceiling.of(backend, chip)
    assert len(measured) == 2 and not list(tmp_path.rglob("*.json"))
    backend.name = "torch-cuda"  # products of a GPU do not mind
    ceiling.of(backend, H200)
    ceiling.of(backend, H200)
    assert len(measured) == 3


@pytest.mark.parametrize(
    ("status", "said"), [(1, "Traceback ...\nMemoryError: no more"), (-11, "")], ids=["an error of ours", "a crash"]
)
def test_a_ceiling_that_cannot_be_measured_loses_no_run(machine, monkeypatch, capsys, status, said):
    monkeypatch.setattr(
        ceiling.subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=status, stdout="", stderr=said)
    )
    assert ceiling.in_a_child(Backend(), Hardware(chip="AMD EPYC")) is None
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and told.startswith("no ceiling: `python -m bench.ceiling --backend torch-cpu` failed")


def test_an_impossible_ceiling_of_a_child_is_an_error_here(machine, monkeypatch):
    refused = SimpleNamespace(returncode=ceiling.REFUSED, stdout="", stderr="a warning\nerror: a copy ran at 2 times")
    monkeypatch.setattr(ceiling.subprocess, "run", lambda *_, **__: refused)
    with pytest.raises(peaks.ImpossibleRate, match=r"^a copy ran at 2 times$"):
        ceiling.in_a_child(Backend(), Hardware(chip="AMD EPYC"))


def test_what_is_impossible_is_not_kept(machine, monkeypatch, tmp_path):
    monkeypatch.setattr(ceiling, "measure", lambda backend: found(5000))
    backend = Backend()
    backend.name = "torch-cuda"
    with pytest.raises(peaks.ImpossibleRate):
        ceiling.of(backend, H200)
    assert not list(tmp_path.rglob("*.json"))


def test_a_stretch_takes_the_median_of_one(monkeypatch):
    """Whatever number of calls fills a sample, the time is of one."""
    calls = []
    monkeypatch.setattr(ceiling, "seconds", lambda action: (action(), calls[-1] * 1e-3)[1])
    _, of_one_s = ceiling._stretch(calls.append)
    assert of_one_s == pytest.approx(1e-3) and max(calls) == 10


def test_the_command_prints_json_that_a_report_takes(machine, monkeypatch, capsys):
    monkeypatch.setattr(ceiling.backends, "load", lambda name: Backend())
    monkeypatch.setattr(hardware, "detect", lambda name: Hardware(chip="AMD EPYC"))
    assert ceiling.main(["--json"]) == 0
    assert Ceiling.model_validate_json(json.dumps(json.loads(capsys.readouterr().out))) == found()
    assert ceiling.main([]) == 0 and "700 TFLOP/s at 1000 x 1000 x 1000" in capsys.readouterr().out
