"""Files as scanners, cameras and people make them: each is read right, or refused with the true
reason.
"""

import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageDraw, PngImagePlugin

from core.errors import ImageError
from core.pages.image_files import grey_of_bytes, read_grey
from core.pages.image_formats import MAX_FRAMES, count_pixels, list_frames, open_image
from tests.core.bad_images import png_of_size

HEIC = Path(__file__).parent / "images" / "two_pages.heic"
"""Two drawn lines of 320 x 96 pixels, written by pillow-heif, which the project does without."""
SIZE = (300, 100)


def drawn(number: int = 0, size: tuple[int, int] = SIZE) -> Image.Image:
    """Dark strokes on light paper, others for each number."""
    image = Image.new("L", size, 245)
    pen = ImageDraw.Draw(image)
    for k in range(8):
        pen.line((10 + 30 * k, 20 + number, 30 + 30 * k, size[1] - 20), fill=20, width=4)
    return image


def pixels(image: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(image.convert("L"))


def is_near(grey: NDArray[np.uint8], image: Image.Image, atol: float = 3.0) -> bool:
    """Whether the pictures are one, but for what a lossy format does."""
    return grey.shape == pixels(image).shape and bool(np.abs(grey.astype(float) - pixels(image)).mean() < atol)


@pytest.mark.parametrize(
    ("name", "file_format"),
    [
        ("a.jfif", "JPEG"),
        ("a.jpe", "JPEG"),
        ("a.jp2", "JPEG2000"),
        ("a.avif", "AVIF"),
        ("a.webp", "WEBP"),
        ("a.bmp", "BMP"),
        ("a.pgm", "PPM"),
        ("a.gif", "GIF"),
        ("a.tif", "TIFF"),
        ("no suffix", "PNG"),
    ],
)
def test_every_raster_format_is_read(tmp_path: Path, name: str, file_format: str) -> None:
    drawn().save(tmp_path / name, format=file_format)
    assert is_near(read_grey(tmp_path / name), drawn())
    assert count_pixels(tmp_path / name) == SIZE[0] * SIZE[1]


@pytest.mark.parametrize("mode", ["1", "L", "RGB"])
def test_portable_maps_are_read(tmp_path: Path, mode: str) -> None:
    drawn().convert(mode, dither=Image.Dither.NONE).save(tmp_path / "a.ppm")
    assert is_near(read_grey(tmp_path / "a.ppm"), drawn(), atol=20.0)


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits", "group4", "jpeg"])
def test_tiffs_of_all_compressions_are_read(tmp_path: Path, compression: str | None) -> None:
    image = drawn().convert("1", dither=Image.Dither.NONE) if compression == "group4" else drawn()
    image.save(tmp_path / "a.tif", compression=compression)
    assert is_near(read_grey(tmp_path / "a.tif"), drawn(), atol=20.0)


class TestFrames:
    def test_each_frame_of_a_tiff_is_a_page(self, tmp_path: Path) -> None:
        drawn(0).save(tmp_path / "a.tif", save_all=True, append_images=[drawn(9), drawn(18)])
        assert [(frame.number, frame.is_page) for frame in list_frames(tmp_path / "a.tif")] == [
            (1, True),
            (2, True),
            (3, True),
        ]
        assert is_near(read_grey(tmp_path / "a.tif"), drawn(0))
        assert is_near(read_grey(tmp_path / "a.tif", frame=3), drawn(18))

    def test_a_thumbnail_is_no_page_wherever_it_lies(self, tmp_path: Path) -> None:
        small = drawn(0).resize((60, 20))
        for name, frames in {"first": [small, drawn(0)], "last": [drawn(0), small]}.items():
            path = tmp_path / f"{name}.tif"
            frames[0].save(path, save_all=True, append_images=frames[1:])
            assert [frame.is_page for frame in list_frames(path)] == [frame.size == SIZE for frame in frames]
            assert is_near(read_grey(path), drawn(0))

    def test_a_frame_that_says_that_it_is_reduced_is_no_page(self, tmp_path: Path) -> None:
        half = drawn(0).resize((150, 50))
        half.encoderinfo = {"tiffinfo": {254: 1}}
        drawn(0).save(tmp_path / "a.tif", save_all=True, append_images=[half])
        assert [frame.is_page for frame in list_frames(tmp_path / "a.tif")] == [True, False]

    def test_a_smaller_page_of_another_shape_is_a_page(self, tmp_path: Path) -> None:
        drawn(0).save(tmp_path / "a.tif", save_all=True, append_images=[drawn(0, size=(80, 80))])
        assert all(frame.is_page for frame in list_frames(tmp_path / "a.tif"))

    def test_an_animation_is_one_page(self, tmp_path: Path) -> None:
        for suffix in ("gif", "webp", "png", "avif"):
            path = tmp_path / f"a.{suffix}"
            drawn(0).save(path, save_all=True, append_images=[drawn(9)])
            assert [frame.number for frame in list_frames(path)] == [1]
            assert is_near(read_grey(path), drawn(0))

    def test_a_frame_that_is_not_there_is_refused(self, tmp_path: Path) -> None:
        drawn().save(tmp_path / "a.tif")
        with pytest.raises(ImageError, match=r"a\.tif#2 must have page 2, but has 1"):
            read_grey(tmp_path / "a.tif", frame=2)
        drawn().save(tmp_path / "b.tif", save_all=True, append_images=[drawn()])
        for frame in (3, 9):
            with pytest.raises(ImageError, match=rf"b\.tif#{frame} must have page {frame}, but has 2"):
                read_grey(tmp_path / "b.tif", frame=frame)

    def test_too_many_frames_are_refused(self, tmp_path: Path) -> None:
        tiny = Image.new("1", (8, 8))
        tiny.save(tmp_path / "a.tif", save_all=True, append_images=[tiny] * MAX_FRAMES)
        with pytest.raises(ImageError, match=f"1 to {MAX_FRAMES} pages, but .*a.tif has {MAX_FRAMES + 1}"):
            list_frames(tmp_path / "a.tif")

    def test_the_images_of_a_heif_file_are_pages(self) -> None:
        assert [(frame.number, frame.width_px, frame.height_px) for frame in list_frames(HEIC)] == [
            (1, 320, 96),
            (2, 320, 96),
        ]
        first, second = read_grey(HEIC), read_grey(HEIC, frame=2)
        assert first.shape == second.shape == (96, 320)
        assert not np.array_equal(first, second)
        assert first.min() < 60 < 200 < np.median(first)

    def test_the_pages_of_a_pdf_are_drawn_at_300_dpi(self, tmp_path: Path) -> None:
        drawn(0).save(tmp_path / "a.pdf", save_all=True, append_images=[drawn(9)], resolution=150)
        assert [(frame.number, frame.width_px, frame.height_px) for frame in list_frames(tmp_path / "a.pdf")] == [
            (1, 600, 200),
            (2, 600, 200),
        ]
        assert is_near(read_grey(tmp_path / "a.pdf", frame=2), drawn(9).resize((600, 200)), atol=8.0)


class TestPngs:
    """Chunks that a picture does without, in files that are valid or nearly so."""

    @pytest.mark.parametrize("kind", ["zTXt", "iTXt", "tEXt", "iCCP"])
    def test_long_text_and_profiles_are_passed_over(self, tmp_path: Path, kind: str) -> None:
        path = tmp_path / "a.png"
        information = PngImagePlugin.PngInfo()
        long = "A" * 2_000_000
        match kind:
            case "zTXt" | "tEXt":
                information.add_text("Comment", long, zip=kind == "zTXt")
            case "iTXt":
                information.add_itxt("Comment", long, zip=True)
        drawn().save(path, pnginfo=information, icc_profile=bytes(2_000_000) if kind == "iCCP" else None)
        assert np.array_equal(read_grey(path), pixels(drawn()))

    @pytest.mark.parametrize("kind", [b"pHYs", b"tEXt", b"gAMA", b"tIME", b"prVt"])
    def test_a_side_chunk_with_a_wrong_checksum_does_not_matter(self, tmp_path: Path, kind: bytes) -> None:
        content = {b"pHYs": bytes(9), b"gAMA": bytes(4), b"tIME": bytes(7)}.get(kind, b"Comment\0text")
        drawn().save(tmp_path / "a.png")
        whole = (tmp_path / "a.png").read_bytes()
        odd = struct.pack(">I", len(content)) + kind + content + b"\xde\xad\xbe\xef"
        (tmp_path / "a.png").write_bytes(whole[:33] + odd + whole[33:])
        assert np.array_equal(read_grey(tmp_path / "a.png"), pixels(drawn()))

    def test_the_rotation_tag_is_kept(self, tmp_path: Path) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        drawn().save(tmp_path / "a.png", exif=exif)
        assert np.array_equal(read_grey(tmp_path / "a.png"), np.rot90(pixels(drawn()), -1))

    def test_a_text_that_blows_up_takes_no_memory(self, tmp_path: Path) -> None:
        drawn().save(tmp_path / "a.png")
        whole = (tmp_path / "a.png").read_bytes()
        bomb = b"Comment\0\0" + zlib.compress(bytes(300_000_000), 9)
        chunk = struct.pack(">I", len(bomb)) + b"zTXt" + bomb + struct.pack(">I", zlib.crc32(b"zTXt" + bomb))
        (tmp_path / "a.png").write_bytes(whole[:33] + chunk + whole[33:])
        assert np.array_equal(read_grey(tmp_path / "a.png"), pixels(drawn()))


class TestColours:
    def test_cielab_is_read(self, tmp_path: Path) -> None:
        to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
        lab = ImageCms.applyTransform(drawn().convert("RGB"), to_lab)
        assert lab is not None
        lab.save(tmp_path / "a.tif")
        assert is_near(read_grey(tmp_path / "a.tif"), drawn())

    def test_cmyk_is_read(self, tmp_path: Path) -> None:
        drawn().convert("RGB").convert("CMYK").save(tmp_path / "a.tif")
        assert is_near(read_grey(tmp_path / "a.tif"), drawn())

    @pytest.mark.parametrize("suffix", ["png", "webp", "tif"])
    @pytest.mark.parametrize("ink", [255, 230])
    def test_light_ink_on_transparency_is_seen(self, tmp_path: Path, suffix: str, ink: int) -> None:
        image = Image.new("LA", SIZE, (ink, 0)).convert("RGBA")
        image.putalpha(Image.fromarray(255 - pixels(drawn())))
        image.save(tmp_path / f"a.{suffix}")
        grey = read_grey(tmp_path / f"a.{suffix}")
        assert np.corrcoef(grey.ravel(), pixels(drawn()).ravel())[0, 1] > 0.95
        assert np.median(grey) > 200 > 60 > grey.min()

    def test_a_blank_sheet_with_opacity_stays_blank(self, tmp_path: Path) -> None:
        Image.new("RGBA", SIZE, (255, 255, 255, 255)).save(tmp_path / "a.png")
        assert read_grey(tmp_path / "a.png").min() == 255


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n(/tmp/owned) (w) file closefile\nshowpage\n"


class TestWhatIsRefused:
    @pytest.mark.parametrize("name", ["a.png", "a.eps", "a.jpg"])
    def test_a_program_is_no_image_whatever_its_name(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).write_bytes(POSTSCRIPT)
        with pytest.raises(ImageError, match=rf"in a format that can be read \(AVIF.*PDF\), but .*{name} is none"):
            read_grey(tmp_path / name)
        with pytest.raises(ImageError, match="is none"):
            grey_of_bytes(POSTSCRIPT, "a request")

    @pytest.mark.parametrize("file_format", ["EPS", "ICO", "TGA", "PCX", "SGI"])
    def test_formats_that_nobody_scans_to_are_not_tried(self, tmp_path: Path, file_format: str) -> None:
        drawn().convert("RGB").resize((64, 64)).save(tmp_path / "a.png", format=file_format)
        with pytest.raises(ImageError, match=r"a\.png is none"):
            read_grey(tmp_path / "a.png")

    def test_what_is_sent_may_be_neither_pdf_nor_heif(self, tmp_path: Path) -> None:
        drawn().save(tmp_path / "a.pdf")
        for path, kind in ((tmp_path / "a.pdf", "PDF"), (HEIC, "HEIF")):
            with pytest.raises(ImageError, match=f"but a request is {kind}. Convert it"):
                grey_of_bytes(path.read_bytes(), "a request")

    @pytest.mark.parametrize("side", [4_100, 14_000, 60_000])
    def test_what_is_sent_may_not_be_larger_than_a_sheet(self, side: int) -> None:
        with pytest.raises(ImageError, match=f"at most 16000000 pixels, but a request has {side**2}"):
            grey_of_bytes(png_of_size(side, side), "a request")

    def test_a_large_jpeg_is_read_reduced(self) -> None:
        content = BytesIO()
        Image.new("L", (7_000, 7_000), 255).save(content, format="JPEG")
        assert grey_of_bytes(content.getvalue(), "a request").shape == (3_500, 3_500)

    def test_the_size_is_looked_at_before_anything_is_decoded(self, tmp_path: Path) -> None:
        (tmp_path / "a.png").write_bytes(png_of_size(13_000, 13_000))
        with pytest.raises(ImageError, match="at most"), open_image(tmp_path / "a.png", "a"):
            raise AssertionError("it was opened")

    @pytest.mark.parametrize("make", [lambda image: image, lambda image: image.convert("RGBA")])
    def test_a_pdf_that_is_damaged_is_named(self, tmp_path: Path, make: Callable[[Image.Image], Image.Image]) -> None:
        make(drawn()).convert("RGB").save(tmp_path / "a.pdf")
        (tmp_path / "a.pdf").write_bytes((tmp_path / "a.pdf").read_bytes()[:200])
        with pytest.raises(ImageError, match=r"a\.pdf is damaged"):
            read_grey(tmp_path / "a.pdf")

    def test_a_pdf_page_that_is_too_large_is_refused(self, tmp_path: Path) -> None:
        drawn().resize((14_000, 14_000)).convert("1").save(tmp_path / "a.pdf", resolution=72)
        with pytest.raises(ImageError, match="at most 150000000 pixels"):
            read_grey(tmp_path / "a.pdf")

    def test_a_heif_file_that_is_damaged_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "a.heic").write_bytes(HEIC.read_bytes()[:300])
        with pytest.raises(ImageError, match=r"a\.heic is damaged"):
            read_grey(tmp_path / "a.heic")
