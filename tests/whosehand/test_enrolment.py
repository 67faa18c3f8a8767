from pathlib import Path

import pytest

import whosehand as wh
from search.experiment.settings import TrackingSettings
from search.tracking.store import open_store
from tests.search.toy_model import WRITER_IDS, save_toy_champion, save_toy_model, toy_hands, write_line


@pytest.fixture
def champion(tmp_path: Path) -> wh.Identifier:
    tracking = TrackingSettings(uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    save_toy_champion(open_store(tracking, tmp_path), tmp_path / "toy", hands=toy_hands())
    return wh.champion(project=tmp_path, tracking=tracking)


@pytest.mark.long
def test_a_writer_is_enrolled_listed_and_forgotten(champion: wh.Identifier, tmp_path: Path) -> None:
    page = write_line(tmp_path / "a.png", 20)
    result = champion.enrol("anna", page, progress=False)
    assert result.n_pages == {"anna": 1}
    assert [(each.writer_id, each.kind) for each in champion.writers] == [
        *((writer, "trained") for writer in WRITER_IDS),
        ("anna", "enrolled"),
    ]
    assert champion._answering[0] != champion.folder, "she is known to what answers"
    assert champion.forget("anna", project=tmp_path) == 1
    assert champion._answering[0] == champion.folder
    with pytest.raises(wh.WhosehandError, match="Nobody called 'anna'"):
        champion.forget("anna", project=tmp_path)


@pytest.mark.long
def test_two_pages_are_verified(champion: wh.Identifier, tmp_path: Path) -> None:
    one, other = (write_line(tmp_path / f"{number}.png", number) for number in (20, 21))
    answer = champion.verify(one, str(other), evidence=tmp_path / "why.html", project=tmp_path, progress=False)
    low, high = answer.found.interval
    assert answer.found.calibration.lowest <= low <= high <= answer.found.calibration.highest
    assert "support" in answer.found.words
    assert (tmp_path / "why.html").read_text().startswith("<!DOCTYPE html>")


def test_a_network_that_is_not_registered_enrols_nobody(tmp_path: Path) -> None:
    model = wh.Identifier("toy", save_toy_model(tmp_path / "model"))
    with pytest.raises(wh.WhosehandError, match="with the champion of a registered model"):
        model.enrol("anna", tmp_path / "a.png")
    with pytest.raises(wh.WhosehandError, match="--calibrate-on"):
        model.verify("a.png", "b.png", progress=False)
