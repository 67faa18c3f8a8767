"""Which engine an experiment file means."""

import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import ConfigError
from search.experiment.engine_settings import KerasTunerSettings, OptunaSettings
from search.experiment.experiment import Experiment, load_experiment
from search.experiment.keys import config_keys

SMALL = "name: small\ncorpus: {layout: hands}\nbudget: {trials: 4}\n"


def load(folder: Path, engine: str) -> Experiment:
    path = folder / "small.yaml"
    path.write_text(SMALL + engine)
    return load_experiment(path)


JUDGES_EARLY = OptunaSettings(sampler="tpe", pruner="median", pruner_warmup_epochs=2)


@pytest.mark.parametrize("said", ["", "engine: auto\n", "engine: optuna\n", "space: {preset: small}\n"])
def test_trials_of_averaged_weights_are_judged_early_where_nothing_is_said(tmp_path: Path, said: str) -> None:
    engine = load(tmp_path, said).engine
    assert engine == JUDGES_EARLY
    assert engine.label == "optuna tpe + median"
    assert Experiment.of_ledger(load(tmp_path, said).snapshot()).engine == JUDGES_EARLY


def test_judging_begins_after_a_quarter_of_a_trial(tmp_path: Path) -> None:
    longer = load(tmp_path, "training: {epochs: 18}\nengine: {storage: 'sqlite:///optuna.db'}\n").engine
    assert isinstance(longer, OptunaSettings)
    assert (longer.pruner, longer.pruner_warmup_epochs, longer.storage) == ("median", 4, "sqlite:///optuna.db")


@pytest.mark.parametrize(
    "said",
    [
        "space: {preset: pooled}\n",
        "space: {preset: standard, fixed: {average_weights: false}}\n",
        "space: {dimensions: {average_weights: {type: categorical, choices: [true, false]}}}\n",
        "training: {epochs: 3}\n",
        "model: mine:build\n",
    ],
)
def test_where_early_scores_tell_little_trials_run_to_their_end(tmp_path: Path, said: str) -> None:
    assert load(tmp_path, said).engine == OptunaSettings()


def test_optuna_is_meant_where_nothing_is_said(tmp_path: Path) -> None:
    assert load(tmp_path, "engine: {sampler: random}\n").engine == OptunaSettings(sampler="random")
    assert load(tmp_path, "engine: {name: optuna, sampler: random}\n").engine == OptunaSettings(sampler="random")


def test_the_name_alone_is_an_engine_with_its_defaults(tmp_path: Path) -> None:
    assert load(tmp_path, "engine: keras_tuner\n").engine == KerasTunerSettings()
    assert load(tmp_path, "engine: {sampler: tpe}\n").engine == OptunaSettings()


def test_keras_tuner_is_meant_where_it_is_named(tmp_path: Path) -> None:
    engine = load(tmp_path, "engine: {name: keras_tuner, oracle: hyperband, factor: 4}\n").engine
    assert engine == KerasTunerSettings(oracle="hyperband", factor=4)
    assert engine.label == "keras_tuner hyperband"


@pytest.mark.parametrize(
    ("engine", "complaint"),
    [
        ("{name: grid}", r"line 4.*engine\.name: must be one of optuna, keras_tuner, but got 'grid'"),
        ("hyperopt", r"line 4: engine\.name: must be one of optuna, keras_tuner, but got 'hyperopt'"),
        ("[tpe]", r"line 4: engine: must be a group of keys, but got \[\"tpe\"\]"),
        (
            "{oracle: grid}",
            r"engine\.oracle: .* belongs to `name: keras_tuner`\. Allowed here: name, sampler,",
        ),
        (
            "{name: keras_tuner, sampler: tpe}",
            r"engine\.sampler: is not a key .* it belongs to `name: optuna`\. Allowed here: name, oracle,",
        ),
        ("{name: keras_tuner, oracle: gp}", "must be 'random', 'bayesian', 'grid' or 'hyperband', but got 'gp'"),
        ("{name: keras_tuner, factor: 1}", "must be greater than or equal to 2, but got 1"),
        ("{name: keras_tuner, alpha: .inf}", "must be a finite number"),
    ],
)
def test_a_mistake_says_what_is_allowed(tmp_path: Path, engine: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        load(tmp_path, f"engine: {engine}\n")


def test_the_keys_of_both_engines_are_listed() -> None:
    names = {key.name for key in config_keys()}
    assert {"engine[optuna].sampler", "engine[keras_tuner].oracle", "engine[keras_tuner].hyperband_iterations"} <= names


def test_reading_an_experiment_imports_no_engine(tmp_path: Path) -> None:
    load(tmp_path, "engine: {name: keras_tuner}\n")
    code = (
        "import sys; from pathlib import Path; from search.experiment.experiment import load_experiment; "
        f"load_experiment(Path({str(tmp_path / 'small.yaml')!r})); "
        "print([name for name in ('keras_tuner', 'tensorflow', 'optuna', 'sklearn') if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
