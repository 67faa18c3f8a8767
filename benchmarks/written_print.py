"""Printed text, as the header of a form bears it."""

from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

_FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSerif.ttf"


def print_text(dark: NDArray[np.float32], text: str, place: tuple[int, int], size_px: int) -> None:
    """Print a line of text on a page.

    Args:
        dark: (height, width), darkness from 0 to 1, changed in place; what goes beyond its edges is
            lost.
        text: of one line.
        place: column and row of its upper left corner.
        size_px: of the font's em.
    """
    canvas = Image.new("L", (dark.shape[1], 2 * size_px), 0)
    ImageDraw.Draw(canvas).text((place[0], size_px // 4), text, fill=235, font=ImageFont.truetype(_FONT, size_px))
    line = np.asarray(canvas, dtype=np.float32) / 255
    there = dark[place[1] : place[1] + len(line)]
    np.maximum(there, line[: len(there)], out=there)
