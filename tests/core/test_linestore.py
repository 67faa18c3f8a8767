import dataclasses
import hashlib
import json
import multiprocessing
import os
import pickle
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from core.corpora.base import CorpusIndex
from core.corpora.folder import FolderCorpus, FolderSettings
from core.errors import CorpusError, LineStoreError
from core.ink import INK_LEVEL, InkSettings, text_lines
from core.linestore import LineStore, build_line_store
from core.linestore_build import INDEX, INK, MANIFEST, PIXELS, line_store_key


@pytest.fixture(scope="module")
def built(hands_index: CorpusIndex, tmp_path_factory: pytest.TempPathFactory) -> LineStore:
    return build_line_store(hands_index, InkSettings(), tmp_path_factory.mktemp("lines"))


@pytest.fixture
def store(built: LineStore, tmp_path: Path) -> LineStore:
    """A copy that a test may damage."""
    return LineStore.open(Path(shutil.copytree(built.folder, tmp_path / "lines" / built.folder.name)))


@pytest.fixture
def one_page(hands_index: CorpusIndex) -> CorpusIndex:
    return dataclasses.replace(hands_index, images=hands_index.images[:4])


def scans(root: Path) -> CorpusIndex:
    return FolderCorpus(FolderSettings(root=root)).index()


def folders(cache_dir: Path) -> set[str]:
    return {path.name for path in cache_dir.iterdir() if path.is_dir()}


def test_the_store_holds_every_line_pixel_for_pixel(store: LineStore, hands_index: CorpusIndex) -> None:
    assert len(store) == len(store.lines) == len(hands_index.images) == 48
    for number, image in enumerate(hands_index.images):
        line = store.lines[number]
        assert (line.image_id, line.line_number) == (image.image_id, 0)
        assert (line.writer_id, line.group_id) == (image.writer_id, image.page_id)
        assert store.pixels(number).shape == (store.height_px, line.width_px)
    for number in (0, 17, 47):
        assert np.array_equal(store.pixels(number), text_lines(hands_index.images[number], InkSettings())[0])


def test_the_ink_of_any_span_is_one_subtraction(store: LineStore) -> None:
    for number in (0, 47):
        pixels, n_ink = store.pixels(number), store.n_ink(number)
        assert n_ink.shape == (pixels.shape[1] + 1,)
        assert n_ink[90] - n_ink[30] == (pixels[:, 30:90] < INK_LEVEL).sum()
        assert n_ink[-1] == (pixels < INK_LEVEL).sum()


def test_lines_are_found_on_pages_and_numbered(folder_root: Path, tmp_path: Path) -> None:
    store = build_line_store(scans(folder_root), InkSettings(), tmp_path / "lines")
    assert len(store) == 48
    assert [line.line_number for line in store.lines[:5]] == [0, 1, 2, 3, 0]
    assert store.lines[0].group_id == "000/000-00"


def test_pixels_cannot_be_written_to(store: LineStore) -> None:
    with pytest.raises(ValueError, match="read-only"):
        store.pixels(0)[0, 0] = 0


def test_a_built_store_is_opened_and_not_built_again(store: LineStore, hands_index: CorpusIndex) -> None:
    calls: list[tuple[int, int]] = []
    before = (store.folder / PIXELS).stat().st_mtime_ns
    again = build_line_store(hands_index, InkSettings(), store.folder.parent, lambda *done: calls.append(done))
    assert (again.folder, again.lines, calls) == (store.folder, store.lines, [])
    assert (store.folder / PIXELS).stat().st_mtime_ns == before


def test_progress_counts_to_the_end(hands_index: CorpusIndex, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    build_line_store(hands_index, InkSettings(), tmp_path, lambda *done: calls.append(done))
    assert calls == [(n_done, 48) for n_done in range(1, 49)]


def test_a_store_pickles_as_its_path(store: LineStore) -> None:
    pickled = pickle.dumps(store)
    assert len(pickled) < 1000
    copy = pickle.loads(pickled)
    assert copy.lines == store.lines
    assert np.array_equal(copy.pixels(5), store.pixels(5))


def test_a_store_opened_by_a_relative_path_is_found_from_elsewhere(
    store: LineStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(store.folder.parent)
    relative = LineStore.open(Path(store.folder.name))
    monkeypatch.chdir(tmp_path.parent)
    assert pickle.loads(pickle.dumps(relative)).pixels(0).shape == store.pixels(0).shape


def test_other_settings_and_other_images_make_another_store(hands_index: CorpusIndex) -> None:
    images = hands_index.images
    variants = [
        (hands_index, InkSettings()),
        (hands_index, InkSettings(height_px=64)),
        (hands_index, InkSettings(crop_to_ink=False)),
        (hands_index, InkSettings(normalise_tone=False)),
        (dataclasses.replace(hands_index, images=images[1:]), InkSettings()),
        (dataclasses.replace(hands_index, images=(images[1], images[0], *images[2:])), InkSettings()),
        (
            dataclasses.replace(hands_index, images=tuple(dataclasses.replace(i, unit="page") for i in images)),
            InkSettings(),
        ),
        (
            dataclasses.replace(hands_index, images=tuple(dataclasses.replace(i, region=None) for i in images)),
            InkSettings(),
        ),
        (
            dataclasses.replace(hands_index, images=tuple(dataclasses.replace(i, writer_id="x") for i in images)),
            InkSettings(),
        ),
    ]
    assert len({line_store_key(index, settings) for index, settings in variants}) == len(variants)


def test_the_split_and_the_place_of_the_files_do_not_count(folder_root: Path, tmp_path: Path) -> None:
    key = line_store_key(scans(folder_root), InkSettings())
    moved = folder_root.rename(tmp_path / "moved")
    assert line_store_key(scans(moved), InkSettings()) == key


def test_a_changed_image_makes_another_store(folder_root: Path, tmp_path: Path) -> None:
    for path in folder_root.rglob("*-0[23].png"):
        path.unlink()
    first = build_line_store(scans(folder_root), InkSettings(), tmp_path / "lines")
    status = (folder_root / "000/000-00.png").stat()
    shutil.copy(folder_root / "000/000-01.png", folder_root / "000/000-00.png")
    os.utime(folder_root / "000/000-00.png", ns=(status.st_atime_ns, status.st_mtime_ns))
    second = build_line_store(scans(folder_root), InkSettings(), tmp_path / "lines")
    assert second.folder != first.folder
    assert np.array_equal(second.pixels(0), second.pixels(4))
    assert LineStore.open(first.folder).lines == first.lines


def test_a_large_image_counts_by_size_time_and_head(folder_root: Path) -> None:
    large = folder_root / "000/large.png"
    large.write_bytes(bytes(5 * 2**20))
    key = line_store_key(scans(folder_root), InkSettings())
    assert line_store_key(scans(folder_root), InkSettings()) == key
    os.utime(large, ns=(1, 1))
    assert line_store_key(scans(folder_root), InkSettings()) != key


def test_unreadable_images_are_set_aside_and_the_rest_is_built(folder_root: Path, tmp_path: Path) -> None:
    (folder_root / "000/000-00.png").write_bytes(b"")
    (folder_root / "001/001-03.png").write_text("no image")
    index = scans(folder_root)
    (folder_root / "002/002-01.png").unlink()
    store = build_line_store(index, InkSettings(), tmp_path / "lines")
    assert len(store) == 9 * 4
    assert [entry.path.name for entry in store.set_aside] == ["000-00.png", "001-03.png", "002-01.png"]
    assert "has 0 bytes" in store.set_aside[0].reason
    assert LineStore.open(store.folder).set_aside == store.set_aside


def test_a_corpus_of_mostly_unreadable_images_is_refused(folder_root: Path, tmp_path: Path) -> None:
    for path in sorted(folder_root.rglob("*.png"))[:7]:
        path.write_bytes(b"")
    with pytest.raises(CorpusError, match=r"7 of 12 of 'scans'.*has 0 bytes"):
        build_line_store(scans(folder_root), InkSettings(), tmp_path / "lines")
    assert folders(tmp_path / "lines") == set()


def test_a_corpus_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="0 of 0"):
        build_line_store(CorpusIndex("none", tmp_path, ()), InkSettings(), tmp_path / "lines")


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def change_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def edit_format(path: Path) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 0}))


def forget_files(path: Path) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), "files": {}}))


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        (PIXELS, truncate),
        (PIXELS, Path.unlink),
        (INK, truncate),
        (INDEX, truncate),
        (INDEX, change_a_byte),
        (MANIFEST, truncate),
        (MANIFEST, Path.unlink),
        (MANIFEST, edit_format),
        (MANIFEST, forget_files),
        (MANIFEST, lambda path: path.write_text("[]")),
    ],
)
def test_a_damaged_store_is_refused_and_built_again(
    one_page: CorpusIndex, tmp_path: Path, name: str, damage: Callable[[Path], object]
) -> None:
    store = build_line_store(one_page, InkSettings(), tmp_path / "lines")
    damage(store.folder / name)
    with pytest.raises(LineStoreError, match=rf"{store.folder}.*Delete the folder"):
        LineStore.open(store.folder)
    again = build_line_store(one_page, InkSettings(), tmp_path / "lines")
    assert again.folder == store.folder
    again.verify()


def test_changed_pixels_are_found_by_verify(store: LineStore) -> None:
    store.verify()
    change_a_byte(store.folder / PIXELS)
    with pytest.raises(LineStoreError, match="SHA-256"):
        LineStore.open(store.folder).verify()


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LineStoreError, match="gone does not"):
        LineStore.open(tmp_path / "gone")


def test_an_interrupted_build_leaves_nothing_behind(hands_index: CorpusIndex, tmp_path: Path) -> None:
    def interrupt(n_done: int, n_images: int) -> None:
        if n_done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_line_store(hands_index, InkSettings(), tmp_path, interrupt)
    assert folders(tmp_path) == set()


def test_what_a_killed_build_left_is_removed_and_not_used(one_page: CorpusIndex, tmp_path: Path) -> None:
    key = line_store_key(one_page, InkSettings())
    left = tmp_path / f".{key}-12345"
    left.mkdir()
    (left / PIXELS).write_bytes(b"half")
    store = build_line_store(one_page, InkSettings(), tmp_path)
    assert folders(tmp_path) == {key} == {store.folder.name}


def test_a_folder_that_cannot_be_written_is_refused(hands_index: CorpusIndex, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(LineStoreError, match=r"must be written to .*file/lines"):
        build_line_store(hands_index, InkSettings(), tmp_path / "file" / "lines")


def _build_and_count(index: CorpusIndex, cache_dir: Path, built: "multiprocessing.Queue[int]") -> None:
    calls: list[int] = []
    store = build_line_store(index, InkSettings(), cache_dir, lambda n_done, _: calls.append(n_done))
    store.verify()
    built.put(len(calls))


def test_of_two_processes_one_builds_and_both_read(hands_index: CorpusIndex, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    built = context.Queue()
    workers = [context.Process(target=_build_and_count, args=(hands_index, tmp_path, built)) for _ in range(2)]
    for worker in workers:
        worker.start()
    counts = sorted(built.get(timeout=60) for _ in workers)
    for worker in workers:
        worker.join(timeout=60)
    assert counts == [0, 48]


def test_six_thousand_lines_open_at_once(store: LineStore, tmp_path: Path) -> None:
    large = tmp_path / "large"
    shutil.copytree(store.folder, large)
    _repeat(large, 125)
    LineStore.open(large)
    start = time.process_time()
    assert len(LineStore.open(large)) == 6000
    assert time.process_time() - start < 0.1  # 0.01 s on an idle machine


def _repeat(folder: Path, n_times: int) -> None:
    """Make the index n times as long; the pixels are not needed."""
    index = json.loads((folder / INDEX).read_text())
    content = json.dumps({**index, "lines": index["lines"] * n_times}).encode()
    (folder / INDEX).write_bytes(content)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"][INDEX] = {"n_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (folder / MANIFEST).write_text(json.dumps(manifest))
