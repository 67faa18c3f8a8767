"""Faults in a cluster, and what is left of the sweep on it.

    python -m tests.cluster [--minutes 20] [--each 10] [--only worker,host] [--folder FOLDER]

Three hosts are imitated on this machine (`hosts.py`; needs root and Linux), with Ray on each. A
sweep of small networks runs over them while workers, raylets, hosts and the driver are killed,
cables cut and slowed, and disks filled, at random moments. Afterwards its ledger, MLflow and files
are held against each other and against a sweep on local workers that nothing disturbed: the same
points, the same scores of each epoch, the same bytes of each checkpoint. Prints a table; ends with
1 if anything was lost or doubled. With --folder, a run that was stopped goes on where it was.
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.report import machine_line, markdown_table, notes
from search.ledger.ledger import LEDGER_NAME, read_ledger
from search.ledger.state import SweepState
from tests.chaos.audit import audit
from tests.chaos.experiments import TINY_METRIC, write_tiny
from tests.chaos.tally import Tally
from tests.cluster.faults import FAULTS, Disturbed
from tests.cluster.hosts import Host, imitated_hosts
from tests.command_line import COMMAND, environment

PROMISE = "a sweep over a cluster is the sweep that nothing disturbed, to the bytes of its checkpoints"
_SOBOL = {"name": "optuna", "sampler": "qmc", "pruner": "none"}
_LOCAL = {"workers": 1, "threads": 1, "max_attempts": 99, "min_free_mb": 0}
_RAY = {**_LOCAL, "name": "ray"}
_TRIALS, _EPOCHS = 6, 4
_LAUNCH_S, _LONGEST_PAUSE_S = 900.0, 12.0


def main(
    minutes: Annotated[float, typer.Option(min=0, help="After so long no further sweep is begun.")] = 20.0,
    each: Annotated[int, typer.Option(min=1, help="Faults of each kind.")] = 10,
    only: Annotated[str, typer.Option(help="Kinds of faults, by commas.")] = ",".join(FAULTS),
    per_sweep: Annotated[int, typer.Option(min=1, help="Faults in one sweep, at most.")] = 6,
    seed: Annotated[int, typer.Option(min=0, help="Of kinds and moments.")] = 1,
    folder: Annotated[Path | None, typer.Option(help="Where to leave everything; a run there goes on.")] = None,
) -> None:
    """Disturb a cluster, and say what its sweeps survived."""
    ends_s = time.monotonic() + 60 * minutes
    with tempfile.TemporaryDirectory(prefix="whosehand-cluster-") as temporary:
        workspace = (folder or Path(temporary)).absolute()
        workspace.mkdir(parents=True, exist_ok=True)
        tally = Tally(workspace / "tally.jsonl")
        twin = _twin(workspace)
        with imitated_hosts(("wha", "whb", "whc"), workspace) as hosts:
            while time.monotonic() < ends_s and (wanted := _wanted(tally, only.split(","), each)):
                name = f"cluster-{len(tally.done):03d}"
                generator = random.Random(f"{seed} {name}")
                generator.shuffle(wanted)
                faults, problems = _disturb(workspace, name, hosts, wanted[:per_sweep], generator)
                problems += audit(workspace, name, TINY_METRIC, twin) + _other_bytes(_state(workspace, name), twin)
                tally.add(name, PROMISE, "real fault", faults, problems)
                notes.print(f"{name}: {faults}, {tally.total().tried} faults so far, {len(tally.problems)} problems")
    _print(tally, seed)
    if tally.problems:
        sys.exit(1)


@dataclass
class _Driver:
    """The sweep's driver on the head, which is launched again when it was killed."""

    workspace: Path
    experiment: Path
    head: Host
    process: "subprocess.Popen[bytes] | None" = None

    def launch(self) -> None:
        command = self.head.command(str(COMMAND), "sweep", str(self.experiment))
        command = tuple(f"--wd={self.workspace}" if word.startswith("--wd=") else word for word in command)
        with (self.workspace / f"{self.experiment.stem}.log").open("ab") as log:
            variables = {**environment(), **self.head.environment()}
            self.process = subprocess.Popen(command, env=variables, stdout=log, stderr=log, start_new_session=True)

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self) -> bool:
        if not self.is_running or self.process is None:
            return False
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.launch()
        return True

    def end(self) -> int:
        """Wait for its end; returns its exit code."""
        if self.process is None:
            return 1
        try:
            return self.process.wait(_LAUNCH_S)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            return self.process.wait()


def _twin(workspace: Path) -> Path:
    """A sweep on local workers that nothing disturbs."""
    folder = workspace / "mlruns" / "sweeps" / "twin"
    if not (folder / LEDGER_NAME).exists() or read_ledger(folder).closed is None:
        command = [str(COMMAND), "sweep", str(_write(workspace, "twin", _LOCAL))]
        subprocess.run(command, cwd=workspace, env=environment(), check=True, capture_output=True)
    return folder


def _write(workspace: Path, name: str, executor: Mapping[str, Any]) -> Path:
    training = {"epochs": _EPOCHS, "precision": "float32"}
    changes = {"engine": _SOBOL, "executor": executor, "training": training, "budget": {"trials": _TRIALS}}
    return write_tiny(workspace, name, changes)


def _disturb(
    workspace: Path, name: str, hosts: list[Host], wanted: list[str], generator: random.Random
) -> tuple[dict[str, int], list[str]]:
    """Run a sweep to its end with faults on the way."""
    driver = _Driver(workspace, _write(workspace, name, _RAY), hosts[0])
    cluster = Disturbed(hosts, driver.kill)
    driver.launch()
    injected: dict[str, int] = {}
    _wait_for_epoch(workspace, name, driver, 1)
    for kind in wanted:
        time.sleep(generator.uniform(0.0, _LONGEST_PAUSE_S))
        if not driver.is_running:
            break
        if FAULTS[kind](cluster, generator):
            injected[kind] = injected.get(kind, 0) + 1
            notes.print(f"{name}: {kind}, {_n_epochs(_state(workspace, name))} epochs done")
    code = driver.end()
    log = (workspace / f"{name}.log").read_text(errors="replace")
    return injected, [] if code == 0 else [f"the last launch ended with {code}: {log[-1500:]}"]


def _wait_for_epoch(workspace: Path, name: str, driver: _Driver, n_epochs: int) -> None:
    ends_s = time.monotonic() + _LAUNCH_S
    while driver.is_running and time.monotonic() < ends_s and _n_epochs(_state(workspace, name)) < n_epochs:
        time.sleep(0.2)


def _other_bytes(state: SweepState, twin: Path) -> list[str]:
    """Checkpoints that are not, byte by byte, those of the undisturbed sweep."""
    expected = read_ledger(twin).trials
    problems = []
    for number, trial in state.trials.items():
        for event, other in zip(trial.reports, expected[number].reports, strict=False):
            ours, theirs = event.report.checkpoint, other.report.checkpoint
            if ours is None or theirs is None or ours.sha256 != theirs.sha256:
                problems.append(f"trial {number}: the checkpoint of epoch {event.report.epoch} has other bytes")
    return problems


def _state(workspace: Path, name: str) -> SweepState:
    folder = workspace / "mlruns" / "sweeps" / name
    return read_ledger(folder) if (folder / LEDGER_NAME).exists() else SweepState()


def _n_epochs(state: SweepState) -> int:
    return sum(trial.n_epochs for trial in state.trials.values())


def _wanted(tally: Tally, kinds: list[str], each: int) -> list[str]:
    tried = {fault: count.tried for (_, fault, _), count in tally.counts.items()}
    return [kind for kind in kinds for _ in range(each - tried.get(kind, 0))]


def _print(tally: Tally, seed: int) -> None:
    rows = [
        ((FAULTS[fault].__doc__ or "").rstrip(".").split(";")[0], str(found.tried), str(found.lost))
        for (_, fault, _), found in tally.counts.items()
    ]
    total = tally.total()
    rows.append(("all", str(total.tried), str(total.lost)))
    print(f"\n### Faults in a cluster of three imitated hosts, seed {seed}\n\n{machine_line()}\n")
    print(markdown_table(("fault", "tried", "lost"), rows))
    print(f"\n- {len(tally.done)} sweeps of {_TRIALS} trials of {_EPOCHS} epochs")
    print("\n".join(f"- LOST: {problem}" for problem in tally.problems), flush=True)


if __name__ == "__main__":
    typer.run(main)
