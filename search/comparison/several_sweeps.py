"""Several sweeps side by side: how good the best trial was after so many trials, patches and seconds."""

import csv
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from core.errors import ComparisonError
from core.splits.manifest import SplitManifest
from search.experiment.experiment import differences
from search.experiment.workspace import Workspace
from search.ledger.ranking import Direction
from search.ledger.state import SweepState, TrialRecord
from search.ledger.trial import TrialState
from search.sweep.known_sweeps import KnownSweep, read_sweep
from search.sweep.preparation import SPLIT_FILE

COLUMNS = ("sweep", "engine", "trial", "n_trials", "n_patches", "elapsed_s", "value", "best_so_far")
_SEED_SUFFIX = re.compile(r"-s\d+$")


@dataclass(frozen=True)
class Step:
    """A trial was completed.

    Attributes:
        trial: its number.
        n_trials: started by then, whatever became of them.
        n_patches: trained by then in the whole sweep, also for trials that were pruned, failed or wait.
        elapsed_s: wall-clock seconds of all launches by then.
        value: of the objective.
        best: the best value of a completed trial so far, as the leaderboard counts.
    """

    trial: int
    n_trials: int
    n_patches: int
    elapsed_s: float
    value: float
    best: float


@dataclass(frozen=True)
class ComparedSweep:
    """One sweep of a comparison.

    Attributes:
        name: of the sweep.
        sweep_id: of the sweep.
        engine: in a few words.
        metric: of the objective.
        direction: whether low or high values are better.
        split_hash: of the split's manifest.
        steps: one for each completed trial, in the order of their ends.
        counts: trials by state.
        n_trials: started.
        n_patches: trained.
        elapsed_s: wall-clock seconds of all launches.
        warning: what everyone must know who sees the scores, such as that the split leaks; empty if nothing.
    """

    name: str
    sweep_id: str
    engine: str
    metric: str
    direction: Direction
    split_hash: str
    steps: tuple[Step, ...]
    counts: Mapping[TrialState, int]
    n_trials: int
    n_patches: int
    elapsed_s: float
    warning: str = ""

    @property
    def best(self) -> Step | None:
        """When the best trial was completed; `None` if none was."""
        return next((step for step in self.steps if step.value == self.steps[-1].best), None)

    def patches_until(self, value: float) -> int | None:
        """Patches trained until a trial was at least so good; `None` if none was."""
        sign = 1 if self.direction == "minimize" else -1
        return next((step.n_patches for step in self.steps if sign * step.best <= sign * value), None)


@dataclass(frozen=True)
class Comparison:
    """Sweeps with one objective on one split.

    Attributes:
        sweeps: in the order in which they were named.
        remarks: what else differs between them, beside engine and seed.
    """

    sweeps: tuple[ComparedSweep, ...]
    remarks: tuple[str, ...]

    @property
    def metric(self) -> str:
        """The objective's."""
        return self.sweeps[0].metric

    @property
    def warning(self) -> str:
        """Of the split that all of them have."""
        return self.sweeps[0].warning

    @property
    def direction(self) -> Direction:
        """Whether low or high values are better."""
        return self.sweeps[0].direction

    @property
    def common_goal(self) -> float | None:
        """The best value that every sweep with a completed trial has reached."""
        bests = [sweep.steps[-1].best for sweep in self.sweeps if sweep.steps]
        return (max if self.direction == "minimize" else min)(bests, default=None)

    def groups(self, by_seed: bool) -> dict[str, list[ComparedSweep]]:
        """The sweeps by name; where `by_seed`, those whose names differ in an ending such as `-s1` together."""
        groups: dict[str, list[ComparedSweep]] = {}
        for sweep in self.sweeps:
            name = _SEED_SUFFIX.sub("", sweep.name) if by_seed else sweep.name
            groups.setdefault(name, []).append(sweep)
        return groups


def compare_sweeps(names: Sequence[str], workspace: Workspace) -> Comparison:
    """Read sweeps and see that they can be compared. Running ones count as far as they are; nothing is written.

    Raises:
        LedgerError: if there is no such sweep.
        ComparisonError: if a sweep is named twice, or two differ in their split or their objective.
    """
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ComparisonError(f"Each sweep can be compared once, but {', '.join(twice)} is named twice.")
    known = [read_sweep(name, workspace) for name in names]
    sweeps = tuple(_compared(sweep) for sweep in known)
    for other in sweeps[1:]:
        _check_alike(sweeps[0], other)
    return Comparison(sweeps, tuple(remark for other in known[1:] for remark in _remarks(known[0], other)))


def write_csv(comparison: Comparison, path: Path) -> None:
    """Write a row for each completed trial, with the columns `COLUMNS`."""
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(COLUMNS)
        for sweep in comparison.sweeps:
            for step in sweep.steps:
                rows.writerow(
                    [
                        *(sweep.name, sweep.engine, step.trial, step.n_trials, step.n_patches),
                        *(f"{step.elapsed_s:.3f}", step.value, step.best),
                    ]
                )


def _compared(sweep: KnownSweep) -> ComparedSweep:
    path = sweep.folder / SPLIT_FILE
    if not path.exists():
        raise ComparisonError(f"A sweep to compare must have a split, but {path} is not there yet. Try again later.")
    state, objective = sweep.state, sweep.experiment.objective
    manifest = SplitManifest.load(path)
    return ComparedSweep(
        name=sweep.created.name,
        sweep_id=sweep.created.sweep_id,
        engine=sweep.experiment.engine.label,
        metric=objective.metric,
        direction=objective.resolved_direction,
        split_hash=manifest.hash,
        warning=manifest.warning,
        steps=_steps(state, objective.resolved_direction),
        counts=Counter(trial.state for trial in state.trials.values()),
        n_trials=len(state.trials),
        n_patches=state.n_patches,
        elapsed_s=state.elapsed_s(state.last_ms),
    )


def _steps(state: SweepState, direction: Direction) -> tuple[Step, ...]:
    ends = sorted(end for trial in state.trials.values() for end in _completion(trial))
    bests = accumulate((value for _, _, value in ends), min if direction == "minimize" else max)
    trained = [(report.at_ms, report.report.n_patches) for trial in state.trials.values() for report in trial.reports]
    return tuple(
        Step(
            trial=number,
            n_trials=sum(trial.proposed.at_ms <= at_ms for trial in state.trials.values()),
            n_patches=sum(n_patches for reported_ms, n_patches in trained if reported_ms <= at_ms),
            elapsed_s=state.elapsed_s(at_ms),
            value=value,
            best=best,
        )
        for (at_ms, number, value), best in zip(ends, bests, strict=True)
    )


def _completion(trial: TrialRecord) -> list[tuple[int, int, float]]:
    """Time, number and value of a completed trial, as a list of one; else an empty one."""
    if trial.state is not TrialState.COMPLETED or trial.ended is None or trial.ended.result.value is None:
        return []
    return [(trial.ended.at_ms, trial.number, trial.ended.result.value)]


def _check_alike(one: ComparedSweep, other: ComparedSweep) -> None:
    if one.split_hash != other.split_hash:
        raise ComparisonError(
            f"Only sweeps on the same split can be compared, but {one.name} has split {one.split_hash[:12]} and "
            f"{other.name} has {other.split_hash[:12]}: their scores are of other pages. Run both with the same "
            "`corpus`, `writers` and `split`."
        )
    if (one.metric, one.direction) != (other.metric, other.direction):
        raise ComparisonError(
            f"Only sweeps with the same objective can be compared, but {one.name} would {one.direction} {one.metric} "
            f"and {other.name} {other.direction} {other.metric}. Run both with the same `objective`."
        )


def _remarks(one: KnownSweep, other: KnownSweep) -> list[str]:
    found = [
        line for line in differences(one.created.config, other.experiment) if not line.startswith(("engine", "seed"))
    ]
    shown = [f"{one.created.name} -> {other.created.name}: {line}" for line in found[:3]]
    return [*shown, *([f"... and {len(found) - 3} more differences"] if len(found) > 3 else [])]
