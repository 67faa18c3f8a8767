"""Decodes images that strangers send in a process of its own, which may have so much memory and
time and no more.

A decoder that crashes, hangs or swells is that process alone: the image is refused, and the next
one gets a new process. It is started by the path and name of this module, so that the copy of it
that lies in a promoted model starts the copy.
"""

import json
import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from core.errors import ImageError
from core.pages.image_files import grey_of_bytes

MEMORY_BYTES = 450_000_000
"""What decoding may take beside the libraries."""
TIME_S = 30.0
_ROOT = Path(__file__).parents[__name__.count(".")] if __name__ != "__main__" else Path()
# Libraries are imported as compiled. After them no compiled file beside a module is read: of a
# promoted model's code, what runs is what was promoted.
_START = (
    "import os, sys, numpy, PIL.Image, PIL.ImageCms, PIL.ImageOps; PIL.Image.init(); sys.pycache_prefix = os.devnull; "
    "sys.path.insert(0, sys.argv[1]); from {module} import main; main()"
)
_ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class DecodingProcess:
    """Decodes one image at a time; its process is started at the first one.

    Args:
        memory_bytes: beside what the libraries take.
        time_s: for one image.
    """

    def __init__(self, memory_bytes: int = MEMORY_BYTES, time_s: float = TIME_S) -> None:
        self._memory_bytes = memory_bytes
        self._time_s = time_s
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def grey_of_bytes(self, content: bytes, name: str) -> NDArray[np.uint8]:
        """Like `core.pages.image_files.grey_of_bytes`.

        Raises:
            ImageError: as there, and if it takes too much memory or time, or the decoder crashes.
        """
        with self._lock:
            process, is_late = self._running(), threading.Event()

            def end() -> None:
                is_late.set()
                process.kill()

            timer = threading.Timer(self._time_s, end)
            timer.start()
            try:
                return self._ask(process, content, name)
            except ImageError:
                raise
            except (OSError, EOFError, ValueError):
                self._end()
                what = f"took longer than {self._time_s:g} s" if is_late.is_set() else "brought the decoder down"
                raise ImageError(f"An image must be decoded in bounded memory and time, but {name} {what}.") from None
            except BaseException:
                self._end()
                raise
            finally:
                timer.cancel()

    def start(self) -> None:
        """Start the process, so that the first image needs not wait for it."""
        with self._lock:
            self._running()

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._end()

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                # Nothing is written beside a model's code, nor read from where the server stands.
                [sys.executable, "-P", "-B", "-c", _START.format(module=__name__), str(_ROOT), str(self._memory_bytes)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=os.environ | _ONE_THREAD,
            )
            _read_line(self._process.stdout)  # the time for an image begins when it is ready
        return self._process

    def _ask(self, process: "subprocess.Popen[bytes]", content: bytes, name: str) -> NDArray[np.uint8]:
        if process.stdin is None or process.stdout is None:
            raise EOFError
        process.stdin.write(json.dumps({"name": name, "n_bytes": len(content)}).encode() + b"\n")
        process.stdin.write(content)
        process.stdin.flush()
        answer = json.loads(_read_line(process.stdout))
        if "error" in answer:
            raise ImageError(answer["error"])
        height, width = answer["shape"]
        content_of_image = bytearray(height * width)
        _fill(process.stdout, memoryview(content_of_image))
        return np.frombuffer(content_of_image, dtype=np.uint8).reshape(height, width)


def main() -> None:
    """Decode what comes on standard input, until it ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print does not count as an answer
    _limit_memory(int(sys.argv[2]))
    _say(answers, {"ready": True})
    while line := sys.stdin.buffer.readline():
        request = json.loads(line)
        content = sys.stdin.buffer.read(request["n_bytes"])
        try:
            pixels = grey_of_bytes(content, request["name"])
        except ImageError as error:
            _say(answers, {"error": str(error)})
        except MemoryError:
            _say(answers, {"error": f"An image must be decoded in bounded memory, but {request['name']} takes more."})
        else:
            _say(answers, {"shape": pixels.shape})
            answers.write(np.ascontiguousarray(pixels).data)
            answers.flush()
        pixels = content = None  # type: ignore[assignment]  # not to be held while it waits


def _limit_memory(n_bytes: int) -> None:
    """Allow so much address space beside what is taken already, where the system can."""
    try:
        import resource
    except ImportError:  # Windows
        return
    with suppress(OSError, ValueError):
        n_pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = n_pages * resource.getpagesize() + n_bytes
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _say(answers: IO[bytes], answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer).encode() + b"\n")
    answers.flush()


def _read_line(pipe: IO[bytes] | None) -> bytes:
    line = pipe.readline() if pipe is not None else b""
    if not line:
        raise EOFError
    return line


def _fill(pipe: IO[bytes], view: memoryview) -> None:
    n_read = 0
    while n_read < len(view):
        n_new = pipe.readinto(view[n_read:])  # type: ignore[attr-defined]  # a buffered reader has it
        if not n_new:
            raise EOFError
        n_read += n_new
