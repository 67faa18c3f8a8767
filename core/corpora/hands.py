"""The embedded corpus: generated handwriting, any number of writers and pages, rendered once.

It lets everything run without a download, and shows whether a sweep works. It is generated: the
letters come from drawn skeletons and the writers from random habits, so a score on it is no
evidence about real handwriting.
"""

import hashlib
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from filelock import FileLock

from core.corpora.index import CorpusIndex, Region, TextImage
from core.corpora.settings import HandsSettings
from core.errors import CorpusError
from core.handwriting.page import WrittenPage, write_page
from core.handwriting.penmanship import draw_penmanship
from core.handwriting.sheet import WrittenSheet, write_sheet
from core.handwriting.sheet_style import draw_style

GENERATOR_VERSION = 2  # to be raised whenever the same settings would give other pixels or texts
_MANIFEST = "manifest.json"
_TROUBLES = {"paper", "edge", "skew", "columns", "tool", "last_line", "form"}
"""Settings that make a page a sheet with everything that disturbs on it; a plain one without
any.
"""
# Scanner noise leaves nothing to repeat: this is twice as fast as OpenCV's choice, and the files
# are smaller.
_PNG_OPTIONS = (
    *(cv2.IMWRITE_PNG_COMPRESSION, 1),
    *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY),
    *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP),
)


class HandsCorpus:
    """Generated handwriting, kept as PNG pages in `data_dir/hands/<key of the settings>/`.

    The first `index` renders the pages, about 0.1 s each; later ones read a small manifest. Several
    processes may call it at once: one renders, the others wait.
    """

    def __init__(self, settings: HandsSettings, data_dir: Path) -> None:
        self.settings = settings
        self.folder = data_dir / "hands" / _key(settings)

    def index(self) -> CorpusIndex:
        """One text image for each line or page; they are rendered first where that is to be done.

        Raises:
            CorpusError: if the pages cannot be written.
        """
        manifest = _read_manifest(self.folder)
        if manifest is None:
            manifest = self._render_once()
        images = tuple(image for page in manifest for image in self._images_of(page))
        return CorpusIndex("hands", self.folder, images, generated=True)

    def _images_of(self, page: dict[str, Any]) -> list[TextImage]:
        if self.settings.unit == "line":
            return [_text_image(self.folder, page, number) for number in range(len(page["lines"]))]
        text = " ".join(line["text"] for line in page["lines"])
        return [
            TextImage(
                image_id=page["page_id"],
                path=self.folder / f"{page['page_id']}.png",
                unit="page" if self.settings.form == "none" else "form",
                writer_id=page["writer_id"],
                page_id=page["page_id"],
                text=text,
                text_id=hashlib.sha256(text.encode()).hexdigest()[:12],
            )
        ]

    def _render_once(self) -> list[dict[str, Any]]:
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder.with_suffix(".lock")):
                manifest = _read_manifest(self.folder)
                return self._render() if manifest is None else manifest
        except OSError as error:
            raise CorpusError(
                f"Generated pages are written to {self.folder.parent}, but that failed: {error}. "
                "Free some space or name another data folder."
            ) from error

    def _render(self) -> list[dict[str, Any]]:
        # Under the lock any such folder is what a killed process left behind.
        partial = self.folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        partial.mkdir()
        # NumPy and OpenCV let go of the interpreter while they draw; memory is about 80 MB a
        # thread.
        with ThreadPoolExecutor(max_workers=min(os.cpu_count() or 1, 8)) as pool:
            pages = pool.map(
                lambda writer: _render_writer(self.settings, writer, partial), range(self.settings.n_writers)
            )
            manifest = [page for writer_pages in pages for page in writer_pages]
        (partial / _MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
        partial.rename(self.folder)
        return manifest


def _key(settings: HandsSettings) -> str:
    """Of what the pages depend on; what 0.1 did not know counts where it is not as it was then."""
    troubles = settings.model_dump(include={*_TROUBLES, "alike"}, exclude_defaults=True)
    known = settings.model_dump(include={"layout", "n_writers", "n_pages", "n_lines", "seed"})
    said = json.dumps([GENERATOR_VERSION, {**known, **troubles}], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def _render_writer(settings: HandsSettings, writer: int, folder: Path) -> list[dict[str, Any]]:
    # One stream of random numbers a writer and one a page: neither depends on how many there are.
    hand = draw_penmanship(np.random.default_rng([settings.seed, writer]), settings.alike)
    troubles = settings.model_dump(include=_TROUBLES)
    manifest = []
    for page in range(settings.n_pages):
        generator = np.random.default_rng([settings.seed, writer, page + 1])
        written: WrittenPage | WrittenSheet
        if settings.model_dump(include=_TROUBLES, exclude_defaults=True):
            written = write_sheet(hand, draw_style(generator, **troubles), generator, settings.n_lines)
        else:
            written = write_page(hand, settings.n_lines, generator)
        manifest.append(_write(written, folder, f"{writer:03d}", f"{writer:03d}-{page:02d}"))
    return manifest


def _write(page: WrittenPage | WrittenSheet, folder: Path, writer_id: str, page_id: str) -> dict[str, Any]:
    encoded, png = cv2.imencode(".png", page.pixels, _PNG_OPTIONS)
    if not encoded:
        raise OSError(f"page {page_id} could not be encoded as PNG")
    (folder / f"{page_id}.png").write_bytes(png.tobytes())
    lines = [
        {"text": line.text, "region": [line.left_px, line.top_px, line.width_px, line.height_px]} for line in page.lines
    ]
    return {"writer_id": writer_id, "page_id": page_id, "n_bytes": len(png), "lines": lines}


def _read_manifest(folder: Path) -> list[dict[str, Any]] | None:
    """The manifest, or nothing if it is unreadable or a page is missing or cut short."""
    try:
        manifest: list[dict[str, Any]] = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        whole = all((folder / f"{page['page_id']}.png").stat().st_size == page["n_bytes"] for page in manifest)
    except (OSError, ValueError, KeyError, TypeError):  # of another make
        return None
    return manifest if whole else None


def _text_image(folder: Path, page: dict[str, Any], number: int) -> TextImage:
    line = page["lines"][number]
    return TextImage(
        image_id=f"{page['page_id']}-{number:02d}",
        path=folder / f"{page['page_id']}.png",
        region=Region(*line["region"]),
        unit="line",
        writer_id=page["writer_id"],
        page_id=page["page_id"],
        text=line["text"],
        text_id=hashlib.sha256(line["text"].encode()).hexdigest()[:12],
    )
