"""Heat, power and energy: what can be read is read right, what cannot is None, and throttling is named.

Run with `pytest -m fast bench/meta/test_sensors.py`. The samples are constructed after the documented formats.
"""

import sys
from types import SimpleNamespace

import pytest

from bench import nvidia, sensors, sysinfo
from bench.sensors import Counter, Reading

pytestmark = [pytest.mark.fast, pytest.mark.meta]

NVML = {
    "power_mw": 688_412,
    "energy_mj": 51_220_317_904,
    "temperature_c": 61,
    "clock_mhz": 1755,
    "reasons": 0x4,
    "power_capped_ns": 40_000_000_000,
    "thermal_ns": 0,
}


def at(reading: Reading, seconds: float) -> Reading:
    return Reading(**{**vars(reading), "at_s": seconds})


def test_nvml():
    before = at(sensors.from_nvml(NVML), 100.0)
    later = {"energy_mj": NVML["energy_mj"] + 206_000_000, "power_capped_ns": 115_000_000_000}
    after = at(sensors.from_nvml({**NVML, **later}), 400.0)
    assert sensors.energy_j(before, after) == pytest.approx(206_000)
    assert (after.power_w, after.temperature_c, after.clock_mhz) == (688.412, 61, 1755)
    assert sensors.capped(before, after) == pytest.approx(0.25)
    assert sensors.throttled(before, after) is None and sensors.can_tell(before, after)


@pytest.mark.parametrize(
    ("later", "reason"),
    [
        ({"reasons": 0x20}, "software thermal slowdown"),
        ({"reasons": 0x48}, "hardware slowdown; hardware thermal slowdown"),
        ({"reasons": 0x80 | 0x4}, "power brake"),
        ({"thermal_ns": 2_500_000_000}, "seconds at the thermal limit +2.5"),
    ],
)
def test_a_throttled_gpu_is_named(later, reason):
    """Also where it has recovered by the end: the counter remembers."""
    before, after = sensors.from_nvml(NVML), sensors.from_nvml({**NVML, **later})
    assert sensors.throttled(before, after) == reason


@pytest.mark.parametrize("reasons", [0x0, 0x1, 0x2, 0x4, 0x10, 0x100])
def test_idle_and_limits_are_no_throttling(reasons):
    assert nvidia.throttling(reasons) == ()


def test_nothing_read_is_nothing_known():
    nothing = sensors.from_nvml({})
    assert {name for name, value in vars(nothing).items() if value is not None} == {"at_s"}
    assert sensors.energy_j(nothing, nothing) is sensors.capped(nothing, nothing) is None
    assert not sensors.can_tell(nothing, nothing)


def fake_nvml(monkeypatch, **answers):
    """A card that answers some of NVML's questions and refuses the others."""

    class NVMLError(Exception): ...

    def refuse(*_):
        raise NVMLError("Not Supported")

    class Bindings(SimpleNamespace):
        def __getattr__(self, name):
            if name.startswith("nvml"):
                return refuse
            raise AttributeError(name)

    fixed = {"NVMLError": NVMLError, "nvmlInit": lambda: None, "nvmlDeviceGetHandleByIndex": lambda i: f"gpu {i}"}
    constants = {"NVML_CLOCK_SM": 1, "NVML_TEMPERATURE_GPU": 0, "NVML_PERF_POLICY_POWER": 0}
    constants["NVML_PERF_POLICY_THERMAL"] = 1
    monkeypatch.setitem(sys.modules, "pynvml", Bindings(**fixed, **constants, **answers))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    nvidia._opened.cache_clear()


@pytest.fixture(autouse=True)
def forget():
    yield
    nvidia._opened.cache_clear()


def test_a_card_that_answers(monkeypatch):
    fake_nvml(
        monkeypatch,
        nvmlDeviceGetName=lambda gpu: b"NVIDIA H200",
        nvmlDeviceGetMemoryInfo=lambda gpu: SimpleNamespace(total=150_754_820_096),
        nvmlDeviceGetCudaComputeCapability=lambda gpu: [9, 0],
        nvmlDeviceGetMaxClockInfo=lambda gpu, kind: 1980,
        nvmlDeviceGetTotalEnergyConsumption=lambda gpu: 7,
        nvmlDeviceGetCurrentClocksThrottleReasons=lambda gpu: 0x40,
        nvmlDeviceGetViolationStatus=lambda gpu, policy: SimpleNamespace(violationTime=(5, 2**64 - 1)[policy]),
    )
    facts = {"name": "NVIDIA H200", "memory_bytes": 150_754_820_096, "capability": (9, 0), "max_clock_mhz": 1980}
    assert nvidia.facts() == facts  # no driver version, no power limit: this one does not say
    assert nvidia.state() == {"energy_mj": 7, "reasons": 0x40, "power_capped_ns": 5}
    reading = sensors.read("mlx-cuda")
    assert reading.throttling == ("hardware thermal slowdown",) and reading.power_w is reading.temperature_c is None


@pytest.mark.parametrize("visible", ["", "-1"])
def test_a_hidden_gpu_is_not_asked(visible, monkeypatch):
    fake_nvml(monkeypatch, nvmlDeviceGetName=lambda gpu: "NVIDIA H200")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert nvidia.facts() == nvidia.state() == {}


PRESSURE = "com.apple.system.thermalpressurelevel {}\n"
CALM = "Note: No thermal warning level has been recorded\nNote: No performance warning level has been recorded\n"
SLOW = "2026-08-20 05:08:37 -0700 CPU Power notify\n\tCPU_Scheduler_Limit \t= 80\n\tCPU_Speed_Limit \t= 62\n"


@pytest.mark.parametrize(
    ("pressure", "limits", "throttling"),
    [
        (PRESSURE.format(0), CALM, ()),
        (PRESSURE.format(2), CALM, ("thermal pressure heavy",)),
        (PRESSURE.format(9), "", ("thermal pressure level 9",)),
        (PRESSURE.format(1), SLOW, ("thermal pressure moderate", "CPU speed limit 62 %")),
        ("", SLOW.replace("62", "100"), ()),
        ("", "", None),
        ("notifyutil: no such key", "?", None),
    ],
)
def test_mac(pressure, limits, throttling):
    assert sensors.from_mac(pressure, limits, None, gpu=True).throttling == throttling


def test_mac_energy():
    """IOReport's totals in mJ; parts that a chip lacks are left out and the method names the others."""
    first = SimpleNamespace(cpu_total_mj=1000, gpu_mj=5000, dram_mj=300, ane_mj=None, gpu_sram_mj=None)
    second = SimpleNamespace(cpu_total_mj=1500, gpu_mj=25_000, dram_mj=800, ane_mj=None, gpu_sram_mj=None)
    before, after = (sensors.from_mac("", "", metrics, gpu=True) for metrics in (first, second))
    assert sensors.energy_j(before, after) == pytest.approx(21.0)
    assert after.energy_method == "IOReport by zeus-apple-silicon: cpu, gpu, dram"
    without = SimpleNamespace(cpu_total_mj=1500, gpu_mj=None)
    assert sensors.from_mac("", "", without, gpu=True).energy is None
    assert sensors.from_mac("", "", without, gpu=False).energy == {"cpu": Counter(1.5)}


def write(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(f"{text}\n")


def zones(folder, first_uj, second_uj):
    """Two sockets, a part of one, the whole system that holds both, and one of them again."""
    write(folder / "intel-rapl:0", name="package-0", energy_uj=first_uj, max_energy_range_uj=262_143_328_850)
    write(folder / "intel-rapl:0:0", name="core", energy_uj=first_uj // 2, max_energy_range_uj=262_143_328_850)
    write(folder / "intel-rapl:1", name="package-1", energy_uj=second_uj, max_energy_range_uj=262_143_328_850)
    write(folder / "intel-rapl:2", name="psys", energy_uj=3 * first_uj, max_energy_range_uj=262_143_328_850)
    write(folder / "intel-rapl-mmio:0", name="package-0", energy_uj=first_uj, max_energy_range_uj=262_143_328_850)


def test_rapl(tmp_path):
    zones(tmp_path, 1_000_000, 262_143_000_000)
    before = sensors.from_linux(tmp_path, tmp_path)
    zones(tmp_path, 31_000_000, 671_150)  # the second has wrapped
    after = sensors.from_linux(tmp_path, tmp_path)
    assert sensors.energy_j(before, after) == pytest.approx(31.0)
    (tmp_path / "intel-rapl:1" / "energy_uj").unlink()  # as where only the root may read it
    assert sensors.from_linux(tmp_path, tmp_path).energy is None
    assert sensors.energy_j(before, sensors.from_linux(tmp_path, tmp_path)) is None


def test_a_reset_counter_is_no_energy():
    before, after = (Reading(at_s=0, energy={"GPU board": Counter(joules)}) for joules in (9.0, 1.0))
    assert sensors.energy_j(before, after) is None


def test_cpu(tmp_path):
    for cpu in ("cpu0", "cpu1"):
        write(tmp_path / cpu / "thermal_throttle", core_throttle_count=3, package_throttle_count=7)
        write(tmp_path / cpu / "cpufreq", scaling_cur_freq=2_400_000)
    before = sensors.from_linux(tmp_path, tmp_path, 71.0)
    assert (before.clock_mhz, before.temperature_c, before.energy) == (2400.0, 71.0, None)
    assert sensors.throttled(before, before) is None and sensors.can_tell(before, before)
    write(tmp_path / "cpu1" / "thermal_throttle", core_throttle_count=5)
    after = sensors.from_linux(tmp_path, tmp_path)
    assert sensors.throttled(before, after) == "thermal throttling of a core, events +2"


def test_this_machine():
    reading = sensors.read("torch-cpu")
    assert reading.energy is None or reading.energy_method
    assert sensors.throttled(reading, reading) is None or reading.throttling


def test_the_command(monkeypatch, capsys):
    """A card that takes 650 J in a second and becomes too hot."""
    states = [NVML, {**NVML, "energy_mj": NVML["energy_mj"] + 650_000, "reasons": 0x44}]
    monkeypatch.setattr(nvidia, "state", lambda: states.pop(0))
    monkeypatch.setattr(sensors.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(sys, "argv", ["sensors", "--backend", "mlx-cuda"])
    sensors.main()
    lines = dict(line.split("  ", 1) for line in capsys.readouterr().out.splitlines())
    assert lines["energy j"].strip() == "650.0" and lines["throttled"].strip() == "hardware thermal slowdown"
    assert lines["thermal"].strip() == "unknown" and lines["temperature c"].strip() == "61"
    states[:] = [NVML, NVML]
    sensors.main()
    assert "throttled                 no" in capsys.readouterr().out


def test_pressure_of_nothing():
    assert sysinfo.thermal_pressure("") is sysinfo.speed_limit_percent("") is None
