"""The experiment file: what it gives, what goes on from it, and what every mistake in it says."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from core.corpora.catalogue import open_corpus
from core.corpora.dhsd import DhsdCorpus
from core.corpora.folder import FolderCorpus
from core.corpora.hands import HandsCorpus
from core.errors import ConfigError
from core.networks.presets import PRESETS, find_preset, pooled_preset, seed_recipe, standard_preset
from core.space import Categorical
from search.experiment.changes import as_begun, differences
from search.experiment.experiment import Experiment, load_experiment

SMALL = """\
name: small
corpus: {layout: hands, n_writers: 3}
budget: {trials: 4}
"""
PLACE = "small.yaml"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(text: str, *overrides: str) -> Experiment:
    Path(PLACE).write_text(text, encoding="utf-8")
    return load_experiment(Path(PLACE), overrides)


def complaint(text: str, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(text, *overrides)
    return str(caught.value)


pytestmark = pytest.mark.usefixtures("folder")


def test_three_keys_are_enough() -> None:
    experiment = load(SMALL)
    assert experiment.name == "small"
    assert experiment.space.search_space() == standard_preset().space
    assert (experiment.objective.metric, experiment.objective.resolved_direction) == ("val/patch_top1", "maximize")
    assert experiment.model_name == "whosehand-small"


def test_an_override_wins_over_the_file_and_may_name_new_groups() -> None:
    experiment = load(SMALL, "budget.trials=7", "budget.patches=5e6", "training.epochs=2", "executor.workers=auto")
    assert (experiment.budget.trials, experiment.budget.patches, experiment.training.epochs) == (7, 5_000_000, 2)


def test_an_override_may_replace_a_whole_group() -> None:
    assert load(SMALL, "corpus={layout: folder, root: scans}").handwriting.layout == "folder"


def test_numbers_with_an_exponent_and_no_point_are_numbers() -> None:
    text = SMALL + "space: {dimensions: {learning_rate: {type: real, low: 1e-4, high: 1E-2, log: true}}}\n"
    dimension = load(text).space.search_space()["learning_rate"]
    assert (dimension.low, dimension.high) == (1e-4, 1e-2)  # type: ignore[union-attr]
    assert load(SMALL, "budget.minutes=1.5e1").budget.minutes == 15.0


def test_every_layout_opens_its_corpus(tmp_path: Path) -> None:
    kinds = {"hands": HandsCorpus, "dhsd": DhsdCorpus, "folder": FolderCorpus}
    for layout, kind in kinds.items():
        root = ", root: scans" if layout != "hands" else ""
        experiment = load(SMALL, f"corpus={{layout: {layout}{root}}}")
        assert isinstance(open_corpus(experiment.handwriting, tmp_path), kind)


def test_the_direction_follows_the_metric_or_is_said() -> None:
    assert load(SMALL, "objective.metric=val/page_top1").objective.resolved_direction == "maximize"
    assert load(SMALL, "objective.metric=val/page_logloss").objective.resolved_direction == "minimize"
    cheap = ("objective.run=search.objectives.cheap:run", "objective.metric=val/oddity")
    assert load(SMALL, *cheap, "objective.direction=maximize").objective.resolved_direction == "maximize"
    assert "objective.direction: must be minimize or maximize" in complaint(SMALL, *cheap)


def test_reading_an_experiment_imports_neither_tensorflow_nor_optuna_nor_mlflow() -> None:
    root = Path(__file__).parents[3]
    heavy = ("tensorflow", "keras", "optuna", "mlflow")
    code = f"import search.experiment.experiment, sys; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# The space
def test_the_middle_of_the_preset_and_the_seed_recipe_are_tried_first() -> None:
    settings = load(SMALL).space
    middle, recipe = settings.enqueued_points()
    assert recipe == seed_recipe().as_dict(), "it lies outside: its inputs are smaller"
    assert settings.search_space().contains(middle)
    assert settings.complete(middle) == standard_preset().middle.as_dict()


def test_a_file_that_says_something_of_the_space_and_names_no_preset_means_that_of_the_first_version() -> None:
    settings = load(SMALL + "space: {fixed: {batch_norm: false}}\n").space
    assert settings.search_space() == pooled_preset().space.with_fixed({"batch_norm": False})
    (recipe,) = settings.enqueued_points()
    assert settings.search_space().contains(recipe)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_can_be_named_and_changed(preset: str) -> None:
    text = SMALL + f"space: {{preset: {preset}, fixed: {{dropout: 0.1}}}}\n"
    settings = load(text).space
    assert settings.search_space() == find_preset(preset).space.with_fixed({"dropout": 0.1})
    assert settings.complete({})["filters"] == find_preset(preset).middle.filters


def test_what_the_first_version_recorded_is_read_with_its_own_space() -> None:
    snapshot = load(SMALL).snapshot()
    del snapshot["space"]["preset"]
    snapshot["space"]["enqueue"] = ["seed_recipe"]
    snapshot["training"]["epochs"], snapshot["patches"]["patches_per_epoch"] = 10, 20_000  # its defaults
    snapshot["patches"]["per_image_at_validation"] = 8
    snapshot["objective"]["metric"] = "val/image_logloss"
    begun = Experiment.of_ledger(snapshot)
    assert begun.space.search_space() == pooled_preset().space
    assert differences(snapshot, load(SMALL)) != []
    assert differences(snapshot, as_begun(load(SMALL), snapshot)) == []
    assert differences(snapshot, as_begun(load(SMALL + "space: {preset: small}\n"), snapshot)) != []
    snapshot["engine"]["pruner_warmup_epochs"] = snapshot["engine"]["rung_first_epoch"] = 1  # defaults for long
    assert differences(snapshot, as_begun(load(SMALL), snapshot)) == []
    assert differences(snapshot, as_begun(load(SMALL + "engine: keras_tuner\n"), snapshot)) != []
    snapshot["engine"]["pruner"] = "none"
    assert differences(snapshot, as_begun(load(SMALL), snapshot)) == []
    assert differences(snapshot, as_begun(load(SMALL + "engine: {sampler: random}\n"), snapshot)) != []
    said = as_begun(load(SMALL + "training: {epochs: 8}\n"), snapshot)
    assert differences(snapshot, said) == ["training.epochs: 10 -> 8"]


def test_a_fixed_value_leaves_one_choice() -> None:
    space = load(SMALL, "space.fixed={batch_norm: true, n_dense: 0}").space.search_space()
    assert space["batch_norm"] == Categorical("batch_norm", (True,))
    assert "dense_1" not in space.names


def test_an_enqueued_point_is_completed_and_stays_outside_if_it_is_outside() -> None:
    text = SMALL + "space: {fixed: {batch_norm: true}, enqueue: [seed_recipe, {filters: 48}, {filters: 40}]}\n"
    settings = load(text).space
    space = settings.search_space()
    seed, inside, outside = settings.enqueued_points()
    assert seed == seed_recipe().as_dict(), "it has no batch norm, which is fixed"
    assert not space.contains(seed)
    assert space.contains(inside)
    assert inside["filters"] == 48
    assert inside["batch_norm"] is True
    assert not space.contains(outside)


def test_an_enqueued_point_that_differs_in_what_the_space_leaves_out_is_outside() -> None:
    text = SMALL + "space: {base: none, dimensions: {dropout: {type: real, low: 0, high: 0.9}}}\n"
    settings = load(text).space
    (seed,) = settings.enqueued_points()
    assert seed == seed_recipe().as_dict()
    assert not settings.search_space().contains(seed)


def test_another_fold_is_another_sweep() -> None:
    first = load(SMALL, "split.folds={n: 3, fold: 1}")
    assert differences(first.snapshot(), load(SMALL, "split.folds={n: 3, fold: 2}")) == ["split.folds.fold: 1 -> 2"]


def test_a_space_may_be_one_point() -> None:
    settings = load(SMALL, "space={base: none, fixed: {filters: 8}, enqueue: []}").space
    assert settings.search_space().names == ("filters",)
    assert settings.enqueued_points() == ()


# Going on
def test_a_snapshot_is_plain_json_and_reads_back_to_the_same_experiment() -> None:
    text = SMALL + "space: {fixed: {batch_norm: true}, enqueue: [seed_recipe, {filters: 48}]}\n"
    experiment = load(text, "corpus={layout: dhsd, root: somewhere}")
    assert Experiment.model_validate(json.loads(json.dumps(experiment.snapshot()))) == experiment


@pytest.mark.parametrize("change", ["promotion.model=it's", "space.fixed.n_blocks=8"])
def test_what_an_earlier_version_launched_is_read_though_it_would_be_refused_today(change: str) -> None:
    with pytest.raises(ConfigError):
        load(SMALL, change)
    recorded = load(SMALL).snapshot()
    key, value = change.split("=")
    *above, last = key.split(".")
    part = recorded
    for name in above:
        part = part[name]
    part[last] = int(value) if value.isdigit() else value
    assert Experiment.of_ledger(recorded).snapshot() == recorded


def test_budget_executor_tracking_promotion_and_storage_may_change_when_a_sweep_goes_on() -> None:
    old = load(SMALL).snapshot()
    new = load(
        SMALL,
        "budget.trials=40",
        "executor.workers=2",
        "tracking.keep_models=3",
        "promotion.epochs=50",
        "engine.storage=sqlite:///optuna.db",
        "description=more of it",
    )
    assert differences(old, new) == []


def test_a_sweep_of_an_earlier_version_without_todays_keys_goes_on() -> None:
    new = load(SMALL)
    old = json.loads(json.dumps(new.snapshot()))
    del old["split"]["kind"]
    del old["quarantine"]
    assert differences(old, new) == []
    assert differences(old, load(SMALL, "split.kind=text")) == ['split.kind: "page" -> "text"']
    old["split"]["no_such_key"] = 1
    assert "split.no_such_key: 1 -> (not there)" in differences(old, new)


def test_what_decides_a_score_must_not_change_and_is_named() -> None:
    old = load(SMALL).snapshot()
    new = load(SMALL, "seed=1", "patches.fraction=0.25", "space.fixed={batch_norm: true}", "engine.sampler=random")
    assert set(differences(json.loads(json.dumps(old)), new)) == {
        "seed: 0 -> 1",
        "patches.fraction: 0.3 -> 0.25",
        'engine.sampler: "tpe" -> "random"',
        'engine.pruner: "median" -> "none"',
        'engine.pruner_warmup_epochs: 2 -> "auto"',
        "space.fixed.batch_norm: (not there) -> true",
        'space.preset: "standard" -> "pooled"',
        'space.enqueue: [{}, "seed_recipe"] -> ["seed_recipe"]',
    }


# Mistakes
def test_several_mistakes_are_one_line_each_with_file_line_key_value_and_what_is_allowed() -> None:
    text = "name: small\nseed: -1\ncorpus:\n  layout: hands\n  n_writers: three\nbudget: {trials: 4}\n"
    assert complaint(text, "executor.workers=0").splitlines() == [
        "--set executor.workers=0: executor.workers: must be `auto` or an integer from 1, but got 0.",
        "small.yaml, line 2: seed: must be greater than or equal to 0, but got -1.",
        "small.yaml, line 5: corpus.n_writers: must be an integer, but got 'three'.",
    ]


BAD: dict[str, tuple[str, str]] = {
    "members of an own network": (
        SMALL + "model: mine:build\npromotion: {members: 3}\n",
        r"promotion\.members: must be 1 with a network or an objective of your own",
    ),
    "all but test pages of a split by writer": (
        SMALL + "split: {kind: writer}\npromotion: {refit: all_but_test}\n",
        r"promotion\.refit: must be train, because split\.kind is writer",
    ),
    "all but test pages of a split by text": (
        SMALL + "split: {kind: text}\npromotion: {refit: all_but_test}\n",
        r"promotion\.refit: must be train, because split\.kind is text",
    ),
    "an address without Ray": (
        SMALL + "executor: {address: 'a:6379'}\n",
        "executor.address: goes with `name: ray` only",
    ),
    "an address of Ray's client": (
        SMALL + "executor: {name: ray, address: 'ray://me:secret@a:1'}\n",
        r"executor.address: must be .* but got 'ray://me:\*+@a:1'; run the sweep on a node",
    ),
    "a scratch folder that is relative": (
        SMALL + "executor: {name: ray, scratch: here}\n",
        "executor.scratch: must be `auto` or a path from the root",
    ),
    "unknown group": (
        SMALL + "patchs: {}\n",
        "line 4: patchs: .*did you mean patches\\? Allowed here: name, .*promotion",
    ),
    "patches that no line can hold": (
        SMALL + "patches: {size_px: 500}\n",
        "line 4: patches.size_px: must be at most ink.height_px, .*113 px.*, but got 500",
    ),
    "inputs that no patch gives": (
        SMALL + "patches: {size_px: 64}\n",
        "space.fixed.input_px: must be one of 64, 32, 21, .* but every trial would have 113",
    ),
    "blocks that pool every input away": (
        SMALL + "space: {fixed: {input_px: 56, n_blocks: 6, stem_stride: 2}}\n",
        "line 4: space.fixed.n_blocks: is too many at every point of the space. .*; take 4 blocks, a larger input",
    ),
    "more writers than are generated": (
        SMALL + "writers: {top_writers: {n: 500}}\n",
        "line 4: writers.top_writers.n: must be at most corpus.n_writers \\(\\d+\\), but got 500",
    ),
    "more pages than are generated": (
        SMALL + "writers: {min_pages: 9}\n",
        "line 4: writers.min_pages: must be at most corpus.n_pages \\(\\d+\\), but got 9",
    ),
    "too few pages for all subsets": (
        SMALL.replace("hands", "hands, n_pages: 2"),
        "corpus.n_pages: must be 3 or more to have pages for training, validation and test, but got 2",
    ),
    "more folds than pages": (
        SMALL + "split: {folds: {n: 5}}\n",
        "corpus.n_pages: must be 6 or more to have pages for training, validation and test, but got 4",
    ),
    "unknown key": (SMALL + "patches: {fractoin: 1}\n", "line 4: patches.fractoin: .*did you mean fraction\\?"),
    "key of another group": (SMALL + "fraction: 0.2\n", "line 4: fraction: .*did you mean patches.fraction\\?"),
    "key of another layout": (
        SMALL.replace("hands", "folder, root: scans"),
        "line 2: corpus.n_writers: is not a key.* Allowed here: layout, root, unit",
    ),
    "unknown layout": (
        SMALL.replace("hands", "iamm"),
        "corpus.layout: must be one of hands, .*dhsd, .*folder, .*pattern.*, but got 'iamm'",
    ),
    "no layout": (SMALL.replace("layout: hands, ", ""), "corpus.layout: must be one of hands.*but it is missing"),
    "word for a group": (
        "name: small\ncorpus: hands\nbudget: {trials: 1}\n",
        "line 2: corpus: must be a group of keys",
    ),
    "missing group": ("name: small\ncorpus: {layout: hands}\n", "small.yaml: budget: is missing. When the sweep ends"),
    "no limit": (
        SMALL.replace("trials: 4", ""),
        "line 3: budget: must set `trials`, `minutes`, `patches` or `until`",
    ),
    "text for a number": (SMALL + "training: {epochs: ten}\n", "training.epochs: must be an integer, but got 'ten'"),
    "bool for a number": (SMALL + "seed: yes\n", "line 4: seed: must be an integer, but got true"),
    "number for a word": (SMALL.replace("small", "7"), "line 1: name: must be text, but got 7"),
    "out of range": (
        SMALL + "patches: {fraction: 2}\n",
        "patches.fraction: must be less than or equal to 1, but got 2",
    ),
    "bad name": (SMALL.replace("small", "My Sweep"), "name: must match the pattern .*, but got 'My Sweep'"),
    "unknown engine": (
        SMALL + "engine: {name: grid}\n",
        "engine.name: must be one of optuna, keras_tuner, but got 'grid'",
    ),
    "unknown choice": (
        SMALL + "engine: {sampler: cma}\n",
        "engine.sampler: must be 'random', 'tpe', .*'qmc' or 'grid', but got 'cma'",
    ),
    "either or": (
        SMALL + "tracking: {keep_models: some}\n",
        "keep_models: must be 'all' or an integer, but got 'some'",
    ),
    "unknown metric": (
        SMALL + "objective:\n  metric: val/image_lgloss\n",
        "line 5: objective.metric: must be one of val/patch_top1.*did you mean val/image_logloss\\?",
    ),
    "test pages": (SMALL + "objective: {metric: test/page_top1}\n", "objective.metric: .*the search sees no test page"),
    "no import path": (
        SMALL + "objective: {run: search.objectives.patch_cnn}\n",
        "objective.run: must match the pattern",
    ),
    "unknown hyperparameter": (
        SMALL + "space:\n  dimensions:\n    learning_rat: {type: real, low: 0, high: 1}\n",
        "line 6: space.dimensions.learning_rat: is not a hyperparameter; did you mean learning_rate\\?",
    ),
    "unknown fixed": (
        SMALL + "space: {fixed: {filter: 3}}\n",
        "space.fixed.filter: is not a hyper.*did you mean filters",
    ),
    "unknown enqueued": (SMALL + "space: {enqueue: [{filter: 3}]}\n", "enqueue\\[0\\].filter: is not a hyperparameter"),
    "empty range": (
        SMALL + "space: {dimensions: {filters: {type: integer, low: 9, high: 3}}}\n",
        "space.dimensions.filters: `low <= high` must hold, but got low=9, high=3",
    ),
    "unreachable end": (
        SMALL + "space: {dimensions: {filters: {type: integer, low: 1, high: 9, step: 5}}}\n",
        "space.dimensions.filters: .*step",
    ),
    "range beyond the hyperparameter's": (
        SMALL + "space: {dimensions: {dropout: {type: real, low: 0, high: 2}}}\n",
        "space.dimensions.dropout: must lie in \\[0.0, 0.95\\], but got 2.0",
    ),
    "choice that cannot be": (
        SMALL + "space: {dimensions: {pooling: {type: categorical, choices: [max, min]}}}\n",
        "space.dimensions.pooling: must be one of max, average, but got 'min'",
    ),
    "unknown dimension type": (
        SMALL + "space: {dimensions: {dropout: {type: float}}}\n",
        "space.dimensions.dropout: `type` must be one of integer, real, categorical, but got 'float'",
    ),
    "condition without parent": (
        SMALL + "space: {base: none, dimensions: {dense_1: {type: integer, low: 8, high: 9, when: {n_dense: [1]}}}}\n",
        "space: dense_1: the parent of `when` must stand before it",
    ),
    "empty space": (SMALL + "space: {base: none}\n", "line 4: space: .*one dimension or more"),
    "enqueued word": (SMALL + "space: {enqueue: [best]}\n", "enqueue\\[0\\]: must be seed_recipe or a group .*'best'"),
    "enqueued type": (SMALL + "space: {enqueue: [{filters: 2.5}]}\n", "filters: must be of type int, but got 2.5"),
    "repeated key": (SMALL + "name: again\n", "line 4, column 1: the key 'name' is there twice, first in line 1"),
    "repeated deep key": (SMALL + "ink:\n  a: 1\n  a: 2\n", "line 6, column 3: the key 'a' is there twice"),
    "broken yaml": (SMALL + "engine: [tpe\n", "line 5, column 1: expected ',' or .*begins in line 4"),
    "object in yaml": (SMALL + "seed: !!python/object/apply:os.getcwd []\n", "line 4, column 7: could not determine"),
    "list": ("- name\n", "must hold keys and values"),
    "empty file": ("# nothing\n", "must hold keys and values"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_mistake_says_where_it_is_and_what_is_allowed(case: str) -> None:
    text, expected = BAD[case]
    message = complaint(text)
    assert len(message.splitlines()) == 1
    assert message.startswith(PLACE)
    assert re.search(expected, message), message


BAD_OVERRIDES = {
    "budget.trials": "must look like `budget.trials=5`",
    "=5": "must look like",
    "budget..trials=5": "must look like",
    "budgt.trials=5": "budgt: is not a key of an experiment; did you mean budget",
    "budget.trails=5": "budget.trails: is not a key .*did you mean trials",
    "seed.x=5": "seed.x=5: .*seed.* is a single value",
    "engine.sampler=[tpe": "line 1, column 5: expected",
}


@pytest.mark.parametrize("override", BAD_OVERRIDES)
def test_a_mistake_in_an_override_names_the_override(override: str) -> None:
    message = complaint(SMALL + "seed: 3\n", override)
    assert message.startswith(f"--set {override}")
    assert re.search(BAD_OVERRIDES[override], message), message


def test_a_missing_or_unreadable_file_is_named() -> None:
    with pytest.raises(ConfigError, match=r"nowhere.yaml: there is no such experiment file"):
        load_experiment(Path("nowhere.yaml"))
    with pytest.raises(ConfigError, match="is a folder"):
        load_experiment(Path())
    Path("latin.yaml").write_bytes(b"name: caf\xe9\n")
    with pytest.raises(ConfigError, match=r"latin.yaml: .*UTF-8"):
        load_experiment(Path("latin.yaml"))
