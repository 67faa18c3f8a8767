from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from core.retrieval.known_hands import Hands, PagesByInk, average_hands
from search.promotion.hand_scores import HAND_SCORES_FILE, TIPPETT_FILE, HandScores, score_hands
from tests.core.retrieval.described_hands import N_DIMENSIONS, describe_hands
from tests.search.toy_model import RECORD

TRAINED = tuple(f"1-{number}" for number in range(12))


def hands(set_aside: PagesByInk) -> Hands:
    pages = describe_hands(12, 4, seed=1)
    kept = PagesByInk.of(pages[1::2], N_DIMENSIONS)
    counts = np.full(12, 2)
    return Hands(average_hands(pages[::2], TRAINED), counts, counts * 64, kept, set_aside, "others", 0.1, 1.0)


def test_a_models_comparisons_are_tested_on_writers_on_whom_nothing_was_set(tmp_path: Path) -> None:
    set_aside, tested = (PagesByInk.of(describe_hands(15, 3, seed=seed), N_DIMENSIONS) for seed in (2, 3))
    record = replace(RECORD, writer_ids=TRAINED)
    found = score_hands(hands(set_aside), record, tested, tmp_path)
    assert found is not None
    assert (found.amount, found.n_writers, found.n_pages, found.n_calibration_writers) == (64, 15, 45, 15)
    assert found.cllr_interval[0] <= found.cllr <= found.cllr_interval[1] < 1
    assert found.promised == 0.1
    assert found.found is not None
    assert HandScores.load(tmp_path / HAND_SCORES_FILE) == found
    assert set(found.metrics) == {"hands/cllr", "hands/cllr_min", "hands/false_accept_rate"}
    with Image.open(tmp_path / TIPPETT_FILE) as picture:
        assert picture.size[0] > 400


def test_few_writers_are_no_test(tmp_path: Path) -> None:
    enough, few = (PagesByInk.of(describe_hands(n, 3, seed=n), N_DIMENSIONS) for n in (15, 9))
    assert score_hands(hands(enough), replace(RECORD, writer_ids=TRAINED), few, tmp_path) is None
    assert score_hands(hands(few), replace(RECORD, writer_ids=TRAINED), enough, tmp_path) is None
    assert not (tmp_path / HAND_SCORES_FILE).exists()
