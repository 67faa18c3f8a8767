from core.splits.manifest import SplitManifest
from search.experiment.experiment import Experiment
from search.promotion.gate import GateResult
from search.promotion.model_card import CardFacts, write_card


def test_names_are_text_on_the_card_which_may_hold_html() -> None:
    script = "<script>alert(1)</script>"
    manifest = SplitManifest(f"corpus {script}", "page", ("1", "2"), ("a",), ("b",), ("c",))
    experiment = Experiment.model_validate(
        {"name": "toy", "corpus": {"layout": "hands"}, "budget": {"trials": 1}, "promotion": {"model": script[:8]}}
    )
    gate = GateResult((f"against {script}: 0 < 1",), (f"as {script} & co",))
    card = write_card(CardFacts(script, 1, experiment, manifest, True, 0, 1, "", "0.1", (), None, None, gate))
    assert "<script" not in card
    assert "# &lt;script>alert(1)" in card
    assert "&lt;script>alert(1)&lt;/script> &amp; co" in card
