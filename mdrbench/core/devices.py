"""Which device models run on, as torch tells it: CUDA, ROCm, MPS, XPU or the CPU."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple

PROBE_TIMEOUT = 120  # seconds

METAL, RENDERER = "Metal", "a renderer"
QUIET = (METAL, RENDERER)
"""Drivers that are also present on machines without a GPU for computing: nothing is said if torch finds none."""

_DEVICES = Path("/dev")
_DRIVERS = {
    "an NVIDIA driver": ("nvidiactl", "nvhost-ctrl*", "nvgpu*", "dxg"),
    "an AMD driver": ("kfd",),
    RENDERER: ("dri/renderD*",),
}
"""Device files of drivers on Linux; ``dxg`` is the GPU of Windows under WSL."""


class Device(NamedTuple):
    """The device of this machine that torch computes on.

    Attributes:
        name: torch's name: ``cuda`` (ROCm has this name too), ``mps``, ``xpu`` or ``cpu``.
        backend: what torch was built with, such as ``CUDA 13.0`` or ``ROCm 7.1``; ``CPU`` for the CPU.
        cards: name and memory of each GPU.
        bf16: whether the GPU computes in bfloat16 itself; False for the CPU, of which torch does not tell it.
        problem: why torch does not use a GPU whose driver is present; empty if nothing is wrong.
    """

    name: str = "cpu"
    backend: str = "CPU"
    cards: tuple[str, ...] = ()
    bf16: bool = False
    problem: str = ""

    @property
    def text(self) -> str:
        """The device in words: ``cuda (CUDA 13.0): 2 x NVIDIA H200, 140 GiB``, or ``cpu``."""
        counted = [f"{self.cards.count(card)} x {card}" for card in dict.fromkeys(self.cards)]
        where = f"{self.name} ({self.backend}): {'; '.join(counted)}" if self.cards else self.name
        return f"{where} ({self.problem})" if self.problem else where


@cache
def found() -> Device:
    """Return the device that models run on.

    torch is asked in a process of its own, unless this process has loaded it: the import takes seconds and memory, and
    a process that has initialised CUDA cannot be forked. Without a driver nothing is asked. A torch that fails, or that
    takes longer than :data:`PROBE_TIMEOUT`, is a ``problem`` of the CPU.
    """
    driver = _driver()
    if not driver or importlib.util.find_spec("torch") is None:
        return Device()
    device = ask_torch() if "torch" in sys.modules else _ask_apart()
    if not device.problem:
        return device
    return Device(problem="" if driver in QUIET else f"{driver} is present, but {device.problem}")


def _ask_apart() -> Device:
    """As :func:`ask_torch`, in a process of its own; any failure is a ``problem``."""
    command = [sys.executable, "-m", "mdrbench.core.devices"]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=PROBE_TIMEOUT)
        told = json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        return Device(problem=f"torch did not answer for {PROBE_TIMEOUT} s")
    except (ValueError, IndexError):
        last = (done.stderr.strip().splitlines() or ["it ended without a message"])[-1]
        return Device(problem=f"torch does not load: {last}")
    return Device(**{**told, "cards": tuple(told["cards"])})


def ask_torch() -> Device:
    """Ask torch for its device; loads torch and may initialise the GPU's driver."""
    import torch

    if torch.cuda.is_available():
        cards = tuple(map(_card, map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))))
        hip = getattr(torch.version, "hip", None)
        backend = f"ROCm {hip}" if hip else f"CUDA {torch.version.cuda}"
        return Device("cuda", backend, cards, torch.cuda.is_bf16_supported(including_emulation=False))
    if torch.xpu.is_available():
        cards = tuple(map(_card, map(torch.xpu.get_device_properties, range(torch.xpu.device_count()))))
        return Device("xpu", f"XPU {torch.version.xpu}", cards, torch.xpu.is_bf16_supported())
    if torch.backends.mps.is_available():
        return Device("mps", "Metal", ("Apple GPU",))
    built = any(getattr(torch.version, kind, None) for kind in ("cuda", "hip", "xpu"))
    return Device(problem=f"torch {torch.__version__} {'finds no GPU' if built else 'is a build for the CPU'}")


def _card(properties: object) -> str:
    return f"{getattr(properties, 'name', '')}, {getattr(properties, 'total_memory', 0) / 2**30:.0f} GiB"


def _driver() -> str:
    """Return the driver whose device file is present; empty if there is none."""
    if sys.platform == "darwin":
        return METAL
    present = (name for name, patterns in _DRIVERS.items() if any(any(_DEVICES.glob(p)) for p in patterns))
    return next(present, "")


if __name__ == "__main__":
    print(json.dumps(ask_torch()._asdict()))
