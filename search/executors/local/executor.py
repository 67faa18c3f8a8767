"""Trials as processes on this machine: one fresh process a trial, forked from a server that has the
imports done.

A fresh process a trial keeps memory from growing from trial to trial; forking it from a server that
imported TensorFlow once takes its start from seconds to tenths.
"""

import ast
import contextlib
import importlib.util
import multiprocessing
import os
import pickle
import signal
import socket
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import IO, Any, Self

import psutil

from core.crash_points import armed
from search.executors.base import (
    LOG_NAME,
    ExecutorError,
    Message,
    WorkerEnded,
    WorkerLost,
    WorkerPlace,
    WorkerReported,
)
from search.executors.local.processes import OomKills, start_in_fork_server
from search.executors.local.worker import WorkerSetup, run_worker
from search.executors.machine import ActiveTimeClock, cpu_model
from search.ledger.trial import EpochReport, FailureKind, PruningDecision, TrialResult, TrialSpec

_EXIT_PATIENCE_S = 10.0
_LOG_TAIL_BYTES = 4000
_LOOK_EVERY_S = 0.25
_START_AGAIN_S = (0.1, 0.5)
_HINTS = {"SIGBUS": " (often: a file that it read was cut short, such as the line store)"}
_UNKNOWN_EXIT_CODE = 255  # what multiprocessing says when the forkserver died first
Link = connection.Connection


@dataclass
class _Worker:
    spec: TrialSpec
    process: BaseProcess
    link: Link
    gpu: str | None
    heard_at_s: float = 0.0
    rss_bytes: int = 0
    is_silent: bool = False
    retired_at_s: float = 0.0


class LocalExecutor:
    """Trains up to `n_workers` trials at once, each in a process of its own. See `Executor`.

    Works with one forkserver a driver process, which the first `start` launches; if it was killed,
    the next `start` launches another, and the trials whose processes hung on it count as lost.
    """

    def __init__(
        self,
        n_workers: int,
        threads: int,
        *,
        preload: Sequence[str] = (),
        gpus: Sequence[str] = (),
        silent_s: float | None = None,
    ) -> None:
        """Prepare to start workers.

        Args:
            n_workers: how many at once.
            threads: of each.
            preload: modules that the forkserver imports once for all workers; see
                `modules_to_preload`.
            gpus: names for `CUDA_VISIBLE_DEVICES`, one a worker as far as they reach; the other
                workers get none.
            silent_s: a worker that says nothing for so long is ended, and lost; `None` for no
                limit.
        """
        if n_workers < 1 or threads < 1:
            raise ValueError(f"`n_workers >= 1` and `threads >= 1` must hold, but got {n_workers=}, {threads=}.")
        self._n_workers = n_workers
        self._threads = threads
        self._free_gpus = list(gpus)
        self._has_gpus = bool(gpus)
        self._silent_s = silent_s
        self._clock = ActiveTimeClock()
        self._oom_kills = OomKills()
        self._looked_at_s = 0.0
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["search.executors.local.worker", *preload])
        self._workers: dict[int, _Worker] = {}
        self._retired: list[_Worker] = []
        self._wake_reader, self._wake_writer = os.pipe()
        os.set_blocking(self._wake_reader, False)
        os.set_blocking(self._wake_writer, False)
        self._forkserver_log = tempfile.TemporaryFile()  # noqa: SIM115  (closed by close)
        self._cpu = cpu_model()
        self._is_closed = False

    @property
    def n_workers(self) -> int:
        """How many trials may run at once."""
        return self._n_workers

    @property
    def threads(self) -> int:
        """How many threads each worker may use."""
        return self._threads

    def start(self, spec: TrialSpec) -> WorkerPlace:
        """Start a worker on `spec` and say where. The first start waits for the forkserver's
        imports.

        Raises:
            ExecutorError: if no worker is free, `spec` cannot be pickled, or the forkserver dies at
                once.
        """
        if spec.number in self._workers or len(self._workers) >= self._n_workers:
            raise ExecutorError(f"A free worker is needed, but got trial {spec.number} with {len(self._workers)} busy.")
        first_message = _pickle(spec)
        gpu = self._free_gpus[0] if self._free_gpus else None
        setup = WorkerSetup(spec.work_dir / LOG_NAME, self._environment(gpu), armed())
        process, link = self._start_process(spec.number, setup, first_message)
        self._free_gpus = self._free_gpus[1:]
        self._workers[spec.number] = _Worker(spec, process, link, gpu, self._clock.now_s)
        return WorkerPlace(socket.gethostname(), spec.threads, process.pid or 0, self._cpu)

    def _start_process(self, number: int, setup: WorkerSetup, first_message: bytes) -> tuple[BaseProcess, Link]:
        """Start a worker; again if that fails, for a server that was killed looks alive for a
        moment, and refuses.
        """
        for pause_s in _START_AGAIN_S:
            with contextlib.suppress(OSError, EOFError):
                return self._try_to_start(number, setup, first_message)
            time.sleep(pause_s)
        try:
            return self._try_to_start(number, setup, first_message)
        except (OSError, EOFError) as error:
            raise ExecutorError(
                f"The process that forks the workers must come up, but it died ({error!r}); most often an import "
                f"failed or memory ran out. Its last words: {_read_tail(self._forkserver_log) or 'none'}"
            ) from error

    def _try_to_start(self, number: int, setup: WorkerSetup, first_message: bytes) -> tuple[BaseProcess, Link]:
        """On a link of its own: a worker that a dying server forked finds it closed, and ends."""
        link, far_end = self._context.Pipe()
        process = self._context.Process(target=run_worker, args=(far_end, setup), name=f"trial-{number}", daemon=True)
        try:
            start_in_fork_server(process, setup.environment, self._forkserver_log)
            link.send_bytes(first_message)
        except (OSError, EOFError):
            link.close()
            raise
        finally:
            far_end.close()
        return process, link

    def poll(self, timeout_s: float) -> list[Message]:
        """Return what the workers said, as soon as there is something or `wake` is called, or
        nothing in time.
        """
        self._reap()
        self._look_after()
        links = [worker.link for worker in self._workers.values()]
        sentinels = [worker.process.sentinel for worker in self._workers.values()]
        ready = set(connection.wait([*links, *sentinels, self._wake_reader], timeout_s))
        if self._wake_reader in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake_reader, 65536)
        heard = [
            self._hear(worker)
            # The largest first: of several dead workers the kernel took that one for its memory.
            for worker in sorted(self._workers.values(), key=lambda worker: -worker.rss_bytes)
            if worker.link in ready or worker.process.sentinel in ready
        ]
        return [message for message in heard if message is not None]

    def answer(self, number: int, decision: PruningDecision) -> None:
        """Answer the report of trial `number`; without effect if its worker died meanwhile."""
        if number in self._workers:
            self._workers[number].heard_at_s = self._clock.now_s
            with contextlib.suppress(OSError):
                self._workers[number].link.send(decision)

    def kill(self, number: int) -> None:
        """End the worker of trial `number` at once; no message follows."""
        if number in self._workers:
            worker = self._workers[number]
            worker.process.kill()
            self._retire(worker)

    def wake(self) -> None:
        """Make a running or the next `poll` return. May be called from any thread and from a signal
        handler.
        """
        with contextlib.suppress(OSError):  # a full pipe wakes as well; a closed one has nobody to wake
            os.write(self._wake_writer, b"x")

    def close(self) -> None:
        """End all workers at once and give back what is held. May be called twice."""
        if self._is_closed:
            return
        self._is_closed = True
        for number in list(self._workers):
            self.kill(number)
        for worker in self._retired:
            worker.process.join(_EXIT_PATIENCE_S)
        os.close(self._wake_reader)
        os.close(self._wake_writer)
        self._forkserver_log.close()

    def __enter__(self) -> Self:
        """Hold the executor for a block."""
        return self

    def __exit__(self, *_: object) -> None:
        """End all workers at the end of the block."""
        self.close()

    def _environment(self, gpu: str | None) -> dict[str, str]:
        threads = str(self._threads)
        environment = {
            "OMP_NUM_THREADS": threads,
            "OPENBLAS_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
            "TF_CPP_MIN_LOG_LEVEL": "2",
            "KERAS_BACKEND": "tensorflow",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        return environment | ({"CUDA_VISIBLE_DEVICES": gpu or "-1"} if self._has_gpus else {})

    def _hear(self, worker: _Worker) -> Message | None:
        number, attempt = worker.spec.number, worker.spec.attempt
        worker.heard_at_s = self._clock.now_s
        try:
            # The end of a process may be seen before its last words are read.
            said: Any = worker.link.recv() if worker.link.poll(0) else None
        except (EOFError, OSError):
            said = None
        if isinstance(said, EpochReport):
            return WorkerReported(number, attempt, said)
        if isinstance(said, TrialResult):
            self._retire(worker)
            return WorkerEnded(number, attempt, said)
        return self._lose(worker)

    def _lose(self, worker: _Worker) -> WorkerLost:
        worker.process.join(1.0)
        exit_code = worker.process.exitcode
        self._retire(worker)
        log_tail = _read_tail_of(worker.spec.work_dir / LOG_NAME)
        failure, reason = FailureKind.WORKER_LOST, _name_exit(exit_code)
        if worker.is_silent:
            reason = f"silent for {self._silent_s} s, and ended for that"
        elif self._is_out_of_memory(exit_code, log_tail):
            failure = FailureKind.OUT_OF_MEMORY
            reason = f"ended for want of memory, last seen with {worker.rss_bytes / 1e6:,.0f} MB"
        return WorkerLost(worker.spec.number, worker.spec.attempt, exit_code, reason, log_tail, failure)

    def _is_out_of_memory(self, exit_code: int | None, log_tail: str) -> bool:
        if exit_code == -signal.SIGKILL:
            return self._oom_kills.take()
        # What C++ says where the system refuses memory, such as under `ulimit -v`.
        return exit_code == -signal.SIGABRT and "bad_alloc" in log_tail

    def _retire(self, worker: _Worker) -> None:
        """Free the worker's place; its process ends by itself when the link is closed, and is seen
        off later.
        """
        del self._workers[worker.spec.number]
        worker.link.close()
        if worker.gpu is not None:
            self._free_gpus.append(worker.gpu)
        worker.retired_at_s = time.monotonic()
        self._retired.append(worker)

    def _look_after(self) -> None:
        """Note the workers' memory, and end those that have been silent for too long."""
        self._clock.turn()
        if time.monotonic() - self._looked_at_s < _LOOK_EVERY_S:
            return
        self._looked_at_s = time.monotonic()
        self._oom_kills.look()
        for worker in self._workers.values():
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(worker.process.pid)
                worker.rss_bytes = int(process.memory_info().rss)
                if self._silent_s is None:
                    continue
                if process.status() == psutil.STATUS_STOPPED:
                    worker.heard_at_s = self._clock.now_s
                elif self._clock.now_s - worker.heard_at_s > self._silent_s:
                    worker.is_silent = True
                    worker.process.kill()

    def _reap(self) -> None:
        for worker in list(self._retired):
            if worker.process.exitcode is not None:
                self._retired.remove(worker)
                worker.process.close()
            elif time.monotonic() - worker.retired_at_s > _EXIT_PATIENCE_S:
                worker.process.kill()


def modules_to_preload(objective: str) -> tuple[str, ...]:
    """Name what the forkserver should import for an objective: its module, and what its `PRELOAD`
    lists.

    `PRELOAD` is read from the source, because the driver must not import what the objective
    imports.

    Args:
        objective: import path `module:name`.

    Raises:
        ExecutorError: if there is no such module.
    """
    module_name = objective.partition(":")[0]
    try:
        found = importlib.util.find_spec(module_name)
    except (ImportError, ValueError):
        found = None
    if found is None or found.origin is None:
        raise ExecutorError(f"An objective is named `module:function`, but there is no module {module_name!r}.")
    for statement in ast.parse(Path(found.origin).read_text(encoding="utf-8")).body:
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == "PRELOAD" for target in targets):
            return (*ast.literal_eval(statement.value), module_name)  # type: ignore[attr-defined]
    return (module_name,)


def _pickle(spec: TrialSpec) -> bytes:
    try:
        return pickle.dumps(spec)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ExecutorError(
            f"A trial's settings and hyperparameters must be picklable, to reach a worker, but: {error}."
        ) from error


def _name_exit(exit_code: int | None) -> str:
    if exit_code is None or exit_code == _UNKNOWN_EXIT_CODE:
        return "ended in an unknown way"
    if exit_code < 0:
        name = signal.Signals(-exit_code).name if -exit_code in set(signal.Signals) else f"signal {-exit_code}"
        return f"killed by {name}{_HINTS.get(name, '')}"
    return f"exited with code {exit_code}"


def _read_tail_of(log: Path) -> str:
    try:
        with log.open("rb") as file:
            return _read_tail(file)
    except OSError:
        return ""


def _read_tail(file: IO[bytes]) -> str:
    file.seek(max(0, file.seek(0, os.SEEK_END) - _LOG_TAIL_BYTES))
    return file.read().decode(errors="replace").strip()
