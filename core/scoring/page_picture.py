"""A page as it is read, as a picture: lines, what was cut off, what was left out, and the scale."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from core.corpora.index import Region, Unit
from core.errors import ImageError
from core.lines.source import ImageLines
from core.pages.dark_edges import find_dark_edges, paint_paper
from core.pages.image_files import read_grey
from core.pages.line_measures import LineMeasures, measure_line
from core.pages.reading_signs import Reading, measure_reading
from core.pages.scan import INK_LEVEL, normalise_tone
from core.pages.text_lines import ReadPage, place_of_line, read_page, scale_lines
from core.patches.plan import PatchPlan, evaluation_plan
from core.settings import InkSettings, PatchSettings

Colour = tuple[int, int, int]
LINES: tuple[Colour, Colour] = ((0, 114, 178), (213, 94, 0))
PATCHES, ERASED, OUTSIDE, CUT_OFF = (0, 158, 115), (86, 180, 233), (204, 121, 167), (90, 90, 90)
"""Okabe and Ito's colours, safe for colour blindness; those of neighbouring lines differ."""
LEGEND = (
    ("line, with its text's height", LINES[0]),
    ("its neighbour", LINES[1]),
    ("patch", PATCHES),
    ("cut off", CUT_OFF),
    ("erased", ERASED),
    ("ink in no line", OUTSIDE),
)
_LONGEST_PX, _LEAST_PX = 2000, 700
_SMALL_PX = (480, 640)
_QUALITY = 80
_VEIL = 0.45
_STRIPES_PX = 14
_BAR_PX = (5000, 2000, 1000, 500, 200, 100, 50, 20)
_PAPER = 255
_SEEN = 190
"""Of the normalised tone: rules may be paler than ink, and are erased all the same."""


@dataclass(frozen=True)
class PageReading:
    """What was read from a page, for the picture's caption.

    Attributes:
        reading: what it was taken for, and the signs of how well.
        lines: what was measured on each, in the order of reading.
        n_patches: how many patches were drawn.
        n_rules: how many rules were erased.
        skew_deg: by how much the lines rose to the right and were turned back.
    """

    reading: Reading
    lines: tuple[LineMeasures, ...]
    n_patches: int
    n_rules: int
    skew_deg: float


def page_picture(
    path: Path,
    unit: Unit,
    ink: InkSettings,
    patches: PatchSettings,
    picture: Path,
    frame: int | None = None,
    small_copy: Path | None = None,
) -> PageReading:
    """Draw a page as it is in its file, and over it how it is read.

    The frame of a line is what is scaled to the store's height; the band in it has the rows of its
    text, which set the scale. What was cut off (dark edges, the print of a form) is grey and
    striped; what was erased inside (rules, dots) and ink in no line have colours of their own. A
    bar for the scale and a legend stand below.

    Args:
        path: of the page.
        unit: what it is.
        ink: how it is read.
        patches: size, and how many are drawn: `per_image_at_test`.
        picture: the file to write, JPEG if it is named so, else PNG.
        frame: of a file with several pages, from 1.
        small_copy: a JPEG file to write, too, so that a thousand of them can be leafed through.

    Raises:
        ImageError: if the file cannot be read or holds no ink.
        PatchError: if a patch is higher than the lines.
    """
    grey = read_grey(path, frame=frame)
    try:
        page = read_page(grey, unit, ink)
        lines = scale_lines(page, ink)
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error
    store = ImageLines("page", lines, ink.height_px)
    plan = evaluation_plan(store, ["page"], None, patches, patches.per_image_at_test)
    measures = tuple(measure_line(page, line, ink) for line in page.lines)
    longest = max(grey.shape)
    shrink = _LONGEST_PX / longest if longest > _LONGEST_PX else max(1.0, _LEAST_PX / longest)
    canvas = Image.fromarray(_coloured(grey, page, ink, shrink))
    _draw_places(canvas, page, measures, plan, ink, shrink)
    picture.parent.mkdir(parents=True, exist_ok=True)
    kind = "JPEG" if picture.suffix.lower() in (".jpg", ".jpeg") else "PNG"
    _with_legend(canvas, shrink).save(picture, format=kind, quality=_QUALITY)
    if small_copy is not None:
        canvas.thumbnail(_SMALL_PX)
        canvas.save(small_copy, format="JPEG", quality=_QUALITY)
    reading = measure_reading(page, lines, unit)
    return PageReading(reading, measures, len(plan), page.clean.n_rules, page.clean.skew_deg)


def _coloured(grey: NDArray[np.uint8], page: ReadPage, ink: InkSettings, shrink: float) -> NDArray[np.uint8]:
    """The page at the picture's size, (height, width, 3): veiled where it was cut off, in colour
    where ink is in no line.
    """
    size = max(1, round(grey.shape[1] * shrink)), max(1, round(grey.shape[0] * shrink))
    shown = np.asarray(cv2.cvtColor(_resized(grey, size), cv2.COLOR_GRAY2RGB), dtype=np.uint8)
    edge = find_dark_edges(grey) if page.clean.is_changed else None
    cut_off = ~_sheet_mask(page, shrink, size)
    if edge is not None:
        cut_off |= _resized(edge.view(np.uint8), size) > 0
    _veil(shown, cut_off)
    outside = _onto(_ink_outside(page, ink), page, shrink, size) > 0
    if page.clean.is_changed:
        tone = normalise_tone(grey if edge is None else paint_paper(grey, edge))
        was_seen = _resized((tone < _SEEN).astype(np.uint8), size) > 0
        is_seen = _onto((page.clean.tone < _SEEN).astype(np.uint8), page, shrink, size) > 0
        near = cv2.dilate(is_seen.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        shown[was_seen & ~near & ~cut_off] = ERASED
    shown[outside & ~cut_off] = OUTSIDE
    return shown


def _sheet_mask(page: ReadPage, shrink: float, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Where the cleaned page lies on the picture."""
    height, width = page.clean.tone.shape
    corners = _moved(_corners(Region(0, 0, width, height)), shrink * page.clean.to_page)
    mask = np.zeros((size[1], size[0]), np.uint8)
    cv2.fillConvexPoly(mask, np.rint(corners).astype(np.int32), 1)
    return mask > 0


def _resized(values: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    method = cv2.INTER_AREA if size[0] <= values.shape[1] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(values, size, interpolation=method), dtype=np.uint8)


def _onto(mask: NDArray[np.uint8], page: ReadPage, shrink: float, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A mask over the cleaned page, laid onto the picture; what has a pixel of it is in it."""
    side = max(1, round(1 / shrink))
    wide = cv2.dilate(mask, np.ones((side, side), np.uint8)) if side > 1 else mask
    return np.asarray(cv2.warpAffine(wide, shrink * page.clean.to_page, size, flags=cv2.INTER_NEAREST), dtype=np.uint8)


def _ink_outside(page: ReadPage, ink: InkSettings) -> NDArray[np.uint8]:
    """Ink that no line has, or that lies too far above or below it to be cut out with it."""
    outside = page.clean.tone < INK_LEVEL
    for line in page.lines:
        region, cut_out = line.region, place_of_line(page, line, ink)
        place = slice(region.top, region.top + region.height), slice(region.left, region.left + region.width)
        rows = np.arange(region.top, region.top + region.height)[:, None]
        tops = cut_out.top + (0.0 if line.bend is None else line.bend - line.bend.mean())
        is_beyond = (rows < tops) | (rows >= tops + cut_out.height)
        outside[place] &= line.is_foreign | is_beyond
    return outside.astype(np.uint8)


def _veil(shown: NDArray[np.uint8], where: NDArray[np.bool_]) -> None:
    rows, columns = np.nonzero(where)
    is_stripe = (rows + columns) % _STRIPES_PX < _STRIPES_PX // 3
    veiled = (1 - _VEIL) * shown[rows, columns] + _VEIL * np.array(CUT_OFF)
    shown[rows, columns] = np.where(is_stripe[:, None], np.array(CUT_OFF), veiled).astype(np.uint8)


def _draw_places(
    canvas: Image.Image,
    page: ReadPage,
    measures: Sequence[LineMeasures],
    plan: PatchPlan,
    ink: InkSettings,
    shrink: float,
) -> None:
    drawing = ImageDraw.Draw(canvas)
    to_picture = shrink * page.clean.to_page
    places = [place_of_line(page, line, ink) for line in page.lines]
    for line, top, left in zip(plan.lines.tolist(), plan.tops.tolist(), plan.lefts.tolist(), strict=True):
        place = _place_of_patch(places[line], top, left, plan.size_px, ink.height_px)
        _draw_polygon(drawing, _corners(place), to_picture, PATCHES, width=1)
    font = ImageFont.load_default(_font_px(canvas.size))
    for number, (place, measured) in enumerate(zip(places, measures, strict=True)):
        colour = LINES[number % 2]
        _draw_polygon(drawing, _corners(place), to_picture, colour, width=3)
        for row in (1, 2):
            points = _moved(measured.band[:, [0, row]], to_picture)
            drawing.line(points, fill=colour, width=1)
        drawing.text(_moved(_corners(place)[:1], to_picture)[0], str(number + 1), fill=colour, font=font, anchor="ls")


def _place_of_patch(line: Region, top: int, left: int, size_px: int, height_px: int) -> Region:
    scale = line.height / height_px
    side = round(size_px * scale)
    return Region(round(line.left + left * scale), round(line.top + top * scale), side, side)


def _corners(place: Region) -> NDArray[np.float64]:
    right, bottom = place.left + place.width, place.top + place.height
    return np.array([(place.left, place.top), (right, place.top), (right, bottom), (place.left, bottom)], np.float64)


def _moved(points: NDArray[np.float64], to_picture: NDArray[np.float64]) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in points @ to_picture[:, :2].T + to_picture[:, 2]]


def _draw_polygon(
    drawing: ImageDraw.ImageDraw,
    corners: NDArray[np.float64],
    to_picture: NDArray[np.float64],
    colour: Colour,
    width: int,
) -> None:
    points = _moved(corners, to_picture)
    drawing.line([*points, *points[:2]], fill=colour, width=width, joint="curve")


def _with_legend(canvas: Image.Image, shrink: float) -> Image.Image:
    """The picture with a strip below it: a bar for the scale, and what the colours mean."""
    font_px = _font_px(canvas.size)
    font, gap = ImageFont.load_default(font_px), font_px
    n_px = next((length for length in _BAR_PX if length * shrink <= 0.3 * canvas.width), _BAR_PX[-1])
    parts: list[tuple[str, Colour | None, int]] = [(f"{n_px} px of the scan", None, round(n_px * shrink))]
    parts += [(text, colour, 2 * gap) for text, colour in LEGEND]
    places, left, row = [], gap, 0
    for text, _, bar_px in parts:
        width = bar_px + gap // 2 + round(font.getlength(text)) + 2 * gap
        if left + width > canvas.width and left > gap:
            left, row = gap, row + 1
        places.append((left, row))
        left += width
    row_px = round(1.8 * font_px)
    whole = Image.new("RGB", (canvas.width, canvas.height + (row + 1) * row_px), (_PAPER, _PAPER, _PAPER))
    whole.paste(canvas)
    drawing = ImageDraw.Draw(whole)
    for (text, colour, bar_px), (left, in_row) in zip(parts, places, strict=True):
        middle = canvas.height + (in_row + 0.5) * row_px
        if colour is None:
            drawing.line([(left, middle), (left + bar_px, middle)], fill=(0, 0, 0), width=2)
            for end in (left, left + bar_px):
                drawing.line([(end, middle - 5), (end, middle + 5)], fill=(0, 0, 0), width=2)
        else:
            drawing.rectangle((left, middle - 6, left + bar_px, middle + 6), fill=colour)
        drawing.text((left + bar_px + gap // 2, middle), text, fill=(0, 0, 0), font=font, anchor="lm")
    return whole


def _font_px(size: tuple[int, int]) -> int:
    return max(14, round(0.011 * max(size)))
