"""What a model's threshold for unknown writers does on images that it was not set on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.corpora.index import TextImage
from core.identification.calibration import Calibration, fit_unknown_writer_test
from core.identification.model_record import ModelRecord
from core.identification.prediction import Prediction, RankedWriter
from search.promotion.tested_images import TestedImages, UnknownWriterRates, score_product
from tests.search.toy_model import RECORD

# Unknown writers' best probabilities: 0.6 and less. So an image is taken for a known writer's above
# that.
TEST = fit_unknown_writer_test("class_removed", np.linspace(0.1, 0.6, 19), np.array([0.9]), 0.05)
CALIBRATED = replace(RECORD, calibrations=(Calibration("image", 1.0, 9, TEST),))


def _prediction(name: str, *probabilities: float) -> Prediction:
    ranked = sorted(zip(RECORD.writer_ids, probabilities, strict=True), key=lambda item: -item[1])
    return Prediction(name, tuple(RankedWriter(*item) for item in ranked), None, None, 1, 8)


IMAGES = tuple(TextImage(name, Path("x.png"), "007", page_id=name) for name in ("a", "b"))
# `a` is sure of 007, and undecided between the others; `b` is sure of nothing, but of 012 once 007
# is struck out.
TESTED = TestedImages(IMAGES, {"a": _prediction("a", 0.9, 0.05, 0.05), "b": _prediction("b", 0.5, 0.45, 0.05)})


def _rates(record: ModelRecord = CALIBRATED, unknown: tuple[Prediction, ...] = ()) -> UnknownWriterRates | None:
    return score_product(TESTED, "page", record, unknown).unknown_writers


def test_without_real_unknown_writers_each_test_image_is_asked_without_its_own() -> None:
    rates = _rates()
    assert rates is not None
    assert (rates.is_used, rates.are_real, rates.n_known, rates.n_unknown) == (True, False, 2, 2)
    assert rates.false_reject_rate == pytest.approx(0.5)
    assert rates.false_accept_rate == pytest.approx(0.5)


def test_images_by_writers_who_took_no_part_are_counted_where_there_are_some() -> None:
    unknown = tuple(_prediction(f"u{number}", 0.8 if number == 0 else 0.4, 0.1, 0.1) for number in range(4))
    rates = _rates(unknown=unknown)
    assert rates is not None
    assert (rates.are_real, rates.n_unknown, rates.false_accept_rate) == (True, 4, 0.25)


def test_a_threshold_that_is_switched_off_still_says_what_it_would_do() -> None:
    off = replace(CALIBRATED, calibrations=(Calibration("image", 1.0, 9, replace(TEST, is_used=False)),))
    rates = _rates(off)
    assert rates is not None
    assert (rates.is_used, rates.false_reject_rate) == (False, 0.5)


def test_a_model_without_calibration_has_no_rates() -> None:
    assert _rates(RECORD) is None
