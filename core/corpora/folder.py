"""A user's own scans: one folder a writer.

Two layouts, also mixed, below `root`:

    <writer>/<page>.png              a whole page, or a single line or word: the ink tells
    <writer>/<page>/<line>.png       the text lines of a page, one file each

The names of the folders are the writers' ids; nothing else about them matters.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from core.corpora.image_walk import cannot_be_listed, is_image_name, walk_images
from core.corpora.index import CorpusIndex, Excluded, TextImage, Unit, natural_key
from core.corpora.resemblance import found_below, layout_error, resemblance_hint
from core.corpora.settings import FolderSettings
from core.errors import CorpusError

# Folders of a known corpus that hold its parts. No root has these alone as writers.
_PARTS_OF_CORPORA = {
    *("trainset", "testset"),
    *("ascii", "forms", "formsA-D", "formsE-H", "formsI-Z", "lines", "pages", "sentences", "words", "xml"),
    *("p1", "p2", "p3", "p4"),
}


class FolderCorpus:
    """Walks the writers' folders; the images are not opened."""

    def __init__(self, settings: FolderSettings) -> None:
        self._settings = settings

    def index(self) -> CorpusIndex:
        """List the images, writer by writer and page by page, numbers in names in the order of
        their value.

        Hidden files and files that are no images are passed over. Folders without images, and
        images that lie too high or too deep, are unusable.

        Raises:
            CorpusError: if the root is not a folder, holds the parts of a known corpus where
                writers should be, or fewer than two writers have images.
        """
        root = self._settings.root
        if not root.is_dir():
            raise CorpusError(
                f"`corpus.root` must be a folder with one sub-folder a writer, but {root} is "
                f"{'a file' if root.exists() else 'not there'}. Mend the path in the experiment file."
            )
        found = _Found()
        entries = list(_entries(root, found))
        if found.unusable:
            raise CorpusError(
                f"`corpus.root` must be a folder that can be read, but {root}: {found.unusable[0].reason}."
            )
        for entry in entries:
            if entry.is_dir():
                self._read_writer(entry, found)
            elif is_image_name(entry.name):
                found.unusable.append(Excluded(entry, "lies outside any writer's folder"))
        writer_ids = sorted({image.writer_id for image in found.images})
        if writer_ids and _PARTS_OF_CORPORA.issuperset(writer_ids):
            raise layout_error("folder", root, "one sub-folder a writer, named after the writer,")
        if len(writer_ids) < 2:
            raise CorpusError(
                f"There must be images of two writers or more, but below {root} there are images of {len(writer_ids)} "
                f"({', '.join(writer_ids) or 'nobody'}); {found_below(root)}. Lay the scans out as "
                f"{root}/<writer>/<page>.png. " + resemblance_hint("folder", root)
            )
        return CorpusIndex(
            name=root.resolve().name, root=root, images=tuple(found.images), unusable=tuple(found.unusable)
        )

    def _read_writer(self, folder: Path, found: "_Found") -> None:
        n_before = found.n_entries
        for entry in _entries(folder, found):
            if entry.is_dir():
                self._read_page(folder.name, entry, found)
            elif is_image_name(entry.name):
                unit = self._settings.unit
                found.images.append(self._text_image(entry, folder.name, page=entry.stem, unit=unit))
        if found.n_entries == n_before:
            found.unusable.append(Excluded(folder, "the writer's folder holds no images"))

    def _read_page(self, writer_id: str, folder: Path, found: "_Found") -> None:
        n_before = found.n_entries
        for entry in _entries(folder, found):
            if entry.is_dir():
                found.unusable += [
                    Excluded(place, "lies deeper than <writer>/<page>/<line>")
                    for place in walk_images(entry, found.unusable, documents=True)
                ] or [Excluded(entry, "lies deeper than <writer>/<page>/<line>")]
            elif is_image_name(entry.name):
                unit: Unit = "line" if self._settings.unit == "auto" else self._settings.unit
                found.images.append(self._text_image(entry, writer_id, page=folder.name, unit=unit))
        if found.n_entries == n_before:
            found.unusable.append(Excluded(folder, "the page's folder holds no images"))

    def _text_image(self, path: Path, writer_id: str, page: str, unit: Unit) -> TextImage:
        return TextImage(
            image_id=path.relative_to(self._settings.root).as_posix(),
            path=path,
            writer_id=writer_id,
            page_id=f"{writer_id}/{page}",
            unit=unit,
        )


@dataclass
class _Found:
    images: list[TextImage] = field(default_factory=list)
    unusable: list[Excluded] = field(default_factory=list)

    @property
    def n_entries(self) -> int:
        return len(self.images) + len(self.unusable)


def _entries(folder: Path, found: _Found) -> Iterator[Path]:
    try:
        visible = [entry for entry in folder.iterdir() if not entry.name.startswith((".", "__MACOSX"))]
    except OSError as error:
        found.unusable.append(cannot_be_listed(folder, error))
        return
    yield from sorted(visible, key=lambda path: natural_key(path.name))
