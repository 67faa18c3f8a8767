"""What a line store holds, when it is built again, and what of it is mended."""

import dataclasses
import json
import os
import pickle
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.corpora.folder import FolderCorpus
from core.corpora.index import CorpusIndex
from core.corpora.settings import FolderSettings
from core.errors import CorpusError, LineStoreError
from core.lines.fingerprints import fingerprint_files
from core.lines.store import LIST, LineStore, build_line_store, line_store_key
from core.pages.scan import INK_LEVEL
from core.pages.text_lines import text_lines
from core.settings import InkSettings


@pytest.fixture(scope="module")
def built(hands_index: CorpusIndex, tmp_path_factory: pytest.TempPathFactory) -> LineStore:
    return build_line_store(hands_index, InkSettings(), tmp_path_factory.mktemp("lines"))


@pytest.fixture
def store(built: LineStore, tmp_path: Path) -> LineStore:
    """A copy that a test may damage."""
    return LineStore.open(shutil.copytree(built.folder.parent, tmp_path / "lines") / built.folder.name)


@pytest.fixture
def one_page(hands_index: CorpusIndex) -> CorpusIndex:
    return dataclasses.replace(hands_index, images=hands_index.images[:4])


def scans(root: Path) -> CorpusIndex:
    return FolderCorpus(FolderSettings(root=root)).index()


def key_of(index: CorpusIndex, settings: InkSettings, folder: Path) -> str:
    prints = fingerprint_files((image.path for image in index.images), folder / "files.json")
    return line_store_key(index, settings, prints)


def packs(cache_dir: Path) -> list[Path]:
    return sorted(cache_dir.glob("pool-*/*.pack"))


def without_writer(index: CorpusIndex, writer_id: str) -> CorpusIndex:
    return dataclasses.replace(index, images=tuple(i for i in index.images if i.writer_id != writer_id))


class Calls:
    """Counts how often a build tells its progress."""

    def __init__(self) -> None:
        self.done: list[tuple[int, int]] = []

    def __call__(self, n_done: int, n_images: int) -> None:
        self.done.append((n_done, n_images))


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
    calls = Calls()
    before = (store.folder / LIST).stat().st_mtime_ns
    again = build_line_store(hands_index, InkSettings(), store.folder.parent, calls)
    assert (again.folder, again.lines, calls.done) == (store.folder, store.lines, [])
    assert (store.folder / LIST).stat().st_mtime_ns == before
    assert len(packs(store.folder.parent)) == 1


def test_progress_counts_to_the_end(hands_index: CorpusIndex, tmp_path: Path) -> None:
    calls = Calls()
    build_line_store(hands_index, InkSettings(), tmp_path, calls)
    assert calls.done == [(n_done, 48) for n_done in range(1, 49)]


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


def test_other_settings_and_other_images_make_another_store(hands_index: CorpusIndex, tmp_path: Path) -> None:
    images = hands_index.images

    def changed(**changes: Any) -> CorpusIndex:
        return dataclasses.replace(hands_index, images=tuple(dataclasses.replace(i, **changes) for i in images))

    variants = [
        (hands_index, InkSettings()),
        (hands_index, InkSettings(height_px=64)),
        (hands_index, InkSettings(crop_to_ink=False)),
        (hands_index, InkSettings(normalise_tone=False)),
        (dataclasses.replace(hands_index, images=images[1:]), InkSettings()),
        (dataclasses.replace(hands_index, images=(images[1], images[0], *images[2:])), InkSettings()),
        (changed(unit="page"), InkSettings()),
        (changed(region=None), InkSettings()),
        (changed(writer_id="x"), InkSettings()),
        (changed(page_id="x"), InkSettings()),
    ]
    assert len({key_of(*variant, tmp_path) for variant in variants}) == len(variants)


def test_the_split_and_the_place_of_the_files_do_not_count(folder_root: Path, tmp_path: Path) -> None:
    key = key_of(scans(folder_root), InkSettings(), tmp_path)
    moved = folder_root.rename(tmp_path / "moved")
    assert key_of(scans(moved), InkSettings(), tmp_path) == key


def test_other_writers_or_other_names_of_writers_read_no_image_again(
    store: LineStore, hands_index: CorpusIndex
) -> None:
    calls, cache_dir = Calls(), store.folder.parent
    fewer = build_line_store(without_writer(hands_index, "001"), InkSettings(), cache_dir, calls)
    assert len(fewer) == 32
    assert fewer.folder != store.folder
    renamed = tuple(dataclasses.replace(i, writer_id=f"w{i.writer_id}") for i in hands_index.images)
    other = build_line_store(dataclasses.replace(hands_index, images=renamed), InkSettings(), cache_dir, calls)
    assert {line.writer_id for line in other.lines} == {"w000", "w001", "w002"}
    assert np.array_equal(other.pixels(40), store.pixels(40))
    assert np.array_equal(fewer.pixels(20), store.pixels(36))
    assert calls.done == []
    assert len(packs(cache_dir)) == 1


def test_a_store_made_of_several_packs_reads_each_line_from_its_own(hands_index: CorpusIndex, tmp_path: Path) -> None:
    calls = Calls()
    build_line_store(without_writer(hands_index, "001"), InkSettings(), tmp_path)
    store = build_line_store(hands_index, InkSettings(), tmp_path, calls)
    assert calls.done == [(n_done, 48) for n_done in range(33, 49)]
    assert len(packs(tmp_path)) == 2
    for number in (3, 20, 40):
        line = text_lines(hands_index.images[number], InkSettings())[0]
        assert np.array_equal(store.pixels(number), line)
        assert store.n_ink(number)[-1] == (line < INK_LEVEL).sum()


def test_a_moved_corpus_is_not_read_again_and_names_its_new_places(folder_root: Path, tmp_path: Path) -> None:
    (folder_root / "000/000-00.png").write_bytes(b"")
    first = build_line_store(scans(folder_root), InkSettings(), tmp_path / "lines")
    calls, moved = Calls(), folder_root.rename(tmp_path / "moved")
    second = build_line_store(scans(moved), InkSettings(), tmp_path / "lines", calls)
    assert second.folder == first.folder
    assert [entry.path for entry in second.unusable] == [moved / "000/000-00.png"]
    assert len(packs(tmp_path / "lines")) == 1


def test_a_changed_image_is_read_anew_though_size_and_time_stay(folder_root: Path, tmp_path: Path) -> None:
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
    assert len(packs(tmp_path / "lines")) == 1, "the same content under another name is there already"


def test_unreadable_images_are_unusable_and_the_rest_is_built(folder_root: Path, tmp_path: Path) -> None:
    (folder_root / "000/000-00.png").write_bytes(b"")
    (folder_root / "001/001-03.png").write_text("no image")
    index = scans(folder_root)
    (folder_root / "002/002-01.png").unlink()
    store = build_line_store(index, InkSettings(), tmp_path / "lines")
    assert len(store) == 9 * 4
    assert [entry.path.name for entry in store.unusable] == ["000-00.png", "001-03.png", "002-01.png"]
    assert [entry.image_id for entry in store.unusable] == ["000/000-00.png", "001/001-03.png", "002/002-01.png"]
    assert "has 0 bytes" in store.unusable[0].reason
    assert "there is no" in store.unusable[2].reason
    assert LineStore.open(store.folder).unusable == store.unusable


def test_a_mended_image_is_used_and_only_it_is_read(folder_root: Path, tmp_path: Path) -> None:
    page = folder_root / "000/000-00.png"
    whole = page.read_bytes()
    page.write_bytes(whole[: len(whole) // 2])
    assert len(build_line_store(scans(folder_root), InkSettings(), tmp_path / "lines").unusable) == 1
    page.write_bytes(whole)
    calls = Calls()
    store = build_line_store(scans(folder_root), InkSettings(), tmp_path / "lines", calls)
    assert (len(store), store.unusable, calls.done) == (48, (), [(12, 12)])


def test_an_image_that_comes_back_is_used(folder_root: Path, tmp_path: Path) -> None:
    index, page = scans(folder_root), folder_root / "000/000-00.png"
    away = page.rename(tmp_path / "away.png")
    assert len(build_line_store(index, InkSettings(), tmp_path / "lines").unusable) == 1
    away.rename(page)
    assert build_line_store(index, InkSettings(), tmp_path / "lines").unusable == ()


def test_one_content_under_many_names_is_read_once_and_if_unusable_reported_each(
    folder_root: Path, tmp_path: Path
) -> None:
    for path in sorted(folder_root.rglob("*-0[123].png")):
        path.unlink()
    for number in range(5):
        shutil.copy(folder_root / "000/000-00.png", folder_root / f"000/copy-{number}.png")
        (folder_root / f"001/blank-{number}.png").write_bytes(b"nothing")
    calls = Calls()
    store = build_line_store(scans(folder_root), InkSettings(), tmp_path / "lines", calls)
    assert len(store) == 8 * 4
    assert [f"blank-{n}.png" in entry.reason for n, entry in enumerate(store.unusable)] == [True] * 5
    assert calls.done[0] == (6, 13), "six images for one reading"
    assert calls.done[-1] == (13, 13)


def test_a_corpus_of_unreadable_images_is_a_store_without_lines(folder_root: Path, tmp_path: Path) -> None:
    for path in folder_root.rglob("*.png"):
        path.write_bytes(b"")
    store = build_line_store(scans(folder_root), InkSettings(), tmp_path / "lines")
    assert (len(store), len(store.unusable)) == (0, 12)


def test_a_corpus_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"'none' below .* has none"):
        build_line_store(CorpusIndex("none", tmp_path, ()), InkSettings(), tmp_path / "lines")


def test_another_reader_reads_pages_anew_and_leaves_lines_as_they_are(
    folder_root: Path, hands_index: CorpusIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in folder_root.rglob("*-0[123].png"):
        path.unlink()
    pages, lines = scans(folder_root), dataclasses.replace(hands_index, images=hands_index.images[:4])
    before = [build_line_store(index, InkSettings(), tmp_path / "lines").folder for index in (pages, lines)]
    monkeypatch.setattr("core.lines.pool.READER_VERSION", 99)
    of_pages, of_lines = Calls(), Calls()
    after = [
        build_line_store(pages, InkSettings(), tmp_path / "lines", of_pages).folder,
        build_line_store(lines, InkSettings(), tmp_path / "lines", of_lines).folder,
    ]
    assert (after[0] != before[0], after[1] == before[1]) == (True, True)
    assert (of_pages.done[-1], of_lines.done) == ((3, 3), [])


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def change_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def edit_head(**changes: object) -> Callable[[Path], object]:
    def edit(path: Path) -> None:
        head, _, body = path.read_text().partition("\n")
        path.write_text(json.dumps({**json.loads(head), **changes}) + "\n" + body)

    return edit


@pytest.mark.parametrize(
    ("pattern", "damage"),
    [
        (f"*/{LIST}", truncate),
        (f"*/{LIST}", change_a_byte),
        (f"*/{LIST}", Path.unlink),
        (f"*/{LIST}", edit_head(format=1)),
        (f"*/{LIST}", edit_head(sha256="")),
        (f"*/{LIST}", edit_head(pool=None)),
        (f"*/{LIST}", edit_head(settings={})),
        (f"*/{LIST}", lambda path: path.write_text("[]")),
        ("pool-*/*.pack", truncate),
        ("pool-*/*.pack", Path.unlink),
    ],
)
def test_a_damaged_store_is_refused_and_mended(
    one_page: CorpusIndex, tmp_path: Path, pattern: str, damage: Callable[[Path], object]
) -> None:
    store = build_line_store(one_page, InkSettings(), tmp_path / "lines")
    (file,) = (tmp_path / "lines").glob(pattern)
    damage(file)
    with pytest.raises(LineStoreError, match=rf"{tmp_path}.*whosehand sweep"):
        LineStore.open(store.folder)
    again = build_line_store(one_page, InkSettings(), tmp_path / "lines")
    assert again.folder == store.folder
    again.verify()
    assert np.array_equal(again.pixels(3), text_lines(one_page.images[3], InkSettings())[0])


def test_of_a_truncated_pack_only_what_is_lost_is_read_again(one_page: CorpusIndex, tmp_path: Path) -> None:
    build_line_store(one_page, InkSettings(), tmp_path)
    truncate(packs(tmp_path)[0])
    calls = Calls()
    build_line_store(one_page, InkSettings(), tmp_path, calls).verify()
    assert calls.done == [(4, 4)]


def test_changed_pixels_are_found_by_verify_and_mended_as_it_says(one_page: CorpusIndex, tmp_path: Path) -> None:
    store = build_line_store(one_page, InkSettings(), tmp_path)
    store.verify()
    (pack,) = packs(tmp_path)
    change_a_byte(pack)
    with pytest.raises(LineStoreError, match=rf"{pack} must have the checksum .*Delete that file"):
        LineStore.open(store.folder).verify()
    pack.unlink()
    build_line_store(one_page, InkSettings(), tmp_path).verify()


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LineStoreError, match="gone does not"):
        LineStore.open(tmp_path / "gone")


def test_an_interrupted_build_goes_on_where_it_was(hands_index: CorpusIndex, tmp_path: Path) -> None:
    def interrupt(n_done: int, n_images: int) -> None:
        if n_done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_line_store(hands_index, InkSettings(), tmp_path, interrupt)
    assert list(tmp_path.glob(f"*/{LIST}")) == []
    calls = Calls()
    store = build_line_store(hands_index, InkSettings(), tmp_path, calls)
    assert calls.done == [(n_done, 48) for n_done in range(21, 49)]
    store.verify()


def test_a_folder_that_cannot_be_written_is_refused(hands_index: CorpusIndex, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(LineStoreError, match=r"must be written to .*file/lines"):
        build_line_store(hands_index, InkSettings(), tmp_path / "file" / "lines")


def test_twenty_thousand_lines_open_at_once(hands_index: CorpusIndex, tmp_path: Path) -> None:
    names = [f"{image.image_id}-{k}" for k in range(417) for image in hands_index.images][:20_000]
    images = (dataclasses.replace(hands_index.images[k % 48], image_id=name) for k, name in enumerate(names))
    store = build_line_store(dataclasses.replace(hands_index, images=tuple(images)), InkSettings(), tmp_path)
    assert len(packs(tmp_path)) == 1
    seconds = []
    for _ in range(3):
        start = time.process_time()
        assert len(LineStore.open(store.folder)) == 20_000
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.4  # 0.1 s on an idle machine
