"""The networks and objectives of docs/own_code.md run as they stand there, through the command line
and Python.
"""

import json
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from search.experiment.workspace import Workspace
from search.ledger.trial import TrialState
from search.sweep.known_sweeps import KnownSweep, read_sweep
from tests.command_line import environment, whosehand

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with the files of the document."""
    text = (ROOT / "docs" / "own_code.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```(?:python|yaml)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    for block in blocks:
        named = re.match(r"# (\S+\.(?:py|yaml))\n", block)
        (tmp_path / (named.group(1) if named else "script.py")).write_text(block, encoding="utf-8")
    return tmp_path


def swept(project: Path, name: str, *overrides: str) -> KnownSweep:
    answer = whosehand(project, "sweep", f"{name.replace('-', '_')}.yaml", *overrides)
    assert answer.code == 0, answer.err
    return read_sweep(name, Workspace(project))


def values(sweep: KnownSweep) -> list[float]:
    trials = sweep.state.trials.values()
    assert all(trial.state is TrialState.COMPLETED for trial in trials), [trial.result for trial in trials]
    return [float(trial.result.value) for trial in trials if trial.result and trial.result.value is not None]


@pytest.mark.long
def test_the_forest_learns_and_is_twenty_lines(project: Path) -> None:
    code = (project / "forest.py").read_text().splitlines()[1:]
    assert len([line for line in code if line.strip() and not line.startswith(("import", "from"))]) <= 20
    found = values(swept(project, "forest", "--set", "budget.trials=3"))
    assert max(found) > 0.5  # by chance 1 / 8
    answer = whosehand(project, "promote", "forest")
    assert answer.code != 0
    assert "Let it call `trial.save_model(model)` before it returns" in answer.err
    assert whosehand(project, "compare", "forest").code == 0


@pytest.mark.long
def test_the_optuna_objective_runs_as_it_is(project: Path) -> None:
    sweep = swept(project, "tuned-by-optuna")
    for trial, value in zip(sweep.state.trials.values(), values(sweep), strict=True):
        x = float(trial.proposed.point["x"])
        assert value == pytest.approx(x**2 if trial.proposed.point["kind"] == "square" else abs(x))
        assert [report.report.metrics["val/loss"] for report in trial.reports] == pytest.approx(
            [abs(x) / step for step in (1, 2, 3)]
        )


@pytest.mark.long
def test_the_function_of_a_script_is_swept_from_python(project: Path) -> None:
    run = subprocess.run(
        [sys.executable, "script.py"],
        cwd=project,
        env=environment() | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    best = json.loads(run.stdout.strip().splitlines()[-1].replace("'", '"'))
    sweep = read_sweep("distance", Workspace(project))
    assert min(values(sweep)) == pytest.approx(abs(best["x"] - 0.3))


@pytest.mark.slow
@pytest.mark.long
def test_the_own_network_learns_and_is_promoted(project: Path) -> None:
    sweep = swept(project, "net", "--set", "budget.trials=2", "--set", "promotion.gate.max_calibration_error=1")
    assert min(values(sweep)) < math.log(3)  # by chance
    for trial in sweep.state.trials.values():
        names = set(trial.proposed.hyperparameters)
        assert {"width", "hidden", "learning_rate"} <= names
        assert ("hidden_units" in names) == trial.proposed.point["hidden"]
        assert "filters" not in names
    promoted = whosehand(project, "promote", "net", "--epochs", "4", "--accept")
    assert "champion of whosehand-net: version 1" in promoted.out, promoted.out + promoted.err
    (page,) = whosehand(project, "data", "pages", "net.yaml", "--limit", "1").out.split()
    answer = whosehand(project, "identify", page, "--model", "whosehand-net", "--evidence", "why.html")
    assert answer.code == 0, answer.err
    assert (project / "why.html").stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.long
def test_the_space_of_the_hyper_model_is_searched(project: Path) -> None:
    sweep = swept(project, "tuned")
    assert len(values(sweep)) == 2
    dimensions: dict[str, Any] = sweep.experiment.space.dimensions
    assert set(dimensions) == {"blocks", "filters", "dropped", "dropout"}
    assert dimensions["dropout"]["when"] == {"dropped": [True]}
    for trial in sweep.state.trials.values():
        assert ("dropout" in trial.proposed.point) == trial.proposed.point["dropped"]
    again = whosehand(project, "sweep", "tuned.yaml", "--set", "budget.trials=3")
    assert again.code == 0, again.err


SAVING = """\
import keras


@keras.saving.register_keras_serializable(package="saving")
class Ink(keras.layers.Layer):
    def call(self, x):
        return 1 - x / 255


def run(trial):
    x = patches = keras.Input((113, 113, 1))
    x = keras.layers.AveragePooling2D(4)(Ink()(x))
    x = keras.layers.Conv2D(trial.params["width"], 5, strides=2, activation="relu")(x)
    x = keras.layers.GlobalMaxPooling2D()(x)
    model = keras.Model(patches, keras.layers.Dense(len(trial.corpus.writer_ids), activation="softmax")(x))
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    for _ in range(trial.n_epochs):
        model.fit(*trial.corpus.patches("train"), verbose=0)
        loss, accuracy = model.evaluate(*trial.corpus.patches("validation"), verbose=0)
        trial.report({"val/loss": loss, "val/accuracy": accuracy})
    trial.save_model(model)
    return loss
"""


@pytest.mark.slow
@pytest.mark.long
def test_an_own_objective_that_saves_its_network_is_promoted(project: Path) -> None:
    (project / "saving.py").write_text(SAVING)
    (project / "saving.yaml").write_text(
        "name: saving\ncorpus: {layout: hands, n_writers: 3}\nobjective: saving:run\nbudget: {trials: 1}\n"
        "training: {epochs: 2}\nspace: {dimensions: {width: {type: integer, low: 8, high: 16}}}\n"
        "promotion: {gate: {max_calibration_error: 1}}\n"
    )
    assert len(values(swept(project, "saving"))) == 1
    promoted = whosehand(project, "promote", "saving", "--epochs", "3", "--accept")
    assert "champion of whosehand-saving: version 1" in promoted.out, promoted.out + promoted.err
