"""Where nothing tells the writers apart, no model becomes champion."""

from pathlib import Path

import pytest

from benchmarks.shuffled_writers import N_PAGES, N_WRITERS, deal_pages, go_the_way


def test_each_writer_gets_as_many_pages_of_several_hands(tmp_path: Path) -> None:
    deal_pages(tmp_path / "scans", 1, tmp_path / "data")
    folders = sorted((tmp_path / "scans").iterdir())
    assert len(folders) == N_WRITERS
    for folder in folders:
        hands = [page.stem.split("-")[0] for page in folder.iterdir()]
        assert len(hands) == N_PAGES
        assert len(set(hands)) > 1


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_sweep_on_shuffled_writers_ends_without_a_champion_and_says_why(tmp_path: Path) -> None:
    ended = go_the_way(tmp_path / "project", 1, tmp_path / "data")
    assert ended.became == "challenger"
    assert any("not shown to be better than guessing" in reason for reason in ended.reasons)
