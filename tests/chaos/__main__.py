"""Faults in everything that writes, and what is left of it: `make chaos`.

    python -m tests.chaos [--minutes 20] [--kills 100] [--real-kills 10] [--folder FOLDER]

Aliases that move, `gc`, `reconcile`, moved and copied projects are killed at each of their writes,
ledgers are cut, disks are full, a tracking server goes away, promotions are killed at each of their
points, and sweeps, most of them with the cheap objective under the real driver, engine, ledger,
workers and MLflow, at named points and at random times. After each fault the same command is run
again, and ledger, MLflow and files are held against each other and against a sweep that nothing
disturbed. Prints a table and ends with 1 if anything was lost, doubled or left RUNNING. With
--folder, a run that was stopped goes on where it was.
"""

import random
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer

from benchmarks.report import machine_line, markdown_table, notes
from tests.chaos import single_faults
from tests.chaos.audit import audit
from tests.chaos.drivers import RunningDriver
from tests.chaos.experiments import METRIC, TINY_METRIC, write_cheap, write_tiny
from tests.chaos.faults import KILLS, SUSPENSIONS, Fault, Launch, count_epochs, wait_for_epochs
from tests.chaos.parts import record_parts
from tests.chaos.tally import Tally

_EXECUTOR = {"threads": 1, "max_attempts": 9, "min_free_mb": 0}
_TPE = {"name": "optuna", "sampler": "tpe", "n_startup_trials": 2, "pruner": "none"}
_RANDOM = {"name": "optuna", "sampler": "random", "pruner": "none"}
_ASHA = {
    "name": "optuna",
    "sampler": "tpe",
    "n_startup_trials": 2,
    "pruner": "asha",
    "rung_first_epoch": 1,
    "rung_factor": 2,
}
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "tpe": {"engine": _TPE, "executor": _EXECUTOR | {"workers": 1}, "budget": {"trials": 4}},
    "random": {"engine": _RANDOM, "executor": _EXECUTOR | {"workers": 1}, "budget": {"trials": 4}},
    "asha": {"engine": _ASHA, "executor": _EXECUTOR | {"workers": 1}, "budget": {"trials": 4}},
    "two-workers": {"engine": _RANDOM, "executor": _EXECUTOR | {"workers": 2}, "budget": {"trials": 6}},
}
"""Each ends the same whatever happens on the way: with two workers only what no order of trials can
change.
"""

SWEEP_PROMISE = "a sweep goes on where it was: no trial lost or doubled, no run left RUNNING"
_REAL = "real training: "
_MAX_FAULTS = 3
_LONGEST_WAIT_S = 3.0


def main(
    minutes: Annotated[float, typer.Option(min=0, help="After so long no further part is begun.")] = 20.0,
    kills: Annotated[int, typer.Option(min=0, help="Kills of sweeps, at least.")] = 100,
    real_kills: Annotated[int, typer.Option(min=0, help="Of these, of sweeps that train networks.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Of the choice of faults and moments.")] = 1,
    store_away_s: Annotated[float, typer.Option(min=0, help="How long the tracking store is away; 0: not.")] = 60.0,
    step: Annotated[int, typer.Option(min=1, help="Of gc, reconcile and cut ledgers each n-th place only.")] = 1,
    kills_only: Annotated[bool, typer.Option("--kills-only", help="Leave the faults that are no kills out.")] = False,
    sweeps_only: Annotated[bool, typer.Option("--sweeps-only", help="Leave all but sweeps out.")] = False,
    folder: Annotated[Path | None, typer.Option(help="Where to leave everything; a run there goes on.")] = None,
) -> None:
    """Disturb everything that writes, and say what it survived."""
    started_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="whosehand-chaos-") as temporary:
        workspace = (folder or Path(temporary)).absolute()
        workspace.mkdir(parents=True, exist_ok=True)
        tally = Tally(workspace / "tally.jsonl")
        ends_s = started_s + 60 * minutes
        try:
            for part in record_parts(workspace, step) if not sweeps_only else ():
                if time.monotonic() < ends_s and part.name not in tally.done:
                    tally.run(part)
                    _note(tally, part.name)
            if kills:
                _sweeps(workspace, tally, kills, real_kills, seed, 0.0 if kills_only else store_away_s, ends_s)
        except KeyboardInterrupt:
            notes.print("Interrupted: the table has what was finished.")
        _print(tally, time.monotonic() - started_s, seed)
    if tally.problems:
        sys.exit(1)


def _sweeps(
    workspace: Path, tally: Tally, n_kills: int, n_real: int, seed: int, store_away_s: float, ends_s: float
) -> None:
    if time.monotonic() >= ends_s:
        return
    place = Path(tempfile.mkdtemp(prefix="sweeps-", dir=workspace))  # a run that goes on begins new ones
    twins = {variant: _twin(place, f"twin-{variant}", variant) for variant in VARIANTS}
    if store_away_s:
        _single_faults(place, tally, twins, store_away_s, ends_s)
    if n_real:
        _real_sweeps(place, tally, n_real, ends_s, random.Random(seed + 1))
    faults = (*KILLS, *SUSPENSIONS) if store_away_s else KILLS
    _cheap_sweeps(place, tally, twins, faults, n_kills, ends_s, random.Random(f"{seed} {len(tally.done)}"))


def _cheap_sweeps(
    workspace: Path,
    tally: Tally,
    twins: Mapping[str, Path],
    possible: tuple[Fault, ...],
    n_kills: int,
    ends_s: float,
    generator: random.Random,
) -> None:
    while tally.n_kills_of_sweeps() < n_kills and time.monotonic() < ends_s:
        variant = generator.choice(list(VARIANTS))
        name = f"cheap-{len(tally.done):03d}"
        experiment = write_cheap(workspace, name, VARIANTS[variant])
        launch = Launch(workspace, experiment, _random_moment(generator, _LONGEST_WAIT_S))
        faults, problems = _disturb(launch, possible, generator)
        problems += audit(workspace, name, METRIC, twins[variant])
        tally.add(name, SWEEP_PROMISE, "signal", faults, problems)
        _note(tally, name)


def _real_sweeps(workspace: Path, tally: Tally, n_kills: int, ends_s: float, generator: random.Random) -> None:
    n_done = sum(count.tried for (_, fault, _), count in tally.counts.items() if fault.startswith(_REAL))
    if n_done >= n_kills or time.monotonic() >= ends_s:
        return
    twin = _run(Launch(workspace, write_tiny(workspace, "tiny-twin"), lambda _: None))
    _guarded(tally, f"{_REAL}truncated checkpoint", lambda: single_faults.truncated_checkpoint(workspace))
    while n_done < n_kills and time.monotonic() < ends_s:
        name = f"tiny-{len(tally.done):03d}"
        launch = Launch(workspace, write_tiny(workspace, name), lambda _: None)
        launch = Launch(workspace, launch.experiment, _random_epoch(launch, generator))
        faults, problems = _disturb(launch, KILLS, generator)
        problems += audit(workspace, name, TINY_METRIC, twin)
        n_done += sum(faults.values())
        faults = {f"{_REAL}{fault}": n for fault, n in faults.items()}
        tally.add(name, SWEEP_PROMISE, "signal", faults, problems)
        _note(tally, name)


def _single_faults(
    workspace: Path, tally: Tally, twins: Mapping[str, Path], store_away_s: float, ends_s: float
) -> None:
    away = f"tracking server away for {store_away_s:.0f} s"
    faults = {
        "torn last line of the ledger": lambda: single_faults.torn_ledger(workspace, twins["tpe"]),
        "truncated database of the engine": lambda: single_faults.torn_engine_storage(workspace, twins["random"]),
        "full disk for 8 s": lambda: single_faults.full_disk(workspace),
        away: lambda: single_faults.store_away(workspace, store_away_s),
    }
    for fault, find_problems in faults.items():
        if fault in tally.done or time.monotonic() >= ends_s:
            continue
        try:
            _guarded(tally, fault, find_problems)
        except PermissionError as error:
            notes.print(f"{fault}: left out, a small disk cannot be mounted here: {error}")


def _guarded(tally: Tally, fault: str, find_problems: Callable[[], list[str]]) -> None:
    tally.add(fault, SWEEP_PROMISE, "real fault", {fault: 1}, find_problems())
    _note(tally, fault)


def _disturb(launch: Launch, faults: tuple[Fault, ...], generator: random.Random) -> tuple[dict[str, int], list[str]]:
    """Launch a sweep again and again, each time with a fault, and at last without."""
    injected: dict[str, int] = {}
    for _ in range(generator.randint(1, _MAX_FAULTS)):
        fault = generator.choice(faults)
        title = (fault.__doc__ or "").split(".")[0].split(",")[0]
        done = fault(launch, generator)
        if done.n_injected:
            injected[title] = injected.get(title, 0) + done.n_injected
        if done.code not in (0, 130, -9, -15):
            return injected, [f"a launch ended with {done.code}: {_log(launch)}"]
    driver = launch.begin()
    code = driver.end()
    return injected, [] if code == 0 else [f"the last launch ended with {code}: {_log(launch)}"]


def _log(launch: Launch) -> str:
    return (launch.workspace / f"{launch.experiment.stem}.log").read_text()[-1500:]


def _twin(workspace: Path, name: str, variant: str) -> Path:
    return _run(Launch(workspace, write_cheap(workspace, name, VARIANTS[variant]), lambda _: None))


def _run(launch: Launch) -> Path:
    """Run a sweep that nothing disturbs."""
    if launch.begin().end() != 0:
        raise RuntimeError(f"A sweep that nothing disturbs must complete: {_log(launch)}")
    return launch.sweep


def _random_moment(generator: random.Random, longest_s: float) -> Callable[[RunningDriver], None]:
    def wait(driver: RunningDriver) -> None:
        ends_s = time.monotonic() + generator.uniform(0.0, longest_s)
        while time.monotonic() < ends_s and psutil.pid_exists(driver.pid):
            time.sleep(0.01)

    return wait


def _random_epoch(launch: Launch, generator: random.Random) -> Callable[[RunningDriver], None]:
    """Soon after one of the next epochs: most of a launch's time goes by in imports."""

    def wait(driver: RunningDriver) -> None:
        if wait_for_epochs(launch, driver, count_epochs(launch.state()) + generator.randint(0, 4)):
            time.sleep(generator.uniform(0.0, 0.5))

    return wait


def _note(tally: Tally, name: str) -> None:
    total = tally.total()
    notes.print(f"{name}: {total.tried} faults so far, {total.lost} lost")


def _print(tally: Tally, seconds: float, seed: int) -> None:
    rows = [
        (promise, fault, how, str(found.tried), str(found.lost))
        for (promise, fault, how), found in tally.counts.items()
    ]
    total = tally.total()
    rows.append(("all", "", "", str(total.tried), str(total.lost)))
    print(f"\n### Chaos, seed {seed}\n\n{machine_line()}\n")
    print(markdown_table(("promise", "fault", "injected as", "tried", "lost"), rows))
    print(f"\n- {len(tally.done)} parts, {seconds / 60:.0f} minutes in this run")
    print("\n".join(f"- LOST: {problem}" for problem in tally.problems), flush=True)


if __name__ == "__main__":
    typer.run(main)
