"""What becomes of everything in a corpus: used, not chosen or unusable; and how much may be
unusable.
"""

import csv
import dataclasses
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from core.corpora.catalogue import open_corpus
from core.corpora.corpus_report import CorpusReport, check_share, group_reasons, report_corpus, write_excluded
from core.corpora.folder import FolderCorpus
from core.corpora.hands import HandsCorpus
from core.corpora.index import CorpusIndex, Excluded
from core.corpora.settings import CorpusSettings, FolderSettings, HandsSettings, UnusableSettings
from core.errors import CorpusError, LineStoreError
from core.lines.store import LineStore, build_line_store
from core.settings import InkSettings
from tests.core.bad_images import BAD
from tests.core.corpora.iam_corpus import Form, write_images, write_tables
from tests.core.small_scans import multiply, write_small_scans

LAYOUT: TypeAdapter[CorpusSettings] = TypeAdapter(CorpusSettings)


@pytest.fixture(scope="module")
def words(hands_index: CorpusIndex, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve small images by three writers, `<writer>/<page>.png`, so that hundreds of them are
    read in no time.
    """
    return write_small_scans(hands_index, tmp_path_factory.mktemp("words"))


@pytest.fixture
def scans(words: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return shutil.copytree(words, tmp_path / "scans")


def index_of(root: Path) -> CorpusIndex:
    return FolderCorpus(FolderSettings(root=root)).index()


def report(index: CorpusIndex, store: LineStore, not_chosen: Sequence[Excluded] = ()) -> CorpusReport:
    return report_corpus(index, {line.image_id for line in store.lines}, store.unusable, not_chosen)


def take(index: CorpusIndex, folder: Path) -> tuple[CorpusReport, LineStore]:
    store = build_line_store(index, InkSettings(height_px=40), folder / "lines")
    return report(index, store), store


def entry(number: int) -> Excluded:
    return Excluded(Path(f"{number}.png"), f"{number}.png: is blank", f"{number}")


def corpus_report(n_used: int, n_unusable: int) -> CorpusReport:
    bad = tuple(entry(number) for number in range(n_unusable))
    return CorpusReport("scans", n_used + n_unusable, n_used, (), bad)


class TestEachKindOfBadFile:
    @pytest.mark.parametrize("kind", BAD)
    def test_it_is_unusable_with_path_and_reason_and_the_rest_is_used(
        self, scans: Path, tmp_path: Path, kind: str
    ) -> None:
        bad = scans / "001" / "001-02.png"
        make, said = BAD[kind]
        make(bad)
        counted, store = take(index_of(scans), tmp_path)
        assert (counted.n_found, counted.n_used, counted.n_not_chosen, counted.n_unusable) == (12, 11, 0, 1)
        assert counted.unusable[0].path == bad
        assert re.search(said, counted.unusable[0].reason), counted.unusable[0].reason
        assert "Traceback" not in counted.unusable[0].reason
        assert len({line.image_id for line in store.lines}) == 11

    def test_a_wrong_suffix_harms_nobody(self, scans: Path, tmp_path: Path) -> None:
        (scans / "001" / "001-02.png").rename(scans / "001" / "001-02.jpg")
        (scans / "001" / "001-01.png").rename(scans / "001" / "001-01.TIFF")
        counted, _ = take(index_of(scans), tmp_path)
        assert (counted.n_found, counted.n_used) == (12, 12)

    def test_a_file_that_vanishes_while_others_are_read_is_unusable(self, scans: Path, tmp_path: Path) -> None:
        n_scans = multiply(scans, 4)  # more than are read ahead
        index, last = index_of(scans), scans / "002" / "002-03.png"
        store = build_line_store(index, InkSettings(height_px=40), tmp_path / "lines", lambda *_: last.unlink(True))
        counted = report(index, store)
        assert (counted.n_found, counted.n_used, counted.n_unusable) == (n_scans, n_scans - 1, 1)
        assert re.search(r"there is no .*002-03\.png|002-03\.png was changed", counted.unusable[0].reason)

    @pytest.mark.parametrize("what", ["000/000-01.png", "000"])
    def test_what_must_not_be_read_is_unusable(self, scans: Path, tmp_path: Path, what: str) -> None:
        (scans / what).chmod(0)
        (tmp_path / "lines").mkdir(mode=0o777)
        try:
            run = subprocess.run(
                [sys.executable, "-m", "tests.core.lines.build_store", scans, tmp_path / "lines", "--as-nobody"],
                capture_output=True,
                text=True,
                check=False,
            )
        finally:
            (scans / what).chmod(0o755)
        assert run.returncode == 0, run.stderr
        n_lost = 1 if what.endswith("png") else 4
        assert f"\n{12 if n_lost == 1 else 9} = {12 - n_lost} + 0 + 1\n" in run.stdout
        assert "Permission denied" in run.stdout
        assert str(scans / what) in run.stdout


def spoil_all_kinds(paths: list[Path]) -> None:
    for path, (make, _) in zip(paths, BAD.values(), strict=False):
        make(path)


def as_folder(pages: list[Path], root: Path) -> dict[str, object]:
    for number, page in enumerate(pages):
        copy(page, root / f"w{number % 3}" / f"{number}.png")
    return {"layout": "folder", "root": root}


def as_names(
    layout: str, name: Callable[[int], str], **more: object
) -> Callable[[list[Path], Path], dict[str, object]]:
    def make(pages: list[Path], root: Path) -> dict[str, object]:
        for number, page in enumerate(pages):
            copy(page, root / name(number))
        return {"layout": layout, "root": root, **more}

    return make


def as_manifest(pages: list[Path], root: Path) -> dict[str, object]:
    rows = ["path,writer"]
    for number, page in enumerate(pages):
        copy(page, root / f"{number}.png")
        rows.append(f"{number}.png,w{number % 3}")
    (root / "list.csv").write_text("\n".join(rows))
    return {"layout": "manifest", "file": root / "list.csv"}


def as_dhsd(pages: list[Path], root: Path) -> dict[str, object]:
    rows = ["file_name,text,writer_id"]
    for number, page in enumerate(pages):
        copy(page, root / "german_hw_data" / f"{number}.png")
        rows.append(f"german_hw_data/{number}.png,Ort,{number % 3}")
    for part in ("train", "test"):
        kept = rows[1 + len(rows) // 2 :] if part == "test" else rows[1 : 1 + len(rows) // 2]
        (root / f"{part}.csv").write_text("\n".join([rows[0], *kept]))
    return {"layout": "dhsd", "root": root}


def as_iam_lines(pages: list[Path], root: Path) -> dict[str, object]:
    forms = [Form(f"a01-{number:03d}u", f"{number % 3:03d}", ((("A", "MOVE"),),)) for number in range(len(pages))]
    write_tables(root / "ascii", forms)
    of_form = dict(zip((form.form_id for form in forms), pages, strict=True))
    write_images(root, forms, "line", draw=lambda line_id: of_form[line_id.removesuffix("-00")].read_bytes())
    return {"layout": "iam", "root": root, "unit": "line"}


def copy(page: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(page, to)


LAYOUTS: dict[str, Callable[[list[Path], Path], dict[str, object]]] = {
    "folder": as_folder,
    "manifest": as_manifest,
    "dhsd": as_dhsd,
    "iam": as_iam_lines,
    "cvl": as_names("cvl", lambda n: f"trainset/pages/{n % 3:04d}-{n}-cropped.tif", unit="page"),
    "csafe": as_names("csafe", lambda n: f"w{n % 3:04d}_s01_pWOZ_r{n:02d}.png"),
    "icdar2013": as_names("icdar2013", lambda n: f"{n % 30:03d}_{1 + n // 30}.tif"),
    "icdar2017": as_names("icdar2017", lambda n: f"{n % 3:04d}-IMG_MAX_{n}.jpg"),
    "hisir19": as_names("hisir19", lambda n: f"{n % 3:04d}_{n:04d}.jpg"),
    "firemaker": as_names("firemaker", lambda n: f"{n:05d}-1.tif"),
    "cerug": as_names("cerug", lambda n: f"Writer{n % 3:04d}_{n:02d}.png"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_no_page_of_a_messy_corpus_is_lost_in_any_layout(layout: str, scans: Path, tmp_path: Path) -> None:
    pages = sorted(scans.rglob("*.png"))
    pages = (pages * 4)[: len(BAD) + 12]
    settings = LAYOUT.validate_python(LAYOUTS[layout](pages, tmp_path / "messy"))
    files = sorted(path for path in (tmp_path / "messy").rglob("*") if path.suffix in (".png", ".tif", ".jpg"))
    assert len(files) == len(pages)
    spoil_all_kinds(files)
    counted, store = take(open_corpus(settings, tmp_path).index(), tmp_path)
    assert counted.n_found == len(files) == counted.n_used + counted.n_not_chosen + counted.n_unusable
    assert counted.n_unusable == len(BAD)
    assert {str(entry.path) for entry in counted.unusable} | {
        str(image.path) for image in open_corpus(settings, tmp_path).index().images
    } >= {str(file) for file in files}
    assert len({line.image_id for line in store.lines}) == 12


def test_a_generated_page_that_was_lost_or_spoilt_is_drawn_again(tmp_path: Path) -> None:
    corpus = HandsCorpus(HandsSettings(n_writers=2, n_pages=2, n_lines=3), tmp_path)
    first, second = sorted({image.path for image in corpus.index().images})[:2]
    first.write_bytes(b"")
    second.unlink()
    counted, _ = take(corpus.index(), tmp_path)
    assert (counted.n_found, counted.n_used) == (12, 12)


def test_links_to_folders_are_followed_and_a_link_back_ends(scans: Path, tmp_path: Path) -> None:
    root = tmp_path / "cerug"
    for number, page in enumerate(sorted(scans.rglob("*.png"))[:6]):
        copy(page, tmp_path / "elsewhere" / f"Writer{number % 2:04d}_{number:02d}.png")
    root.mkdir()
    (root / "scans").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(root)
    counted, _ = take(
        open_corpus(LAYOUT.validate_python({"layout": "cerug", "root": root}), tmp_path).index(), tmp_path
    )
    assert (counted.n_found, counted.n_used) == (6, 6)


class TestTheCounts:
    def test_what_is_excluded_counts_once_and_what_cannot_be_read_besides_is_unusable(
        self, scans: Path, tmp_path: Path
    ) -> None:
        (scans / "000" / "000-00.png").write_bytes(b"")
        (scans / "stray.png").touch()
        index = index_of(scans)
        _, store = take(index, tmp_path)
        unwanted = [
            Excluded(image.path, "too few", image.image_id) for image in index.images if image.writer_id == "000"
        ]
        counted = report(index, store, unwanted)
        assert (counted.n_found, counted.n_used, counted.n_not_chosen, counted.n_unusable) == (13, 8, 3, 2)

    def test_a_store_of_another_index_is_refused(self, scans: Path, tmp_path: Path) -> None:
        index = index_of(scans)
        _, store = take(index, tmp_path)
        with pytest.raises(LineStoreError, match=r"1 are neither, both or unknown: 000/000-00\.png"):
            report(dataclasses.replace(index, images=index.images[1:]), store)

    def test_counts_that_do_not_add_up_are_refused(self) -> None:
        with pytest.raises(LineStoreError, match=r"of 5 in 'x' 3 \+ 0 \+ 1 = 4 are"):
            CorpusReport("x", 5, 3, (), (entry(0),))

    def test_the_table_has_a_row_for_each_with_odd_names_and_all(self, tmp_path: Path) -> None:
        rows = [Excluded(Path('a "b",\nc.png'), "is blank"), Excluded(Path("d.png"), "d.png: has, 0 bytes", "d")]
        write_excluded(rows, tmp_path / "q.csv")
        with (tmp_path / "q.csv").open(newline="", encoding="utf-8") as file:
            assert list(csv.reader(file)) == [
                ["path", "image_id", "reason"],
                ['a "b",\nc.png', "", "is blank"],
                ["d.png", "d", "has, 0 bytes"],
            ]


class TestTheShare:
    @pytest.mark.parametrize(("n_used", "n_bad"), [(95, 5), (1000, 0), (9, 3), (3, 3), (1, 1), (20, 3)])
    def test_a_few_are_allowed(self, n_used: int, n_bad: int) -> None:
        check_share(corpus_report(n_used, n_bad), UnusableSettings())

    @pytest.mark.parametrize(("n_used", "n_bad"), [(94, 6), (2, 3), (1, 2), (0, 1), (0, 12), (60, 4)])
    def test_too_many_are_refused(self, n_used: int, n_bad: int) -> None:
        with pytest.raises(CorpusError, match=rf"5\.0% .*but {n_bad} of {n_used + n_bad} of 'scans' are"):
            check_share(corpus_report(n_used, n_bad), UnusableSettings())

    def test_none_is_allowed_where_the_share_is_zero(self) -> None:
        check_share(corpus_report(5, 0), UnusableSettings(max_share=0.0))
        with pytest.raises(CorpusError, match="but 1 of 1000"):
            check_share(corpus_report(999, 1), UnusableSettings(max_share=0.0))

    def test_all_are_allowed_where_the_share_is_one_as_long_as_something_is_left(self) -> None:
        check_share(corpus_report(1, 99), UnusableSettings(max_share=1.0))
        with pytest.raises(CorpusError):
            check_share(corpus_report(0, 99), UnusableSettings(max_share=1.0))

    def test_the_error_lists_the_reasons_with_counts_and_the_table(self) -> None:
        report = corpus_report(2, 7)
        torn = [Excluded(Path(f"t{number}.png"), f"t{number}.png is torn") for number in range(2)]
        report = replace(report, n_found=11, unusable=(*torn, *report.unusable))
        with pytest.raises(CorpusError, match=r"raise quarantine\.max_share") as raised:
            check_share(report, UnusableSettings(), Path("sweeps/x/unusable.csv"))
        assert str(raised.value).splitlines()[1:] == [
            "  7: is blank (0, 1, 2 and 4 more)",
            "  2: ... is torn, such as: t0.png is torn (t0.png, t1.png)",
            "All of them, with reasons: sweeps/x/unusable.csv",
        ]

    def test_of_rows_of_one_table_each_is_told(self) -> None:
        table = Path("forms.txt")
        rows = tuple(Excluded(table, f"writer '00{n}': {n} of 9 forms are here") for n in range(4))
        (group,) = group_reasons(rows)
        assert group.reason == "writer ...: ... of ... forms are here"
        assert group.names == (
            "writer '000': 0 of 9 forms are here, writer '001': 1 of 9 forms are here, "
            "writer '002': 2 of 9 forms are here and 1 more"
        )

    def test_of_many_kinds_of_reason_the_first_are_listed(self) -> None:
        kinds = tuple(Excluded(Path(f"{kind}.png"), f"is {kind}") for kind in "abcdefg")
        with pytest.raises(CorpusError) as raised:
            check_share(replace(corpus_report(2, 0), n_found=9, unusable=kinds), UnusableSettings())
        assert str(raised.value).splitlines()[-1] == "  2: for other reasons"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_not_waited_for(scans: Path, tmp_path: Path) -> None:
    os.mkfifo(scans / "000" / "pipe.png")
    counted, _ = take(index_of(scans), tmp_path)
    assert (counted.n_used, counted.n_unusable) == (12, 1)
