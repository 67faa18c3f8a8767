from collections.abc import Callable
from pathlib import Path

import pytest

from core.corpora.index import CorpusIndex, TextImage
from core.errors import ConfigError, ModelError, RegistryError, SplitError
from core.networks.hyperparameters import Hyperparameters
from core.networks.layer_plan import shapes_below_the_last_layer
from core.networks.origin import Origin
from core.splits.manifest import SplitManifest
from search.executors.ray.parcels import paths_in
from search.experiment.changes import differences
from search.experiment.experiment import Experiment, load_experiment
from search.experiment.workspace import Workspace
from search.sweep.launch import patch_task
from search.sweep.preparation import PreparedCorpus, prepare_corpus
from search.sweep.progress import SilentProgress
from search.sweep.start import architectures, prepare_start, refuse_misfits
from search.sweep.start_source import Lineage, SeenPages, StartSource, find_source, refuse_seen
from search.tracking.store import open_store
from tests.command_line import Project, write_experiment

pytest_plugins = ["tests.finished_project"]
Read = Callable[..., Experiment]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """The small experiment, with overrides."""
    return lambda *overrides: load_experiment(write_experiment(tmp_path), overrides)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("champion", "must be models:/NAME@champion, models:/NAME/VERSION, sweep:NAME/TRIAL or hands:N"),
        ("models:/dhsd", "but got 'models:/dhsd'"),
        ("hands:1", "must be of 2 generated writers or more"),
    ],
)
def test_a_name_of_no_network_is_refused_where_it_stands(read: Read, name: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=rf"training\.start_from.*{reason}"):
        read(f"training.start_from={name}")


def test_what_cannot_go_with_given_weights_is_refused(read: Read, tmp_path: Path) -> None:
    changes = {"model": "mine:build", "training": {"start_from": "hands:20"}}
    with pytest.raises(ConfigError, match="is for whosehand's own networks"):
        load_experiment(write_experiment(tmp_path, changes))
    with pytest.raises(ConfigError, match="which nodes of a cluster cannot share"):
        read("training.start_from=hands:20", "executor={name: ray}")
    with pytest.raises(ConfigError, match="sweep:tiny/0 may have seen pages that a cross-fit holds out"):
        read("training.start_from=sweep:tiny/0", "promotion.refit=all_but_test")
    assert read("training.start_from=hands:20", "promotion.refit=all_but_test").promotion.refit == "all_but_test"
    assert read("training.start_from=sweep:tiny/0", "executor={name: ray}").training.start_from == "sweep:tiny/0"


def test_a_sweep_does_not_go_on_with_other_first_weights_and_earlier_sweeps_go_on(read: Read) -> None:
    earlier = read().snapshot()
    del earlier["training"]["start_from"]  # of a version that did not know it
    assert differences(earlier, read()) == []
    assert differences(earlier, read("training.start_from=hands:20")) == ['training.start_from: null -> "hands:20"']


def test_a_task_without_the_weights_that_were_asked_for_is_refused(read: Read, tmp_path: Path) -> None:
    experiment = read("training.start_from=hands:20")
    with pytest.raises(ConfigError, match="begin with hands:20"):
        patch_task(experiment, _corpus(_split()), tmp_path)


def _source(point: dict[str, int | str], *seen: SeenPages) -> StartSource:
    return StartSource(Path("model.keras"), "sweep:old/7", "", Hyperparameters.from_point(point).as_dict(), seen)


def test_weights_must_fit_every_network_of_the_space_and_of_the_points_tried_first(read: Read) -> None:
    source = _source({"filters": 4, "n_blocks": 2, "convolutions_per_block": 1})
    shapes = shapes_below_the_last_layer(Hyperparameters.from_point(source.point), 113)
    refuse_misfits(source, shapes, read())
    with pytest.raises(ModelError) as refused:
        refuse_misfits(
            source,
            shapes,
            read(
                "space.dimensions.filters={type: categorical, choices: [4, 8]}",
                "space.fixed={n_blocks: 2, convolutions_per_block: 1}",
            ),
        )
    assert "block_1_convolution_1 is 3x3x1x4 there and 3x3x1x8 here" in str(refused.value)
    assert "space: {fixed: {n_blocks: 2, convolutions_per_block: 1, filters: 4}, enqueue: [{}]}" in str(refused.value)
    with pytest.raises(ModelError, match="dense_1 is missing there"):
        refuse_misfits(source, shapes, read("space.enqueue=[{n_dense: 1}]"))


def test_the_advice_names_the_preset_that_a_file_means_by_saying_nothing(read: Read, tmp_path: Path) -> None:
    source = _source({"filters": 4})
    shapes = shapes_below_the_last_layer(Hyperparameters.from_point(source.point), 113)
    path = write_experiment(tmp_path, {"space": {"preset": "small"}})
    with pytest.raises(ModelError, match=r"space: \{preset: small, fixed: \{input_px: 56, n_blocks: 3, .*\}"):
        refuse_misfits(source, shapes, load_experiment(path))


def test_the_ends_of_what_has_no_finite_number_of_values_are_looked_at(read: Read) -> None:
    points = architectures(read("space.dimensions.filters_growth={type: real, low: 1.0, high: 2.0}"))
    assert {point["filters_growth"] for point in points} == {1.0, 2.0}
    assert len(architectures(read())) == 1


def _split(**changes: object) -> SplitManifest:
    values = {"train": ("a-0", "b-0"), "validation": ("a-1", "b-1"), "test": ("a-2", "b-2"), **changes}
    return SplitManifest("dhsd", "page", ("a", "b"), **values)  # type: ignore[arg-type]


def _corpus(manifest: SplitManifest) -> PreparedCorpus:
    images = tuple(
        TextImage(image_id, Path(image_id), image_id[0])
        for image_id in (*manifest.train, *manifest.validation, *manifest.test)
    )
    return PreparedCorpus(CorpusIndex("dhsd", Path(), images), manifest, None, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        ({"train": ("a-1", "c-0")}, r"on 1 of the 2 images of this split's validation subset, such as a-1"),
        ({"train": ("a-2", "b-2")}, r"on 2 of the 2 images of this split's test subset, such as a-2, b-2"),
        ({"validation": ("b-2",)}, r"on 1 of the 2 images of this split's test subset, such as b-2"),
        ({"train": ("a-1-07",)}, "validation subset, such as a-1"),
    ],
    ids=str,
)
def test_a_network_that_knows_pages_on_which_the_split_judges_is_refused(
    read: Read, seen: dict[str, tuple[str, ...]], reason: str
) -> None:
    before = SeenPages(**{"corpus": "dhsd", "train": (), "validation": (), "writers": ("a",), **seen})  # type: ignore[arg-type]
    with pytest.raises(SplitError, match=f"sweep:old/7 was trained or chosen .*{reason}"):
        refuse_seen(_source({}, SeenPages("cvl", ("a-1",), (), ()), before), read(), _corpus(_split()))


def test_a_network_of_the_same_split_may_be_begun_with(read: Read) -> None:
    refuse_seen(_source({}, SeenPages.of(_split(), None)), read(), _corpus(_split()))


def test_other_generated_writers_share_no_page(read: Read) -> None:
    corpus = _corpus(SplitManifest("hands", "page", ("a",), ("a-0",), ("a-1",), ("a-2",)))
    seen = [SeenPages("hands", ("a-1",), (), ("a",), seed) for seed in (1, 0, None)]
    refuse_seen(_source({}, seen[0]), read(), corpus)
    for same in seen[1:]:
        with pytest.raises(SplitError):
            refuse_seen(_source({}, same), read(), corpus)


def test_by_writer_the_judged_writers_must_be_new_too(read: Read) -> None:
    manifest = _split(train=("a-0", "b-0"), validation=("c-0",), test=("d-0",), settings={"kind": "writer"})
    refuse_seen(_source({}, SeenPages("dhsd", ("a-5",), (), ("a",))), read(), _corpus(manifest))
    with pytest.raises(SplitError, match="was trained on 1 writer of this split's test subset, such as d"):
        refuse_seen(_source({}, SeenPages("dhsd", ("d-5",), (), ("d",))), read(), _corpus(manifest))


@pytest.mark.slow
def test_a_champion_and_a_trial_are_found_with_all_that_is_known_of_them(finished_project: Project) -> None:
    workspace = Workspace(finished_project.folder)
    store = open_store(load_experiment(finished_project.folder / "tiny.yaml").tracking, workspace.root)
    manifest = SplitManifest.load(finished_project.sweep / "split.json")
    champion = find_source("models:/whosehand-tiny@champion", workspace, store)
    trial = find_source("sweep:tiny/1", workspace, store)
    assert (champion.name, trial.name) == ("models:/whosehand-tiny/1", "sweep:tiny/1")
    for source in (champion, trial):
        assert source.network.is_file()
        assert Hyperparameters.from_point(source.point).filters == 4
        assert source.seen == (SeenPages("hands", manifest.train, manifest.validation, manifest.writer_ids, 0),)
        assert store.client().get_run(source.run_id).data.tags["sweep"] == "tiny"
    with pytest.raises(RegistryError, match="sweep:tiny/9 is none; of its trials completed are 0, 1, 2"):
        find_source("sweep:tiny/9", workspace, store)


@pytest.mark.long  # a worker reads the weights
def test_what_fits_begin_with_is_looked_up_once_and_kept(finished_project: Project, tmp_path: Path) -> None:
    workspace, folder = Workspace(finished_project.folder), tmp_path / "sweep"
    experiment = load_experiment(
        finished_project.folder / "tiny.yaml", ["training.start_from=models:/whosehand-tiny@champion"]
    )
    store, corpus = open_store(experiment.tracking, workspace.root), prepare_corpus(experiment, workspace)
    what = (experiment, workspace, store, corpus, folder, SilentProgress())
    with pytest.raises(ConfigError, match=r"begins with the same weights, but .* is gone"):
        prepare_start(*what)
    start = prepare_start(*what, is_begun=False)
    assert start == prepare_start(*what)
    task = patch_task(experiment, corpus, folder, start)
    assert task.start is not None
    assert {folder / "start" / "weights.npz", folder / "start" / "lineage.json"} <= {*paths_in(task)}, "sent to nodes"
    origin = task.start.origin(Hyperparameters())
    assert (origin.name, len(origin.sha256)) == ("models:/whosehand-tiny/1", 64)
    assert origin.as_tags() == {
        "start_from": origin.name,
        "start_from_sha256": origin.sha256,
        "start_from_run": origin.run_id,
    }


def test_a_lineage_comes_back_as_it_was(tmp_path: Path) -> None:
    lineage = Lineage(Origin("sweep:a/1", "abc"), {"filters": 4, "dropout": 0.5, "batch_norm": True}, ())
    (tmp_path / "lineage.json").write_bytes(lineage.as_json())
    assert Lineage.read(tmp_path / "lineage.json") == lineage
