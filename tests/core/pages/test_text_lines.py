"""From an image to its text lines: one size, one tone, in whatever form the image is stored."""

import dataclasses
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from core.corpora.dhsd import DhsdCorpus
from core.corpora.index import CorpusIndex, TextImage
from core.corpora.settings import DhsdSettings
from core.errors import ConfigError, ImageError
from core.pages.image_files import read_grey
from core.pages.scan import INK_LEVEL
from core.pages.text_lines import lines_of_grey, text_lines
from core.settings import InkSettings

Save = Callable[[NDArray[np.generic], str], Path]
SaveForm = Callable[[Image.Image, Path], None]
_FORM_PX = 64


def ink_width(line: NDArray[np.uint8]) -> int:
    columns = np.flatnonzero((line < INK_LEVEL).any(axis=0))
    return int(columns[-1] + 1 - columns[0])


def test_a_line_has_the_height_asked_for(hands_index: CorpusIndex) -> None:
    for height_px in (56, 113):
        (line,) = text_lines(hands_index.images[0], InkSettings(height_px=height_px))
        assert line.shape[0] == height_px
        assert line.dtype == np.uint8
        assert line[0, 0] == 255


def test_a_line_found_on_a_page_has_the_scale_of_the_same_line_as_a_region(hands_index: CorpusIndex) -> None:
    regions = defaultdict(list)
    for image in hands_index.images:
        regions[image.path].append(image)
    ratios = []
    for path, images in regions.items():
        page = TextImage("page", path, "w", unit="page")
        for found, image in zip(text_lines(page, InkSettings()), images, strict=True):
            (line,) = text_lines(image, InkSettings())
            ratios.append(ink_width(found) / ink_width(line))
    assert np.std(np.log(ratios)) < 0.03
    assert np.max(np.abs(np.log(ratios))) < 0.15  # a region may hold strokes of its neighbours


def test_the_ink_tells_a_page_from_a_line(hands_index: CorpusIndex) -> None:
    image = hands_index.images[0]
    whole = dataclasses.replace(image, region=None, unit="auto")
    assert len(text_lines(whole, InkSettings())) == 4
    as_line = text_lines(dataclasses.replace(image, unit="auto"), InkSettings())
    assert len(as_line) == 1
    assert np.array_equal(as_line[0], text_lines(image, InkSettings())[0])


def test_margins_do_not_set_the_size_of_letters(hands_index: CorpusIndex) -> None:
    image = hands_index.images[0]
    grey = read_grey(image.path, image.region)
    wide = np.pad(grey, ((90, 30), (200, 10)), mode="edge")
    (tight,) = lines_of_grey(grey, image, InkSettings())
    (loose,) = lines_of_grey(wide, image, InkSettings())
    assert ink_width(loose.pixels) == pytest.approx(ink_width(tight.pixels), rel=0.02)
    assert loose.pixels.shape[1] == pytest.approx(tight.pixels.shape[1], rel=0.02)


def test_the_resolution_of_a_scan_does_not_set_the_size_of_letters(hands_index: CorpusIndex) -> None:
    image = hands_index.images[0]
    grey = read_grey(image.path, image.region)
    widths = []
    for scale in (0.5, 1.0, 3.0):
        scan = np.asarray(cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        widths.append(ink_width(lines_of_grey(scan, image, InkSettings())[0].pixels))
    assert max(widths) / min(widths) < 1.05


def test_without_the_crop_the_image_sets_the_scale(hands_index: CorpusIndex) -> None:
    image = hands_index.images[0]
    assert image.region is not None
    (line,) = text_lines(image, InkSettings(crop_to_ink=False))
    assert line.shape == (113, round(image.region.width * 113 / image.region.height))


def test_without_tone_normalisation_grey_values_stay(hands_index: CorpusIndex) -> None:
    image = hands_index.images[0]
    grey = (read_grey(image.path, image.region) // 4 + 180).astype(np.uint8)
    (line,) = lines_of_grey(grey, image, InkSettings(normalise_tone=False))
    assert line.pixels.min() >= 180
    (normal,) = lines_of_grey(grey, image, InkSettings())
    assert np.array_equal(line.is_ink, normal.is_ink), "pale ink is ink too"


def test_real_words_are_one_line_each_and_are_kept_nearly_whole(dhsd_root: Path) -> None:
    images = DhsdCorpus(DhsdSettings(root=dhsd_root)).index().images[::80]
    n_lines = [len(text_lines(dataclasses.replace(image, unit="auto"), InkSettings())) for image in images]
    assert np.mean(np.array(n_lines) == 1) > 0.97


def test_real_words_of_one_writer_have_letters_of_one_size(dhsd_root: Path) -> None:
    images = DhsdCorpus(DhsdSettings(root=dhsd_root)).index().images[::20]

    def spread(settings: InkSettings) -> float:
        widths = defaultdict(list)
        for image in images:
            (line,) = text_lines(image, settings)
            widths[image.writer_id].append(np.log(ink_width(line) / len(image.text or " ")))
        return float(np.mean([np.std(logs) for logs in widths.values()]))

    by_text, by_image = spread(InkSettings(height_px=64)), spread(InkSettings(height_px=64, crop_to_ink=False))
    assert by_text < 0.2
    assert by_text < 0.9 * by_image


def test_a_lone_dash_is_not_blown_up(save_image: Save) -> None:
    page = np.full((64, 600), 255, np.uint8)
    page[30:33, 20:580] = 0
    (line,) = text_lines(TextImage("dash", save_image(page, "dash.png"), "w"), InkSettings())
    assert line.shape[1] <= 113 * 65


def test_a_blank_image_is_refused_by_name(save_image: Save) -> None:
    blank = save_image(np.full((64, 256), 250, np.uint8), "blank.png")
    for unit in ("line", "page", "auto"):
        with pytest.raises(ImageError, match=r"blank\.png: There must be ink"):
            text_lines(TextImage("blank", blank, "w", unit=unit), InkSettings())


@pytest.mark.parametrize("height_px", [0, 15, 513])
def test_a_height_that_makes_no_sense_is_refused(height_px: int) -> None:
    with pytest.raises(ConfigError, match="height_px"):
        InkSettings(height_px=height_px)


def _scaled(page: Image.Image, factor: float) -> Image.Image:
    size = round(page.width * factor), round(page.height * factor)
    return page.resize(size, Image.Resampling.LANCZOS)


def _bilevel(page: Image.Image) -> Image.Image:
    """As a fax or an archive keeps it: at twice the resolution, ink where it is darker than half of
    the paper.
    """
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


FORMS: dict[str, tuple[str, SaveForm]] = {
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
    return _form_lines(page)


def _form_lines(path: Path) -> list[NDArray[np.uint8]]:
    return text_lines(TextImage("page", path, "w", unit="page"), InkSettings(height_px=_FORM_PX))


@pytest.mark.parametrize("name", FORMS)
def test_the_same_page_in_another_form_gives_the_same_lines(
    name: str, page: Path, lines: list[NDArray[np.uint8]], tmp_path: Path
) -> None:
    suffix, save = FORMS[name]
    path = tmp_path / f"page.{suffix}"
    save(Image.open(page), path)
    found = _form_lines(path)
    assert len(found) == len(lines)
    for other, line in zip(found, lines, strict=True):
        assert abs(other.shape[1] / line.shape[1] - 1) < 0.02, "letters have the same size"
        assert _likeness(other, line) > 0.9


def _likeness(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """The correlation of two lines laid over each other; strokes are 2 px wide here, so a pixel off
    is seen.
    """
    size = other.shape[1], other.shape[0]
    same_size = np.asarray(cv2.resize(one, size, interpolation=cv2.INTER_AREA))
    return float(np.corrcoef(same_size.ravel(), other.ravel())[0, 1])
