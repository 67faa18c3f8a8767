"""How an image file is opened: the one place of the project that does, and the list of what it may
be.

An image comes from anybody, and Pillow knows formats that are programs: a file that begins with
`%!PS` goes to Ghostscript, whatever its name. So every opening names the raster formats that are
allowed, and looks at the size before anything is decoded.

Of a TIFF, a HEIF file and a PDF each frame is a page, but for thumbnails, which some scanners and
cameras put beside the page. Of an animation (GIF, WebP, PNG) and of a camera's multi-picture JPEG
the first frame counts: the others show the same.
"""

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from core.errors import ImageError

RASTER_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
"""What Pillow may take a file for; none of them runs a program or reads another file."""
MAX_PIXELS = 150_000_000
"""A sheet of A3 at 600 dpi has 70 million pixels; a decompression bomb has more than this."""
MAX_SERVED_PIXELS = 16_000_000
"""A sheet of A4 at 400 dpi has 15.5 million pixels, and handwriting needs 300 dpi. For images that
strangers send: finding the lines of so many takes 200 MB."""
MAX_FRAMES = 2000
"""Of one file. A book of as many pages is cut up better."""
PDF_DPI = 300
_MAX_DRAFT = 8  # the largest reduction that a JPEG's own blocks give
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# What a picture needs of a PNG, and its rotation. Comments, colour profiles, dates and animations
# stay behind: they may be damaged, or blow up to gigabytes, and say nothing of the handwriting.
_PNG_CRITICAL, _PNG_KEPT = (b"IHDR", b"PLTE", b"IDAT", b"IEND"), (b"tRNS", b"eXIf")
_REDUCED, _MASK = 1, 4  # bits of TIFF's NewSubfileType
_NEW_SUBFILE_TYPE = 254
_THUMBNAIL_SIDE = 1 / 3  # of the largest frame's, of the same shape
# Pillow would refuse a JPEG that can be read reduced, and warn of every sheet of A3 at 700 dpi.
Image.MAX_IMAGE_PIXELS = None
# Of odd tags, which say nothing of the handwriting.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")

Source = Path | BytesIO


@dataclass(frozen=True)
class Frame:
    """One picture of a file.

    Attributes:
        number: from 1.
        width_px: as it is stored, before a rotation tag is followed.
        height_px: likewise.
        is_page: whether it is one, and not a thumbnail or a mask of another.
    """

    number: int
    width_px: int
    height_px: int
    is_page: bool = True


def list_frames(path: Path) -> tuple[Frame, ...]:
    """The pictures of a file, by its head alone.

    Raises:
        ImageError: if the file cannot be opened, is in no known format, or has too many frames.
    """
    with _errors_of(str(path)):
        match _kind(path):
            case "pdf":
                with _pdf(path) as document:
                    _check_count(len(document), str(path))
                    sizes = [_pdf_size(document[number]) for number in range(len(document))]
                    return tuple(Frame(number, *size) for number, size in enumerate(sizes, start=1))
            case "heif":
                images = _heif(path)
                _check_count(len(images), str(path))
                return tuple(Frame(number, *image.size) for number, image in enumerate(images, start=1))
            case _:
                with _raster(path) as image:
                    return _raster_frames(image, str(path))


def count_pixels(path: Path) -> int:
    """Of the largest frame, as the file's head says; 0 where it says nothing."""
    with suppress(ImageError, OSError, struct.error):
        with path.open("rb") as file:
            head = file.read(24)
        if head.startswith(_PNG_SIGNATURE):  # the common case, without reading the file twice
            width_px, height_px = struct.unpack(">II", head[16:])
            return int(width_px * height_px)
        return max(frame.width_px * frame.height_px for frame in list_frames(path))
    return 0


@contextmanager
def open_image(
    source: Source, name: str, frame: int | None = None, max_pixels: int = MAX_PIXELS, reads_documents: bool = True
) -> Iterator[Image.Image]:
    """Open one frame of an image file, upright; it is decoded when its pixels are first asked for.

    Args:
        source: the file, or its content.
        name: of the image in errors.
        frame: its number, from 1; without it the first that is a page.
        max_pixels: a JPEG with more is decoded at a half, a quarter or an eighth of its size; any
            other image with more is refused before it is decoded.
        reads_documents: whether a PDF or a HEIF file may be opened: their decoders are large, and
            are kept away from what strangers send.

    Raises:
        ImageError: if the file is missing, empty, damaged, in no known format or too large, has no
            such frame, or has too many.
    """
    with _errors_of(name):
        kind = _kind(source)
        if kind != "raster" and not reads_documents:
            raise ImageError(
                f"A served model reads images ({', '.join(RASTER_FORMATS)}), but {name} is {kind.upper()}. Convert it."
            )
        if kind == "pdf":
            image = _pdf_page(source, name, frame or 1, max_pixels)
            yield image
        elif kind == "heif":
            yield _heif_image(source, name, frame or 1, max_pixels)
        else:
            with _raster(source) as image:
                _seek(image, name, frame)
                _fit(image, name, max_pixels)
                ImageOps.exif_transpose(image, in_place=True)  # or it would be copied
                yield image


@contextmanager
def _errors_of(name: str) -> Iterator[None]:
    """Say in words what the decoders say in many ways."""
    try:
        yield
    except FileNotFoundError as error:
        raise ImageError(f"The image file must exist, but there is no {name}. Mend the path.") from error
    except UnidentifiedImageError as error:
        raise ImageError(
            f"The file must be an image in a format that can be read ({', '.join(RASTER_FORMATS)}, HEIF, PDF), but "
            f"{name} is none. Remove or convert it."
        ) from error
    except (OSError, SyntaxError, ValueError, EOFError, RuntimeError, struct.error) as error:  # a damaged file
        raise ImageError(
            f"The image must be whole, but {name} is damaged ({error}). Copy it again, or remove it."
        ) from error


def _kind(source: Source) -> str:
    """By the first bytes: a name says nothing."""
    if isinstance(source, Path):
        if source.stat().st_size == 0:
            raise ImageError(f"An image file must not be empty, but {source} has 0 bytes. Copy it again, or remove it.")
        with source.open("rb") as file:
            head = file.read(1024)
    else:
        head = source.getbuffer()[:1024].tobytes()
    if b"%PDF-" in head:  # readers allow bytes before it
        return "pdf"
    is_heif = head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
    return "heif" if is_heif and b"avif" not in head[8:64] else "raster"


@contextmanager
def _raster(source: Source) -> Iterator[Image.Image]:
    with Image.open(_without_side_chunks(source), formats=RASTER_FORMATS) as image:
        yield image


def _without_side_chunks(source: Source) -> Source:
    """A PNG without the chunks that its picture does not need; any other file as it is."""
    if isinstance(source, Path):
        with source.open("rb") as file:
            if file.read(8) != _PNG_SIGNATURE:
                return source
        content = source.read_bytes()
    else:
        content = source.getvalue()
        if not content.startswith(_PNG_SIGNATURE):
            return source
    kept, place = [_PNG_SIGNATURE], 8
    while place + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        end = place + 12 + length
        if kind in _PNG_CRITICAL:  # damaged or cut off, it stays so: Pillow tells
            kept.append(content[place:end])
        elif kind in _PNG_KEPT:
            body = content[place + 4 : end - 4]
            kept += [content[place : place + 4], body, struct.pack(">I", zlib.crc32(body))]
        place = end
    return BytesIO(b"".join(kept))


def _raster_frames(image: Image.Image, name: str) -> tuple[Frame, ...]:
    n_frames = _count_frames(image)
    _check_count(n_frames, name)
    if n_frames == 1:
        return (Frame(1, image.width, image.height),)
    found = []
    for number in range(n_frames):
        image.seek(number)
        found.append((image.width, image.height, int(_tag(image, _NEW_SUBFILE_TYPE))))
    width_px, height_px = max(((width, height) for width, height, _ in found), key=lambda size: size[0] * size[1])
    return tuple(
        Frame(number, width, height, not (kind & (_REDUCED | _MASK) or _is_small(width / width_px, height / height_px)))
        for number, (width, height, kind) in enumerate(found, start=1)
    )


def _is_small(width: float, height: float) -> bool:
    """Whether a frame is the largest one's thumbnail: much smaller, in the same shape, but for
    rounding.
    """
    return max(width, height) <= _THUMBNAIL_SIDE and abs(width - height) <= 0.1 * max(width, height)


def _count_frames(image: Image.Image) -> int:
    return int(getattr(image, "n_frames", 1)) if image.format == "TIFF" else 1


def _tag(image: Image.Image, number: int) -> Any:
    tags = getattr(image, "tag_v2", {})
    return tags.get(number, 0) or 0


def _seek(image: Image.Image, name: str, frame: int | None) -> None:
    """Go to a frame; an animation has one."""
    if frame is None:
        frame = next((found.number for found in _raster_frames(image, name) if found.is_page), 1)
    try:
        image.seek(frame - 1)
    except EOFError:  # Pillow stands on the last frame then, and counts one more from now on
        _check_frame(frame, image.tell() + 1, name)


def _fit(image: Image.Image, name: str, max_pixels: int) -> None:
    """Have a large JPEG decoded reduced, and refuse any other image that is too large."""
    n_pixels = image.width * image.height
    if n_pixels <= max_pixels:
        return
    scale = next((scale for scale in (2, 4, _MAX_DRAFT) if n_pixels <= max_pixels * scale**2), None)
    if image.format in ("JPEG", "MPO") and scale is not None:
        image.draft(None, (image.width // scale, image.height // scale))
        n_pixels = image.width * image.height
    check_pixels(n_pixels, name, max_pixels)


def check_pixels(n_pixels: int, name: str, max_pixels: int = MAX_PIXELS) -> None:
    """Refuse an image that is too large.

    Raises:
        ImageError: names the limit.
    """
    if n_pixels > max_pixels:
        raise ImageError(
            f"An image must have at most {max_pixels} pixels, but {name} has {n_pixels}. Cut it up, or scale it down."
        )


def _check_count(n_frames: int, name: str) -> None:
    if not 1 <= n_frames <= MAX_FRAMES:
        raise ImageError(f"An image file must have 1 to {MAX_FRAMES} pages, but {name} has {n_frames}. Cut it up.")


def _check_frame(number: int, n_frames: int, name: str) -> None:
    if not 1 <= number <= n_frames:
        raise ImageError(f"{name} must have page {number}, but has {n_frames}.")


@contextmanager
def _pdf(source: Source) -> Iterator[Any]:
    import pypdfium2  # only where a PDF comes: a served model does without

    try:
        document = pypdfium2.PdfDocument(source if isinstance(source, Path) else source.getvalue())
    except pypdfium2.PdfiumError as error:
        raise ValueError(str(error)) from error
    try:
        yield document
    finally:
        document.close()


def _pdf_size(page: Any) -> tuple[int, int]:
    width_pt, height_pt = page.get_size()
    return round(width_pt * PDF_DPI / 72), round(height_pt * PDF_DPI / 72)


def _pdf_page(source: Source, name: str, number: int, max_pixels: int) -> Image.Image:
    with _pdf(source) as document:
        _check_count(len(document), name)
        _check_frame(number, len(document), name)
        page = document[number - 1]
        check_pixels(int(np.prod(_pdf_size(page))), name, max_pixels)
        drawn: Image.Image = page.render(scale=PDF_DPI / 72, grayscale=True).to_pil()
        return drawn.copy()  # its memory belongs to the document


def _heif(source: Source) -> Any:
    import pi_heif  # as above

    return pi_heif.open_heif(source if isinstance(source, BytesIO) else str(source), convert_hdr_to_8bit=True)


def _heif_image(source: Source, name: str, number: int, max_pixels: int) -> Image.Image:
    images = _heif(source)  # libheif has turned it upright already
    _check_count(len(images), name)
    _check_frame(number, len(images), name)
    check_pixels(int(np.prod(images[number - 1].size)), name, max_pixels)
    decoded: Image.Image = images[number - 1].to_pillow()
    return decoded
