"""How well the images of a corpus were read: kept with their lines, the worst first."""

import csv
import dataclasses
import json
import zlib
from pathlib import Path

import pytest
from PIL import Image

from core.corpora.index import CorpusIndex, TextImage, Unit
from core.lines.reading_report import ReadingReport, report_readings
from core.lines.store import LineStore, build_line_store
from core.pages.reading_signs import Reading
from core.settings import InkSettings

INK = InkSettings(height_px=40)


def index_of(hands_index: CorpusIndex, unit: Unit) -> CorpusIndex:
    """Three pages, one of each writer."""
    images = tuple(
        TextImage(image.path.stem, image.path, image.writer_id, unit=unit) for image in hands_index.images[::16]
    )
    return dataclasses.replace(hands_index, images=images)


@pytest.fixture
def pages(hands_index: CorpusIndex) -> CorpusIndex:
    return index_of(hands_index, "page")


def test_how_an_image_was_read_is_kept_with_its_lines(pages: CorpusIndex, tmp_path: Path) -> None:
    built = build_line_store(pages, INK, tmp_path)
    assert built.readings.keys() == {image.image_id for image in pages.images}
    assert {(read.taken_for, read.n_lines) for read in built.readings.values()} == {("page", 4)}
    assert LineStore.open(built.folder).readings == built.readings
    fewer = dataclasses.replace(pages, images=pages.images[:2])
    assert len(build_line_store(fewer, INK, tmp_path).readings) == 2  # from the pool: nothing is read again


def test_single_lines_are_kept_as_0_1_kept_them(hands_index: CorpusIndex, tmp_path: Path) -> None:
    one = dataclasses.replace(hands_index, images=hands_index.images[:2])
    store = build_line_store(one, INK, tmp_path)
    assert store.readings == {}
    _, body = (store.folder / "lines.json").read_bytes().splitlines()
    assert [len(row) for row in json.loads(body)["images"]] == [7, 7]
    (journal,) = tmp_path.glob("pool-*/*.journal")
    assert [len(json.loads(line[9:])) for line in journal.read_bytes().splitlines()] == [4, 4]


def test_lines_that_were_kept_without_it_are_used_and_said_to_be_unknown(pages: CorpusIndex, tmp_path: Path) -> None:
    store = build_line_store(pages, INK, tmp_path)
    (journal,) = tmp_path.glob("pool-*/*.journal")
    rows = [json.dumps(json.loads(line[9:])[:4]).encode() for line in journal.read_bytes().splitlines()]
    journal.write_bytes(b"".join(b"%08x %s\n" % (zlib.crc32(row), row) for row in rows))
    (store.folder / "lines.json").unlink()
    calls: list[tuple[int, int]] = []
    old = build_line_store(pages, INK, tmp_path, lambda done, total: calls.append((done, total)))
    assert (calls, old.lines, old.readings) == ([], store.lines, {})
    assert report_readings(pages.images, old.readings, old.unusable) == ReadingReport((), n_unknown=3)


def test_images_without_lines_are_neither_read_badly_nor_unknown(pages: CorpusIndex, tmp_path: Path) -> None:
    blank = tmp_path / "blank.png"
    Image.new("L", (200, 200), 255).save(blank)
    images = (*pages.images, TextImage("blank", blank, "000", unit="page"))
    store = build_line_store(dataclasses.replace(pages, images=images), INK, tmp_path)
    report = report_readings(images, store.readings, store.unusable)
    assert (report.n_read, report.n_unknown, report.bad) == (3, 0, [])


def report(units: dict[str, Unit], readings: dict[str, Reading]) -> ReadingReport:
    images = [TextImage(name, Path(f"{name}.png"), "ann", unit=unit) for name, unit in units.items()]
    return report_readings(images, readings, ())


READINGS = {
    "a": Reading("page", 20),
    "b": Reading("paragraph", 10, n_odd=2),
    "c": Reading("line", 1, outside=0.16),
    "=d": Reading("page", 20, n_slivers=3, outside=0.4),
}


def test_the_worst_image_comes_first() -> None:
    found = report(dict.fromkeys(READINGS, "auto"), READINGS)
    assert [read.image.image_id for read in found.images] == ["=d", "b", "c", "a"]
    assert [read.image.image_id for read in found.bad] == ["=d", "b", "c"]


def test_what_images_were_taken_for_is_counted_where_nobody_said_it() -> None:
    found = report({"a": "page", "b": "auto", "c": "auto", "=d": "auto"}, READINGS)
    assert {kind: len(images) for kind, images in found.taken_for.items()} == {"page": 1, "paragraph": 1, "line": 1}


def test_the_table_has_a_row_for_each_image(tmp_path: Path) -> None:
    report(dict.fromkeys(READINGS, "auto"), READINGS).write(tmp_path / "readings.csv")
    rows = list(csv.DictReader((tmp_path / "readings.csv").open(encoding="utf-8")))
    assert [row["image_id"] for row in rows] == ["'=d", "b", "c", "a"]  # no formula to a spreadsheet
    assert rows[0] | {"path": "", "image_id": ""} == {
        "path": "",
        "image_id": "",
        "said_to_be": "auto",
        "taken_for": "page",
        "lines": "20",
        "slivers": "3",
        "odd_lines": "0",
        "ink_outside": "0.4000",
        "signs": "40% of the ink is in no line",
    }
