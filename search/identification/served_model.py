"""The registered model as MLflow calls it: images in, ranked writers out. It runs where whosehand
is not installed.

This module and all of `core` that it imports are copied into the model's folder, under a package
name of their own (`search.identification.identifier_folder`). So nothing here may import other
parts of `search`, but for `hand_comparison`, which keeps to the same rule.
"""

import base64
import binascii
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from mlflow.exceptions import INTERNAL_ERROR, MlflowException
from mlflow.pyfunc import PythonModel
from numpy.typing import NDArray

from core.errors import ImageError, PatchError
from core.pages.decoding_process import DecodingProcess
from core.pages.image_files import grey_of_pixels, read_grey
from core.pages.image_formats import MAX_SERVED_PIXELS, check_pixels

if TYPE_CHECKING:
    from core.identification.evidence import Evidence
    from core.identification.prediction import Prediction
    from core.lines.source import ImageLines
    from core.networks.inference import Embedder
    from core.retrieval.known_hands import DescribedPage
    from search.identification.hand_comparison import HandComparison

COLUMN = "image"
NETWORK, RECORD, GALLERY, HANDS = "network", "record", "gallery", "hands"
DEFAULT_PARAMS: Mapping[str, Any] = {
    "top": 5,
    "read_as": "auto",
    "on_error": "raise",
    "evidence": 0,
    "describe": False,
}
_READ_AS = ("auto", "line", "page", "form")
_ON_ERROR = ("raise", "report")
_LONGEST_PATH = 4096
_IS_SERVED = "_MLFLOW_IS_IN_SERVING_ENVIRONMENT"  # set by MLflow's scoring server, which offers no public way to ask


class ServedModel(PythonModel):
    """Names the writers of images."""

    _skip_type_hint_validation = True  # or MLflow warns at every load that `Any` is no type it can check

    def __init__(self, runs_own_code: bool = True) -> None:
        """Choose whether a network of the user's own may import the module that lies beside its
        record.
        """
        self._runs_own_code = runs_own_code
        self._decoding = DecodingProcess()
        # One image at a time, or memory would grow with the requests; and in one thread, because
        # libraries keep memory for each thread that has worked with them.
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="images")

    def load_context(self, context: Any) -> None:
        """Load the network and answer one blank question, so that the first image is not slower
        than the others.
        """
        import core.networks.quiet_tensorflow  # noqa: F401  (before TensorFlow, which it keeps quiet)
        from core.identification.gallery import Gallery
        from core.identification.writer_identifier import WriterIdentifier
        from search.identification.hand_comparison import HandComparison

        artifacts = context.artifacts
        folder = Path(artifacts[RECORD]).parent
        self.identifier = WriterIdentifier.load(Path(artifacts[NETWORK]), folder, self._runs_own_code)
        self.gallery = Gallery.load(Path(artifacts[GALLERY])) if GALLERY in artifacts else None
        self.comparison: HandComparison | None = HandComparison.load(folder, self.identifier.record)
        self._embedder: Embedder | None = None
        size_px = self.identifier.record.patches.size_px
        blank = np.full((1, size_px, size_px, 1), 255, np.uint8)
        self._worker.submit(self.identifier.predictor.log_probabilities, [blank]).result()
        if not _reads_paths():
            self._decoding.start()

    # Without a type for `model_input`, from which MLflow would want to infer another signature than
    # the one given.
    def predict(  # type: ignore[no-untyped-def]
        self, context: Any, model_input, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Rank the writers of each image.

        Args:
            context: not used again.
            model_input: a table with the column `image`. Each cell is an image: the bytes of a
                file, its path, base64 text of it (with or without `data:...;base64,`), or pixels
                from 0 to 255 as an array or nested lists, (height, width) or (height, width, 3 or
                4). A server reads no paths.
            params: `top`, how many writers to rank (0 for all); `read_as`, `line`, `page`, `form`
                or `auto`; `on_error`,
                `raise`, or `report` for a row with `error` instead; `evidence`, how many patches
                for and against the decision to look at closely (0: no evidence); `describe`,
                whether to give the page's descriptor, too.

        Returns:
            A row for each image: what `core.identification.prediction` says of it (writer_id and
            probability of the first writer, none_of_these, is_known, ranking, n_lines, n_patches,
            calibrated_on), error, and evidence where it was asked for (see
            `core.identification.evidence`), and descriptor likewise: numbers whose squares sum to
            1, so that the product of those of two pages is their cosine.

        Raises:
            MlflowException: says which image cannot be used, and why; a server answers it with
                status 400, or with 500 where the image is not to blame.
        """
        chosen = {**DEFAULT_PARAMS, **(params or {})}
        _check("read_as", chosen["read_as"], _READ_AS)
        _check("on_error", chosen["on_error"], _ON_ERROR)
        reads_paths = _reads_paths()
        rows = []
        for number, cell in enumerate(_cells(model_input), start=1):
            try:
                rows.append(self._worker.submit(self._answer, cell, f"image {number}", reads_paths, chosen).result())
            except (ImageError, PatchError) as error:
                if chosen["on_error"] == "raise":
                    raise MlflowException.invalid_parameter_value(str(error)) from error
                rows.append(_error_row(str(error)))
            except Exception as error:  # one bad image, however bad, must not end a folder, nor show a stack trace
                reason = f"image {number} could not be answered ({type(error).__name__}: {error})"
                if chosen["on_error"] == "raise":
                    raise MlflowException(reason, INTERNAL_ERROR) from error
                rows.append(_error_row(reason))
        return pd.DataFrame(rows, dtype=object)  # or `None` would become NaN, which is no JSON

    def _answer(self, cell: Any, name: str, reads_paths: bool, chosen: Mapping[str, Any]) -> dict[str, Any]:
        return self._row(self._grey(cell, name, reads_paths), name, chosen)

    def _row(self, grey: NDArray[np.uint8], name: str, chosen: Mapping[str, Any]) -> dict[str, Any]:
        lines = self.identifier.read_lines(grey, name, chosen["read_as"])
        evidence = self._evidence(grey, lines, name, int(chosen["evidence"])) if chosen["evidence"] else None
        found = evidence.prediction if evidence else self.identifier.identify_lines(lines, name)
        page = self._describe(lines, name) if self.comparison or chosen["describe"] else None
        if self.comparison and page:
            found = self.comparison.answer(found, page)
            if evidence is not None:
                _check_explained(found, self.comparison)
        row = found.as_row(int(chosen["top"])) | {"error": None}
        if evidence is not None:
            from core.identification.evidence import evidence_as_json

            row["evidence"] = evidence_as_json(evidence, grey, len(self.gallery.classes) if self.gallery else 0)
        if chosen["describe"] and page:
            row["descriptor"] = page.descriptor.tolist()
        return row

    def _evidence(self, grey: NDArray[np.uint8], lines: "ImageLines", name: str, n_decisive: int) -> "Evidence":
        from core.identification.evidence import gather_evidence

        return gather_evidence(self.identifier, grey, lines, name, n_decisive, self.gallery)

    def _describe(self, lines: "ImageLines", name: str) -> "DescribedPage":
        from core.networks.inference import Embedder
        from core.retrieval.known_hands import describe_page
        from core.retrieval.page_embeddings import PER_PAGE, embed_pages

        if self._embedder is None:
            self._embedder = Embedder(self.identifier.predictor.model)
        (page,) = embed_pages(lines, [name], self.identifier.record.patches, PER_PAGE, self._embedder)
        return describe_page(page)

    def _grey(self, cell: Any, name: str, reads_paths: bool) -> NDArray[np.uint8]:
        match cell:
            case bytes() | bytearray():
                return self._decoding.grey_of_bytes(bytes(cell), name)
            case str():
                return self._grey_of_text(cell, name, reads_paths)
            case Path() if reads_paths:
                return read_grey(cell)
            case np.ndarray():
                return _grey_of_array(cell, name, reads_paths)
            case list() | tuple():
                try:
                    return _grey_of_array(np.asarray(cell), name, reads_paths)
                except ValueError as error:
                    raise ImageError(f"Pixels must be rows of equal length, but those of {name} are not.") from error
        raise ImageError(f"An image must be bytes, base64 text, a path or pixels, but {name} is {type(cell).__name__}.")

    def _grey_of_text(self, text: str, name: str, reads_paths: bool) -> NDArray[np.uint8]:
        if reads_paths and len(text) < _LONGEST_PATH and (Path(text).exists() or Path(text).suffix):
            return read_grey(Path(text))
        content = text.partition(",")[2] if text.startswith("data:") else text
        try:
            decoded = base64.b64decode("".join(content.split()), validate=True)
        except (binascii.Error, ValueError) as error:
            what = "base64 of an image file" + (", or the path of one" if reads_paths else "; a server reads no paths")
            raise ImageError(
                f"A text must be {what}, but {name} is {text[:40]!r}{'...' if text[40:] else ''}."
            ) from error
        return self._decoding.grey_of_bytes(decoded, name)


def _reads_paths() -> bool:
    """Whether a text may be the path of a file: never on a server."""
    return os.environ.get(_IS_SERVED, "").lower() != "true"


def _check_explained(found: "Prediction", comparison: "HandComparison") -> None:
    """Evidence weighs two writers of training against each other."""
    if found.writer_id in comparison.register.writer_ids:
        raise ImageError(
            f"Evidence is about the writers of training, but {found.image} is most like {found.writer_id}, who was "
            "enrolled. `whosehand verify` compares it with a page of that writer, and shows what that rests on."
        )


def _error_row(reason: str) -> dict[str, Any]:
    names = ("writer_id", "probability", "none_of_these", "is_known", "calibrated_on")
    return {**dict.fromkeys(names), "ranking": [], "n_lines": 0, "n_patches": 0, "error": reason}


def _check(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise MlflowException.invalid_parameter_value(
            f"`{name}` must be one of {', '.join(allowed)}, but got {value!r}."
        )


def _cells(model_input: Any) -> Iterator[Any]:
    """The images of a request; a column may hold them one a row, or many as a list in one row."""
    if isinstance(model_input, pd.DataFrame):
        if COLUMN not in model_input:
            raise MlflowException.invalid_parameter_value(
                f"Images are given in the column `{COLUMN}`, but got {', '.join(map(str, model_input.columns))}."
            )
        model_input = model_input[COLUMN].tolist()
    elif isinstance(model_input, Mapping):
        model_input = model_input[COLUMN]
    for cell in model_input if isinstance(model_input, list | tuple) else [model_input]:
        is_list_of_images = isinstance(cell, list | tuple) and not isinstance(next(iter(cell), 0), list | int | float)
        yield from cell if is_list_of_images else [cell]


def _grey_of_array(pixels: NDArray[np.generic], name: str, reads_paths: bool) -> NDArray[np.uint8]:
    if not reads_paths and pixels.ndim >= 2:
        check_pixels(pixels.shape[0] * pixels.shape[1], name, MAX_SERVED_PIXELS)
    return grey_of_pixels(pixels, name)
