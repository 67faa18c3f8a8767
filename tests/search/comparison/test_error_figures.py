"""Pictures of mistakes, with writers whose names mean something to the libraries that draw and show
them.
"""

import base64
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from core.scoring.pictures import confusion_picture
from search.comparison.error_figures import draw_confusion
from search.comparison.figures import report_style

ODD_NAMES = ("$\\frac$", "<script>alert(1)</script>", "a & b")


def test_names_are_drawn_as_text() -> None:
    with report_style():
        picture = draw_confusion(np.eye(3, dtype=np.int64), ODD_NAMES, np.arange(3), "images")
    drawn = base64.b64decode(picture.source.split(",", 1)[1]).decode()
    texts = "".join(ElementTree.fromstring(drawn).itertext())
    assert "$\\frac$" in texts
    assert "<script>" not in drawn


def test_a_trials_own_picture_takes_any_name(tmp_path: Path) -> None:
    confusion_picture(np.eye(3, dtype=np.int64), ODD_NAMES, tmp_path / "confusion.png")
    assert (tmp_path / "confusion.png").stat().st_size > 1000
