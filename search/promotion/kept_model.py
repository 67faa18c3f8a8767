"""What a step of a promotion made, a model among it, kept beside the refit: a repeated promotion
takes it as it is.
"""

import json
from pathlib import Path

from pydantic import TypeAdapter

from core.durable_files import write_atomically
from search.ledger.files import is_intact
from search.ledger.references import with_absolute_paths, with_relative_paths
from search.ledger.trial import TrialResult

_RESULT: TypeAdapter[TrialResult] = TypeAdapter(TrialResult)


def keep_model(result: TrialResult, path: Path) -> None:
    """Write the result; its files lie below the folder of `path`, which may move with them."""
    values = with_relative_paths(_RESULT.dump_python(result, mode="json"), path.parent)
    write_atomically(path, json.dumps(values, indent=2).encode())


def kept_model(path: Path) -> TrialResult | None:
    """The result that was kept, if its model is there and as it was."""
    if not path.exists():
        return None
    result = _RESULT.validate_python(with_absolute_paths(json.loads(path.read_bytes()), path.parent))
    return result if result.model is not None and is_intact(result.model) else None
