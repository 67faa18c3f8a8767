"""The process that a model runs in: reads requests from standard input, answers on standard output, one JSON a line.

Started as a file, not as a module of `search`: a registered model brings its own code, and nothing of the installed
one may get in its way. Only a trial's network, which has no code with it, is run by the installed `core`.

    {"image": "page.png", "params": {"top": 0}}   ->   {"writer_id": "007", ..., "error": null}
"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, TextIO


class Model(Protocol):
    """What a loaded model can do."""

    def predict(self, images: Any, params: Mapping[str, Any]) -> Any:
        """A table with one row an image."""
        ...


def main(folder: Path) -> None:
    """Load the model, say so, and answer until standard input ends."""
    answers = _take_standard_output()
    try:
        model = _load(folder)
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


def _load(folder: Path) -> Model:
    if (folder / "artifacts" / "whosehand.json").is_file():
        import mlflow.pyfunc

        loaded: Model = mlflow.pyfunc.load_model(str(folder))
        return loaded
    return _TrialNetwork(folder)


class _TrialNetwork:
    """A trial's network, asked by the installed code: it ranks, but its probabilities are not calibrated."""

    def __init__(self, folder: Path) -> None:
        from types import SimpleNamespace

        from search.identification.served_model import NETWORK, RECORD, ServedModel

        files = {NETWORK: folder / "data" / "model.keras", RECORD: folder / "whosehand.json"}
        self._model = ServedModel()
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
    main(Path(sys.argv[1]))
