"""What a store withstands: a kill without warning, several builders at once, a disk that is
full.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from core.corpora.folder import FolderCorpus
from core.corpora.index import CorpusIndex
from core.corpora.settings import FolderSettings
from core.lines.store import LineStore, build_line_store
from core.settings import InkSettings
from tests.core.small_scans import multiply, write_small_scans

Building = subprocess.Popen[str]


@pytest.fixture(scope="module")
def scans(hands_index: CorpusIndex, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty small scans."""
    root = write_small_scans(hands_index, tmp_path_factory.mktemp("small"))
    assert multiply(root, 4) == 60
    return root


@pytest.fixture(scope="module")
def whole(scans: Path, tmp_path_factory: pytest.TempPathFactory) -> LineStore:
    """The store as it is when nothing happens."""
    return build(scans, tmp_path_factory.mktemp("whole"))


@pytest.fixture
def start(scans: Path, tmp_path: Path) -> Callable[..., Building]:
    """Starts a process that builds the store in `lines`."""

    def popen(*options: object) -> Building:
        command = [sys.executable, "-m", "tests.core.lines.build_store", scans, tmp_path / "lines", *options]
        return subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return popen


def build(root: Path, cache_dir: Path, done: list[int] | None = None) -> LineStore:
    index = FolderCorpus(FolderSettings(root=root)).index()
    tell = None if done is None else (lambda n_done, _: done.append(n_done))
    return build_line_store(index, InkSettings(height_px=40), cache_dir, tell)


def read_until(building: Building, n_read: int) -> None:
    assert building.stdout is not None
    for line in building.stdout:
        if (said := re.match(r"read (\d+) ", line)) and int(said[1]) >= n_read:
            return
    pytest.fail(f"It ended too early: {building.stderr and building.stderr.read()}")


def assert_equal(store: LineStore, whole: LineStore) -> None:
    store.verify()
    assert store.lines == whole.lines
    for line in range(0, len(whole), 7):
        assert np.array_equal(store.pixels(line), whole.pixels(line))


def test_what_was_read_before_a_kill_without_warning_is_kept(
    start: Callable[..., Building], scans: Path, whole: LineStore, tmp_path: Path
) -> None:
    building = start("--pause", 0.1)
    read_until(building, 40)  # four seconds, and every two seconds the disk is written to
    building.send_signal(signal.SIGKILL)
    building.communicate()
    done: list[int] = []
    store = build(scans, tmp_path / "lines", done)
    assert 15 < done[0] < 60, "no more than the last seconds are read again"
    assert done[-1] == 60
    assert_equal(store, whole)
    done.clear()
    assert build(scans, tmp_path / "lines", done).folder == store.folder
    assert done == []


@pytest.mark.long
def test_several_builders_at_once_read_every_image_once(
    start: Callable[..., Building], scans: Path, whole: LineStore, tmp_path: Path
) -> None:
    builders = [start("--pause", 0.02) for _ in range(3)]
    for builder in builders:
        said, error = builder.communicate(timeout=120)
        assert builder.returncode == 0, error
        assert "60 = 60 + 0 + 0" in said
    assert_equal(build(scans, tmp_path / "lines"), whole)
    assert len(list((tmp_path / "lines").glob("pool-*/*.pack"))) == 1


@pytest.mark.long
def test_a_builder_that_waits_for_a_killed_one_goes_on_with_the_rest(
    start: Callable[..., Building], scans: Path, whole: LineStore, tmp_path: Path
) -> None:
    first = start("--pause", 0.1)
    read_until(first, 25)
    first.send_signal(signal.SIGSTOP)
    second = start()
    read_until(second, 1)  # it shows the first one's progress
    first.send_signal(signal.SIGKILL)
    first.communicate()
    said, error = second.communicate(timeout=120)
    assert second.returncode == 0, error
    assert "60 = 60 + 0 + 0" in said
    assert_equal(build(scans, tmp_path / "lines"), whole)


def test_a_full_disk_is_said_and_what_is_there_is_kept(
    start: Callable[..., Building], scans: Path, whole: LineStore, tmp_path: Path
) -> None:
    n_bytes = sum(path.stat().st_size for path in whole.folder.parent.glob("pool-*/*.pack"))
    building = start("--limit", n_bytes // 2)
    _, error = building.communicate(timeout=120)
    assert building.returncode == 1
    assert re.fullmatch(
        r"Line stores must be written to .*/lines, but that failed \(.*File too large.*\)\. "
        r"Free space, or choose another folder; the lines that are there already are kept\.\n",
        error,
    )
    done: list[int] = []
    assert_equal(build(scans, tmp_path / "lines", done), whole)
    assert 20 < done[0] < 40


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("mount") is None, reason="only root mounts a small disk")
def test_a_disk_without_a_free_byte_keeps_what_fitted(scans: Path, whole: LineStore, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    n_bytes = sum(path.stat().st_size for path in whole.folder.parent.glob("pool-*/*.pack"))
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={n_bytes // 2}", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("not even root may mount here")
    try:
        run = subprocess.run(
            [sys.executable, "-m", "tests.core.lines.build_store", scans, disk / "lines"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert "No space left on device" in run.stderr
        shutil.copytree(disk / "lines", tmp_path / "lines")
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    done: list[int] = []
    assert_equal(build(scans, tmp_path / "lines", done), whole)
    assert 20 < done[0] < 40
