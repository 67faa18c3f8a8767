"""Sees that `core` and `search` are whosehand's own: a user's `core.py` beside a script would be
imported instead.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

_HOME = Path(__file__).resolve().parents[1]


def check_own_packages() -> None:
    """Look for the two packages that whosehand is made of, without importing them.

    Raises:
        ImportError: names the file or folder that stands in their place.
    """
    for name in ("core", "search"):
        found = _place_of(name)
        if found is not None and found.resolve() != _HOME / name:
            raise ImportError(
                f"whosehand has a package `{name}` of its own, but Python finds {found} in its place. Rename that, or "
                "start Python in another folder."
            )


def _place_of(name: str) -> Path | None:
    """The folder of a package, or the file of a module; `None` where Python finds nothing or does
    not say.
    """
    loaded = sys.modules.get(name)
    spec = find_spec(name) if loaded is None else loaded.__spec__
    origin = spec.origin if spec is not None else getattr(loaded, "__file__", None)
    if origin is not None:
        path = Path(origin)
        return path.parent if path.name == "__init__.py" else path
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    return Path(places[0]) if places else None
