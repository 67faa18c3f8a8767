"""A copy of the code that a model needs, to lie beside it under a name of its own.

A registered model must load where `core` is not installed, or another version of it is. So the modules that it
imports of this project are copied, and their imports of each other point to the copy. The package's name holds a hash
of its content: models of different versions load side by side in one process.
"""

import ast
import hashlib
import importlib.util
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from core.errors import RegistryError

OWN_PACKAGES = ("core", "search")
_PACKAGE_PREFIX = "whosehand_model_"
_IMPORT = re.compile(rf"^(\s*)(from|import) ({'|'.join(OWN_PACKAGES)})(?=[.\s])", re.MULTILINE)


@dataclass(frozen=True)
class VendoredCode:
    """A copied package.

    Attributes:
        package: its name.
        folder: it lies in `folder / package`.
        distributions: what it needs from elsewhere, by the names that pip knows.
    """

    package: str
    folder: Path
    distributions: tuple[str, ...]


def vendor_code(root_module: str, folder: Path) -> VendoredCode:
    """Copy a module with everything of this project that it imports, directly or not.

    Args:
        root_module: such as `search.identification.served_model`.
        folder: to write the package into.

    Raises:
        RegistryError: if a module is missing, or imports in a way that cannot be pointed elsewhere.
    """
    sources = _closure(root_module)
    content = "\0".join(f"{name}\0{source}" for name, source in sorted(sources.items()))
    package = _PACKAGE_PREFIX + hashlib.sha256(content.encode()).hexdigest()[:12]
    (folder / package).mkdir(parents=True)
    (folder / package / "__init__.py").write_text('"""The code of whosehand that this model was made with."""\n')
    for name, source in sources.items():
        is_package = _is_package(name)
        path = folder.joinpath(package, *name.split("."))
        path = path / "__init__.py" if is_package else path.with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_IMPORT.sub(rf"\1\2 {package}.\3", source), encoding="utf-8")
    return VendoredCode(package, folder, _distributions(sources.values()))


def _closure(root_module: str) -> dict[str, str]:
    """The sources of all modules of this project that are imported, the packages around them among them."""
    sources: dict[str, str] = {}
    waiting = [root_module]
    while waiting:
        name = waiting.pop()
        if name in sources:
            continue
        sources[name] = _source(name)
        waiting += [".".join(name.split(".")[:n]) for n in range(1, name.count(".") + 1)]
        waiting += _own_imports(name, sources[name])
    return sources


def _own_imports(name: str, source: str) -> list[str]:
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name) and node.id in OWN_PACKAGES:
            raise RegistryError(f"{name} cannot be copied into a model: it uses the name `{node.id}` itself.")
        if isinstance(node, ast.ImportFrom) and node.level:
            raise RegistryError(f"{name} cannot be copied into a model: it has a relative import.")
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if _is_own(alias.name)]
        if isinstance(node, ast.ImportFrom) and node.module and _is_own(node.module):
            below = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [node.module, *(module for module in below if _exists(module))]
    return found


def _is_own(module: str) -> bool:
    return module.split(".")[0] in OWN_PACKAGES


def _exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _is_package(module: str) -> bool:
    found = importlib.util.find_spec(module)
    return found is not None and found.submodule_search_locations is not None


def _source(module: str) -> str:
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        raise RegistryError(f"A model needs the code that it is made with, but there is no module {module!r}.")
    return Path(found.origin).read_text(encoding="utf-8")


def _distributions(sources: Iterable[str]) -> tuple[str, ...]:
    tops: set[str] = set()
    for source in sources:
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                tops |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                tops.add(node.module.split(".")[0])
    foreign = tops - set(sys.stdlib_module_names) - set(OWN_PACKAGES)
    provided = metadata.packages_distributions()
    missing = sorted(top for top in foreign if top not in provided)
    if missing:
        raise RegistryError(f"A model's requirements must be installed, but {', '.join(missing)} are of no package.")
    return tuple(sorted({_preferred(top, provided[top]) for top in foreign}))


def _preferred(top: str, names: list[str]) -> str:
    """Of several distributions that hold a module (mlflow and mlflow-skinny) the one that is named like it, if any."""
    return top if top in names else sorted(names)[0]
