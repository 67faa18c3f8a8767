from collections.abc import Callable

from search.experiment.keys import config_keys
from tests.command_line import Answer

pytest_plugins = ["tests.finished_project"]
Command = Callable[..., Answer]


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
