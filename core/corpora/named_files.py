"""Corpora whose file names say everything: who wrote, which page, which text.

A layout gives a `Naming`, and gets the index: every image below the root, the ones that another copy stands for left
out, and the ones that are named in another way set aside.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from core.corpora.image_walk import one_file_each, walk_images
from core.corpora.index import CorpusIndex, OfficialSplit, SetAside, TextImage, Unit
from core.corpora.resemblance import layout_error
from core.errors import CorpusError


@dataclass(frozen=True)
class FileName:
    """What the name of one image says.

    Attributes:
        image_id: files with the same one show the same image.
        writer_id: as it is written, zeros kept.
        page_id: see `TextImage`.
        unit: see `TextImage`.
        text_id: see `TextImage`.
        official_split: see `TextImage`.
    """

    image_id: str
    writer_id: str
    page_id: str | None
    unit: Unit
    text_id: str | None = None
    official_split: OfficialSplit | None = None


@dataclass(frozen=True)
class Naming:
    """How the files of a corpus are named.

    Attributes:
        layout: as `corpus.layout` names it.
        example: of a file name.
        suffix: of the corpus's own files; where an image is there more than once, that one is used.
        read: reads the path below the root, with `/` and without suffix; nothing where it is named in another way.
    """

    layout: str
    example: str
    suffix: str
    read: Callable[[str], FileName | None]


def index_named_files(root: Path, naming: Naming) -> CorpusIndex:
    """List the images below a folder, in natural order. None is opened.

    Hidden files and files that are no images are passed over.

    Raises:
        CorpusError: if the root is no folder, if at most half of its images are named like that, or if fewer than
            two writers have images.
    """
    faults: list[SetAside] = []
    files = list(walk_images(root, faults))
    names = {file: naming.read(file.relative_to(root).with_suffix("").as_posix()) for file in files}
    fitting = [file for file in files if names[file] is not None]
    if not fitting or 2 * len(fitting) < len(files):
        raise layout_error(naming.layout, root, f"images that are named like {naming.example}")
    set_aside = [
        SetAside(file, f"is not named like {naming.example}, as `corpus.layout: {naming.layout}` wants")
        for file in files
        if names[file] is None
    ]

    def named(file: Path) -> FileName:
        name = names[file]
        assert name is not None
        return name

    chosen, others = one_file_each(fitting, lambda file: named(file).image_id, naming.suffix)
    images = tuple(_text_image(file, named(file)) for file in chosen.values())
    check_writers(images, naming.layout, root)
    return CorpusIndex(naming.layout, root, images, set_aside=(*set_aside, *faults), left_out=tuple(others))


def check_writers(images: Iterable[TextImage], layout: str, root: Path) -> None:
    """Refuse a corpus of fewer than two writers.

    Raises:
        CorpusError: names the writer.
    """
    counts = Counter(image.writer_id for image in images)
    if len(counts) < 2:
        raise CorpusError(
            f"There must be images of two writers or more, but `corpus.layout: {layout}` finds those of "
            f"{len(counts)} ({', '.join(counts) or 'nobody'}) in {root}. Mend the path, or the layout."
        )


def _text_image(file: Path, name: FileName) -> TextImage:
    return TextImage(
        image_id=name.image_id,
        path=file,
        writer_id=name.writer_id,
        page_id=name.page_id,
        unit=name.unit,
        text_id=name.text_id,
        official_split=name.official_split,
    )
