"""Any image file as grey values: dark ink on light paper."""

from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from core.corpora.index import Region
from core.errors import ImageError
from core.pages.image_formats import MAX_SERVED_PIXELS, check_pixels, open_image

MIN_SIDE_PX = 8
"""Below this height or width there is no handwriting to read."""
_RGB_WEIGHTS = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_ROWS_AT_ONCE = 256
_LEAST_INK = 32  # grey levels below white; less is no ink on white paper


def read_grey(path: Path, region: Region | None = None, frame: int | None = None) -> NDArray[np.uint8]:
    """Decode an image file to grey values, upright, with dark ink on light paper.

    Colour is weighed to luminance (ITU-R 601), transparency is laid on white paper (on black, where
    only light ink is opaque), 16 bit values are scaled by their largest, the camera's rotation tag
    is followed, and light ink on a dark ground is turned round.

    Args:
        path: the file, in a format that `core.pages.image_formats` allows.
        region: the part that counts, in pixels of the upright image; polarity is judged on the
            whole image.
        frame: of a file with several pages, from 1; without it the first one that is no thumbnail.

    Returns:
        (height, width), 255 is white, 0 is black.

    Raises:
        ImageError: if the file is missing, empty, damaged, no image, too large, or smaller than 8 x
            8 pixels, or the region does not lie inside of it.
    """
    with open_image(path, str(path) if frame is None else f"{path}#{frame}", frame) as image:
        grey = _grey_values(image)
    return crop_grey(_dark_on_light(grey), region, path)


def grey_of_bytes(content: bytes, name: str) -> NDArray[np.uint8]:
    """Like `read_grey`, for the content of an image file that a stranger may have sent.

    PDF and HEIF files are refused, and so are images above 16 million pixels; a JPEG with more is
    read reduced.

    Args:
        content: of the whole file.
        name: of the image in errors.
    """
    if not content:
        raise ImageError(f"An image must not be empty, but {name} has 0 bytes.")
    with open_image(BytesIO(content), name, max_pixels=MAX_SERVED_PIXELS, reads_documents=False) as image:
        grey = _grey_values(image)
    return crop_grey(_dark_on_light(grey), None, name)


def grey_of_pixels(pixels: NDArray[np.generic], name: str) -> NDArray[np.uint8]:
    """Like `read_grey`, for an image that is decoded already.

    Args:
        pixels: (height, width) grey or (height, width, 3 or 4) colour with or without opacity,
            numbers from 0 to 255.
        name: of the image in errors.

    Raises:
        ImageError: if the shape or a value is another, or the image is smaller than 8 x 8 pixels.
    """
    is_grey, is_colour = pixels.ndim == 2, pixels.ndim == 3 and pixels.shape[2] in (3, 4)
    if not (is_grey or is_colour) or not np.issubdtype(pixels.dtype, np.number) or pixels.size == 0:
        raise ImageError(
            f"Pixels must be numbers of shape (height, width), (height, width, 3) or (height, width, 4), but {name} "
            f"has shape {pixels.shape} of {pixels.dtype}."
        )
    if np.iscomplexobj(pixels) or not 0 <= float(pixels.min()) <= float(pixels.max()) <= 255:
        raise ImageError(f"Pixels must be from 0 to 255, but {name} has others. Scale them.")
    check_pixels(pixels.shape[1] * pixels.shape[0], name)
    grey = _grey_values(Image.fromarray(pixels.round().astype(np.uint8) if pixels.dtype != np.uint8 else pixels))
    return crop_grey(_dark_on_light(grey), None, name)


def crop_grey(grey: NDArray[np.uint8], region: Region | None, path: Path | str) -> NDArray[np.uint8]:
    """A part of an image that is already read; what `read_grey` does for a region.

    Args:
        grey: (height, width), the whole image.
        region: the part that counts, `None` for all of it.
        path: of the file, or what else names the image in errors.

    Raises:
        ImageError: if the part does not lie inside of the image, or is smaller than 8 x 8 pixels.
    """
    if region is not None:
        grey = _crop(grey, region, path)
    if min(grey.shape) < MIN_SIDE_PX:
        raise ImageError(
            f"An image must be at least {MIN_SIDE_PX} x {MIN_SIDE_PX} pixels, but {path}"
            f"{'' if region is None else f' in {region}'} has {grey.shape[1]} x {grey.shape[0]}. "
            "Scan it larger, or remove it."
        )
    return grey


def _grey_values(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _scaled_to_bytes(np.asarray(image))
    if image.mode in ("LA", "PA", "La", "RGBA", "RGBa") or "transparency" in image.info:
        return _on_paper(np.asarray(image if image.mode == "RGBA" else image.convert("RGBA")))
    if image.mode == "LAB":
        to_rgb = ImageCms.buildTransform(ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB")
        image = ImageCms.applyTransform(image, to_rgb) or image
    return np.asarray(image.convert("L"), dtype=np.uint8)


def _scaled_to_bytes(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Numbers of any kind from 0 to 255, by their largest."""
    scale = np.float32(255.0 / max(1.0, float(values.max())))
    scaled = np.empty(values.shape, dtype=np.uint8)
    for top in range(0, len(scaled), _ROWS_AT_ONCE):
        rows = values[top : top + _ROWS_AT_ONCE].astype(np.float32)
        scaled[top : top + _ROWS_AT_ONCE] = (rows.clip(0) * scale).round()
    return scaled


def _on_paper(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Lay (height, width, red green blue opacity) on white paper, or light ink on black."""
    on_white = _laid_on(pixels, 255.0)
    if np.percentile(on_white, 0.2) > 255 - _LEAST_INK and pixels[..., 3].min() < 255:
        return _laid_on(pixels, 0.0)
    return on_white


def _laid_on(pixels: NDArray[np.uint8], paper: float) -> NDArray[np.uint8]:
    laid = np.empty(pixels.shape[:2], dtype=np.uint8)
    for top in range(0, len(laid), _ROWS_AT_ONCE):  # in numbers with a point the image takes four times as much
        values = pixels[top : top + _ROWS_AT_ONCE].astype(np.float32)
        alpha, grey = values[..., 3] / 255.0, values[..., :3] @ _RGB_WEIGHTS
        laid[top : top + _ROWS_AT_ONCE] = (alpha * grey + (1.0 - alpha) * paper).round().clip(0, 255)
    return laid


def _dark_on_light(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Ink covers less than half of any page, so that the middle grey value is paper's: it must be
    the light end.
    """
    dark, middle, light = np.percentile(grey[:: max(1, grey.shape[0] // 512)], (0.2, 50, 99.8))
    return 255 - grey if middle - dark < light - middle else grey


def _crop(grey: NDArray[np.uint8], region: Region, path: Path | str) -> NDArray[np.uint8]:
    bottom, right = region.top + region.height, region.left + region.width
    if min(region.left, region.top) < 0 or bottom > grey.shape[0] or right > grey.shape[1]:
        raise ImageError(
            f"A region must lie inside its image, but {region} does not fit {path} of "
            f"{grey.shape[1]} x {grey.shape[0]} pixels. "
            "The index was made for another file."
        )
    return grey[region.top : bottom, region.left : right]
