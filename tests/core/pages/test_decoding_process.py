import importlib.util
import os
import py_compile
import signal
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from core.errors import ImageError
from core.pages.decoding_process import DecodingProcess
from core.pages.image_files import grey_of_bytes
from search.identification.identifier_folder import vendor_code


def _png(image: Image.Image) -> bytes:
    content = BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


@pytest.fixture(scope="module")
def line() -> bytes:
    return _png(Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 90), dtype=np.uint8)))


def test_pixels_and_refusals_are_those_of_this_process_and_a_crash_is_one_image_s(line: bytes) -> None:
    others, decoding = set(psutil.Process().children()), DecodingProcess()
    try:
        np.testing.assert_array_equal(decoding.grey_of_bytes(line, "x"), grey_of_bytes(line, "x"))
        for content in (b"", b"no image", line[:60], _png(Image.new("1", (12_000, 12_000)))):
            with pytest.raises(ImageError) as there:
                decoding.grey_of_bytes(content, "x")
            with pytest.raises(ImageError) as here:
                grey_of_bytes(content, "x")
            assert str(there.value) == str(here.value)
        (child,) = set(psutil.Process().children()) - others
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
    others, decoding = set(psutil.Process().children()), DecodingProcess(time_s=1.5)
    try:
        decoding.start()
        (child,) = set(psutil.Process().children()) - others
        child.suspend()  # as a decoder that hangs
        with pytest.raises(ImageError, match=r"x took longer than 1\.5 s"):
            decoding.grey_of_bytes(line, "x")
        assert decoding.grey_of_bytes(line, "x").shape == (40, 90)
    finally:
        decoding.close()


def test_no_compiled_file_beside_a_model_s_code_is_read(line: bytes, tmp_path: Path) -> None:
    package = vendor_code("core.pages.decoding_process", tmp_path).package
    evil, flag = tmp_path / "evil.py", tmp_path / "flag"
    source = tmp_path / package / "core" / "pages" / "image_files.py"
    evil.write_text(f"open({str(flag)!r}, 'w')\n{source.read_text()}")
    compiled = importlib.util.cache_from_source(str(source))
    py_compile.compile(str(evil), cfile=compiled, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    code = (
        f"import os, sys; {{}}sys.path.insert(0, {str(tmp_path)!r})\n"
        f"from {package}.core.pages.decoding_process import DecodingProcess\n"
        "print(DecodingProcess().grey_of_bytes(sys.stdin.buffer.read(), 'x').shape)"
    )
    as_models_do = "sys.pycache_prefix = os.devnull; "
    for before, is_read in ((as_models_do, False), ("", True)):  # the second shows that the file would be read
        run = subprocess.run(
            [sys.executable, "-B", "-c", code.format(before)],
            input=line,
            capture_output=True,
            check=False,
            cwd=tmp_path,
        )
        assert run.stdout == b"(40, 90)\n", run.stderr
        assert flag.exists() == is_read
