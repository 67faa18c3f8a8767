"""Corpora that several tests read."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import core.networks.quiet_tensorflow  # noqa: F401  (before TensorFlow, which it keeps quiet)
from core.corpora.hands import HandsCorpus
from core.corpora.index import CorpusIndex
from core.corpora.settings import HandsSettings

# isort: split
import tensorflow

_REPOSITORY = Path(__file__).parents[1]
_FIRST = (
    *("test_end_to_end.py", "test_crash_points.py", "test_engine.py", "test_data.py", "test_page_preview.py"),
    *("test_chaos.py", "test_moved_and_copied.py", "test_code_blocks.py", "test_over_http.py"),
)
_LOOKING = {
    *("tests/whosehand/test_finished.py", "tests/search/cli/test_identify.py", "tests/search/cli/test_promote.py"),
    *("tests/search/comparison/test_several_sweeps.py", "tests/search/promotion/test_refit.py"),
    "tests/search/promotion/test_sealed_test.py",
}


def pytest_configure() -> None:
    """One thread for all networks of a test process: TensorFlow takes the number once, before its
    first use.

    Importing it costs some seconds; but all test modules together import it anyway.
    """
    threading = tensorflow.config.threading
    threading.set_intra_op_parallelism_threads(1)
    threading.set_inter_op_parallelism_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, those that look at what the very first one made not before the
    middle, and the quick files of `core` last, so that all test processes end together.
    """

    def place(item: pytest.Item) -> tuple[int, int]:
        path = item.path.relative_to(_REPOSITORY).as_posix()
        if item.path.name in _FIRST:
            return 0, _FIRST.index(item.path.name)
        if path in _LOOKING:
            return 2, 0
        return (1, 0) if path.startswith("tests/search") else (3, 0)

    items.sort(key=place)


@pytest.fixture(scope="session")
def dhsd_root() -> Path:
    """The real handwriting, where it lies; never copied."""
    named = os.environ.get("WHOSEHAND_DHSD")
    places = [Path(named)] if named else [_REPOSITORY / "../shared/data/dhsd", _REPOSITORY / "data/dhsd"]
    for place in places:
        if (place / "train.csv").is_file():
            return place.resolve()
    if os.environ.get("CI"):
        pytest.fail("DHSD must be there in CI, or the tests on real handwriting would pass without running.")
    pytest.skip(f"DHSD is at none of {[str(place) for place in places]}: set WHOSEHAND_DHSD, or fetch it to data/dhsd")


@pytest.fixture(scope="session")
def hands_index(tmp_path_factory: pytest.TempPathFactory) -> CorpusIndex:
    """Generated handwriting: 3 writers x 4 pages x 4 lines, each line a region of its page."""
    return HandsCorpus(HandsSettings(n_writers=3, n_pages=4, n_lines=4), tmp_path_factory.mktemp("hands")).index()


@pytest.fixture
def folder_root(hands_index: CorpusIndex, tmp_path: Path) -> Path:
    """The pages of `hands_index` as a user's own scans, `<writer>/<page>.png`; a test may change
    them.
    """
    root = tmp_path / "scans"
    for image in hands_index.images:
        folder = root / image.writer_id
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / image.path.name).exists():
            shutil.copy(image.path, folder)
    return root


@pytest.fixture
def save_image(tmp_path: Path) -> Callable[[NDArray[np.generic], str], Path]:
    """Writes pixels to an image file of that name."""

    def save(pixels: NDArray[np.generic], name: str = "image.png") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        return path

    return save
