import os
import shutil
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.errors import ImageError, RetrievalError
from core.pages.frames import Page
from core.retrieval.adaptation import Adaptation
from core.retrieval.descriptor_index import DescriptorIndex, IndexedPage
from search.identification import page_index, page_reader
from search.identification.kept_indexes import kept_indexes, why_unused
from search.identification.page_index import (
    adaptation_to,
    extend_index,
    find_alike,
    index_folder,
    is_as_described,
    state_of,
)
from search.identification.page_reader import PageReader, source_of
from tests.search.toy_model import save_toy_model, write_line


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_toy_model(tmp_path_factory.mktemp("toy") / "model")


@pytest.fixture(scope="module")
def reader(model: Path) -> PageReader:
    return PageReader.load(model, per_page=4)


def write_lines(folder: Path, numbers: Iterable[int]) -> list[Path]:
    folder.mkdir(exist_ok=True)
    return [write_line(folder / f"{number}.png", number) for number in numbers]


def test_a_page_is_described_as_it_is_indexed(reader: PageReader, tmp_path: Path) -> None:
    files = write_lines(tmp_path / "archive", (3, 5, 8))
    done: list[tuple[int, int]] = []
    tally = extend_index(tmp_path / "index", files, reader, lambda *n: done.append(n))
    assert (tally.n_added, tally.n_known, done) == (3, 0, [(1, 3), (2, 3), (3, 3)])
    index = DescriptorIndex.open(tmp_path / "index")
    for file, row in zip(files, index.descriptors(), strict=True):
        np.testing.assert_array_equal(reader.describe(Page(file)), row)
    copy = tmp_path / "copy.png"
    copy.write_bytes(files[1].read_bytes())
    best = find_alike(index, Page(copy), reader, 1)[0]
    assert best.path == str(files[1])
    assert best.similarity == pytest.approx(1, abs=1e-6)


def test_what_was_added_stays_when_it_is_stopped(
    reader: PageReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_index, "_BATCH", 2)
    files = write_lines(tmp_path / "archive", (3, 4, 5, 6))

    def stop(n_done: int, _: int) -> None:
        if n_done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extend_index(tmp_path / "index", files, reader, stop)
    assert len(DescriptorIndex.open(tmp_path / "index")) == 2
    tally = extend_index(tmp_path / "index", files, reader)
    assert (tally.n_added, tally.n_known) == (2, 2)


def test_another_model_or_description_has_another_source(
    model: Path, reader: PageReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = {source_of(model, 4), source_of(model, 5)}
    monkeypatch.setattr(page_reader, "KEY", "another way")
    sources.add(source_of(model, 4))
    assert len(sources) == 3
    assert reader.source in sources
    (file,) = write_lines(tmp_path / "archive", (3,))
    extend_index(tmp_path / "index", [file], reader)
    other = replace(reader, source="another")
    with pytest.raises(RetrievalError, match="made by another one"):
        extend_index(tmp_path / "index", [file], other)
    with pytest.raises(RetrievalError, match="made by another one"):
        find_alike(DescriptorIndex.open(tmp_path / "index"), Page(file), other, 1)


def test_pages_that_share_their_nearest_pages_with_the_query_come_first_when_reranked(
    reader: PageReader, tmp_path: Path
) -> None:
    (query,) = write_lines(tmp_path / "archive", (5,))
    wanted = reader.describe(Page(query)).astype(np.float64)
    generator = np.random.default_rng(0)
    others = generator.normal(size=(3, len(wanted)))
    off = np.linalg.qr(np.vstack([wanted, others]).T)[0].T[1:]  # three directions that the query has nothing of
    same = [wanted + 0.5 * off[0] + noise for noise in generator.normal(0, 0.01, (7, len(wanted)))]
    crowd = [wanted + 0.45 * off[1] + noise for noise in generator.normal(0, 0.001, (1, len(wanted)))]
    crowd += [wanted + 0.9 * off[1] + noise for noise in generator.normal(0, 0.01, (12, len(wanted)))]
    rows = np.array([row / np.linalg.norm(row) for row in (*same, *crowd)], np.float32)
    names = [*(f"same {n}" for n in range(7)), "near", *(f"crowd {n}" for n in range(12))]
    index = DescriptorIndex.open_or_create(tmp_path / "index", len(wanted), reader.source)
    index.add([IndexedPage(name) for name in names], rows)
    plain = find_alike(index, Page(query), reader, 20)
    reranked = find_alike(index, Page(query), reader, 20, n_neighbours=8)
    assert plain[0].path == "near"
    assert {page.path for page in reranked[:7]} == set(names[:7])
    assert {page.path: page.similarity for page in reranked} == {page.path: page.similarity for page in plain}
    assert find_alike(index, Page(query), reader, 2, n_neighbours=8) == reranked[:2]


@pytest.mark.parametrize("most", [2, 3, 20])
def test_similarities_are_those_of_descriptors_that_are_adapted_to_the_archive(
    reader: PageReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(page_index, "_MOST_LEARNED", most)
    files = write_lines(tmp_path / "archive", (3, 4, 6, 8))
    extend_index(tmp_path / "index", files, reader)
    index = DescriptorIndex.open(tmp_path / "index")
    (query,) = write_lines(tmp_path / "query", (5,))
    rows, wanted = index.descriptors(), reader.describe(Page(query))
    adapted = Adaptation.fit(rows if most == 20 else rows[::2]).adapt(np.vstack([wanted, rows]))
    for is_adapted, expected in ((True, adapted[1:] @ adapted[0]), (False, rows @ wanted)):
        found = find_alike(index, Page(query), reader, 9, adaptation=adaptation_to(index) if is_adapted else None)
        similarity_of = {page.path: page.similarity for page in found}
        for file, value in zip(files, expected.tolist(), strict=True):
            assert similarity_of[str(file)] == pytest.approx(value, abs=1e-6)


def test_what_shows_no_handwriting_is_said_with_its_reason(reader: PageReader, tmp_path: Path) -> None:
    note = tmp_path / "note.png"
    note.write_text("no image")
    tally = extend_index(tmp_path / "index", [note], reader)
    assert [entry.path for entry in tally.unreadable] == [note]
    assert not (tmp_path / "index").exists()
    with pytest.raises(ImageError, match=r"note\.png"):
        reader.describe(Page(note))


def test_a_page_that_changed_is_described_anew_and_one_that_was_only_touched_is_not(
    reader: PageReader, tmp_path: Path
) -> None:
    files = write_lines(tmp_path / "archive", (3, 5, 8))
    extend_index(tmp_path / "index", files, reader)
    write_line(files[0], 11)
    os.utime(files[1])
    files[2].unlink()
    tally = extend_index(tmp_path / "index", files[:2], reader)
    assert (tally.n_added, tally.n_changed, tally.n_known, tally.gone) == (0, 1, 1, [str(files[2])])
    index = DescriptorIndex.open(tmp_path / "index")
    found = find_alike(index, Page(write_line(tmp_path / "as-now.png", 11)), reader, 20)
    assert [each.path for each in found].count(str(files[0])) == 1
    assert found[0].path == str(files[0])
    assert found[0].similarity == pytest.approx(1, abs=1e-6)
    assert len(found) == 3
    assert {Path(each.path): each.is_gone for each in found} == {files[0]: False, files[1]: False, files[2]: True}


def test_content_is_read_again_only_where_size_or_time_differ(tmp_path: Path) -> None:
    file = tmp_path / "page.png"
    file.write_bytes(b"one")
    assert state_of(file).split()[1] == "0", "it may change again within the same time"
    an_hour_ago = time.time() - 3600
    os.utime(file, (an_hour_ago, an_hour_ago))
    state = state_of(file)
    assert is_as_described(file, state)
    assert is_as_described(file, ""), "nothing is known of it"
    file.write_bytes(b"two")
    assert not is_as_described(file, state)
    os.utime(file, (an_hour_ago, an_hour_ago))
    assert is_as_described(file, state), "size and time are those that were seen"
    assert not is_as_described(tmp_path / "none.png", state)


def test_an_index_that_nobody_can_search_is_told_with_its_reason(model: Path, tmp_path: Path) -> None:
    own = tmp_path / "model"
    shutil.copytree(model, own)
    reader, archive = PageReader.load(own), tmp_path / "archive"
    write_lines(archive, (3,))
    index, _ = index_folder(archive, tmp_path / "indexes", reader)
    assert list(kept_indexes(tmp_path / "indexes")) == [index]
    assert why_unused(index) is None
    archive.rename(tmp_path / "elsewhere")
    assert why_unused(index) == "of a folder that is gone"
    (tmp_path / "elsewhere").rename(archive)
    network = own / "data" / "model.keras"
    network.write_bytes(network.read_bytes() + b" ")
    assert why_unused(index) == "of a model that has changed since"
    shutil.rmtree(own)
    assert why_unused(index) == "of a model that is gone"
