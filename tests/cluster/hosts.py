"""Hosts imitated on this machine: each with its own network, processes, name and disk.

Linux namespaces by `ip netns`, `unshare` and `nsenter`, which need root. A host's disk is a small
one in memory; of the machine's own files it sees all but the project that the sweep runs in, unless
it is the head.
"""

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from filelock import FileLock

from tests.command_line import ROOT

DISK = Path("/tmp/wh-disk")
"""Where each host sees its own disk; short, for Ray's sockets lie there."""
_BRIDGE, _NETWORK = "wh-bridge", "10.77.0"
_PORT = 6379
_RAY = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
    "RAY_memory_monitor_refresh_ms": "0",
    "RAY_worker_niceness": "0",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "5",
}
_ON_HEAD = ("--head", f"--port={_PORT}", "--include-dashboard=false")
_OBJECT_STORE_BYTES = 100_000_000


class HostError(Exception):
    """A host cannot be made, or a command on it failed."""


def can_imitate_hosts() -> bool:
    """Whether this user may make namespaces of networks."""
    if os.geteuid() != 0:
        return False
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        bridge = f"wh-{os.getpid()}"  # others may try at the same time
        _run("ip", "link", "add", bridge, "type", "bridge")
        _run("ip", "link", "del", bridge)
        _run("unshare", "--pid", "--mount", "--uts", "--fork", "true")
        return True
    return False


@dataclass
class Host:
    """A host, on or off.

    Attributes:
        name: its own.
        number: last part of its address.
        project: folder that only the head sees.
        disk_mb: size of its disk.
        init: the process that all others on it end with; 0 while it is off.
    """

    name: str
    number: int
    project: Path
    disk_mb: int = 1500
    init: int = 0
    _shells: list["subprocess.Popen[bytes]"] = field(default_factory=list)
    _return: threading.Thread | None = None
    _failed: list[str] = field(default_factory=list)

    @property
    def is_head(self) -> bool:
        return self.number == 1

    @property
    def address(self) -> str:
        return f"{_NETWORK}.{self.number}"

    @property
    def link(self) -> str:
        """The end of its cable at the bridge."""
        return f"{self.name}-br"

    def boot(self) -> None:
        """Switch it on: network, an empty disk, nothing running."""
        _run("ip", "netns", "add", self.name)
        _run("ip", "link", "add", self.link, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        _run("ip", "link", "set", self.link, "master", _BRIDGE, "up")
        for command in (("addr", "add", f"{self.address}/24", "dev", "eth0"), ("link", "set", "eth0", "up")):
            _run("ip", "-n", self.name, *command)
        _run("ip", "-n", self.name, "link", "set", "lo", "up")
        steps = [
            f"hostname {self.name}",
            f"mkdir -p {DISK}",
            f"mount -t tmpfs -o size={self.disk_mb}m tmpfs {DISK}",
            "mount -t tmpfs -o size=1g tmpfs /dev/shm",
            *([] if self.is_head else [f"mount -t tmpfs tmpfs {self.project}"]),
            f"mkdir -p {DISK}/home && touch {DISK}/booted",
            "exec cat >/dev/null",  # until this program closes the pipe, or is killed
        ]
        namespaces = ("unshare", "--pid", "--mount", "--uts", "--ipc", "--fork", "--kill-child", "--mount-proc")
        words = ("ip", "netns", "exec", self.name, *namespaces, "bash", "-ec", "\n".join(steps))
        shell = subprocess.Popen(words, stdin=subprocess.PIPE)
        self._shells.append(shell)
        ends_s = time.monotonic() + 20
        while not (self._find_init(shell.pid) and self._has_booted()):
            if shell.poll() is not None or time.monotonic() > ends_s:
                raise HostError(f"{self.name} does not come up.")
            time.sleep(0.05)

    def shut_off(self) -> None:
        """Pull its power: everything on it is gone at once, its disk too."""
        if self.init:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.init, signal.SIGKILL)
        for shell in self._shells:
            shell.kill()
            shell.communicate()
        self._shells.clear()
        self.init = 0
        for command in (("link", "del", self.link), ("netns", "del", self.name)):
            subprocess.run(("ip", *command), capture_output=True, check=False)

    def start_ray(self) -> None:
        """What somebody types on it."""
        more = _ON_HEAD if self.is_head else (f"--address={_NETWORK}.1:{_PORT}",)
        store = f"--object-store-memory={_OBJECT_STORE_BYTES}"
        options = (f"--node-ip-address={self.address}", "--num-cpus=1", "--disable-usage-stats", store, *more)
        ray = (sys.executable, "-m", "ray.scripts.scripts", "start", *options)
        run = subprocess.run(self.command(*ray), env=self.environment(), capture_output=True, text=True, check=False)
        if run.returncode:
            raise HostError(f"Ray does not start on {self.name}: {run.stdout[-800:]} {run.stderr[-800:]}")

    def return_later(self, pause_s: float, come_back: Callable[[], None]) -> None:
        """Do something after a pause, without waiting for it; until then the host is away."""

        def work() -> None:
            time.sleep(pause_s)
            try:
                come_back()
            except (HostError, OSError) as error:
                self._failed.append(str(error))

        self._return = threading.Thread(target=work, name=f"{self.name}-returns")
        self._return.start()

    @property
    def is_away(self) -> bool:
        """Whether it is on its way back."""
        return self._return is not None and self._return.is_alive()

    def wait_until_back(self) -> None:
        """Wait for it.

        Raises:
            HostError: if it does not come.
        """
        if self._return is not None:
            self._return.join()
        if self._failed:
            raise HostError("; ".join(self._failed))

    def command(self, *words: str) -> tuple[str, ...]:
        """A command to be run on it."""
        namespaces = ("--net", "--pid", "--mount", "--uts", "--ipc")
        return ("nsenter", "--target", str(self.init), *namespaces, f"--wd={ROOT}", "--", *words)

    def environment(self) -> Mapping[str, str]:
        """That of somebody who works on it."""
        own = {"HOME": f"{DISK}/home", "TMPDIR": str(DISK), "PYTHONPATH": str(ROOT)}
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG")}
        return {**kept, **_RAY, **own}

    def _strays(self) -> list[psutil.Process]:
        """Daemons: they hang on no shell, but are in its namespace of processes."""
        found = []
        with contextlib.suppress(OSError):  # it is off
            own = Path(f"/proc/{self.init}/ns/pid").readlink()
            for process in psutil.process_iter():
                with contextlib.suppress(OSError):
                    if Path(f"/proc/{process.pid}/ns/pid").readlink() == own:
                        found.append(process)
        return found

    def find(self, is_meant: str) -> list[psutil.Process]:
        """Its processes whose command line holds some words."""
        found = []
        for process in self._strays():
            with contextlib.suppress(psutil.Error):
                if is_meant in " ".join(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def workers(self) -> list[psutil.Process]:
        """Processes that train: children of the server that forks them."""
        servers = {process.pid for process in self.find("multiprocessing.forkserver")}
        return [process for process in self.find("multiprocessing.forkserver") if process.ppid() in servers]

    def fill_disk(self) -> None:
        """Leave no room on its disk."""
        fill = f"dd if=/dev/zero of={DISK}/filler bs=1M 2>/dev/null; true"
        subprocess.run(self.command("sh", "-c", fill), check=False, capture_output=True)

    def free_disk(self) -> None:
        """Make room again."""
        subprocess.run(self.command("rm", "-f", f"{DISK}/filler"), check=False, capture_output=True)

    def _find_init(self, shell: int) -> bool:
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(shell).children(recursive=True):
                if child.name() in ("bash", "cat"):
                    self.init = child.pid
                    return True
        return False

    def _has_booted(self) -> bool:
        return (
            subprocess.run(self.command("test", "-e", f"{DISK}/booted"), capture_output=True, check=False).returncode
            == 0
        )


@contextlib.contextmanager
def imitated_hosts(names: Sequence[str], project: Path, disk_mb: int = 1500) -> Iterator[list[Host]]:
    """Hosts on one network, Ray running on each; the first is the head. All are off afterwards,
    also when this process is killed; what is left of their network then is removed the next time.
    """
    hosts = [Host(name, number, project, disk_mb) for number, name in enumerate(names, start=1)]
    with FileLock(Path(tempfile.gettempdir()) / f"{_BRIDGE}.lock"):
        _remove(hosts)
        try:
            _run("ip", "link", "add", _BRIDGE, "type", "bridge")
            _run("ip", "link", "set", _BRIDGE, "up")
            start(hosts)
            yield hosts
        finally:
            _remove(hosts)


def start(hosts: Sequence[Host]) -> None:
    """Switch hosts on, and Ray on each: first on the head, then on the others at once."""
    for host in hosts:
        host.boot()
    hosts[0].start_ray()
    for host in hosts[1:]:
        host.return_later(0, host.start_ray)
    for host in hosts:
        host.wait_until_back()


def processes_left() -> list[str]:
    """Command lines that name the hosts' network or disk: there are none when all are off."""
    left = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            line = " ".join(process.cmdline())
            if process.pid != os.getpid() and (f"{_NETWORK}." in line or f"{DISK}/" in line):
                left.append(line[:200])
    return left


def _remove(hosts: Sequence[Host]) -> None:
    for host in hosts:
        host.shut_off()
    for host in hosts:
        with contextlib.suppress(HostError):
            host.wait_until_back()  # it may have booted meanwhile
        host.shut_off()
    subprocess.run(("ip", "link", "del", _BRIDGE), capture_output=True, check=False)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise HostError(f"{' '.join(command)}: {done.stderr.strip()}")
