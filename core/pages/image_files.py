"""Any image file as grey values: dark ink on light paper."""

import warnings
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from core.corpora.index import Region
from core.errors import ImageError

MIN_SIDE_PX = 8
"""Below this height or width there is no handwriting to read."""
MAX_PIXELS = 150_000_000
"""A sheet of A3 at 600 dpi has 70 million pixels; a decompression bomb has more than this."""
# Pillow warns of much smaller ones already: of every sheet of A3 at 700 dpi, which is no bomb.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
_RGB_WEIGHTS = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def read_grey(path: Path, region: Region | None = None) -> NDArray[np.uint8]:
    """Decode an image file to grey values, upright, with dark ink on light paper.

    Colour is weighed to luminance (ITU-R 601), transparency is laid on white paper, 16 bit values
    are scaled by their largest, the camera's rotation tag is followed, and light ink on a dark
    ground is turned round. Of a file with several frames the first counts.

    Args:
        path: the file, in any format that Pillow reads.
        region: the part that counts, in pixels of the upright image; polarity is judged on the
            whole image.

    Returns:
        (height, width), 255 is white, 0 is black.

    Raises:
        ImageError: if the file is missing, empty, damaged, no image, too large, or smaller than 8 x
            8 pixels, or the region does not lie inside of it.
    """
    grey = _dark_on_light(_decode(path))
    return crop_grey(grey, region, path)


def grey_of_bytes(content: bytes, name: str) -> NDArray[np.uint8]:
    """Like `read_grey`, for the content of an image file.

    Args:
        content: of the whole file.
        name: of the image in errors.
    """
    if not content:
        raise ImageError(f"An image must not be empty, but {name} has 0 bytes.")
    return crop_grey(_dark_on_light(_decode_file(BytesIO(content), name)), None, name)


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
    _check_pixels(pixels.shape[1] * pixels.shape[0], name)
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


def _decode(path: Path) -> NDArray[np.uint8]:
    try:
        if path.stat().st_size == 0:
            raise ImageError(f"An image file must not be empty, but {path} has 0 bytes. Copy it again, or remove it.")
        return _decode_file(path, str(path))
    except FileNotFoundError as error:
        raise ImageError(f"The image file must exist, but there is no {path}. Mend the path.") from error
    except (OSError, ValueError) as error:
        raise ImageError(
            f"The image must be whole, but {path} is damaged ({error}). Copy it again, or remove it."
        ) from error


def _decode_file(file: Path | BytesIO, name: str) -> NDArray[np.uint8]:
    try:
        with Image.open(file) as image:
            _check_pixels(image.width * image.height, name)
            return _grey_values(ImageOps.exif_transpose(image))
    except FileNotFoundError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(f"An image must have at most {MAX_PIXELS} pixels, but {name} has more ({error}).") from error
    except UnidentifiedImageError as error:
        raise ImageError(
            f"The file must be an image that Pillow reads, but {name} is none. Remove or convert it."
        ) from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:  # Pillow's ways to say that a file is damaged
        raise ImageError(
            f"The image must be whole, but {name} is damaged ({error}). Copy it again, or remove it."
        ) from error


def _check_pixels(n_pixels: int, name: str) -> None:
    if n_pixels > MAX_PIXELS:
        raise ImageError(
            f"An image must have at most {MAX_PIXELS} pixels, but {name} has {n_pixels}. Cut it up, or scale it down."
        )


def _grey_values(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        values = np.asarray(image, dtype=np.float32)
        return (values.clip(0) * (255.0 / max(1.0, float(values.max())))).round().astype(np.uint8)
    if image.mode in ("LA", "PA", "La", "RGBA", "RGBa") or "transparency" in image.info:
        return _on_white_paper(image.convert("RGBA"))
    return np.asarray(image.convert("L"), dtype=np.uint8)


def _on_white_paper(image: Image.Image) -> NDArray[np.uint8]:
    values = np.asarray(image, dtype=np.float32)
    alpha = values[..., 3] / 255.0
    grey = values[..., :3] @ _RGB_WEIGHTS
    laid: NDArray[np.float32] = alpha * grey + (1.0 - alpha) * 255.0
    return laid.round().clip(0, 255).astype(np.uint8)


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
