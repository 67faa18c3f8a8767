"""Reads image files to lines in a process of its own, for machines with many cores.

Finding the lines of a page is partly Python, which one process does for one page at a time however
many threads it has. A process takes about 150 MB beside the page that it reads. One that dies (no
memory, a library's fault) is that page's fault of the moment; the next page gets a new process.
"""

import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from core.corpora.index import TextImage
from core.lines.file_reading import Outcomes, read_file
from core.settings import InkSettings

_ROOT = Path(__file__).parents[__name__.count(".")] if __name__ != "__main__" else Path()
_START = "import sys; sys.path.insert(0, sys.argv[1]); from {module} import main; main()"
_ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class ReadingProcess:
    """Calls `core.lines.file_reading.read_file` elsewhere, for one caller at a time; started at the
    first call.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def read(self, path: Path, images: Sequence[TextImage], settings: InkSettings) -> tuple[Outcomes, Outcomes]:
        """What `read_file` gives.

        Raises:
            EOFError: if the process died.
        """
        process = self._running()
        try:
            if process.stdin is None or process.stdout is None:
                raise EOFError
            pickle.dump((path, images, settings), process.stdin)
            process.stdin.flush()
            found: tuple[Outcomes, Outcomes] = pickle.load(process.stdout)  # our own process, started below
            return found
        except (OSError, EOFError, ValueError, pickle.UnpicklingError) as error:
            self.close()
            raise EOFError(f"the process that read {path} died") from error

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _START.format(module=__name__), str(_ROOT)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=os.environ | _ONE_THREAD,
            )
        return self._process


def main() -> None:
    """Read what is asked for on standard input, until it ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print does not count as an answer
    while True:
        try:
            request = pickle.load(sys.stdin.buffer)  # of the process that started this one
        except EOFError:
            return
        pickle.dump(read_file(*request), answers)
        answers.flush()
