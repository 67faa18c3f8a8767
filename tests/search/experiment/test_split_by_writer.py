"""An experiment whose split is by writer: how it is judged, and what does not go with that."""

from pathlib import Path

import pytest

from search.experiment.changes import differences
from search.experiment.experiment import Experiment
from tests.search.experiment.test_experiment import SMALL, complaint, folder, load

__all__ = ["folder"]  # a fixture
pytestmark = pytest.mark.usefixtures("folder")
BY_WRITER = "split: {kind: writer}\n"


def test_a_split_by_writer_is_judged_by_the_pages_that_are_found(tmp_path: Path) -> None:
    experiment = load(SMALL + BY_WRITER)
    assert experiment.objective.metric == "val/retrieval_map"
    assert experiment.objective.resolved_direction == "maximize"
    assert load(SMALL + BY_WRITER, "objective.metric=val/retrieval_eer").objective.resolved_direction == "minimize"
    again = Experiment.of_ledger(experiment.snapshot())
    assert differences(experiment.snapshot(), again) == []
    experiment.to_yaml(tmp_path / "again.yaml")
    assert Experiment.load(tmp_path / "again.yaml") == experiment


@pytest.mark.parametrize(
    ("text", "change", "said"),
    [
        (BY_WRITER, "objective.metric=val/image_logloss", "must be one of val/retrieval_map, "),
        ("", "objective.metric=val/retrieval_map", "is of writers that training has not seen: it needs `split: {kind"),
        (BY_WRITER, "objective.run=mine:run", "is judged by whosehand's own training alone"),
        (BY_WRITER, "objective.images_per_page=0", "must be `auto` or an integer from 1, but got 0"),
        (BY_WRITER, "corpus.n_pages=1", "must be 2 or more, so that each page has another one by the same hand"),
    ],
)
def test_what_does_not_go_with_a_split_by_writer_is_refused(text: str, change: str, said: str) -> None:
    assert said in complaint(SMALL + text, change)
