"""Functions of the user's own in an experiment: where their code lies, and what it is made of.

A function is named `module:function`, or handed over in Python. Its module is looked for beside the
experiment file, in the project's folder and where Python looks. A function that no other process
can import (of a notebook, of `__main__`, nested, a lambda) is pickled into the sweep's folder,
once.

What it is made of goes into the sweep's identity: a hash of its source and the versions of the
packages that the source imports. The source is that of its module with all modules beside it that
it imports; of a function that is pickled, its own and that of the functions and classes of its
module that it uses. Not covered are values that it closes over, data files that it reads, and what
it imports by a name that is made at run time.

Light: nothing of the user's is imported here.
"""

import ast
import hashlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, WrapValidator

from core.errors import OwnCodeError
from core.settings import Settings

OUR_PACKAGES = ("core", "search", "whosehand")


class FunctionPath(str):
    """The path `module:function` of a function of the user's own, with what is known of it.

    Attributes:
        function: itself, where it was handed over in Python.
        folder: the experiment file's, where modules are looked for first.
    """

    function: Callable[..., Any] | None = None
    folder: Path | None = None

    @classmethod
    def of(cls, function: Callable[..., Any]) -> "FunctionPath":
        """The path of a function that was handed over."""
        named = function if hasattr(function, "__qualname__") else type(function)
        name = named.__qualname__.rpartition(".")[2].strip("<>")
        path = cls(f"{named.__module__}:{name}")
        path.function = function
        return path

    @classmethod
    def beside(cls, path: str, folder: Path) -> "FunctionPath":
        """A path that was written in a file of this folder."""
        found = cls(path)
        found.folder = folder
        return found

    @property
    def can_be_imported(self) -> bool:
        """Whether another process finds the function under its path."""
        module_name, _, name = self.partition(":")
        if self.function is None:
            return True
        return module_name != "__main__" and getattr(sys.modules.get(module_name), name, None) is self.function


def _path_or_function(value: Any, validate: Callable[[Any], Any]) -> Any:
    if isinstance(value, FunctionPath):
        return value
    return FunctionPath.of(value) if callable(value) else validate(value)


Function = Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"), WrapValidator(_path_or_function)]
"""A setting that names a function, or is one."""


class OwnCode(Settings):
    """What a function of the user's own was made of when the sweep was launched."""

    sha256: str
    """Of its source."""

    packages: dict[str, str] = Field(default_factory=dict)
    """Versions of the packages that the source imports."""

    folder: Path | None = None
    """Where its module was found; `null` where Python finds it by itself, or it was pickled."""

    pickled: bool = False
    """Whether it lies in the sweep's folder as a pickle, because no other process can import it."""


@dataclass(frozen=True)
class Source:
    """The source of a function, as far as it lies with the user.

    Attributes:
        folder: where the module was found; `None` where Python finds it by itself, or it is
            pickled.
        texts: source by file name, or by the function's name.
    """

    folder: Path | None
    texts: Mapping[str, str] = field(default_factory=dict)

    @property
    def sha256(self) -> str:
        """Of all texts with their names."""
        content = "\0".join(f"{name}\0{text}" for name, text in sorted(self.texts.items()))
        return hashlib.sha256(content.encode()).hexdigest()


def read_code(path: str, folders: Sequence[Path]) -> tuple[OwnCode, Source]:
    """Find a function and what it is made of.

    Args:
        path: `module:function`.
        folders: where modules are looked for first.

    Raises:
        OwnCodeError: if there is no such module, or it has no such function.
    """
    if isinstance(path, FunctionPath) and path.function is not None and not path.can_be_imported:
        source = Source(None, _texts_of(path.function))
        return OwnCode(sha256=source.sha256, packages=_packages(source.texts.values()), pickled=True), source
    beside = [path.folder] if isinstance(path, FunctionPath) and path.folder is not None else []
    source = find_source(path, [*beside, *folders])
    return OwnCode(sha256=source.sha256, packages=_packages(source.texts.values()), folder=source.folder), source


def find_source(path: str, folders: Sequence[Path]) -> Source:
    """The source of a module with the modules beside it that it imports.

    Raises:
        OwnCodeError: if there is no such module, or it has no such function at its top.
    """
    module_name, _, name = path.partition(":")
    if module_name == "__main__":
        raise OwnCodeError(
            f"{path} is a function of a script or a notebook, which no file can name. Launch the sweep from there, "
            "with the function itself, or move the function into a module."
        )
    for folder in dict.fromkeys(folder.resolve() for folder in folders):
        file = _file_in(folder, module_name)
        if file is not None:
            _check_defines(file, name, path)
            return Source(folder, _texts_beside(folder, module_name))
    try:
        found = importlib.util.find_spec(module_name)
    except (ImportError, ValueError):
        found = None
    if found is None or found.origin is None:
        looked = ", ".join(str(folder) for folder in folders)
        raise OwnCodeError(
            f"A function is named `module:function`, but for {path!r} there is no module {module_name!r}: it was "
            f"looked for in {looked} and where Python looks. Put {module_name.replace('.', '/')}.py beside the "
            "experiment file."
        )
    file = Path(found.origin)
    _check_defines(file, name, path)
    return Source(None, {f"{module_name}.py": file.read_text(encoding="utf-8")})


def _file_in(folder: Path, module_name: str) -> Path | None:
    base = folder.joinpath(*module_name.split("."))
    return next((file for file in (base.with_suffix(".py"), base / "__init__.py") if file.is_file()), None)


def _check_defines(file: Path, name: str, path: str) -> None:
    tree = _parsed(file.read_text(encoding="utf-8"), file)
    defined = [defined for statement in tree.body for defined in _names_of(statement)]
    if name not in defined and "*" not in defined:
        there = ", ".join(sorted({each for each in defined if not each.startswith("_")})) or "nothing"
        raise OwnCodeError(f"{file} must define {name!r}, because the experiment says {path!r}, but it has {there}.")


def _names_of(statement: ast.stmt) -> Iterable[str]:
    """The names that a statement at a module's top defines, those in `if` and `try` among them."""
    match statement:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            yield statement.name
        case ast.Import() | ast.ImportFrom():
            yield from (alias.asname or alias.name.split(".")[0] for alias in statement.names)
        case _:
            for node in ast.walk(statement):
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    yield node.id
                elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                    yield node.name


def _texts_beside(folder: Path, module_name: str) -> dict[str, str]:
    """The sources of a module and of all modules in the same folder that it imports, directly or
    not.
    """
    texts: dict[str, str] = {}
    waiting = [module_name]
    while waiting:
        name = waiting.pop()
        file = _file_in(folder, name)
        if file is None or file.relative_to(folder).as_posix() in texts:
            continue
        text = file.read_text(encoding="utf-8")
        texts[file.relative_to(folder).as_posix()] = text
        waiting += [".".join(name.split(".")[:n]) for n in range(1, name.count(".") + 1)]
        package = name if file.name == "__init__.py" else name.rpartition(".")[0]
        waiting += _imported(_parsed(text, file), package)
    return texts


def _imported(tree: ast.AST, package: str = "") -> list[str]:
    """The full names of all modules (and, by `from`, of what may be one) that a source imports."""
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            found += [module, *(f"{module}.{alias.name}" for alias in node.names)]
    return [name for name in found if name]


def _parsed(text: str, file: Path | str) -> ast.Module:
    try:
        return ast.parse(text)
    except SyntaxError as error:
        raise OwnCodeError(f"{file}, line {error.lineno}: {error.msg}.") from error


def _packages(texts: Iterable[str]) -> dict[str, str]:
    """The installed versions of what sources import, Python's own and whosehand left out."""
    # Imported here, because it reads the names of all that is installed, 0.1 s.
    from importlib import metadata

    tops: set[str] = set()
    for text in texts:
        try:
            tops |= {name.split(".")[0] for name in _imported(ast.parse(inspect.cleandoc(text)))}
        except SyntaxError:  # a lambda within a call is no whole statement
            continue
    foreign = tops - set(sys.stdlib_module_names) - set(OUR_PACKAGES)
    provided = metadata.packages_distributions() if foreign else {}
    names = {sorted(provided[top], key=lambda name: (name != top, name))[0] for top in foreign if top in provided}
    return {name: metadata.version(name) for name in sorted(names)}


def _texts_of(function: Any) -> dict[str, str]:
    """The source of a function, and of the functions and classes of its module that it uses,
    directly or not.
    """
    texts: dict[str, str] = {}
    waiting = [function if hasattr(function, "__qualname__") else type(function)]
    while waiting:
        each = waiting.pop()
        name = each.__qualname__
        if name in texts:
            continue
        try:
            texts[name] = inspect.getsource(each)
        except (OSError, TypeError):  # typed at Python's prompt: the code itself stands for its source
            code = getattr(each, "__code__", None)
            texts[name] = repr((code.co_code, code.co_consts, code.co_names)) if code else repr(each)
        waiting += _used(each)
    return texts


def _used(each: Any) -> list[Any]:
    """The functions and classes of the same module that a function, or a class's methods, name."""
    functions = [each] if inspect.isfunction(each) else list(vars(each).values())
    found: list[Any] = []
    for function in functions:
        if not inspect.isfunction(function):
            continue
        names = {name for code in _codes(function.__code__) for name in code.co_names}
        cells = [cell.cell_contents for cell in function.__closure__ or () if _is_full(cell)]
        values = [*(function.__globals__[name] for name in names if name in function.__globals__), *cells]
        found += [
            value
            for value in values
            if (inspect.isfunction(value) or inspect.isclass(value)) and value.__module__ == each.__module__
        ]
    return found


def _codes(code: Any) -> Iterable[Any]:
    """A function's code, and that of the functions inside it."""
    yield code
    for constant in code.co_consts:
        if inspect.iscode(constant):
            yield from _codes(constant)


def _is_full(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018  (an empty cell raises)
    except ValueError:
        return False
    return True
