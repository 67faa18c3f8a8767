"""What a network said of patches: kept, and scored by the amount of writing."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from core.errors import PatchError
from core.lines.source import StoredLine
from core.patches.plan import PatchPlan
from core.scoring.answers import PatchAnswers, accuracy_by_amount


class Lines:
    """As much of a line store as is asked for: two writers with two pages of two lines each."""

    lines = tuple(
        StoredLine(f"{writer}-{page}-{line}", 0, writer, f"{writer}-{page}", 100)
        for writer in "ab"
        for page in (0, 1)
        for line in (0, 1)
    )


def answers_of(right: NDArray[np.bool_]) -> PatchAnswers:
    """(8 lines, n patches a line): a right patch gives 0.8 to the true writer, a wrong one 0.3."""
    n_lines, n = right.shape
    lines = np.repeat(np.arange(n_lines, dtype=np.int32), n)
    labels = np.repeat(np.array([0, 0, 0, 0, 1, 1, 1, 1], dtype=np.int32), n)
    zeros = np.zeros(n_lines * n, dtype=np.int32)
    true = np.where(right.ravel(), 0.8, 0.3)
    probabilities = np.empty((n_lines * n, 2), dtype=np.float32)
    probabilities[np.arange(len(labels)), labels] = true
    probabilities[np.arange(len(labels)), 1 - labels] = 1 - true
    return PatchAnswers(PatchPlan(lines, zeros, zeros, labels, 8), np.log(probabilities))


def test_answers_come_back_as_they_were(tmp_path: Path) -> None:
    answers = answers_of(np.ones((8, 3), dtype=np.bool_))
    answers.save(tmp_path / "kept" / "answers.npz")
    again = PatchAnswers.load(tmp_path / "kept" / "answers.npz")
    np.testing.assert_array_equal(again.log_probabilities, answers.log_probabilities)
    np.testing.assert_array_equal(again.plan.lines, answers.plan.lines)
    assert again.plan.size_px == 8


def test_a_damaged_file_of_answers_is_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "answers.npz"
    with pytest.raises(PatchError, match="must hold the answers"):
        PatchAnswers.load(path)
    answers_of(np.ones((8, 3), dtype=np.bool_)).save(path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(PatchError, match="must hold the answers"):
        PatchAnswers.load(path)


def test_there_is_one_answer_for_each_patch() -> None:
    answers = answers_of(np.ones((8, 3), dtype=np.bool_))
    with pytest.raises(PatchError, match="Each of 2 patches needs an answer"):
        PatchAnswers(answers.plan[:2], answers.log_probabilities)


def test_more_writing_is_named_more_surely() -> None:
    right = np.ones((8, 20), dtype=np.bool_)
    right[:, :6] = False  # a patch alone is right in 14 of 20 cases; their mean always is
    found = {amount.amount: amount for amount in accuracy_by_amount(answers_of(right), Lines(), seed=3)}  # type: ignore[arg-type]
    assert list(found) == ["1", "2", "4", "8", "16", "line", "page"]
    assert found["1"].top1 == pytest.approx(0.7, abs=0.12)
    assert found["1"].top1 < found["8"].top1
    assert found["line"].top1 == found["page"].top1 == 1.0
    assert (found["line"].n_items, found["page"].n_items) == (8, 4)
    assert (found["line"].mean_patches, found["page"].mean_patches) == (20, 40)
    low, high = found["page"].interval
    assert low < 0.5, "four pages prove little"
    assert high == 1.0


def test_one_patch_alone_counts_exactly_as_often_as_it_is_drawn() -> None:
    right = np.zeros((8, 2), dtype=np.bool_)
    right[:4] = True  # all lines of the one writer, none of the other
    (one, line, page) = accuracy_by_amount(answers_of(right), Lines())  # type: ignore[arg-type]
    assert (one.amount, one.top1) == ("1", 0.5)
    assert (line.amount, line.top1) == ("line", 0.5)
    assert (page.amount, page.top1) == ("page", 0.5)


def test_counts_that_no_line_has_are_left_out() -> None:
    found = accuracy_by_amount(answers_of(np.ones((8, 4), dtype=np.bool_)), Lines())  # type: ignore[arg-type]
    assert [amount.amount for amount in found] == ["1", "2", "line", "page"]
