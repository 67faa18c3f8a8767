import os
import signal
from io import BytesIO

import numpy as np
import psutil
import pytest
from PIL import Image

from core.errors import ImageError
from core.pages.decoding_process import DecodingProcess
from core.pages.image_files import grey_of_bytes


def _png(image: Image.Image) -> bytes:
    content = BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


@pytest.fixture(scope="module")
def line() -> bytes:
    return _png(Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 90), dtype=np.uint8)))


def test_pixels_and_refusals_are_those_of_this_process_and_a_crash_is_one_image_s(line: bytes) -> None:
    decoding = DecodingProcess()
    try:
        np.testing.assert_array_equal(decoding.grey_of_bytes(line, "x"), grey_of_bytes(line, "x"))
        for content in (b"", b"no image", line[:60], _png(Image.new("1", (12_000, 12_000)))):
            with pytest.raises(ImageError) as there:
                decoding.grey_of_bytes(content, "x")
            with pytest.raises(ImageError) as here:
                grey_of_bytes(content, "x")
            assert str(there.value) == str(here.value)
        (child,) = psutil.Process().children()
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        assert decoding.grey_of_bytes(line, "x").shape == (40, 90)
    finally:
        decoding.close()
    assert not child.is_running()


def test_an_image_that_takes_too_much_memory_is_refused_and_the_next_one_is_read(line: bytes) -> None:
    decoding = DecodingProcess(memory_bytes=40_000_000)
    try:
        with pytest.raises(ImageError, match="bounded memory, but x takes more"):
            decoding.grey_of_bytes(_png(Image.new("RGBA", (4000, 4000))), "x")
        assert decoding.grey_of_bytes(line, "x").shape == (40, 90)
    finally:
        decoding.close()


def test_an_image_that_takes_too_long_is_refused_and_the_next_one_is_read(line: bytes) -> None:
    decoding = DecodingProcess(time_s=1.5)
    try:
        decoding.start()
        (child,) = psutil.Process().children()
        child.suspend()  # as a decoder that hangs
        with pytest.raises(ImageError, match=r"x took longer than 1\.5 s"):
            decoding.grey_of_bytes(line, "x")
        assert decoding.grey_of_bytes(line, "x").shape == (40, 90)
    finally:
        decoding.close()
