"""A champion that version 0.1 registered still answers, and as it did: see
tests/data/champion_0_1/README.md.
"""

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from core.identification.calibration import UnknownWriterTest
from core.identification.prediction import Prediction
from core.identification.writer_identifier import WriterIdentifier
from core.pages.image_files import read_grey
from search.identification.identifier_folder import is_identifier, read_record, read_split
from search.identification.identify import identify

FOLDER = Path(__file__).parents[2] / "data" / "champion_0_1"
MODEL = FOLDER / "model"
SAID = json.loads((FOLDER / "answers.json").read_text())
EXPECTED = {row["path"]: Prediction.from_row(row["path"], row) for row in SAID["images"]}


def _assert_same(prediction: Prediction, expected: Prediction) -> None:
    assert [writer.writer_id for writer in prediction.ranking] == [writer.writer_id for writer in expected.ranking]
    np.testing.assert_allclose(
        [writer.probability for writer in prediction.ranking],
        [writer.probability for writer in expected.ranking],
        atol=1e-5,
    )
    assert (prediction.n_lines, prediction.n_patches) == (expected.n_lines, expected.n_patches)
    assert (prediction.none_of_these, prediction.is_known) == (expected.none_of_these, expected.is_known)


def test_its_record_and_its_split_are_read() -> None:
    record, split = read_record(MODEL), read_split(MODEL)
    assert is_identifier(MODEL)
    assert (record.version, record.writer_ids, record.unit) == ("0.1.0", ("000", "001", "002"), "line")
    image, page = record.calibrations
    assert (image.unit, image.n_items, page.unit, page.n_items) == ("image", 9, "page", 3)
    assert isinstance(image.unknown_writers, UnknownWriterTest)
    assert (image.unknown_writers.n_unknown_writers, len(image.unknown_writers.scores)) == (9, 9)
    assert split is not None
    assert (split.hash, len(split.train)) == (record.split_hash, 18)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_todays_reader_answers_as_it_did(name: str) -> None:
    identifier = WriterIdentifier.load(MODEL / "artifacts" / "model.keras", MODEL / "artifacts")
    _assert_same(identifier.identify(read_grey(FOLDER / name), name), EXPECTED[name])


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.long
def test_its_own_code_answers_as_it_did(tmp_path: Path) -> None:
    model = shutil.copytree(MODEL, tmp_path / "model")
    with zipfile.ZipFile(FOLDER / "code.zip") as code:
        code.extractall(model)
    answer = identify([FOLDER / name for name in EXPECTED], model)
    for prediction in answer.images:
        _assert_same(prediction, EXPECTED[Path(prediction.image).name])
    together = {writer["writer_id"]: writer["probability"] for writer in SAID["together"]}
    assert {w.writer_id: w.probability for w in answer.together} == pytest.approx(together, abs=1e-5)
