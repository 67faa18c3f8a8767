"""What must be the same on all nodes: versions, and the source of whosehand itself."""

import contextlib
import functools
import hashlib
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

from search.experiment.workspace import whosehand_version


def deciding_versions(packages: Sequence[str] = ()) -> dict[str, str]:
    """Of what decides a trial's scores, or must understand what is sent: they must be equal on all
    nodes.

    Args:
        packages: that the user's own code imports.
    """
    versions = {"python": ".".join(platform.python_version_tuple()[:2]), "whosehand": whosehand_version()}
    # TensorFlow's variant for processors alone (in our image, say) computes the same.
    for name in dict.fromkeys(name.removesuffix("-cpu") for name in ("tensorflow", "keras", "numpy", *packages)):
        found = _installed_version(name) or _installed_version(f"{name}-cpu")
        if found:
            versions[name] = found
    return {**versions, "source of whosehand": _hash_sources()[:12]}


def differences(here: Mapping[str, str], there: Mapping[str, str]) -> list[str]:
    """What differs between two machines' versions, one `name is A, here it is B` each."""
    names = [*here, *(name for name in there if name not in here)]
    return [
        f"{name} is {there.get(name, 'missing')}, here it is {here.get(name, 'missing')}"
        for name in names
        if here.get(name) != there.get(name)
    ]


def _installed_version(name: str) -> str:
    from importlib.metadata import PackageNotFoundError, version  # 0.04 s that no other command needs

    with contextlib.suppress(PackageNotFoundError):
        return version(name)
    return ""


@functools.cache
def _hash_sources() -> str:
    """Of `core` and `search`: two working copies of one version are not the same code."""
    root, digest = Path(__file__).parents[3], hashlib.sha256()
    for path in sorted(path for package in ("core", "search") for path in (root / package).rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
