"""The installed command line in a folder of its own, and a small experiment for it."""

import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import mlflow
import psutil
import yaml
from mlflow import MlflowClient

from search.ledger.ledger import LEDGER_NAME, read_ledger
from search.ledger.state import SweepState
from tests.warm_command import WarmCommands

COMMAND = Path(sys.executable).with_name("whosehand")
ROOT = Path(__file__).parents[1]
TIMEOUT_S = 600.0

TINY = """
name: tiny
seed: 3
corpus: {layout: hands, n_writers: 3, n_pages: 4, n_lines: 3}
split: {validation: 0.25, test: 0.25}
patches: {patches_per_epoch: 200, per_image_at_validation: 2, per_image_at_test: 4}
space:
  base: none
  fixed: {filters: 4, n_blocks: 2, convolutions_per_block: 1, batch_size: 16}
  dimensions:
    learning_rate: {type: real, low: 1e-3, high: 1e-2, log: true}
    dropout: {type: real, low: 0.1, high: 0.5}
  enqueue: []
engine: {name: optuna, sampler: random, pruner: none}
objective: {metric: val/image_logloss}
training: {epochs: 4, precision: float32}
executor: {workers: 1, threads: 1}
budget: {trials: 3}
promotion: {epochs: 2, gate: {max_calibration_error: 1.0}}  # nothing is learned in two epochs of 200 patches
"""


@dataclass(frozen=True)
class Answer:
    """What a command gave."""

    arguments: tuple[str, ...]
    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one message of a command that was refused."""
        messages = [line for line in self.err.splitlines() if line.startswith("error: ")]
        if self.code != 1 or "Traceback" in self.err or len(messages) != 1:
            raise AssertionError(f"The command should have been refused with one message: {self}")
        return messages[0].removeprefix("error: ")


def environment() -> dict[str, str]:
    """Of a user's shell: nothing of pytest or of a terminal; the code is this repository's,
    whatever is installed.
    """
    unwanted = ("PYTHON", "PYTEST", "MLFLOW", "TF_", "COLUMNS", "FORCE_COLOR", "OPTUNA")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(unwanted)}
    return kept | {"PYTHONPATH": str(ROOT)}


def whosehand(folder: Path, *arguments: str | Path, variables: Mapping[str, str] | None = None) -> Answer:
    """Run a command to its end, in `folder`, with more environment variables."""
    texts = tuple(map(str, arguments))
    whole = environment() | dict(variables or {})
    return Answer(texts, *warm_commands().run(folder, texts, whole, TIMEOUT_S))


def run_module(name: str, *options: str) -> "subprocess.CompletedProcess[str]":
    """Run a module of this repository to its end, as `python -m` does."""
    command = [sys.executable, "-m", name, *options]
    return subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)


@functools.cache
def warm_commands() -> WarmCommands:
    """Starts commands without their seconds of imports."""
    return WarmCommands(COMMAND, environment() | {"OMP_NUM_THREADS": "1"})


def write_experiment(folder: Path, changes: Mapping[str, object] | None = None) -> Path:
    """Write the small experiment, with whole parts of it changed, as `<name>.yaml`."""
    content = yaml.safe_load(TINY.replace("1e-", "1.0e-")) | dict(changes or {})
    path = folder / f"{content['name']}.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path


@dataclass
class RunningSweep:
    """A sweep in a process of its own, heading a group of its own, as in a user's terminal."""

    process: "subprocess.Popen[str]"
    folder: Path

    def state(self) -> SweepState:
        return read_ledger(self.folder) if (self.folder / LEDGER_NAME).exists() else SweepState()

    def wait_until(self, is_reached: Callable[[SweepState], bool]) -> SweepState:
        """Wait for the ledger to say so."""
        ends_s = time.monotonic() + TIMEOUT_S
        while time.monotonic() < ends_s:
            state = self.state()
            if is_reached(state):
                return state
            if self.process.poll() is not None:
                raise RuntimeError(f"The sweep ended too early: {self.process.communicate()}")
            time.sleep(0.02)
        raise TimeoutError("The sweep did not get there.")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let the trials stand still for a block, while the driver goes on."""
        processes = psutil.Process(self.process.pid).children(recursive=True)
        for process in processes:
            process.suspend()
        try:
            yield
        finally:
            for process in processes:
                process.resume()

    def interrupt(self) -> Answer:
        """Press Ctrl-C, which reaches the whole group, and wait for the end."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.end()

    def end(self) -> Answer:
        out, err = self.process.communicate(timeout=TIMEOUT_S)
        return Answer((), self.process.returncode, out, err)

    def kill(self) -> set[int]:
        """Kill the driver alone, without warning; returns the processes it had started."""
        started = {child.pid for child in psutil.Process(self.process.pid).children(recursive=True)}
        self.process.kill()
        self.process.communicate(timeout=TIMEOUT_S)
        return started


@contextmanager
def running_sweep(folder: Path, experiment: Path, name: str = "tiny") -> Iterator[RunningSweep]:
    """Start `whosehand sweep`; it is killed at the end of the block if it still runs."""
    process = subprocess.Popen(
        [str(COMMAND), "sweep", str(experiment)],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield RunningSweep(process, folder / "mlruns" / "sweeps" / name)
    finally:
        process.kill()
        process.wait()


def still_there(pids: set[int], within_s: float = 10.0) -> set[int]:
    """The processes that have not ended by then."""
    ends_s = time.monotonic() + within_s
    while alive := {pid for pid in pids if _is_alive(pid)}:
        if time.monotonic() > ends_s:
            return alive
        time.sleep(0.05)
    return set()


def _is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@contextmanager
def records_of(folder: Path) -> Iterator[MlflowClient]:
    """A client of a project's tracking database; MLflow's global address is put back afterwards."""
    uri = f"sqlite:///{folder / 'mlruns' / 'mlflow.db'}"
    tracking, registry = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    try:
        yield MlflowClient(uri, uri)
    finally:
        mlflow.set_tracking_uri(tracking)
        mlflow.set_registry_uri(registry)


@dataclass(frozen=True)
class Project:
    """A folder in which every command was run, and what each said."""

    folder: Path
    answers: Mapping[str, Answer]

    @property
    def sweep(self) -> Path:
        return self.folder / "mlruns" / "sweeps" / "tiny"
