"""Networks and objectives of the user's own in an experiment: names of their own, where the code is
found, its hash.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import ConfigError, OwnCodeError
from core.networks.hyperparameters import TRAINING_HYPERPARAMETERS, Hyperparameters
from core.networks.presets import pooled_preset
from search.experiment.changes import differences
from search.experiment.experiment import Experiment, load_experiment
from search.experiment.objective_settings import ObjectiveSettings
from search.experiment.own_code import FunctionPath, OwnCode, read_code
from search.experiment.settings import BudgetSettings
from search.experiment.space_settings import SpaceSettings

NETWORK = """\
name: own
corpus: {layout: hands}
budget: {trials: 4}
model: nets.small:build
space:
  dimensions:
    heads: {type: integer, low: 0, high: 2}
    width: {type: integer, low: 8, high: 64, log: true, when: {heads: [1, 2]}}
"""
OBJECTIVE = """\
name: own
budget: {trials: 4}
objective: forest:run
space: {dimensions: {depth: {type: integer, low: 1, high: 9}}, fixed: {criterion: gini}, enqueue: [{depth: 3}]}
"""


def load(folder: Path, text: str, *overrides: str) -> Experiment:
    (folder / "own.yaml").write_text(text, encoding="utf-8")
    return load_experiment(folder / "own.yaml", overrides)


def test_an_own_network_has_own_names_beside_our_training(tmp_path: Path) -> None:
    experiment = load(tmp_path, NETWORK)
    names = experiment.space.search_space().names
    assert {"heads", "width", "learning_rate", "batch_size"} <= set(names)
    assert not {"n_blocks", "filters", "head"} & set(names)
    assert experiment.space.enqueued_points(experiment.complete) == ()
    complete = experiment.complete({"heads": 0, "learning_rate": 1e-3})
    assert complete["heads"] == 0
    assert complete["learning_rate"] == 1e-3
    assert complete["batch_size"] == Hyperparameters().batch_size
    assert "width" not in complete
    assert "n_blocks" not in complete


def test_an_own_network_whose_file_says_nothing_of_the_space_is_trained_in_wide_ranges(tmp_path: Path) -> None:
    space = load(tmp_path, NETWORK.partition("space:")[0]).space.search_space()
    wide = {each.name: each for each in pooled_preset().space.dimensions if each.name in TRAINING_HYPERPARAMETERS}
    assert {each.name: each for each in space.dimensions} == wide


def test_an_own_objective_has_its_own_names_alone_and_needs_no_corpus(tmp_path: Path) -> None:
    experiment = load(tmp_path, OBJECTIVE)
    assert experiment.corpus is None
    assert experiment.space.search_space().names == ("criterion", "depth")
    assert experiment.space.enqueued_points(experiment.complete) == ({"depth": 3, "criterion": "gini"},)
    assert experiment.complete({"depth": 2}) == {"criterion": "gini", "depth": 2}
    with pytest.raises(ConfigError, match="has no `corpus`"):
        _ = experiment.handwriting


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (NETWORK.replace("model: nets.small:build\n", ""), r"line 6: space.dimensions.heads: is not a hyperparameter"),
        (NETWORK.replace("nets.small:build", "nets.small"), r"line 4: model: must match the pattern"),
        (NETWORK.replace("width:", "'my width':"), r"space.dimensions.my width: must be a name of letters"),
        (NETWORK + "  base: default\n", r"line 9: space.base: must be training or none with a `model` of your own"),
        (NETWORK + "objective: forest:run\n", r"line 4: model: is trained by whosehand"),
        ("name: own\nbudget: {trials: 4}\n", r"corpus: is missing. Whose handwriting"),
    ],
)
def test_what_does_not_fit_together_is_said_with_its_line(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        load(tmp_path, text)


def test_a_function_may_be_given_instead_of_its_path() -> None:
    space = SpaceSettings(dimensions={"heads": {"type": "integer", "low": 0, "high": 2}})
    budget = BudgetSettings(trials=1)
    experiment = Experiment(name="own", objective=ObjectiveSettings(run=run_here), space=space, budget=budget)
    assert experiment.objective.run == f"{__name__}:run_here"
    assert isinstance(experiment.objective.run, FunctionPath)
    assert experiment.objective.run.function is run_here
    assert experiment.space.base == "none"
    with pytest.raises(ConfigError, match=r"space\.dimensions\.heads: is not a hyperparameter"):
        Experiment(name="own", corpus={"layout": "hands"}, space=space, budget=budget)


def run_here(trial: Any) -> float:
    return helper(trial)


def helper(trial: Any) -> float:
    return float(trial.params["depth"])


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/', 1)}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def test_the_hash_is_of_the_module_and_of_those_beside_it_that_it_imports(tmp_path: Path) -> None:
    write(tmp_path, nets__small="import numpy\nfrom nets import parts\ndef build(): ...\n", nets__parts="A = 1\n")
    write(tmp_path, nets__other="B = 1\n", nets____init__="\n")
    code, source = read_code("nets.small:build", [tmp_path])
    assert sorted(source.texts) == ["nets/__init__.py", "nets/parts.py", "nets/small.py"]
    assert code.folder == tmp_path
    assert code.packages == {"numpy": np.__version__}
    write(tmp_path, nets__other="B = 2\n")
    assert read_code("nets.small:build", [tmp_path])[0] == code
    write(tmp_path, nets__parts="A = 2\n")
    assert read_code("nets.small:build", [tmp_path])[0].sha256 != code.sha256


def test_the_module_beside_the_experiment_file_comes_before_that_of_the_current_folder(tmp_path: Path) -> None:
    write(tmp_path / "files", forest="def run(): ...\n")
    write(tmp_path / "here", forest="def run(): ...\n")
    experiment = load(tmp_path / "files", OBJECTIVE)
    assert read_code(experiment.objective.run, [tmp_path / "here"])[0].folder == tmp_path / "files"


def test_a_module_or_function_that_is_not_there_is_named_with_what_is(tmp_path: Path) -> None:
    with pytest.raises(OwnCodeError, match=r"no module 'forest'.*Put forest.py beside the experiment file"):
        read_code("forest:run", [tmp_path])
    write(tmp_path, forest="def walk(): ...\nRATE = 3\n")
    with pytest.raises(OwnCodeError, match=r"must define 'run'.*but it has RATE, walk"):
        read_code("forest:run", [tmp_path])
    with pytest.raises(OwnCodeError, match=r"Launch the sweep from there, with the function itself"):
        read_code("__main__:run", [tmp_path])
    write(tmp_path, forest="def run(:\n")
    with pytest.raises(OwnCodeError, match=r"forest.py, line 1"):
        read_code("forest:run", [tmp_path])


def test_a_nested_function_is_hashed_with_the_helpers_of_its_module() -> None:
    def nested(trial: Any) -> float:
        return helper(trial)

    path = FunctionPath.of(nested)
    assert not path.can_be_imported
    code, source = read_code(path, [])
    assert code.pickled
    assert [name.rpartition(".")[2] for name in source.texts] == ["nested", "helper"]
    assert FunctionPath.of(run_here).can_be_imported
    assert read_code(_named_lambda(), [])[0].pickled


def _named_lambda() -> FunctionPath:
    function: Callable[[Any], float] = lambda trial: 1.0  # noqa: E731
    return FunctionPath.of(function)


def test_a_changed_source_is_a_difference_and_its_folder_is_none(tmp_path: Path) -> None:
    experiment = load(tmp_path, OBJECTIVE)
    old = experiment.model_copy(update={"code": {"forest:run": OwnCode(sha256="a", folder=tmp_path)}})
    moved = experiment.model_copy(update={"code": {"forest:run": OwnCode(sha256="a")}})
    changed = experiment.model_copy(update={"code": {"forest:run": OwnCode(sha256="b")}})
    assert differences(old.snapshot(), moved) == []
    assert differences(old.snapshot(), changed) == ['the source of forest:run: "a"... -> "b"...']
