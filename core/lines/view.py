"""The list of a store's lines: one small file that says which records of the pool are whose.

`<cache_dir>/<key>/lines.json` has two lines of JSON: a head (format, pool, settings, checksum of the rest) and the
lists. It is written aside and renamed over what was there, so that a reader finds the old one or the new one.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.corpora.index import CorpusIndex, SetAside
from core.errors import LineStoreError
from core.lines.build import GatheredLines
from core.lines.fingerprints import Fingerprint
from core.lines.pool import FORMAT_VERSION, Place, Pool, lines_key
from core.pages.text_lines import InkSettings

LIST = "lines.json"
MEND = "Delete the folder; `whosehand sweep` builds it again."


@dataclass(frozen=True, slots=True)
class StoredImage:
    """A text image that has lines in the pool.

    Attributes:
        image_id: unique in the store.
        writer_id: who wrote it.
        group_id: its page, or the image itself where the corpus has no pages.
        place: of its lines.
    """

    image_id: str
    writer_id: str
    group_id: str
    place: Place


@dataclass(frozen=True)
class LineList:
    """What a store consists of.

    Attributes:
        pool: folder of the records.
        height_px: of every line.
        images: those with lines, in the order of the corpus.
        set_aside: those without, in the same order.
    """

    pool: Path
    height_px: int
    images: tuple[StoredImage, ...]
    set_aside: tuple[SetAside, ...]


def line_store_key(
    index: CorpusIndex, settings: InkSettings, fingerprints: Mapping[Path, Fingerprint | Exception]
) -> str:
    """A hash of all that a store depends on: format, settings, and for each image its ids, region, unit and content.

    Splits and places of files do not count. A file that cannot be read now has another key as soon as it can.
    """
    rows = []
    for image in index.images:
        found = fingerprints[image.path]
        lines = lines_key(image, found.sha256 if isinstance(found, Fingerprint) else "unreadable")
        rows.append([image.image_id, image.writer_id, image.group_id, lines])
    content = {"format": FORMAT_VERSION, "settings": settings.model_dump(mode="json"), "images": rows}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:20]


def write_list(index: CorpusIndex, settings: InkSettings, pool: Pool, gathered: GatheredLines, folder: Path) -> None:
    """Write the list of a store.

    Args:
        index: the corpus.
        settings: how its images became lines.
        pool: where the lines lie, beside `folder`.
        gathered: what became of each image of the index.
        folder: of the store; made if it is missing.

    Raises:
        OSError: if it cannot be written.
    """
    packs = sorted({place.pack for place in gathered.places.values()})
    number = {pack: k for k, pack in enumerate(packs)}
    least_bytes = dict.fromkeys(packs, 0)
    images: list[list[object]] = []
    set_aside: list[list[str]] = []
    for image in index.images:
        if image.image_id in gathered.unusable:
            set_aside.append([str(image.path), gathered.unusable[image.image_id].reason, image.image_id])
            continue
        place = gathered.places[image.image_id]
        least_bytes[place.pack] = max(least_bytes[place.pack], place.end(settings.height_px))
        row = [image.image_id, image.writer_id, image.group_id]
        images.append([*row, number[place.pack], place.offset, place.widths_px, place.checksum])
    body = _to_json({"packs": list(least_bytes.items()), "images": images, "set_aside": set_aside})
    head = {
        "format": FORMAT_VERSION,
        "corpus": index.name,
        "settings": settings.model_dump(mode="json"),
        "pool": pool.folder.name,
        "sha256": hashlib.sha256(body).hexdigest(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    _write_synced(folder / LIST, _to_json(head) + b"\n" + body + b"\n")


def read_list(folder: Path) -> LineList:
    """Read the list of a store, and see that the packs that it needs are there and long enough.

    Raises:
        LineStoreError: if that is not so.
    """
    head, body = _read_checked(folder / LIST)
    try:
        content = json.loads(body)
        pool = folder.parent / head["pool"]
        _check_packs(pool, content["packs"])
        names = [name for name, _ in content["packs"]]
        images = tuple(
            StoredImage(image_id, writer_id, group_id, Place(names[pack], offset, tuple(widths), checksum))
            for image_id, writer_id, group_id, pack, offset, widths, checksum in content["images"]
        )
        set_aside = tuple(SetAside(Path(path), reason, image_id) for path, reason, image_id in content["set_aside"])
        return LineList(pool, int(head["settings"]["height_px"]), images, set_aside)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise LineStoreError(
            f"{folder / LIST} must list the lines of a store, but does not ({error!r}). {MEND}"
        ) from error


def _read_checked(path: Path) -> tuple[dict[str, Any], bytes]:
    try:
        first, _, body = path.read_bytes().partition(b"\n")
        head = json.loads(first)
    except FileNotFoundError as error:
        raise LineStoreError(f"A line store must hold {path.name}, but {path.parent} does not. {MEND}") from error
    except (OSError, ValueError) as error:
        raise LineStoreError(f"{path} must begin with a line of JSON, but cannot be read ({error}). {MEND}") from error
    found_format = head.get("format") if isinstance(head, dict) else None
    if found_format != FORMAT_VERSION:
        raise LineStoreError(f"A line store must have format {FORMAT_VERSION}, but {path} has {found_format}. {MEND}")
    found = hashlib.sha256(body.removesuffix(b"\n")).hexdigest()
    if found != head.get("sha256"):
        raise LineStoreError(f"{path} must have the SHA-256 that its head says, but has {found}. {MEND}")
    return head, body


def _check_packs(pool: Path, packs: list[list[Any]]) -> None:
    for name, least_bytes in packs:
        size = (pool / name).stat().st_size if (pool / name).is_file() else None
        if size is None or size < least_bytes:
            raise LineStoreError(
                f"{pool / name} must have {least_bytes} bytes or more, but has {size}. "
                "`whosehand sweep` reads again what is lost."
            )


def _to_json(content: object) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()


def _write_synced(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
