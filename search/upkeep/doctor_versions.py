"""Python and the libraries, against the ranges that whosehand was tried with."""

import platform
from collections.abc import Iterator
from importlib import metadata

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from search.upkeep.machine_checks import Finding, Level, Subject

_SHOWN = ("tensorflow", "keras", "mlflow", "optuna", "keras-tuner", "numpy")


def check_versions(_: Subject) -> Iterator[Finding]:
    """Compare what is installed with what the distribution asks for."""
    try:
        asked = metadata.metadata("whosehand")
    except metadata.PackageNotFoundError:
        yield Finding(Level.NOTE, "versions", "whosehand runs without being installed, so it says no ranges")
        return
    python = SpecifierSet(asked["Requires-Python"])
    found = [
        *_wrong("Python", platform.python_version(), python, "install another Python and run `make install` anew"),
        *(
            problem
            for requirement in map(Requirement, metadata.requires("whosehand") or ())
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            for problem in _wrong_distribution(requirement)
        ),
    ]
    yield from found
    if not found:
        shown = ", ".join(f"{name} {metadata.version(name)}" for name in _SHOWN)
        text = f"whosehand {metadata.version('whosehand')}, Python {platform.python_version()}, {shown}: all in range"
        yield Finding(Level.OK, "versions", text)


def _wrong_distribution(requirement: Requirement) -> list[Finding]:
    mend = f'python -m pip install "{requirement.name}{requirement.specifier}"'
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return [Finding(Level.PROBLEM, "versions", f"{requirement.name} is not installed", mend)]
    return _wrong(requirement.name, version, requirement.specifier, mend)


def _wrong(name: str, version: str, allowed: SpecifierSet, mend: str) -> list[Finding]:
    if allowed.contains(version, prereleases=True):
        return []
    return [Finding(Level.PROBLEM, "versions", f"{name} must be {allowed}, but is {version}", mend)]
