"""What sweeps there are and where they stand: from their ledgers alone, also while they run."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from core.errors import LedgerError
from search.experiment.objective_settings import ObjectiveSettings
from search.experiment.settings import BudgetSettings
from search.experiment.workspace import Workspace
from search.ledger.ledger import LEDGER_NAME, read_ledger
from search.ledger.lock import LOCK_NAME, look_at_lock
from search.ledger.ranking import Direction
from search.ledger.state import SweepState, TrialRecord
from search.ledger.time_use import parts_of
from search.ledger.trial import TrialState
from search.sweep.deadline import RefitRule, predict_promotion_s
from search.sweep.plan import BudgetUse, budget_by_ledger, remaining_s

SweepCondition = Literal["running", "completed", "interrupted", "failed", "killed", "not begun", "damaged"]
"""`killed`: the last launch did not end in order, and nobody is on the sweep."""
_STATES = (TrialState.COMPLETED, TrialState.PRUNED, TrialState.FAILED, TrialState.PAUSED, TrialState.RUNNING)


@dataclass(frozen=True)
class SweepOverview:
    """A sweep at a glance.

    Attributes:
        name: as the user calls it.
        condition: whether it runs, or how its last launch ended.
        reason: of that end, or what is wrong with a damaged ledger; one line, may be empty.
        metric: that is searched for.
        direction: whether low or high values are better.
        counts: trials by state; a RUNNING one has no worker unless it is in `running`.
        best: the best completed trial.
        running: trials that a worker is on.
        budget: used and allowed, in words.
        share: of the budget, 0 to 1.
        elapsed_s: working time of all launches.
        remaining_s: estimated; `None` unless it runs and there is something to estimate from.
        where: host and process of the driver; empty unless it runs.
        now_ms: Unix time at which this holds: now while it runs, else that of the last event.
    """

    name: str
    condition: SweepCondition
    reason: str = ""
    metric: str = ""
    direction: Direction = "minimize"
    counts: Mapping[TrialState, int] | None = None
    best: TrialRecord | None = None
    running: tuple[TrialRecord, ...] = ()
    budget: str = ""
    share: float = 0.0
    elapsed_s: float = 0.0
    remaining_s: float | None = None
    where: str = ""
    now_ms: int = 0

    def as_json(self) -> dict[str, Any]:
        """The same as plain values, for scripts."""
        return {
            "name": self.name,
            "state": self.condition,
            "reason": self.reason,
            "metric": self.metric,
            "direction": self.direction,
            "trials": {str(state): count for state, count in (self.counts or {}).items() if count},
            "best": None if self.best is None else {"trial": self.best.number, "value": self.best.value},
            "running": [_running_as_json(trial, self.metric) for trial in self.running],
            "budget": self.budget,
            "budget_share": round(self.share, 4),
            "elapsed_s": round(self.elapsed_s, 1),
            "remaining_s": None if self.remaining_s is None else round(self.remaining_s, 1),
            "where": self.where,
        }


def list_sweeps(workspace: Workspace, now_ms: int) -> list[SweepOverview]:
    """All sweeps of a workspace by name, damaged ones among them.

    Args:
        workspace: where.
        now_ms: Unix time.
    """
    folders = sorted(path.parent for path in workspace.sweep("any").parent.glob(f"*/{LEDGER_NAME}"))
    return [look_at_sweep(folder, now_ms) for folder in folders]


def look_at_sweep(folder: Path, now_ms: int) -> SweepOverview:
    """One sweep, by its folder; a ledger that cannot be read makes it `damaged` instead of an
    error.
    """
    lock = look_at_lock(folder / LOCK_NAME)
    try:
        state = read_ledger(folder)
        if state.created is None or not state.launches:
            condition: SweepCondition = "running" if lock.is_held else "not begun"
            reason = "it prepares its corpus" if lock.is_held else ""
            return SweepOverview(folder.name, condition, reason, where=lock.holder if lock.is_held else "")
        # The whole experiment would take three times as long to read, for each of many sweeps.
        objective = ObjectiveSettings.model_validate(state.created.config["objective"])
        first_budget = BudgetSettings.model_validate(state.created.config["budget"])
    except (LedgerError, ValidationError, KeyError) as error:
        return SweepOverview(folder.name, "damaged", str(error).split("\n", 1)[0])
    return _overview(folder.name, state, objective, first_budget, lock.holder if lock.is_held else None, now_ms)


def trial_as_json(trial: TrialRecord) -> dict[str, Any]:
    """One trial whole, as plain values for scripts."""
    result = trial.result
    return {
        "trial": trial.number,
        "state": str(trial.state),
        "reason": trial.reason,
        "value": trial.value,
        "point": dict(trial.proposed.point),
        "hyperparameters": dict(trial.hyperparameters),
        "seed": trial.seed,
        "epochs": [
            {
                "epoch": event.report.epoch,
                "metrics": dict(event.report.metrics),
                "n_patches": event.report.n_patches,
                "duration_s": event.report.duration_s,
                "seconds": dict(event.report.seconds),
                "decision": str(event.decision),
            }
            for event in trial.reports
        ],
        "scores": {} if result is None else dict(result.metrics),
        "files": {} if result is None else {name: str(file.path) for name, file in result.artifacts.items()},
        "model": None if result is None or result.model is None else str(result.model.path),
        "attempts": trial.n_attempts,
        "worker_time_s": parts_of(trial),
        "hosts": list(hosts_of(trial)),
        "workers_lost": trial.n_lost,
        "nodes_lost": len(trial.nodes_lost_at),
        "is_tracked": trial.is_tracked,
        "note": trial.note or "",
        "tags": dict(trial.tags),
    }


def hosts_of(trial: TrialRecord) -> tuple[str, ...]:
    """Where a trial's attempts ran, in order, without repeats; none where the ledger does not
    say.
    """
    return tuple(dict.fromkeys(start.host for start in trial.starts if start.host))


def trials_with_workers(state: SweepState) -> tuple[TrialRecord, ...]:
    """The trials that a worker of the last launch is on, as far as the ledger tells."""
    launched_ms = state.launches[-1].at_ms if state.launches else 0
    running = [trial for trial in map(state.trials.__getitem__, sorted(state.unfinished)) if trial.has_worker]
    return tuple(trial for trial in running if trial.starts[-1].at_ms >= launched_ms)


def _overview(
    name: str,
    state: SweepState,
    objective: ObjectiveSettings,
    first_budget: BudgetSettings,
    holder: str | None,
    now_ms: int,
) -> SweepOverview:
    is_running = holder is not None
    at_ms = now_ms if is_running else state.last_ms
    limits = budget_by_ledger(state, first_budget)
    use = BudgetUse.of(limits, state, at_ms, lambda: _predict_promotion_s(state, objective))
    elapsed_s = state.elapsed_s(at_ms)
    condition: SweepCondition = "running" if is_running else (state.closed.status if state.closed else "killed")
    return SweepOverview(
        name=name,
        condition=condition,
        reason=state.closed.reason if state.closed and not is_running else "",
        metric=objective.metric,
        direction=objective.resolved_direction,
        counts={each: state.count(each) for each in _STATES},
        best=state.best(objective.resolved_direction),
        running=trials_with_workers(state) if is_running else (),
        budget=str(use if condition != "completed" else use.at_end),
        share=use.share,
        elapsed_s=elapsed_s,
        remaining_s=remaining_s(use, elapsed_s) if is_running else None,
        where=holder or "",
        now_ms=at_ms,
    )


def _predict_promotion_s(state: SweepState, objective: ObjectiveSettings) -> float | None:
    if state.created is None:
        return None
    return predict_promotion_s(state, objective.resolved_direction, RefitRule.of_config(state.created.config))


def _running_as_json(trial: TrialRecord, metric: str) -> dict[str, Any]:
    return {
        "trial": trial.number,
        "epoch": trial.n_epochs,
        "horizon_epochs": trial.proposed.horizon_epochs,
        "value": trial.reports[-1].report.metrics.get(metric) if trial.reports else None,
        "started_ms": trial.starts[-1].at_ms,
        "pid": trial.starts[-1].pid,
        "host": trial.starts[-1].host,
    }
