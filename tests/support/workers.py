"""Executors for tests: workers in threads of this process, and workers in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from contextlib import suppress

from mdrbench.pipeline import coordinator
from mdrbench.pipeline.worker import EVERYTHING, Worker
from support.project import PROJECT


class Threads:
    """Two workers of this process; an executor."""

    elsewhere = False

    def __init__(self, queue):
        self.queue = queue
        self.over = threading.Event()

    def run(self, steps, root, listen):
        return coordinator.coordinate(steps, root, listen, self.queue, self)

    def start(self, queue, kinds):
        workers = [Worker(queue, EVERYTHING, 1, self.over.is_set) for _ in range(2)]
        self.threads = [threading.Thread(target=worker.run) for worker in workers]
        for thread in self.threads:
            thread.start()

    def tend(self):
        pass

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join()


class Processes:
    """Two workers as `mdrbench work` starts them; an executor. The first is killed when ``kill_when`` says so."""

    elsewhere = True

    def __init__(self, queue, kill_when, **variables):
        self.queue, self.kill_when, self.variables = queue, kill_when, variables

    def run(self, steps, root, listen):
        return coordinator.coordinate(steps, root, listen, self.queue, self)

    def start(self, queue, kinds):
        command = [sys.executable, "-m", "mdrbench.pipeline.worker", str(queue), ",".join(EVERYTHING), "1"]
        environment = {**os.environ, "PYTHONPATH": str(PROJECT), **self.variables}
        environment.pop("MDRBENCH_RUN", None)
        self.processes = [subprocess.Popen(command, stdin=subprocess.PIPE, env=environment) for _ in range(2)]

    def tend(self):
        if self.kill_when():
            self.processes[0].kill()

    def stop(self):
        for process in self.processes:
            with suppress(OSError):
                process.stdin.close()
            process.wait(20)
