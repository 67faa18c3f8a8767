from pathlib import Path

import numpy as np
import pytest

import whosehand as wh
from tests.search.toy_model import save_toy_model, write_line


def test_pages_are_described_and_found_in_python(tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    for n_strokes in (3, 5, 9):
        write_line(tmp_path / "archive" / f"{n_strokes}.png", n_strokes)
    model = wh.Identifier("toy", save_toy_model(tmp_path / "model"))
    letter = write_line(tmp_path / "letter.png", 9)
    sheet = tmp_path / "found.html"
    found = model.find(letter, among=tmp_path / "archive", top=2, sheet=sheet, project=tmp_path, progress=False)
    assert len(found) == 2
    assert "Described by toy" in sheet.read_text(encoding="utf-8")
    assert Path(found[0].path).name == "9.png"
    assert found[0].similarity == pytest.approx(1, abs=1e-6)
    description = model.describe(str(letter))
    np.testing.assert_allclose(description @ model.describe(tmp_path / "archive" / "9.png"), 1, atol=1e-6)


def test_a_model_is_scored_in_python_as_on_the_command_line(tmp_path: Path) -> None:
    for number in range(8):
        folder = tmp_path / "scans" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        write_line(folder / f"{number}.png", 4 + number)
    model = wh.Identifier("toy", save_toy_model(tmp_path / "model"))
    options = {"patches": 4, "project": tmp_path, "progress": False}
    found = model.retrieval(tmp_path / "scans", rerank=2, **options)  # type: ignore[arg-type]
    assert (found.scores.n_pages, found.scores.n_writers, found.model) == (8, 2, "toy")
    low, high = found.scores.intervals["map"]
    assert low <= found.scores.metrics["map"] <= high
    with pytest.raises(wh.WhosehandError, match="the most pages of one: 1"):
        model.retrieval(str(tmp_path / "scans"), join=4, **options)  # type: ignore[arg-type]
