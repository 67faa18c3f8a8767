"""The process that a model runs in: reads requests from standard input, answers on standard output,
one JSON a line.

Started as a file, not as a module of `search`: a promoted model brings its own code, and nothing of
the installed one may get in its way. Every other model is opened by the installed code: its network
by Keras in safe mode, which runs no code of the file, its record as JSON, its gallery as arrays
without pickles.

    {"image": "page.png", "params": {"top": 0}}   ->   {"writer_id": "007", ..., "error": null}
"""

import json
import os
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, TextIO

_LIBRARIES = ("tensorflow", "cv2", "scipy.ndimage", "scipy.optimize", "scipy.stats", "sklearn.metrics", "pydantic")


class Model(Protocol):
    """What a loaded model can do."""

    def predict(self, images: Any, params: Mapping[str, Any]) -> Any:
        """A table with one row an image."""
        ...


def main(folder: Path, runs_own_code: bool) -> None:
    """Load the model, say so, and answer until standard input ends."""
    answers = _take_standard_output()
    try:
        model = _load(folder, runs_own_code)
    except Exception as error:
        _write(answers, {"failed": f"{type(error).__name__}: {error}"})
        raise
    _write(answers, {"ready": True})
    for line in sys.stdin:
        request = json.loads(line)
        table = model.predict({"image": [request["image"]]}, params={"on_error": "report"} | request["params"])
        _write(answers, table.to_dict("records")[0])


def _take_standard_output() -> TextIO:
    """Keep standard output for answers; what libraries print goes to standard error."""
    kept = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return kept


def _load(folder: Path, runs_own_code: bool) -> Model:
    import mlflow.pyfunc

    if runs_own_code:
        _read_source_only()
    if runs_own_code and (folder / "artifacts" / "whosehand.json").is_file():
        loaded: Model = mlflow.pyfunc.load_model(str(folder))
        return loaded
    return _Reader(folder, runs_own_code)


def _read_source_only() -> None:
    """From here on, no compiled file beside a module is read: of a model's code, what runs is what
    was promoted.

    The large libraries come first, since compiling them anew takes a quarter of a minute.
    """
    for library in _LIBRARIES:
        import_module(library)
    sys.pycache_prefix = os.devnull


class _Reader:
    """A model by the installed code: a promoted one without the code that it has, or a trial's
    network.

    A network of the user's own needs a module, which is imported where the folder is trusted.
    """

    def __init__(self, folder: Path, runs_own_code: bool) -> None:
        from types import SimpleNamespace

        from search.identification.served_model import GALLERY, NETWORK, RECORD, ServedModel

        packed = folder / "artifacts"
        if packed.is_dir():
            files = {NETWORK: packed / "model.keras", RECORD: packed / "whosehand.json"}
        else:
            files = {NETWORK: folder / "data" / "model.keras", RECORD: folder / "whosehand.json"}
        if (packed / "gallery.npz").is_file():
            files[GALLERY] = packed / "gallery.npz"
        self._model = ServedModel(runs_own_code)
        self._model.load_context(SimpleNamespace(artifacts=files))

    def predict(self, images: Any, params: Mapping[str, Any]) -> Any:
        return self._model.predict(None, images, dict(params))


def _write(answers: TextIO, content: Mapping[str, Any]) -> None:
    answers.write(json.dumps(content, default=_plain) + "\n")
    answers.flush()


def _plain(value: Any) -> Any:
    """NumPy's numbers as Python's."""
    return value.item()


if __name__ == "__main__":
    main(Path(sys.argv[1]), runs_own_code=sys.argv[2] == "own-code")
