"""How cores are divided among workers: measured once, kept, only where the user leaves it open."""

import json
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from core.corpora.settings import HandsSettings
from search.executors.base import ExecutorError, WorkerPlace
from search.executors.local.executor import LocalExecutor, modules_to_preload
from search.executors.machine import count_cores
from search.experiment.experiment import Experiment
from search.experiment.objective_settings import TRAIN_PATCH_CNN
from search.experiment.settings import BudgetSettings, ExecutorSettings
from search.experiment.workspace import Workspace
from search.ledger.events import Launched
from search.ledger.trial import TrialSpec
from search.sweep import worker_layout
from search.sweep.progress import SilentProgress
from search.sweep.worker_layout import LAYOUT_FILE, Layout, _key, layouts_of, measure_layouts, with_layout

LAYOUTS = layouts_of(count_cores(), 10**12)
pytestmark = pytest.mark.skipif(len(LAYOUTS) < 2, reason="this machine has one core")


class Said(SilentProgress):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def experiment_of(executor: ExecutorSettings, budget: BudgetSettings | None = None) -> Experiment:
    budget = budget or BudgetSettings(minutes=30)
    return Experiment(name="layout", corpus=HandsSettings(), executor=executor, budget=budget)


def keep(folder: Path, experiment: Experiment, last_s: float) -> Workspace:
    """Speeds of a machine whose last layout is the fastest."""
    speeds = {f"{workers}x{threads}": 1000.0 for workers, threads in LAYOUTS[:-1]}
    speeds |= {f"{workers}x{threads}": last_s for workers, threads in LAYOUTS[-1:]}
    (folder / "mlruns").mkdir()
    (folder / "mlruns" / LAYOUT_FILE).write_text(json.dumps({_key(experiment): speeds}))
    return Workspace(folder)


def launched(layout: Layout, host: str) -> Launched:
    return Launched(1, host, 1, *layout, precision="float32")


def layout_of(experiment: Experiment) -> tuple[object, object]:
    return experiment.executor.workers, experiment.executor.threads


@pytest.mark.parametrize(("speed", "chosen"), [(1300.0, LAYOUTS[-1]), (1050.0, LAYOUTS[0]), (700.0, LAYOUTS[0])])
def test_several_workers_train_only_where_they_are_clearly_faster(tmp_path: Path, speed: float, chosen: Layout) -> None:
    experiment, said = experiment_of(ExecutorSettings()), Said()
    assert layout_of(with_layout(experiment, keep(tmp_path, experiment, speed), [], said)) == chosen
    assert any("together 1.30 times as fast as one" in line for line in said.lines) is (speed == 1300.0)


def test_a_sweep_goes_on_with_the_workers_that_it_began_with(tmp_path: Path) -> None:
    experiment = experiment_of(ExecutorSettings())
    workspace = keep(tmp_path, experiment, 1300.0)
    for begun in LAYOUTS[:2]:
        again = with_layout(experiment, workspace, [launched(begun, socket.gethostname())], SilentProgress())
        assert layout_of(again) == begun
    assert with_layout(experiment, workspace, [launched(LAYOUTS[0], "elsewhere")], SilentProgress()) == experiment


def test_what_the_user_says_is_done_and_a_short_sweep_measures_nothing(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    said = [experiment_of(executor) for executor in (ExecutorSettings(workers=1), ExecutorSettings(threads=1))]
    short = [
        experiment_of(ExecutorSettings(), budget) for budget in (BudgetSettings(trials=8), BudgetSettings(minutes=4))
    ]
    for experiment in (*said, *short):
        assert with_layout(experiment, workspace, [], SilentProgress()) is experiment
    assert not (tmp_path / "mlruns").exists()


def test_the_server_that_measures_has_imported_what_trials_need(monkeypatch: pytest.MonkeyPatch) -> None:
    """All workers of a driver are forked from it."""

    class Broken(LocalExecutor):
        def __init__(self, n_workers: int, threads: int, *, preload: Sequence[str] = (), **others: Any) -> None:
            super().__init__(n_workers, threads, preload=preload, **others)
            preloaded.append(set(preload))

        def start(self, spec: TrialSpec) -> WorkerPlace:
            raise ExecutorError("Nothing is measured here.")

    preloaded: list[set[str]] = []
    monkeypatch.setattr(worker_layout, "LocalExecutor", Broken)
    assert measure_layouts(experiment_of(ExecutorSettings()), LAYOUTS) is None
    assert preloaded[0] >= {*modules_to_preload(TRAIN_PATCH_CNN), "search.objectives.speed"}


@pytest.mark.long
@pytest.mark.timeout(300)
def test_layouts_are_measured_in_workers_that_train_at_once(tmp_path: Path) -> None:
    experiment = experiment_of(ExecutorSettings())
    speeds = measure_layouts(experiment, LAYOUTS)
    assert speeds is not None
    assert list(speeds) == LAYOUTS
    assert min(speeds.values()) > 0
