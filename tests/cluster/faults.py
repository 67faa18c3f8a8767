"""What befalls a cluster while a sweep runs on it.

Each fault picks its host at random, and comes back at once where mending it takes a while: a host
boots and starts Ray while the next fault strikes.
"""

import random
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil

from tests.cluster.hosts import Host, start

_PAUSE_S = (1.0, 5.0)
_CUT_S = (2.0, 20.0)
_SLOW_S, _FULL_S = 6.0, 10.0
_EXPELLED_S = 8.0
_SHAPE = ("root", "tbf", "rate", "1mbit", "burst", "16kb", "latency", "400ms")


@dataclass(frozen=True)
class Disturbed:
    """A cluster, and the driver of the sweep on its head.

    Attributes:
        hosts: the first is the head.
        kill_driver: ends the driver by SIGKILL; False where it had ended.
        launch_driver: types the same command again.
    """

    hosts: list[Host]
    kill_driver: Callable[[], bool]
    launch_driver: Callable[[], None]

    def pick(self, generator: random.Random) -> Host | None:
        """A host that is not the head and is there."""
        there = [host for host in self.hosts[1:] if not host.is_away]
        return generator.choice(there) if there else None


ClusterFault = Callable[[Disturbed, random.Random], bool]
"""Does it, and says whether something was there to befall."""


def kill_worker(cluster: Disturbed, generator: random.Random) -> bool:
    """SIGKILL of a worker."""
    workers = [worker for host in cluster.hosts for worker in host.workers()]
    return bool(workers) and _kill(generator.choice(workers))


def kill_raylet(cluster: Disturbed, generator: random.Random) -> bool:
    """SIGKILL of the raylet of a host that is not the head; it is started again after seconds."""
    host = cluster.pick(generator)
    raylets = host.find("raylet/raylet") if host else []
    if host is None or not raylets or not _kill(raylets[0]):
        return False
    host.return_later(generator.uniform(*_PAUSE_S), lambda: _start_again(host))
    return True


def kill_host(cluster: Disturbed, generator: random.Random) -> bool:
    """Power of a host that is not the head; it boots again with an empty disk after seconds."""
    host = cluster.pick(generator)
    if host is None:
        return False
    host.shut_off()

    def come_back() -> None:
        host.boot()
        host.start_ray()

    host.return_later(generator.uniform(*_PAUSE_S), come_back)
    return True


def kill_driver(cluster: Disturbed, generator: random.Random) -> bool:
    """SIGKILL of the driver; the same command goes on."""
    if not cluster.kill_driver():
        return False
    cluster.launch_driver()
    return True


def kill_all(cluster: Disturbed, generator: random.Random) -> bool:
    """Power of all hosts, the driver's too; they boot with empty disks, the project is there."""
    for host in cluster.hosts:
        host.wait_until_back()
    if not cluster.kill_driver():
        return False
    for host in cluster.hosts:
        host.shut_off()
    start(cluster.hosts)
    cluster.launch_driver()
    return True


def cut_cable(cluster: Disturbed, generator: random.Random) -> bool:
    """Cable of a host that is not the head pulled for 2 to 20 s."""
    host = cluster.pick(generator)
    if host is None:
        return False
    _run("ip", "link", "set", host.link, "down")

    def come_back() -> None:
        _run("ip", "link", "set", host.link, "up")
        _restart_if_expelled(host)

    host.return_later(generator.uniform(*_CUT_S), come_back)
    return True


def slow_cable(cluster: Disturbed, generator: random.Random) -> bool:
    """Cable of a host slowed to 1 Mbit/s, both ways, for 6 s."""
    host = cluster.pick(generator)
    if host is None or not _run("tc", "qdisc", "add", "dev", host.link, *_SHAPE):
        return False
    _run("tc", "-n", host.name, "qdisc", "add", "dev", "eth0", *_SHAPE)

    def come_back() -> None:
        _run("tc", "qdisc", "del", "dev", host.link, "root")
        _run("tc", "-n", host.name, "qdisc", "del", "dev", "eth0", "root")
        _restart_if_expelled(host)

    host.return_later(_SLOW_S, come_back)
    return True


def fill_disk(cluster: Disturbed, generator: random.Random) -> bool:
    """Disk of a host that is not the head full for 10 s."""
    host = cluster.pick(generator)
    if host is None:
        return False
    host.fill_disk()
    host.return_later(_FULL_S, host.free_disk)
    return True


KILLS: dict[str, ClusterFault] = {
    "worker": kill_worker,
    "raylet": kill_raylet,
    "host": kill_host,
    "driver": kill_driver,
}
OTHERS: dict[str, ClusterFault] = {"cut": cut_cable, "slow": slow_cable, "disk": fill_disk, "all": kill_all}
FAULTS = {**KILLS, **OTHERS}


def _kill(process: psutil.Process) -> bool:
    try:
        process.send_signal(signal.SIGKILL)
    except psutil.Error:
        return False
    return True


def _run(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _restart_if_expelled(host: Host) -> None:
    """A raylet that the head has given up ends; whoever looks after the host starts it again."""
    ends_s = time.monotonic() + _EXPELLED_S
    while host.find("raylet/raylet"):
        if time.monotonic() > ends_s:
            return
        time.sleep(0.5)
    _start_again(host)


def _start_again(host: Host) -> None:
    for process in host.find("ray::") + host.find("/ray/"):
        _kill(process)
    time.sleep(0.5)
    host.start_ray()
