"""What must be known to name writers with a saved network: `whosehand.json` beside it."""

import importlib
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.corpora.index import Unit
from core.errors import RegistryError
from core.identification.calibration import Calibration, UnknownWriterTest
from core.networks.origin import Origin
from core.settings import InkSettings, PatchSettings

RECORD_FILE = "whosehand.json"
RECORD_FORMAT = 1
OWN_CODE_FOLDER = "own_code"
PACKED_FOLDER = "artifacts"
"""In a promoted model's folder, with record, network and split; a trial's model has none."""


@dataclass(frozen=True)
class ModelRecord:
    """What must be known to name writers with a saved network.

    Attributes:
        writer_ids: class k of the network is `writer_ids[k]`.
        ink: how lines were found, scaled and toned.
        patches: how patches were cut from the lines.
        corpus: name of the corpus it was trained on.
        split_hash: of the division into training, validation and test pages.
        test_hash: of the sealed test pages alone.
        scores: final scores by name, of validation unless the name says otherwise.
        version: of whosehand.
        warning: what everyone must know who sees the scores, such as that the split leaks; empty if
            nothing.
        unit: what all images were that it was trained on; `auto` where they differed or nobody has
            said so.
        calibrations: of images, and of pages where the corpus has pages of several images; empty
            for a trial's network, which ranks well but whose probabilities mean little.
        own_module: module of the user's own that the network's layers may be of; a copy lies beside
            the network.
        origin: what its training began with; `None` for random weights.
    """

    writer_ids: tuple[str, ...]
    ink: InkSettings
    patches: PatchSettings
    corpus: str
    split_hash: str
    test_hash: str
    scores: Mapping[str, float]
    version: str
    warning: str = ""
    unit: Unit = "auto"
    calibrations: tuple[Calibration, ...] = ()
    own_module: str = ""
    origin: Origin | None = None

    def calibration(self, n_lines: int) -> Calibration | None:
        """The calibration for an image with so many lines: that of pages for several, if there is
        one.
        """
        of_unit: dict[str, Calibration] = {item.unit: item for item in self.calibrations}
        return (of_unit.get("page") if n_lines > 1 else None) or of_unit.get("image")

    def save(self, folder: Path) -> None:
        """Write `whosehand.json` into a model folder."""
        content = asdict(self) | {
            "format": RECORD_FORMAT,
            "ink": self.ink.model_dump(mode="json"),
            "patches": self.patches.model_dump(mode="json"),
        }
        for name in ("own_module", "origin"):  # earlier versions do not know them
            if not content[name]:
                del content[name]
        (folder / RECORD_FILE).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "ModelRecord":
        """Read `whosehand.json` of a model folder.

        Raises:
            RegistryError: if the folder is none of whosehand's models, or of a later format.
        """
        try:
            content = json.loads((folder / RECORD_FILE).read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise RegistryError(f"A model of whosehand holds a {RECORD_FILE}, but {folder} has none.") from error
        except (OSError, ValueError) as error:
            raise RegistryError(f"The model's {folder / RECORD_FILE} cannot be read: {error}.") from error
        if content.pop("format", None) != RECORD_FORMAT:
            raise RegistryError(
                f"{folder / RECORD_FILE} is not of format {RECORD_FORMAT}; update whosehand to load it."
            )
        try:
            return cls(
                **content
                | {
                    "writer_ids": tuple(content["writer_ids"]),
                    "ink": InkSettings(**content["ink"]),
                    "patches": PatchSettings(**content["patches"]),
                    "calibrations": tuple(map(_calibration, content.get("calibrations", ()))),
                    "origin": Origin(**content["origin"]) if "origin" in content else None,
                }
            )
        except (KeyError, TypeError, ValueError) as error:
            raise RegistryError(f"The model's {folder / RECORD_FILE} is damaged: {error}.") from error


@contextmanager
def own_layers(folder: Path) -> Iterator[None]:
    """Import the user's own module that a saved network's layers are of, so that Keras knows them
    while it is loaded.

    Args:
        folder: with the record, and the copy of the module beside it.

    Raises:
        RegistryError: if the module cannot be imported.
    """
    module_name, code = ModelRecord.load(folder).own_module, folder / OWN_CODE_FOLDER
    if not module_name or not code.is_dir():
        yield
        return
    names = {path.relative_to(code).parts[0].removesuffix(".py") for path in code.rglob("*.py")}
    before = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] in names}
    sys.path.insert(0, str(code))
    try:
        importlib.import_module(module_name)
        yield
    except ImportError as error:
        raise RegistryError(f"The network needs the module {module_name} in {code}, which gives: {error}.") from error
    finally:  # two models of one process may have modules of one name
        sys.path.remove(str(code))
        for name in list(sys.modules):
            if name.split(".")[0] in names:
                del sys.modules[name]
        sys.modules.update(before)


def _calibration(content: dict[str, Any]) -> Calibration:
    """Of either format: version 0.1 had `strangers` for `unknown_writers`."""
    if "strangers" in content:
        test = content.pop("strangers")
        content["unknown_writers"] = test | {"n_unknown_writers": test["n_strangers"]}
        del content["unknown_writers"]["n_strangers"]
    test = content["unknown_writers"]
    return Calibration(**content | {"unknown_writers": UnknownWriterTest(**test | {"scores": tuple(test["scores"])})})
