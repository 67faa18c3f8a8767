"""The docs as a whole: diagrams are drawn as they stand, examples of Python and notebooks run, the
site builds.
"""

import hashlib
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


def test_every_diagram_is_drawn_as_it_stands() -> None:
    missing = []
    for page in sorted((ROOT / "docs").glob("*.md")):
        for diagram in re.findall(r"```mermaid\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            name = f"diagram-{hashlib.sha256(diagram.encode()).hexdigest()[:12]}.svg"
            missing += [] if (ROOT / "docs" / "pictures" / name).exists() else [f"{page.name}: docs/pictures/{name}"]
    assert missing == []


def test_every_page_is_in_the_site() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert [page.name for page in (ROOT / "docs").glob("*.md") if f": {page.name}\n" not in navigation] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_with_its_outputs_and_names_no_folder_of_a_machine(path: Path) -> None:
    notebook = nbformat.read(path, 4)  # type: ignore[no-untyped-call]
    codes = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in codes)
    assert not [output for cell in codes for output in cell.outputs if output.output_type == "error"]


def test_the_notebook_of_scans_shows_leaderboard_confusion_gate_and_ranked_writers() -> None:
    notebook = nbformat.read(ROOT / "docs" / "notebooks" / "scans_to_champion.ipynb", 4)  # type: ignore[no-untyped-call]
    shown = [
        output.data["text/html"]
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if output.output_type == "execute_result" and "text/html" in output.data
    ]
    sweep, table, compared, promoted, answer = shown
    assert "3 trials" in sweep
    assert "The first one" not in table
    assert "Confusion of 5 writers" in compared
    assert "</b> version 1: champion" in promoted
    assert "letter.png</b>" in answer
    assert re.findall("<td>([a-z]+)</td>", answer)[0] == "clara"


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(path, 4)  # type: ignore[no-untyped-call]
    NotebookClient(notebook, timeout=1700, resources={"metadata": {"path": str(tmp_path)}}).execute()


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_site_builds_without_a_broken_link(tmp_path: Path) -> None:
    if importlib.util.find_spec("mkdocs") is None:
        pytest.skip("mkdocs is not installed: `make docs` installs it")
    arguments = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    run = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stderr
    assert "diagram-" in (tmp_path / "site" / "architecture.html").read_text(encoding="utf-8")
    from_network = re.compile(r"""<(?:script|link|img|iframe)\b(?![^>]*rel="canonical")[^>]*https?://""")
    for page in (tmp_path / "site").rglob("*.html"):
        assert from_network.findall(page.read_text(encoding="utf-8")) == [], page
    assert "Confusion of 5 writers" in (tmp_path / "site/notebooks/scans_to_champion.html").read_text(encoding="utf-8")
