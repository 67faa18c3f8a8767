"""Results of long measurements in a JSON file, so that an interrupted run goes on where it was."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from core.durable_files import write_atomically


class KeptResults:
    """A file of results by what they are results of; several processes may fill one file.

    Args:
        path: of the file; made with its folder at the first result.

    Raises:
        ValueError: if the file is there and is no such file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries = self._read()

    def get_or_make(self, what: Mapping[str, Any], make: Callable[[], Any]) -> Any:
        """Give the result that is kept for `what`, or make and keep it.

        Args:
            what: plain JSON values that the result depends on.
            make: returns plain JSON values.
        """
        key = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]
        if key not in self._entries:
            result = make()
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{self._path}.lock"):
                self._entries = self._read() | {key: {"what": what, "result": result}}
                write_atomically(self._path, (json.dumps(self._entries, indent=1) + "\n").encode())
        return self._entries[key]["result"]

    def _read(self) -> dict[str, Any]:
        entries = json.loads(self._path.read_text(encoding="utf-8")) if self._path.exists() else {}
        if not isinstance(entries, dict):
            raise ValueError(f"A file of results must hold a JSON object, but {self._path} does not.")
        return entries
