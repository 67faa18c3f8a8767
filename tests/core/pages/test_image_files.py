"""Image files of every kind become the same grey values, and what is no image is refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from core.corpora.index import Region
from core.errors import ImageError
from core.pages.image_files import grey_of_bytes, grey_of_pixels, read_grey

Save = Callable[[NDArray[np.generic], str], Path]


@pytest.fixture
def page() -> NDArray[np.uint8]:
    """Light paper with a dark bar in its upper left part."""
    pixels = np.full((40, 60), 230, np.uint8)
    pixels[5:10, 5:30] = 20
    return pixels


def test_grey_is_read_as_it_is(page: NDArray[np.uint8], save_image: Save) -> None:
    assert np.array_equal(read_grey(save_image(page, "a.png")), page)


def test_colour_is_weighed_to_luminance(page: NDArray[np.uint8], save_image: Save) -> None:
    red = np.stack([np.full_like(page, 230), page, page], axis=-1)
    grey = read_grey(save_image(red, "a.png"))
    assert grey[20, 40] == 230
    assert grey[7, 7] == round(0.299 * 230 + 0.701 * 20)


def test_transparency_is_white_paper(page: NDArray[np.uint8], save_image: Save) -> None:
    black = np.zeros((*page.shape, 4), np.uint8)
    black[..., 3] = np.where(page < 128, 255, 0)
    grey = read_grey(save_image(black, "a.png"))
    assert grey[20, 40] == 255
    assert grey[7, 7] == 0


@pytest.mark.parametrize("mode", ["1", "P", "LA", "CMYK", "YCbCr"])
def test_every_colour_mode_gives_dark_ink_on_light_paper(page: NDArray[np.uint8], tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("a.tif" if mode in ("CMYK", "YCbCr") else "a.png")
    Image.fromarray(page).convert(mode).save(path)
    grey = read_grey(path)
    assert grey[20, 40] > 180
    assert grey[7, 7] < 60


def test_sixteen_bits_are_scaled_to_eight(page: NDArray[np.uint8], save_image: Save) -> None:
    grey = read_grey(save_image(page.astype(np.uint16) * 257, "a.png"))
    assert grey[20, 40] == 255
    assert grey[7, 7] == round(20 * 255 / 230)


def test_light_ink_on_dark_ground_is_turned_round(page: NDArray[np.uint8], save_image: Save) -> None:
    assert np.array_equal(read_grey(save_image(255 - page, "a.png")), page)


def test_a_dark_scanner_edge_does_not_turn_the_polarity(page: NDArray[np.uint8], save_image: Save) -> None:
    page[:, :12] = 0
    assert read_grey(save_image(page, "a.png"))[20, 40] == 230


def test_the_cameras_rotation_is_followed(page: NDArray[np.uint8], tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the sensor lay on its side: turn by 90 degrees clockwise to see it upright
    Image.fromarray(page).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_grey(tmp_path / "a.png"), np.rot90(page, -1))


def test_a_region_is_cut_out(page: NDArray[np.uint8], save_image: Save) -> None:
    grey = read_grey(save_image(page, "a.png"), Region(left=4, top=2, width=30, height=12))
    assert np.array_equal(grey, page[2:14, 4:34])


def test_polarity_is_judged_on_the_whole_image(page: NDArray[np.uint8], save_image: Save) -> None:
    grey = read_grey(save_image(page, "a.png"), Region(left=6, top=2, width=8, height=9))
    assert grey[0, 0] == 230


@pytest.mark.parametrize("region", [Region(-1, 0, 20, 20), Region(0, 0, 61, 20), Region(0, 30, 20, 20)])
def test_a_region_beyond_the_image_is_refused(page: NDArray[np.uint8], save_image: Save, region: Region) -> None:
    with pytest.raises(ImageError, match=r"must lie inside its image.*a\.png of 60 x 40"):
        read_grey(save_image(page, "a.png"), region)


def test_a_zero_byte_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.png").write_bytes(b"")
    with pytest.raises(ImageError, match=r"empty\.png has 0 bytes"):
        read_grey(tmp_path / "empty.png")


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "bmp"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7])
def test_a_truncated_file_is_refused(tmp_path: Path, suffix: str, share: float) -> None:
    path = tmp_path / f"cut.{suffix}"
    noise = np.random.default_rng(0).integers(0, 255, (100, 100), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(ImageError, match=r"cut\.\w+ is (damaged|none)"):
        read_grey(path)


def test_a_file_with_damaged_bytes_is_refused(page: NDArray[np.uint8], save_image: Save) -> None:
    path = save_image(page, "a.png")
    content = bytearray(path.read_bytes())
    content[45:60] = bytes(15)
    path.write_bytes(content)
    with pytest.raises(ImageError, match=r"a\.png is damaged"):
        read_grey(path)


def test_text_under_an_images_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("not an image")
    with pytest.raises(ImageError, match=r"a\.png is none"):
        read_grey(tmp_path / "a.png")


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="there is no"):
        read_grey(tmp_path / "gone.png")
    with pytest.raises(ImageError):
        read_grey(tmp_path)


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 7)])
def test_an_image_without_room_for_a_letter_is_refused(save_image: Save, shape: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match=rf"at least 8 x 8 pixels.*has {shape[1]} x {shape[0]}"):
        read_grey(save_image(np.full(shape, 200, np.uint8), "a.png"))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [13_000, 14_000])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path: Path, side: int) -> None:
    Image.new("1", (side, side)).save(tmp_path / "bomb.png")
    with pytest.raises(ImageError, match=r"at most 150000000 pixels, but .*bomb\.png"):
        read_grey(tmp_path / "bomb.png")


def test_bytes_and_pixels_give_what_the_file_gives(page: NDArray[np.uint8], save_image: Save) -> None:
    path = save_image(page, "a.png")
    expected = read_grey(path)
    assert np.array_equal(grey_of_bytes(path.read_bytes(), "a"), expected)
    for pixels in (page, page.astype(np.float64), np.stack([page] * 3, axis=-1)):
        np.testing.assert_allclose(grey_of_pixels(pixels, "a"), expected, atol=1)


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (np.zeros(20), r"of shape \(height, width\).*but scan has shape \(20,\)"),
        (np.zeros((20, 20, 2)), "has shape"),
        (np.full((20, 20), "x"), "must be numbers"),
        (np.full((20, 20), 300), "from 0 to 255, but scan has others"),
        (np.full((20, 20), -1.0), "from 0 to 255"),
        (np.full((20, 20), np.nan), "from 0 to 255"),
        (np.zeros((4, 20)), "at least 8 x 8"),
    ],
)
def test_pixels_that_are_no_image_are_refused(pixels: NDArray[np.generic], reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        grey_of_pixels(pixels, "scan")


@pytest.mark.parametrize(("content", "reason"), [(b"", "scan has 0 bytes"), (b"text", "scan is none")])
def test_bytes_that_are_no_image_are_refused(content: bytes, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        grey_of_bytes(content, "scan")
