import json
from dataclasses import replace

import numpy as np
import pytest

from core.identification.calibration import Calibration, fit_unknown_writer_test
from core.identification.model_record import ModelRecord
from core.identification.prediction import Prediction, RankedWriter, combine
from core.settings import InkSettings, PatchSettings

TEST = fit_unknown_writer_test("class_removed", np.linspace(0.3, 0.6, 40), np.linspace(0.5, 0.8, 40), 0.1)
RECORD = ModelRecord(
    ("a", "b"),
    InkSettings(),
    PatchSettings(),
    "toy",
    "",
    "",
    {},
    "0",
    calibrations=(Calibration("image", 2.0, 9, TEST),),
)


def _prediction(sure: float, n_patches: int = 4) -> Prediction:
    ranking = sorted((RankedWriter("a", sure), RankedWriter("b", 1 - sure)), key=lambda writer: -writer.probability)
    return Prediction("page.png", tuple(ranking), 0.25, True, 1, n_patches, "image")


def test_a_row_goes_through_json_and_comes_back_the_same() -> None:
    prediction = _prediction(0.3)
    assert (prediction.writer_id, prediction.probability, prediction.probability_of("a")) == ("b", 0.7, 0.3)
    row = json.loads(json.dumps(prediction.as_row()))
    assert Prediction.from_row("page.png", row) == prediction
    assert prediction.as_row(top=1)["ranking"] == [{"writer_id": "b", "probability": 0.7}]


def test_a_writer_that_the_model_does_not_know_has_no_probability() -> None:
    assert _prediction(0.3).probability_of("z") == 0


def test_images_together_are_weighted_by_their_patches() -> None:
    predictions = [_prediction(0.9, 1), _prediction(0.2, 9)]
    assert combine(predictions)[0].writer_id == "b"
    assert combine([replace(item, n_patches=1) for item in predictions])[0].writer_id == "a"


def test_one_image_alone_keeps_its_probabilities() -> None:
    for record in (None, RECORD):
        assert combine([_prediction(0.8)], record)[0].probability == pytest.approx(0.8)


def test_a_notebook_shows_the_ranked_writers_with_names_as_text() -> None:
    ranking = (RankedWriter("<b>anna", 0.75), RankedWriter("dora", 0.25))
    html = Prediction("a & b.png", ranking, 0.9, False, 1, 4)._repr_html_()
    assert "<b>a &amp; b.png</b>: 1 line read. It looks like none of the known writers." in html
    assert html.count("<tr>") == 1 + 2
    assert "<td>&lt;b&gt;anna</td><td>75.0%</td>" in html
    assert "width: 75.0%" in html
