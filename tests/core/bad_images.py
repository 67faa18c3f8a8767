"""Every kind of file that should be an image and cannot be used, made from a good one."""

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_of_size(width: int, height: int) -> bytes:
    """A PNG file of some hundred bytes whose head says how large it is; of its rows only a few are
    there.
    """
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes(4 * (1 + (width + 7) // 8)))
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", rows) + _chunk(b"IEND", b"")


def _write(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def _image(width: int, height: int) -> Callable[[Path], object]:
    return lambda path: Image.new("L", (width, height), 255).save(path, format="png")


def _cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _spoil(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3 : len(content) // 3 + 400] = bytes(400)
    path.write_bytes(content)


def _replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _replace_by_broken_link(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.with_name("nothing.png"))


def _replace_by_link_to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def _replace_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _black_noise(path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(120, 136, (200, 300), dtype=np.uint8)).save(path, format="png")


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (_write(b""), "has 0 bytes"),
    "all zero bytes": (_write(bytes(5000)), "must be an image in a format that can be read"),
    "text": (_write(b"Dear all, the scans follow tomorrow.\n"), "must be an image in a format that can be read"),
    "another kind of file": (_write(b"PK\x03\x04\x14\0\0\0"), "must be an image in a format that can be read"),
    "a torn document": (_write(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n"), "is damaged"),
    "head alone": (_write(b"\x89PNG\r\n\x1a\n"), "but .* is "),
    "truncated": (_cut, "is damaged"),
    "spoilt inside": (_spoil, "is damaged"),
    "one pixel": (_image(1, 1), "at least 8 x 8 pixels"),
    "a hair": (_image(3000, 2), "at least 8 x 8 pixels"),
    "blank": (_image(400, 300), "Is the image blank"),
    "grain alone": (_black_noise, "Is the image blank|no text line|must be ink"),
    "too large": (_write(png_of_size(13_000, 13_000)), "at most 150000000 pixels"),
    "decompression bomb": (_write(png_of_size(60_000, 60_000)), "at most 150000000 pixels"),
    "no end of a bomb": (_write(png_of_size(2**31 - 1, 2**31 - 1)), "at most 150000000 pixels"),
    "folder": (_replace_by_folder, "holds no images|is a folder"),
    "broken link": (_replace_by_broken_link, "there is no"),
    "link to itself": (_replace_by_link_to_itself, "symbolic links"),
    "pipe": (_replace_by_pipe, "must be a file"),
}
"""By name: what makes a good image file bad, and what is said of it (a regular expression)."""
