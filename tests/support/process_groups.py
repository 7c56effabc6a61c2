"""Processes that train together."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

from support.project import PROJECT


def start(world: int, words: list[str], **options) -> list[subprocess.Popen]:
    """Start the processes of one group on this machine, as ``accelerate launch`` does."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    common = {**os.environ, "PYTHONPATH": str(PROJECT), "ACCELERATE_USE_CPU": "true", "MASTER_ADDR": "127.0.0.1"}
    common |= {"MASTER_PORT": str(port), "WORLD_SIZE": str(world), "OMP_NUM_THREADS": "1"}
    ranks = [{**common, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(world)]
    return [subprocess.Popen([sys.executable, *words], env=rank, **options) for rank in ranks]
