"""Arrays in one file that processes map instead of reading it: memory is shared by all of them.

What is in such a file can be computed again from something else. So it is written without haste,
and one that is missing, torn, damaged or of another version counts as not there.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_FORMAT = 1
_ALIGNMENT = 64


def save_arrays(path: Path, about: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays of one dimension, whole or not at all; nothing happens where that is not
    allowed.

    Args:
        path: of the file, in a folder that is there.
        about: what the file is of, plain values; `load_arrays` wants the same.
        arrays: by name.
    """
    parts: list[memoryview | bytes] = []
    places: dict[str, tuple[str, int, int]] = {}
    end = 0
    for name, array in arrays.items():
        content = np.ascontiguousarray(array)
        places[name] = (content.dtype.str, len(content), end)
        padding = -content.nbytes % _ALIGNMENT
        parts += [content.data.cast("B") if content.nbytes else b"", bytes(padding)]
        end += content.nbytes + padding
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    head = json.dumps({"format": _FORMAT, "about": about, "arrays": places, "sha256": digest.hexdigest()}).encode()
    head += b" " * (-(len(head) + 1) % _ALIGNMENT) + b"\n"
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with suppress(OSError):  # a full disk, or a store that belongs to somebody else: it only saves time
        try:
            with temporary.open("wb") as file:
                file.write(head)
                file.writelines(parts)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def load_arrays(path: Path, about: Mapping[str, Any]) -> Mapping[str, NDArray[Any]] | None:
    """Map what `save_arrays` wrote; `None` if it is not there, damaged, or of something else.

    Every byte is read once, for its checksum: a gigabyte takes a second.
    """
    try:
        with path.open("rb") as file:
            first = file.readline()
        head = json.loads(first)
        if head["format"] != _FORMAT or head["about"] != json.loads(json.dumps(about)):
            return None
        content = np.asarray(np.memmap(path, dtype=np.uint8, mode="r", offset=0))[len(first) :]
        if hashlib.sha256(content.data).hexdigest() != head["sha256"]:
            return None
        return {
            name: content[start : start + n * np.dtype(kind).itemsize].view(kind)
            for name, (kind, n, start) in head["arrays"].items()
        }
    except (OSError, ValueError, KeyError, TypeError):
        return None
