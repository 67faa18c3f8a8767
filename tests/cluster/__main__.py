"""Faults in a cluster, and what is left of the sweep on it.

    python -m tests.cluster [--kills 10] [--others 4] [--networks 10] [--seed 1] [--minutes 45]

Three hosts are imitated on this machine (`hosts.py`; needs root and Linux), with Ray on each.
Sweeps of small networks, and then of the cheap objective with epochs of a second, run over them
while workers, raylets, hosts and the driver are killed, cables cut and slowed, and disks filled, at
random moments. Afterwards ledger, MLflow and files are held against each other and against a sweep
on local workers that nothing disturbed: the same points, the same scores of each epoch, of networks
the same bytes of each checkpoint. Prints a table; ends with 1 if anything was lost or doubled. What
was done is kept in the folder: the same command goes on.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.report import machine_line, markdown_table, notes
from search.ledger.ledger import LEDGER_NAME, read_ledger
from search.ledger.state import SweepState
from tests.chaos.audit import audit
from tests.chaos.experiments import METRIC, TINY_METRIC, write_cheap, write_tiny
from tests.chaos.tally import Tally
from tests.cluster.faults import FAULTS, KILLS, OTHERS, Disturbed
from tests.cluster.hosts import Host, imitated_hosts, processes_left
from tests.command_line import COMMAND, environment

PROMISE = "a sweep over a cluster is the sweep that nothing disturbed, to the bytes of its checkpoints"
_NETWORKS, _CHEAP = "networks", "cheap"
_LOCAL = {"workers": 1, "threads": 1, "max_attempts": 99, "min_free_mb": 0}
_RAY = {**_LOCAL, "name": "ray"}
_SOBOL = {"name": "optuna", "sampler": "qmc", "pruner": "none"}
_SLOW = {"run": "tests.chaos.slow_objective:train_slowly", "metric": METRIC}
_EPOCHS = {_NETWORKS: 3, _CHEAP: 4}
_CHEAP_TRIALS = 40
_LAUNCH_S, _LONGEST_PAUSE_S, _END_S = 600.0, 8.0, 30.0


def main(
    kills: Annotated[int, typer.Option(min=0, help="Of worker, raylet, host and driver, each.")] = 10,
    others: Annotated[int, typer.Option(min=0, help="Of cut, slow, disk and all, each.")] = 4,
    networks: Annotated[int, typer.Option(min=0, help="Of these, over sweeps that train networks.")] = 10,
    trials: Annotated[int, typer.Option(min=1, help="Of a sweep that trains networks.")] = 24,
    seed: Annotated[int, typer.Option(min=0, help="Of kinds and moments.")] = 1,
    minutes: Annotated[float, typer.Option(min=0, help="After so long no further sweep is begun.")] = 45.0,
    per_sweep: Annotated[int, typer.Option(min=1, help="Faults in one sweep, at most.")] = 10,
    only: Annotated[str, typer.Option(help="Kinds of faults, by commas.")] = ",".join(FAULTS),
    folder: Annotated[Path, typer.Option(help="Where everything is left; a run there goes on.")] = Path(
        "build/cluster"
    ),
) -> None:
    """Disturb a cluster, and say what its sweeps survived."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the hosts are switched off
    ends_s = time.monotonic() + 60 * minutes
    workspace = folder.absolute()
    workspace.mkdir(parents=True, exist_ok=True)
    tally = Tally(workspace / "tally.jsonl")
    targets = {**dict.fromkeys(KILLS, kills), **dict.fromkeys(OTHERS, others)}
    wanted = _Wanted(tally, {kind: targets[kind] for kind in only.split(",")}, networks)
    if wanted.now()[1]:
        with imitated_hosts(("wha", "whb", "whc"), workspace) as hosts:
            _note("three hosts are up")
            while time.monotonic() < ends_s and (now := wanted.now())[1]:
                what, kinds = now
                n_trials = trials if what == _NETWORKS else _CHEAP_TRIALS
                twin, name = _twin(workspace, what, n_trials), f"{what}-{len(tally.done):03d}"
                generator = random.Random(f"{seed} {name}")
                generator.shuffle(kinds)
                faults, problems = _disturb(workspace, name, (what, n_trials), hosts, kinds[:per_sweep], generator)
                problems += audit(workspace, name, TINY_METRIC if what == _NETWORKS else METRIC, twin)
                if what == _NETWORKS:  # cheap checkpoints hold the worker's pid; their chain of losses is compared
                    problems += _other_bytes(_state(workspace, name), twin)
                tally.add(name, PROMISE, what, faults, problems)
                _note(f"{name}: {faults}, {tally.total().tried} faults so far, {len(tally.problems)} problems")
        if left := processes_left():
            tally.add(f"after {len(tally.done)} sweeps", PROMISE, _CHEAP, {}, [f"still there: {left}"])
    _print(tally, seed, trials)
    if tally.problems:
        sys.exit(1)
    if wanted.now()[1]:
        notes.print("Not all yet: the same command goes on.")


@dataclass(frozen=True)
class _Wanted:
    """What is still to be done: first over networks, then the rest."""

    tally: Tally
    targets: Mapping[str, int]
    networks: int

    def now(self) -> tuple[str, list[str]]:
        over_networks = {kind: min(self.networks, target) for kind, target in self.targets.items()}
        for what, targets in ((_NETWORKS, over_networks), (_CHEAP, self.targets)):
            whats = (_NETWORKS,) if what == _NETWORKS else (_NETWORKS, _CHEAP)
            kinds = [kind for kind, n in targets.items() for _ in range(n - _n_tried(self.tally, kind, *whats))]
            if kinds:
                return what, kinds
        return _CHEAP, []


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


def _twin(workspace: Path, what: str, n_trials: int) -> Path:
    """A sweep on local workers that nothing disturbs."""
    name = f"twin-{what}-of-{n_trials}"
    folder = workspace / "mlruns" / "sweeps" / name
    if not (folder / LEDGER_NAME).exists() or read_ledger(folder).closed is None:
        executor = {**_LOCAL, "workers": 1 if what == _NETWORKS else 8}  # the cheap one only sleeps
        command = [str(COMMAND), "sweep", str(_write(workspace, name, what, n_trials, executor))]
        subprocess.run(command, cwd=workspace, env=environment(), check=True, capture_output=True)
    return folder


def _write(workspace: Path, name: str, what: str, n_trials: int, executor: Mapping[str, Any]) -> Path:
    changes = {
        "engine": _SOBOL,
        "executor": executor,
        "training": {"epochs": _EPOCHS[what], "precision": "float32"},
        "budget": {"trials": n_trials},
    }
    if what == _NETWORKS:
        return write_tiny(workspace, name, changes)
    return write_cheap(workspace, name, {**changes, "objective": _SLOW})


def _disturb(
    workspace: Path, name: str, of: tuple[str, int], hosts: list[Host], wanted: list[str], generator: random.Random
) -> tuple[dict[str, int], list[str]]:
    """Run a sweep to its end with faults on the way.

    Args:
        of: what it trains, and how many trials.

    Returns:
        Counts of the faults, and what is wrong.
    """
    driver = _Driver(workspace, _write(workspace, name, *of, _RAY), hosts[0])
    cluster = Disturbed(hosts, driver.kill, driver.launch)
    driver.launch()
    injected: dict[str, int] = {}
    try:
        while wanted and driver.is_running:
            if not injected or generator.random() < 0.5:  # else the next one strikes while all are still busy
                _wait_for_epoch(workspace, name, driver)
            time.sleep(generator.uniform(0.0, _LONGEST_PAUSE_S))
            kind = wanted.pop(0)
            if FAULTS[kind](cluster, generator):
                injected[kind] = injected.get(kind, 0) + 1
                _note(f"{name}: {kind}, {_n_epochs(_state(workspace, name))} epochs done")
            else:
                wanted.append(kind)  # nothing was there to befall: later
        code = driver.end()
    finally:
        driver.kill()
    log = (workspace / f"{name}.log").read_text(errors="replace")
    problems = [] if code == 0 else [f"the last launch ended with {code}: {log[-1500:]}"]
    if "(raylet)" in log:
        problems.append("what Ray says is among what the sweep says")
    for host in hosts:
        host.wait_until_back()
    return injected, problems + _left_on(hosts)


def _left_on(hosts: list[Host]) -> list[str]:
    """Agents and workers that outlive their sweep."""
    ends_s = time.monotonic() + _END_S
    while found := [process for host in hosts for process in host.find("forkserver") + host.find("AgentActor")]:
        if time.monotonic() > ends_s:
            return [f"{process.name()} {process.pid} outlives the sweep" for process in found]
        time.sleep(0.5)
    return []


def _wait_for_epoch(workspace: Path, name: str, driver: _Driver) -> None:
    n_epochs, ends_s = _n_epochs(_state(workspace, name)), time.monotonic() + _LAUNCH_S
    while driver.is_running and time.monotonic() < ends_s and _n_epochs(_state(workspace, name)) <= n_epochs:
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


def _n_tried(tally: Tally, kind: str, *whats: str) -> int:
    return sum(count.tried for (_, fault, how), count in tally.counts.items() if fault == kind and how in whats)


def _note(text: str) -> None:
    notes.print(f"{datetime.now(UTC):%H:%M:%S} {text}")


def _print(tally: Tally, seed: int, trials: int) -> None:
    rows: list[tuple[str, ...]] = [
        (
            (FAULTS[kind].__doc__ or "").rstrip("."),
            str(_n_tried(tally, kind, _NETWORKS)),
            str(_n_tried(tally, kind, _CHEAP)),
            str(sum(count.lost for (_, fault, _), count in tally.counts.items() if fault == kind)),
        )
        for kind in FAULTS
    ]
    rows.append(("all", *(str(sum(int(row[k]) for row in rows)) for k in (1, 2, 3))))
    columns = ("fault", "over networks", "over the cheap objective", "lost")
    print(f"\n### Faults in a cluster of three imitated hosts, {datetime.now(UTC):%Y-%m-%d}, seed {seed}\n")
    print(f"{machine_line()}\n\n{markdown_table(columns, rows)}\n")
    for what in (_NETWORKS, _CHEAP):
        n_sweeps = sum(name.startswith(what) for name in tally.done)
        n_trials = trials if what == _NETWORKS else _CHEAP_TRIALS
        print(f"- {what}: {n_sweeps} sweeps of {n_trials} trials of {_EPOCHS[what]} epochs")
    print("\n".join(f"- LOST: {problem}" for problem in tally.problems), flush=True)


if __name__ == "__main__":
    typer.run(main)
