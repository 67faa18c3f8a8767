"""What people hand in: copies, two Unicode forms of a name, Excel tables, formats of telephones.

The classes below make such inputs; the last one reads the shared cases, where they are there.
"""

import json
import os
import re
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from core.corpora.index import CorpusIndex
from tests.command_line import Answer, write_experiment
from tests.core.small_scans import write_small_scans

pytest_plugins = ["tests.finished_project"]
Command = Callable[..., Answer]
CASES = Path(os.environ.get("WHOSEHAND_CASES", Path(__file__).parents[3] / "../shared/cases"))
HEIC = Path(__file__).parents[2] / "core" / "pages" / "images" / "two_pages.heic"
LENIENT = ("--set", "split.too_few_pages=leave_out")


@pytest.fixture
def scans(hands_index: CorpusIndex, tmp_path: Path) -> Path:
    """An experiment on twelve small scans by three writers, `scans/<writer>/<page>.png`."""
    write_small_scans(hands_index, tmp_path / "scans")
    return write_experiment(tmp_path, {"name": "scans", "corpus": {"layout": "folder", "root": "scans"}})


def found(answer: Answer) -> str:
    """The sum that must come out even."""
    assert answer.code == 0, answer.err
    return next(line for line in answer.out.splitlines() if line.startswith("found "))


def pages_of(folder: Path) -> list[str]:
    return [f"{folder.name}/{page.stem}" for page in sorted(folder.iterdir())]


class TestLists:
    def test_the_users_own_division_may_stand_in_the_command(
        self, scans: Path, command: Command, tmp_path: Path
    ) -> None:
        writers = [pages_of(folder) for folder in sorted((tmp_path / "scans").iterdir())]
        subsets = {"train": slice(0, 2), "validation": slice(2, 3), "test": slice(3, 4)}
        for name, place in subsets.items():
            (tmp_path / f"{name}.txt").write_text("\n".join(page for pages in writers for page in pages[place]))
        by_file = [f"--set=split.lists.{name}={name}.txt" for name in subsets]
        by_ids = [
            f"--set=split.lists.{name}={json.dumps([page for pages in writers for page in pages[place]])}"
            for name, place in subsets.items()
        ]
        tables = [command("data", "stats", scans, *given).out.partition("subset")[2] for given in (by_file, by_ids)]
        assert re.search(r"train +3 +6 +6", tables[0])
        assert tables[0].split("hash")[0] == tables[1].split("hash")[0]

    @pytest.mark.parametrize(
        "key",
        [*(f"writers.{name}" for name in ("include", "exclude", "include_pages", "exclude_pages")), "split.lists"],
    )
    def test_the_keys_say_that_a_list_may_be_a_file(self, command: Command, key: str) -> None:
        said = " ".join(command("keys", key).out.split())
        assert "ids in quotes, or a file" in said


class TestCopies:
    def test_copies_are_counted_named_and_on_no_side_of_the_split(
        self, scans: Path, command: Command, tmp_path: Path
    ) -> None:
        pages = sorted((tmp_path / "scans" / "000").iterdir())
        for page in pages[:2]:
            shutil.copy(page, page.with_name(f"{page.stem} (copy).png"))
        pages[2].with_name("a link.png").symlink_to(pages[2])
        answer = command("data", "split", scans, "--out", "m.json")
        assert found(answer) == "found 15 = 12 used + 3 not chosen + 0 unusable"
        assert re.search(
            r"not chosen, 3 copies of another image, such as of scans/000/\S+\.png, which is used", answer.err
        )
        written = (tmp_path / "m.json").read_text()
        assert "(copy)" not in written
        assert "link" not in written

    def test_a_copy_under_another_writer_is_unusable_with_both_names(
        self, scans: Path, command: Command, tmp_path: Path
    ) -> None:
        first = sorted((tmp_path / "scans" / "000").iterdir())[0]
        shutil.copy(first, tmp_path / "scans" / "001" / f"{first.stem} (copy).png")
        answer = command("data", "stats", scans)
        assert found(answer) == "found 13 = 12 used + 0 not chosen + 1 unusable"
        assert "unusable, 1 copy of another image" in answer.err
        assert "by writer '000', which is used; remove one of the two" in answer.err


class TestFormats:
    @pytest.mark.parametrize("suffix", ["avif", "jfif", "jp2", "pbm", "pdf", "pgm", "tif", "webp"])
    def test_a_page_in_any_format_is_read(self, scans: Path, command: Command, tmp_path: Path, suffix: str) -> None:
        page = sorted((tmp_path / "scans" / "000").iterdir())[0]
        kind = {"jfif": "jpeg", "jp2": "jpeg2000", "pbm": "ppm", "pgm": "ppm", "tif": "tiff"}.get(suffix, suffix)
        image = Image.open(page)
        (image.convert("1") if suffix == "pbm" else image).save(tmp_path / "scans" / "000" / f"q.{suffix}", kind)
        assert found(command("data", "stats", scans)) == "found 13 = 13 used + 0 not chosen + 0 unusable"

    def test_a_heic_file_of_two_images_is_two_pages(self, scans: Path, command: Command, tmp_path: Path) -> None:
        shutil.copy(HEIC, tmp_path / "scans" / "000" / "q.heic")
        said = found(command("data", "stats", scans, "--set", "quarantine.max_share=0.5"))
        assert said.startswith("found 14 = ")

    def test_what_cannot_be_read_is_counted_with_its_reason(
        self, scans: Path, command: Command, tmp_path: Path
    ) -> None:
        (tmp_path / "scans" / "000" / "q.heic").write_bytes(HEIC.read_bytes()[:400])
        answer = command("data", "stats", scans)
        assert found(answer) == "found 13 = 12 used + 0 not chosen + 1 unusable"
        assert re.search(r"unusable, 1: .*q\.heic is damaged .*\(000/q\.heic\)", answer.err)

    def test_images_that_a_table_does_not_name_are_counted_as_such(
        self, scans: Path, command: Command, tmp_path: Path
    ) -> None:
        pages = sorted((tmp_path / "scans").rglob("*.png"))
        rows = [f"{page.relative_to(tmp_path / 'scans').as_posix()};{page.parent.name}" for page in pages[:-3]]
        (tmp_path / "scans" / "table.csv").write_text("\r\n".join(["sep=;", "path;writer", *rows]) + "\r\n")
        (tmp_path / "scans" / "notes.pdf").write_bytes(b"%PDF-1.7 about the scans")
        corpus = "corpus={layout: manifest, file: scans/table.csv}"
        answer = command("data", "stats", scans, "--set", corpus, *LENIENT)
        assert found(answer) == "found 9 = 8 used + 1 not chosen + 0 unusable"
        assert "beside them 3 images that the corpus does not name: 3 .png" in answer.out
        assert "beside them 2 files that are no images: 1 .csv, 1 .pdf" in answer.out


class TestNames:
    def test_one_name_in_two_unicode_forms_is_one_writer(self, scans: Path, command: Command, tmp_path: Path) -> None:
        composed, decomposed = (unicodedata.normalize(form, "Jörg") for form in ("NFC", "NFD"))
        (tmp_path / "scans" / "000").rename(tmp_path / "scans" / composed)
        (tmp_path / "scans" / decomposed).mkdir()
        for page in sorted((tmp_path / "scans" / composed).iterdir())[2:]:
            page.rename(tmp_path / "scans" / decomposed / page.name)
        answer = command("data", "stats", scans)
        assert found(answer) == "found 12 = 12 used + 0 not chosen + 0 unusable"
        assert re.search(r"train +3 ", answer.out)
        for form in (composed, decomposed):  # a list from another system
            (tmp_path / "list.txt").write_text(f"{form}\n001\n", encoding="utf-8")
            answer = command("data", "stats", scans, "--set", "writers.include=list.txt")
            assert found(answer) == "found 12 = 8 used + 4 not chosen + 0 unusable"

    @pytest.mark.parametrize("name", ["letter [old].png", "scan [/ann].png", "[bold]x[/].png", "100%25 #1?.png"])
    def test_a_file_is_named_as_it_is(self, scans: Path, command: Command, tmp_path: Path, name: str) -> None:
        page = Path("pages") / name
        (tmp_path / page).parent.mkdir(parents=True)
        shutil.copy(sorted((tmp_path / "scans" / "000").iterdir())[0], tmp_path / page)
        answer = command("data", "preview", "--page", page, "--out", "a.png")
        assert answer.code == 0, answer.err
        assert f"{page}, taken for a text line" in answer.out
        (tmp_path / page).write_bytes(b"torn")
        assert str(page) in command("data", "preview", "--page", page).error


needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason=f"the shared cases are not at {CASES}")


@needs_cases
class TestSharedCases:
    """The table of the shared cases, as far as no model is needed."""

    @pytest.fixture(autouse=True)
    def cases(self, tmp_path: Path) -> None:
        for path in CASES.iterdir():
            if path.is_dir():
                shutil.copytree(path, tmp_path / path.name)
            else:
                shutil.copyfile(path, tmp_path / path.name)
        for place in (tmp_path, *tmp_path.rglob("*")):
            place.chmod(0o755 if place.is_dir() else 0o644)

    @pytest.mark.parametrize(
        ("arguments", "sum_of_all"),
        [
            (("list.yaml",), "found 12 = 6 used + 6 not chosen + 0 unusable"),
            (("dup.yaml", "--set", "writers.exclude=[ann]"), "found 12 = 6 used + 6 not chosen + 0 unusable"),
            (("dup.yaml",), "found 12 = 9 used + 3 not chosen + 0 unusable"),
            (("mixed.yaml",), "found 15 = 14 used + 0 not chosen + 1 unusable"),  # its HEIC file is a head alone
            (("nfc.yaml",), "found 15 = 15 used + 0 not chosen + 0 unusable"),
            (("mac.yaml", "--set", "writers.include=mac_list.txt"), "found 9 = 6 used + 3 not chosen + 0 unusable"),
            (
                ("dup.yaml", "--set", "corpus={layout: manifest, file: excel_sep.csv}"),
                "found 9 = 9 used + 0 not chosen + 0 unusable",
            ),
        ],
    )
    def test_every_file_is_used_or_named_with_the_reason(
        self, command: Command, arguments: tuple[str, ...], sum_of_all: str
    ) -> None:
        assert found(command("data", "stats", *arguments)) == sum_of_all

    def test_three_writers_are_three_writers_in_any_unicode_form(self, command: Command) -> None:
        assert re.search(r"train +3 ", command("data", "stats", "nfc.yaml").out)

    @pytest.mark.parametrize(
        "name",
        [
            *("ok.png", "page.avif", "page.jfif", "page.jp2", "page.jpe", "page.pbm", "page.pdf", "page.pgm"),
            *(f"png_{name}.png" for name in ("bad_phys_crc", "bad_text_crc", "iccp_2mb", "itxt_2mb", "ztxt_2mb")),
            *("white_ink_on_transparent.png", "white_ink_on_transparent.webp", "lab.tif", "thumbnail_first.tif"),
        ],
    )
    def test_an_image_is_read_as_the_plain_one(self, command: Command, name: str) -> None:
        answer = command("data", "preview", "--page", f"images/{name}")
        assert answer.code == 0, answer.err
        assert "taken for a paragraph as its ink tells: 2 lines" in answer.out

    def test_an_image_that_is_a_head_alone_is_damaged(self, command: Command) -> None:
        assert "images/page.heic is damaged" in command("data", "preview", "--page", "images/page.heic").error

    def test_every_frame_is_a_page_but_blanks_and_thumbnails(self, command: Command, tmp_path: Path) -> None:
        names = ("multipage.tif", "thumbnail_first.tif", "blank_first.tif")
        for writer, name in zip(("a", "b", "c"), names, strict=True):
            (tmp_path / "frames" / writer).mkdir(parents=True)
            shutil.copy(tmp_path / "images" / name, tmp_path / "frames" / writer)
        answer = command("data", "preview", "dup.yaml", "--set", "corpus.root=frames", "--all", "--out", "drawn")
        index = (tmp_path / "drawn" / "index.html").read_text(encoding="utf-8")
        drawn = re.findall(r"</b> ([abc]/\S+)", index)
        assert sorted(drawn) == [
            *("a/multipage.tif#1", "a/multipage.tif#2", "b/thumbnail_first.tif#2", "c/blank_first.tif#1"),
            "c/blank_first.tif#2",
        ], answer.out
        assert "not read: frames/c/blank_first.tif" in answer.err
