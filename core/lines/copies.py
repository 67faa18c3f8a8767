"""Files of a corpus that are byte for byte the same: one of them counts.

People copy folders, link them, and scan into two places. A page that is there twice is trained on
in one copy and tested on in the other, and a linked folder is another writer with the same hand.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from core.corpora.index import CorpusIndex, Excluded, TextImage
from core.errors import ImageError
from core.lines.fingerprints import Fingerprint, fingerprint_files
from core.pages.image_formats import count_pixels

COPY = "is a copy of another image"


def exclude_copies(
    index: CorpusIndex, kept_in: Path, on_progress: Callable[[int, int], None] | None = None
) -> CorpusIndex:
    """Keep one file of each content: no link where there is the file itself, then the one with the
    shortest name, or the first of those.

    A copy under the same writer is not chosen. One under another writer is unusable: one of the two
    names is wrong, and nobody here can tell which.

    Args:
        index: the corpus; a file that holds several images is one file.
        kept_in: the file that keeps fingerprints, see `fingerprint_files`. Only files of equal size
            are read.
        on_progress: called now and then with (files done, files in all) while files are read.

    Returns:
        The index, the same one where there are no copies.

    Raises:
        OSError: if `kept_in` cannot be written.
    """
    by_path: dict[Path, list[TextImage]] = defaultdict(list)
    for image in index.images:
        by_path[image.path].append(image)
    prints = fingerprint_files(_of_equal_size(by_path), kept_in, on_progress)
    copy_of = _copies(by_path, prints, index.root)
    if not copy_of:
        return index
    not_chosen, unusable = [], []
    for path, first in copy_of.items():
        own, other = by_path[path][0].writer_id, by_path[first][0].writer_id
        if own == other:
            not_chosen.append(Excluded(path, f"{COPY}, {first}, which is used"))
        else:
            reason = f"{COPY}, {first} by writer {other!r}, which is used; remove one of the two"
            unusable.append(Excluded(path, reason, writer_id=own))
    return replace(
        index,
        images=tuple(image for image in index.images if image.path not in copy_of),
        not_chosen=(*index.not_chosen, *not_chosen),
        unusable=(*index.unusable, *unusable),
    )


def _copies(paths: Iterable[Path], prints: Mapping[Path, Fingerprint | ImageError], root: Path) -> dict[Path, Path]:
    """The file that is used in the stead of each copy."""
    by_content: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        found = prints.get(path)
        if isinstance(found, Fingerprint):
            by_content[found.sha256].append(path)
    copy_of: dict[Path, Path] = {}
    for same in by_content.values():
        if len(same) == 1 or count_pixels(same[0]) == 0:  # of files that are no images each one is told why
            continue
        # `p1.png` and not `p1 (copy).png`
        first = min(same, key=lambda path: (_is_linked(path, root), len(path.name)))
        copy_of.update({path: first for path in same if path != first})
    return copy_of


def _is_linked(path: Path, root: Path) -> bool:
    """Whether a link below the root leads to a file."""
    return any(place.is_symlink() for place in (path, *path.parents) if place != root and place.is_relative_to(root))


def _of_equal_size(paths: Iterable[Path]) -> list[Path]:
    """Files whose size another one has, too; empty ones hold nothing, and are no copies."""
    by_size: dict[int, list[Path]] = defaultdict(list)
    for path in paths:
        with suppress(OSError):  # reading it tells why
            by_size[path.stat().st_size].append(path)
    return [path for size, same in by_size.items() if size and len(same) > 1 for path in same]
