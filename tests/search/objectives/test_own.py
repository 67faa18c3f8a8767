"""An objective of the user's own, in the test's own process: what it is given, and what becomes of
what it returns.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cloudpickle
import optuna
import pytest

from core.errors import OwnCodeError
from core.space import Value
from search.ledger.trial import EpochReport, PruningDecision, TrialResult, TrialSpec, TrialState
from search.objectives.own import OwnTrial, run_own
from search.objectives.tasks import FunctionReference, OwnTask

POINT: Mapping[str, Value] = {"depth": 3, "rate": 0.1, "kind": "gini"}
EPOCHS = 3


def run(
    function: Callable[..., Any],
    folder: Path,
    decisions: Mapping[int, PruningDecision] | None = None,
    **changes: Any,
) -> tuple[TrialResult, list[EpochReport]]:
    folder.mkdir(parents=True, exist_ok=True)
    pickle = folder / "function.pickle"
    pickle.write_bytes(cloudpickle.dumps(function))
    task = OwnTask(FunctionReference("tests:function", pickle=pickle), "val/loss", False, None)
    reports: list[EpochReport] = []

    def report_epoch(report: EpochReport) -> PruningDecision:
        reports.append(report)
        return (decisions or {}).get(report.epoch, PruningDecision.GO)

    values: dict[str, Any] = {
        "sweep_id": "own",
        "number": 4,
        "attempt": 1,
        "objective": "search.objectives.own:run_own",
        "hyperparameters": POINT,
        "seed": 7,
        "start_epoch": 0,
        "until_epoch": EPOCHS,
        "horizon_epochs": EPOCHS,
        "threads": 1,
        "precision": "float32",
        "checkpoint": None,
        "work_dir": folder / "attempt",
        "settings": task,
    }
    return run_own(TrialSpec(**{**values, **changes}), report_epoch), reports


def descend(trial: OwnTrial) -> float:
    loss = float(trial.params["depth"])
    for _ in range(trial.n_epochs):
        loss /= 2
        trial.report(loss)
    return loss


def test_reports_are_counted_and_the_returned_number_is_the_value(tmp_path: Path) -> None:
    result, reports = run(descend, tmp_path)
    assert [(report.epoch, report.metrics) for report in reports] == [
        (1, {"val/loss": 1.5}),
        (2, {"val/loss": 0.75}),
        (3, {"val/loss": 0.375}),
    ]
    assert (result.state, result.value, result.metrics) == (TrialState.COMPLETED, 0.375, {"val/loss": 0.375})


@pytest.mark.parametrize(
    ("decision", "state"), [(PruningDecision.STOP, TrialState.PRUNED), (PruningDecision.PAUSE, TrialState.PAUSED)]
)
def test_a_trial_ends_in_its_report_when_it_is_told_to(
    tmp_path: Path, decision: PruningDecision, state: TrialState
) -> None:
    def stubborn(trial: OwnTrial) -> float:
        for _ in range(2):
            try:
                trial.report(1.0)
            except Exception:
                pytest.fail("no `except Exception` may hold it up")
        return 0.0

    result, reports = run(stubborn, tmp_path, {1: decision})
    assert (result.state, len(reports), result.metrics) == (state, 1, {"val/loss": 1.0})


def test_an_optuna_objective_runs_as_it_is(tmp_path: Path) -> None:
    def objective(trial: Any) -> float:
        depth = trial.suggest_int("depth", 1, 9)
        rate = trial.suggest_float("rate", 1e-3, 1.0, log=True)
        kind = trial.suggest_categorical("kind", ["gini", "entropy"])
        trial.set_user_attr("n_leaves", 2**depth)
        trial.set_user_attr("note", "as it is")
        for step in range(2):
            trial.report(rate / (step + 1), step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return float(depth * rate) if kind == "gini" else 0.0

    result, reports = run(objective, tmp_path)
    assert result.value == pytest.approx(0.3)
    assert [report.metrics["val/loss"] for report in reports] == [0.1, 0.05]
    assert result.metrics["n_leaves"] == 8
    assert "as it is" in result.artifacts["user_attrs.json"].path.read_text()


def test_an_objective_may_prune_itself(tmp_path: Path) -> None:
    def prune(trial: OwnTrial) -> float:
        trial.report(2.0)
        raise optuna.TrialPruned

    assert run(prune, tmp_path)[0].state is TrialState.PRUNED


@pytest.mark.parametrize(
    ("suggest", "complaint"),
    [
        (
            lambda trial: trial.suggest_int("width", 8, 64, log=True),
            r"suggests 'width'.*Add below `space.dimensions`:  width: {type: integer, low: 8, high: 64, log: true}",
        ),
        (
            lambda trial: trial.suggest_float("drop", 0.0, 0.5, step=0.1),
            r"drop: {type: real, low: 0.0, high: 0.5, step: 0.1}",
        ),
        (
            lambda trial: trial.suggest_categorical("bias", [True, False]),
            r"bias: {type: categorical, choices: \[true, false\]}",
        ),
        (lambda trial: trial.suggest_int("depth", 5, 9), r"but the experiment's space gave 3. Let both say the same"),
        (lambda trial: trial.corpus, r"needs a `corpus` in the experiment"),
        (lambda trial: None, r"must return its value.*'val/loss'.*returned None"),
        (lambda trial: {"loss": 1.0}, r"must have the objective 'val/loss', but got loss"),
        (lambda trial: [trial.report(1.0) for _ in range(4)], r"this is report 4 and `training.epochs` is 3. Raise it"),
    ],
)
def test_what_an_objective_does_wrong_is_said_with_what_to_do(
    tmp_path: Path, suggest: Callable[[Any], Any], complaint: str
) -> None:
    with pytest.raises(OwnCodeError, match=complaint):
        run(suggest, tmp_path)


def test_the_printed_line_makes_the_dimension_that_was_missing(tmp_path: Path) -> None:
    import yaml

    from core.space import Integer, SearchSpace

    with pytest.raises(OwnCodeError) as caught:
        run(lambda trial: trial.suggest_int("width", 8, 64, step=8), tmp_path)
    line = str(caught.value).partition("`space.dimensions`:  ")[2]
    assert SearchSpace.from_dict(yaml.safe_load(line)).dimensions == (Integer("width", 8, 64, 8),)


def test_two_arguments_follow_the_whole_protocol(tmp_path: Path) -> None:
    def protocol(spec: TrialSpec, report_epoch: Any) -> TrialResult:
        report_epoch(EpochReport(1, {"val/loss": 2.0}, 5, 0.1))
        return TrialResult(TrialState.COMPLETED, 2.0, {"val/loss": 2.0, "settings": float(spec.settings is None)})

    result, reports = run(protocol, tmp_path)
    assert (result.value, result.metrics["settings"], reports[0].n_patches) == (2.0, 1.0, 5)


def test_a_module_is_imported_from_the_copy_and_its_neighbours_from_where_it_was(tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "own_module_a.py").write_text("import own_module_b\ndef run(trial): return own_module_b.B\n")
    (tmp_path / "own_module_a.py").write_text("def run(trial): return 99.0\n")
    (tmp_path / "own_module_b.py").write_text("B = 5.0\n")
    reference = FunctionReference("own_module_a:run", tmp_path / "copy", tmp_path)
    before = list(sys.path)
    try:
        result, _ = run(descend, tmp_path / "x", settings=OwnTask(reference, "val/loss", False, None))
    finally:
        sys.path[:] = before
    assert result.value == 5.0
