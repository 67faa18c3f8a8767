"""The indexes that a project keeps of folders that were searched: what each was made of, and which
ones nobody can use any more.

    data/indexes/<key>/            an index of pages, see `core.retrieval.descriptor_index`
    data/indexes/<key>/origin.json the folder that was indexed, and the model that described it

Each can be made again from its folder and its model; it only takes time.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from core.durable_files import write_atomically
from core.errors import RetrievalError, WhosehandError
from core.retrieval.descriptor_index import DescriptorIndex

ORIGIN = "origin.json"


@dataclass(frozen=True)
class Origin:
    """What an index was made of.

    Attributes:
        archive: the folder that was indexed.
        model: the folder of the model that described its pages.
    """

    archive: str
    model: str


def note_origin(index: Path, archive: Path, model: Path) -> None:
    """Write down what an index was made of.

    Raises:
        OSError: if it cannot be written.
    """
    origin = Origin(str(archive.absolute()), str(model.absolute()))
    if read_origin(index) != origin:
        write_atomically(index / ORIGIN, (json.dumps(asdict(origin)) + "\n").encode())


def read_origin(index: Path) -> Origin | None:
    """What an index was made of; `None` where that is not written, or not as it should be."""
    try:
        return Origin(**json.loads((index / ORIGIN).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def kept_indexes(indexes: Path) -> Iterator[Path]:
    """The folders of the indexes that are kept in a folder, in the order of their names."""
    yield from sorted(path for path in indexes.glob("*") if (path / ORIGIN).is_file())


def why_unused(index: Path) -> str | None:
    """Why nobody can search an index any more, in words that follow "indexes"; `None` where
    somebody can.
    """
    origin = read_origin(index)
    if origin is None:
        return None
    if not Path(origin.archive).is_dir():
        return "of a folder that is gone"
    if not Path(origin.model).is_dir():
        return "of a model that is gone"
    # Here, because OpenCV takes a second; a project without indexes need not wait.
    from search.identification.page_reader import source_of

    try:
        now = source_of(Path(origin.model))
        return None if DescriptorIndex.open(index).source == now else "of a model that has changed since"
    except RetrievalError:
        return "that are damaged"
    except (OSError, WhosehandError):
        return "of a model that is gone"
