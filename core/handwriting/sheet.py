"""A whole sheet at 300 dpi, as corpora and desks have it: print, rules, skew, dust, dark edges.

It knows which pixel belongs to which line, so that what is found on it can be held against the
truth.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from core.handwriting.page import LaidLine, WrittenLine, lay_lines, place_lines
from core.handwriting.pen import Ink, Pen, draw_paths, rasterise, scan
from core.handwriting.penmanship import Penmanship, draw_mood
from core.handwriting.sheet_style import SheetStyle
from core.handwriting.skeletons import FloatArray
from core.handwriting.writing import Writer, compose

SHEET_PX = (3508, 2480)
"""A4 at 300 dpi: rows, columns."""
_MARGIN_PX, _GUTTER_PX = 230, 140
_RULE_PX = 4
_SQUARE_PX = 59  # 5 mm
_INKED = 0.4
_HOLE_PX, _HOLE_MARGIN_PX, _HOLE_PITCH_PX = 35, 142, 945  # ISO 838: 6 mm wide, 12 mm in, 80 mm apart


@dataclass(frozen=True)
class WrittenSheet:
    """A sheet and the truth about it.

    Attributes:
        pixels: (height, width), 0 for black to 255.
        line_of_pixel: (height, width), which line's ink a pixel is, from 1; 0 is none.
        lines: column by column, each from top to bottom.
        x_height_px: of the handwriting.
    """

    pixels: NDArray[np.uint8]
    line_of_pixel: NDArray[np.uint8]
    lines: tuple[WrittenLine, ...]
    x_height_px: float


def write_sheet(
    hand: Penmanship, style: SheetStyle, generator: np.random.Generator, n_lines: int | None = None
) -> WrittenSheet:
    """Let a writer fill a sheet with a text of its own.

    Args:
        hand: of the writer.
        style: of it, only room, columns, zoom and the last line change what is written.
        generator: for the text, the mood and the paper.
        n_lines: of each column; the sheet is as high as they need. A whole A4 sheet without it.
    """
    writing_seed, paper_seed = generator.spawn(2)
    mood = draw_mood(writing_seed)
    unit = hand.x_height_px * mood.size * style.zoom
    pitch = hand.line_gap * unit
    shape = SHEET_PX if n_lines is None else (_height_for(n_lines, style, pitch), SHEET_PX[1])
    printed, top, bottom = _print_form(style, shape, paper_seed)
    # Lines that rise or bend take room above and below.
    reach = int(0.5 * (shape[1] - 2 * _MARGIN_PX) * np.tan(np.deg2rad(abs(style.slope_deg) + abs(style.fan_deg))))
    top, bottom = top + reach, bottom - reach
    first = top + (0.75 + abs(style.curve)) * pitch
    n_fitting = max(1, int((bottom - first - (0.35 + abs(style.curve)) * pitch) / pitch) + 1)
    laid, paths, line_of_path = _write(
        Writer(hand, mood, writing_seed), hand, unit, n_lines or n_fitting, style, writing_seed
    )
    moved = [_bend(path + np.array([0.0, first]), style, first, pitch, n_lines or n_fitting) for path in paths]
    pen_px = hand.pen_px * mood.pen * style.zoom * (0.8 if style.tool == "pencil" else 1.0)
    pen = Pen(pen_px, hand.contrast, hand.nib_angle, hand.taper, hand.tension, hand.rounding * unit)
    ink = draw_paths(moved, pen, writing_seed)
    cover = rasterise(ink, *shape)
    numbers = np.where(cover > _INKED, _draw_numbers(ink, line_of_path, shape), 0).astype(np.uint8)
    dark = _darken(cover, hand, style, paper_seed)
    if style.is_signed:
        np.maximum(dark, _sign(hand, pen, unit, shape, writing_seed), out=dark)
    _draw_ruling(dark, style, first, pitch)
    np.maximum(dark, printed, out=dark)
    dark, numbers = _turn(dark, numbers, style.turn_deg)
    pixels = _scan(dark, style, paper_seed)
    texts = [" ".join(line.words) for line in laid]
    lines = tuple(WrittenLine(text, *_box(numbers == k)) for k, text in enumerate(texts, 1))
    return WrittenSheet(pixels, numbers, lines, float(unit))


def print_text(dark: NDArray[np.float32], text: str, place: tuple[int, int], size_px: int) -> None:
    """Print a line of text on a page.

    Args:
        dark: (height, width), darkness from 0 to 1, changed in place; what goes beyond its edges is
            lost.
        text: of one line.
        place: column and row of its upper left corner.
        size_px: of the font's em.
    """
    import matplotlib  # only for its font: half a second that sheets without print need not wait

    font = ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSerif.ttf", size_px)
    canvas = Image.new("L", (dark.shape[1], 2 * size_px), 0)
    ImageDraw.Draw(canvas).text((place[0], size_px // 4), text, fill=235, font=font)
    line = np.asarray(canvas, dtype=np.float32) / 255
    there = dark[place[1] : place[1] + len(line)]
    np.maximum(there, line[: len(there)], out=there)


def _height_for(n_lines: int, style: SheetStyle, pitch: float) -> int:
    _, top, bottom = _room(style, SHEET_PX[0])
    rise = (SHEET_PX[1] - 2 * _MARGIN_PX) * np.tan(np.deg2rad(abs(style.slope_deg) + abs(style.fan_deg)))
    return int(top + (SHEET_PX[0] - bottom) + rise + (n_lines + 0.3 + 2 * abs(style.curve)) * pitch)


def _room(style: SheetStyle, height: int) -> tuple[int, int, int]:
    """The rows of a form's second rule, and those between which there is room to write."""
    if style.form == "none":
        return 0, 150, height - 150
    second = 330 + 5 * 74 + 40
    return second, second + 30, height - (658 if style.form == "iam" else 120)


def _write(
    writer: Writer, hand: Penmanship, unit: float, n_lines: int, style: SheetStyle, generator: np.random.Generator
) -> tuple[list[LaidLine], list[FloatArray], NDArray[np.intp]]:
    """The lines of all columns, the pen's paths from the first baseline on, and the line of
    each.
    """
    words = compose(generator)
    width_px = (SHEET_PX[1] - 2 * _MARGIN_PX - (style.columns - 1) * _GUTTER_PX) / style.columns
    laid: list[LaidLine] = []
    paths: list[FloatArray] = []
    numbers: list[NDArray[np.intp]] = []
    for column in range(style.columns):
        # Those of the first column may run over its end by a word: a gutter is for that.
        own = lay_lines(writer, words, n_lines, (width_px - (60 if style.columns > 1 else 0)) / unit)
        if style.last_line == "short":
            own[-1] = _shortened(own[-1], float(generator.uniform(0.08, 0.25)) * width_px / unit)
        left_px = _MARGIN_PX + column * (width_px + _GUTTER_PX)
        own_paths, own_numbers = place_lines(own, hand, unit, left_px, generator)
        numbers.append(own_numbers + len(laid))
        laid += own
        paths += own_paths
    return laid, paths, np.concatenate(numbers)


def _shortened(line: LaidLine, width: float) -> LaidLine:
    """The words of a line that start before some width; the strokes that lie there."""
    kept = tuple(path for path in line.paths if path[:, 0].min() < width)
    share = len(kept) / len(line.paths)
    return LaidLine(line.words[: max(1, round(share * len(line.words)))], kept)


def _bend(path: FloatArray, style: SheetStyle, first: float, pitch: float, n_lines: int) -> FloatArray:
    """Move a path's points as its line slopes, fans and curves."""
    x, y = path[:, 0], path[:, 1]
    share = (x - _MARGIN_PX) / (SHEET_PX[1] - 2 * _MARGIN_PX)  # 0 to 1 along the line
    down = (y - first) / max(1.0, pitch * (n_lines - 1)) - 0.5  # -0.5 to 0.5 down the page
    rise = np.tan(np.deg2rad(style.slope_deg + style.fan_deg * down)) * (share - 0.5) * (SHEET_PX[1] - 2 * _MARGIN_PX)
    arc = style.curve * pitch * np.sin(np.pi * share.clip(0, 1))
    return np.stack([x, y - rise - arc], axis=1)


def _darken(
    cover: NDArray[np.float32], hand: Penmanship, style: SheetStyle, generator: np.random.Generator
) -> NDArray[np.float32]:
    if style.tool == "pen":
        return np.asarray(hand.darkness * cover, dtype=np.float32)
    grain = generator.normal(1.0, 0.35, cover.shape).astype(np.float32)
    soft = cv2.GaussianBlur(grain, (0, 0), 0.7)
    darkness = float(generator.uniform(0.22, 0.4))
    return np.asarray((darkness * cover * soft).clip(0, 1), dtype=np.float32)


def _sign(
    hand: Penmanship, pen: Pen, unit: float, shape: tuple[int, int], generator: np.random.Generator
) -> NDArray[np.float32]:
    """A signature behind the printed word "Name:", large enough to touch the footer's rule."""
    mood = draw_mood(generator)
    laid = lay_lines(Writer(hand, mood, generator), compose(generator), 1, 8.0)
    paths, _ = place_lines(laid, hand, 1.3 * unit, _MARGIN_PX + 420, generator)
    place = np.array([0.0, shape[0] - 658 + 1.3 * unit * float(generator.uniform(1.2, 2.6))])
    return np.asarray(hand.darkness * rasterise(draw_paths([path + place for path in paths], pen, generator), *shape))


def _print_form(
    style: SheetStyle, shape: tuple[int, int], generator: np.random.Generator
) -> tuple[NDArray[np.float32], int, int]:
    """The print of a form, (height, width) darkness, and the rows between which to write."""
    height, width = shape
    dark = np.zeros(shape, np.float32)
    second, top, bottom = _room(style, height)
    if style.form == "none":
        return dark, top, bottom
    words = compose(generator)
    title = "Sentence Database        A01-000" if style.form == "iam" else "0001 - 1"
    print_text(dark, title, (_MARGIN_PX + 60, 130), 56)
    for number in range(int(generator.integers(3, 6))):
        text = ""
        while len(text) < 62:
            text += next(words) + " "
        print_text(dark, text, (_MARGIN_PX + 20, 330 + 74 * number), 52)
    rules = [275, second]
    if style.form == "iam":
        rules.append(bottom)
        print_text(dark, "Name:", (_MARGIN_PX + 60, bottom + 90), 56)
    for number, row in enumerate(rules):
        if number != style.missing_rule:
            dark[row : row + _RULE_PX, 180 : width - 180] = 0.9
    return dark, top, bottom


def _draw_numbers(ink: Ink, line_of_path: NDArray[np.intp], shape: tuple[int, int]) -> NDArray[np.uint8]:
    canvas = np.zeros(shape, np.uint8)
    line = line_of_path[ink.paths]
    pieces = np.rint(np.stack([ink.starts, ink.ends], axis=1) * 16).astype(np.int32)
    thickness = np.rint(ink.widths).astype(int) + 2
    for number in range(int(line.max()) + 1):
        for width in np.unique(thickness[line == number]):
            chosen = list(pieces[(line == number) & (thickness == width)])
            cv2.polylines(canvas, chosen, False, number + 1, int(width), cv2.LINE_8, 4)
    return canvas


def _box(is_line: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Left, top, width and height of the ink."""
    left, top, width, height = cv2.boundingRect(is_line.view(np.uint8))
    return left, top, width, height


def _draw_ruling(dark: NDArray[np.float32], style: SheetStyle, first: float, pitch: float) -> None:
    """Rules below the baselines, or squares or dots over all of the sheet."""
    height, width = dark.shape
    if style.paper == "plain":
        return
    if style.paper == "dotted":
        for row in range(20, height - 5, _SQUARE_PX):
            for column in range(20, width - 5, _SQUARE_PX):
                there = dark[row : row + 4, column : column + 4]
                np.maximum(there, style.rule_darkness, out=there)
        return
    step, start = (pitch, first % pitch + 6) if style.paper == "ruled" else (_SQUARE_PX, 20)
    for row in np.arange(start, height - 3, step).round().astype(int):
        np.maximum(dark[row : row + 3], style.rule_darkness, out=dark[row : row + 3])
    columns = np.arange(20, width - 3, _SQUARE_PX) if style.paper == "squared" else np.array([_MARGIN_PX - 50])
    for column in columns:
        np.maximum(dark[:, column : column + 3], style.rule_darkness, out=dark[:, column : column + 3])


def _turn(
    dark: NDArray[np.float32], numbers: NDArray[np.uint8], angle_deg: float
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Turn what is on the sheet, on a ground so large that nothing is lost."""
    if angle_deg == 0:
        return dark, numbers
    height, width = dark.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), angle_deg, 1.0)
    sine, cosine = abs(turn[0, 1]), abs(turn[0, 0])
    size = int(width * cosine + height * sine), int(width * sine + height * cosine)
    turn[:, 2] += (0.5 * (size[0] - width), 0.5 * (size[1] - height))
    turned = cv2.warpAffine(dark, turn, size, flags=cv2.INTER_LINEAR)
    return (
        np.asarray(turned, dtype=np.float32),
        np.asarray(cv2.warpAffine(numbers, turn, size, flags=cv2.INTER_NEAREST), dtype=np.uint8),
    )


def _scan(dark: NDArray[np.float32], style: SheetStyle, generator: np.random.Generator) -> NDArray[np.uint8]:
    height, width = dark.shape
    for _ in range(style.n_specks):
        place = int(generator.integers(width)), int(generator.integers(height))
        cv2.circle(dark, place, int(generator.integers(1, 4)), float(generator.uniform(0.3, 0.9)), -1)
    pixels = scan(dark, 1.0, generator)
    if style.noise:
        noise = generator.normal(0, style.noise, (height // 4, width)).astype(np.float32)
        noise = np.tile(noise, (5, 1))[:height]
        pixels = np.clip(pixels + noise, 0, 255).astype(np.uint8)
    return _darken_edge(pixels, style, generator)


def _darken_edge(pixels: NDArray[np.uint8], style: SheetStyle, generator: np.random.Generator) -> NDArray[np.uint8]:
    """What the scanner shows of the surroundings; sides and greys are drawn."""
    if style.edge == "none":
        return pixels
    height, width = pixels.shape
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    if generator.random() < 0.5:
        columns = width - 1 - columns
    if generator.random() < 0.5:
        rows = height - 1 - rows
    tilt = np.float32(np.tan(np.deg2rad(style.edge_tilt_deg)))
    wide_px = style.edge_share * width
    light = np.ones(pixels.shape, np.float32)
    ground = np.float32(generator.uniform(0.06, 0.3 if style.edge in ("corners", "punch_holes") else 0.75))
    if style.edge == "shadow":
        # The widest place is `wide_px` from the edge; darkest in the fold itself.
        depth = (columns + abs(tilt) * rows) / np.float32(wide_px)
        light = np.minimum(1.0, ground + (1 - ground) * depth.clip(0, 1) ** np.float32(1.5))
    elif style.edge == "band":
        reach_px = wide_px - tilt * (rows if tilt > 0 else rows - height)
        light = np.where(columns < reach_px, ground, np.float32(1.0))
        if generator.random() < 0.5:
            light = np.where(rows < 0.5 * wide_px + tilt * 0.3 * columns, ground, light)
    elif style.edge == "corners":
        light = np.where(columns + rows * np.float32(1.6) < 2 * wide_px, ground, light)
        light = np.where((width - 1 - columns) + (height - 1 - rows) < 1.5 * wide_px, ground, light)
    else:
        for row in height / 2 + _HOLE_PITCH_PX * np.array([-0.5, 0.5]):
            distance = np.hypot(columns - _HOLE_MARGIN_PX, rows - np.float32(row))
            light = np.where(distance < _HOLE_PX, ground, light)
    grain = generator.normal(0, 4, pixels.shape).astype(np.float32)
    soft = cv2.GaussianBlur(light, (0, 0), 1.0)
    return np.clip(pixels * soft + np.where(soft < 0.9, grain, 0), 0, 255).astype(np.uint8)
