"""What a file says can be said in Python, and refused in the same words."""

import subprocess
import sys
from pathlib import Path

import pytest

import whosehand as wh

ROOT = Path(__file__).parents[2]
EXPERIMENTS = sorted((ROOT / "experiments").glob("*.yaml"))
MINE = {"name": "mine", "corpus": {"layout": "folder", "root": "scans"}, "budget": {"trials": 3}}


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_an_experiment_that_is_written_and_read_is_the_same(path: Path, tmp_path: Path) -> None:
    experiment = wh.Experiment.load(path)
    experiment.to_yaml(tmp_path / "again.yaml")
    assert wh.Experiment.load(tmp_path / "again.yaml") == experiment


def test_constructors_say_what_the_file_says() -> None:
    said = wh.Experiment(
        name="mine",
        corpus=wh.corpora.Folder("scans"),
        engine=wh.engines.KerasTuner(oracle="hyperband"),
        budget=wh.Budget(trials=3),
    )
    assert said == wh.Experiment.model_validate(MINE | {"engine": {"name": "keras_tuner", "oracle": "hyperband"}})


def test_typed_dimensions_are_what_the_file_writes_plainly() -> None:
    width = wh.Integer("dense_1", 64, 512, 64, when=wh.Condition("n_dense", (1, 2)))
    typed = wh.Space(base="none", dimensions=[wh.Integer("n_dense", 0, 2), width])
    plain = wh.Space(
        base="none",
        dimensions={
            "n_dense": {"type": "integer", "low": 0, "high": 2},
            "dense_1": {"type": "integer", "low": 64, "high": 512, "step": 64, "when": {"n_dense": [1, 2]}},
        },
    )
    assert typed == plain
    assert typed == wh.Space(base="none", dimensions={"n_dense": wh.Integer("n_dense", 0, 2), "dense_1": width})


@pytest.mark.parametrize(
    ("wrong", "key"),
    [
        ({"corpus": {"layout": "foldr"}}, "corpus.layout"),
        ({"budget": {"trials": 0}}, "budget.trials"),
        ({"patchs": {}}, "patchs"),
        ({"space": {"dimensions": {"n_block": {"type": "integer", "low": 1, "high": 2}}}}, "space.dimensions.n_block"),
    ],
)
def test_a_mistake_is_the_same_sentence_without_a_line(wrong: dict[str, object], key: str, tmp_path: Path) -> None:
    import yaml

    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump(MINE | wrong))
    with pytest.raises(wh.WhosehandError) as in_file:
        wh.Experiment.load(path)
    with pytest.raises(wh.WhosehandError) as in_python:
        wh.Experiment(**(MINE | wrong))
    assert str(in_python.value).startswith(f"Experiment: {key}: ")
    assert str(in_python.value).removeprefix("Experiment: ") == str(in_file.value).partition(": ")[2]


def test_a_function_of_a_module_is_written_and_one_that_nobody_can_import_is_refused(tmp_path: Path) -> None:
    own = wh.Experiment(name="own", objective={"run": "json:dumps", "metric": "loss"}, budget={"trials": 1})
    own.to_yaml(tmp_path / "own.yaml")
    assert wh.Experiment.load(tmp_path / "own.yaml").objective.run == "json:dumps"
    nested = wh.Experiment(name="own", objective={"run": lambda trial: 0.0, "metric": "loss"}, budget={"trials": 1})
    with pytest.raises(wh.WhosehandError, match="`objective` is a function that only this Python process knows"):
        nested.to_yaml()


@pytest.mark.parametrize("name", ["core", "search"])
@pytest.mark.parametrize("kind", ["a module", "a package"])
def test_a_module_of_the_users_with_our_name_is_named(name: str, kind: str, tmp_path: Path) -> None:
    own = tmp_path / f"{name}.py" if kind == "a module" else tmp_path / name / "__init__.py"
    own.parent.mkdir(exist_ok=True)
    own.write_text("x = 1\n")
    (tmp_path / "script.py").write_text("import whosehand\n")
    run = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    last = run.stderr.strip().splitlines()[-1]
    assert run.returncode == 1
    assert last.startswith(f"ImportError: whosehand has a package `{name}` of its own, but Python finds {tmp_path}")
