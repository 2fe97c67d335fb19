"""What machine this is: chip, cores, memory, power; `python -m bench.hardware` prints it, with its peaks and preset.

Test with `pytest -m fast -k hardware`. Nothing here reads a host name, a serial number or a user name.
"""

import argparse
import fnmatch
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench import sysinfo
from reports import chips
from reports.privacy import redact
from reports.schema import BACKENDS, Hardware

GIB = 2**30
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
SYSCTLS = ("hw.model", "hw.memsize", "hw.physicalcpu", "machdep.cpu.brand_string", "kern.hv_vmm_present")


def detect(backend_name: str) -> Hardware:
    """The hardware behind a backend. Raises ValueError for an unknown name; what cannot be read is None."""
    if backend_name not in BACKENDS:
        raise ValueError(f"backend={backend_name!r} is unknown; try one of {list(BACKENDS)}")
    if sys.platform == "darwin":
        machine = mac(sysinfo.sysctl(_output("sysctl", *SYSCTLS)))
    else:
        machine = linux(_read("/proc/cpuinfo"))
    if backend_name.endswith("-cpu"):
        return machine
    if backend_name.endswith("-cuda"):
        return with_nvidia(machine, _nvml() | _torch_gpu())
    return with_apple_gpu(machine, _output("system_profiler", "-json", "SPDisplaysDataType"))


def mac(values: dict[str, str]) -> Hardware:
    """From sysctl's values; the GPU not yet looked at."""
    brand = values.get("machdep.cpu.brand_string")
    return Hardware(
        chip=brand or "unknown",
        model_id=values.get("hw.model"),
        architecture=platform.machine() or None,
        cpu=brand,
        cpu_cores=_positive(values.get("hw.physicalcpu")),
        memory_bytes=_positive(values.get("hw.memsize")),
        virtualised={"0": False, "1": True}.get(values.get("kern.hv_vmm_present", "")),
    )


def linux(cpuinfo: str) -> Hardware:
    """From /proc/cpuinfo, beside what the kernel tells about memory and the CPUs that this process may use."""
    brand, flags, virtualised = sysinfo.cpuinfo(cpuinfo)
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return Hardware(
        chip=brand or "unknown",
        architecture=platform.machine() or None,
        cpu=brand,
        cpu_cores=usable,
        cpu_flags=flags,
        memory_bytes=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        virtualised=virtualised,
    )


def with_apple_gpu(machine: Hardware, profile: str) -> Hardware:
    """`machine` with what system_profiler says of its GPU, whose memory is the machine's."""
    chip, cores = sysinfo.displays(profile)
    found = {"chip": chip or machine.chip, "gpu_cores": cores, "architecture": _metal_architecture()}
    return Hardware(**{**machine.model_dump(), **found})


def with_nvidia(machine: Hardware, values: dict[str, Any]) -> Hardware:
    """`machine` with NVML's values of its GPU: name, memory_bytes, driver, power_limit_mw, capability; all optional."""
    limit_mw, capability = values.get("power_limit_mw"), values.get("capability")
    found = {
        "chip": values.get("name") or "unknown",
        "gpu_memory_bytes": values.get("memory_bytes"),
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
    words = hardware.chip.lower().split() if hardware.chip.startswith("Apple ") else []
    if backend_name.endswith("-cuda") and memory_gib >= 70:
        return "h100", f"{hardware.chip} with {size}, at least 70"
    for tier, least_gib in (("ultra", 128), ("max", 48), ("pro", 18)):
        if tier in words:
            return tier, f"{hardware.chip} is of tier {tier}"
        if memory_gib >= least_gib:
            return tier, f"{hardware.chip} with {size}, at least {least_gib}"
    return "base", f"{hardware.chip} with {size}"


def environment() -> dict[str, str]:
    """The set environment variables that can change a number or a speed, without this machine's private strings."""
    chosen = (name for name in sorted(os.environ) if any(fnmatch.fnmatchcase(name, p) for p in ENVIRONMENT))
    return {name: redact(os.environ[name]) for name in chosen}


def power_state() -> dict[str, Any]:
    """`power_source` ("ac" or "battery") and `low_power_mode` as a report's state has them; None where unreadable."""
    if sys.platform == "darwin":
        source = sysinfo.battery(_output("pmset", "-g", "batt"))
        return {"power_source": source, "low_power_mode": sysinfo.low_power(_output("pmset", "-g"))}
    folders = Path("/sys/class/power_supply").glob("*")
    states = [(_read(f / "type"), _read(f / "online") or _read(f / "status")) for f in folders]
    profile = _read("/sys/firmware/acpi/platform_profile").strip()
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
        return f"macOS {platform.mac_ver()[0]}", _output("sw_vers", "-buildVersion").strip() or None
    version = re.match(r"[\d.]+\d", platform.release())
    return f"{platform.system()} {version.group() if version else 'unknown'}", None


def _nvml() -> dict[str, Any]:
    """NVML's values of the first visible GPU; empty without the `nvidia` extra, a driver or a visible GPU."""
    device = sysinfo.visible_gpu(os.environ.get("CUDA_VISIBLE_DEVICES"))
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # no package, or one of NVML's own errors: there is nothing to ask
        return {}
    try:
        if device is None:
            return {}
        by_index = isinstance(device, int)
        gpu = pynvml.nvmlDeviceGetHandleByIndex(device) if by_index else pynvml.nvmlDeviceGetHandleByUUID(device)
        questions = {
            "name": lambda: _text(pynvml.nvmlDeviceGetName(gpu)),
            "memory_bytes": lambda: int(pynvml.nvmlDeviceGetMemoryInfo(gpu).total),
            "driver": lambda: _text(pynvml.nvmlSystemGetDriverVersion()),
            "power_limit_mw": lambda: int(pynvml.nvmlDeviceGetPowerManagementLimit(gpu)),
            "capability": lambda: tuple(pynvml.nvmlDeviceGetCudaComputeCapability(gpu)),
        }
        return {name: answer for name, ask in questions.items() if (answer := _asked(ask, pynvml.NVMLError))}
    except pynvml.NVMLError:
        return {}
    finally:
        pynvml.nvmlShutdown()


def _torch_gpu() -> dict[str, Any]:
    """The same of the GPU that torch computes on, if it is at work here: CUDA's order of GPUs need not be NVML's."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return {}
    gpu = torch.cuda.get_device_properties(torch.cuda.current_device())
    return {"name": gpu.name, "memory_bytes": gpu.total_memory, "capability": (gpu.major, gpu.minor)}


def _asked(ask, refusal: type[Exception]) -> Any:
    try:
        return ask()
    except refusal:  # many cards do not answer every question
        return None


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value  # older bindings give bytes


def _metal_architecture() -> str | None:
    """applegpu_g17s and the like, if MLX is already at work here; it is never imported only to ask."""
    mx = sys.modules.get("mlx.core")
    if mx is None:
        return None
    info = mx.device_info() if hasattr(mx, "device_info") else mx.metal.device_info()
    return info.get("architecture")


def _positive(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() and int(text) else None


def _output(*command: str) -> str:
    """Standard output, or "" where the command is absent, fails or hangs."""
    if shutil.which(command[0]) is None:
        return ""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


def likely_backend() -> str:
    """The backend to describe when none is named: this machine's GPU, else its CPU."""
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return "mlx-metal"
    return "torch-cuda" if _nvml() else "torch-cpu"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.hardware", description="Describe this machine.")
    parser.add_argument("--backend", choices=BACKENDS, help="default: this machine's GPU, else its CPU")
    backend = parser.parse_args().backend or likely_backend()
    machine = detect(backend)
    preset, why = suggest_preset(machine, backend)
    rows: dict[str, Any] = {"backend": backend, **machine.model_dump(), **power_state()}
    rows |= {"operating system": " ".join(filter(None, operating_system())), "load average": load_average()}
    chip = None if backend.endswith("-cpu") else chips.find(machine.chip, machine.gpu_cores)
    for precision, peak in chip.peaks.items() if chip else ():
        rows[f"peak {precision}"] = f"{peak.flop_per_s / 1e12:.4g} TFLOP/s ({peak.name}; {peak.source})"
    if chip and chip.bandwidth_bytes_per_s:
        rows["bandwidth"] = f"{chip.bandwidth_bytes_per_s / 1e9:.0f} GB/s ({chip.bandwidth_source})"
    if chip is None:
        rows["peak"] = "none is claimed for CPUs" if backend.endswith("-cpu") else "unknown chip"
    rows |= {"preset": f"{preset}: {why}", "environment": environment() or "nothing that changes numbers"}
    table = Table.grid(padding=(0, 2))
    for name, value in rows.items():
        shown = f"{value / GIB:.1f} GiB" if name.endswith("memory_bytes") and value else str(value)
        table.add_row(Text(name.replace("_", " ")), Text("unknown" if value is None else shown))
    Console(highlight=False).print(table)


if __name__ == "__main__":
    main()
