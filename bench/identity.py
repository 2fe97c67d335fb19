"""Which suite, software and machine state a record speaks of; nothing that names a person or a machine."""

import platform
import subprocess
from contextlib import suppress
from datetime import datetime, timezone
from importlib.metadata import distributions, version
from pathlib import Path

import psutil

from bench import hardware
from reports import schema

ROOT = Path(__file__).parent.parent
OTHERS = {"torch": ("MLX_",), "mlx": ("TORCH_", "PYTORCH_")}  # settings that a framework does not read


def of_run(order, job, prepared) -> schema.Identity:
    """The identity of one job (see bench.training.score) on prepared data."""
    sha, dirty = commit()
    hashes = schema.Hashes(
        recipe=job.recipe.hash("recipe"),
        config=job.recipe.hash("config"),
        data=prepared.data_hash,
        eval=prepared.eval_hash,
    )
    return schema.Identity(
        suite_version=suite_version(),
        commit=sha,
        dirty=dirty,
        created_utc=datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        recipe=job.recipe.name,
        preset=job.preset,
        settings=order.settings,
        division=job.division,
        text=prepared.source,
        hashes=hashes,
    )


def suite_version() -> str:
    """The version in pyproject.toml: the suite runs from a checkout, installed or not."""
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    return next(line.split('"')[1] for line in lines if line.startswith("version = "))


def software(backend, compiled: bool) -> schema.Software:
    """Versions and environment of this process, without the other framework's: MLX's is set by looking for MLX."""
    others = OTHERS.get(backend.name.split("-")[0], ())
    os_name, os_build = hardware.operating_system()
    return schema.Software(
        os=os_name,
        os_build=os_build,
        python=platform.python_version(),
        numpy=version("numpy"),
        backend=backend.name,
        frameworks=backend.versions(),
        blas=backend.blas(),
        compiled=compiled,
        environment={k: v for k, v in hardware.environment().items() if not k.startswith(others)},
    )


def packages() -> list[str]:
    """Every installed distribution with its version: a framework's libraries come as some of them."""
    return sorted({f"{found.metadata['Name']}=={found.version}" for found in distributions()})


def state(probes, **measured) -> schema.State:
    """Power, load and the probes' trace, beside what was `measured` of the state's other fields."""
    known = {**hardware.power_state(), "load_average": hardware.load_average(), "swap_bytes": _swap_bytes()}
    return schema.State(**{**known, **measured}, probes=tuple(probes))


def _swap_bytes() -> int | None:
    """In use, by anyone on this machine."""
    with suppress(OSError, RuntimeError, ValueError):  # a container without /proc/vmstat, a system without swap
        return psutil.swap_memory().used
    return None


def commit() -> tuple[str | None, bool | None]:
    """The checkout's commit and whether tracked files differ from it; None without git."""
    try:
        sha = _git("rev-parse", "HEAD")
        return sha, bool(_git("status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.CalledProcessError):
        return None, None


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
