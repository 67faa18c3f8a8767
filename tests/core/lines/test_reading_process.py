"""Pages that processes read are those that threads read; a process that dies costs one page."""

from pathlib import Path

import numpy as np
import psutil
import pytest

from core.corpora.folder import FolderCorpus
from core.corpora.settings import FolderSettings
from core.lines.reading_process import ReadingProcess
from core.lines.store import build_line_store
from core.settings import InkSettings

pytestmark = pytest.mark.long  # a process imports for a second


def readers() -> list[psutil.Process]:
    """The reading processes of this one."""
    children = psutil.Process().children()
    return [child for child in children if "core.lines.reading_process" in " ".join(child.cmdline())]


def test_processes_read_what_threads_read(folder_root: Path, tmp_path: Path) -> None:
    (folder_root / "001/001-03.png").write_text("no image")
    index = FolderCorpus(FolderSettings(root=folder_root)).index()
    by_threads = build_line_store(index, InkSettings(), tmp_path / "threads", n_processes=0)
    by_processes = build_line_store(index, InkSettings(), tmp_path / "processes", n_processes=2)
    assert by_processes.folder.name == by_threads.folder.name
    assert by_processes.lines == by_threads.lines
    assert by_processes.unusable == by_threads.unusable
    assert by_processes.readings == by_threads.readings
    for number in range(len(by_threads)):
        assert np.array_equal(by_processes.pixels(number), by_threads.pixels(number))
        assert np.array_equal(by_processes.n_ink(number), by_threads.n_ink(number))
    assert readers() == []


def test_a_process_that_dies_is_followed_by_another(folder_root: Path) -> None:
    image = FolderCorpus(FolderSettings(root=folder_root)).index().images[0]
    reader = ReadingProcess()
    ((_, first),), _ = reader.read(image.path, [image], InkSettings())
    (child,) = readers()
    child.kill()
    with pytest.raises(EOFError, match=rf"the process that read {image.path} died"):
        reader.read(image.path, [image], InkSettings())
    ((_, again),), _ = reader.read(image.path, [image], InkSettings())
    assert again == first
    reader.close()
    assert readers() == []
