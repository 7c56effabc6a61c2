"""A Ray cluster (``pip install 'mdrbench[ray]'``): a worker for each GPU of its machines, or for each machine without.

``RAY_ADDRESS`` names the cluster. Without it a cluster is started on this machine, whatever else runs there. All
machines must see the data and the artifact store under the same paths. Workers that die with their machine are started
again where there is room, and machines that join get workers.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import Field

from mdrbench.core import extras
from mdrbench.core.console import say
from mdrbench.core.errors import SetupError
from mdrbench.core.members import Member, MemberConfig, Spec
from mdrbench.core.secrets import remember
from mdrbench.core.signal_actions import kept_signal_actions
from mdrbench.pipeline.coordinator import coordinate
from mdrbench.pipeline.plan.steps import Step
from mdrbench.pipeline.runner import Listener

PASSED = ("MDRBENCH_", "HF_", "HUGGINGFACE_", "TRANSFORMERS_", "OPENAI_", "JAVA_HOME", "SSL_CERT_")
PROXIES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy")
"""Beginnings of the names of variables that workers get, and names in both cases."""

ENDPOINT_CPUS = 0.01
"""The share of a core that is reserved for a worker that waits for endpoints."""


class Config(MemberConfig):
    """The number of workers on machines without a GPU."""

    workers: int | None = Field(
        default=None, ge=1, description="workers on each machine without a GPU, which share its cores; None: one"
    )


class RayCluster:
    """Runs parts of steps on the machines of a cluster."""

    spec = Spec(Config, version=1)

    def __init__(self, config: Config):
        self.config = config

    def run(self, steps: list[Step], root: Path, listen: Listener) -> Iterator[tuple[Step, Exception | None]]:
        """Yield each step with None when it is done, or with the error that stopped it or one of its inputs."""
        try:
            import ray
        except ImportError:
            raise SetupError("Ray is not installed.", mend=f"run `{extras.command('ray')}`") from None
        if not steps:
            return
        started = not ray.is_initialized()
        if started:
            with kept_signal_actions():  # Ray sets its own for SIGSEGV, SIGTERM and others
                _connect(ray)
        queue = root.absolute() / "queues" / secrets.token_hex(6)
        try:
            elsewhere = not started or bool(os.environ.get("RAY_ADDRESS"))
            actors = _Actors(ray, steps, self.config.workers or 1, elsewhere)
            yield from coordinate(steps, root, listen, queue, actors)
        finally:
            shutil.rmtree(queue, ignore_errors=True)
            if started:
                with kept_signal_actions():  # Ray sets the system's
                    ray.shutdown()


def _connect(ray: Any) -> None:
    address = os.environ.get("RAY_ADDRESS")
    ray.init(address=address or "local", log_to_driver=False, configure_logging=False, include_dashboard=False)
    alive = [node for node in ray.nodes() if node["Alive"]]
    amounts = ray.cluster_resources()
    where = f"the cluster at {address} (RAY_ADDRESS)" if address else "a cluster of its own on this machine"
    machines = f"{len(alive)} machine{'s' * (len(alive) != 1)}"
    say(f"ray: {where}: {machines}, {amounts.get('CPU', 0):g} CPUs, {amounts.get('GPU', 0):g} GPUs")


class _Actor:
    """A worker on a machine of the cluster."""

    def work(self, queue: str, kinds: tuple[str, ...], threads: int, variables: dict[str, str]) -> None:
        """Work until the actor is killed."""
        os.environ.update(variables)
        for name, value in variables.items():
            if name.endswith(("KEY", "TOKEN")):
                remember(value)
        from mdrbench.pipeline.worker import Worker

        Worker(Path(queue), kinds, threads).run()


class _Actors:
    """See :class:`mdrbench.pipeline.coordinator.Workers`."""

    def __init__(self, ray: Any, steps: list[Step], per_machine: int, elsewhere: bool):
        self.ray = ray
        self.elsewhere = elsewhere
        self.per_machine = per_machine
        # as an object, not as `runtime_env`, which Ray writes to its logs
        self.variables = ray.put(passed_variables(steps))
        self.running: dict[str, tuple[Any, Any]] = {}
        self.queue = Path()
        self.endpoint = False

    def start(self, queue: Path, kinds: set[str]) -> None:
        """Start the workers of all machines."""
        self.queue, self.endpoint = queue, "endpoint" in kinds
        self.tend()

    def tend(self) -> None:
        """Forget workers that died, and start those that are missing."""
        for name, (_, result) in list(self.running.items()):
            if self.ray.wait([result], timeout=0)[0]:
                with suppress(self.ray.exceptions.RayActorError):  # it died, and is started again
                    self.ray.get(result)
                del self.running[name]
        for node in self.ray.nodes():
            if node["Alive"]:
                self._fill(node["NodeID"], node["Resources"])

    def _fill(self, node: str, amounts: dict[str, float]) -> None:
        gpus, cpus = int(amounts.get("GPU", 0)), amounts.get("CPU", 0)
        number = gpus or (self.per_machine if cpus else 0)
        for index in range(number):
            share = cpus / number
            self._start(f"{node} {index}", node, share * 0.99, 1 if gpus else 0, ("gpu", "cpu"), max(1, int(share)))
        if self.endpoint and cpus and not any(name.startswith("endpoint ") for name in self.running):
            self._start(f"endpoint {node}", node, ENDPOINT_CPUS, 0, ("endpoint",), 1)

    def _start(self, name: str, node: str, cpus: float, gpus: int, kinds: tuple[str, ...], threads: int) -> None:
        if name in self.running:
            return
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        place = NodeAffinitySchedulingStrategy(node, soft=False)
        needs = {"num_cpus": round(cpus, 4), "num_gpus": gpus, "scheduling_strategy": place}
        actor = self.ray.remote(_Actor).options(**needs).remote()
        self.running[name] = actor, actor.work.remote(str(self.queue), kinds, threads, self.variables)

    def stop(self) -> None:
        """End the workers."""
        for actor, _ in self.running.values():
            self.ray.kill(actor)


def passed_variables(steps: list[Step]) -> dict[str, str]:
    """Return the environment variables that workers need: those of models, caches, proxies, and keys of endpoints."""
    names = {name for step in steps for member in step.members.values() for name in _key_names(member)}
    return {
        name: value
        for name, value in os.environ.items()
        if name.startswith(PASSED) or name.lower() in PROXIES or name in names
    }


def _key_names(member: Member) -> Iterator[str]:
    """Yield the variables that hold the keys of a member's endpoints."""
    if name := getattr(member.config, "api_key_env", None):
        yield name
    for part in member.parts.values():
        yield from _key_names(part)
