"""One page, stored in all the ways that scanners, phones and programs store pages: the lines are the same."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from core.corpora.index import CorpusIndex, TextImage
from core.pages.text_lines import text_lines
from core.settings import InkSettings

HEIGHT_PX = 64
Save = Callable[[Image.Image, Path], None]


def _scaled(page: Image.Image, factor: float) -> Image.Image:
    size = round(page.width * factor), round(page.height * factor)
    return page.resize(size, Image.Resampling.LANCZOS)


def _bilevel(page: Image.Image) -> Image.Image:
    """As a fax or an archive keeps it: at twice the resolution, ink where it is darker than half of the paper."""
    return _scaled(page, 2.0).point(lambda grey: 255 if grey > 150 else 0).convert("1")


def _on_transparency(page: Image.Image) -> Image.Image:
    ink = Image.new("RGBA", page.size, (10, 20, 90, 255))
    ink.putalpha(Image.fromarray(255 - np.asarray(page)))
    return ink


def _shaded(page: Image.Image) -> Image.Image:
    """A phone's photograph: bluish, darker towards one corner."""
    grey = np.asarray(page, dtype=np.float32)
    shade = np.linspace(1.0, 0.55, page.width)[None, :] * np.linspace(1.0, 0.8, page.height)[:, None]
    colours = [grey * shade * tint for tint in (0.9, 0.95, 1.0)]
    return Image.fromarray(np.stack(colours, axis=2).astype(np.uint8))


def _save_turned(page: Image.Image, path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    page.rotate(90, expand=True).save(path, exif=exif)


def _save_sixteen_bits(page: Image.Image, path: Path) -> None:
    Image.fromarray(np.asarray(page).astype(np.uint16) * 257).save(path)


def _framed(page: Image.Image) -> Image.Image:
    """On the scanner's black lid, with other margins."""
    grey = np.pad(np.asarray(page), 60, mode="edge")
    return Image.fromarray(cv2.copyMakeBorder(grey, 0, 40, 70, 0, cv2.BORDER_CONSTANT, value=20))


FORMS: dict[str, tuple[str, Save]] = {
    "colour": ("png", lambda page, path: page.convert("RGB").save(path)),
    "alpha": ("png", lambda page, path: _on_transparency(page).save(path)),
    "bilevel": ("tif", lambda page, path: _bilevel(page).save(path, compression="group4")),
    "16 bit": ("png", _save_sixteen_bits),
    "turned by EXIF": ("png", _save_turned),
    "inverted": ("png", lambda page, path: Image.fromarray(255 - np.asarray(page)).save(path)),
    "palette": ("png", lambda page, path: page.convert("RGB").quantize(64).save(path)),
    "CMYK": ("tif", lambda page, path: page.convert("CMYK").save(path)),
    "phone": ("jpg", lambda page, path: _shaded(page).save(path, quality=80)),
    "200 dpi": ("png", lambda page, path: _scaled(page, 0.7).save(path)),
    "600 dpi": ("png", lambda page, path: _scaled(page, 2.0).save(path)),
    "dark edges": ("png", lambda page, path: _framed(page).save(path)),
}


@pytest.fixture(scope="module")
def page(hands_index: CorpusIndex) -> Path:
    return hands_index.images[0].path


@pytest.fixture(scope="module")
def lines(page: Path) -> list[NDArray[np.uint8]]:
    return _lines(page)


def _lines(path: Path) -> list[NDArray[np.uint8]]:
    return text_lines(TextImage("page", path, "w", unit="page"), InkSettings(height_px=HEIGHT_PX))


@pytest.mark.parametrize("name", FORMS)
def test_the_same_page_in_another_form_gives_the_same_lines(
    name: str, page: Path, lines: list[NDArray[np.uint8]], tmp_path: Path
) -> None:
    suffix, save = FORMS[name]
    path = tmp_path / f"page.{suffix}"
    save(Image.open(page), path)
    found = _lines(path)
    assert len(found) == len(lines)
    for other, line in zip(found, lines, strict=True):
        assert abs(other.shape[1] / line.shape[1] - 1) < 0.02, "letters have the same size"
        assert _likeness(other, line) > 0.9


def _likeness(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """The correlation of two lines laid over each other; strokes are 2 px wide here, so a pixel off is seen."""
    size = other.shape[1], other.shape[0]
    same_size = np.asarray(cv2.resize(one, size, interpolation=cv2.INTER_AREA))
    return float(np.corrcoef(same_size.ravel(), other.ravel())[0, 1])
