"""Processes that train together."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

from support.project import PROJECT


def run(world: int, words: list[str], timeout_s: float = 240) -> list[int]:
    """Run the processes of one group on this machine, as ``accelerate launch`` does, and return their exit codes."""
    with socket.socket() as port:
        port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        port.bind(("127.0.0.1", 0))  # bound and not listening: rank 0 may listen there, nobody else is given it
        common = {**os.environ, "PYTHONPATH": str(PROJECT), "ACCELERATE_USE_CPU": "true", "MASTER_ADDR": "127.0.0.1"}
        common |= {"MASTER_PORT": str(port.getsockname()[1]), "WORLD_SIZE": str(world), "OMP_NUM_THREADS": "1"}
        ranks = [{**common, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(world)]
        processes = [subprocess.Popen([sys.executable, *words], env=rank) for rank in ranks]
        try:
            return [process.wait(timeout_s) for process in processes]
        finally:
            for process in processes:
                process.kill()
                process.wait()
