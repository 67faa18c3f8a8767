"""What befalls a cluster while a sweep runs on it."""

import random
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil

from tests.cluster.hosts import Host

_CUT_S = (2.0, 15.0)
_SLOW_S = 5.0


@dataclass(frozen=True)
class Disturbed:
    """A cluster, and the driver of the sweep on its head.

    Attributes:
        hosts: the first is the head.
        kill_driver: ends the driver by SIGKILL; False where it had ended.
    """

    hosts: list[Host]
    kill_driver: Callable[[], bool]


ClusterFault = Callable[[Disturbed, random.Random], bool]
"""Does it, and says whether something was there to befall."""


def kill_worker(cluster: Disturbed, generator: random.Random) -> bool:
    """SIGKILL of a worker."""
    workers = [worker for host in cluster.hosts for worker in host.workers()]
    return bool(workers) and _kill(generator.choice(workers))


def kill_raylet(cluster: Disturbed, generator: random.Random) -> bool:
    """SIGKILL of the raylet of a host that is not the head; it is started again after seconds."""
    host = generator.choice(cluster.hosts[1:])
    raylets = host.find("raylet/raylet")
    if not raylets or not _kill(raylets[0]):
        return False
    time.sleep(generator.uniform(1.0, 5.0))
    _start_again(host)
    return True


def kill_host(cluster: Disturbed, generator: random.Random) -> bool:
    """Power of a host that is not the head; it boots again with an empty disk after seconds."""
    host = generator.choice(cluster.hosts[1:])
    host.shut_off()
    time.sleep(generator.uniform(1.0, 5.0))
    host.boot()
    host.start_ray()
    return True


def kill_driver(cluster: Disturbed, generator: random.Random) -> bool:
    """SIGKILL of the driver; the same command goes on."""
    return cluster.kill_driver()


def cut_cable(cluster: Disturbed, generator: random.Random) -> bool:
    """Cable of a host that is not the head, for 2 to 15 s."""
    host = generator.choice(cluster.hosts[1:])
    _set_link(host, "down")
    time.sleep(generator.uniform(*_CUT_S))
    _set_link(host, "up")
    _restart_if_expelled(host)
    return True


def slow_cable(cluster: Disturbed, generator: random.Random) -> bool:
    """Cable of a host slowed to 1 Mbit/s for 5 s."""
    host = generator.choice(cluster.hosts[1:])
    shape = (
        "tc",
        "qdisc",
        "add",
        "dev",
        host.link,
        "root",
        "tbf",
        "rate",
        "1mbit",
        "burst",
        "16kb",
        "latency",
        "400ms",
    )
    if subprocess.run(shape, capture_output=True, check=False).returncode:
        return False
    time.sleep(_SLOW_S)
    subprocess.run(("tc", "qdisc", "del", "dev", host.link, "root"), capture_output=True, check=False)
    _restart_if_expelled(host)
    return True


def fill_disk(cluster: Disturbed, generator: random.Random) -> bool:
    """Disk of a host that is not the head full for 6 s."""
    host = generator.choice(cluster.hosts[1:])
    host.fill_disk()
    time.sleep(6)
    host.free_disk()
    return True


FAULTS: dict[str, ClusterFault] = {
    "worker": kill_worker,
    "raylet": kill_raylet,
    "host": kill_host,
    "driver": kill_driver,
    "cut": cut_cable,
    "slow": slow_cable,
    "disk": fill_disk,
}


def _kill(process: psutil.Process) -> bool:
    try:
        process.send_signal(signal.SIGKILL)
    except psutil.Error:
        return False
    return True


def _set_link(host: Host, state: str) -> None:
    subprocess.run(("ip", "link", "set", host.link, state), capture_output=True, check=False)


def _restart_if_expelled(host: Host) -> None:
    """A raylet that the head has given up ends; whoever looks after the host starts it again."""
    time.sleep(2)
    if not host.find("raylet/raylet"):
        _start_again(host)


def _start_again(host: Host) -> None:
    for process in host.find("ray::") + host.find("/ray/"):
        _kill(process)
    time.sleep(0.5)
    host.start_ray()
