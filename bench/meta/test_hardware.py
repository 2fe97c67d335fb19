"""Machines are read from what they print; the samples follow the documented formats.

Run with `pytest -m fast bench/meta/test_hardware.py`.
"""

import json
import os
import sys

import pytest

from bench import hardware, sysinfo
from bench.hardware import GIB, suggest_preset
from impl.spec import PRESETS
from reports import privacy
from reports.schema import BACKENDS, Hardware, State

pytestmark = [pytest.mark.fast, pytest.mark.meta]


def profile(chip: str, cores: int) -> str:
    """As `system_profiler -json SPDisplaysDataType` prints it, with the serial that must not be read."""
    external = {"_name": "LG", "_spdisplays_display-serial-number": "SECRET-SERIAL"}
    card = {
        "_name": chip,
        "spdisplays_mtlgpufamilysupport": "spdisplays_metal4",
        "spdisplays_ndrvs": [external],
        "spdisplays_vendor": "sppci_vendor_Apple",
        "sppci_bus": "spdisplays_builtin",
        "sppci_cores": str(cores),
        "sppci_device_type": "spdisplays_gpu",
        "sppci_model": chip,
    }
    return json.dumps({"SPDisplaysDataType": [card]})


def values(model: str, chip: str, cores: int, gib: int) -> dict[str, str]:
    return sysinfo.sysctl(
        f"hw.model: {model}\nhw.memsize: {gib * GIB}\nhw.physicalcpu: {cores}\n"
        f"machdep.cpu.brand_string: {chip}\nkern.hv_vmm_present: 0\n"
    )


@pytest.mark.parametrize(
    ("model", "chip", "cpu_cores", "gpu_cores", "gib", "preset"),
    [
        ("MacBookAir10,1", "Apple M1", 8, 7, 8, "base"),
        ("Mac13,2", "Apple M1 Ultra", 20, 64, 64, "ultra"),
        ("Mac14,12", "Apple M2 Pro", 10, 16, 16, "pro"),
        ("Mac14,2", "Apple M2", 8, 10, 24, "pro"),
        ("Mac15,9", "Apple M3 Max", 16, 40, 48, "max"),
        ("Mac15,8", "Apple M3 Max", 14, 30, 36, "max"),
        ("Mac16,9", "Apple M4 Max", 16, 40, 128, "ultra"),
        ("Mac16,11", "Apple M4 Pro", 14, 20, 48, "max"),
        ("Mac17,2", "Apple M5", 10, 10, 16, "base"),
    ],
)
def test_apple(model, chip, cpu_cores, gpu_cores, gib, preset):
    machine = hardware.with_apple_gpu(hardware.mac(values(model, chip, cpu_cores, gib)), profile(chip, gpu_cores))
    assert (machine.chip, machine.gpu_cores, machine.cpu_cores) == (chip, gpu_cores, cpu_cores)
    assert (machine.model_id, machine.memory_bytes, machine.virtualised) == (model, gib * GIB, False)
    assert "SECRET" not in machine.model_dump_json()
    assert suggest_preset(machine, "mlx-metal")[0] == preset
    assert suggest_preset(machine, "torch-cpu")[0] == "cpu"


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", '{"SPDisplaysDataType": []}', '{"SPDisplaysDataType": [3]}'])
def test_unreadable_profile_is_unknown(text):
    assert sysinfo.displays(text) == (None, None)
    machine = hardware.with_apple_gpu(hardware.mac(values("Mac15,9", "Apple M3 Max", 16, 48)), text)
    assert (machine.chip, machine.gpu_cores) == ("Apple M3 Max", None)


def test_an_empty_mac_is_unknown_not_zero():
    machine = hardware.mac({})
    assert (machine.chip, machine.memory_bytes, machine.cpu_cores, machine.virtualised) == ("unknown", None, None, None)


NVML = {
    "name": "NVIDIA H100 80GB HBM3",
    "memory_bytes": 85_520_809_984,
    "driver": "570.86.15",
    "power_limit_mw": 700_000,
    "capability": (9, 0),
}


@pytest.mark.parametrize(
    ("name", "mebibytes", "preset"),
    [
        ("NVIDIA H100 80GB HBM3", 81559, "h100"),
        ("NVIDIA H200", 143771, "h100"),
        ("NVIDIA RTX A6000", 49140, "max"),
        ("NVIDIA GeForce RTX 4090", 24564, "pro"),
        ("NVIDIA GeForce RTX 3060 Ti", 8192, "base"),
        ("NVIDIA GeForce GTX Max Pro", 4096, "base"),  # the tiers are Apple's words
    ],
)
def test_nvidia(name, mebibytes, preset):
    host = Hardware(chip="AMD EPYC 9554 64-Core Processor", cpu="AMD EPYC", cpu_cores=16, memory_bytes=512 * GIB)
    machine = hardware.with_nvidia(host, {**NVML, "name": name, "memory_bytes": mebibytes * 2**20})
    assert (machine.chip, machine.cpu, machine.memory_bytes) == (name, "AMD EPYC", 512 * GIB)
    assert (machine.driver, machine.power_limit_w, machine.architecture) == ("570.86.15", 700.0, "sm_90")
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


X86 = """processor\t: 0
vendor_id\t: AuthenticAMD
model name\t: AMD EPYC 9554 64-Core Processor
flags\t\t: fpu sse2 fma avx2 avx512f avx512_bf16 hypervisor

processor\t: 1
model name\t: another
flags\t\t: fpu amx_bf16
"""
ARM = """processor\t: 0
BogoMIPS\t: 2100.00
Features\t: fp asimd aes sve svebf16 bf16 i8mm
CPU implementer\t: 0x41
CPU architecture: 8
CPU part\t: {part}
"""


def test_x86():
    assert sysinfo.cpuinfo(X86) == ("AMD EPYC 9554 64-Core Processor", ("avx2", "fma", "avx512f", "avx512_bf16"), True)


def test_arm():
    expected = ("Arm Neoverse-V2", ("asimd", "bf16", "i8mm", "sve", "svebf16"), None)
    assert sysinfo.cpuinfo(ARM.format(part="0xd4f")) == expected
    assert sysinfo.cpuinfo(ARM.format(part="0xfff"))[0] == "Arm implementer 0x41 part 0xfff"


def test_no_cpuinfo():
    assert sysinfo.cpuinfo("") == (None, (), None)


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


@pytest.mark.parametrize(
    ("chip", "cores", "peak"),
    [("Apple M5 Max", 40, "66.36 TFLOP/s (NA-bf16;"), ("Apple M9", 10, "unknown chip")],
)
def test_command_names_the_peak(chip, cores, peak, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "argv", ["bench.hardware", "--backend", "mlx-metal"])
    found = Hardware(chip=chip, gpu_cores=cores, memory_bytes=64 * GIB)
    monkeypatch.setattr(hardware, "detect", lambda backend: found)
    hardware.main()
    assert peak in capsys.readouterr().out
