import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from core.corpora.index import CorpusIndex
from core.corpora.settings import WriterSettings
from core.errors import CorpusError, SplitError
from core.pages.text_lines import READER_VERSION
from core.splits.manifest import SplitManifest
from search.experiment.experiment import Experiment, load_experiment
from search.experiment.workspace import Workspace
from search.sweep.preparation import (
    READER_FILE,
    PreparedCorpus,
    check_reader,
    index_corpus,
    prepare_corpus,
    save_split,
)
from tests.command_line import write_experiment


@pytest.fixture
def experiment(folder_root: Path, tmp_path: Path) -> Experiment:
    return load_experiment(write_experiment(tmp_path, {"corpus": {"layout": "folder", "root": str(folder_root)}}))


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def test_a_corpus_is_prepared_once_and_then_opened(experiment: Experiment, workspace: Workspace) -> None:
    calls: list[tuple[int, int]] = []
    first = prepare_corpus(experiment, workspace, lambda done, total: calls.append((done, total)))
    n_images = len(first.index.images)
    assert calls[-1] == (n_images, n_images)
    assert first.store.folder.parent == workspace.line_stores
    calls.clear()
    second = prepare_corpus(experiment, workspace, lambda done, total: calls.append((done, total)))
    assert calls == []
    assert second.manifest.hash == first.manifest.hash
    assert second.store.folder == first.store.folder


def test_every_image_of_the_split_is_in_the_index(experiment: Experiment, workspace: Workspace) -> None:
    corpus = prepare_corpus(experiment, workspace)
    corpus.manifest.check_fits(corpus.index)
    assert {line.image_id for line in corpus.store.lines} <= {image.image_id for image in corpus.index.images}


def test_shortcomings_are_counted_in_words(experiment: Experiment, workspace: Workspace, folder_root: Path) -> None:
    assert prepare_corpus(experiment, workspace).shortcomings == ""
    writers = sorted(folder_root.iterdir())
    (writers[0] / "zero.png").touch()
    for page in sorted(writers[1].iterdir())[1:]:
        page.unlink()
    changed = experiment.model_copy(
        update={"split": experiment.split.model_copy(update={"too_few_pages": "leave_out"})}
    )
    assert prepare_corpus(changed, workspace).shortcomings == "1 unusable image, 1 excluded writer"


def test_by_ink_all_are_read_once_and_other_writers_rebuild_nothing(
    experiment: Experiment, workspace: Workspace
) -> None:
    reads: list[int] = []

    def prepare(**writers: object) -> PreparedCorpus:
        reads.clear()
        changed = experiment.model_copy(update={"writers": WriterSettings.model_validate(writers)})
        return prepare_corpus(changed, workspace, lambda done, total: reads.append(total))

    most = prepare(top_writers={"n": 2, "by": "ink"})
    assert len(most.manifest.writer_ids) == 2
    assert most.manifest.choice is not None
    assert "counted in pixels of its text lines" in most.manifest.choice.rule
    (other,) = most.manifest.choice.writers
    assert reads  # all three writers are read, or nobody would know who has most
    assert other.writer_id in prepare(exclude=[most.manifest.writer_ids[0]]).manifest.writer_ids
    assert reads == []


def test_every_image_is_used_or_excluded_with_a_reason(
    experiment: Experiment, workspace: Workspace, folder_root: Path
) -> None:
    writers = sorted(path.name for path in folder_root.iterdir())
    chosen = experiment.model_copy(update={"writers": WriterSettings(exclude=(writers[0],))})
    corpus = prepare_corpus(chosen, workspace)
    assert {entry.reason for entry in corpus.index.not_chosen} == {f"writer {writers[0]!r} is in writers.exclude"}
    assert corpus.corpus_report.n_not_chosen == len(list((folder_root / writers[0]).iterdir()))


def test_a_missing_corpus_is_an_error(experiment: Experiment, workspace: Workspace, folder_root: Path) -> None:
    shutil.rmtree(folder_root)
    with pytest.raises(CorpusError, match="is not there"):
        prepare_corpus(experiment, workspace)


class TestTheSplitOfASweep:
    @pytest.fixture
    def corpus(self, experiment: Experiment, workspace: Workspace) -> PreparedCorpus:
        return prepare_corpus(experiment, workspace)

    def test_it_is_written_once(self, corpus: PreparedCorpus, tmp_path: Path) -> None:
        path = save_split(corpus.manifest, tmp_path / "sweep")
        written = path.stat().st_mtime_ns
        assert SplitManifest.load(path) == corpus.manifest
        assert save_split(corpus.manifest, tmp_path / "sweep") == path
        assert path.stat().st_mtime_ns == written

    def test_another_one_is_refused_and_the_first_is_kept(
        self, corpus: PreparedCorpus, experiment: Experiment, workspace: Workspace, folder_root: Path, tmp_path: Path
    ) -> None:
        path = save_split(corpus.manifest, tmp_path / "sweep")
        sorted(sorted(folder_root.iterdir())[0].iterdir())[0].unlink()
        changed = prepare_corpus(experiment, workspace)
        with pytest.raises(SplitError, match=r"the corpus has changed since.*another name"):
            save_split(changed.manifest, tmp_path / "sweep")
        assert SplitManifest.load(path) == corpus.manifest


class TestTheReaderOfASweep:
    """Pages that are read by another reader give other lines."""

    @pytest.fixture
    def index(self, experiment: Experiment, workspace: Workspace) -> CorpusIndex:
        return index_corpus(experiment, workspace)

    def test_the_same_reader_is_not_worth_a_word(self, index: CorpusIndex, tmp_path: Path) -> None:
        assert check_reader(index, tmp_path, is_begun=False) == ""
        assert check_reader(index, tmp_path, is_begun=True) == ""
        assert (tmp_path / READER_FILE).read_text().strip() == str(READER_VERSION)

    def test_another_reader_is_named_at_every_launch(self, index: CorpusIndex, tmp_path: Path) -> None:
        (tmp_path / READER_FILE).write_text("99\n")
        for _ in range(2):
            assert "begun with reader 99" in check_reader(index, tmp_path, is_begun=True)

    def test_a_sweep_of_0_1_was_begun_with_the_first_reader(self, index: CorpusIndex, tmp_path: Path) -> None:
        for _ in range(2):
            assert "begun with reader 1, which finds other lines" in check_reader(index, tmp_path, is_begun=True)

    def test_single_lines_every_reader_reads_alike(self, index: CorpusIndex, tmp_path: Path) -> None:
        lines = replace(index, images=tuple(replace(image, unit="line") for image in index.images))
        assert check_reader(lines, tmp_path, is_begun=True) == ""
        assert list(tmp_path.glob("*.txt")) == []
