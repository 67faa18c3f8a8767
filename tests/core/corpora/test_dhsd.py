import shutil
from collections import Counter
from pathlib import Path

import pytest

from core.corpora.dhsd import DhsdCorpus
from core.corpora.settings import DhsdSettings
from core.errors import CorpusError


@pytest.fixture
def small_root(dhsd_root: Path, tmp_path: Path) -> Path:
    """The real tables cut to the images of writers 1 and 2 that are copied along."""
    for part in ("train", "test"):
        rows = (dhsd_root / f"{part}.csv").read_text(encoding="utf-8").splitlines()
        kept = [row for row in rows[1:] if row.startswith(("german_hw_data/writer1/", "german_hw_data/writer2/"))][:20]
        (tmp_path / f"{part}.csv").write_text("\n".join([rows[0], *kept]), encoding="utf-8")
        for row in [kept[0], kept[-1], *kept]:
            name = row.split(",")[0]
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(dhsd_root / name, tmp_path / name)
    other = "german_hw_data/writer2/2_0.png"
    (tmp_path / other).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(dhsd_root / other, tmp_path / other)
    with (tmp_path / "test.csv").open("a", encoding="utf-8") as file:
        file.write(f"\n{other},Ort,2\n")
    return tmp_path


def test_the_whole_data_set_is_indexed_with_its_official_split(dhsd_root: Path) -> None:
    index = DhsdCorpus(DhsdSettings(root=dhsd_root)).index()

    assert Counter(image.official_split for image in index.images) == {"train": 4745, "test": 1194}
    assert len(index.writer_ids) == 37
    assert len({image.image_id for image in index.images}) == 5939
    assert not index.has_pages
    assert index.unusable == index.not_chosen == ()
    first = index.images[0]
    assert (first.image_id, first.writer_id, first.text, first.unit) == ("1_65", "1", "Mörsdorf", "line")
    assert first.text_id == first.text


def test_a_folder_that_is_not_there_is_refused_with_the_way_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"no folder .*gone.*whosehand data fetch dhsd.*nauman-riaz/DHSD"):
        DhsdCorpus(DhsdSettings(root=tmp_path / "gone")).index()


def test_a_missing_table_is_refused(small_root: Path) -> None:
    (small_root / "test.csv").unlink()
    with pytest.raises(CorpusError, match=r"must hold test\.csv"):
        DhsdCorpus(DhsdSettings(root=small_root)).index()


def test_a_missing_image_is_unusable_by_name_and_the_rest_is_used(small_root: Path) -> None:
    gone = small_root / (small_root / "train.csv").read_text(encoding="utf-8").splitlines()[2].split(",")[0]
    gone.unlink()
    index = DhsdCorpus(DhsdSettings(root=small_root)).index()
    assert len(index.images) == 40
    (lost,) = index.unusable
    assert (lost.path, lost.reason) == (gone, f"is not there, but line 3 of {small_root / 'train.csv'} names it")


def test_an_image_that_no_table_names_is_unusable(small_root: Path) -> None:
    shutil.copy(small_root / "german_hw_data/writer2/2_0.png", small_root / "german_hw_data/writer2/extra.png")
    (lost,) = DhsdCorpus(DhsdSettings(root=small_root)).index().unusable
    assert (lost.path.name, lost.reason) == ("extra.png", "neither train.csv nor test.csv names it")


def test_a_table_without_the_columns_is_refused(small_root: Path) -> None:
    (small_root / "train.csv").write_text("file,writer\na.png,1\n")
    with pytest.raises(CorpusError, match=r"lacks .*file_name"):
        DhsdCorpus(DhsdSettings(root=small_root)).index()


def test_a_table_that_is_not_text_is_refused(small_root: Path) -> None:
    (small_root / "train.csv").write_bytes(b"file_name,text,writer_id\n\xff\xfe\x00,a,b\n")
    with pytest.raises(CorpusError, match="UTF-8"):
        DhsdCorpus(DhsdSettings(root=small_root)).index()


def test_of_an_image_in_both_tables_the_first_row_counts(small_root: Path) -> None:
    with (small_root / "test.csv").open("a", encoding="utf-8") as file:
        file.write((small_root / "train.csv").read_text(encoding="utf-8").splitlines()[1])
    index = DhsdCorpus(DhsdSettings(root=small_root)).index()
    assert len(index.images) == 41
    assert index.images[0].official_split == "train"
    assert "lists german_hw_data/writer1/" in index.unusable[0].reason
    assert "twice; its first row counts" in index.unusable[0].reason


def test_a_row_that_lacks_its_writer_is_unusable_by_line(small_root: Path) -> None:
    with (small_root / "train.csv").open("a", encoding="utf-8") as file:
        file.write("\na.png,Ort\n")
    index = DhsdCorpus(DhsdSettings(root=small_root)).index()
    assert len(index.images) == 41
    assert index.unusable[0].reason.startswith("line 22 must name a file, a text and a writer, but is ")


def test_one_writer_only_is_refused(small_root: Path) -> None:
    rows = (small_root / "train.csv").read_text(encoding="utf-8").splitlines()
    (small_root / "train.csv").write_text("\n".join(rows[:6]), encoding="utf-8")
    (small_root / "test.csv").write_text("\n".join([rows[0], rows[7]]), encoding="utf-8")
    with pytest.raises(CorpusError, match="two writers or more"):
        DhsdCorpus(DhsdSettings(root=small_root)).index()
