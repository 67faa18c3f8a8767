"""A page with what is read from it drawn on: the lines that were found, and the patches that a model would see."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from core.corpora.index import CorpusIndex, Region, TextImage, Unit
from core.errors import ImageError
from core.lines.store import build_line_store
from core.pages.image_files import read_grey
from core.pages.text_lines import InkSettings, place_of_line, read_page
from core.patches.plan import PatchPlan, PatchSettings, evaluation_plan

_LINES, _PATCHES = ((0, 114, 178), (213, 94, 0)), (0, 158, 115)
"""Okabe and Ito's colours; those of neighbouring lines differ."""
_LONGEST_PX = 2000


@dataclass(frozen=True)
class PageReading:
    """What was read from a page, for the picture's caption.

    Attributes:
        n_lines: how many lines were found.
        n_patches: how many patches were drawn.
        n_rules: how many rules were erased.
        skew_deg: by how much the lines rose to the right and were turned back.
    """

    n_lines: int
    n_patches: int
    n_rules: int
    skew_deg: float


def page_picture(path: Path, unit: Unit, ink: InkSettings, patches: PatchSettings, picture: Path) -> PageReading:
    """Draw a page as it is in its file, with the places of its lines and of evenly spaced patches on it.

    The place of a line is what is scaled to the store's height. A line that was turned to be level has a slanted frame.

    Args:
        path: of the page.
        unit: what it is.
        ink: how it is read.
        patches: size, and how many are drawn: `per_image_at_test`.
        picture: the PNG file to write.

    Raises:
        ImageError: if the file cannot be read or holds no ink.
        PatchError: if a patch is higher than the lines.
    """
    grey = read_grey(path)
    try:
        page = read_page(grey, unit, ink)
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error
    places = [place_of_line(page, line, ink) for line in page.lines]
    plan = _plan(TextImage(str(path), path, "", unit=unit), ink, patches)
    shrink = min(1.0, _LONGEST_PX / max(grey.shape))
    size = max(1, round(grey.shape[1] * shrink)), max(1, round(grey.shape[0] * shrink))
    canvas = Image.fromarray(grey).resize(size, Image.Resampling.BOX).convert("RGB")
    drawing = ImageDraw.Draw(canvas)
    to_picture = shrink * page.clean.to_page
    for number, place in enumerate(places):
        _draw_frame(drawing, place, to_picture, _LINES[number % 2], width=3)
    for line, top, left in zip(plan.lines.tolist(), plan.tops.tolist(), plan.lefts.tolist(), strict=True):
        place = _place_of_patch(places[line], top, left, plan.size_px, ink.height_px)
        _draw_frame(drawing, place, to_picture, _PATCHES, width=2)
    picture.parent.mkdir(parents=True, exist_ok=True)
    canvas.save(picture, format="PNG", optimize=True)
    return PageReading(len(places), len(plan), page.clean.n_rules, page.clean.skew_deg)


def _plan(image: TextImage, ink: InkSettings, patches: PatchSettings) -> PatchPlan:
    """The patches by which the page's writer would be told."""
    with tempfile.TemporaryDirectory(prefix="whosehand-") as folder:
        store = build_line_store(CorpusIndex("page", image.path.parent, (image,)), ink, Path(folder))
        return evaluation_plan(store, [image.image_id], None, patches, patches.per_image_at_test)


def _place_of_patch(line: Region, top: int, left: int, size_px: int, height_px: int) -> Region:
    scale = line.height / height_px
    side = round(size_px * scale)
    return Region(round(line.left + left * scale), round(line.top + top * scale), side, side)


def _draw_frame(
    drawing: ImageDraw.ImageDraw,
    place: Region,
    to_picture: NDArray[np.float64],
    colour: tuple[int, int, int],
    width: int,
) -> None:
    right, bottom = place.left + place.width, place.top + place.height
    corners = np.array([(place.left, place.top), (right, place.top), (right, bottom), (place.left, bottom)])
    points = corners @ to_picture[:, :2].T + to_picture[:, 2]
    closed = [(float(x), float(y)) for x, y in (*points, *points[:2])]
    drawing.line(closed, fill=colour, width=width, joint="curve")
