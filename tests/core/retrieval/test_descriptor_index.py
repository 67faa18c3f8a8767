import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from core.crash_points import ALL_POINTS, INDEX_POINTS, arm
from core.errors import RetrievalError
from core.retrieval import descriptor_index
from core.retrieval.descriptor_index import DescriptorIndex, IndexedPage

N_DIMENSIONS = 6


def described(n_pages: int, seed: int = 0) -> np.ndarray:
    points = np.random.default_rng(seed).normal(size=(n_pages, N_DIMENSIONS))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


def named(*numbers: int) -> list[IndexedPage]:
    return [IndexedPage(f"scans/seite ä {number}.png", f"w{number % 3}") for number in numbers]


def filled(folder: Path, n_pages: int = 5) -> DescriptorIndex:
    index = DescriptorIndex.open_or_create(folder, N_DIMENSIONS, "model 1")
    index.add(named(*range(n_pages)), described(n_pages))
    return index


def test_what_was_added_is_there_when_it_is_opened_again(tmp_path: Path) -> None:
    filled(tmp_path / "index").add(named(7, 8), described(2, seed=1))
    found = DescriptorIndex.open(tmp_path / "index")
    assert found.pages == named(0, 1, 2, 3, 4, 7, 8)
    np.testing.assert_array_equal(found.descriptors(), np.concatenate([described(5), described(2, seed=1)]))
    assert "scans/seite ä 8.png" in found
    assert "scans/seite ä 5.png" not in found
    assert (len(found), found.source) == (7, "model 1")
    found.verify()


@pytest.mark.parametrize("cells", [8_000_000, 20])
def test_search_finds_the_most_alike_of_all_pages(tmp_path: Path, cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descriptor_index, "_BLOCK_CELLS", cells)
    index = filled(tmp_path / "index", 40)
    queries = described(7, seed=1)
    likeness = queries @ described(40).T
    found = index.search(queries, 3)
    np.testing.assert_array_equal(found.places, np.argsort(-likeness, axis=1)[:, :3])
    np.testing.assert_allclose(found.scores, -np.sort(-likeness, axis=1)[:, :3], rtol=1e-5)
    assert index.search(queries, 100).places.shape == (7, 40)
    index.verify()


def test_an_empty_index_finds_nothing(tmp_path: Path) -> None:
    index = DescriptorIndex.open_or_create(tmp_path / "index", N_DIMENSIONS, "model 1")
    assert index.search(described(2), 3).places.shape == (2, 0)
    assert index.descriptors().shape == (0, N_DIMENSIONS)


def test_a_reader_sees_what_another_process_added_when_it_looks_again(tmp_path: Path) -> None:
    filled(tmp_path / "index")
    reader = DescriptorIndex.open(tmp_path / "index")
    DescriptorIndex.open(tmp_path / "index").add(named(9), described(1, seed=2))
    assert len(reader) == 5
    reader.refresh()
    np.testing.assert_array_equal(reader.descriptors()[5:], described(1, seed=2))


def kill_at(trap: str, work: Callable[[], object]) -> None:
    """Do work in a process that is killed at a crash point."""
    child = os.fork()
    if child == 0:
        try:
            arm(trap, ALL_POINTS)
            work()
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL, f"{trap} was not passed"


@pytest.mark.parametrize("point", INDEX_POINTS)
def test_a_process_that_is_killed_while_it_adds_loses_nothing_and_leaves_nothing_half(
    point: str, tmp_path: Path
) -> None:
    folder = tmp_path / "index"
    filled(folder)
    added, rows = named(10, 11, 12), described(3, seed=1)
    kill_at(point, lambda: DescriptorIndex.open(folder).add(added, rows))
    after = DescriptorIndex.open(folder)
    after.verify()
    n_kept = {"index-line-half-written": 2, "index-extended": 3}.get(point, 0)
    assert after.pages == named(0, 1, 2, 3, 4) + added[:n_kept]
    after.add(added[n_kept:], rows[n_kept:])
    whole = DescriptorIndex.open(folder)
    whole.verify()
    assert whole.pages == named(0, 1, 2, 3, 4, 10, 11, 12)
    np.testing.assert_array_equal(whole.descriptors(), np.concatenate([described(5), rows]))


def test_a_process_that_is_killed_while_it_begins_an_index_leaves_none_and_the_next_one_begins_it(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "index"
    kill_at("file-written-aside", lambda: filled(folder))
    with pytest.raises(RetrievalError, match=r"holds index\.json"):
        DescriptorIndex.open(folder)
    assert len(filled(folder)) == 5


def test_an_addition_that_was_cut_off_anywhere_leaves_whole_pages(tmp_path: Path) -> None:
    filled(tmp_path / "before")
    shutil.copytree(tmp_path / "before", tmp_path / "index")
    added, rows = named(10, 11), described(2, seed=1)
    DescriptorIndex.open(tmp_path / "index").add(added, rows)
    sizes = {
        name: [(tmp_path / place / name).stat().st_size for place in ("before", "index")]
        for name in ("descriptors.f32", "pages.jsonl")
    }
    whole = {name: (tmp_path / "index" / name).read_bytes() for name in sizes}
    (rows_before, rows_after), (lines_before, lines_after) = sizes["descriptors.f32"], sizes["pages.jsonl"]
    states = [(cut, lines_before) for cut in range(rows_before, rows_after, 5)]
    states += [(rows_after, cut) for cut in range(lines_before, lines_after, 3)]
    for n_row_bytes, n_line_bytes in states:
        (tmp_path / "index" / "descriptors.f32").write_bytes(whole["descriptors.f32"][:n_row_bytes])
        (tmp_path / "index" / "pages.jsonl").write_bytes(whole["pages.jsonl"][:n_line_bytes])
        found = DescriptorIndex.open(tmp_path / "index")
        assert found.pages in (named(0, 1, 2, 3, 4), named(0, 1, 2, 3, 4, 10))
        np.testing.assert_array_equal(found.descriptors()[:5], described(5))
        if (n_row_bytes + n_line_bytes) % 7 == 0:
            n_kept = len(found) - 5
            found.add(added[n_kept:], rows[n_kept:])
            assert {name: (tmp_path / "index" / name).read_bytes() for name in sizes} == whole


def test_descriptors_of_another_making_are_not_added(tmp_path: Path) -> None:
    filled(tmp_path / "index")
    with pytest.raises(RetrievalError, match=r"holds those of 'model 1' with 6 values, .* 'model 2' with 6"):
        DescriptorIndex.open_or_create(tmp_path / "index", N_DIMENSIONS, "model 2")


def test_a_page_is_added_once(tmp_path: Path) -> None:
    index = filled(tmp_path / "index")
    with pytest.raises(RetrievalError, match=r"seite ä 4\.png' is in .* already\. Leave"):
        index.add(named(9, 4), described(2))
    with pytest.raises(ValueError, match="given twice"):
        index.add(named(9, 9), described(2))
    assert len(DescriptorIndex.open(tmp_path / "index")) == 5


@pytest.mark.parametrize("rows", [np.zeros((1, 5)), np.full((1, N_DIMENSIONS), np.nan)])
def test_rows_that_are_none_of_its_descriptors_are_refused(rows: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"finite, \(1, 6\)"):
        filled(tmp_path / "index").add(named(9), rows)
    with pytest.raises(ValueError, match="n_dimensions"):
        DescriptorIndex.open_or_create(tmp_path / "other", 0, "model 1")
    with pytest.raises(ValueError, match="Queries are"):
        DescriptorIndex.open(tmp_path / "index").search(np.zeros((1, 6)), 0)


def damage(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def test_what_is_damaged_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    filled(folder)
    damage(folder / "descriptors.f32", 4 * N_DIMENSIONS * 2)
    with pytest.raises(RetrievalError, match=r"'scans/seite ä 2\.png' .* row 2 has changed\. Delete"):
        DescriptorIndex.open(folder).verify()
    damage(folder / "pages.jsonl", 15)
    with pytest.raises(RetrievalError, match=r"pages\.jsonl must name a page .* Delete"):
        DescriptorIndex.open(folder)
    damage(folder / "pages.jsonl", 15)
    (folder / "descriptors.f32").write_bytes(b"1234")
    with pytest.raises(RetrievalError, match="a row for each of 5 pages, but holds 0"):
        DescriptorIndex.open(folder)
    (folder / "index.json").write_text('{"format": 9, "n_dimensions": 6, "source": ""}')
    with pytest.raises(RetrievalError, match=r"must have format 1, but .* has 9"):
        DescriptorIndex.open(folder)
    (folder / "index.json").write_text("{")
    with pytest.raises(RetrievalError, match="must describe an index"):
        DescriptorIndex.open(folder)


def test_a_page_that_is_described_anew_is_found_by_its_new_row_alone(tmp_path: Path) -> None:
    index = filled(tmp_path / "index")
    changed, row = IndexedPage(named(2)[0].page_id, "w2", "another scan"), described(1, seed=3)
    index.add([changed], row, replaces=True)
    found = DescriptorIndex.open(tmp_path / "index")
    found.verify()
    assert (len(found), len(found.pages)) == (5, 6)
    assert found.page(changed.page_id) == changed
    assert found.page("scans/none.png") is None
    before, now = found.search(np.concatenate([described(5)[2:3], row]), 100).places
    assert sorted(before) == sorted(now) == [0, 1, 3, 4, 5], "every page once"
    assert now[0] == 5


@pytest.mark.parametrize("point", INDEX_POINTS)
def test_a_process_that_is_killed_while_it_replaces_a_page_leaves_the_old_one_or_the_new_one(
    point: str, tmp_path: Path
) -> None:
    folder, row = tmp_path / "index", described(1, seed=3)
    filled(folder)
    kill_at(point, lambda: DescriptorIndex.open(folder).add(named(2), row, replaces=True))
    found = DescriptorIndex.open(folder)
    found.verify()
    (place,) = found.search(row, 1).places[0]
    assert len(found) == 5
    assert (place == 5) == (point == "index-extended")
