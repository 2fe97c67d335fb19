"""What NVML says of the GPU that this process would use: facts that stay, and a state that changes; unknown is absent.

Test with `pytest -m fast -k hardware` and `-k sensors`. Nothing here asks for a serial number or changes a setting.
"""

import os
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from bench import sysinfo

# NVML's bits. The power limit (0x4) and clocks set by the owner (0x2) are how a card is built and run, not a fault, and
# many report them at all times. The first is counted apart, the second shows in the clock.
THROTTLING = {
    0x8: "hardware slowdown",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "power brake",
}
UNCOUNTED = 2**63  # a card that does not count says all ones


def facts() -> dict[str, Any]:
    """name, memory_bytes, driver, power_limit_mw, capability, max_clock_mhz; empty without a GPU to ask."""
    nvml, gpu = _opened()
    if nvml is None:
        return {}
    questions = {
        "name": lambda: _text(nvml.nvmlDeviceGetName(gpu)),
        "memory_bytes": lambda: int(nvml.nvmlDeviceGetMemoryInfo(gpu).total),
        "driver": lambda: _text(nvml.nvmlSystemGetDriverVersion()),
        "power_limit_mw": lambda: int(nvml.nvmlDeviceGetPowerManagementLimit(gpu)),
        "capability": lambda: tuple(nvml.nvmlDeviceGetCudaComputeCapability(gpu)),
        "max_clock_mhz": lambda: int(nvml.nvmlDeviceGetMaxClockInfo(gpu, nvml.NVML_CLOCK_SM)),
    }
    return _answers(questions, nvml)


def state() -> dict[str, Any]:
    """power_mw, energy_mj since the driver was loaded, temperature_c, clock_mhz, reasons (NVML's bits), and the
    nanoseconds spent since then under the two limits, power_capped_ns and thermal_ns."""
    nvml, gpu = _opened()
    if nvml is None:
        return {}
    questions = {
        "power_mw": lambda: int(nvml.nvmlDeviceGetPowerUsage(gpu)),
        "energy_mj": lambda: int(nvml.nvmlDeviceGetTotalEnergyConsumption(gpu)),
        "temperature_c": lambda: int(nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU)),
        "clock_mhz": lambda: int(nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_SM)),
        "reasons": lambda: int(nvml.nvmlDeviceGetCurrentClocksThrottleReasons(gpu)),
        "power_capped_ns": lambda: _counted(nvml.nvmlDeviceGetViolationStatus(gpu, nvml.NVML_PERF_POLICY_POWER)),
        "thermal_ns": lambda: _counted(nvml.nvmlDeviceGetViolationStatus(gpu, nvml.NVML_PERF_POLICY_THERMAL)),
    }
    return _answers(questions, nvml)


def throttling(reasons: int) -> tuple[str, ...]:
    """The names of the bits that mean a GPU is held below what it could do; idling and the power limit are not."""
    return tuple(name for bit, name in THROTTLING.items() if reasons & bit)


@lru_cache
def _opened() -> tuple[Any, Any]:
    """(the bindings, the first visible GPU), kept open; (None, None) without the `nvidia` extra, a driver or a GPU."""
    device = sysinfo.visible_gpu(os.environ.get("CUDA_VISIBLE_DEVICES"))
    if device is None:
        return None, None
    try:
        import pynvml

        pynvml.nvmlInit()
        by_index = isinstance(device, int)
        return pynvml, (pynvml.nvmlDeviceGetHandleByIndex if by_index else pynvml.nvmlDeviceGetHandleByUUID)(device)
    except Exception:  # no package, or one of NVML's own errors: there is nothing to ask
        return None, None


def _answers(questions: dict[str, Callable[[], Any]], nvml: Any) -> dict[str, Any]:
    """Only what the card answers: many know but a part."""
    answers = {}
    for name, ask in questions.items():
        try:
            answers[name] = ask()
        except (nvml.NVMLError, AttributeError):  # the latter: bindings without the question
            continue
    return {name: answer for name, answer in answers.items() if answer is not None}


def _counted(violation: Any) -> int | None:
    return int(violation.violationTime) if violation.violationTime < UNCOUNTED else None


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value  # older bindings give bytes
