"""What operating systems and drivers say about a machine, as strings in and facts out; what is not said is None.

Test with `pytest -m fast -k hardware`.
"""

import json
import re

from reports.schema import FormFactor

# ARM kernels print numbers for names: (implementer, part) as assigned by Arm.
ARM_PARTS = {
    ("0x41", "0xd08"): "Arm Cortex-A72",
    ("0x41", "0xd0b"): "Arm Cortex-A76",
    ("0x41", "0xd0c"): "Arm Neoverse-N1",
    ("0x41", "0xd40"): "Arm Neoverse-V1",
    ("0x41", "0xd49"): "Arm Neoverse-N2",
    ("0x41", "0xd4f"): "Arm Neoverse-V2",
}
# Instruction sets that decide which matrix kernels run.
FLAGS = (
    "avx2",
    "fma",
    "f16c",
    "avx512f",
    "avx512_bf16",
    "avx512_fp16",
    "avx512_vnni",
    "avx_vnni",
    "amx_tile",
    "amx_bf16",
    "amx_fp16",
    "amx_int8",
    "asimd",
    "asimdhp",
    "bf16",
    "i8mm",
    "sve",
    "sve2",
    "svebf16",
    "sme",
    "sme2",
)
# What macOS calls those of FLAGS that an Apple chip may have.
APPLE_FLAGS = {
    "hw.optional.AdvSIMD": "asimd",
    "hw.optional.arm.FEAT_FP16": "asimdhp",
    "hw.optional.arm.FEAT_BF16": "bf16",
    "hw.optional.arm.FEAT_I8MM": "i8mm",
    "hw.optional.arm.FEAT_SME": "sme",
    "hw.optional.arm.FEAT_SME2": "sme2",
}
# Chassis types as the System Management BIOS specification numbers them.
CHASSIS_TYPES: dict[FormFactor, tuple[str, ...]] = {
    "portable": ("8", "9", "10", "11", "14", "30", "31", "32"),
    "desktop": ("3", "4", "5", "6", "7", "13", "15", "16", "24", "35"),
    "server": ("17", "23", "25", "28", "29"),
}


def sysctl(text: str) -> dict[str, str]:
    """`sysctl NAME...`: one `name: value` a line."""
    lines = (line.partition(": ") for line in text.splitlines())
    return {name.strip(): value.strip() for name, colon, value in lines if colon}


def apple_flags(values: dict[str, str]) -> tuple[str, ...]:
    """Those of FLAGS that sysctl answers with 1; a question that an older macOS does not know is not answered."""
    return tuple(flag for name, flag in APPLE_FLAGS.items() if values.get(name) == "1")


def displays(text: str) -> tuple[str | None, int | None]:
    """(chip, GPU cores) of `system_profiler -json SPDisplaysDataType`; its display serials are not looked at."""
    try:
        cards = json.loads(text)["SPDisplaysDataType"]
        apple = next(card for card in cards if str(card.get("sppci_model", "")).startswith("Apple "))
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration):
        return None, None
    cores = re.search(r"\d+", str(apple.get("sppci_cores", "")))
    return apple["sppci_model"], int(cores.group()) if cores else None


def cpuinfo(text: str) -> tuple[str | None, tuple[str, ...], bool | None]:
    """(brand, those of FLAGS that are there, virtualised) of /proc/cpuinfo, x86 or arm; arm does not tell the last."""
    first: dict[str, str] = {}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon:
            first.setdefault(name.strip(), value.strip())
    brand = first.get("model name")
    if "CPU part" in first:
        part = first.get("CPU implementer", ""), first["CPU part"]
        brand = ARM_PARTS.get(part, brand or f"Arm implementer {part[0]} part {part[1]}")
    flags = first.get("flags", first.get("Features", "")).split()
    virtual = "hypervisor" in flags if "flags" in first else None
    return brand, tuple(flag for flag in FLAGS if flag in flags), virtual


def lscpu(text: str) -> tuple[str | None, bool | None]:
    """(brand, virtualised) of `lscpu` in English: on arm it knows more parts than ARM_PARTS, and the hypervisor."""
    lines = [line.partition(":") for line in text.splitlines()]
    values = {name.strip(): value.strip() for name, colon, value in lines if colon}
    names = [value.strip() for name, _, value in lines if name.strip() == "Model name"]
    brand = next((name for name in names if name not in ("", "-")), None)
    if brand and values.get("Vendor ID") == "ARM":
        brand = f"Arm {brand}"
    return brand, True if "Hypervisor vendor" in values else None


def memory_bytes(whole_bytes: int, limits: list[str]) -> int:
    """The memory that this process may use: the machine's, or less where its container is given less."""
    known = [int(text) for text in limits if text.strip().isdigit()]  # no limit reads "max", or is absurdly large
    return min([whole_bytes, *(limit for limit in known if limit > 0)])


def governor(texts: list[str]) -> str | None:
    """The frequency governor of scaling_governor's files; those of all CPUs where they differ."""
    return " and ".join(sorted({text.strip() for text in texts if text.strip()})) or None


def battery(text: str) -> str | None:
    """ "ac" or "battery" of `pmset -g batt`."""
    source = re.search(r"drawing from '(AC|Battery|UPS) Power'", text)
    return {"AC": "ac", "Battery": "battery", "UPS": "battery"}[source.group(1)] if source else None


def mac_form(text: str) -> FormFactor | None:
    """What `pmset -g batt` tells of a Mac's form: one with a battery inside is carried about."""
    return "portable" if "InternalBattery" in text else "desktop" if "Power'" in text else None


def chassis(text: str) -> FormFactor | None:
    """The form that the firmware's chassis type stands for; None for types that say nothing of it."""
    return next((form for form, types in CHASSIS_TYPES.items() if text.strip() in types), None)


def low_power(text: str) -> bool | None:
    """Whether `pmset -g` shows low-power mode: `lowpowermode 1`, on newer systems `powermode 1`."""
    mode = re.search(r"^\s*(?:lowpowermode|powermode)\s+(\d)", text, re.MULTILINE)
    return mode.group(1) == "1" if mode else None


def thermal_pressure(text: str) -> str | None:
    """The level of `notifyutil -g com.apple.system.thermalpressurelevel`, in the words of powermetrics."""
    level = re.search(r"thermalpressurelevel\s+(\d+)\s*$", text, re.MULTILINE)
    words = ("nominal", "moderate", "heavy", "trapping", "sleeping")
    return (dict(enumerate(words)).get(int(level.group(1))) or f"level {level.group(1)}") if level else None


def speed_limit_percent(text: str) -> int | None:
    """The CPU's speed limit of `pmset -g therm`; 100 where it only says that nothing was recorded."""
    limit = re.search(r"CPU_Speed_Limit\s*=\s*(\d+)", text)
    if limit:
        return int(limit.group(1))
    return 100 if "No performance warning level has been recorded" in text else None


def supplies(types_and_states: list[tuple[str, str]]) -> str | None:
    """ "ac" or "battery" of Linux's power supplies: their (type, online or status) under /sys/class/power_supply."""
    found = {kind.strip(): state.strip() for kind, state in types_and_states}
    if "1" in (found.get("Mains"), found.get("USB")):
        return "ac"
    if found.get("Battery"):
        return "battery" if found["Battery"] == "Discharging" else "ac"
    return None


def visible_gpu(variable: str | None) -> int | str | None:
    """The first of CUDA_VISIBLE_DEVICES: an index or a UUID; index 0 where it is unset, None where it hides all."""
    if variable is None:
        return 0
    first = variable.split(",")[0].strip()
    if re.fullmatch(r"\d+", first):
        return int(first)
    return first if first.startswith(("GPU-", "MIG-")) else None
