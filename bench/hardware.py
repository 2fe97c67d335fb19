"""What machine this is: chip, cores, memory, power; `python -m bench.hardware` prints it, with its peaks and preset.

Test with `pytest -m fast -k hardware`. Nothing here reads a host name, a serial number or a user name.
"""

import argparse
import fnmatch
import os
import platform
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench import memory, nvidia, sysinfo
from bench.commands import output, read
from impl import backend as backends
from impl import cores
from impl.spec import preset
from reports import chips
from reports.privacy import redact
from reports.schema import BACKENDS, Hardware

GIB = 2**30
CPUS = Path("/sys/devices/system/cpu")
CHASSIS = "/sys/class/dmi/id/chassis_type"
MEMORY_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")  # a container's
ENVIRONMENT = (
    "MLX_*",
    "PYTORCH_*",
    "TORCH_*",
    "CUDA_VISIBLE_DEVICES",
    "CUDA_DEVICE_ORDER",
    "CUBLAS_*",
    "NVIDIA_TF32_OVERRIDE",
    "OMP_*",
    "MKL_*",
    "OPENBLAS_*",
    "VECLIB_*",
)
SYSCTLS = (
    "hw.model",
    "hw.memsize",
    "hw.physicalcpu",
    "hw.perflevel0.physicalcpu",
    "machdep.cpu.brand_string",
    "kern.hv_vmm_present",
    *sysinfo.APPLE_FLAGS,
)


def detect(backend_name: str) -> Hardware:
    """The hardware behind a backend. Raises ValueError for an unknown name; what cannot be read is None."""
    if backend_name not in BACKENDS:
        raise ValueError(f"backend={backend_name!r} is unknown; try one of {list(BACKENDS)}")
    if sys.platform == "darwin":
        machine = mac(sysinfo.sysctl(output("sysctl", *SYSCTLS)), output("pmset", "-g", "batt"))
    else:
        machine = linux(read("/proc/cpuinfo"), output("lscpu"))
    if backend_name.endswith("-cpu"):
        return machine
    if backend_name.endswith("-cuda"):
        return with_nvidia(machine, nvidia.facts() | _torch_gpu())
    profile = output("system_profiler", "-json", "SPDisplaysDataType")
    return with_apple_gpu(machine, profile, _metal() if backend_name == "mlx-metal" else _mps())


def mac(values: dict[str, str], supply: str = "") -> Hardware:
    """From sysctl's values and `pmset -g batt`; the GPU not yet looked at."""
    virtual = {"0": False, "1": True}.get(values.get("kern.hv_vmm_present", ""))
    brand = values.get("machdep.cpu.brand_string")
    return Hardware(
        chip=brand or "unknown",
        model_id=values.get("hw.model"),
        architecture=platform.machine() or None,
        cpu=brand,
        cpu_cores=_positive(values.get("hw.physicalcpu")),
        cpu_performance_cores=_positive(values.get("hw.perflevel0.physicalcpu")),
        cpu_flags=sysinfo.apple_flags(values),
        memory_bytes=_positive(values.get("hw.memsize")),
        virtualised=virtual,
        form_factor=None if virtual else sysinfo.mac_form(supply),
    )


def linux(cpuinfo: str, lscpu: str = "") -> Hardware:
    """From /proc/cpuinfo and lscpu, beside what the kernel tells of memory and of the CPUs open to this process."""
    brand, flags, virtualised = sysinfo.cpuinfo(cpuinfo)
    other_brand, other_virtualised = sysinfo.lscpu(lscpu)
    if brand is None or brand.startswith("Arm implementer"):
        brand = other_brand or brand
    virtual = other_virtualised if virtualised is None else virtualised
    return Hardware(
        chip=brand or "unknown",
        architecture=platform.machine() or None,
        cpu=brand,
        cpu_cores=cores.usable(),
        cpu_flags=flags,
        memory_bytes=sysinfo.memory_bytes(
            os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), [read(path) for path in MEMORY_LIMITS]
        ),
        cpu_governor=sysinfo.governor([read(path) for path in CPUS.glob("cpu[0-9]*/cpufreq/scaling_governor")]),
        virtualised=virtual,
        form_factor=None if virtual else sysinfo.chassis(read(CHASSIS)),  # a virtual machine makes its own up
    )


def with_apple_gpu(machine: Hardware, profile: str, device: dict[str, Any]) -> Hardware:
    """`machine` with what system_profiler says of its GPU, and `mx.device_info()`, or {}: its share of the memory."""
    chip, cores = sysinfo.displays(profile)
    found = {
        "chip": chip or machine.chip,
        "gpu_cores": cores,
        "architecture": device.get("architecture"),
        "gpu_memory_bytes": device.get("max_recommended_working_set_size") or None,
    }
    return Hardware(**{**machine.model_dump(), **found})


def with_nvidia(machine: Hardware, values: dict[str, Any]) -> Hardware:
    """`machine` with NVML's values of its GPU: those of `nvidia.facts`, all optional."""
    limit_mw, capability = values.get("power_limit_mw"), values.get("capability")
    found = {
        "chip": values.get("name") or "unknown",
        "gpu_memory_bytes": values.get("memory_bytes"),
        "gpu_max_clock_mhz": values.get("max_clock_mhz"),
        "driver": values.get("driver"),
        "power_limit_w": limit_mw / 1000 if limit_mw else None,
        "architecture": f"sm_{capability[0]}{capability[1]}" if capability else None,
    }
    return Hardware(**{**machine.model_dump(), **found})


def suggest_preset(hardware: Hardware, backend_name: str) -> tuple[str, str]:
    """(preset, why), in the field's order; memory can lift a chip above its tier."""
    if backend_name.endswith("-cpu"):
        return "cpu", f"{backend_name} computes on the CPU"
    memory_bytes = hardware.gpu_memory_bytes if backend_name.endswith("-cuda") else hardware.memory_bytes
    memory_gib = round((memory_bytes or 0) / GIB)  # a card of 48 GB reports 47.99
    size = f"{memory_gib} GiB" if memory_bytes else "unknown memory"
    if backend_name.endswith("-cuda") and memory_gib >= 70:
        return "h100", f"{hardware.chip} with {size}, at least 70"
    for name, least_gib in (("ultra", 128), ("max", 48), ("pro", 18)):
        if tier(hardware) == name:
            return name, f"{hardware.chip} is of tier {name}"
        if memory_gib >= least_gib:
            return name, f"{hardware.chip} with {size}, at least {least_gib}"
    return "base", f"{hardware.chip} with {size}"


def tier(hardware: Hardware) -> str | None:
    """Apple's word after the generation, "base" where there is none; None for other makers."""
    words = hardware.chip.lower().split()
    return next((name for name in ("ultra", "max", "pro") if name in words), "base") if "apple" in words[:1] else None


def environment() -> dict[str, str]:
    """The set environment variables that can change a number or a speed, without this machine's private strings."""
    chosen = (name for name in sorted(os.environ) if any(fnmatch.fnmatchcase(name, p) for p in ENVIRONMENT))
    return {name: redact(os.environ[name]) for name in chosen}


def power_state() -> dict[str, Any]:
    """`power_source` ("ac" or "battery") and `low_power_mode` as a report's state has them; None where unreadable."""
    if sys.platform == "darwin":
        source = sysinfo.battery(output("pmset", "-g", "batt"))
        return {"power_source": source, "low_power_mode": sysinfo.low_power(output("pmset", "-g"))}
    folders = Path("/sys/class/power_supply").glob("*")
    states = [(read(f / "type"), read(f / "online") or read(f / "status")) for f in folders]
    profile = read("/sys/firmware/acpi/platform_profile").strip()
    return {"power_source": sysinfo.supplies(states), "low_power_mode": profile == "low-power" if profile else None}


def load_average() -> tuple[float, float, float] | None:
    """Runnable processes over 1, 5 and 15 minutes."""
    try:
        return os.getloadavg()
    except (OSError, AttributeError):
        return None


def operating_system() -> tuple[str, str | None]:
    """(name and version, build or None)."""
    if sys.platform == "darwin":
        return f"macOS {platform.mac_ver()[0]}", output("sw_vers", "-buildVersion").strip() or None
    version = re.match(r"[\d.]+\d", platform.release())
    return f"{platform.system()} {version.group() if version else 'unknown'}", None


def _torch_gpu() -> dict[str, Any]:
    """The same of the GPU that torch computes on, if it is at work here: CUDA's order of GPUs need not be NVML's."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return {}
    gpu = torch.cuda.get_device_properties(torch.cuda.current_device())
    return {"name": gpu.name, "memory_bytes": gpu.total_memory, "capability": (gpu.major, gpu.minor)}


def _metal() -> dict[str, Any]:
    """`mx.device_info()`, if MLX is already at work here; it is never imported only to ask."""
    mx = sys.modules.get("mlx.core")
    if mx is None:
        return {}
    return dict(mx.device_info() if hasattr(mx, "device_info") else mx.metal.device_info())


def _mps() -> dict[str, Any]:
    """The same of PyTorch, which tells but the memory."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.backends.mps.is_available():
        return {}
    return {"max_recommended_working_set_size": torch.mps.recommended_max_memory()}


def _positive(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() and int(text) else None


def likely_backend() -> str:
    """The backend to describe when none is named: this machine's GPU, else its CPU."""
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return "mlx-metal"
    return "torch-cuda" if nvidia.facts() else "torch-cpu"


def described(machine: Hardware, backend: str) -> dict[str, Any]:
    """The machine, its peaks with their sources and how sure they are, the preset and the batch, each with a reason."""
    rows: dict[str, Any] = {**machine.model_dump(), "cpu_flags": " ".join(machine.cpu_flags) or None}
    rows |= {"tier": tier(machine)} if tier(machine) else {}
    chip = None if backend.endswith("-cpu") else chips.find(machine.chip, machine.gpu_cores)
    for precision, peak in chip.peaks.items() if chip else ():
        sure = "certain" if peak.certain else "uncertain"
        rows[f"peak {precision}"] = f"{peak.flop_per_s / 1e12:.4g} TFLOP/s ({peak.name}; {sure}: {peak.source})"
    if chip:
        rate = chip.bandwidth_bytes_per_s
        rows["bandwidth"] = rate and f"{rate / 1e9:.0f} GB/s ({chip.bandwidth_source})"
    else:
        rows["peak"] = "none is claimed for CPUs" if backend.endswith("-cpu") else "unknown chip"
    name, why = suggest_preset(machine, backend)
    rows["preset"] = f"{name}: {why}"
    for precision in ("float32", "bfloat16"):
        planned = memory.plan(preset(name), backend, precision, machine)
        plain = f"{preset(name).data.device_batch} rows, the preset's: the memory or what it takes was never measured"
        rows[f"batch {precision}"] = f"{planned}" if planned else plain
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.hardware", description="Describe this machine.")
    parser.add_argument("--backend", choices=BACKENDS, help="default: this machine's GPU, else its CPU")
    backend = parser.parse_args().backend or likely_backend()
    if not backend.endswith("-cpu"):
        with suppress(backends.BackendError):  # a framework at work tells what only it knows
            backends.load(backend)
    rows = {"backend": backend, **described(detect(backend), backend), **power_state()}
    rows |= {"operating system": " ".join(filter(None, operating_system())), "load average": load_average()}
    rows["environment"] = environment() or "nothing that changes numbers"
    table = Table.grid(padding=(0, 2))
    for name, value in rows.items():
        shown = f"{value / GIB:.1f} GiB" if name.endswith("memory_bytes") and value else str(value)
        table.add_row(Text(name.replace("_", " ")), Text("unknown" if value is None else shown))
    Console(highlight=False).print(table)


if __name__ == "__main__":
    main()
