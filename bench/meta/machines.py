"""What machines print, of every kind that the suite knows, for the tests of what reads it.

None of it is captured from the machine that it names: the formats follow the tools' documentation and public logs, the
values the makers' specifications. Where those leave a value open, it is made up, and the comment says so.
"""

import json

GIB = 2**30

# (model, chip, performance cores, other cores, GPU cores, memory in GiB, GPU architecture, preset)
# One of each chip and GPU core count. Models of M5 Pro and Max are made up, and so are architectures after g16.
APPLE = (
    ("MacBookAir10,1", "Apple M1", 4, 4, 7, 8, "applegpu_g13g", "base"),
    ("Macmini9,1", "Apple M1", 4, 4, 8, 16, "applegpu_g13g", "base"),
    ("MacBookPro18,3", "Apple M1 Pro", 6, 2, 14, 16, "applegpu_g13s", "pro"),
    ("MacBookPro18,1", "Apple M1 Pro", 8, 2, 16, 32, "applegpu_g13s", "pro"),
    ("Mac13,1", "Apple M1 Max", 8, 2, 24, 32, "applegpu_g13c", "max"),
    ("MacBookPro18,2", "Apple M1 Max", 8, 2, 32, 64, "applegpu_g13c", "max"),
    ("Mac13,2", "Apple M1 Ultra", 16, 4, 48, 64, "applegpu_g13d", "ultra"),
    ("Mac13,2", "Apple M1 Ultra", 16, 4, 64, 128, "applegpu_g13d", "ultra"),
    ("Mac14,2", "Apple M2", 4, 4, 8, 8, "applegpu_g14g", "base"),
    ("Mac14,15", "Apple M2", 4, 4, 10, 24, "applegpu_g14g", "pro"),
    ("Mac14,9", "Apple M2 Pro", 6, 4, 16, 16, "applegpu_g14s", "pro"),
    ("Mac14,12", "Apple M2 Pro", 8, 4, 19, 32, "applegpu_g14s", "pro"),
    ("Mac14,13", "Apple M2 Max", 8, 4, 30, 32, "applegpu_g14c", "max"),
    ("Mac14,6", "Apple M2 Max", 8, 4, 38, 96, "applegpu_g14c", "max"),
    ("Mac14,14", "Apple M2 Ultra", 16, 8, 60, 64, "applegpu_g14d", "ultra"),
    ("Mac14,8", "Apple M2 Ultra", 16, 8, 76, 192, "applegpu_g14d", "ultra"),
    ("Mac15,12", "Apple M3", 4, 4, 8, 8, "applegpu_g15g", "base"),
    ("Mac15,3", "Apple M3", 4, 4, 10, 16, "applegpu_g15g", "base"),
    ("Mac15,6", "Apple M3 Pro", 5, 6, 14, 18, "applegpu_g15s", "pro"),
    ("Mac15,7", "Apple M3 Pro", 6, 6, 18, 36, "applegpu_g15s", "pro"),
    ("Mac15,8", "Apple M3 Max", 10, 4, 30, 36, "applegpu_g15c", "max"),
    ("Mac15,9", "Apple M3 Max", 12, 4, 40, 48, "applegpu_g15c", "max"),
    ("Mac15,14", "Apple M3 Ultra", 20, 8, 60, 96, "applegpu_g15d", "ultra"),
    ("Mac15,14", "Apple M3 Ultra", 24, 8, 80, 512, "applegpu_g15d", "ultra"),
    ("Mac16,12", "Apple M4", 4, 6, 8, 16, "applegpu_g16g", "base"),
    ("Mac16,10", "Apple M4", 4, 6, 10, 32, "applegpu_g16g", "pro"),
    ("Mac16,8", "Apple M4 Pro", 8, 4, 16, 24, "applegpu_g16s", "pro"),
    ("Mac16,11", "Apple M4 Pro", 10, 4, 20, 48, "applegpu_g16s", "max"),
    ("Mac16,6", "Apple M4 Max", 10, 4, 32, 36, "applegpu_g16s", "max"),
    ("Mac16,9", "Apple M4 Max", 12, 4, 40, 128, "applegpu_g16s", "ultra"),
    ("Mac17,2", "Apple M5", 4, 6, 8, 16, "applegpu_g17g", "base"),
    ("Mac17,2", "Apple M5", 4, 6, 10, 24, "applegpu_g17g", "pro"),
    ("Mac17,8", "Apple M5 Pro", 5, 10, 16, 24, "applegpu_g17s", "pro"),
    ("Mac17,8", "Apple M5 Pro", 6, 12, 20, 64, "applegpu_g17s", "max"),
    ("Mac17,6", "Apple M5 Max", 6, 12, 32, 36, "applegpu_g17s", "max"),
    ("Mac17,6", "Apple M5 Max", 6, 12, 40, 128, "applegpu_g17s", "ultra"),
)


def sysctl(model: str, chip: str, performance: int, other: int, gib: int) -> str:
    """As `sysctl NAME...` answers; only chips from M2 on have bf16, from M4 on SME, and only their macOS knows it."""
    generation = int(chip.split()[1][1:])
    lines = [
        f"hw.model: {model}",
        f"hw.memsize: {gib * GIB}",
        f"hw.physicalcpu: {performance + other}",
        f"hw.perflevel0.physicalcpu: {performance}",
        f"machdep.cpu.brand_string: {chip}",
        "kern.hv_vmm_present: 0",
        "hw.optional.AdvSIMD: 1",
        "hw.optional.arm.FEAT_FP16: 1",
        f"hw.optional.arm.FEAT_BF16: {int(generation >= 2)}",
        f"hw.optional.arm.FEAT_I8MM: {int(generation >= 2)}",
    ]
    if generation >= 4:
        lines += ["hw.optional.arm.FEAT_SME: 1", "hw.optional.arm.FEAT_SME2: 1"]
    return "\n".join(lines) + "\n"


def displays(chip: str, cores: int) -> str:
    """As `system_profiler -json SPDisplaysDataType` prints it, with a serial number that must not be read."""
    external = {
        "_name": "LG HDR 4K",
        "_spdisplays_display-product-id": "7750",
        "_spdisplays_display-serial-number": "SECRET-SERIAL",
        "_spdisplays_pixels": "3840 x 2160",
        "spdisplays_main": "spdisplays_yes",
    }
    card = {
        "_name": chip if "M1" not in chip else f"kHW_{chip.replace(' ', '')}Item",
        "spdisplays_mtlgpufamilysupport": "spdisplays_metal4" if chip[7] in "345" else "spdisplays_metal3",
        "spdisplays_ndrvs": [external],
        "spdisplays_vendor": "sppci_vendor_Apple",
        "sppci_bus": "spdisplays_builtin",
        "sppci_cores": str(cores),
        "sppci_device_type": "spdisplays_gpu",
        "sppci_model": chip,
    }
    return json.dumps({"SPDisplaysDataType": [card]}, indent=2)


def device_info(chip: str, architecture: str, gib: int) -> dict[str, int | str]:
    """As `mx.device_info()` answers; the system advises two thirds of a small memory, three quarters of a large one."""
    return {
        "device_name": chip,
        "architecture": architecture,
        "memory_size": gib * GIB,
        "max_buffer_length": gib * GIB * 9 // 16,
        "max_recommended_working_set_size": gib * GIB * 3 // 4 if gib > 36 else gib * GIB * 2 // 3,
        "resource_limit": 499000,
    }


# (name, memory in MiB, compute capability, power limit in mW, clock in MHz, preset); None: the card does not answer.
NVIDIA = (
    ("NVIDIA GB200", 189471, (10, 0), 1_200_000, 2062, "h100"),
    ("NVIDIA B200", 183359, (10, 0), 1_000_000, 1965, "h100"),
    ("NVIDIA H200", 143771, (9, 0), 700_000, 1980, "h100"),
    ("NVIDIA H100 80GB HBM3", 81559, (9, 0), 700_000, 1980, "h100"),
    ("NVIDIA H100 NVL", 95830, (9, 0), 400_000, 1785, "h100"),
    ("NVIDIA H100 PCIe", 81559, (9, 0), 350_000, 1755, "h100"),
    ("NVIDIA A100-SXM4-40GB", 40960, (8, 0), 400_000, 1410, "pro"),
    ("NVIDIA A100-SXM4-80GB", 81920, (8, 0), 400_000, 1410, "h100"),
    ("NVIDIA A100-PCIE-40GB", 40960, (8, 0), 250_000, 1410, "pro"),
    ("NVIDIA A100 80GB PCIe", 81920, (8, 0), 300_000, 1410, "h100"),
    ("NVIDIA L40S", 46068, (8, 9), 350_000, 2520, "pro"),
    ("NVIDIA RTX A6000", 49140, (8, 6), 300_000, 2100, "max"),
    ("NVIDIA GeForce RTX 4090", 24564, (8, 9), 450_000, 3105, "pro"),
    ("NVIDIA GeForce RTX 5090", 32607, (12, 0), 575_000, 3105, "pro"),
    ("NVIDIA GeForce RTX 3060 Ti", 8192, (8, 6), 200_000, 2100, "base"),
    ("NVIDIA GeForce GTX Max Pro", 4096, None, None, None, "base"),  # made up: the tiers are Apple's words
)


def nvml(name: str, mebibytes: int, capability, power_limit_mw, max_clock_mhz) -> dict:
    """As `bench.nvidia.facts` gathers them."""
    facts = {"name": name, "memory_bytes": mebibytes * 2**20, "driver": "570.86.15", "capability": capability}
    facts |= {"power_limit_mw": power_limit_mw, "max_clock_mhz": max_clock_mhz}
    return {key: value for key, value in facts.items() if value is not None}


def x86(brand: str, vendor: str, flags: str) -> str:
    """The start of /proc/cpuinfo, and a second processor that must not be mixed in."""
    return (
        f"processor\t: 0\nvendor_id\t: {vendor}\ncpu family\t: 6\nmodel name\t: {brand}\nmicrocode\t: 0x1\n"
        f"cpu MHz\t\t: 2700.000\nsiblings\t: 2\ncpu cores\t: 2\nfpu\t\t: yes\nflags\t\t: {flags}\n\n"
        f"processor\t: 1\nvendor_id\t: {vendor}\nmodel name\t: another\nflags\t\t: fpu amx_fp16\n"
    )


def arm(implementer: str, part: str, features: str) -> str:
    """The same of an arm kernel, which gives numbers for names."""
    return (
        f"processor\t: 0\nBogoMIPS\t: 2100.00\nFeatures\t: {features}\nCPU implementer\t: {implementer}\n"
        f"CPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: {part}\nCPU revision\t: 1\n"
    )


_AVX512 = "avx512f avx512dq avx512cd avx512bw avx512vl"
_X86 = "fpu vme sse sse2 ht syscall nx lm constant_tsc ssse3 fma cx16 sse4_1 sse4_2 aes xsave avx f16c rdrand"
_ARM = "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"

# (/proc/cpuinfo, brand, flags that decide kernels, virtualised)
CPUS = (
    (
        x86("Intel(R) Xeon(R) Platinum 8480+", "GenuineIntel",
            f"{_X86} avx2 {_AVX512} avx_vnni avx512_bf16 avx512_vnni amx_bf16 avx512_fp16 amx_tile amx_int8"),
        "Intel(R) Xeon(R) Platinum 8480+",
        ("avx2", "fma", "f16c", "avx512f", "avx512_bf16", "avx512_fp16", "avx512_vnni", "avx_vnni", "amx_tile",
         "amx_bf16", "amx_int8"),
        False,
    ),
    (
        x86("Intel(R) Xeon(R) Processor", "GenuineIntel", f"{_X86} avx2 hypervisor {_AVX512} avx512_vnni"),
        "Intel(R) Xeon(R) Processor",
        ("avx2", "fma", "f16c", "avx512f", "avx512_vnni"),
        True,
    ),
    (
        x86("12th Gen Intel(R) Core(TM) i7-12700K", "GenuineIntel", f"{_X86} avx2 avx_vnni"),
        "12th Gen Intel(R) Core(TM) i7-12700K",
        ("avx2", "fma", "f16c", "avx_vnni"),
        False,
    ),
    (
        x86("AMD EPYC 9554 64-Core Processor", "AuthenticAMD",
            f"{_X86} avx2 {_AVX512} avx512_bf16 avx512_vnni hypervisor"),
        "AMD EPYC 9554 64-Core Processor",
        ("avx2", "fma", "f16c", "avx512f", "avx512_bf16", "avx512_vnni"),
        True,
    ),
    (
        x86("AMD Ryzen 9 5950X 16-Core Processor", "AuthenticAMD", f"{_X86} avx2"),
        "AMD Ryzen 9 5950X 16-Core Processor",
        ("avx2", "fma", "f16c"),
        False,
    ),
    (
        arm("0x41", "0xd0c", f"{_ARM} ssbs"),
        "Arm Neoverse-N1",
        ("asimd", "asimdhp"),
        None,
    ),
    (
        arm("0x41", "0xd4f", f"{_ARM} sve sve2 svebf16 i8mm bf16"),
        "Arm Neoverse-V2",
        ("asimd", "asimdhp", "bf16", "i8mm", "sve", "sve2", "svebf16"),
        None,
    ),
    (arm("0x41", "0xd08", "fp asimd evtstrm crc32 cpuid"), "Arm Cortex-A72", ("asimd",), None),
    (arm("0x41", "0xfff", _ARM), "Arm implementer 0x41 part 0xfff", ("asimd", "asimdhp"), None),
    ("", None, (), None),
)  # fmt: skip

LSCPU_ARM = """Architecture:             aarch64
  CPU op-mode(s):         64-bit
  Byte Order:             Little Endian
CPU(s):                   96
  On-line CPU(s) list:    0-95
Vendor ID:                ARM
  Model name:             Neoverse-V3
    Model:                1
    Thread(s) per core:   1
    Core(s) per socket:   96
    Flags:                fp asimd sve sve2
Virtualization features:
  Hypervisor vendor:      KVM
  Virtualization type:    full
"""
LSCPU_X86 = """Architecture:             x86_64
Vendor ID:                GenuineIntel
  Model name:             Intel(R) Xeon(R) Platinum 8480+
    CPU family:           6
Virtualization features:
  Virtualization:         VT-x
"""
