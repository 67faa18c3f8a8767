"""Sweeps that are killed, starved and cut off, and an audit of what is left of them: `make chaos`.

    python -m tests.chaos [--kills 100] [--real-kills 10] [--seed 1]

Most sweeps have the cheap objective under the real driver, engine, ledger, workers and MLflow; some
train networks. After each its ledger, its runs in MLflow and its files are held against each other
and against a sweep of the same experiment that nothing disturbed. Prints a table and ends with 1 if
anything was lost.
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
from tests.chaos.drivers import DriverServer, RunningDriver, driver_server
from tests.chaos.experiments import METRIC, TINY_METRIC, write_cheap, write_tiny
from tests.chaos.faults import KILLS, SUSPENSIONS, Fault, Launch, count_epochs, wait_for_epochs
from tests.chaos.tally import Tally

_EXECUTOR = {"threads": 1, "max_attempts": 9, "min_free_mb": 0}
_TPE = {"name": "optuna", "sampler": "tpe", "n_startup_trials": 2, "pruner": "none"}
_RANDOM = {"name": "optuna", "sampler": "random", "pruner": "none"}
_ASHA = {"name": "optuna", "sampler": "tpe", "n_startup_trials": 2, "pruner": "asha", "rung_factor": 2}
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "tpe": {"engine": _TPE, "executor": _EXECUTOR | {"workers": 1}, "budget": {"trials": 4}},
    "random": {"engine": _RANDOM, "executor": _EXECUTOR | {"workers": 1}, "budget": {"trials": 4}},
    "asha": {"engine": _ASHA, "executor": _EXECUTOR | {"workers": 1}, "budget": {"trials": 4}},
    "two-workers": {"engine": _RANDOM, "executor": _EXECUTOR | {"workers": 2}, "budget": {"trials": 6}},
}
"""Each ends the same whatever happens on the way: with two workers only what no order of trials can
change.
"""

_MAX_FAULTS = 3
_LONGEST_WAIT_S = 3.0


def main(
    kills: Annotated[int, typer.Option(min=0, help="Kills in all, at least.")] = 100,
    real_kills: Annotated[int, typer.Option(min=0, help="Of these, of sweeps that train networks.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Of the choice of faults and moments.")] = 1,
    store_away_s: Annotated[float, typer.Option(min=0, help="How long the tracking store is away; 0: not.")] = 60.0,
    kills_only: Annotated[bool, typer.Option("--kills-only", help="Leave the faults that are no kills out.")] = False,
    minutes: Annotated[float, typer.Option(min=0, help="After so long no further sweep is begun.")] = 600.0,
    folder: Annotated[Path | None, typer.Option(help="Where to leave the sweeps, to look at them.")] = None,
) -> None:
    """Disturb sweeps in every way, and say what they survived."""
    started_s = time.monotonic()
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="whosehand-chaos-") as temporary, driver_server() as server:
        workspace = folder or Path(temporary)
        workspace.mkdir(parents=True, exist_ok=True)
        ends_s = started_s + 60 * minutes
        faults = KILLS if kills_only else (*KILLS, *SUSPENSIONS)
        try:
            twins = {variant: _twin(server, workspace, f"twin-{variant}", variant) for variant in VARIANTS}
            if not kills_only:
                _single_faults(server, workspace, tally, twins, store_away_s)
            if real_kills:
                _real_sweeps(server, workspace, tally, real_kills, ends_s, random.Random(seed + 1))
            _cheap_sweeps(server, workspace, tally, twins, faults, kills, ends_s, random.Random(seed))
        except KeyboardInterrupt:
            notes.print("Interrupted: the table has what was finished.")
    _print(tally, time.monotonic() - started_s, seed)
    if tally.problems:
        sys.exit(1)


def _cheap_sweeps(
    server: DriverServer,
    workspace: Path,
    tally: Tally,
    twins: Mapping[str, Path],
    possible: tuple[Fault, ...],
    n_kills: int,
    ends_s: float,
    generator: random.Random,
) -> None:
    number = 0
    while tally.total(kills_only=True).injected < n_kills and time.monotonic() < ends_s:
        variant = generator.choice(list(VARIANTS))
        name = f"cheap-{number:03d}"
        experiment = write_cheap(workspace, name, VARIANTS[variant])
        launch = Launch(server, workspace, experiment, _random_moment(generator, _LONGEST_WAIT_S))
        faults, problems = _disturb(launch, possible, generator, tally)
        problems += audit(workspace, name, METRIC, twins[variant])
        tally.add(name, faults, problems)
        _note(tally, name, faults, problems)
        number += 1


def _real_sweeps(
    server: DriverServer, workspace: Path, tally: Tally, n_kills: int, ends_s: float, generator: random.Random
) -> None:
    twin = _run(Launch(server, workspace, write_tiny(workspace, "tiny-twin"), lambda _: None))
    _guarded(
        tally,
        "real training: truncated checkpoint",
        lambda: single_faults.truncated_checkpoint(server, workspace),
    )
    number, n_done = 0, 0
    while n_done < n_kills and time.monotonic() < ends_s:
        name = f"tiny-{number:03d}"
        launch = Launch(server, workspace, write_tiny(workspace, name), lambda _: None)
        launch = Launch(server, workspace, launch.experiment, _random_epoch(launch, generator))
        faults, problems = _disturb(launch, KILLS, generator, tally)
        problems += audit(workspace, name, TINY_METRIC, twin)
        n_done += sum(faults.values())
        faults = {f"real training: {fault}": n for fault, n in faults.items()}
        tally.add(name, faults, problems)
        _note(tally, name, faults, problems)
        number += 1


def _single_faults(
    server: DriverServer, workspace: Path, tally: Tally, twins: Mapping[str, Path], store_away_s: float
) -> None:
    tpe, plain = twins["tpe"], twins["random"]
    _guarded(tally, "torn last line of the ledger", lambda: single_faults.torn_ledger(server, workspace, tpe))
    _guarded(
        tally,
        "truncated database of the engine",
        lambda: single_faults.torn_engine_storage(server, workspace, plain),
    )
    try:
        _guarded(tally, "full disk for 8 s", lambda: single_faults.full_disk(server, workspace))
    except PermissionError as error:
        notes.print(f"full disk: left out, a small disk cannot be mounted here: {error}")
    if store_away_s:
        _guarded(
            tally,
            f"tracking store away for {store_away_s:.0f} s",
            lambda: single_faults.store_away(server, workspace, store_away_s),
        )


def _guarded(tally: Tally, fault: str, find_problems: Callable[[], list[str]]) -> None:
    problems = find_problems()
    tally.add(fault, {fault: 1}, problems)
    _note(tally, fault, {}, problems)


def _disturb(
    launch: Launch, faults: tuple[Fault, ...], generator: random.Random, tally: Tally
) -> tuple[dict[str, int], list[str]]:
    """Launch a sweep again and again, each time with a fault, and at last without."""
    injected: dict[str, int] = {}
    for _ in range(generator.randint(1, _MAX_FAULTS)):
        fault = generator.choice(faults)
        title = (fault.__doc__ or "").split(".")[0].split(",")[0]
        done = fault(launch, generator)
        tally.n_launches += 1
        if done.n_injected:
            injected[title] = injected.get(title, 0) + done.n_injected
        if done.code not in (0, 130, -9, -15):
            return injected, [f"a launch ended with {done.code}: {_log(launch)}"]
    driver = launch.begin()
    tally.n_launches += 1
    code = driver.end()
    return injected, [] if code == 0 else [f"the last launch ended with {code}: {_log(launch)}"]


def _log(launch: Launch) -> str:
    return (launch.workspace / f"{launch.experiment.stem}.log").read_text()[-1500:]


def _twin(server: DriverServer, workspace: Path, name: str, variant: str) -> Path:
    return _run(Launch(server, workspace, write_cheap(workspace, name, VARIANTS[variant]), lambda _: None))


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


def _note(tally: Tally, name: str, faults: Mapping[str, int], problems: list[str]) -> None:
    total = tally.total()
    notes.print(f"{name}: {total.injected} faults so far; {', '.join(faults) or 'no fault'}; {problems or 'whole'}")


def _print(tally: Tally, seconds: float, seed: int) -> None:
    rows = [
        (fault, str(count.injected), str(count.survived), str(count.lost))
        for fault, count in sorted(tally.counts.items())
    ]
    for title, total in (("all kills", tally.total(kills_only=True)), ("all faults", tally.total())):
        rows.append((title, str(total.injected), str(total.survived), str(total.lost)))
    print(f"\n### Chaos, seed {seed}\n\n{machine_line()}\n")
    print(markdown_table(("fault", "injected", "survived", "lost"), rows))
    print(f"\n- {tally.n_sweeps} sweeps in {tally.n_launches} launches, {seconds / 60:.0f} minutes")
    print("\n".join(f"- LOST: {problem}" for problem in tally.problems), flush=True)


if __name__ == "__main__":
    typer.run(main)
