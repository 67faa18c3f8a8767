"""A whole sheet of A4 at 300 dpi, as corpora and desks have it: print, rules, skew, dust, dark
edges.

It knows which pixel belongs to which line, so that what is found on it can be held against the
truth.
"""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.written_print import print_text
from core.handwriting.page import lay_lines, place_lines
from core.handwriting.pen import Ink, Pen, draw_paths, rasterise, scan
from core.handwriting.penmanship import Penmanship, draw_mood
from core.handwriting.writing import Writer, compose

SHEET_PX = (3508, 2480)
"""A4 at 300 dpi: rows, columns."""
Form = Literal["none", "iam", "cvl"]
Ruling = Literal["none", "ruled", "squared"]
_MARGIN_PX = 230
_RULE_PX = 4
_SQUARE_PX = 59  # 5 mm
_INKED = 0.4


@dataclass(frozen=True)
class SheetStyle:
    """What is on a sheet besides the handwriting, and what became of it in the scanner.

    Attributes:
        form: `iam`: title, prompt and a place for the name in print, parted by three rules; `cvl`:
            title and prompt.
        ruling: of the paper; on ruled paper the writer keeps to the rules.
        rule_darkness: of the paper's ruling, 1 for black.
        skew_deg: how far the sheet is turned, positive against the clock.
        noise: standard deviation of what the scanner adds, in grey values.
        n_specks: of dust, 1 to 6 px across.
        dark_edge_px: of the scanner's lid beside the sheet, at two of its sides; none for 0.
        missing_rule: leave out this rule of a form, from 0 at the top.
        zoom: factor on the size of the handwriting.
    """

    form: Form = "none"
    ruling: Ruling = "none"
    rule_darkness: float = 0.45
    skew_deg: float = 0.0
    noise: float = 0.0
    n_specks: int = 0
    dark_edge_px: int = 0
    missing_rule: int | None = None
    zoom: float = 1.0


@dataclass(frozen=True)
class WrittenSheet:
    """A sheet and the truth about it.

    Attributes:
        pixels: (height, width), 0 for black to 255.
        line_of_pixel: (height, width), which line's ink a pixel is, from 1 at the top; 0 is none.
        texts: of the lines.
        x_height_px: of the handwriting.
    """

    pixels: NDArray[np.uint8]
    line_of_pixel: NDArray[np.uint8]
    texts: tuple[str, ...]
    x_height_px: float


def write_sheet(hand: Penmanship, style: SheetStyle, generator: np.random.Generator) -> WrittenSheet:
    """Let a writer fill a sheet with a text of its own; of the style only room and zoom change the
    handwriting.
    """
    writing_seed, paper_seed = generator.spawn(2)
    printed, top, bottom = _print_form(style, paper_seed)
    mood = draw_mood(writing_seed)
    unit = hand.x_height_px * mood.size * style.zoom
    pitch = hand.line_gap * unit
    first = top + 0.75 * pitch
    n_lines = max(1, int((bottom - first - 0.35 * pitch) / pitch) + 1)
    laid = lay_lines(
        Writer(hand, mood, writing_seed), compose(writing_seed), n_lines, (SHEET_PX[1] - 2 * _MARGIN_PX) / unit
    )
    paths, line_of_path = place_lines(laid, hand, unit, _MARGIN_PX, writing_seed)
    pen = Pen(
        hand.pen_px * mood.pen * style.zoom,
        hand.contrast,
        hand.nib_angle,
        hand.taper,
        hand.tension,
        hand.rounding * unit,
    )
    ink = draw_paths(paths, pen, writing_seed)
    shift = np.array([0.0, first])
    ink = Ink(ink.starts + shift, ink.ends + shift, ink.widths, ink.paths)
    cover = rasterise(ink, *SHEET_PX)
    lines = np.where(cover > _INKED, _draw_numbers(ink, line_of_path), 0).astype(np.uint8)
    dark = hand.darkness * cover
    _draw_ruling(dark, style, first, pitch)
    np.maximum(dark, printed, out=dark)
    dark, lines = _turn(dark, lines, style.skew_deg)
    pixels = _scan(dark, style, paper_seed)
    return WrittenSheet(pixels, lines, tuple(" ".join(line.words) for line in laid), float(unit))


def _print_form(style: SheetStyle, generator: np.random.Generator) -> tuple[NDArray[np.float32], int, int]:
    """The print of a form, (height, width) darkness, and the rows between which there is room to
    write.
    """
    height, width = SHEET_PX
    dark = np.zeros(SHEET_PX, np.float32)
    if style.form == "none":
        return dark, 150, height - 150
    words = compose(generator)
    title = "Sentence Database        A01-000" if style.form == "iam" else "0001 - 1"
    print_text(dark, title, (_MARGIN_PX + 60, 130), 56)
    rules = [275]
    y = 330
    for _ in range(int(generator.integers(4, 7))):
        text = ""
        while len(text) < 62:
            text += next(words) + " "
        print_text(dark, text, (_MARGIN_PX + 20, y), 52)
        y += 74
    rules.append(y + 40)
    bottom = height - 120
    if style.form == "iam":
        bottom = 2850
        rules.append(bottom)
        print_text(dark, "Name:", (_MARGIN_PX + 60, bottom + 90), 56)
    for number, row in enumerate(rules):
        if number != style.missing_rule:
            dark[row : row + _RULE_PX, 180 : width - 180] = 0.9
    return dark, rules[1] + 30, bottom


def _draw_numbers(ink: Ink, line_of_path: NDArray[np.intp]) -> NDArray[np.uint8]:
    canvas = np.zeros(SHEET_PX, np.uint8)
    line = line_of_path[ink.paths]
    pieces = np.rint(np.stack([ink.starts, ink.ends], axis=1) * 16).astype(np.int32)
    thickness = np.rint(ink.widths).astype(int) + 2
    for number in range(int(line.max()) + 1):
        for width in np.unique(thickness[line == number]):
            chosen = list(pieces[(line == number) & (thickness == width)])
            cv2.polylines(canvas, chosen, False, number + 1, int(width), cv2.LINE_8, 4)
    return canvas


def _draw_ruling(dark: NDArray[np.float32], style: SheetStyle, first: float, pitch: float) -> None:
    """Rules below the baselines, or squares over all of the sheet."""
    height, width = SHEET_PX
    if style.ruling == "none":
        return
    step, start = (pitch, first % pitch + 6) if style.ruling == "ruled" else (_SQUARE_PX, 20)
    for row in np.arange(start, height - 3, step).round().astype(int):
        np.maximum(dark[row : row + 3], style.rule_darkness, out=dark[row : row + 3])
    columns = np.arange(20, width - 3, _SQUARE_PX) if style.ruling == "squared" else np.array([_MARGIN_PX - 50])
    for column in columns:
        np.maximum(dark[:, column : column + 3], style.rule_darkness, out=dark[:, column : column + 3])


def _turn(
    dark: NDArray[np.float32], lines: NDArray[np.uint8], angle_deg: float
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    if angle_deg == 0:
        return dark, lines
    height, width = dark.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), angle_deg, 1.0)
    turned = cv2.warpAffine(dark, turn, (width, height), flags=cv2.INTER_LINEAR)
    numbers = cv2.warpAffine(lines, turn, (width, height), flags=cv2.INTER_NEAREST)
    return np.asarray(turned, dtype=np.float32), np.asarray(numbers, dtype=np.uint8)


def _scan(dark: NDArray[np.float32], style: SheetStyle, generator: np.random.Generator) -> NDArray[np.uint8]:
    height, width = dark.shape
    for _ in range(style.n_specks):
        place = int(generator.integers(width)), int(generator.integers(height))
        cv2.circle(dark, place, int(generator.integers(1, 4)), float(generator.uniform(0.3, 0.9)), -1)
    pixels = scan(dark, 1.0, generator)
    if style.noise:
        noise = generator.normal(0, style.noise, (height // 4, width)).astype(np.float32)
        pixels = np.clip(pixels + np.tile(noise, (4, 1)), 0, 255).astype(np.uint8)
    if style.dark_edge_px:
        edge = style.dark_edge_px
        slant = np.linspace(0, 0.4 * edge, height).astype(int)
        for row, more in enumerate(slant):
            pixels[row, : edge + more] = 25
        pixels[-edge:] = 18
    return pixels
