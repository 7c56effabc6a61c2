"""The device that models run on: with and without a driver, and with a torch that does not fit it."""

import re
import subprocess
import sys
from importlib.metadata import version

import pytest

from mdrbench.core import devices


@pytest.fixture
def drivers(tmp_path, monkeypatch):
    """A folder in the place of /dev; a file in it is the driver of a GPU."""
    monkeypatch.setattr(devices, "_DEVICES", tmp_path)
    monkeypatch.setattr(devices.sys, "platform", "linux")
    devices.found.cache_clear()
    yield tmp_path
    devices.found.cache_clear()


def test_without_a_driver_models_run_on_the_cpu_and_torch_is_not_loaded(tmp_path):
    script = f"""
import pathlib, sys
from mdrbench.core import devices, environment
devices._DEVICES, devices.sys.platform = pathlib.Path({str(tmp_path)!r}), "linux"
print(devices.found().text, environment.device(), environment.describe()["device"], "torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout == "cpu cpu cpu False\n"


@pytest.mark.medium
@pytest.mark.skipif(bool(devices.found().cards), reason="this machine has a GPU")
def test_a_driver_beside_a_torch_that_finds_no_gpu_is_said(drivers, monkeypatch):
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    (drivers / "nvidiactl").touch()
    found = devices.found()
    assert (found.name, found.cards) == ("cpu", ())
    why = "an NVIDIA driver is present, but torch "
    assert re.fullmatch(
        rf"{why}{re.escape(version('torch'))}(\+\w+)? (is a build for the CPU|finds no GPU)", found.problem
    )
    assert found.text == f"cpu ({found.problem})"


def test_a_torch_that_does_not_load_is_said_and_the_cpu_is_used(drivers, monkeypatch):
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    (drivers / "torch.py").write_text("raise ImportError('libamdhip64.so is missing')")
    monkeypatch.setenv("PYTHONPATH", str(drivers), prepend=":")
    (drivers / "dri").mkdir()
    (drivers / "dri" / "renderD128").touch()  # a card that may only draw the console
    assert devices.found() == devices.Device()

    devices.found.cache_clear()
    (drivers / "kfd").touch()
    found = devices.found()
    assert (found.name, found.cards) == ("cpu", ())
    assert found.problem == "an AMD driver is present, but torch does not load: ImportError: libamdhip64.so is missing"


def test_cards_of_one_kind_are_counted():
    cards = ("NVIDIA H200, 140 GiB",) * 2
    assert devices.Device("cuda", "CUDA 13.0", cards).text == "cuda (CUDA 13.0): 2 x NVIDIA H200, 140 GiB"
