"""Machines are read from what they print; the samples follow the documented formats.

Run with `pytest -m fast bench/meta/test_hardware.py`.
"""

import os
import sys

import pytest

from bench import hardware, memory, sysinfo
from bench.hardware import GIB, suggest_preset
from bench.meta import machines
from impl.spec import PRESETS
from reports import chips, privacy
from reports.schema import BACKENDS, Hardware, State

pytestmark = [pytest.mark.fast, pytest.mark.meta]


def mac(model, chip, performance, other, cores, gib, architecture) -> Hardware:
    machine = hardware.mac(sysinfo.sysctl(machines.sysctl(model, chip, performance, other, gib)))
    told = machines.device_info(chip, architecture, gib)
    return hardware.with_apple_gpu(machine, machines.displays(chip, cores), told)


@pytest.mark.parametrize("row", machines.APPLE, ids=lambda row: f"{row[1]}, {row[4]}")
def test_apple(row):
    model, chip, performance, other, cores, gib, architecture, preset = row
    machine = mac(*row[:-1])
    assert (machine.chip, machine.gpu_cores, machine.architecture) == (chip, cores, architecture)
    assert (machine.cpu_cores, machine.cpu_performance_cores) == (performance + other, performance)
    assert (machine.model_id, machine.memory_bytes, machine.virtualised) == (model, gib * GIB, False)
    assert 0.66 * machine.memory_bytes < machine.gpu_memory_bytes <= 0.75 * machine.memory_bytes
    generation = int(chip[7])
    assert ("bf16" in machine.cpu_flags, "sme2" in machine.cpu_flags) == (generation >= 2, generation >= 4)
    assert chips.find(machine.chip, machine.gpu_cores).bandwidth_bytes_per_s > 6e10
    assert "SECRET" not in machine.model_dump_json()
    assert suggest_preset(machine, "mlx-metal")[0] == preset
    assert hardware.tier(machine) == (chip.split()[2].lower() if chip.count(" ") > 1 else "base")
    assert suggest_preset(machine, "torch-cpu")[0] == "cpu"


def test_every_apple_row_has_a_machine():
    """Of the chips in the table, none is without a sample that leads to it."""
    assert {(row[1], row[4]) for row in machines.APPLE} == {key for key in chips.CHIPS if key[0].startswith("Apple ")}
    assert {key[0] for key in chips.CHIPS if key[0].startswith("NVIDIA ")} <= {row[0] for row in machines.NVIDIA}


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", '{"SPDisplaysDataType": []}', '{"SPDisplaysDataType": [3]}'])
def test_unreadable_profile_is_unknown(text):
    assert sysinfo.displays(text) == (None, None)
    plain = hardware.mac(sysinfo.sysctl(machines.sysctl("Mac15,9", "Apple M3 Max", 12, 4, 48)))
    machine = hardware.with_apple_gpu(plain, text, {})
    assert (machine.chip, machine.gpu_cores, machine.gpu_memory_bytes) == ("Apple M3 Max", None, None)


def test_an_empty_mac_is_unknown_not_zero():
    machine = hardware.mac({})
    assert (machine.chip, machine.memory_bytes, machine.cpu_cores, machine.virtualised) == ("unknown", None, None, None)


@pytest.mark.parametrize("row", machines.NVIDIA, ids=lambda row: row[0])
def test_nvidia(row):
    name, mebibytes, capability, power_limit_mw, max_clock_mhz, preset = row
    host = Hardware(chip="AMD EPYC 9554 64-Core Processor", cpu="AMD EPYC", cpu_cores=16, memory_bytes=512 * GIB)
    machine = hardware.with_nvidia(host, machines.nvml(*row[:-1]))
    assert (machine.chip, machine.cpu, machine.memory_bytes) == (name, "AMD EPYC", 512 * GIB)
    assert (machine.gpu_memory_bytes, machine.driver) == (mebibytes * 2**20, "570.86.15")
    assert machine.power_limit_w == (power_limit_mw and power_limit_mw / 1000)
    assert machine.gpu_max_clock_mhz == max_clock_mhz
    assert hardware.tier(machine) is None
    assert machine.architecture == (capability and f"sm_{capability[0]}{capability[1]}")
    assert suggest_preset(machine, "torch-cuda")[0] == preset


def test_without_nvml_the_gpu_is_unknown():
    machine = hardware.with_nvidia(Hardware(chip="AMD EPYC", memory_bytes=512 * GIB), {})
    assert machine.chip == "unknown" and machine.gpu_memory_bytes is machine.power_limit_w is machine.driver is None
    assert suggest_preset(machine, "mlx-cuda") == ("base", "unknown with unknown memory")


@pytest.mark.parametrize(
    ("variable", "device"),
    [(None, 0), ("3,1", 3), ("GPU-8f6c,1", "GPU-8f6c"), ("MIG-77", "MIG-77"), ("", None), ("-1", None)],
)
def test_visible_gpu(variable, device):
    assert sysinfo.visible_gpu(variable) == device


@pytest.mark.parametrize("row", machines.CPUS, ids=lambda row: str(row[1]))
def test_cpu(row):
    text, brand, flags, virtualised = row
    assert sysinfo.cpuinfo(text) == (brand, flags, virtualised)
    assert brand is None or chips.known_cpu(brand) == (not brand.startswith("Arm implementer"))


def test_lscpu_knows_what_cpuinfo_does_not():
    """A part younger than our list, and the hypervisor of an arm machine."""
    machine = hardware.linux(machines.arm("0x41", "0xd84", "fp asimd sve"), machines.LSCPU_ARM)
    assert (machine.chip, machine.virtualised) == ("Arm Neoverse-V3", True)
    known = hardware.linux(machines.arm("0x41", "0xd4f", "fp asimd sve"), machines.LSCPU_ARM)
    assert known.chip == "Arm Neoverse-V2"
    assert sysinfo.lscpu(machines.LSCPU_X86) == ("Intel(R) Xeon(R) Platinum 8480+", None)
    assert sysinfo.lscpu("") == (None, None) and hardware.linux("").chip == "unknown"


@pytest.mark.parametrize(
    ("limits", "bytes_"),
    [
        (["max\n", ""], 64 * GIB),
        (["17179869184\n", ""], 16 * GIB),
        (["", "9223372036854771712\n"], 64 * GIB),
        (["", "8589934592\n"], 8 * GIB),
        (["0\n", "-1\n"], 64 * GIB),
    ],
)
def test_a_container_has_less_memory(limits, bytes_):
    assert sysinfo.memory_bytes(64 * GIB, limits) == bytes_


@pytest.mark.parametrize(
    ("texts", "governor"),
    [
        (["performance\n"] * 4, "performance"),
        (["powersave\n", "performance\n"], "performance and powersave"),
        ([], None),
    ],
)
def test_governor(texts, governor):
    assert sysinfo.governor(texts) == governor


@pytest.mark.parametrize(
    ("text", "form"),
    [("10\n", "portable"), ("3\n", "desktop"), ("35", "desktop"), ("23\n", "server"), ("1\n", None), ("", None)],
)
def test_chassis(text, form):
    assert sysinfo.chassis(text) == form


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("Now drawing from 'AC Power'\n -InternalBattery-0 (id=1)\t100%; charged; 0:00 remaining", "portable"),
        ("Now drawing from 'AC Power'\n", "desktop"),
        ("", None),
    ],
)
def test_form_of_a_mac(text, form):
    values = {"machdep.cpu.brand_string": "Apple M3 Max", "kern.hv_vmm_present": "0"}
    assert sysinfo.mac_form(text) == hardware.mac(values, text).form_factor == form
    assert hardware.mac({**values, "kern.hv_vmm_present": "1"}, text).form_factor is None


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("Now drawing from 'AC Power'\n -InternalBattery-0 (id=1)\t100%; charged; 0:00 remaining", "ac"),
        ("Now drawing from 'Battery Power'\n -InternalBattery-0 (id=1)\t43%; discharging; (no estimate)", "battery"),
        ("", None),
    ],
)
def test_battery(text, source):
    assert sysinfo.battery(text) == source


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("Currently in use:\n standby              1\n lowpowermode         1\n", True),
        ("Currently in use:\n lowpowermode         0\n", False),
        ("Currently in use:\n powermode            2\n", False),
        ("Currently in use:\n powermode            1\n", True),
        ("Currently in use:\n standby              1\n", None),
    ],
)
def test_low_power(text, mode):
    assert sysinfo.low_power(text) is mode


@pytest.mark.parametrize(
    ("supplies", "source"),
    [
        ([("Mains\n", "1\n"), ("Battery\n", "Charging\n")], "ac"),
        ([("Mains\n", "0\n"), ("Battery\n", "Discharging\n")], "battery"),
        ([("Battery\n", "Discharging\n")], "battery"),
        ([("Battery\n", "Full\n")], "ac"),
        ([], None),
    ],
)
def test_linux_power(supplies, source):
    assert sysinfo.supplies(supplies) == source


@pytest.mark.parametrize("backend", ["torch-cpu", "mlx-cpu"])
def test_this_machine(backend):
    machine = hardware.detect(backend)
    assert machine.chip != "unknown" and machine.gpu_cores is None
    assert machine.cpu_cores and machine.memory_bytes and machine.memory_bytes > GIB
    preset, why = suggest_preset(machine, backend)
    assert preset == "cpu" and backend in why
    State(**hardware.power_state(), load_average=hardware.load_average())
    name, build = hardware.operating_system()
    secrets = privacy.private_strings()
    assert not list(privacy.leaks([machine.model_dump(), name, build, hardware.power_state()], secrets))


def test_unknown_backend():
    with pytest.raises(ValueError, match="backend='tpu' is unknown; try one of"):
        hardware.detect("tpu")


def test_every_suggestion_is_a_preset():
    machines = [Hardware(chip="x", memory_bytes=gib * GIB) for gib in (8, 18, 48, 128)]
    chosen = {suggest_preset(machine, backend)[0] for machine in machines for backend in BACKENDS}
    chosen.add(suggest_preset(Hardware(chip="x", gpu_memory_bytes=80 * GIB), "mlx-cuda")[0])
    assert chosen == {"base", "pro", "max", "ultra", "h100", "cpu"} <= set(PRESETS)


def test_environment(monkeypatch):
    monkeypatch.setattr(privacy, "private_strings", lambda: ("/home/zaphod", "zaphod"))
    monkeypatch.setattr(os, "environ", {
        "MLX_ENABLE_TF32": "0", "OMP_NUM_THREADS": "2", "TORCH_HOME": "/home/zaphod/cache", "HOME": "/home/zaphod",
        "HF_TOKEN": "secret", "NVIDIA_TF32_OVERRIDE": "0", "mlx_lower": "1",
    })  # fmt: skip
    assert hardware.environment() == {
        "MLX_ENABLE_TF32": "0", "NVIDIA_TF32_OVERRIDE": "0", "OMP_NUM_THREADS": "2", "TORCH_HOME": "~/cache",
    }  # fmt: skip


def test_command(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["bench.hardware", "--backend", "mlx-cpu"])
    hardware.main()
    out = capsys.readouterr().out
    assert hardware.detect("mlx-cpu").chip.split()[0] in out
    assert "none is claimed for CPUs" in out and "cpu: mlx-cpu" in out


def test_what_is_described(monkeypatch):
    """Every value with its source, and the batch with whose samples it is from, or that there are none."""
    row = next(row for row in machines.APPLE if row[1] == "Apple M4 Max")
    rows = hardware.described(mac(*row[:-1]), "mlx-metal")
    assert rows["tier"] == "max" and rows["preset"] == "max: Apple M4 Max is of tier max"
    assert rows["peak float32"].startswith("12.93 TFLOP/s (fp32-ALU; uncertain: cores x 256 x clock")
    assert rows["bandwidth"] == "410 GB/s (unconfirmed)" and rows["cpu_flags"] == "asimd asimdhp bf16 i8mm sme sme2"
    assert "of the 24.0 GiB to be had, by samples of " in rows["batch float32"]
    monkeypatch.setattr(memory, "foreseen", lambda *_: None)
    rows = hardware.described(mac(*row[:-1]), "mlx-metal")
    assert rows["batch float32"].startswith("16 rows, the preset's: ") and "never measured" in rows["batch float32"]


@pytest.mark.parametrize(
    ("chip", "cores", "peak"),
    [("Apple M5 Max", 40, "66.36 TFLOP/s (NA-bf16; uncertain:"), ("Apple M9", 10, "unknown chip")],
)
def test_command_names_the_peak(chip, cores, peak, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "argv", ["bench.hardware", "--backend", "mlx-metal"])
    found = Hardware(chip=chip, gpu_cores=cores, memory_bytes=64 * GIB)
    monkeypatch.setattr(hardware, "detect", lambda backend: found)
    hardware.main()
    assert peak in capsys.readouterr().out
