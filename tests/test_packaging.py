"""What a clone and an installed distribution must hold."""

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Collection
from functools import cache
from pathlib import Path

import pytest
import typer.main

import core
import search
import whosehand
from search.cli.main import app
from search.experiment.experiment import load_experiment

ROOT = Path(__file__).parents[1]
EXPERIMENTS = sorted((ROOT / "experiments").glob("*.yaml"))
DOCUMENTS = [path for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))) if path.exists()]
MACHINE_PATHS = tuple(f"/{name}/" for name in ("work", "root"))  # written so that this file holds none itself


@pytest.mark.parametrize("package", [core, search, whosehand], ids=["core", "search", "whosehand"])
def test_the_packages_come_from_this_repository(package: object) -> None:
    paths = [Path(path).resolve() for path in package.__path__]  # type: ignore[attr-defined]
    assert paths == [ROOT / package.__name__]  # type: ignore[attr-defined]


def test_the_wheel_holds_every_module_template_experiment_and_the_marks_of_types(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for path in _committed_files():
        relative = path.relative_to(ROOT)
        if path.is_file() and relative.parts[0] not in ("tests", "docs", "benchmarks"):
            (source / relative).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, source / relative)
    arguments = [
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        str(tmp_path),
        str(source),
    ]
    subprocess.run([sys.executable, *arguments], check=True, timeout=300)
    (wheel,) = tmp_path.glob("*.whl")
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    wanted = {
        path.relative_to(source).as_posix()
        for package in ("core", "search", "whosehand")
        for path in (source / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {"core/py.typed", "search/py.typed", "whosehand/py.typed"} <= wanted
    assert held == wanted | {f"whosehand/experiments/{path.name}" for path in EXPERIMENTS}


def test_core_imports_nothing_of_search_or_of_the_frameworks_around_it() -> None:
    forbidden = re.compile(r"^\s*(?:from|import) (search|optuna|keras_tuner|mlflow)\b", re.MULTILINE)
    offenders = {str(path) for path in (ROOT / "core").rglob("*.py") if forbidden.search(path.read_text())}
    assert offenders == set()


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_experiment_loads_and_is_named_after_its_file(path: Path) -> None:
    assert load_experiment(path).name == path.stem
    assert path.read_text().startswith("#"), "an experiment is headed by what it is and its command"


def test_there_are_experiments() -> None:
    assert {"quickstart", "dhsd"} <= {path.stem for path in EXPERIMENTS}


def test_constraints_pin_every_dependency_exactly() -> None:
    constraints = ROOT / "constraints.txt"
    if not constraints.exists():
        pytest.skip("constraints.txt is not there yet")
    lines = [line.split("#")[0].strip() for line in constraints.read_text().splitlines()]
    pins = [line for line in lines if line]
    assert [pin for pin in pins if not re.match(r"[A-Za-z0-9._-]+==[^=*]+$", pin)] == []
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    missing = {_distribution(name) for name in wanted} - {_distribution(pin) for pin in pins}
    assert missing == set()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_in_the_documents_exists_with_its_options(path: Path) -> None:
    commands = list(_commands(path))
    folders = [command.split()[2] for command in commands if command.startswith("whosehand init ")]
    for command in commands:
        _check_command(command, written={f"experiments/{Path(folder).name}.yaml" for folder in folders})


def test_the_readme_is_checked() -> None:
    if ROOT / "README.md" not in DOCUMENTS:
        pytest.skip("README.md is not there yet")
    assert any(command.startswith("whosehand sweep") for command in _commands(ROOT / "README.md"))


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_the_command_above_an_experiment_exists(path: Path) -> None:
    header = [line.lstrip("# ") for line in path.read_text().splitlines() if line.startswith("#")]
    commands = [re.split(r"\s{2,}\(", line)[0] for line in header if line.startswith("whosehand ")]
    assert commands
    for command in commands:
        _check_command(command)


def test_no_committed_text_names_a_folder_of_somebodys_machine() -> None:
    offenders = []
    for path in _committed_files():
        try:
            text = path.read_text(encoding="utf-8")
        except (UnicodeDecodeError, OSError):
            continue
        offenders += [f"{path}: {found}" for found in MACHINE_PATHS if found in text]
    assert offenders == []


@cache
def _committed_files() -> tuple[Path, ...]:
    arguments = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("what is committed is only known in a git repository")
    return tuple(ROOT / line for line in listed.splitlines())


def _distribution(requirement: str) -> str:
    return re.split(r"[<>=!~\[; ]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def _commands(path: Path) -> list[str]:
    blocks = re.findall(r"^```[^\n]*\n(.*?)^```", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    texts = [re.sub(r"^\s*\$ ", "", line).strip() for line in lines]
    texts = [text.removeprefix(".venv/bin/") for text in texts]
    return [text for text in texts if text.startswith(("whosehand ", "make "))]


def _check_command(line: str, written: Collection[str] = ()) -> None:
    """See that a command, its options and its experiment exist; `init` has `written` some."""
    program, *words = shlex.split(line, comments=True)
    if program == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert {word for word in words if "=" not in word} <= set(targets), line
        return
    command = typer.main.get_command(app)
    while hasattr(command, "commands") and words and words[0] in command.commands:
        command = command.commands[words.pop(0)]
    options = {name for parameter in command.params for name in parameter.opts} | {"--help"}
    assert not hasattr(command, "commands") or "--help" in words or "--version" in words, f"no such command: {line}"
    assert {word.split("=")[0] for word in words if word.startswith("--")} <= options, line
    for word in words:
        if word.startswith("experiments/"):
            assert word in written or (ROOT / word).exists(), line
