"""A model in a process of its own, with its own code: whosehand asks, the model answers."""

import base64
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from core.errors import RegistryError
from search.identification import model_child
from search.tracking import MLFLOW_SWITCHES

_ENVIRONMENT = {"TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": "-1"}
# Nothing is written beside a model's code: its folder stays as it was promoted.
_AS_PROMOTED = ("-P", "-B")
_SHOWN_CHARACTERS = 2000
Row = Mapping[str, Any]


class ModelProcess:
    """A loaded model; a context manager that ends its process.

    On a processor without graphics card: a single page is answered sooner than a card is set up.

    Args:
        folder: of a model, a registered one or a trial's network.
        runs_own_code: whether the code in the folder is run. Say so only of a version whose files
            are those that were promoted, or where the user trusts the folder; else the installed
            code opens it.
    """

    def __init__(self, folder: Path, runs_own_code: bool = False) -> None:
        self._folder = folder
        self._code = "own-code" if runs_own_code else "installed-code"
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (closed on exit)

    def __enter__(self) -> Self:
        """Start the process and wait until the model is loaded.

        Raises:
            RegistryError: if it cannot be loaded.
        """
        self._process = subprocess.Popen(
            [sys.executable, *_AS_PROMOTED, model_child.__file__, str(self._folder.absolute()), self._code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=MLFLOW_SWITCHES | _ENVIRONMENT | os.environ,
            encoding="utf-8",
        )
        try:
            greeting = self._read()
            if "failed" in greeting:
                raise RegistryError(f"The model in {self._folder} cannot be loaded: {greeting['failed']}{self._hint()}")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process."""
        self._end()

    def ask(self, image: Path | bytes, params: Mapping[str, Any] | None = None) -> Row:
        """Ask about one image.

        Args:
            image: a file, or the content of one.
            params: of the model, see `search.identification.served_model`.

        Returns:
            The answer, with `error` where the image could not be used.

        Raises:
            RegistryError: if the model's process ends.
        """
        text = str(image.absolute()) if isinstance(image, Path) else base64.b64encode(image).decode("ascii")
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):  # reading says why the process is gone
                self._process.stdin.write(json.dumps({"image": text, "params": dict(params or {})}) + "\n")
                self._process.stdin.flush()
        return self._read()

    def _hint(self) -> str:
        if self._code == "own-code" or not (self._folder / "MLmodel").is_file():
            return ""
        return (
            " A network that needs code of its own is opened only if you trust whoever made the folder: --trust runs "
            "the code that is in it."
        )

    def _read(self) -> Row:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            self._process.wait()
            self._log.seek(0)
            said = self._log.read().decode("utf-8", errors="replace")[-_SHOWN_CHARACTERS:].strip()
            raise RegistryError(
                f"The model in {self._folder} must answer, but its process ended with code {self._process.returncode}"
                f"{': ' + said if said else '.'}"
            )
        answer: Row = json.loads(line)
        return answer

    def _end(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()
        self._process.kill()
        self._process.wait()
        self._log.close()
