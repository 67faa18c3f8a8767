"""Whoever moves aliases may be killed at any write: no version is lost, and the same command ends
what was begun.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from search.tracking.aliases import challenge, set_champion
from search.tracking.registry import register_version
from search.tracking.store import TrackingStore
from tests.command_line import ROOT, environment
from tests.search.promotion.logged_model import logged_model

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def moved(store: TrackingStore, tmp_path: Path) -> Path:
    """Version 2 is champion, version 1 was it before, version 3 is challenger."""
    for _ in range(3):
        register_version(store, "toy", logged_model(store, tmp_path), {})
    set_champion(store, "toy", 1, None)
    set_champion(store, "toy", 2, 1)
    challenge(store, "toy", 3)
    return Path(store.uri.removeprefix("sqlite:///"))


def _kills(database: Path, folder: Path, story: str) -> list[dict[str, Any]]:
    folder.mkdir()
    run = subprocess.run(
        [sys.executable, "-m", "tests.search.tracking.killed_moves", str(database), str(folder), story],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    kills = [json.loads(line) for line in run.stdout.splitlines()]
    assert [kill["killed"] for kill in kills] == [True] * (len(kills) - 1) + [False]
    assert len(kills) >= 5
    return kills


@pytest.mark.long
def test_after_a_killed_promotion_no_version_is_lost(moved: Path, tmp_path: Path) -> None:
    for kill in _kills(moved, tmp_path / "kills", "promotion"):
        repeated, rolled_back = kill["promote"], kill["rollback"]
        assert repeated["left"] in (2, 3), kill
        assert (repeated["champion"], repeated["previous"], repeated["challenger"]) == (3, 2, None), kill
        assert repeated["history"][-3:] == ["3 challenger", "2 previous", "3 champion"], kill
        assert len(repeated["history"]) == 6, kill
        # A promotion that has begun to move is ended first, then rolled back.
        expected = (1, 2) if kill["write"] == 1 else (2, 3)
        assert (rolled_back["champion"], rolled_back["previous"]) == expected, kill


@pytest.mark.long
def test_a_killed_rollback_keeps_the_way_back_and_is_not_made_twice(moved: Path, tmp_path: Path) -> None:
    for kill in _kills(moved, tmp_path / "kills", "rollback"):
        after = kill["rollback"]
        assert after["left"] in (1, 2), kill
        # One that was killed goes on where it stopped; one that had ended is undone by the next.
        expected = (1, 2) if kill["killed"] else (2, 1)
        assert (after["champion"], after["previous"]) == expected, kill
