"""What a session's table says of a row: its share of the roof, and what makes it doubtful.

`pytest -m meta bench/meta/test_roof.py`
"""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from bench.meta.test_throughput import entry
from bench.throughput import saved, table
from reports.ceiling import Ceiling

pytestmark = pytest.mark.meta


def test_what_is_above_the_roof_noisy_or_slowed_is_flagged():
    product = {"precision": "float32", "observed": "float32", "shape": (10, 10, 10), "seconds": 2e-6}
    rest = {"copy_bytes": 100, "copy_s": 1e-6, "launch_s": 1e-6, "sync_s": 1e-6}
    ceiling = Ceiling.model_validate({"measured_utc": "2026-11-21T07:42:30Z", "products": (product,), **rest})
    slow = [20] * 10 + [30] * 10
    for samples, flag in (([0.5] * 20, "above the roof"), ([20, 40] * 10, "noisy"), (slow, "slow stretch")):
        row = saved.Row.of(entry("gemm", samples, calls=1))
        assert flag in table.flags(row, table.position(row, ceiling))
    disturbed = entry("gemm", [20.0] * 20)
    disturbed["extra_info"] |= {"throttled": "hot", "background": 0.4, "late": 0.6}
    assert table.flags(saved.Row.of(disturbed), None) == ["queued late", "others busy 40%", "throttled"]
    quiet = saved.Row.of(entry("gemm", [20 + i % 2 / 10 for i in range(20)], calls=1))
    assert table.flags(quiet, table.position(quiet, ceiling)) == []
    launched = replace(quiet, flop=1, bytes=None)
    clocks = ({"clock": "wall"}, {"clock": "device"}, {"clock": "device", "late": 0.6})
    assert [table.position(replace(launched, **clock), ceiling).limit for clock in clocks] == [
        "launch",
        "compute",
        "launch",
    ]
    assert table.position(quiet, None) is None and "-" in table.line(quiet, None)


def test_a_product_that_rested_lifts_the_roof_of_its_backend_and_precision(capsys):
    """The ceiling is sustained, at 1e9 FLOP/s."""
    product = {"precision": "float32", "observed": "float32", "shape": (10, 10, 10), "seconds": 2e-6}
    rest = {"copy_bytes": None, "copy_s": None, "launch_s": None, "sync_s": None}
    ceiling = Ceiling.model_validate({"measured_utc": "2026-11-21T07:42:30Z", "products": (product,), **rest})
    best, other, late, wall, elsewhere, half = (saved.Row.of(entry(name, [1.8] * 20)) for name in ["gemm"] * 5 + ["x"])
    rows = [
        replace(best, clock="device"),
        replace(other, clock="device", precision="bfloat16", samples_s=(0.1,)),
        replace(late, clock="device", shape="9", late=0.6, samples_s=(0.2,)),
        replace(wall, shape="10", samples_s=(0.3,)),
        replace(elsewhere, clock="device", backend="mlx-metal", samples_s=(0.4,)),
        replace(half, clock="device", samples_s=(1.8,)),
        replace(half, clock="device", shape="11", samples_s=(0.7,)),
    ]
    table.show(rows, SimpleNamespace(write_line=print), {"mlx-cpu": ceiling, "mlx-metal": None})
    lines = capsys.readouterr().out.splitlines()
    shares = sorted(line.split(" compute")[0].split()[-1] for line in lines if " compute" in line)
    assert shares == ["100%", "129%", "300%", "450%", "50%"]
    assert sum("above the roof" in line for line in lines) == 3
    tenth, a_bit = (replace(best, clock="device", samples_s=(part * 0.8,)) for part in (0.1, 0.997))
    lifted = table.lifted(ceiling, [tenth], "mlx-cpu")
    assert "above the roof" in table.flags(tenth, table.position(tenth, lifted))
    assert table.flags(replace(a_bit, samples_s=(0.997 * 0.8,) * 20), table.position(a_bit, lifted)) == []
    lower = [replace(best, clock="device", samples_s=(2.0,))]
    assert table.lifted(ceiling, lower, "mlx-cpu") == table.lifted(ceiling, [], "mlx-cpu") == ceiling
