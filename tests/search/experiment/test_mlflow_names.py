"""What is allowed in an experiment is what the installed MLflow allows."""

import string
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException
from mlflow.utils import validation

from core.errors import ConfigError, RegistryError
from search.experiment.experiment import Experiment, load_experiment
from search.experiment.mlflow_names import (
    LONGEST_KEY,
    LONGEST_MODEL_NAME,
    LONGEST_PARAM,
    check_metric_name,
    check_model_name,
)
from search.experiment.objective_settings import ObjectiveSettings
from search.experiment.settings import PromotionSettings
from search.experiment.space_settings import SpaceSettings
from search.promotion.plan import PromotionChoice, registered_name
from tests.command_line import write_experiment

LETTERS = [*string.printable, "ä", "筆", "\u202e", "\u200b", "\x00"]
NAMES = [name for letter in LETTERS for name in (f"a{letter}b", f"{letter}ab", f"ab{letter}", letter)]
NAMES += ["..", "../a", "a/../b", "a//b", "a/", "/a", "./a", "a/.", "val/loss", "x" * 300, ""]


def _is_taken(check: object, *arguments: object) -> bool:
    try:
        check(*arguments)  # type: ignore[operator]
    except (MlflowException, ValueError):
        return False
    return True


@pytest.mark.parametrize("name", NAMES)
def test_no_name_is_allowed_that_mlflow_refuses(name: str) -> None:
    if _is_taken(check_model_name, name):
        assert _is_taken(validation._validate_model_name, name)
        assert not set(name) & set("'?@"), "which no search and no address of MLflow's finds again"
    if _is_taken(check_metric_name, name):
        assert _is_taken(validation._validate_metric_name, name)
    elif ":" not in name and len(name) <= LONGEST_KEY:  # on Windows MLflow refuses it, too
        assert not _is_taken(validation._validate_metric_name, name) or name.endswith("\n")


def test_the_lengths_are_mlflow_s() -> None:
    assert LONGEST_KEY == validation.MAX_ENTITY_KEY_LENGTH
    assert LONGEST_PARAM == validation.MAX_PARAM_VAL_LENGTH
    assert LONGEST_MODEL_NAME <= 256  # the column `name` of its registry


@pytest.mark.parametrize("name", ["it's", "a/b", "a@b", "what?", " ", "..", "x" * 201, "a\tb"])
def test_a_model_s_name_is_refused_in_a_file_in_an_override_and_in_python(name: str, tmp_path: Path) -> None:
    path = write_experiment(tmp_path, {"promotion": {"model": name}})
    with pytest.raises(ConfigError, match=r"promotion\.model"):
        load_experiment(path)
    quoted = '"' + name.replace("\t", "\\t") + '"'
    with pytest.raises(ConfigError, match=r"promotion\.model|not allowed"):
        load_experiment(write_experiment(tmp_path), [f"promotion.model={quoted}"])
    with pytest.raises(ConfigError, match="must"):
        PromotionSettings(model=name)
    experiment = load_experiment(write_experiment(tmp_path))
    recorded = experiment.snapshot() | {"promotion": experiment.snapshot()["promotion"] | {"model": name}}
    for choice, known in (
        (PromotionChoice(model=name), experiment),
        (PromotionChoice(), Experiment.of_ledger(recorded)),
    ):
        with pytest.raises(RegistryError, match="The model's name must"):
            registered_name(choice, known)


def test_what_no_metric_or_hyperparameter_can_be_called_is_refused() -> None:
    for metric in ("val/it's loss", "val/../loss", "val/" + "x" * 250 + "loss"):
        with pytest.raises(ConfigError, match="metric: must"):
            ObjectiveSettings(metric=metric, run="own:run")
    with pytest.raises(ConfigError, match="must have a name of at most 250"):
        SpaceSettings(base="none", dimensions={"x" * 251: {"type": "real", "low": 0, "high": 1}})
    with pytest.raises(ConfigError, match="must be a text of at most 6000"):
        SpaceSettings(base="none", fixed={"note": "x" * 6001})
