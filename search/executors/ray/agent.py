"""What trains on a node: today's local executor with a long-distance line to the driver.

There is no Ray inside: an agent is called like any object, from several threads at once.
"""

import contextlib
import itertools
import os
import shutil
import socket
import tempfile
import threading
import time
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from core.training.plan import choose_precision
from search.executors.base import LOG_NAME, ExecutorError, Message, WorkerEnded, WorkerLost, run_task
from search.executors.local.executor import LocalExecutor
from search.executors.local.worker import unreadable
from search.executors.machine import count_cores, cpu_model, divide_machine, free_memory_bytes, list_gpus
from search.executors.ray.cargo import Cargo, Hold, Wanted
from search.executors.ray.parcels import (
    AgentSetup,
    AnswerOrder,
    CarriedFile,
    Exchange,
    KillOrder,
    NodeDescription,
    Order,
    PackedSpec,
    Parcel,
    StartOrder,
    references_of,
    with_paths,
    with_references,
)
from search.executors.ray.versions import deciding_versions
from search.ledger.trial import FailureKind, PruningDecision, TrialResult, TrialSpec

_POLL_S = 0.5
_LOG_BYTES = 64_000
_EXCHANGE_BYTES = 32_000_000
"""Of files in one exchange, if it has more than one parcel: what is acknowledged need not come
again over a slow line."""
_SESSIONS = "sessions"
_LOCK = ".lock"
_OUTSIDE = Path("outside")
_LEAST_FREE_SHARE = 0.03
"""Of memory. Ray's own monitor acts when 0.05 are free, and takes the agent; it is to be switched
off on nodes."""


@dataclass
class _Running:
    ticket: int
    spec: TrialSpec
    pid: int
    n_log_bytes: int = 0


class NodeAgent:
    """Trains trials on this machine for a driver elsewhere, and keeps what workers say until the
    driver has it.
    """

    def __init__(self, setup: AgentSetup) -> None:
        """Prepare folders and workers; those of drivers that are gone are cleared away.

        Raises:
            OSError: if the scratch folder cannot be written.
        """
        self._setup = setup
        self._scratch = setup.scratch or Path(tempfile.gettempdir()) / f"whosehand-{os.getuid()}"
        self._folder = self._scratch / _SESSIONS / f"{setup.session}-{os.getpid()}"
        self._scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = FileLock(self._folder / _LOCK, thread_local=False)  # closed from another thread
        with FileLock(self._scratch / _LOCK):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
            _clear_left_sessions(self._scratch / _SESSIONS)
        self._hold = Hold(self._scratch, self._folder)
        gpus = list_gpus()
        workers, threads = divide_machine(
            setup.workers,
            setup.threads,
            n_cores=count_cores(),
            free_bytes=free_memory_bytes(),
            n_gpus=len(gpus),
        )
        self._executor = LocalExecutor(workers, threads, preload=setup.preload, gpus=gpus, silent_s=setup.silent_s)
        self._news = threading.Condition()
        self._orders: dict[int, Order] = {}
        self._n_orders = 0
        self._parcels: deque[Parcel] = deque()
        self._n_parcels = 0
        self._running: dict[int, _Running] = {}  # by trial
        self._heard_at_s = time.monotonic()
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="node-agent", daemon=True)
        self._thread.start()

    def describe(self) -> NodeDescription:
        """Say what this node is."""
        return NodeDescription(
            host=socket.gethostname(),
            pid=os.getpid(),
            cpu=cpu_model(),
            n_workers=self._executor.n_workers,
            threads=self._executor.threads,
            precision=choose_precision(),
            versions=deciding_versions(self._setup.packages),
            scratch=self._scratch,
            free_bytes=shutil.disk_usage(self._scratch).free,
            clock_s=time.time(),
        )

    def want(self, cargo: Cargo) -> tuple[Wanted, ...]:
        """Say what of a file or line store is not here; see `Hold.want`."""
        self._hear()
        return self._hold.want(cargo)

    def put(self, cargo: Cargo, name: str, offset: int, content: bytes) -> int:
        """Take a piece of a file; see `Hold.put`."""
        self._hear()
        return self._hold.put(cargo, name, offset, content)

    def settle(self, cargo: Cargo) -> None:
        """Check what was put, and use it from now on; see `Hold.settle`."""
        self._hold.settle(cargo)
        self._hear()

    def try_out(self, task: PackedSpec) -> TrialResult:
        """Run a task in a worker before the first trial does: what can be neither read nor imported
        here fails it.

        Raises:
            ExecutorError: if no worker can be started.
        """
        self._hear()
        folder = self._folder / "trials" / "first-task"
        try:
            spec = task.unpacked()
        except Exception as error:  # whatever the objects in it raise
            return unreadable(error, "it")
        settings = with_paths(spec.settings, self._hold.places)
        executor = LocalExecutor(1, self._executor.threads, preload=self._setup.preload)
        try:
            return run_task(executor, replace(spec, work_dir=folder, settings=settings))
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def take(self, orders: Sequence[Order]) -> None:
        """Take orders; those that were taken before are passed over."""
        self._hear()
        with self._news:
            self._orders.update({order.seq: order for order in orders if order.seq > self._n_orders})
        self._executor.wake()

    def exchange(self, acknowledged: int, orders: Sequence[Order] = (), wait_s: float = 10.0) -> Exchange:
        """Take orders, and give the parcels that the driver has not yet; wait until there is one.

        Args:
            acknowledged: of the parcels; they are forgotten.
            orders: that may have been lost on the way.
            wait_s: how long to wait for a parcel.

        Raises:
            ExecutorError: if it cannot train any more.
        """
        if not self._thread.is_alive():
            raise ExecutorError("The agent's thread has ended, so that it can train nothing.")
        if orders:
            self.take(orders)
        self._hear()
        with self._news:
            while self._parcels and self._parcels[0].seq <= acknowledged:
                self._parcels.popleft()
            self._news.wait_for(lambda: bool(self._parcels) or self._is_closed.is_set(), wait_s)
            self._heard_at_s = time.monotonic()
            return Exchange(_first_of(self._parcels), self._n_orders)

    def close(self) -> None:
        """End all workers and remove what they wrote. May be called twice."""
        if self._is_closed.is_set():
            return
        self._is_closed.set()
        self._executor.wake()
        self._thread.join()
        with self._news:
            self._news.notify_all()
        self._executor.close()
        self._lock.release()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _hear(self) -> None:
        self._heard_at_s = time.monotonic()

    def _run(self) -> None:
        while not self._is_closed.is_set():
            self._follow_orders()
            for message in self._executor.poll(_POLL_S):
                running = self._running.get(message.number)
                if running is not None:  # else an earlier message of this poll could not be packed
                    self._pack(running, message)
            self._guard_memory()
            if self._running and time.monotonic() - self._heard_at_s > self._setup.lease_s:
                silence = f"without a word from the driver for {self._setup.lease_s:.0f} s"
                for running in list(self._running.values()):
                    self._give_up(running, FailureKind.NODE_LOST, silence)

    # Orders.

    def _follow_orders(self) -> None:
        while True:
            with self._news:
                order = self._orders.pop(self._n_orders + 1, None)
                if order is None:
                    return
                self._n_orders = order.seq
            match order.what:
                case StartOrder():
                    self._start(order.what)
                case AnswerOrder(ticket=ticket, decision=decision):
                    self._answer(ticket, decision)
                case KillOrder(ticket=ticket):
                    for number in [each.spec.number for each in self._running.values() if each.ticket == ticket]:
                        self._executor.kill(number)
                        self._forget(self._running.pop(number))

    def _start(self, order: StartOrder) -> None:
        folder = self._folder / "trials" / str(order.ticket)
        bare, checkpoint = order.spec.bare, order.spec.bare.checkpoint
        running = _Running(order.ticket, replace(bare, work_dir=folder), 0)
        self._running[bare.number] = running
        try:
            spec = order.spec.unpacked()
        except Exception as error:  # whatever the objects in it raise
            result = unreadable(error, f"the node {socket.gethostname()}")
            self._pack(running, WorkerEnded(bare.number, bare.attempt, result))
            return
        running.spec = spec = replace(
            spec,
            work_dir=folder,
            threads=self._executor.threads if self._setup.threads == "auto" else spec.threads,
            settings=with_paths(spec.settings, self._hold.places),
        )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if order.checkpoint is not None and checkpoint is not None:
                place = folder / "before" / order.checkpoint.path.name
                place.parent.mkdir()
                place.write_bytes(order.checkpoint.content)
                running.spec = spec = replace(spec, checkpoint=replace(checkpoint, path=place))
            running.pid = self._executor.start(spec).pid
        except (ExecutorError, OSError) as error:
            self._give_up(running, FailureKind.NODE_LOST, f"not started: {error}")

    def _answer(self, ticket: int, decision: PruningDecision) -> None:
        for running in self._running.values():
            if running.ticket == ticket:
                self._executor.answer(running.spec.number, decision)

    # Parcels.

    def _pack(self, running: _Running, message: Message) -> None:
        try:
            files, places = _files_of(message, running.spec.work_dir)
        except OSError as error:
            self._give_up(running, FailureKind.NODE_LOST, f"its files cannot be read any more: {error}")
            return
        self._post(running, with_references(message, places), files)
        if isinstance(message, WorkerEnded | WorkerLost):
            del self._running[running.spec.number]
            self._forget(running)

    def _give_up(self, running: _Running, failure: FailureKind, reason: str) -> None:
        """End a worker, and say that it was lost."""
        self._executor.kill(running.spec.number)
        lost = WorkerLost(running.spec.number, running.spec.attempt, None, reason, _log_tail(running.spec), failure)
        self._post(running, lost, ())
        del self._running[running.spec.number]
        self._forget(running)

    def _post(self, running: _Running, message: Message, files: tuple[CarriedFile, ...]) -> None:
        log = b""
        with contextlib.suppress(OSError), (running.spec.work_dir / LOG_NAME).open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(running.n_log_bytes, end - _LOG_BYTES))
            log, running.n_log_bytes = file.read(), end
        with self._news:
            self._n_parcels += 1
            self._parcels.append(Parcel(self._n_parcels, running.ticket, message, files, log))
            self._news.notify_all()

    @staticmethod
    def _forget(running: _Running) -> None:
        shutil.rmtree(running.spec.work_dir, ignore_errors=True)

    def _guard_memory(self) -> None:
        """Before the kernel or Ray end something of their choice, end the largest worker."""
        total_bytes = psutil.virtual_memory().total
        if not self._running or free_memory_bytes() > _LEAST_FREE_SHARE * total_bytes:
            return
        sizes = {number: _rss_bytes(each.pid) for number, each in self._running.items()}
        number = max(sizes, key=lambda each: sizes[each])
        reason = f"ended for want of memory on the node, last seen with {sizes[number] / 1e6:,.0f} MB"
        self._give_up(self._running[number], FailureKind.OUT_OF_MEMORY, reason)


def _first_of(parcels: Collection[Parcel]) -> tuple[Parcel, ...]:
    """As many as shall travel together; at least one."""
    sizes = itertools.accumulate(sum(len(file.content) for file in parcel.files) for parcel in parcels)
    return tuple(
        parcel for k, (parcel, size) in enumerate(zip(parcels, sizes, strict=True)) if not k or size <= _EXCHANGE_BYTES
    )


def _files_of(message: Message, work_dir: Path) -> tuple[tuple[CarriedFile, ...], Mapping[Path, Path]]:
    """All files that a message refers to, and where they lie below the trial's folder."""
    files: list[CarriedFile] = []
    places: dict[Path, Path] = {}
    for reference in references_of(message):
        source = reference.path.absolute()
        is_inside = source.is_relative_to(work_dir)
        place = source.relative_to(work_dir) if is_inside else _OUTSIDE / reference.sha256[:16] / source.name
        places[reference.path] = place
        within = sorted(path for path in source.rglob("*") if path.is_file()) if source.is_dir() else [source]
        files += [CarriedFile.read(path, place / path.relative_to(source)) for path in within]
    return tuple(files), places


def _clear_left_sessions(sessions: Path) -> None:
    """Remove the folders of agents that are gone: nobody holds their locks."""
    for folder in sessions.iterdir():
        with contextlib.suppress(Timeout, OSError), FileLock(folder / _LOCK, timeout=0):
            shutil.rmtree(folder, ignore_errors=True)


def _log_tail(spec: TrialSpec) -> str:
    with contextlib.suppress(OSError):
        return (spec.work_dir / LOG_NAME).read_bytes()[-4000:].decode(errors="replace").strip()
    return ""


def _rss_bytes(pid: int) -> int:
    with contextlib.suppress(psutil.Error):
        return int(psutil.Process(pid).memory_info().rss)
    return 0
