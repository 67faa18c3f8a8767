from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

from core.networks.hyperparameters import Hyperparameters
from search.experiment.keys import config_keys, hyperparameter_keys, hyperparameter_table
from tests.command_line import Answer

pytest_plugins = ["tests.finished_project"]
Command = Callable[..., Answer]
ROOT = Path(__file__).parents[3]


def test_every_part_of_an_experiment_is_listed(command: Command) -> None:
    answer = command("keys")
    assert answer.code == 0
    for key in (
        "name",
        "budget.trials",
        "patches.fraction",
        "engine[optuna].sampler",
        "engine[keras_tuner].oracle",
        "promotion.epochs",
    ):
        assert key in answer.out, key


def test_what_a_key_does_is_said_to_the_end(command: Command) -> None:
    answer = command("keys", "engine")
    said = " ".join(answer.out.split())
    for key in config_keys():
        if key.name.startswith("engine"):
            assert key.description in said


def test_one_part_can_be_asked_for(command: Command) -> None:
    answer = command("keys", "patches")
    assert "patches.fraction" in answer.out
    assert "budget.trials" not in answer.out


def test_an_unknown_part_names_the_known_ones(command: Command) -> None:
    message = command("keys", "bugdet").error
    assert "'bugdet'" in message
    assert "budget" in message


def test_a_hyperparameter_is_explained_by_its_name(command: Command) -> None:
    said = " ".join(command("keys", "learning_rate").out.split())
    assert "learning_rate real: 1e-08 to 10 0.003" in said
    assert "The preset `standard` searches 0.002 to 0.01, logarithmic." in said


def test_the_space_is_answered_with_every_hyperparameter(command: Command) -> None:
    out = command("keys", "space").out
    assert "space.dimensions" in out
    for field in fields(Hyperparameters):
        assert f"\n{field.name}  " in out


def test_every_hyperparameter_has_a_meaning_and_a_default_that_is_allowed() -> None:
    for key in hyperparameter_keys():
        assert key.meaning.endswith("."), key.name
        assert key.allowed, key.name
        assert key.kind in ("integer", "real", "true or false", "word"), key.name


def test_the_docs_have_the_table_that_the_command_prints(command: Command) -> None:
    table = command("keys", "--markdown").out
    assert table == hyperparameter_table()
    page = (ROOT / "docs" / "hyperparameters.md").read_text(encoding="utf-8")
    assert table in page, "docs/hyperparameters.md is not up to date: paste what `whosehand keys --markdown` prints"
