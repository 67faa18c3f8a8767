"""Trees of files with a corpus's names. What is in them does not matter: an index opens no
image.
"""

from collections.abc import Iterable
from pathlib import Path

from core.corpora.index import CorpusIndex

# Names as each corpus has them, with the writer of each.
CSAFE = {
    f"{writer}_{session}_{prompt}_{repetition}.png": writer
    for writer in ("w0001", "w0009", "w0720")
    for session in ("s01", "s02", "s03")
    for prompt in ("pLND", "pPHR", "pWOZ")
    for repetition in ("r01", "r02", "r03")
}
ICDAR2013 = {f"{writer:03d}_{text}.tif": f"{writer:03d}" for writer in (1, 2, 350) for text in range(1, 5)}
ICDAR2017 = {
    f"{writer:04d}-IMG_MAX_{number}.jpg": f"{writer:04d}"
    for writer, numbers in ((1, ("0001", "10047", "309740")), (2, ("0004", "0005")), (720, ("1009119", "6")))
    for number in numbers
}
HISIR19 = {
    f"{writer:04d}_{page:04d}.jpg": f"{writer:04d}"
    for writer, n_pages in ((1, 5), (2, 1), (9999, 3))
    for page in range(1, n_pages + 1)
}
FIREMAKER = {f"{writer}-{page}.tif": writer for writer in ("00101", "00102", "25004") for page in "1234"}
CERUG = {f"Writer{writer:04d}_{part}.png": f"Writer{writer:04d}" for writer in (101, 102, 205) for part in ("01", "02")}
IAM = ["forms.txt", "formsA-D/a01-000u.png", "formsA-D/a01-000x.png", "formsE-H/e01-014.png"]
CVL = [
    f"{part}/{name}"
    for part, page in (("trainset", "0001-1"), ("trainset", "0002-2"), ("testset", "0052-1"))
    for name in (
        f"pages/{page}.tif",
        f"pages/{page}-cropped.tif",
        f"lines/{page[:4]}/{page}-0.tif",
        f"words/{page[:4]}/{page}-0-0-Imagine.tif",
    )
]
DHSD = ["train.csv", "test.csv", "german_hw_data/writer1/1_0.png", "german_hw_data/writer2/2_0.png"]
FOLDER = ["ann/letter.jpg", "ann/diary.jpg", "bob/p1/l1.png", "bob/p1/l2.png"]

TREES: dict[str, Iterable[str]] = {
    "csafe": CSAFE,
    "icdar2013": ICDAR2013,
    "icdar2017": ICDAR2017,
    "hisir19": HISIR19,
    "firemaker": FIREMAKER,
    "cerug": CERUG,
    "iam": IAM,
    "cvl": CVL,
    "dhsd": DHSD,
    "folder": FOLDER,
}


def make_tree(root: Path, names: Iterable[str]) -> Path:
    """Make empty files of these names below the root."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def rows(index: CorpusIndex) -> set[tuple[str, str, str | None, str | None, str]]:
    """(path below the root, writer, page, text, unit) of every image."""
    return {
        (image.path.relative_to(index.root).as_posix(), image.writer_id, image.page_id, image.text_id, image.unit)
        for image in index.images
    }


def reasons(index: CorpusIndex) -> dict[str, str]:
    """Why each file was excluded."""
    return {entry.path.relative_to(index.root).as_posix(): entry.reason for entry in index.unusable}
