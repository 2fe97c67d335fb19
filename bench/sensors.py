"""Power, heat, clocks and energy at one moment, where they can be read without root: NVML, IOReport, RAPL, the kernel.

    python -m bench.sensors --backend torch-cuda    what can be read here, over a second

`before = read(backend)`, work, `after = read(backend)`; then `energy_j`, `throttled`, `capped`. None means that it
cannot be known, never no. Test with `pytest -m fast -k sensors`.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import psutil

from bench import commands, nvidia, sysinfo
from reports.schema import BACKENDS

PRESSURE = "com.apple.system.thermalpressurelevel"
POWERCAP, CPUS = Path("/sys/class/powercap"), Path("/sys/devices/system/cpu")


@dataclass(frozen=True)
class Counter:
    """Energy since an origin of its own; None in `wraps_j` where it never starts again."""

    joules: float
    wraps_j: float | None = None


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One moment. `throttling`: reasons in force now; `counts`: what only grows, by its reason and unit."""

    at_s: float
    energy: dict[str, Counter] | None = None  # by part of the machine
    energy_method: str | None = None
    power_w: float | None = None
    temperature_c: float | None = None
    clock_mhz: float | None = None
    throttling: tuple[str, ...] | None = None
    counts: dict[str, float] | None = None
    power_capped_s: float | None = None
    thermal: str | None = None  # the system's own word for it


def read(backend: str) -> Reading:
    """What computes on this backend, now. Takes milliseconds, tens of them on a Mac: not inside what is timed."""
    if backend.endswith("-cuda"):
        return from_nvml(nvidia.state())
    if sys.platform == "darwin":
        pressure, limits = commands.output("notifyutil", "-g", PRESSURE), commands.output("pmset", "-g", "therm")
        return from_mac(pressure, limits, _ioreport(), gpu=not backend.endswith("-cpu"))
    return from_linux(POWERCAP, CPUS, _temperature_c())


def energy_j(before: Reading, after: Reading) -> float | None:
    """Joules between two readings of one backend; None where any part cannot be read or the parts differ."""
    if not before.energy or not after.energy or set(before.energy) != set(after.energy):
        return None
    grown = [_grown(before.energy[name], after.energy[name]) for name in after.energy]
    return None if any(part is None for part in grown) else sum(part for part in grown if part is not None)


def throttled(before: Reading, after: Reading) -> str | None:
    """Why this stretch ran below what the chip can do, in one line; None where nothing says so.

    That is no proof where nothing could: `can_tell` says whether it is one.
    """
    reasons = [name for reading in (before, after) for name in reading.throttling or ()]
    for name, count in (after.counts or {}).items():
        grown = count - (before.counts or {}).get(name, count)
        if grown > 0:
            reasons.append(f"{name} +{grown:.3g}")
    return "; ".join(dict.fromkeys(reasons)) or None


def can_tell(before: Reading, after: Reading) -> bool:
    """Whether throttling would have been seen: by counters over the whole stretch, else at least at both ends."""
    return all(reading.throttling is not None or reading.counts is not None for reading in (before, after))


def capped(before: Reading, after: Reading) -> float | None:
    """The share of the stretch that a GPU spent at its power limit, in [0, 1]; None where it is not counted."""
    if before.power_capped_s is None or after.power_capped_s is None or after.at_s <= before.at_s:
        return None
    return min(1.0, max(0.0, (after.power_capped_s - before.power_capped_s) / (after.at_s - before.at_s)))


def from_nvml(values: dict[str, Any]) -> Reading:
    """From `nvidia.state()`: the board's own energy and power, without the host's."""
    known: dict[str, Any] = {"temperature_c": values.get("temperature_c"), "clock_mhz": values.get("clock_mhz")}
    if "energy_mj" in values:
        known["energy"] = {"GPU board": Counter(values["energy_mj"] / 1e3)}
        known["energy_method"] = "NVML's energy counter of the GPU board"
    if "power_mw" in values:
        known["power_w"] = values["power_mw"] / 1e3
    if "reasons" in values:
        known["throttling"] = nvidia.throttling(values["reasons"])
    if "thermal_ns" in values:
        known["counts"] = {"seconds at the thermal limit": values["thermal_ns"] / 1e9}
    if "power_capped_ns" in values:
        known["power_capped_s"] = values["power_capped_ns"] / 1e9
    return Reading(at_s=time.perf_counter(), **known)


def from_mac(pressure: str, limits: str, metrics: Any, *, gpu: bool) -> Reading:
    """From `notifyutil -g`, `pmset -g therm` and the totals of zeus-apple-silicon, or None without that package."""
    level, speed_percent = sysinfo.thermal_pressure(pressure), sysinfo.speed_limit_percent(limits)
    known: dict[str, Any] = {"thermal": level}
    if level or speed_percent is not None:
        hot = [f"thermal pressure {level}"] if level not in (None, "nominal") else []
        slow = [f"CPU speed limit {speed_percent} %"] if speed_percent is not None and speed_percent < 100 else []
        known["throttling"] = (*hot, *slow)
    parts = {"cpu": "cpu_total_mj", "gpu": "gpu_mj", "gpu sram": "gpu_sram_mj", "dram": "dram_mj", "ane": "ane_mj"}
    totals = {name: getattr(metrics, field, None) for name, field in parts.items()}
    energy = {name: Counter(total / 1e3) for name, total in totals.items() if total is not None}
    if ("gpu" if gpu else "cpu") in energy:  # the part that computes is the least that must be there
        known |= {"energy": energy, "energy_method": f"IOReport by zeus-apple-silicon: {', '.join(energy)}"}
    return Reading(at_s=time.perf_counter(), **known)


def from_linux(powercap: Path, cpus: Path, temperature_c: float | None = None) -> Reading:
    """From the folders that the kernel shows. RAPL is the root's alone on most systems since 2020."""
    zones = {}
    for zone in sorted(powercap.glob("intel-rapl:*")):  # AMD's too; intel-rapl-mmio shows the same package again
        if (name := commands.read(zone / "name").strip()).startswith(("package", "dram")):
            zones[f"{name} of {zone.name}"] = (_number(zone / "energy_uj"), _number(zone / "max_energy_range_uj"))
    counters = {name: Counter(uj / 1e6, wrap and wrap / 1e6) for name, (uj, wrap) in zones.items() if uj is not None}
    whole = bool(zones) and len(counters) == len(zones)  # a sum that lacks a socket would be wrong
    counts = {}
    for name in ("core", "package"):
        events = [_number(path) for path in cpus.glob(f"cpu[0-9]*/thermal_throttle/{name}_throttle_count")]
        if known := [count for count in events if count is not None]:
            counts[f"thermal throttling of a {name}, events"] = sum(known)
    clocks = [_number(path) for path in cpus.glob("cpu[0-9]*/cpufreq/scaling_cur_freq")]
    known_khz = [khz for khz in clocks if khz]
    return Reading(
        at_s=time.perf_counter(),
        energy=counters if whole else None,
        energy_method="RAPL: CPU packages and their memory where it is counted" if whole else None,
        temperature_c=temperature_c,
        clock_mhz=sum(known_khz) / len(known_khz) / 1e3 if known_khz else None,
        counts=counts or None,
    )


def _grown(before: Counter, after: Counter) -> float | None:
    """A counter that is behind itself has wrapped once, or was reset."""
    grown = after.joules - before.joules
    if grown >= 0:
        return grown
    return grown + after.wraps_j if after.wraps_j and grown + after.wraps_j >= 0 else None


@lru_cache
def _monitor() -> Any:
    """The IOReport reader of the `energy` extra; None without it or where the chip is unknown to it."""
    try:
        from zeus_apple_silicon import AppleEnergyMonitor

        return AppleEnergyMonitor()
    except Exception:  # no package, or an error of its own type
        return None


def _ioreport() -> Any:
    monitor = _monitor()
    return _quietly(monitor.get_cumulative_energy) if monitor else None


def _quietly(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except Exception:  # a sensor that fails is one that cannot be read
        return None


def _temperature_c() -> float | None:
    """The hottest of the CPU's sensors that the kernel shows."""
    sensors = _quietly(psutil.sensors_temperatures) if hasattr(psutil, "sensors_temperatures") else None
    found = [entry.current for name in ("coretemp", "k10temp", "zenpower") for entry in (sensors or {}).get(name, ())]
    return max(found, default=None)


def _number(path: Path) -> int | None:
    text = commands.read(path).strip()
    return int(text) if text.isdigit() else None


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.sensors", description="What can be read here.")
    parser.add_argument("--backend", choices=BACKENDS, required=True, help="whose sensors")
    backend = parser.parse_args().backend
    before = read(backend)
    time.sleep(1.0)
    after = read(backend)
    rows: dict[str, Any] = {**vars(after), "energy_j": energy_j(before, after)}
    rows["share at the power limit"] = capped(before, after)
    rows["throttled"] = throttled(before, after) or ("no" if can_tell(before, after) else None)
    del rows["at_s"], rows["energy"]
    for name, value in rows.items():
        print(f"{name.replace('_', ' '):<26}{'unknown' if value is None else value}")


if __name__ == "__main__":
    main()
