import json
from pathlib import Path
from typing import Any

from core.splits.manifest import SplitManifest
from search.experiment.experiment import Experiment
from search.ledger.files import reference_file
from search.ledger.trial import TrialResult, TrialState
from search.promotion.examination import TestScores
from search.promotion.gate import GateResult
from search.promotion.hand_scores import HandScores
from search.promotion.model_card import CardFacts, write_card

HANDS = HandScores(64, 15, 45, 14, 0.31, (0.25, 0.4), 0.28, 0.11, 0.02, 0.05, 0.06)


def card_of(script: str, hands: HandScores | None = None, scores: TestScores | None = None, **further: Any) -> str:
    manifest = SplitManifest(f"corpus {script}", "page", ("1", "2"), ("a",), ("b",), ("c",))
    experiment = Experiment.model_validate(
        {"name": "toy", "corpus": {"layout": "hands"}, "budget": {"trials": 1}, "promotion": {"model": script[:8]}}
    )
    gate = GateResult((f"against {script}: 0 < 1",), (f"as {script} & co",))
    return write_card(
        CardFacts(
            script, 1, experiment, manifest, True, 0, 1, "", "0.1", (), scores, None, gate, hands=hands, **further
        )
    )


def test_the_card_says_what_comparing_hands_is_worth_and_that_it_is_no_casework() -> None:
    untested, tested = card_of("toy"), card_of("toy", HANDS)
    assert "was not tested: that takes writers of the corpus who took no part" in untested
    assert "45 pages by 15 writers whom neither training nor calibration saw" in tested
    assert "Cllr 0.310 (0.250 to 0.400, over writers" in tested
    assert "5.0 % promised, 6.0 % found" in tested
    assert "tippett.png" in tested
    assert all("**not validated casework**" in card.lower() for card in (untested, tested))


def test_the_card_says_which_pages_the_refit_had_and_what_its_thresholds_are_of() -> None:
    fold = SplitManifest("toy", "page", ("1", "2"), ("a",), ("b",), ("c",))
    whole = card_of("toy", cross_fits=(fold,) * 3, taken_epoch=1)
    assert "trained on **training and validation pages together** (2 images)" in whole
    assert "(1 of 1), the temperature and the thresholds are **out-of-fold**: from 3 networks" in whole
    assert "out-of-fold" not in card_of("toy")


def test_the_scores_of_the_card_are_those_that_there_are(tmp_path: Path) -> None:
    path, told = tmp_path / "scores.json", {"value": 0.9, "low": 0.8, "high": 1.0}
    path.write_text(json.dumps({"interval": "95 %", "scores": {"patch_top1": told, "image_top1": told}}))
    result = TrialResult(TrialState.COMPLETED, artifacts={"test/scores.json": reference_file(path)})
    card = card_of("toy", scores=TestScores(result, 1, 0))
    table = [line for line in card.splitlines() if line.startswith("|")]
    assert table == [
        "| | patch | image |",
        "| --- | ---: | ---: |",
        "| top-1 | 90.0% (80.0 to 100.0) | 90.0% (80.0 to 100.0) |",
    ]


def test_names_are_text_on_the_card_which_may_hold_html() -> None:
    card = card_of("<script>alert(1)</script>")
    assert "<script" not in card
    assert "# &lt;script>alert(1)" in card
    assert "&lt;script>alert(1)&lt;/script> &amp; co" in card
