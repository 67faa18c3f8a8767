"""File names that are no text: bytes that are no UTF-8, as old archives and foreign disks leave them.

Python reads them (with surrogates in their place), but no manifest, table or terminal can hold them.
"""

import os
from dataclasses import replace
from pathlib import Path

from core.corpora.index import CorpusIndex, SetAside, TextImage


def set_odd_names_aside(index: CorpusIndex) -> CorpusIndex:
    """Set aside the images whose names cannot be written down, and make what is set aside or left out printable.

    Returns:
        The index, the same one where nothing is odd.
    """
    odd = [image for image in index.images if _is_odd(image)]
    others = (*index.set_aside, *index.left_out)
    if not odd and not any(_has_surrogates(f"{entry.path}{entry.reason}") for entry in others):
        return index
    reason = "its name holds bytes that are no UTF-8; rename it"
    images = tuple(image for image in index.images if not _is_odd(image))
    set_aside = (*index.set_aside, *(SetAside(image.path, reason, writer_id=image.writer_id) for image in odd))
    return replace(
        index,
        images=images,
        set_aside=tuple(map(_printable, set_aside)),
        left_out=tuple(map(_printable, index.left_out)),
    )


def _is_odd(image: TextImage) -> bool:
    return _has_surrogates(f"{image.image_id}{image.writer_id}{image.group_id}{image.path}")


def _has_surrogates(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text)


def _printable(entry: SetAside) -> SetAside:
    return replace(entry, path=Path(_escape(str(entry.path))), reason=_escape(entry.reason))


def _escape(text: str) -> str:
    return os.fsencode(text).decode("utf-8", "backslashreplace")
